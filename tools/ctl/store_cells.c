/* store_cells.c - what experts did on prompts: cells, vectors, answers, spending. */
#include "tools/ctl/store.h"
#include "tools/ctl/store_private.h"

enum fault_err store_put_cell(struct store *store, int64_t prompt, int64_t expert,
                              const struct store_cell *cell, struct fault *fault)
{
    sqlite3_stmt *s = store_ready(store, STORE_PUT_CELL);
    bool bound = s != NULL && store_bind_whole(s, 1, prompt) &&
                 store_bind_whole(s, 2, expert) &&
                 store_bind_number(s, 3, cell->quality) &&
                 store_bind_number(s, 4, cell->input_tokens) &&
                 store_bind_number(s, 5, cell->output_tokens) &&
                 store_bind_whole(s, 6, cell->cost_pico) &&
                 store_bind_number(s, 7, cell->latency_ms);

    return store_run(store, s, bound, fault);
}

enum fault_err store_each_cell(struct store *store, store_cell_fn each, void *context,
                               struct fault *fault)
{
    sqlite3_stmt *s = store_ready(store, STORE_CELLS);
    bool row;
    enum fault_err err = store_next(store, s, &row, fault);

    while (err == FAULT_OK && row) {
        struct store_cell cell = {
            .quality = store_column_number(s, 2),
            .input_tokens = store_column_number(s, 3),
            .output_tokens = store_column_number(s, 4),
            .cost_pico = store_column_whole(s, 5),
            .latency_ms = store_column_number(s, 6),
        };
        err = each(context, sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), &cell,
                   fault);
        if (err == FAULT_OK)
            err = store_next(store, s, &row, fault);
    }
    (void)sqlite3_reset(s);
    return err;
}

enum fault_err store_put_vector(struct store *store, int64_t prompt, const char *embedder,
                                const char *model, const float *vector, size_t dim,
                                struct fault *fault)
{
    sqlite3_stmt *s = store_ready(store, STORE_PUT_VECTOR);
    bool bound = s != NULL && store_bind_whole(s, 1, prompt) &&
                 store_bind_text(s, 2, embedder) && store_bind_text(s, 3, model) &&
                 sqlite3_bind_blob64(s, 4, vector, dim * sizeof(*vector),
                                     SQLITE_TRANSIENT) == SQLITE_OK;

    return store_run(store, s, bound, fault);
}

enum fault_err store_each_vector(struct store *store, const char *embedder,
                                 const char *model, store_vector_fn each, void *context,
                                 struct fault *fault)
{
    sqlite3_stmt *s = store_ready(store, STORE_VECTORS);
    bool row;

    if (s == NULL || !store_bind_text(s, 1, embedder) || !store_bind_text(s, 2, model))
        return store_failed(store, fault);
    enum fault_err err = store_next(store, s, &row, fault);
    while (err == FAULT_OK && row) {
        const float *vector = sqlite3_column_blob(s, 1);
        size_t bytes = (size_t)sqlite3_column_bytes(s, 1);
        err = each(context, sqlite3_column_int64(s, 0), vector, bytes / sizeof(*vector),
                   fault);
        if (err == FAULT_OK)
            err = store_next(store, s, &row, fault);
    }
    (void)sqlite3_reset(s);
    return err;
}

enum fault_err store_put_answer(struct store *store, int64_t prompt, int64_t expert,
                                const struct store_answer *answer, struct fault *fault)
{
    sqlite3_stmt *s = store_ready(store, STORE_PUT_ANSWER);
    bool bound = s != NULL && store_bind_whole(s, 1, prompt) &&
                 store_bind_whole(s, 2, expert) && store_bind_text(s, 3, answer->model) &&
                 store_bind_whole(s, 4, answer->sample) &&
                 store_bind_text(s, 5, answer->text) &&
                 store_bind_text(s, 6, answer->finish_reason) &&
                 store_bind_number(s, 7, answer->input_tokens) &&
                 store_bind_number(s, 8, answer->output_tokens) &&
                 store_bind_whole(s, 9, answer->cost_pico) &&
                 store_bind_whole(s, 10, answer->estimated ? 1 : 0) &&
                 store_bind_number(s, 11, answer->latency_ms);

    return store_run(store, s, bound, fault);
}

enum fault_err store_each_answer(struct store *store, int64_t expert, const char *model,
                                 store_answer_fn each, void *context, struct fault *fault)
{
    sqlite3_stmt *s = store_ready(store, STORE_ANSWERS);
    bool row;

    if (s == NULL || !store_bind_whole(s, 1, expert) || !store_bind_text(s, 2, model))
        return store_failed(store, fault);
    enum fault_err err = store_next(store, s, &row, fault);
    while (err == FAULT_OK && row) {
        struct store_answer answer = {
            .model = model,
            .sample = sqlite3_column_int64(s, 1),
            .text = store_column_text(s, 2),
            .finish_reason = store_column_text(s, 3),
            .input_tokens = store_column_number(s, 4),
            .output_tokens = store_column_number(s, 5),
            .cost_pico = store_column_whole(s, 6),
            .estimated = sqlite3_column_int(s, 7) != 0,
            .latency_ms = store_column_number(s, 8),
        };
        err = each(context, sqlite3_column_int64(s, 0), expert, &answer, fault);
        if (err == FAULT_OK)
            err = store_next(store, s, &row, fault);
    }
    (void)sqlite3_reset(s);
    return err;
}

enum fault_err store_put_spending(struct store *store, int64_t prompt, int64_t expert,
                                  const char *what, int64_t bound_pico,
                                  struct fault *fault)
{
    sqlite3_stmt *s = store_ready(store, STORE_PUT_SPENDING);
    bool bound = s != NULL && store_bind_whole(s, 1, prompt) &&
                 store_bind_whole(s, 2, expert) && store_bind_text(s, 3, what) &&
                 store_bind_whole(s, 4, bound_pico);

    return store_run(store, s, bound, fault);
}
