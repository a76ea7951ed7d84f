/* store_keys.c - the table of keys; see store_keys.h.
 *
 * A row that cannot be a key is an error as a whole: to leave it out would be to let in, or
 * to lock out, somebody whom the operator meant otherwise.
 */
#include "gateway/io/store_keys.h"

#include <assert.h>
#include <sqlite3.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/domain/jread.h"

#define LIST_BYTES    (64u << 10) /* a list of names as JSON */
#define SCRATCH_BYTES (1u << 20)  /* texts of one row */

#define COLUMNS                                                                          \
    "id, name, hash1, hash2, created_us, expires_us, revoked_us, experts, policies,"     \
    " day_pico, month_pico, total_pico, requests_per_minute, tokens_per_minute,"         \
    " feedback, tags"

static const char read_sql[] = "SELECT " COLUMNS " FROM keys ORDER BY id";
static const char find_sql[] = "SELECT " COLUMNS " FROM keys WHERE id = ?1";
static const char add_sql[] =
    "INSERT INTO keys (" COLUMNS ")"
    " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16)";
static const char edit_sql[] =
    "UPDATE keys SET (name, hash1, hash2, created_us, expires_us, revoked_us, experts,"
    " policies, day_pico, month_pico, total_pico, requests_per_minute,"
    " tokens_per_minute, feedback, tags)"
    " = (?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16) WHERE id = ?1";

/* -- a row into a key -------------------------------------------------------------------- */

struct row {
    sqlite3_stmt *s;
    struct arena *scratch;
    const char *names[2][KEY_LIST_MAX];
};

static const char *text_of(struct row *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row->s, column);

    return text != NULL ? text : "";
}

static int64_t pico_of(struct row *row, int column)
{
    if (sqlite3_column_type(row->s, column) == SQLITE_NULL)
        return MONEY_NONE;
    return sqlite3_column_int64(row->s, column);
}

static bool take_hash(struct row *row, int column, struct key *key)
{
    const void *hash = sqlite3_column_blob(row->s, column);

    if (hash == NULL)
        return true;
    if (sqlite3_column_bytes(row->s, column) != KEY_HASH_BYTES)
        return false;
    memcpy(key->hashes[key->n_hashes++], hash, KEY_HASH_BYTES);
    return true;
}

/* A JSON list of names; NULL is no list. */
static bool take_list(struct row *row, int column, const char *names[KEY_LIST_MAX],
                      struct key_list *ret_list)
{
    struct jread_value root, item;
    struct jread_iter it;
    size_t n = 0;

    if (sqlite3_column_type(row->s, column) == SQLITE_NULL)
        return true;
    if (!jread_parse(str_of(text_of(row, column)), 2, &root) || root.type != JREAD_LIST)
        return false;
    it = jread_iter(root);
    while (jread_next_element(&it, &item)) {
        struct str name;

        if (n == KEY_LIST_MAX || jread_string(item, row->scratch, &name) != ERR_OK ||
            memchr(name.p, '\0', name.n) != NULL)
            return false;
        names[n++] = name.p;
    }
    *ret_list = (struct key_list){ .given = true, .n = n, .names = names };
    return true;
}

static bool sane(const struct key *key)
{
    for (int w = 0; w < KEY_WINDOW_COUNT; w++) {
        if (key->limits.budget_pico[w] < 0)
            return false;
    }
    return key->n_hashes > 0 && key_id_ok(str_of(key->id)) && key->expires_us >= 0 &&
           key->revoked_us >= 0 && key->limits.requests_per_minute >= 0 &&
           key->limits.requests_per_minute <= KEY_RATE_MAX &&
           key->limits.tokens_per_minute >= 0 &&
           key->limits.tokens_per_minute <= KEY_RATE_MAX;
}

