/* rowset.c - chooses what goes into the rows, completes it, and carries it over. */
#include "tools/ctl/rowset.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/money.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/recut.h"

enum fault_err rowset_fuser_fault(enum fuser_err code, const struct fuser_error *error,
                                  struct fault *fault)
{
    return fault_set(fault, FAULT_FUSER, "%s",
                     error->text[0] != '\0' ? error->text : fuser_err_text(code));
}

/* -- who and with what -- */

static bool listed(const struct option_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], name) == 0)
            return true;
    }
    return list->count == 0;
}

static enum fault_err take_expert(void *context, const struct calib_expert *known,
                                  struct fault *fault)
{
    struct rowset *set = context;

    if (known->known == 0 || !listed(set->wish.experts, known->name))
        return FAULT_OK;
    if (set->n_experts == FUSER_MAX_GENERATORS)
        return fault_set(fault, FAULT_INPUT,
                         "the store has more than %d experts; choose with --experts",
                         FUSER_MAX_GENERATORS);
    set->experts[set->n_experts].row = known->expert;
    set->experts[set->n_experts++].name = memory_text(known->name);
    return FAULT_OK;
}

static enum fault_err find_experts(struct rowset *set, struct fault *fault)
{
    const struct option_list *wanted = set->wish.experts;
    enum fault_err err = calib_each_expert(set->wish.store, take_expert, set, fault);

    for (size_t i = 0; err == FAULT_OK && i < wanted->count; i++) {
        bool found = false;
        for (size_t j = 0; j < set->n_experts; j++)
            found = found || strcmp(set->experts[j].name, wanted->items[i]) == 0;
        if (!found)
            err = fault_set(fault, FAULT_USAGE,
                            "--experts: the store knows no quality of '%s'",
                            wanted->items[i]);
    }
    if (err == FAULT_OK && set->n_experts == 0)
        err =
            fault_set(fault, FAULT_INPUT, "the store '%s' knows no quality of any expert",
                      set->wish.calib_path);
    return err;
}

static enum fault_err find_remote(struct rowset *set, const char *name,
                                  struct fuser_embedder_info *info, struct fault *fault)
{
    if (set->wish.config == NULL)
        return fault_set(fault, FAULT_USAGE,
                         "embedder '%s' is not built in: --config says where to ask it",
                         name);
    int expert = config_find_expert(set->wish.config, str_of(name));
    if (expert < 0 || !set->wish.config->experts[expert].has_embedding)
        return fault_set(fault, FAULT_USAGE,
                         "'%s' is neither surface nor lexical nor an expert with an "
                         "embedding in '%s'",
                         name, set->wish.config->path);
    const struct config_expert *config = &set->wish.config->experts[expert];
    if (strlen(config->embedding.model) >= sizeof(info->model))
        return fault_set(fault, FAULT_CONFIG, "the model's name of '%s' is too long",
                         name);
    info->kind = FUSER_REMOTE;
    (void)snprintf(info->model, sizeof(info->model), "%s", config->embedding.model);
    set->remotes[set->n_embedders] = config;
    return FAULT_OK;
}

static enum fault_err find_embedders(struct rowset *set, struct fault *fault)
{
    const struct option_list *wanted = set->wish.embedders;

    if (wanted->count > FUSER_MAX_EMBEDDERS)
        return fault_set(fault, FAULT_USAGE, "--embedders: at most %d",
                         FUSER_MAX_EMBEDDERS);
    for (size_t i = 0; i < wanted->count; i++) {
        struct fuser_embedder_info *info = &set->embedders[i];
        const char *name = wanted->items[i];
        enum fault_err err = FAULT_OK;
        if (strlen(name) >= sizeof(info->name))
            return fault_set(fault, FAULT_USAGE, "--embedders: a name is too long");
        (void)snprintf(info->name, sizeof(info->name), "%s", name);
        if (strcmp(name, "surface") == 0)
            info->kind = FUSER_SURFACE;
        else if (strcmp(name, "lexical") == 0)
            info->kind = FUSER_LEXICAL;
        else
            err = find_remote(set, name, info, fault);
        if (err != FAULT_OK)
            return err;
        set->n_embedders++;
    }
    return FAULT_OK;
}

/* -- prompts and vectors -- */

