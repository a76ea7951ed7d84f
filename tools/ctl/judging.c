/* judging.c - the list of what judges have to be asked, and the phase that asks it. */
#include "tools/ctl/judging.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/judging_private.h"
#include "tools/ctl/memory.h"

/* -- who and what -- */

int judging_expert(const struct judging *judging, const char *name)
{
    const struct config *config = judging->work->config;
    int expert = config_find_expert(config, str_of(name));
    bool speaks = expert >= 0 && config->experts[expert].has_generator &&
                  (config->experts[expert].generator.apis >> CONFIG_API_CHAT & 1) != 0;

    return speaks ? expert : -1;
}

enum fault_err judging_text(const struct judging *judging, size_t prompt,
                            struct judging_who who, char **ret_text, struct fault *fault)
{
    const struct config_expert *expert = &judging->work->config->experts[who.expert];

    return calib_answer_text(judging->work->store, expert->name, expert->generator.model,
                             judging->work->prompts[prompt].row, (int64_t)who.sample,
                             ret_text, fault);
}

enum fault_err judging_reference(const struct judging *judging, size_t prompt,
                                 char **ret_text, struct fault *fault)
{
    const struct worklist_prompt *asked = &judging->work->prompts[prompt];
    const struct judge_wish *wish = grader_judge(asked->grader);

    *ret_text = NULL;
    if (wish->trusted != NULL) {
        int trusted = judging_expert(judging, wish->trusted);
        struct judging_who who = { (size_t)trusted, 0 };
        return judging_text(judging, prompt, who, ret_text, fault);
    }
    if (asked->reference != NULL)
        *ret_text = memory_text(asked->reference);
    return FAULT_OK;
}

bool judging_needed(const struct judging *judging)
{
    for (size_t i = 0; i < judging->work->n_prompts; i++) {
        if (!grader_is_free(judging->work->prompts[i].grader))
            return true;
    }
    return false;
}

static enum fault_err need_expert(const struct judging *judging, const char *name,
                                  const char *spec, struct fault *fault)
{
    if (name == NULL || judging_expert(judging, name) >= 0)
        return FAULT_OK;
    return fault_set(fault, FAULT_CONFIG,
                     "'%.60s': '%s' is no expert in '%s' with a generator that speaks "
                     "chat",
                     spec, name, judging->work->config->path);
}

/* A judge among those whose answers it grades: it is blind, but may know its own words. */
static void warn_of_own(const struct judging *judging, const struct judge_wish *wish)
{
    int judge = wish->expert != NULL ? judging_expert(judging, wish->expert) : -1;

    if (judge >= 0 && judging->work->experts[judge].wanted)
        (void)fprintf(stderr,
                      "frugalctl calibrate: judge '%s' grades its own answers, too, and "
                      "judges tend to favour their own: name another judge, or leave it "
                      "out with --experts\n",
                      wish->expert);
    if (wish->trusted != NULL)
        (void)fprintf(stderr,
                      "frugalctl calibrate: qualities are agreement with '%s', whose own "
                      "is 1 by that\n",
                      wish->trusted);
}

enum fault_err judging_open(struct judging *judging, struct worklist *work,
                            struct fault *fault)
{
    enum fault_err err = FAULT_OK;

    *judging = (struct judging){ .work = work };
    judging->next = memory_new(work->config->n_experts, sizeof(*judging->next));
    for (size_t i = 0; err == FAULT_OK && i < work->graders.n; i++) {
        const char *spec = grader_spec(work->graders.all[i]);
        const struct judge_wish *wish = grader_judge(work->graders.all[i]);
        if (wish == NULL)
            continue;
        err = need_expert(judging, wish->expert, spec, fault);
        if (err == FAULT_OK)
            err = need_expert(judging, wish->trusted, spec, fault);
        if (err == FAULT_OK)
            err = need_expert(judging, wish->against, spec, fault);
        if (err == FAULT_OK)
            warn_of_own(judging, wish);
    }
    return err;
}

void judging_release(struct judging *judging)
{
    free(judging->tasks);
    free(judging->next);
    names_release(&judging->known);
    *judging = (struct judging){ 0 };
}

/* -- tasks -- */

void judging_add(struct judging *judging, const struct judging_task *task)
{
    char *name = memory_format("%zu %s", task->judge, task->shown);
    bool added = names_add(&judging->known, name, judging->n_tasks);

    free(name);
    if (!added)
        return;
    if (judging->n_tasks == judging->room) {
        judging->room = judging->room > 0 ? judging->room * 2 : 256;
        judging->tasks =
            memory_resize(judging->tasks, judging->room, sizeof(*judging->tasks));
    }
    judging->tasks[judging->n_tasks++] = *task;
}

