/* origin.c - see origin.h. */
#include "tools/ctl/origin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tools/ctl/memory.h"

#define JUDGE_WORD "judge:"

bool origin_below(const struct origin *origin, const struct agreement_line *line)
{
    struct agreement sum;

    agreement_of(line->said, &sum);
    return sum.labels > 0 && sum.share < origin->least;
}

/* Verdicts of a judge about answers of its own. */
static enum fault_err own_verdicts(struct calib *store, const char *grader,
                                   int64_t *ret_own, struct fault *fault)
{
    size_t n = strlen(JUDGE_WORD);

    *ret_own = 0;
    if (strncmp(grader, JUDGE_WORD, n) != 0)
        return FAULT_OK;
    char *judge = memory_text_n(grader + n, strcspn(grader + n, ","));
    enum fault_err err = calib_own_verdicts(store, judge, ret_own, fault);
    free(judge);
    return err;
}

static enum fault_err graders_json(const struct origin *origin, struct calib *store,
                                   json_t *list, struct fault *fault)
{
    enum fault_err err = FAULT_OK;

    for (size_t i = 0; err == FAULT_OK && i < origin->graders.n && i < ORIGIN_GRADERS;
         i++) {
        const struct agreement_line *line = &origin->graders.lines[i];
        json_t *said = agreement_json(line);
        int64_t own;
        err = own_verdicts(store, line->grader, &own, fault);
        (void)json_object_set_new(said, "own_verdicts", json_integer(own));
        (void)json_object_set_new(said, "below",
                                  json_boolean(origin_below(origin, line)));
        (void)json_array_append_new(list, said);
    }
    return err;
}

enum fault_err origin_read(struct origin *ret_origin, struct calib *store, double least,
                           struct fault *fault)
{
    struct origin origin = { .least = least };
    enum fault_err err = agreements_read(&origin.graders, store, fault);

    if (err != FAULT_OK)
        return err;
    json_t *list = json_array();
    json_t *root = json_pack("{s:s, s:f, s:o}", "tool", "frugalctl " FRUGAL_VERSION,
                             "least_agreement", least, "graders", list);
    err = graders_json(&origin, store, list, fault);
    origin.text =
        json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(12));
    json_decref(root);
    if (err != FAULT_OK) {
        origin_release(&origin);
        return err;
    }
    *ret_origin = origin;
    return FAULT_OK;
}

void origin_release(struct origin *origin)
{
    agreements_release(&origin->graders);
    free(origin->text);
    *origin = (struct origin){ 0 };
}

void origin_warn(const char *command, const struct origin *origin)
{
    for (size_t i = 0; i < origin->graders.n; i++) {
        const struct agreement_line *line = &origin->graders.lines[i];
        struct agreement sum;
        agreement_of(line->said, &sum);
        if (origin_below(origin, line))
            (void)fprintf(stderr,
                          "frugalctl %s: '%s' agrees with a person on %.3f of %zu pairs "
                          "(%.3f .. %.3f), below --least-agreement %g: the bundle names "
                          "it; grade with another judge\n",
                          command, line->grader, sum.share, sum.labels, sum.low, sum.high,
                          origin->least);
    }
}

void origin_print(const struct origin *origin)
{
    for (size_t i = 0; i < origin->graders.n; i++) {
        const struct agreement_line *line = &origin->graders.lines[i];
        struct agreement sum;
        agreement_of(line->said, &sum);
        (void)printf("graded by %s: %zu qualities", line->grader, line->cells);
        if (sum.labels > 0)
            (void)printf(", agrees with a person on %.3f of %zu pairs (%.3f .. %.3f)",
                         sum.share, sum.labels, sum.low, sum.high);
        else if (strncmp(line->grader, JUDGE_WORD, strlen(JUDGE_WORD)) == 0)
            (void)printf("; `frugalctl label` tells how far it may be trusted");
        (void)putchar('\n');
    }
}