static enum fault_err take_prompt(void *context, int64_t row,
                                  const struct calib_prompt *known, struct fault *fault)
{
    struct rowset *set = context;

    (void)fault;
    if (set->n_prompts == set->room) {
        set->room = set->room > 0 ? set->room * 2 : 1024;
        set->prompts = memory_resize(set->prompts, set->room, sizeof(*set->prompts));
    }
    set->prompts[set->n_prompts++] = (struct rowset_prompt){
        .row = row,
        .text = memory_text(known->text),
    };
    return FAULT_OK;
}

static int compare_rows(const void *a, const void *b)
{
    const struct rowset_prompt *left = a, *right = b;

    return (left->row > right->row) - (left->row < right->row);
}

static struct rowset_prompt *find_prompt(const struct rowset *set, int64_t row)
{
    struct rowset_prompt wanted = { .row = row };

    return bsearch(&wanted, set->prompts, set->n_prompts, sizeof(wanted), compare_rows);
}

/* First pass over the vectors: which are there, and how wide they are. */
static enum fault_err note_vector(void *context, int64_t row, const float *vector,
                                  size_t dim, struct fault *fault)
{
    struct rowset *set = context;
    struct fuser_embedder_info *info = &set->embedders[set->embedder];
    struct rowset_prompt *prompt = find_prompt(set, row);

    (void)vector;
    if (prompt == NULL)
        return FAULT_OK;
    if (info->dim == 0)
        info->dim = (uint32_t)dim;
    if (info->dim != dim)
        return fault_set(fault, FAULT_INPUT,
                         "the store has vectors of '%s' with %u and with %zu numbers",
                         info->name, info->dim, dim);
    prompt->has_vector = true;
    return FAULT_OK;
}

static enum fault_err go_online(struct rowset *set, struct fault *fault)
{
    if (set->online)
        return FAULT_OK;
    enum fault_err err = network_init(&set->network, VECTORS_IN_FLIGHT, fault);
    set->online = true;
    return err;
}

/* Fetches what the store lacks of one remote embedder. */
static enum fault_err complete_vectors(struct rowset *set, struct fault *fault)
{
    const struct config_expert *remote = set->remotes[set->embedder];
    struct vectors_text *texts = memory_new(set->n_prompts, sizeof(*texts));
    struct vectors_fetched fetched = { 0 };
    enum fault_err err = FAULT_OK;
    size_t n = 0;

    for (size_t i = 0; i < set->n_prompts; i++)
        set->prompts[i].has_vector = false;
    err = calib_each_vector(set->wish.store, remote->name, remote->embedding.model,
                            note_vector, set, fault);
    for (size_t i = 0; i < set->n_prompts; i++) {
        const struct rowset_prompt *prompt = &set->prompts[i];
        if (!prompt->has_vector && prompt->text[0] != '\0')
            texts[n++] = (struct vectors_text){ prompt->row, prompt->text };
    }
    if (err == FAULT_OK && n > 0)
        err = go_online(set, fault);
    if (err == FAULT_OK && n > 0) {
        err = vectors_fetch(&set->network, remote, set->wish.store, texts, n, &fetched,
                            fault);
        set->fetched.texts += fetched.texts;
        set->fetched.cost_pico = money_add(set->fetched.cost_pico, fetched.cost_pico);
    }
    if (err == FAULT_OK && n > 0) /* how wide they are */
        err = calib_each_vector(set->wish.store, remote->name, remote->embedding.model,
                                note_vector, set, fault);
    free(texts);
    return err;
}

static enum fault_err read_prompts(struct rowset *set, struct fault *fault)
{
    const struct option_list *splits = set->wish.splits;
    enum fault_err err = calib_each_prompt(set->wish.store, splits->items, splits->count,
                                           take_prompt, set, fault);

    if (err == FAULT_OK && set->n_prompts == 0)
        err = fault_set(fault, FAULT_INPUT, "the store '%s' has no such prompts",
                        set->wish.calib_path);
    for (set->embedder = 0; err == FAULT_OK && set->embedder < set->n_embedders;
         set->embedder++) {
        if (set->remotes[set->embedder] != NULL)
            err = complete_vectors(set, fault);
    }
    return err;
}

/* -- rows -- */

