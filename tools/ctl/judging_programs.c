/* judging_programs.c - answers that the operator's own programs grade.
 *
 * What a program said is kept like a judge's verdict, under the command and a hash of the
 * files that it names: a program that was changed grades anew.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <xxhash.h>

#include "tools/ctl/child.h"
#include "tools/ctl/judging_private.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/progress.h"

#define FILE_MOST (64u << 20)

static void put_hex(XXH128_hash_t hash, char ret_text[JUDGE_SHOWN_BYTES])
{
    (void)snprintf(ret_text, JUDGE_SHOWN_BYTES, "%016llx%016llx",
                   (unsigned long long)hash.high64, (unsigned long long)hash.low64);
}

static void hash_file(XXH3_state_t *state, const char *path)
{
    FILE *file = fopen(path, "re");
    struct stat status;
    char bytes[16384];
    size_t n;

    if (file == NULL)
        return;
    if (fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_size <= FILE_MOST) {
        while ((n = fread(bytes, 1, sizeof(bytes), file)) > 0)
            (void)XXH3_128bits_update(state, bytes, n);
    }
    (void)fclose(file);
}

/* Of the command's words that name files. */
static void hash_program(const char *command, char ret_model[JUDGE_SHOWN_BYTES])
{
    XXH3_state_t *state = XXH3_createState();
    struct str rest = str_of(command), word;

    if (state == NULL)
        abort();
    (void)XXH3_128bits_reset(state);
    while (str_cut(&rest, ' ', &word)) {
        char *path = memory_text_n(word.p, word.n);
        if (word.n > 0)
            hash_file(state, path);
        free(path);
    }
    put_hex(XXH3_128bits_digest(state), ret_model);
    XXH3_freeState(state);
}

/* Names all that the program is shown. */
static void hash_question(const struct child_question *question,
                          char ret_shown[JUDGE_SHOWN_BYTES])
{
    const char *texts[] = { question->id, question->messages, question->reference,
                            question->answer };
    XXH3_state_t *state = XXH3_createState();

    if (state == NULL)
        abort();
    (void)XXH3_128bits_reset(state);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        uint64_t n = texts[i] != NULL ? strlen(texts[i]) : UINT64_MAX;
        (void)XXH3_128bits_update(state, &n, sizeof(n));
        if (texts[i] != NULL)
            (void)XXH3_128bits_update(state, texts[i], n);
    }
    put_hex(XXH3_128bits_digest(state), ret_shown);
    XXH3_freeState(state);
}

/* One program of the run. */
struct run {
    struct judging *judging;
    const struct grader *grader;
    char model[JUDGE_SHOWN_BYTES];
    struct child *child; /* NULL: only what is kept */
    struct fault *fault;
};

static enum fault_err keep(struct run *run, const struct child_question *question,
                           const char *shown, size_t prompt, size_t expert,
                           double quality, const char *note)
{
    struct worklist *work = run->judging->work;
    struct calib_verdict verdict = {
        .judge = grader_spec(run->grader),
        .model = run->model,
        .shown = shown,
        .prompt = work->prompts[prompt].row,
        .first = work->experts[expert].row,
        .version = "cmd",
        .quality = quality,
        .text = note,
        .input_tokens = NAN,
        .output_tokens = NAN,
        .cost_pico = MONEY_NONE,
    };

    (void)question;
    return calib_put_verdict(work->store, &verdict, run->fault);
}

/* *ret_known: the quality of this answer, from the store or from the program. */
static enum fault_err grade(struct run *run, size_t prompt, struct judging_who who,
                            bool *ret_known, double *ret_quality)
{
    struct judging *judging = run->judging;
    const struct worklist_prompt *asked = &judging->work->prompts[prompt];
    char shown[JUDGE_SHOWN_BYTES], note[CHILD_NOTE_BYTES];
    char *answer = NULL;
    enum fault_err err = judging_text(judging, prompt, who, &answer, run->fault);

    *ret_known = false;
    if (err != FAULT_OK || answer == NULL)
        return err;
    char *text = judge_question(asked->messages);
    struct child_question question = { asked->id, text, asked->messages, asked->reference,
                                       answer };
    hash_question(&question, shown);
    err = calib_find_verdict(judging->work->store, grader_spec(run->grader), run->model,
                             shown, ret_known, ret_quality, run->fault);
    if (err == FAULT_OK && !*ret_known && run->child != NULL) {
        enum child_answer said = child_ask(run->child, &question, ret_quality, note);
        *ret_known = said == CHILD_OK;
        if (said == CHILD_OK)
            err = keep(run, &question, shown, prompt, who.expert, *ret_quality, note);
        else if (said == CHILD_FAILED)
            (void)snprintf(judging->example, sizeof(judging->example),
                           "prompt '%.60s': %.100s", asked->id, note);
    }
    free(text);
    free(answer);
    return err;
}

/* All known answers to a prompt; quality to the worklist where there is one. */
static enum fault_err each_answer(struct run *run, size_t prompt, bool settle)
{
    struct worklist *work = run->judging->work;
    struct judging_counts *counts = &run->judging->counts;
    enum fault_err err = FAULT_OK;

    for (size_t i = 0; err == FAULT_OK && i < work->config->n_experts; i++) {
        for (size_t s = 0; work->experts[i].wanted && s < work->n_samples; s++) {
            struct judging_who who = { i, s };
            double quality = NAN;
            bool known;
            if (!work->experts[i].samples[prompt * work->n_samples + s].known)
                continue;
            err = grade(run, prompt, who, &known, &quality);
            if (err == FAULT_OK && settle) {
                counts->programs += known;
                counts->failed += !known;
                err = worklist_quality(work, i, prompt, s, known ? quality : NAN,
                                       run->fault);
            }
            if (err != FAULT_OK)
                break;
        }
    }
    return err;
}

enum fault_err judging_program_prompt(struct judging *judging, size_t prompt,
                                      struct fault *fault)
{
    struct run run = { .judging = judging,
                       .grader = judging->work->prompts[prompt].grader,
                       .fault = fault };

    hash_program(grader_argument(run.grader), run.model);
    return each_answer(&run, prompt, true);
}

static enum fault_err run_program(struct run *run, bool (*stop)(void *context),
                                  void *context)
{
    struct worklist *work = run->judging->work;
    struct progress bar;
    enum fault_err err = FAULT_OK;

    hash_program(grader_argument(run->grader), run->model);
    run->child = child_new(grader_argument(run->grader), JUDGING_LIMIT_MS);
    progress_init(&bar, "grading", (double)work->n_prompts);
    for (size_t i = 0; err == FAULT_OK && i < work->n_prompts && !stop(context); i++) {
        if (work->prompts[i].grader == run->grader)
            err = each_answer(run, i, false);
        progress_set(&bar, (double)(i + 1), NULL);
    }
    progress_end(&bar);
    if (child_failures(run->child) > 0)
        (void)fprintf(stderr, "frugalctl calibrate: '%s' failed %zu times; %s\n",
                      grader_spec(run->grader), child_failures(run->child),
                      run->judging->example);
    child_free(run->child);
    return err;
}

enum fault_err judging_programs(struct judging *judging, bool (*stop)(void *context),
                                void *context, struct fault *fault)
{
    enum fault_err err = FAULT_OK;

    for (size_t i = 0; err == FAULT_OK && i < judging->work->graders.n; i++) {
        struct run run = { .judging = judging,
                           .grader = judging->work->graders.all[i],
                           .fault = fault };
        if (grader_kind(run.grader) == GRADE_CMD)
            err = run_program(&run, stop, context);
    }
    return err;
}
