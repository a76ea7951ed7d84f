/* store.c - SQLite behind the nouns of store.h. What holds: every value is bound, never
 * pasted into SQL. Rows are in store_prompts.c and store_cells.c. */
#include "tools/ctl/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/ctl/memory.h"
#include "tools/ctl/store_private.h"

#define STORE_APPLICATION 0x46474354 /* "FGCT" */
#define STORE_BUSY_MS     5000

/* Step i brings a store from version i to i + 1. A step that was released never changes.
 */
static const char *const migrations[] = {
    "CREATE TABLE prompts (prompt INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
    " messages TEXT NOT NULL, text TEXT NOT NULL, text_version TEXT NOT NULL,"
    " domain TEXT, split TEXT, reference TEXT, grade TEXT) STRICT;"
    "CREATE TABLE experts (expert INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " input_pico INTEGER, output_pico INTEGER) STRICT;"
    "CREATE TABLE cells (prompt INTEGER NOT NULL REFERENCES prompts,"
    " expert INTEGER NOT NULL REFERENCES experts,"
    " quality REAL CHECK (quality BETWEEN 0 AND 1), input_tokens REAL,"
    " output_tokens REAL, cost_pico INTEGER, latency_ms REAL,"
    " PRIMARY KEY (prompt, expert)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE vectors (prompt INTEGER NOT NULL REFERENCES prompts,"
    " embedder TEXT NOT NULL, model TEXT NOT NULL, vector BLOB NOT NULL,"
    " PRIMARY KEY (embedder, model, prompt)) STRICT;"
    "CREATE TABLE answers (prompt INTEGER NOT NULL REFERENCES prompts,"
    " expert INTEGER NOT NULL REFERENCES experts, model TEXT NOT NULL,"
    " sample INTEGER NOT NULL, text TEXT NOT NULL, finish_reason TEXT,"
    " input_tokens REAL, output_tokens REAL, cost_pico INTEGER,"
    " estimated INTEGER NOT NULL, latency_ms REAL,"
    " asked_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),"
    " PRIMARY KEY (expert, model, prompt, sample)) STRICT;"
    "CREATE TABLE spending (prompt INTEGER REFERENCES prompts,"
    " expert INTEGER REFERENCES experts, what TEXT NOT NULL,"
    " bound_pico INTEGER NOT NULL,"
    " at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))) STRICT;",
};
#define STORE_VERSION ((int)(sizeof(migrations) / sizeof(migrations[0])))

static const char *const statements[] = {
#define X(name, sql) [STORE_##name] = sql,
    STORE_STATEMENTS(X)
#undef X
};

enum fault_err store_failed(struct store *store, struct fault *fault)
{
    return fault_set(fault, FAULT_STORE, "store '%s': %s", store->path,
                     sqlite3_errmsg(store->db));
}

static enum fault_err store_exec(struct store *store, const char *sql,
                                 struct fault *fault)
{
    if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return store_failed(store, fault);
    return FAULT_OK;
}

static enum fault_err store_pragma(struct store *store, const char *sql, int *ret_value,
                                   struct fault *fault)
{
    sqlite3_stmt *statement = NULL;
    enum fault_err err = FAULT_OK;

    if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        err = store_failed(store, fault);
    else
        *ret_value = sqlite3_column_int(statement, 0);
    (void)sqlite3_finalize(statement);
    return err;
}

static enum fault_err store_migrate(struct store *store, struct fault *fault)
{
    int application = 0, version = 0, objects = 0;
    char *mark = NULL;
    enum fault_err err =
        store_pragma(store, "PRAGMA application_id", &application, fault);

    if (err == FAULT_OK)
        err = store_pragma(store, "PRAGMA user_version", &version, fault);
    if (err == FAULT_OK)
        err = store_pragma(store, "SELECT count(*) FROM sqlite_master", &objects, fault);
    if (err != FAULT_OK)
        return err;
    if (application != STORE_APPLICATION && (application != 0 || objects > 0))
        return fault_set(fault, FAULT_STORE, "'%s' is not a calibration store",
                         store->path);
    if (version > STORE_VERSION)
        return fault_set(fault, FAULT_STORE,
                         "store '%s' is of version %d, this program knows %d",
                         store->path, version, STORE_VERSION);
    if (version == STORE_VERSION)
        return FAULT_OK;
    err = store_exec(store, "BEGIN IMMEDIATE", fault);
    for (int i = version; err == FAULT_OK && i < STORE_VERSION; i++)
        err = store_exec(store, migrations[i], fault);
    mark = memory_format("PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
                         STORE_APPLICATION, STORE_VERSION);
    if (err == FAULT_OK)
        err = store_exec(store, mark, fault);
    free(mark);
    return err;
}

