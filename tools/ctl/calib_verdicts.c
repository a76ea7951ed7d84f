/* calib_verdicts.c - what judges and people said of answers. */
#include <math.h>

#include "tools/ctl/calib.h"
#include "tools/ctl/calib_private.h"
#include "tools/ctl/memory.h"

enum fault_err calib_answer_text(struct calib *store, const char *expert,
                                 const char *model, int64_t prompt, int64_t sample,
                                 char **ret_text, struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_ANSWER);
    bool row;

    if (s == NULL || !calib_bind_text(s, 1, expert) || !calib_bind_text(s, 2, model) ||
        !calib_bind_whole(s, 3, prompt) || !calib_bind_whole(s, 4, sample))
        return calib_failed(store, fault);
    enum fault_err err = calib_next(store, s, &row, fault);
    if (err == FAULT_OK)
        *ret_text = row ? memory_text(calib_column_text(s, 0)) : NULL;
    (void)sqlite3_reset(s);
    return err;
}

enum fault_err calib_latest_text(struct calib *store, int64_t prompt, int64_t expert,
                                 char **ret_text, struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_LATEST);
    bool row;

    if (s == NULL || !calib_bind_whole(s, 1, expert) || !calib_bind_whole(s, 2, prompt))
        return calib_failed(store, fault);
    enum fault_err err = calib_next(store, s, &row, fault);
    if (err == FAULT_OK)
        *ret_text = row ? memory_text(calib_column_text(s, 0)) : NULL;
    (void)sqlite3_reset(s);
    return err;
}

enum fault_err calib_put_verdict(struct calib *store, const struct calib_verdict *verdict,
                                 struct fault *fault)
{
    int64_t second = verdict->second != 0 ? verdict->second : MONEY_NONE; /* NULL */
    sqlite3_stmt *s = calib_ready(store, CALIB_PUT_VERDICT);
    bool bound =
        s != NULL && calib_bind_text(s, 1, verdict->judge) &&
        calib_bind_text(s, 2, verdict->model) && calib_bind_text(s, 3, verdict->shown) &&
        calib_bind_whole(s, 4, verdict->prompt) &&
        calib_bind_whole(s, 5, verdict->first) && calib_bind_whole(s, 6, second) &&
        calib_bind_text(s, 7, verdict->version) &&
        calib_bind_number(s, 8, verdict->quality) &&
        calib_bind_text(s, 9, verdict->text) &&
        calib_bind_number(s, 10, verdict->input_tokens) &&
        calib_bind_number(s, 11, verdict->output_tokens) &&
        calib_bind_whole(s, 12, verdict->cost_pico) &&
        calib_bind_whole(s, 13, verdict->estimated ? 1 : 0);

    return calib_run(store, s, bound, fault);
}

enum fault_err calib_count_verdicts(struct calib *store, const char *judge,
                                    const char *model,
                                    struct calib_verdicts *ret_verdicts,
                                    struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_COUNT_VERDICTS);
    bool row;

    if (s == NULL || !calib_bind_text(s, 1, judge) || !calib_bind_text(s, 2, model))
        return calib_failed(store, fault);
    enum fault_err err = calib_next(store, s, &row, fault);
    if (err == FAULT_OK)
        *ret_verdicts = (struct calib_verdicts){
            .n = row ? (size_t)sqlite3_column_int64(s, 0) : 0,
            .input_tokens = row ? calib_column_number(s, 1) : NAN,
            .output_tokens = row ? calib_column_number(s, 2) : NAN,
        };
    (void)sqlite3_reset(s);
    return err;
}

enum fault_err calib_find_verdict(struct calib *store, const char *judge,
                                  const char *model, const char *shown, bool *ret_found,
                                  double *ret_quality, struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_VERDICT);

    if (s == NULL || !calib_bind_text(s, 1, judge) || !calib_bind_text(s, 2, model) ||
        !calib_bind_text(s, 3, shown))
        return calib_failed(store, fault);
    enum fault_err err = calib_next(store, s, ret_found, fault);
    if (err == FAULT_OK && *ret_found)
        *ret_quality = calib_column_number(s, 0);
    (void)sqlite3_reset(s);
    return err;
}

enum fault_err calib_own_verdicts(struct calib *store, const char *judge,
                                  int64_t *ret_own, struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_OWN_VERDICTS);
    bool row;

    if (s == NULL || !calib_bind_text(s, 1, judge))
        return calib_failed(store, fault);
    enum fault_err err = calib_next(store, s, &row, fault);
    if (err == FAULT_OK && row)
        *ret_own = sqlite3_column_int64(s, 0);
    (void)sqlite3_reset(s);
    return err;
}

static bool bind_pair(sqlite3_stmt *s, const struct calib_label *label)
{
    return s != NULL && calib_bind_whole(s, 1, label->prompt) &&
           calib_bind_whole(s, 2, label->first) && calib_bind_whole(s, 3, label->second);
}

enum fault_err calib_put_label(struct calib *store, const struct calib_label *label,
                               struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_PUT_LABEL);
    const char said[] = { label->said, '\0' };

    return calib_run(store, s, bind_pair(s, label) && calib_bind_text(s, 4, said), fault);
}

enum fault_err calib_drop_label(struct calib *store, const struct calib_label *label,
                                struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_DROP_LABEL);

    return calib_run(store, s, bind_pair(s, label), fault);
}

enum fault_err calib_each_label(struct calib *store, calib_label_fn each, void *context,
                                struct fault *fault)
{
    sqlite3_stmt *s = calib_ready(store, CALIB_LABELS);
    bool row;
    enum fault_err err = calib_next(store, s, &row, fault);

    while (err == FAULT_OK && row) {
        struct calib_label label = {
            .prompt = sqlite3_column_int64(s, 0),
            .first = sqlite3_column_int64(s, 1),
            .second = sqlite3_column_int64(s, 2),
            .said = calib_column_text(s, 3)[0],
        };
        err = each(context, &label, fault);
        if (err == FAULT_OK)
            err = calib_next(store, s, &row, fault);
    }
    (void)sqlite3_reset(s);
    return err;
}