/* Texts are SQLite's until the next step, names the scratch's. */
static bool take_key(struct row *row, struct key *key)
{
    const char *feedback = text_of(row, 14);

    key_init(key);
    key->id = text_of(row, 0);
    key->name = text_of(row, 1);
    key->created_us = sqlite3_column_int64(row->s, 4);
    key->expires_us = sqlite3_column_int64(row->s, 5); /* NULL is 0 */
    key->revoked_us = sqlite3_column_int64(row->s, 6);
    key->limits.budget_pico[KEY_DAY] = pico_of(row, 9);
    key->limits.budget_pico[KEY_MONTH] = pico_of(row, 10);
    key->limits.budget_pico[KEY_TOTAL] = pico_of(row, 11);
    key->limits.requests_per_minute = sqlite3_column_int64(row->s, 12);
    key->limits.tokens_per_minute = sqlite3_column_int64(row->s, 13);
    key->tags = text_of(row, 15);
    return take_hash(row, 2, key) && take_hash(row, 3, key) &&
           take_list(row, 7, row->names[0], &key->experts) &&
           take_list(row, 8, row->names[1], &key->policies) &&
           (feedback[0] == '\0' ||
            key_feedback_parse(str_of(feedback), &key->feedback) == ERR_OK) &&
           sane(key);
}

/* The key of the statement's row into the set, with copies. */
static enum store_err add_row(struct store_file *file, sqlite3_stmt *s,
                              struct key_set *set, struct store_error *error)
{
    struct arena scratch;
    struct row row = { .s = s, .scratch = &scratch };
    struct key key;
    enum store_err err = STORE_OK;

    arena_init(&scratch, SCRATCH_BYTES);
    if (!take_key(&row, &key)) {
        err = store_error_set(error, STORE_REFUSED,
                              "store '%s': the row of key '%s' does not make a key",
                              store_file_path(file), text_of(&row, 0));
    } else {
        switch (key_set_add(set, &key)) {
        case ERR_OK:
            break;
        case ERR_TOO_LARGE:
            err = store_error_set(error, STORE_REFUSED, "store '%s': more than %d keys",
                                  store_file_path(file), KEYS_MAX);
            break;
        default:
            err = store_error_set(error, STORE_NOMEM, "out of memory");
            break;
        }
    }
    arena_release(&scratch);
    return err;
}

/* -- reading ----------------------------------------------------------------------------- */

enum store_err store_keys_changed(struct store_file *file, int64_t *version,
                                  bool *ret_changed, struct store_error *error)
{
    sqlite3_stmt *s = store_file_ready(file, "PRAGMA data_version");
    bool row = false;
    int64_t now = 0;
    enum store_err err = store_file_next(file, s, &row, error);

    if (err == STORE_OK && row)
        now = sqlite3_column_int64(s, 0);
    (void)sqlite3_reset(s);
    if (err != STORE_OK)
        return err;
    *ret_changed = now != *version;
    *version = now;
    return STORE_OK;
}

enum store_err store_keys_read(struct store_file *file, struct key_set *set,
                               struct store_error *error)
{
    sqlite3_stmt *s = store_file_ready(file, read_sql);
    bool row = true;
    enum store_err err = STORE_OK;

    while (err == STORE_OK && row) {
        err = store_file_next(file, s, &row, error);
        if (err == STORE_OK && row)
            err = add_row(file, s, set, error);
    }
    if (s != NULL)
        (void)sqlite3_reset(s);
    return err;
}

/* -- writing ----------------------------------------------------------------------------- */

static void bind_list(sqlite3_stmt *s, int at, const struct key_list *list,
                      struct buf *out)
{
    if (!list->given)
        return;
    buf_put(out, "[");
    for (size_t i = 0; i < list->n; i++) {
        buf_put(out, i > 0 ? "," : "");
        buf_put_json(out, str_of(list->names[i]));
    }
    buf_put(out, "]");
    (void)sqlite3_bind_text(s, at, out->p, (int)out->n, SQLITE_STATIC);
}

