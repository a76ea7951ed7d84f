/* store_prompts.c - prompts and experts of the store. */
#include <string.h>

#include "tools/ctl/store.h"
#include "tools/ctl/store_private.h"

static enum fault_err store_add_prompt(struct store *store,
                                       const struct store_prompt *prompt,
                                       int64_t *ret_prompt, struct fault *fault)
{
    sqlite3_stmt *s = store_ready(store, STORE_ADD_PROMPT);
    bool bound =
        s != NULL && store_bind_text(s, 1, prompt->id) &&
        store_bind_text(s, 2, prompt->messages) && store_bind_text(s, 3, prompt->text) &&
        store_bind_text(s, 4, prompt->text_version) &&
        store_bind_text(s, 5, prompt->domain) && store_bind_text(s, 6, prompt->split) &&
        store_bind_text(s, 7, prompt->reference) && store_bind_text(s, 8, prompt->grade);
    enum fault_err err = store_run(store, s, bound, fault);

    if (err == FAULT_OK)
        *ret_prompt = sqlite3_last_insert_rowid(store->db);
    return err;
}

static enum fault_err store_set_prompt(struct store *store, int64_t known,
                                       const struct store_prompt *prompt,
                                       int64_t *ret_prompt, struct fault *fault)
{
    sqlite3_stmt *s = store_ready(store, STORE_DROP_VECTORS);
    bool bound =
        s != NULL && store_bind_whole(s, 1, known) && store_bind_text(s, 2, prompt->text);
    enum fault_err err = store_run(store, s, bound, fault);

    if (err != FAULT_OK)
        return err;
    s = store_ready(store, STORE_SET_PROMPT);
    bound =
        s != NULL && store_bind_whole(s, 1, known) &&
        store_bind_text(s, 2, prompt->text) &&
        store_bind_text(s, 3, prompt->text_version) &&
        store_bind_text(s, 4, prompt->domain) && store_bind_text(s, 5, prompt->split) &&
        store_bind_text(s, 6, prompt->reference) && store_bind_text(s, 7, prompt->grade);
    err = store_run(store, s, bound, fault);
    if (err == FAULT_OK)
        *ret_prompt = known;
    return err;
}

enum fault_err store_put_prompt(struct store *store, const struct store_prompt *prompt,
                                int64_t *ret_prompt, struct fault *fault)
{
    sqlite3_stmt *s = store_ready(store, STORE_FIND_PROMPT);
    int64_t known;

    if (s == NULL || !store_bind_text(s, 1, prompt->id))
        return store_failed(store, fault);
    int step = sqlite3_step(s);
    if (step == SQLITE_DONE)
        return store_add_prompt(store, prompt, ret_prompt, fault);
    if (step != SQLITE_ROW)
        return store_failed(store, fault);
    known = sqlite3_column_int64(s, 0);
    bool same = strcmp(store_column_text(s, 1), prompt->messages) == 0;
    (void)sqlite3_reset(s);
    if (!same)
        return fault_set(fault, FAULT_INPUT,
                         "prompt '%s' is in the store already, with another text",
                         prompt->id);
    return store_set_prompt(store, known, prompt, ret_prompt, fault);
}

static bool split_wanted(const char *split, char *const *splits, size_t n_splits)
{
    for (size_t i = 0; i < n_splits; i++) {
        if (split != NULL && strcmp(split, splits[i]) == 0)
            return true;
    }
    return n_splits == 0;
}

enum fault_err store_each_prompt(struct store *store, char *const *splits,
                                 size_t n_splits, store_prompt_fn each, void *context,
                                 struct fault *fault)
{
    sqlite3_stmt *s = store_ready(store, STORE_PROMPTS);
    bool row;
    enum fault_err err = store_next(store, s, &row, fault);

    while (err == FAULT_OK && row) {
        struct store_prompt prompt = {
            .id = store_column_text(s, 1),
            .messages = store_column_text(s, 2),
            .text = store_column_text(s, 3),
            .text_version = store_column_text(s, 4),
            .domain = store_column_text(s, 5),
            .split = store_column_text(s, 6),
            .reference = store_column_text(s, 7),
            .grade = store_column_text(s, 8),
        };
        if (split_wanted(prompt.split, splits, n_splits))
            err = each(context, sqlite3_column_int64(s, 0), &prompt, fault);
        if (err == FAULT_OK)
            err = store_next(store, s, &row, fault);
    }
    (void)sqlite3_reset(s);
    return err;
}

enum fault_err store_expert(struct store *store, const char *name, int64_t *ret_expert,
                            struct fault *fault)
{
    sqlite3_stmt *s = store_ready(store, STORE_FIND_EXPERT);

    if (s == NULL || !store_bind_text(s, 1, name))
        return store_failed(store, fault);
    int step = sqlite3_step(s);
    if (step == SQLITE_ROW) {
        *ret_expert = sqlite3_column_int64(s, 0);
        (void)sqlite3_reset(s);
        return FAULT_OK;
    }
    if (step != SQLITE_DONE)
        return store_failed(store, fault);
    s = store_ready(store, STORE_ADD_EXPERT);
    enum fault_err err =
        store_run(store, s, s != NULL && store_bind_text(s, 1, name), fault);
    if (err == FAULT_OK)
        *ret_expert = sqlite3_last_insert_rowid(store->db);
    return err;
}

enum fault_err store_set_prices(struct store *store, int64_t expert, int64_t input_pico,
                                int64_t output_pico, struct fault *fault)
{
    sqlite3_stmt *s = store_ready(store, STORE_SET_PRICES);
    bool bound = s != NULL && store_bind_whole(s, 1, expert) &&
                 store_bind_whole(s, 2, input_pico) &&
                 store_bind_whole(s, 3, output_pico);

    return store_run(store, s, bound, fault);
}

enum fault_err store_each_expert(struct store *store, store_expert_fn each, void *context,
                                 struct fault *fault)
{
    sqlite3_stmt *s = store_ready(store, STORE_EXPERTS);
    bool row;
    enum fault_err err = store_next(store, s, &row, fault);

    while (err == FAULT_OK && row) {
        struct store_expert expert = {
            .expert = sqlite3_column_int64(s, 0),
            .name = store_column_text(s, 1),
            .input_pico = store_column_whole(s, 2),
            .output_pico = store_column_whole(s, 3),
            .known = sqlite3_column_int64(s, 4),
        };
        err = each(context, &expert, fault);
        if (err == FAULT_OK)
            err = store_next(store, s, &row, fault);
    }
    (void)sqlite3_reset(s);
    return err;
}
