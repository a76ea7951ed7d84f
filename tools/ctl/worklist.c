/* worklist.c - prompts and earlier answers become a list of what is still to be asked. */
#include "tools/ctl/worklist.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/domain/price.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/prompts.h"
#include "tools/ctl/question.h"

#define ANSWER_WHAT "answer %zu" /* of a question, for its mark: which sample */

/* -- prompts -- */

/* How the prompt is graded; word: its own, or NULL. */
static enum fault_err find_grader(struct worklist *work, const char *word,
                                  const char *reference, const struct grader **ret_grader,
                                  struct fault *fault)
{
    bool own = word != NULL && (work->grade == NULL || strcmp(word, work->grade) != 0);

    if (word == NULL)
        word = work->grade;
    if (word == NULL)
        return fault_set(fault, FAULT_INPUT,
                         "there is no 'grade', and no --grade is given");
    enum fault_err err = graders_get(&work->graders, word, ret_grader, fault);
    if (err != FAULT_OK)
        return err;
    if (own && grader_kind(*ret_grader) == GRADE_CMD)
        return fault_set(fault, FAULT_INPUT,
                         "'grade' wants to run a program: give --grade '%.200s', too, if "
                         "you trust it",
                         word);
    return grader_check(*ret_grader, reference, fault);
}

static void add_prompt(struct worklist *work, int64_t row,
                       const struct calib_prompt *prompt, const struct grader *grader)
{
    if (work->n_prompts == work->room) {
        work->room = work->room > 0 ? work->room * 2 : 256;
        work->prompts = memory_resize(work->prompts, work->room, sizeof(*work->prompts));
    }
    work->prompts[work->n_prompts++] = (struct worklist_prompt){
        .row = row,
        .id = memory_text(prompt->id),
        .messages = memory_text(prompt->messages),
        .text = memory_text(prompt->text),
        .reference = prompt->reference != NULL ? memory_text(prompt->reference) : NULL,
        .grader = grader,
    };
}

/* A line of the file: into the store, and into the work. */
static enum fault_err take_line(void *context, const struct prompts_item *item,
                                struct fault *fault)
{
    struct worklist *work = context;
    struct str text = question_text(item->question);
    const struct grader *grader;
    int64_t row;
    enum fault_err err = find_grader(work, item->grade, item->reference, &grader, fault);

    if (err != FAULT_OK)
        return err;
    char *routing = memory_text_n(text.p, text.n);
    struct calib_prompt kept = {
        .id = item->id,
        .messages = item->messages,
        .text = routing,
        .text_version = work->stamp,
        .domain = item->domain,
        .split = item->split,
        .reference = item->reference,
        .grade = item->grade,
    };
    err = calib_put_prompt(work->store, &kept, &row, fault);
    if (err == FAULT_OK)
        add_prompt(work, row, &kept, grader);
    free(routing);
    return err;
}

static enum fault_err take_known(void *context, int64_t row,
                                 const struct calib_prompt *known, struct fault *fault)
{
    struct worklist *work = context;
    struct fault local = { "" };
    const struct grader *grader;
    enum fault_err err =
        find_grader(work, known->grade, known->reference, &grader, &local);

    if (err != FAULT_OK)
        return fault_set(fault, err, "prompt '%s' of the store: %s", known->id,
                         fault_text(&local, err));
    add_prompt(work, row, known, grader);
    return FAULT_OK;
}

enum fault_err worklist_load(struct worklist *work, struct fault *fault)
{
    enum fault_err err = calib_each_prompt(work->store, NULL, 0, take_known, work, fault);

    if (err == FAULT_OK && work->n_prompts == 0)
        err =
            fault_set(fault, FAULT_INPUT,
                      "there is no prompt in the store; give --prompts, or import some");
    return err;
}

enum fault_err worklist_read(struct worklist *work, const char *path, struct fault *fault)
{
    enum fault_err err = question_stamp(work->stamp, fault);

    if (err == FAULT_OK)
        err = calib_begin(work->store, fault);
    if (err == FAULT_OK)
        err = prompts_read(path, take_line, work, fault);
    if (err == FAULT_OK)
        err = calib_commit(work->store, fault);
    return err;
}

static int compare_rows(const void *a, const void *b)
{
    const struct worklist_prompt *left = a, *right = b;

    return (left->row > right->row) - (left->row < right->row);
}

