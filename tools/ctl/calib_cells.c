/* calib_cells.c - what experts did on prompts: cells, vectors, answers, spending. */
#include "tools/ctl/calib.h"
#include "tools/ctl/calib_private.h"

enum fault_err calib_put_cell(struct calib *store, int64_t prompt, int64_t expert,
                              const struct calib_cell *cell, struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_PUT_CELL);
    bool bound =
        s != NULL && calib_bind_whole(s, 1, prompt) && calib_bind_whole(s, 2, expert) &&
        calib_bind_number(s, 3, cell->quality) &&
        calib_bind_number(s, 4, cell->input_tokens) &&
        calib_bind_number(s, 5, cell->output_tokens) &&
        calib_bind_whole(s, 6, cell->cost_pico) &&
        calib_bind_number(s, 7, cell->latency_ms) && calib_bind_text(s, 8, cell->grader);

    return calib_run(store, s, bound, fault);
}

enum fault_err calib_each_cell(struct calib *store, calib_cell_fn each, void *context,
                               struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_CELLS);
    bool row;
    enum fault_err err = calib_next(store, s, &row, fault);

    while (err == FAULT_OK && row) {
        struct calib_cell cell = {
            .quality = calib_column_number(s, 2),
            .input_tokens = calib_column_number(s, 3),
            .output_tokens = calib_column_number(s, 4),
            .cost_pico = calib_column_whole(s, 5),
            .latency_ms = calib_column_number(s, 6),
            .grader = calib_column_text(s, 7),
        };
        err = each(context, sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), &cell,
                   fault);
        if (err == FAULT_OK)
            err = calib_next(store, s, &row, fault);
    }
    (void)sqlite3_reset(s);
    return err;
}

enum fault_err calib_put_vector(struct calib *store, int64_t prompt, const char *embedder,
                                const char *model, const float *vector, size_t dim,
                                struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_PUT_VECTOR);
    bool bound = s != NULL && calib_bind_whole(s, 1, prompt) &&
                 calib_bind_text(s, 2, embedder) && calib_bind_text(s, 3, model) &&
                 sqlite3_bind_blob64(s, 4, vector, dim * sizeof(*vector),
                                     SQLITE_TRANSIENT) == SQLITE_OK;

    return calib_run(store, s, bound, fault);
}

enum fault_err calib_each_vector(struct calib *store, const char *embedder,
                                 const char *model, calib_vector_fn each, void *context,
                                 struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_VECTORS);
    bool row;

    if (s == NULL || !calib_bind_text(s, 1, embedder) || !calib_bind_text(s, 2, model))
        return calib_failed(store, fault);
    enum fault_err err = calib_next(store, s, &row, fault);
    while (err == FAULT_OK && row) {
        const float *vector = sqlite3_column_blob(s, 1);
        size_t bytes = (size_t)sqlite3_column_bytes(s, 1);
        err = each(context, sqlite3_column_int64(s, 0), vector, bytes / sizeof(*vector),
                   fault);
        if (err == FAULT_OK)
            err = calib_next(store, s, &row, fault);
    }
    (void)sqlite3_reset(s);
    return err;
}

static enum fault_err write_answer(struct calib *store, enum calib_statement which,
                                   int64_t prompt, int64_t expert,
                                   const struct calib_answer *answer, struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, which);
    bool bound = s != NULL && calib_bind_whole(s, 1, prompt) &&
                 calib_bind_whole(s, 2, expert) && calib_bind_text(s, 3, answer->model) &&
                 calib_bind_whole(s, 4, answer->sample) &&
                 calib_bind_text(s, 5, answer->text) &&
                 calib_bind_text(s, 6, answer->finish_reason) &&
                 calib_bind_number(s, 7, answer->input_tokens) &&
                 calib_bind_number(s, 8, answer->output_tokens) &&
                 calib_bind_whole(s, 9, answer->cost_pico) &&
                 calib_bind_whole(s, 10, answer->estimated ? 1 : 0) &&
                 calib_bind_number(s, 11, answer->latency_ms);

    return calib_run(store, s, bound, fault);
}

enum fault_err calib_put_answer(struct calib *store, int64_t prompt, int64_t expert,
                                const struct calib_answer *answer, struct fault *fault)
{
    return write_answer(store, CALIB_PUT_ANSWER, prompt, expert, answer, fault);
}

enum fault_err calib_add_answer(struct calib *store, int64_t prompt, int64_t expert,
                                const struct calib_answer *answer, struct fault *fault)
{
    return write_answer(store, CALIB_ADD_ANSWER, prompt, expert, answer, fault);
}

enum fault_err calib_each_answer(struct calib *store, int64_t expert, const char *model,
                                 calib_answer_fn each, void *context, struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_ANSWERS);
    bool row;

    if (s == NULL || !calib_bind_whole(s, 1, expert) || !calib_bind_text(s, 2, model))
        return calib_failed(store, fault);
    enum fault_err err = calib_next(store, s, &row, fault);
    while (err == FAULT_OK && row) {
        struct calib_answer answer = {
            .model = model,
            .sample = sqlite3_column_int64(s, 1),
            .text = calib_column_text(s, 2),
            .finish_reason = calib_column_text(s, 3),
            .input_tokens = calib_column_number(s, 4),
            .output_tokens = calib_column_number(s, 5),
            .cost_pico = calib_column_whole(s, 6),
            .estimated = sqlite3_column_int(s, 7) != 0,
            .latency_ms = calib_column_number(s, 8),
        };
        err = each(context, sqlite3_column_int64(s, 0), expert, &answer, fault);
        if (err == FAULT_OK)
            err = calib_next(store, s, &row, fault);
    }
    (void)sqlite3_reset(s);
    return err;
}

enum fault_err calib_each_usage(struct calib *store, calib_usage_fn each, void *context,
                                struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_USAGES);
    bool row;
    enum fault_err err = calib_next(store, s, &row, fault);

    while (err == FAULT_OK && row) {
        struct calib_usage usage = {
            .prompt = sqlite3_column_int64(s, 0),
            .expert = sqlite3_column_int64(s, 1),
            .output_tokens = calib_column_number(s, 2),
            .latency_ms = calib_column_number(s, 3),
            .text_bytes = sqlite3_column_int64(s, 4),
        };
        err = each(context, &usage, fault);
        if (err == FAULT_OK)
            err = calib_next(store, s, &row, fault);
    }
    (void)sqlite3_reset(s);
    return err;
}

enum fault_err calib_put_spending(struct calib *store, int64_t prompt, int64_t expert,
                                  const char *what, int64_t bound_pico,
                                  struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_PUT_SPENDING);
    bool bound = s != NULL && calib_bind_whole(s, 1, prompt) &&
                 calib_bind_whole(s, 2, expert) && calib_bind_text(s, 3, what) &&
                 calib_bind_whole(s, 4, bound_pico);

    return calib_run(store, s, bound, fault);
}
