/* calib_asked.c - which questions are under way, so that a killed run asks none twice. */
#include "tools/ctl/calib.h"
#include "tools/ctl/calib_private.h"

enum fault_err calib_samples(struct calib *store, int64_t expert, const char *model,
                             int64_t *ret_samples, struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_SAMPLES);
    bool row;

    if (s == NULL || !calib_bind_whole(s, 1, expert) || !calib_bind_text(s, 2, model))
        return calib_failed(store, fault);
    enum fault_err err = calib_next(store, s, &row, fault);
    if (err == FAULT_OK && row)
        *ret_samples = sqlite3_column_int64(s, 0);
    (void)sqlite3_reset(s);
    return err;
}

static bool bind_ask(sqlite3_stmt *s, const struct calib_ask *ask)
{
    return s != NULL && calib_bind_whole(s, 1, ask->expert) &&
           calib_bind_text(s, 2, ask->model) && calib_bind_whole(s, 3, ask->prompt) &&
           calib_bind_text(s, 4, ask->what);
}

enum fault_err calib_put_sent(struct calib *store, const struct calib_ask *ask,
                              int64_t bound_pico, struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_PUT_ASKED);
    bool bound = bind_ask(s, ask) && calib_bind_whole(s, 5, bound_pico) &&
                 calib_bind_text(s, 6, NULL);

    return calib_run(store, s, bound, fault);
}

enum fault_err calib_put_failed(struct calib *store, const struct calib_ask *ask,
                                const char *failure, struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_PUT_ASKED);
    bool bound = bind_ask(s, ask) && calib_bind_whole(s, 5, MONEY_NONE) &&
                 calib_bind_text(s, 6, failure);

    return calib_run(store, s, bound, fault);
}

enum fault_err calib_drop_asked(struct calib *store, const struct calib_ask *ask,
                                struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_DROP_ASKED);

    return calib_run(store, s, bind_ask(s, ask), fault);
}

enum fault_err calib_asked(struct calib *store, const struct calib_ask *ask,
                           enum calib_state *ret_state, int64_t *ret_bound_pico,
                           struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_ASKED);
    bool row;

    if (!bind_ask(s, ask))
        return calib_failed(store, fault);
    enum fault_err err = calib_next(store, s, &row, fault);
    if (err != FAULT_OK)
        return err;
    *ret_state = CALIB_OPEN;
    *ret_bound_pico = 0;
    if (row) {
        bool failed = calib_column_text(s, 1) != NULL;
        *ret_state = failed ? CALIB_FAILED : CALIB_SENT;
        *ret_bound_pico = failed ? 0 : calib_column_whole(s, 0);
    }
    (void)sqlite3_reset(s);
    return FAULT_OK;
}

enum fault_err calib_each_asked(struct calib *store, int64_t expert, const char *model,
                                calib_asked_fn each, void *context, struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_EACH_ASKED);
    bool row;

    if (s == NULL || !calib_bind_whole(s, 1, expert) || !calib_bind_text(s, 2, model))
        return calib_failed(store, fault);
    enum fault_err err = calib_next(store, s, &row, fault);
    while (err == FAULT_OK && row) {
        struct calib_ask ask = {
            .prompt = sqlite3_column_int64(s, 0),
            .expert = expert,
            .model = model,
            .what = calib_column_text(s, 1),
        };
        bool failed = calib_column_text(s, 3) != NULL;
        err = each(context, &ask, failed ? CALIB_FAILED : CALIB_SENT,
                   failed ? 0 : calib_column_whole(s, 2), fault);
        if (err == FAULT_OK)
            err = calib_next(store, s, &row, fault);
    }
    (void)sqlite3_reset(s);
    return err;
}