bool worklist_find(const struct worklist *work, int64_t row, size_t *ret_prompt)
{
    struct worklist_prompt wanted = { .row = row };
    const struct worklist_prompt *found =
        bsearch(&wanted, work->prompts, work->n_prompts, sizeof(wanted), compare_rows);

    if (found == NULL)
        return false;
    *ret_prompt = (size_t)(found - work->prompts);
    return true;
}

/* -- what earlier runs left -- */

/* An answer: paid for, graded again. */
static enum fault_err take_answer(void *context, int64_t prompt_row, int64_t expert_row,
                                  const struct calib_answer *answer, struct fault *fault)
{
    struct worklist *work = context;
    size_t prompt;

    (void)expert_row;
    (void)fault;
    if (answer->sample < 0 || (size_t)answer->sample >= work->n_samples ||
        !worklist_find(work, prompt_row, &prompt))
        return FAULT_OK;
    worklist_take(work, work->reading, prompt, answer);
    return FAULT_OK;
}

/* A failure: asked again, when the others have been. */
static enum fault_err take_failure(void *context, const struct calib_ask *ask,
                                   enum calib_state state, int64_t bound_pico,
                                   struct fault *fault)
{
    struct worklist *work = context;
    size_t prompt, sample;
    char end;

    (void)bound_pico;
    (void)fault;
    if (state == CALIB_FAILED &&
        sscanf(ask->what, ANSWER_WHAT "%c", &sample, &end) == 1 &&
        sample < work->n_samples && worklist_find(work, ask->prompt, &prompt))
        worklist_sample(work, work->reading, prompt, sample)->failed = true;
    return FAULT_OK;
}

static enum fault_err read_expert(struct worklist *work, size_t i, struct fault *fault)
{
    const char *model = work->config->experts[i].generator.model;
    struct worklist_expert *expert = &work->experts[i];

    work->reading = i;
    expert->samples =
        memory_new(work->n_prompts * work->n_samples, sizeof(*expert->samples));
    enum fault_err err =
        calib_each_answer(work->store, expert->row, model, take_answer, work, fault);
    if (err == FAULT_OK)
        err =
            calib_each_asked(work->store, expert->row, model, take_failure, work, fault);
    for (size_t prompt = 0; err == FAULT_OK && prompt < work->n_prompts; prompt++)
        err = worklist_put_cell(work, i, prompt, fault);
    worklist_plan(work, i, NULL);
    return err;
}

/* -- experts -- */

static bool expert_listed(const struct option_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], name) == 0)
            return true;
    }
    return list->count == 0;
}

/* Questions are asked as chats: who speaks other APIs alone cannot be calibrated. */
static bool speaks_chat(const struct config_expert *expert)
{
    return expert->has_generator && (expert->generator.apis >> CONFIG_API_CHAT & 1) != 0;
}

static enum fault_err check_listed(const struct worklist *work,
                                   const struct option_list *list, struct fault *fault)
{

    for (size_t i = 0; i < list->count; i++) {
        int expert = config_find_expert(work->config, str_of(list->items[i]));
        if (expert < 0 || !work->config->experts[expert].has_generator)
            return fault_set(fault, FAULT_USAGE,
                             "--experts: '%s' is no expert with a generator in '%s'",
                             list->items[i], work->config->path);
        if (!speaks_chat(&work->config->experts[expert]))
            return fault_set(
                fault, FAULT_USAGE,
                "--experts: '%s' has no \"chat\" among its 'api' in '%s', so "
                "it cannot be asked",
                list->items[i], work->config->path);
    }
    return FAULT_OK;
}

static enum fault_err open_expert(struct worklist *work, size_t i, struct fault *fault)
{
    const struct config_expert *config = &work->config->experts[i];
    const struct config_prices *prices = &config->generator.prices;
    const struct config_rates *rates =
        &price_at(prices, clock_wall_s(&clock_system))->tiers[0].rates;
    struct worklist_expert *expert = &work->experts[i];
    int64_t samples = 0;

