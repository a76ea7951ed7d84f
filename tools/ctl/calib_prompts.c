/* calib_prompts.c - prompts and experts of the store. */
#include <string.h>

#include "tools/ctl/calib.h"
#include "tools/ctl/calib_private.h"

static enum fault_err calib_add_prompt(struct calib *store,
                                       const struct calib_prompt *prompt,
                                       int64_t *ret_prompt, struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_ADD_PROMPT);
    const char *split = prompt->split != NULL ? prompt->split : prompt->new_split;
    bool bound =
        s != NULL && calib_bind_text(s, 1, prompt->id) &&
        calib_bind_text(s, 2, prompt->messages) && calib_bind_text(s, 3, prompt->text) &&
        calib_bind_text(s, 4, prompt->text_version) &&
        calib_bind_text(s, 5, prompt->domain) && calib_bind_text(s, 6, split) &&
        calib_bind_text(s, 7, prompt->reference) && calib_bind_text(s, 8, prompt->grade);
    enum fault_err err = calib_run(store, s, bound, fault);

    if (err == FAULT_OK)
        *ret_prompt = sqlite3_last_insert_rowid(store->db);
    return err;
}

static enum fault_err calib_set_prompt(struct calib *store, int64_t known,
                                       const struct calib_prompt *prompt,
                                       int64_t *ret_prompt, struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_DROP_VECTORS);
    bool bound =
        s != NULL && calib_bind_whole(s, 1, known) && calib_bind_text(s, 2, prompt->text);
    enum fault_err err = calib_run(store, s, bound, fault);

    if (err != FAULT_OK)
        return err;
    s = calib_ready(store, CALIB_SET_PROMPT);
    bound =
        s != NULL && calib_bind_whole(s, 1, known) &&
        calib_bind_text(s, 2, prompt->text) &&
        calib_bind_text(s, 3, prompt->text_version) &&
        calib_bind_text(s, 4, prompt->domain) && calib_bind_text(s, 5, prompt->split) &&
        calib_bind_text(s, 6, prompt->reference) && calib_bind_text(s, 7, prompt->grade);
    err = calib_run(store, s, bound, fault);
    if (err == FAULT_OK)
        *ret_prompt = known;
    return err;
}

enum fault_err calib_put_prompt(struct calib *store, const struct calib_prompt *prompt,
                                int64_t *ret_prompt, struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_FIND_PROMPT);
    int64_t known;

    if (s == NULL || !calib_bind_text(s, 1, prompt->id))
        return calib_failed(store, fault);
    int step = sqlite3_step(s);
    if (step == SQLITE_DONE)
        return calib_add_prompt(store, prompt, ret_prompt, fault);
    if (step != SQLITE_ROW)
        return calib_failed(store, fault);
    known = sqlite3_column_int64(s, 0);
    bool same = strcmp(calib_column_text(s, 1), prompt->messages) == 0;
    (void)sqlite3_reset(s);
    if (!same)
        return fault_set(fault, FAULT_INPUT,
                         "prompt '%s' is in the store already, with another text",
                         prompt->id);
    return calib_set_prompt(store, known, prompt, ret_prompt, fault);
}

static bool split_wanted(const char *split, char *const *splits, size_t n_splits)
{
    for (size_t i = 0; i < n_splits; i++) {
        if (split != NULL && strcmp(split, splits[i]) == 0)
            return true;
    }
    return n_splits == 0;
}

enum fault_err calib_each_prompt(struct calib *store, char *const *splits,
                                 size_t n_splits, calib_prompt_fn each, void *context,
                                 struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_PROMPTS);
    bool row;
    enum fault_err err = calib_next(store, s, &row, fault);

    while (err == FAULT_OK && row) {
        struct calib_prompt prompt = {
            .id = calib_column_text(s, 1),
            .messages = calib_column_text(s, 2),
            .text = calib_column_text(s, 3),
            .text_version = calib_column_text(s, 4),
            .domain = calib_column_text(s, 5),
            .split = calib_column_text(s, 6),
            .reference = calib_column_text(s, 7),
            .grade = calib_column_text(s, 8),
        };
        if (split_wanted(prompt.split, splits, n_splits))
            err = each(context, sqlite3_column_int64(s, 0), &prompt, fault);
        if (err == FAULT_OK)
            err = calib_next(store, s, &row, fault);
    }
    (void)sqlite3_reset(s);
    return err;
}

enum fault_err calib_expert(struct calib *store, const char *name, int64_t *ret_expert,
                            struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_FIND_EXPERT);

    if (s == NULL || !calib_bind_text(s, 1, name))
        return calib_failed(store, fault);
    int step = sqlite3_step(s);
    if (step == SQLITE_ROW) {
        *ret_expert = sqlite3_column_int64(s, 0);
        (void)sqlite3_reset(s);
        return FAULT_OK;
    }
    if (step != SQLITE_DONE)
        return calib_failed(store, fault);
    s = calib_ready(store, CALIB_ADD_EXPERT);
    enum fault_err err =
        calib_run(store, s, s != NULL && calib_bind_text(s, 1, name), fault);
    if (err == FAULT_OK)
        *ret_expert = sqlite3_last_insert_rowid(store->db);
    return err;
}

enum fault_err calib_set_prices(struct calib *store, int64_t expert, int64_t input_pico,
                                int64_t output_pico, struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_SET_PRICES);
    bool bound = s != NULL && calib_bind_whole(s, 1, expert) &&
                 calib_bind_whole(s, 2, input_pico) &&
                 calib_bind_whole(s, 3, output_pico);

    return calib_run(store, s, bound, fault);
}

enum fault_err calib_each_expert(struct calib *store, calib_expert_fn each, void *context,
                                 struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_EXPERTS);
    bool row;
    enum fault_err err = calib_next(store, s, &row, fault);

    while (err == FAULT_OK && row) {
        struct calib_expert expert = {
            .expert = sqlite3_column_int64(s, 0),
            .name = calib_column_text(s, 1),
            .input_pico = calib_column_whole(s, 2),
            .output_pico = calib_column_whole(s, 3),
            .known = sqlite3_column_int64(s, 4),
        };
        err = each(context, &expert, fault);
        if (err == FAULT_OK)
            err = calib_next(store, s, &row, fault);
    }
    (void)sqlite3_reset(s);
    return err;
}
