/* outcomes.c - joins recorded outcomes of several folders by the names of their models. */
#include "tools/ctl/outcomes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/base/money.h"
#include "tools/ctl/dataset.h"
#include "tools/ctl/memory.h"

/* One folder and its splits, as named on the command line. */
struct spec {
    char *folder;
    char **splits;
    size_t n_splits;
};

static void specs_free(struct spec *specs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < specs[i].n_splits; k++)
            free(specs[i].splits[k]);
        free(specs[i].splits);
        free(specs[i].folder);
    }
    free(specs);
}

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static void add_split(struct spec *spec, const char *split)
{
    spec->splits = memory_resize(spec->splits, spec->n_splits + 1, sizeof(*spec->splits));
    spec->splits[spec->n_splits++] = memory_text(split);
}

static enum fault_err parse(const struct option_list *list, struct spec **ret_specs,
                            size_t *ret_n, struct fault *fault)
{
    struct spec *specs = memory_new(list->count, sizeof(*specs));
    size_t n = 0;
    for (size_t i = 0; i < list->count; i++) {
        const char *item = list->items[i], *colon = strrchr(item, ':');
        if (colon == NULL && n > 0 && specs[n - 1].n_splits > 0 && !is_folder(item)) {
            add_split(&specs[n - 1], item);
            continue;
        }
        struct spec *spec = &specs[n++];
        spec->folder = colon == NULL ? memory_text(item)
                                     : memory_text_n(item, (size_t)(colon - item));
        if (colon != NULL)
            add_split(spec, colon + 1);
        if (!is_folder(spec->folder)) {
            enum fault_err err =
                fault_set(fault, FAULT_INPUT, "'%s' is not a folder", spec->folder);
            specs_free(specs, n);
            return err;
        }
    }
    *ret_specs = specs;
    *ret_n = n;
    return FAULT_OK;
}

/* The model's column, made when `may_add`; SIZE_MAX when it is none. */
static size_t column(struct outcomes *outcomes, const char *name, bool may_add)
{
    for (size_t j = 0; j < outcomes->n_models; j++)
        if (strcmp(outcomes->models[j], name) == 0)
            return j;
    if (!may_add || outcomes->n_models == FUSER_MAX_GENERATORS)
        return SIZE_MAX;
    outcomes->models[outcomes->n_models] = memory_text(name);
    return outcomes->n_models++;
}

static void take_row(struct outcomes *outcomes, const struct dataset *set, size_t i,
                     const char *prefix, const size_t *columns)
{
    const struct dataset_prompt *prompt = &set->prompts[i];
    size_t at = outcomes->n++ * outcomes->n_models;
    outcomes->rows[outcomes->n - 1] = (struct outcomes_row){
        .id = memory_format("%s%s", prefix, prompt->id),
        .domain = prompt->domain == NULL ? NULL : memory_text(prompt->domain),
        .text = memory_text(prompt->text),
        .messages = memory_text(prompt->messages),
        .input_tokens = ceil((double)prompt->characters / 4),
    };
    for (size_t j = 0; j < outcomes->n_models; j++)
        outcomes->quality[at + j] = outcomes->cost_usd[at + j] = outcomes->input[at + j] =
            outcomes->output[at + j] = NAN;
    for (size_t j = 0; j < set->n_models; j++) {
        size_t to = at + columns[j];
        int64_t cost = set->cost_pico[i * set->n_models + j];
        if (columns[j] == SIZE_MAX)
            continue;
        outcomes->quality[to] = set->quality[i * set->n_models + j];
        outcomes->cost_usd[to] = cost == MONEY_NONE ? NAN : (double)cost * 1e-12;
        dataset_tokens(set, i, j, &outcomes->input[to], &outcomes->output[to]);
    }
}

