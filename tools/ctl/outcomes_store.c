/* outcomes_store.c - a calibration store as recorded outcomes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/money.h"
#include "gateway/domain/price.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/outcomes.h"
#include "tools/ctl/question.h"

struct loading {
    const struct option_list *models;
    struct outcomes *outcomes;
    size_t room;
    int64_t *prompts; /* their rows in the store, ascending */
    int64_t experts[FUSER_MAX_GENERATORS];
};

static bool wanted(const struct option_list *models, const char *name)
{
    for (size_t i = 0; i < models->count; i++) {
        if (strcmp(models->items[i], name) == 0)
            return true;
    }
    return models->count == 0;
}

static enum fault_err take_expert(void *context, const struct calib_expert *known,
                                  struct fault *fault)
{
    struct loading *loading = context;
    struct outcomes *outcomes = loading->outcomes;
    size_t j = outcomes->n_models;

    if (known->known == 0 || !wanted(loading->models, known->name))
        return FAULT_OK;
    if (j == FUSER_MAX_GENERATORS)
        return fault_set(fault, FAULT_INPUT, "more than %d experts: choose by --models",
                         FUSER_MAX_GENERATORS);
    outcomes->models[j] = memory_text(known->name);
    outcomes->input_pico[j] = known->input_pico == MONEY_NONE ? 0 : known->input_pico;
    outcomes->output_pico[j] = known->output_pico == MONEY_NONE ? 0 : known->output_pico;
    loading->experts[j] = known->expert;
    outcomes->n_models++;
    return FAULT_OK;
}

/* What the gateway will expect of the same request: the system prompt and earlier turns cost, too,
 * though they are not routed by. */
static enum fault_err expected_tokens(const struct calib_prompt *known,
                                      double *ret_tokens, struct fault *fault)
{
    static const struct config_generator plain = { 0 };
    struct question *question = NULL;
    enum fault_err err = question_new(NULL, known->messages, 0, &question, fault);

    if (err != FAULT_OK)
        return err;
    *ret_tokens = (double)price_prompt_expected(&plain, question_chat(question));
    question_free(question);
    return FAULT_OK;
}

static enum fault_err take_prompt(void *context, int64_t prompt,
                                  const struct calib_prompt *known, struct fault *fault)
{
    struct loading *loading = context;
    struct outcomes *outcomes = loading->outcomes;

    double tokens = 0;
    enum fault_err err = expected_tokens(known, &tokens, fault);

    if (err != FAULT_OK)
        return err;
    if (outcomes->n == loading->room) {
        loading->room = loading->room > 0 ? loading->room * 2 : 1024;
        outcomes->rows =
            memory_resize(outcomes->rows, loading->room, sizeof(*outcomes->rows));
        loading->prompts =
            memory_resize(loading->prompts, loading->room, sizeof(*loading->prompts));
    }
    loading->prompts[outcomes->n] = prompt;
    outcomes->rows[outcomes->n++] = (struct outcomes_row){
        .id = memory_text(known->id),
        .domain = known->domain == NULL ? NULL : memory_text(known->domain),
        .text = memory_text(known->text),
        .messages = memory_text(known->messages),
        .input_tokens = tokens,
    };
    return FAULT_OK;
}

static int by_number(const void *a, const void *b)
{
    const int64_t *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

static enum fault_err take_cell(void *context, int64_t prompt, int64_t expert,
                                const struct calib_cell *cell, struct fault *fault)
{
    struct loading *loading = context;
    struct outcomes *outcomes = loading->outcomes;
    const int64_t *at = bsearch(&prompt, loading->prompts, outcomes->n,
                                sizeof(*loading->prompts), by_number);

    (void)fault;
    for (size_t j = 0; at != NULL && j < outcomes->n_models; j++) {
        size_t to = (size_t)(at - loading->prompts) * outcomes->n_models + j;
        if (loading->experts[j] != expert)
            continue;
        outcomes->quality[to] = cell->quality;
        outcomes->cost_usd[to] =
            cell->cost_pico == MONEY_NONE ? NAN : money_to_usd(cell->cost_pico);
        outcomes->input[to] = cell->input_tokens;
        outcomes->output[to] = cell->output_tokens;
    }
    return FAULT_OK;
}

static double *unknown(size_t n)
{
    double *cells = memory_new(n, sizeof(*cells));

    for (size_t i = 0; i < n; i++)
        cells[i] = NAN;
    return cells;
}

enum fault_err outcomes_of_store(struct calib *store, const struct option_list *splits,
                                 const struct option_list *models,
                                 struct outcomes **ret_outcomes, int64_t **ret_prompts,
                                 struct fault *fault)
{
    struct loading loading = { .models = models,
                               .outcomes = memory_new(1, sizeof(struct outcomes)) };
    struct outcomes *outcomes = loading.outcomes;
    enum fault_err err = calib_each_expert(store, take_expert, &loading, fault);

    if (err == FAULT_OK && outcomes->n_models == 0)
        err = fault_set(fault, FAULT_INPUT, "the store knows no quality of any expert");
    if (err == FAULT_OK)
        err = calib_each_prompt(store, splits->items, splits->count, take_prompt,
                                &loading, fault);
    if (err == FAULT_OK && outcomes->n == 0)
        err = fault_set(fault, FAULT_INPUT, "the store has no such prompts");
    if (err == FAULT_OK) {
        size_t cells = outcomes->n * outcomes->n_models;
        outcomes->quality = unknown(cells);
        outcomes->cost_usd = unknown(cells);
        outcomes->input = unknown(cells);
        outcomes->output = unknown(cells);
        err = calib_each_cell(store, take_cell, &loading, fault);
    }
    if (err != FAULT_OK) {
        free(loading.prompts);
        outcomes_free(outcomes);
        return err;
    }
    *ret_outcomes = outcomes;
    *ret_prompts = loading.prompts;
    return FAULT_OK;
}