/* What the task shows, owned by the caller. */
struct shown {
    char *question, *reference, *answers[2];
};

static void shown_release(struct shown *shown)
{
    free(shown->question);
    free(shown->reference);
    free(shown->answers[0]);
    free(shown->answers[1]);
}

static enum fault_err read_shown(const struct judging *judging,
                                 const struct judging_task *task, struct shown *ret_shown,
                                 struct judge_asked *ret_asked, struct fault *fault)
{
    const struct worklist_prompt *prompt = &judging->work->prompts[task->prompt];
    const struct judge_wish *wish = grader_judge(prompt->grader);
    struct shown shown = { .question = judge_question(prompt->messages) };
    enum fault_err err =
        judging_reference(judging, task->prompt, &shown.reference, fault);

    if (err == FAULT_OK)
        err = judging_text(judging, task->prompt, task->first, &shown.answers[0], fault);
    if (err == FAULT_OK && wish->form == JUDGE_PAIRWISE)
        err = judging_text(judging, task->prompt, task->second, &shown.answers[1], fault);
    if (err != FAULT_OK) {
        shown_release(&shown);
        return err;
    }
    *ret_shown = shown;
    *ret_asked = (struct judge_asked){
        .form = wish->form,
        .question = shown.question,
        .reference = shown.reference,
        .criteria = wish->criteria,
        .answers = { shown.answers[0], shown.answers[1] },
        .strict = task->strict,
    };
    return FAULT_OK;
}

/* -- the phase -- */

static enum fault_err next_question(void *context, size_t expert,
                                    struct asker_question *ret_question, bool *ret_any,
                                    struct fault *fault)
{
    struct judging *judging = context;
    size_t *at = &judging->next[expert];
    struct judge_asked asked;
    struct shown shown;
    char nonce[JUDGE_NONCE_BYTES];

    while (*at < judging->n_tasks && judging->tasks[*at].judge != expert)
        (*at)++;
    *ret_any = *at < judging->n_tasks;
    if (!*ret_any)
        return FAULT_OK;
    const struct judging_task *task = &judging->tasks[*at];
    ret_question->prompt = (*at)++;
    enum fault_err err = read_shown(judging, task, &shown, &asked, fault);
    if (err != FAULT_OK)
        return err;
    judge_nonce(&asked, nonce);
    char *messages = judge_messages(&asked, nonce);
    err = question_new(
        NULL, messages,
        grader_judge(judging->work->prompts[task->prompt].grader)->output_tokens,
        &ret_question->question, fault);
    free(messages);
    shown_release(&shown);
    return err;
}

/* The judge has a row in the store, for marks and spending, though it may answer nothing. */
static void name_question(void *context, const struct asker_question *question,
                          struct phase_name *ret_name)
{
    const struct judging *judging = context;
    const struct judging_task *task = &judging->tasks[question->prompt];
    const struct worklist_prompt *prompt = &judging->work->prompts[task->prompt];

    ret_name->prompt = prompt->row;
    ret_name->expert = judging->work->experts[question->expert].row;
    ret_name->prompt_id = prompt->id;
    (void)snprintf(ret_name->what, sizeof(ret_name->what), "verdict %s", task->shown);
}

/* Words without a verdict: the same once more, strictly, and behind all others. */
static enum fault_err ask_strictly(struct judging *judging, struct judging_task task,
                                   struct fault *fault)
{
    struct judge_asked asked;
    struct shown shown;
    size_t before = judging->n_tasks;

    task.strict = true;
    enum fault_err err = read_shown(judging, &task, &shown, &asked, fault);
    if (err != FAULT_OK)
        return err;
    judge_shown(&asked, task.shown);
    shown_release(&shown);
    judging_add(judging, &task);
    judging->phase->total += judging->n_tasks - before;
    return FAULT_OK;
}

