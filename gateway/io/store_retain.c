/* store_retain.c - what is removed, in small steps between two commits.
 *
 * Decisions go with their charges, the oldest first, and never one that is open. `spend`,
 * keys and feedback stay. Freed pages are used again by what is written next; what is
 * still free when nothing is left to remove goes back to the file system, a few at a time. */
#include "gateway/io/store_private.h"

#define STEP_ROWS  512 /* as many as a transaction of the writer adds at most */
#define STEP_PAGES "256"

static enum store_err number(struct store_file *file, const char *sql, int64_t *ret_value,
                             struct store_error *error)
{
    sqlite3_stmt *s = store_file_ready(file, sql);
    bool row;
    enum store_err err = store_file_next(file, s, &row, error);

    if (err == STORE_OK && row)
        *ret_value = sqlite3_column_int64(s, 0);
    (void)sqlite3_reset(s);
    return err;
}

/* Bytes of pages that hold something. */
static enum store_err used_bytes(struct store_file *file, int64_t *ret_bytes,
                                 struct store_error *error)
{
    int64_t pages = 0, unused = 0, size = 0;
    enum store_err err = number(file, "PRAGMA page_count", &pages, error);

    if (err == STORE_OK)
        err = number(file, "PRAGMA freelist_count", &unused, error);
    if (err == STORE_OK)
        err = number(file, "PRAGMA page_size", &size, error);
    if (err == STORE_OK)
        *ret_bytes = (pages - unused) * size;
    return err;
}

/* ids order by time, so the oldest are at the front of the primary key. */
static const char charges_sql[] =
    "DELETE FROM charges WHERE decision IN (SELECT id FROM (SELECT id, at_us, state"
    " FROM decisions ORDER BY id LIMIT ?1) WHERE at_us < ?2 AND state <> 'open')";
static const char decisions_sql[] =
    "DELETE FROM decisions WHERE id IN (SELECT id FROM (SELECT id, at_us, state"
    " FROM decisions ORDER BY id LIMIT ?1) WHERE at_us < ?2 AND state <> 'open')";

static const char oldest_sql[] = "SELECT at_us FROM decisions ORDER BY id LIMIT 1";

static enum store_err remove_before(struct store_file *file, int64_t before_us,
                                    int64_t *ret_removed, struct store_error *error)
{
    static const char *const sqls[] = { charges_sql, decisions_sql };
    enum store_err err = store_rows_begin(file, error);

    for (size_t i = 0; err == STORE_OK && i < ARRAY_LEN(sqls); i++) {
        sqlite3_stmt *s = store_file_ready(file, sqls[i]);
        bool bound = s != NULL && store_bind_int(s, 1, STEP_ROWS) &&
                     store_bind_int(s, 2, before_us);

        err = store_file_run(file, bound ? s : NULL, error);
    }
    if (err == STORE_OK)
        *ret_removed = sqlite3_changes64(store_file_db(file));
    if (err == STORE_OK)
        err = store_rows_commit(file, error);
    if (err != STORE_OK)
        store_rows_rollback(file);
    return err;
}

enum store_err store_retain_step(struct store_file *file, int64_t now_us,
                                 int64_t keep_days, int64_t keep_bytes,
                                 struct store_retained *ret, struct store_error *error)
{
    int64_t before_us = keep_days > 0 ? now_us - keep_days * INT64_C(86400000000) : 0;
    int64_t bytes = 0, removed = 0, unused = 0, oldest_us = INT64_MAX;
    enum store_err err = STORE_OK;

    if (keep_bytes > 0) {
        err = used_bytes(file, &bytes, error);
        if (bytes > keep_bytes)
            before_us = INT64_MAX;
    }
    if (err == STORE_OK && before_us > 0)
        err = number(file, oldest_sql, &oldest_us, error);
    if (err == STORE_OK && before_us > oldest_us)
        err = remove_before(file, before_us, &removed, error);
    if (err == STORE_OK && removed == 0)
        err = number(file, "PRAGMA freelist_count", &unused, error);
    if (err == STORE_OK && unused > 0)
        err = store_file_exec(file, "PRAGMA incremental_vacuum(" STEP_PAGES ")", error);
    if (err == STORE_OK)
        *ret = (struct store_retained){ removed, bytes - keep_bytes > keep_bytes / 8 };
    return err;
}
