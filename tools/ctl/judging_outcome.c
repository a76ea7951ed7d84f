/* judging_outcome.c - did the graders that are not free grade anything?
 *
 * A grader that graded none of its answers leaves a store that nothing can be learnt from:
 * a fault. One that left out some is a warning.
 */
#include <math.h>
#include <stdio.h>

#include "tools/ctl/judging_private.h"

struct tally {
    size_t given, graded; /* answers */
};

/* The trusted expert's own answers are right by agreement: nobody grades them. */
static struct tally count(const struct judging *judging, const struct grader *grader)
{
    const struct worklist *work = judging->work;
    const struct judge_wish *wish = grader_judge(grader);
    int trusted = wish != NULL && wish->trusted != NULL
                      ? judging_expert(judging, wish->trusted)
                      : -1;
    struct tally tally = { 0, 0 };

    for (size_t i = 0; i < work->config->n_experts; i++) {
        if (!work->experts[i].wanted || (int)i == trusted)
            continue;
        for (size_t p = 0; p < work->n_prompts; p++) {
            for (size_t s = 0; work->prompts[p].grader == grader && s < work->n_samples;
                 s++) {
                const struct worklist_sample *one = worklist_sample(work, i, p, s);
                tally.given += one->known;
                tally.graded += one->known && !isnan(one->quality);
            }
        }
    }
    return tally;
}

/* Where a person is to look. */
static void advise(const struct judging *judging, const struct grader *grader,
                   char *ret_text, size_t bytes)
{
    const struct judge_wish *wish = grader_judge(grader);

    if (wish == NULL && judging->example[0] != '\0')
        (void)snprintf(ret_text, bytes,
                       "the last failure: %s; give the program a line by hand",
                       judging->example);
    else if (wish == NULL)
        (void)snprintf(ret_text, bytes, "the program says null of each");
    else if (judging->counts.silent > 0)
        (void)snprintf(
            ret_text, bytes,
            "the judge's words have no verdict, see 'text' in the store's table "
            "'verdicts': name another judge, or give it more tokens=N");
    else if (wish->trusted != NULL)
        (void)snprintf(ret_text, bytes, "'%.60s' has no answer to these prompts",
                       wish->trusted);
    else
        (void)snprintf(ret_text, bytes,
                       "two experts have to answer a prompt to be compared");
}

enum fault_err judging_outcome(const struct judging *judging, struct fault *fault)
{
    enum fault_err err = FAULT_OK;

    for (size_t i = 0; i < judging->work->graders.n; i++) {
        const struct grader *grader = judging->work->graders.all[i];
        struct tally tally = { 0, 0 };
        char advice[400];
        if (!grader_is_free(grader))
            tally = count(judging, grader);
        if (tally.graded == tally.given)
            continue;
        advise(judging, grader, advice, sizeof(advice));
        if (tally.graded == 0 && err == FAULT_OK)
            err = fault_set(fault, FAULT_EXPERT,
                            "'%.200s' graded none of the %zu answers that it was given; "
                            "%s",
                            grader_spec(grader), tally.given, advice);
        else
            (void)fprintf(stderr,
                          "frugalctl calibrate: '%.200s' graded %zu of %zu answers, %zu "
                          "have no quality; %s\n",
                          grader_spec(grader), tally.graded, tally.given,
                          tally.given - tally.graded, advice);
    }
    return err;
}