/* 0 and MONEY_NONE are NULL: no such limit. */
static void bind_limit(sqlite3_stmt *s, int at, int64_t value, int64_t none)
{
    if (value != none)
        (void)sqlite3_bind_int64(s, at, value);
}

static enum store_err write_key(struct store_file *file, sqlite3_stmt *s,
                                const struct key *key, struct store_error *error)
{
    struct buf experts, policies;
    enum store_err err = STORE_NOMEM;

    if (s == NULL)
        return store_file_failed(file, error);
    buf_init(&experts, LIST_BYTES);
    buf_init(&policies, LIST_BYTES);
    (void)sqlite3_bind_text(s, 1, key->id, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(s, 2, key->name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_blob(s, 3, key->hashes[0], KEY_HASH_BYTES, SQLITE_STATIC);
    if (key->n_hashes > 1)
        (void)sqlite3_bind_blob(s, 4, key->hashes[1], KEY_HASH_BYTES, SQLITE_STATIC);
    (void)sqlite3_bind_int64(s, 5, key->created_us);
    bind_limit(s, 6, key->expires_us, 0);
    bind_limit(s, 7, key->revoked_us, 0);
    bind_list(s, 8, &key->experts, &experts);
    bind_list(s, 9, &key->policies, &policies);
    for (int w = 0; w < KEY_WINDOW_COUNT; w++)
        bind_limit(s, 10 + w, key->limits.budget_pico[w], MONEY_NONE);
    bind_limit(s, 13, key->limits.requests_per_minute, 0);
    bind_limit(s, 14, key->limits.tokens_per_minute, 0);
    (void)sqlite3_bind_text(s, 15, key_feedback_word(key->feedback), -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(s, 16, key->tags, -1, SQLITE_STATIC);
    if (experts.failed || policies.failed)
        (void)store_error_set(error, STORE_NOMEM, "out of memory");
    else
        err = store_file_run(file, s, error);
    (void)sqlite3_clear_bindings(s);
    buf_release(&experts);
    buf_release(&policies);
    return err;
}

enum store_err store_keys_add(struct store_file *file, const struct key *key,
                              struct store_error *error)
{
    return write_key(file, store_file_ready(file, add_sql), key, error);
}

static enum store_err find_key(struct store_file *file, struct str id,
                               struct key_set *set, struct store_error *error)
{
    sqlite3_stmt *s = store_file_ready(file, find_sql);
    bool row = false;
    enum store_err err;

    if (s != NULL)
        (void)sqlite3_bind_text(s, 1, id.p, (int)id.n, SQLITE_STATIC);
    err = store_file_next(file, s, &row, error);
    if (err == STORE_OK && row)
        err = add_row(file, s, set, error);
    else if (err == STORE_OK)
        err =
            store_error_set(error, STORE_ABSENT, "there is no key '" STR_FMT "' in '%s'",
                            STR_ARG(id), store_file_path(file));
    if (s != NULL)
        (void)sqlite3_reset(s);
    return err;
}

enum store_err store_keys_edit(struct store_file *file, struct str id,
                               store_keys_edit_fn edit, void *context,
                               struct store_error *error)
{
    struct key_set set;
    struct key key;
    enum store_err err = store_file_exec(file, "BEGIN IMMEDIATE", error);

    if (err != STORE_OK)
        return err;
    key_set_init(&set);
    err = find_key(file, id, &set, error);
    if (err == STORE_OK) {
        key = set.keys[0];
        err = edit(context, &key, error) ? STORE_OK : STORE_REFUSED;
    }
    if (err == STORE_OK)
        err = write_key(file, store_file_ready(file, edit_sql), &key, error);
    if (err == STORE_OK)
        err = store_file_exec(file, "COMMIT", error);
    if (err != STORE_OK)
        (void)!store_file_exec(file, "ROLLBACK", NULL);
    key_set_release(&set);
    return err;
}
