/* worklist.c - prompts and earlier answers become a list of what is still to be asked. */
#include "tools/ctl/worklist.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/domain/price.h"
#include "gateway/domain/routing_text.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/prompts.h"

/* -- prompts -- */

static enum fault_err take_prompt(void *context, const struct prompts_item *item,
                                  struct fault *fault)
{
    struct worklist *work = context;
    const char *word = item->grade != NULL ? item->grade : work->grade;
    struct worklist_prompt prompt = { 0 };
    struct str text = question_text(item->question);

    if (word == NULL || !grade_find(word, &prompt.grade))
        return fault_set(fault, FAULT_INPUT,
                         "there is no 'grade', and no --grade is given");
    if (item->reference == NULL)
        return fault_set(fault, FAULT_INPUT, "'reference' is missing, '%s' needs it",
                         word);
    enum fault_err err = grade_check(prompt.grade, item->reference, fault);
    if (err != FAULT_OK)
        return err;
    char *routing = memory_text_n(text.p, text.n);
    struct calib_prompt kept = {
        .id = item->id,
        .messages = item->messages,
        .text = routing,
        .text_version = ROUTING_TEXT_VERSION,
        .domain = item->domain,
        .split = item->split,
        .reference = item->reference,
        .grade = word,
    };
    err = calib_put_prompt(work->store, &kept, &prompt.row, fault);
    free(routing);
    if (err != FAULT_OK)
        return err;
    prompt.id = memory_text(item->id);
    prompt.messages = memory_text(item->messages);
    prompt.reference = memory_text(item->reference);
    if (work->n_prompts == work->room) {
        work->room = work->room > 0 ? work->room * 2 : 256;
        work->prompts = memory_resize(work->prompts, work->room, sizeof(prompt));
    }
    work->prompts[work->n_prompts++] = prompt;
    return FAULT_OK;
}

enum fault_err worklist_read(struct worklist *work, const char *path, struct fault *fault)
{
    enum fault_err err = calib_begin(work->store, fault);

    if (err == FAULT_OK)
        err = prompts_read(path, take_prompt, work, fault);
    if (err == FAULT_OK)
        err = calib_commit(work->store, fault);
    return err;
}

static int compare_rows(const void *a, const void *b)
{
    const struct worklist_prompt *left = a, *right = b;

    return (left->row > right->row) - (left->row < right->row);
}

static bool find_row(const struct worklist *work, int64_t row, size_t *ret_prompt)
{
    struct worklist_prompt wanted = { .row = row };
    const struct worklist_prompt *found =
        bsearch(&wanted, work->prompts, work->n_prompts, sizeof(wanted), compare_rows);

    if (found == NULL)
        return false;
    *ret_prompt = (size_t)(found - work->prompts);
    return true;
}

/* -- grading -- */

/* The cell that follows from an answer. */
static enum fault_err keep_cell(struct worklist *work, size_t expert, size_t prompt,
                                const struct calib_answer *answer, struct fault *fault)
{
    const struct worklist_prompt *asked = &work->prompts[prompt];
    struct calib_cell cell = {
        .quality = grade_answer(asked->grade, asked->reference, answer->text),
        .input_tokens = answer->input_tokens,
        .output_tokens = answer->output_tokens,
        .latency_ms = answer->latency_ms,
        .cost_pico = answer->cost_pico,
    };

    work->experts[expert].known[prompt] = true;
    report_add(&work->report->lines[expert], cell.quality, cell.cost_pico,
               cell.latency_ms);
    return calib_put_cell(work->store, asked->row, work->experts[expert].row, &cell,
                          fault);
}