static enum fault_err add_row(void *context, int64_t row,
                              const struct calib_prompt *known, struct fault *fault)
{
    struct rowset *set = context;
    struct rowset_prompt *prompt = find_prompt(set, row);
    struct fuser_error error = { 0 };

    if (prompt == NULL)
        return FAULT_OK;
    enum fuser_err err =
        fuser_rows_add(set->filling, known->id, known->domain, known->text,
                       strlen(known->text), &prompt->fuser_row, &error);
    return err == FUSER_OK ? FAULT_OK : rowset_fuser_fault(err, &error, fault);
}

static float number_of(double value)
{
    return isnan(value) ? NAN : (float)value;
}

static enum fault_err add_cell(void *context, int64_t row, int64_t expert,
                               const struct calib_cell *known, struct fault *fault)
{
    struct rowset *set = context;
    struct rowset_prompt *prompt = find_prompt(set, row);
    struct fuser_error error = { 0 };
    struct fuser_cell cell = {
        .quality = number_of(known->quality),
        .input_tokens = number_of(known->input_tokens),
        .output_tokens = number_of(known->output_tokens),
        .latency_ms = number_of(known->latency_ms),
    };

    for (size_t j = 0; prompt != NULL && j < set->n_experts; j++) {
        if (set->experts[j].row != expert)
            continue;
        enum fuser_err err =
            fuser_rows_set_cell(set->filling, prompt->fuser_row, j, &cell, &error);
        if (err != FUSER_OK)
            return rowset_fuser_fault(err, &error, fault);
    }
    return FAULT_OK;
}

static enum fault_err add_vector(void *context, int64_t row, const float *vector,
                                 size_t dim, struct fault *fault)
{
    struct rowset *set = context;
    struct rowset_prompt *prompt = find_prompt(set, row);
    struct fuser_error error = { 0 };

    if (prompt == NULL)
        return FAULT_OK;
    enum fuser_err err = fuser_rows_set_vector(set->filling, prompt->fuser_row,
                                               set->embedder, vector, dim, &error);
    return err == FUSER_OK ? FAULT_OK : rowset_fuser_fault(err, &error, fault);
}

static enum fault_err fill(struct rowset *set, struct fault *fault)
{
    enum fault_err err = calib_each_prompt(set->wish.store, NULL, 0, add_row, set, fault);

    if (err == FAULT_OK)
        err = calib_each_cell(set->wish.store, add_cell, set, fault);
    for (set->embedder = 0; err == FAULT_OK && set->embedder < set->n_embedders;
         set->embedder++) {
        const struct config_expert *remote = set->remotes[set->embedder];
        if (remote != NULL)
            err = calib_each_vector(set->wish.store, remote->name,
                                    remote->embedding.model, add_vector, set, fault);
    }
    return err;
}

enum fault_err rowset_rows(struct rowset *set, struct fuser_rows **ret_rows,
                           struct fault *fault)
{
    const char *names[FUSER_MAX_GENERATORS];
    struct fuser_error error = { 0 };

    for (size_t j = 0; j < set->n_experts; j++)
        names[j] = set->experts[j].name;
    enum fuser_err code = fuser_rows_new(names, set->n_experts, set->embedders,
                                         set->n_embedders, &set->filling, &error);
    if (code != FUSER_OK)
        return rowset_fuser_fault(code, &error, fault);
    enum fault_err err = fill(set, fault);
    if (err == FAULT_OK)
        *ret_rows = set->filling;
    else
        fuser_rows_free(set->filling);
    set->filling = NULL;
    return err;
}

enum fault_err rowset_open(struct rowset *set, const struct rowset_wish *wish,
                           struct fault *fault)
{
    *set = (struct rowset){ .wish = *wish };
    enum fault_err err = find_embedders(set, fault);
    if (err == FAULT_OK)
        err = find_experts(set, fault);
    if (err == FAULT_OK)
        err = recut_prompts(wish->store, wish->splits, wish->rule, &set->n_recut, fault);
    if (err == FAULT_OK)
        err = read_prompts(set, fault);
    return err;
}

void rowset_release(struct rowset *set)
{
    if (set->online)
        network_release(&set->network);
    for (size_t i = 0; i < set->n_prompts; i++)
        free(set->prompts[i].text);
    free(set->prompts);
    for (size_t j = 0; j < set->n_experts; j++)
        free(set->experts[j].name);
    *set = (struct rowset){ 0 };
}