static enum fault_err join(struct outcomes *outcomes, struct dataset *const *sets,
                           size_t n, bool named, struct fault *fault)
{
    size_t rows = 0;
    for (size_t s = 0; s < n; s++) {
        rows += sets[s]->n_prompts;
        for (size_t j = 0; j < sets[s]->n_models; j++) {
            size_t to = column(outcomes, sets[s]->models[j].name, !named);
            if (to == SIZE_MAX && !named)
                return fault_set(fault, FAULT_INPUT,
                                 "more than %d models: choose by --models",
                                 FUSER_MAX_GENERATORS);
            if (to != SIZE_MAX) {
                outcomes->input_pico[to] = sets[s]->models[j].input_pico;
                outcomes->output_pico[to] = sets[s]->models[j].output_pico;
            }
        }
    }
    size_t cells = rows * outcomes->n_models;
    outcomes->rows = memory_new(rows, sizeof(*outcomes->rows));
    outcomes->quality = memory_new(cells, sizeof(double));
    outcomes->cost_usd = memory_new(cells, sizeof(double));
    outcomes->input = memory_new(cells, sizeof(double));
    outcomes->output = memory_new(cells, sizeof(double));
    for (size_t s = 0; s < n; s++) {
        char prefix[32] = "";
        if (s > 0)
            (void)snprintf(prefix, sizeof(prefix), "%zu:", s);
        if (sets[s]->n_models > FUSER_MAX_GENERATORS && !named)
            return fault_set(fault, FAULT_INPUT,
                             "more than %d models: choose by --models",
                             FUSER_MAX_GENERATORS);
        size_t *of = memory_new(sets[s]->n_models, sizeof(*of));
        for (size_t j = 0; j < sets[s]->n_models; j++)
            of[j] = column(outcomes, sets[s]->models[j].name, false);
        for (size_t i = 0; i < sets[s]->n_prompts; i++)
            take_row(outcomes, sets[s], i, prefix, of);
        free(of);
    }
    return FAULT_OK;
}

static enum fault_err take_models(struct outcomes *outcomes,
                                  const struct option_list *models, struct fault *fault)
{
    for (size_t i = 0; i < models->count; i++) {
        size_t before = outcomes->n_models;
        if (column(outcomes, models->items[i], true) == SIZE_MAX ||
            outcomes->n_models == before)
            return fault_set(fault, FAULT_USAGE,
                             "--models: '%s' is one too many or named twice",
                             models->items[i]);
    }
    return FAULT_OK;
}

/* A model that was asked for and that no folder has is a typing error. */
static enum fault_err check_models(const struct outcomes *outcomes, struct fault *fault)
{
    for (size_t j = 0; j < outcomes->n_models; j++) {
        bool known = false;
        for (size_t i = 0; i < outcomes->n && !known; i++)
            known = !isnan(outcomes->quality[i * outcomes->n_models + j]);
        if (!known)
            return fault_set(fault, FAULT_INPUT, "no row knows the model '%s'",
                             outcomes->models[j]);
    }
    return FAULT_OK;
}

enum fault_err outcomes_read(const struct option_list *specs,
                             const struct option_list *models,
                             struct outcomes **ret_outcomes, struct fault *fault)
{
    struct outcomes *outcomes = memory_new(1, sizeof(*outcomes));
    struct spec *parsed = NULL;
    struct dataset **sets = NULL;
    size_t n = 0;
    enum fault_err err = parse(specs, &parsed, &n, fault);
    if (err == FAULT_OK)
        err = take_models(outcomes, models, fault);
    sets = memory_new(n + 1, sizeof(*sets));
    for (size_t s = 0; err == FAULT_OK && s < n; s++)
        err = dataset_read(parsed[s].folder, parsed[s].splits, parsed[s].n_splits, NULL,
                           NULL, &sets[s], fault);
    if (err == FAULT_OK)
        err = join(outcomes, sets, n, models->count > 0, fault);
    if (err == FAULT_OK)
        err = check_models(outcomes, fault);
    for (size_t s = 0; s < n; s++)
        dataset_free(sets[s]);
    free(sets);
    specs_free(parsed, n);
    if (err != FAULT_OK) {
        outcomes_free(outcomes);
        return err;
    }
    *ret_outcomes = outcomes;
    return FAULT_OK;
}

void outcomes_free(struct outcomes *outcomes)
{
    if (outcomes == NULL)
        return;
    for (size_t i = 0; i < outcomes->n; i++) {
        free(outcomes->rows[i].id);
        free(outcomes->rows[i].domain);
        free(outcomes->rows[i].text);
        free(outcomes->rows[i].messages);
    }
    for (size_t j = 0; j < outcomes->n_models; j++)
        free(outcomes->models[j]);
    free(outcomes->rows);
    free(outcomes->quality);
    free(outcomes->cost_usd);
    free(outcomes->input);
    free(outcomes->output);
    free(outcomes);
}
