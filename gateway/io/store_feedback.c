/* store_feedback.c - the questions of store_feedback.h as statements. */
#include "gateway/io/store_feedback.h"

#include <math.h>

#include "gateway/io/store_private.h"

#define COLUMNS                                                                          \
    "decision, expert, key, score, weight, at_us, messages, text, text_version,"         \
    " input_tokens, output_tokens, vectors, predicted, shared"

static const char of_sql[] =
    "SELECT " COLUMNS " FROM feedback WHERE decision = ?1 ORDER BY expert";
static const char each_sql[] =
    "SELECT " COLUMNS " FROM feedback ORDER BY at_us DESC, decision, expert";
static const char count_sql[] =
    "SELECT count(*) FROM feedback WHERE key = ?1 AND at_us >= ?2";
static const char stamp_sql[] = "SELECT count(*), coalesce(max(at_us), 0) FROM feedback";

static struct store_feedback read_feedback(sqlite3_stmt *s)
{
    return (struct store_feedback){
        .decision = store_column_str(s, 0),
        .expert = store_column_str(s, 1),
        .key = store_column_str(s, 2),
        .score = sqlite3_column_double(s, 3),
        .weight = sqlite3_column_double(s, 4),
        .at_us = sqlite3_column_int64(s, 5),
        .messages = store_column_str(s, 6),
        .text = store_column_str(s, 7),
        .text_version = store_column_str(s, 8),
        .input_tokens = store_column_tokens(s, 9),
        .output_tokens = store_column_tokens(s, 10),
        .vectors = store_column_str(s, 11),
        .predicted = sqlite3_column_type(s, 12) == SQLITE_NULL
                         ? (double)NAN
                         : sqlite3_column_double(s, 12),
        .shared = sqlite3_column_int(s, 13) != 0,
    };
}

static enum store_err each_row(struct store_file *file, sqlite3_stmt *s,
                               store_feedback_fn each, void *context,
                               struct store_error *error)
{
    bool row = false;
    enum store_err err = store_file_next(file, s, &row, error);

    while (err == STORE_OK && row) {
        const struct store_feedback feedback = read_feedback(s);

        if (!each(context, &feedback))
            break;
        err = store_file_next(file, s, &row, error);
    }
    (void)sqlite3_reset(s);
    return err;
}

enum store_err store_feedback_of(struct store_view *view, struct str decision,
                                 store_feedback_fn each, void *context,
                                 struct store_error *error)
{
    sqlite3_stmt *s = store_file_ready(view->file, of_sql);

    if (s == NULL || !store_bind_str(s, 1, decision))
        return store_file_failed(view->file, error);
    return each_row(view->file, s, each, context, error);
}

enum store_err store_feedback_each(struct store_view *view, store_feedback_fn each,
                                   void *context, struct store_error *error)
{
    sqlite3_stmt *s = store_file_ready(view->file, each_sql);

    if (s == NULL)
        return store_file_failed(view->file, error);
    return each_row(view->file, s, each, context, error);
}

enum store_err store_feedback_count(struct store_view *view, struct str key,
                                    int64_t since_us, int64_t *ret_n,
                                    struct store_error *error)
{
    sqlite3_stmt *s = store_file_ready(view->file, count_sql);
    bool row = false;
    enum store_err err;

    if (s == NULL || !store_bind_str(s, 1, key.p != NULL ? key : STR("")) ||
        !store_bind_int(s, 2, since_us))
        return store_file_failed(view->file, error);
    err = store_file_next(view->file, s, &row, error);
    if (err == STORE_OK)
        *ret_n = row ? sqlite3_column_int64(s, 0) : 0;
    (void)sqlite3_reset(s);
    return err;
}

enum store_err store_feedback_stamp(struct store_view *view, int64_t *ret_n,
                                    int64_t *ret_newest_us, struct store_error *error)
{
    sqlite3_stmt *s = store_file_ready(view->file, stamp_sql);
    bool row = false;
    enum store_err err = store_file_next(view->file, s, &row, error);

    if (err == STORE_OK && row) {
        *ret_n = sqlite3_column_int64(s, 0);
        *ret_newest_us = sqlite3_column_int64(s, 1);
    }
    if (s != NULL)
        (void)sqlite3_reset(s);
    return err;
}