    expert->wanted = true;
    enum fault_err err = calib_expert(work->store, config->name, &expert->row, fault);
    if (err == FAULT_OK)
        err = calib_set_prices(work->store, expert->row, rates->input_pico,
                               rates->output_pico, fault);
    if (err == FAULT_OK)
        err = calib_samples(work->store, expert->row, config->generator.model, &samples,
                            fault);
    if (samples > (int64_t)work->n_samples)
        work->n_samples =
            samples < WORKLIST_MAX_REPEAT ? (size_t)samples : WORKLIST_MAX_REPEAT;
    return err;
}

static enum fault_err open_experts(struct worklist *work,
                                   const struct option_list *experts, struct fault *fault)
{
    size_t n = work->config->n_experts;
    enum fault_err err = FAULT_OK;

    work->n_samples = work->repeat;
    for (size_t i = 0; err == FAULT_OK && i < n; i++) {
        const struct config_expert *config = &work->config->experts[i];
        if (speaks_chat(config) && expert_listed(experts, config->name))
            err = open_expert(work, i, fault);
    }
    bool any = false;
    for (size_t i = 0; i < n; i++)
        any = any || work->experts[i].wanted;
    if (err == FAULT_OK && !any)
        err = fault_set(fault, FAULT_CONFIG,
                        "'%s' has no expert with a generator that speaks chat",
                        work->config->path);
    for (size_t i = 0; err == FAULT_OK && i < n; i++) {
        if (work->experts[i].wanted)
            err = read_expert(work, i, fault);
    }
    return err;
}

enum fault_err worklist_open(struct worklist *work, const struct option_list *experts,
                             struct fault *fault)
{
    enum fault_err err = check_listed(work, experts, fault);

    if (err != FAULT_OK)
        return err;
    qsort(work->prompts, work->n_prompts, sizeof(*work->prompts), compare_rows);
    work->experts = memory_new(work->config->n_experts, sizeof(*work->experts));
    err = calib_begin(work->store, fault);
    if (err == FAULT_OK)
        err = open_experts(work, experts, fault);
    if (err == FAULT_OK)
        err = calib_commit(work->store, fault);
    return err;
}

/* -- the plan -- */

size_t worklist_known(const struct worklist *work, size_t expert, size_t prompt)
{
    size_t n = 0;

    for (size_t i = 0; i < work->repeat; i++)
        n += worklist_sample(work, expert, prompt, i)->known;
    return n;
}

void worklist_plan(struct worklist *work, size_t expert, const size_t *order)
{
    struct worklist_expert *state = &work->experts[expert];
    size_t most =
        work->limit > 0 && work->limit < work->n_prompts ? work->limit : work->n_prompts;

    free(state->plan);
    free(state->planned);
    state->plan = memory_new(work->n_prompts, sizeof(*state->plan));
    state->planned = memory_new(work->n_prompts, sizeof(*state->planned));
    state->n_plan = 0;
    /* What is known comes first, so that a limit means the same in every run. */
    for (int known = 1; known >= 0; known--) {
        for (size_t i = 0; i < work->n_prompts && state->n_plan < most; i++) {
            size_t prompt = order != NULL ? order[i] : i;
            if ((worklist_known(work, expert, prompt) > 0) == (known == 1))
                state->plan[state->n_plan++] = prompt;
        }
    }
    for (size_t i = 0; i < state->n_plan; i++)
        state->planned[state->plan[i]] = true;
}

bool worklist_planned(const struct worklist *work, size_t expert, size_t prompt)
{
    return work->experts[expert].wanted && work->experts[expert].planned[prompt];
}

static void count_questions(struct worklist *work)
{
    work->questions = work->before = 0;
    for (size_t i = 0; i < work->config->n_experts; i++) {
        const struct worklist_expert *state = &work->experts[i];
        work->questions += state->n_plan * work->repeat;
        for (size_t k = 0; k < state->n_plan; k++)
            work->before += worklist_known(work, i, state->plan[k]);
    }
}

/* -- the phase -- */

/* Number of a question: prompt * n_samples + sample. Looked at in the order sample 0 of
 * every planned prompt, sample 1 of every one, ..., then the same of what failed before. */
static enum fault_err next_question(void *context, size_t expert,
                                    struct asker_question *ret_question, bool *ret_any,
                                    struct fault *fault)
{
    struct worklist *work = context;
    struct worklist_expert *state = &work->experts[expert];
    size_t round = state->n_plan * work->repeat;