static enum fault_err keep_verdict(void *context, const struct asker_question *question,
                                   const struct asker_answer *said, struct fault *fault)
{
    struct judging *judging = context;
    struct worklist *work = judging->work;
    struct judging_task task = judging->tasks[question->prompt];
    const struct judge_wish *wish = grader_judge(work->prompts[task.prompt].grader);
    const struct config_expert *judge = &work->config->experts[task.judge];
    bool pair = wish->form == JUDGE_PAIRWISE;
    double quality = NAN;
    int64_t first = 0, second = 0;
    bool found = judge_read(wish->form, said->text, &quality);
    enum fault_err err = calib_expert(
        work->store, work->config->experts[task.first.expert].name, &first, fault);

    if (err == FAULT_OK && pair)
        err = calib_expert(work->store, work->config->experts[task.second.expert].name,
                           &second, fault);
    struct calib_verdict verdict = {
        .judge = judge->name,
        .model = judge->generator.model,
        .shown = task.shown,
        .prompt = work->prompts[task.prompt].row,
        .first = first,
        .second = second,
        .version = pair ? JUDGE_VERSION " pairwise" : JUDGE_VERSION " rubric",
        .quality = quality,
        .text = said->text,
        .input_tokens = (double)said->input_tokens,
        .output_tokens = (double)said->output_tokens,
        .cost_pico = said->cost_pico,
        .estimated = said->estimated,
    };
    if (err == FAULT_OK)
        err = calib_put_verdict(work->store, &verdict, fault);
    if (err == FAULT_OK && !found && !task.strict)
        err = ask_strictly(judging, task, fault);
    return err;
}

enum fault_err judging_phase(struct judging *judging, struct phase *ret_phase,
                             struct fault *fault)
{
    static const struct phase_source source = { next_question, name_question,
                                                keep_verdict, NULL };
    struct worklist *work = judging->work;
    enum fault_err err = FAULT_OK;

    for (size_t i = 0; err == FAULT_OK && i < work->n_prompts; i++) {
        if (grader_judge(work->prompts[i].grader) != NULL)
            err = judging_prompt(judging, i, true, fault);
    }
    for (size_t i = 0; err == FAULT_OK && i < judging->n_tasks; i++) {
        size_t judge = judging->tasks[i].judge;
        if (work->experts[judge].row == 0)
            err = calib_expert(work->store, work->config->experts[judge].name,
                               &work->experts[judge].row, fault);
    }
    judging->phase = ret_phase;
    *ret_phase = (struct phase){
        .label = "judging",
        .source = &source,
        .context = judging,
        .total = judging->n_tasks,
    };
    return err;
}

enum fault_err judging_settle(struct judging *judging, struct fault *fault)
{
    struct worklist *work = judging->work;
    enum fault_err err = calib_begin(work->store, fault);

    for (size_t i = 0; err == FAULT_OK && i < work->n_prompts; i++) {
        if (grader_kind(work->prompts[i].grader) == GRADE_CMD)
            err = judging_program_prompt(judging, i, fault);
        else if (grader_judge(work->prompts[i].grader) != NULL)
            err = judging_prompt(judging, i, false, fault);
    }
    if (err == FAULT_OK)
        err = calib_commit(work->store, fault);
    return err;
}

/* -- what came of it -- */

void judging_print(const struct judging *judging)
{
    const struct judging_counts *counts = &judging->counts;

    if (counts->verdicts + counts->silent + counts->open > 0)
        (void)printf("judged: %zu verdicts, %zu without one though asked twice, %zu not "
                     "asked\n",
                     counts->verdicts, counts->silent, counts->open);
    if (counts->pairs > 0)
        (void)printf("pairs in both orders: %zu, of which %.1f %% agree\n", counts->pairs,
                     100 * (double)counts->agreeing / (double)counts->pairs);
    if (counts->own > 0)
        (void)printf("%zu verdicts are of judges about their own answers\n", counts->own);
    if (counts->programs + counts->failed > 0)
        (void)printf("programs graded %zu answers and could not grade %zu%s%s\n",
                     counts->programs, counts->failed,
                     judging->example[0] != '\0' ? ": " : "", judging->example);
    if (counts->verdicts + counts->silent + counts->open + counts->pairs +
            counts->programs + counts->failed >
        0)
        (void)putchar('\n');
}

json_t *judging_json(const struct judging *judging)
{
    const struct judging_counts *counts = &judging->counts;

    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "verdicts",
                     (json_int_t)counts->verdicts, "without_verdict",
                     (json_int_t)counts->silent, "not_asked", (json_int_t)counts->open,
                     "pairs", (json_int_t)counts->pairs, "pairs_agreeing",
                     (json_int_t)counts->agreeing, "own_answers", (json_int_t)counts->own,
                     "by_programs", (json_int_t)counts->programs, "programs_failed",
                     (json_int_t)counts->failed);
}