/* An answer of an earlier run: paid for, graded again. */
static enum fault_err take_answer(void *context, int64_t prompt_row, int64_t expert_row,
                                  const struct calib_answer *answer, struct fault *fault)
{
    struct worklist *work = context;
    size_t prompt;

    (void)expert_row;
    if (answer->sample != 0 || !find_row(work, prompt_row, &prompt))
        return FAULT_OK;
    work->before++;
    return keep_cell(work, work->reading, prompt, answer, fault);
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

    work->reading = i;
    work->questions += work->n_prompts;
    expert->wanted = true;
    expert->known = memory_new(work->n_prompts, sizeof(bool));
    enum fault_err err = calib_expert(work->store, config->name, &expert->row, fault);
    if (err == FAULT_OK)
        err = calib_set_prices(work->store, expert->row, rates->input_pico,
                               rates->output_pico, fault);
    if (err == FAULT_OK)
        err = calib_each_answer(work->store, expert->row, config->generator.model,
                                take_answer, work, fault);
    return err;
}

enum fault_err worklist_open(struct worklist *work, const struct option_list *experts,
                             struct fault *fault)
{
    size_t n = work->config->n_experts;
    enum fault_err err = check_listed(work, experts, fault);

    if (err != FAULT_OK)
        return err;
    qsort(work->prompts, work->n_prompts, sizeof(*work->prompts), compare_rows);
    work->experts = memory_new(n, sizeof(*work->experts));
    work->report = report_new(n);
    err = calib_begin(work->store, fault);
    for (size_t i = 0; err == FAULT_OK && i < n; i++) {
        const struct config_expert *config = &work->config->experts[i];
        work->report->lines[i].name = config->name;
        if (speaks_chat(config) && expert_listed(experts, config->name))
            err = open_expert(work, i, fault);
    }
    if (err == FAULT_OK && work->questions == 0)
        err = fault_set(fault, FAULT_CONFIG,
                        "'%s' has no expert with a generator that speaks chat",
                        work->config->path);
    if (err == FAULT_OK)
        err = calib_commit(work->store, fault);
    return err;
}

bool worklist_next(struct worklist *work, size_t expert, size_t *ret_prompt)
{
    struct worklist_expert *state = &work->experts[expert];

    if (!state->wanted)
        return false;
    while (state->next < work->n_prompts && state->known[state->next])
        state->next++;
    if (state->next == work->n_prompts)
        return false;
    *ret_prompt = state->next++;
    return true;
}

enum fault_err worklist_keep(struct worklist *work, const struct asker_question *question,
                             const struct asker_answer *said, struct fault *fault)
{
    const struct worklist_prompt *prompt = &work->prompts[question->prompt];
    int64_t expert = work->experts[question->expert].row;
    enum fault_err err = calib_begin(work->store, fault);

    if (err == FAULT_OK && said->lost_pico > 0)
        err = calib_put_spending(work->store, prompt->row, expert,
                                 "a call of unknown fate", said->lost_pico, fault);
    if (err == FAULT_OK && said->ok) {
        struct calib_answer answer = {
            .model = work->config->experts[question->expert].generator.model,
            .text = said->text,
            .finish_reason = said->finish_reason,
            .input_tokens = (double)said->input_tokens,
            .output_tokens = (double)said->output_tokens,
            .latency_ms = said->latency_ms,
            .cost_pico = said->cost_pico,
            .estimated = said->estimated,
        };
        err = calib_put_answer(work->store, prompt->row, expert, &answer, fault);
        if (err == FAULT_OK)
            err = keep_cell(work, question->expert, question->prompt, &answer, fault);
    }
    if (err == FAULT_OK)
        err = calib_commit(work->store, fault);
    return err;
}

void worklist_release(struct worklist *work)
{
    for (size_t i = 0; i < work->n_prompts; i++) {
        free(work->prompts[i].id);
        free(work->prompts[i].messages);
        free(work->prompts[i].reference);
    }
    for (size_t i = 0; work->experts != NULL && i < work->config->n_experts; i++)
        free(work->experts[i].known);
    free(work->prompts);
    free(work->experts);
    report_free(work->report);
    *work = (struct worklist){ 0 };
}