    *ret_any = false;
    for (; state->wanted && state->next < 2 * round; state->next++) {
        size_t at = state->next % round;
        size_t prompt = state->plan[at % state->n_plan], sample = at / state->n_plan;
        const struct worklist_sample *known =
            worklist_sample(work, expert, prompt, sample);
        if (known->known || known->failed != (state->next >= round))
            continue;
        state->next++;
        ret_question->prompt = prompt * work->n_samples + sample;
        *ret_any = true;
        return question_new(NULL, work->prompts[prompt].messages, work->output_tokens,
                            &ret_question->question, fault);
    }
    return FAULT_OK;
}

enum fault_err worklist_open_question(const struct worklist *work, size_t expert,
                                      size_t prompt, size_t sample, bool ask_again,
                                      bool *ret_open, struct fault *fault)
{
    char what[PHASE_WHAT_BYTES];
    struct calib_ask ask = {
        .prompt = work->prompts[prompt].row,
        .expert = work->experts[expert].row,
        .model = work->config->experts[expert].generator.model,
        .what = what,
    };
    enum calib_state state = CALIB_OPEN;
    int64_t bound;
    enum fault_err err = FAULT_OK;

    *ret_open = !worklist_sample(work, expert, prompt, sample)->known;
    if (!*ret_open || ask_again)
        return FAULT_OK;
    (void)snprintf(what, sizeof(what), ANSWER_WHAT, sample);
    err = calib_asked(work->store, &ask, &state, &bound, fault);
    *ret_open = state != CALIB_SENT;
    return err;
}

static void name_question(void *context, const struct asker_question *question,
                          struct phase_name *ret_name)
{
    const struct worklist *work = context;
    const struct worklist_prompt *prompt =
        &work->prompts[question->prompt / work->n_samples];

    ret_name->prompt = prompt->row;
    ret_name->expert = work->experts[question->expert].row;
    ret_name->prompt_id = prompt->id;
    (void)snprintf(ret_name->what, sizeof(ret_name->what), ANSWER_WHAT,
                   question->prompt % work->n_samples);
}

static enum fault_err keep_answer(void *context, const struct asker_question *question,
                                  const struct asker_answer *said, struct fault *fault)
{
    struct worklist *work = context;
    size_t prompt = question->prompt / work->n_samples;
    struct calib_answer answer = {
        .model = work->config->experts[question->expert].generator.model,
        .sample = (int64_t)(question->prompt % work->n_samples),
        .text = said->text,
        .finish_reason = said->finish_reason,
        .input_tokens = (double)said->input_tokens,
        .output_tokens = (double)said->output_tokens,
        .latency_ms = said->latency_ms,
        .cost_pico = said->cost_pico,
        .estimated = said->estimated,
    };
    enum fault_err err =
        calib_put_answer(work->store, work->prompts[prompt].row,
                         work->experts[question->expert].row, &answer, fault);

    worklist_take(work, question->expert, prompt, &answer);
    work->experts[question->expert].tokens += answer.output_tokens;
    if (err == FAULT_OK)
        err = worklist_put_cell(work, question->expert, prompt, fault);
    return err;
}

static void count_failure(void *context, const struct asker_question *question)
{
    struct worklist *work = context;

    work->experts[question->expert].failed++;
}

void worklist_phase(struct worklist *work, struct phase *ret_phase)
{
    static const struct phase_source source = { next_question, name_question, keep_answer,
                                                count_failure };

    count_questions(work);
    *ret_phase = (struct phase){
        .label = "asking",
        .source = &source,
        .context = work,
        .total = work->questions,
        .before = work->before,
    };
}

static void release_expert(struct worklist_expert *expert)
{
    free(expert->samples);
    free(expert->plan);
    free(expert->planned);
}

void worklist_release(struct worklist *work)
{
    for (size_t i = 0; i < work->n_prompts; i++) {
        free(work->prompts[i].id);
        free(work->prompts[i].messages);
        free(work->prompts[i].text);
        free(work->prompts[i].reference);
    }
    for (size_t i = 0; work->experts != NULL && i < work->config->n_experts; i++)
        release_expert(&work->experts[i]);
    free(work->prompts);
    free(work->experts);
    graders_release(&work->graders);
    *work = (struct worklist){ 0 };
}