enum fault_err store_open(const char *path, enum store_mode mode,
                          struct store **ret_store, struct fault *fault)
{
    int flags = SQLITE_OPEN_READWRITE | (mode == STORE_CREATE ? SQLITE_OPEN_CREATE : 0);
    struct store *store;
    enum fault_err err;

    if (mode == STORE_EXISTING && access(path, F_OK) != 0)
        return fault_set(fault, FAULT_STORE,
                         "there is no store '%s' (import and calibrate make one)", path);
    store = memory_new(1, sizeof(*store));
    store->path = memory_text(path);
    if (sqlite3_open_v2(path, &store->db, flags, NULL) != SQLITE_OK) {
        err = fault_set(fault, FAULT_STORE, "cannot open store '%s': %s", path,
                        sqlite3_errmsg(store->db));
        goto failed;
    }
    (void)sqlite3_busy_timeout(store->db, STORE_BUSY_MS);
    err = store_migrate(store, fault);
    if (err == FAULT_OK)
        err = store_exec(store,
                         "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                         " PRAGMA foreign_keys = ON",
                         fault);
    if (err != FAULT_OK)
        goto failed;
    *ret_store = store;
    return FAULT_OK;
failed:
    store_close(store);
    return err;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < STORE_N_STATEMENTS; i++)
        (void)sqlite3_finalize(store->prepared[i]);
    (void)sqlite3_close(store->db);
    free(store->path);
    free(store);
}

/* -- binding and stepping -- */

sqlite3_stmt *store_ready(struct store *store, enum store_statement which)
{
    sqlite3_stmt **statement = &store->prepared[which];

    if (*statement == NULL &&
        sqlite3_prepare_v3(store->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT,
                           statement, NULL) != SQLITE_OK)
        return NULL;
    (void)sqlite3_reset(*statement);
    (void)sqlite3_clear_bindings(*statement);
    return *statement;
}

bool store_bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    return sqlite3_bind_text(statement, at, text, -1, SQLITE_TRANSIENT) == SQLITE_OK;
}

bool store_bind_whole(sqlite3_stmt *statement, int at, int64_t value)
{
    if (value == MONEY_NONE)
        return sqlite3_bind_null(statement, at) == SQLITE_OK;
    return sqlite3_bind_int64(statement, at, value) == SQLITE_OK;
}

bool store_bind_number(sqlite3_stmt *statement, int at, double value)
{
    if (isnan(value))
        return sqlite3_bind_null(statement, at) == SQLITE_OK;
    return sqlite3_bind_double(statement, at, value) == SQLITE_OK;
}

const char *store_column_text(sqlite3_stmt *statement, int at)
{
    return (const char *)sqlite3_column_text(statement, at);
}

int64_t store_column_whole(sqlite3_stmt *statement, int at)
{
    if (sqlite3_column_type(statement, at) == SQLITE_NULL)
        return MONEY_NONE;
    return sqlite3_column_int64(statement, at);
}

double store_column_number(sqlite3_stmt *statement, int at)
{
    if (sqlite3_column_type(statement, at) == SQLITE_NULL)
        return NAN;
    return sqlite3_column_double(statement, at);
}

enum fault_err store_run(struct store *store, sqlite3_stmt *statement, bool bound,
                         struct fault *fault)
{
    enum fault_err err = FAULT_OK;

    if (statement == NULL || !bound || sqlite3_step(statement) != SQLITE_DONE)
        err = store_failed(store, fault);
    (void)sqlite3_reset(statement);
    return err;
}

enum fault_err store_next(struct store *store, sqlite3_stmt *statement, bool *ret_row,
                          struct fault *fault)
{
    int step = statement != NULL ? sqlite3_step(statement) : SQLITE_ERROR;

    *ret_row = step == SQLITE_ROW;
    if (*ret_row)
        return FAULT_OK;
    enum fault_err err = FAULT_OK;
    if (step != SQLITE_DONE)
        err = store_failed(store, fault);
    (void)sqlite3_reset(statement);
    return err;
}

enum fault_err store_begin(struct store *store, struct fault *fault)
{
    return store_run(store, store_ready(store, STORE_BEGIN), true, fault);
}

enum fault_err store_commit(struct store *store, struct fault *fault)
{
    return store_run(store, store_ready(store, STORE_COMMIT), true, fault);
}
