/* calib.c - SQLite behind the nouns of calib.h. What holds: every value is bound, never
 * pasted into SQL. Rows are in calib_prompts.c and calib_cells.c. */
#include "tools/ctl/calib.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/ctl/calib_private.h"
#include "tools/ctl/memory.h"

#define CALIB_APPLICATION 0x46474354 /* "FGCT" */
#define CALIB_BUSY_MS     5000

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
    "CREATE TABLE asked (expert INTEGER NOT NULL REFERENCES experts,"
    " model TEXT NOT NULL, prompt INTEGER NOT NULL REFERENCES prompts,"
    " what TEXT NOT NULL, bound_pico INTEGER, failure TEXT,"
    " at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),"
    " PRIMARY KEY (expert, model, prompt, what)) STRICT, WITHOUT ROWID;",
    "CREATE TABLE verdicts (judge TEXT NOT NULL, model TEXT NOT NULL,"
    " shown TEXT NOT NULL, prompt INTEGER NOT NULL REFERENCES prompts,"
    " first INTEGER NOT NULL REFERENCES experts, second INTEGER REFERENCES experts,"
    " version TEXT NOT NULL, quality REAL CHECK (quality BETWEEN 0 AND 1),"
    " text TEXT NOT NULL, input_tokens REAL, output_tokens REAL, cost_pico INTEGER,"
    " estimated INTEGER NOT NULL,"
    " judged_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),"
    " PRIMARY KEY (judge, model, shown)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE labels (prompt INTEGER NOT NULL REFERENCES prompts,"
    " first INTEGER NOT NULL REFERENCES experts, second INTEGER NOT NULL"
    " REFERENCES experts, said TEXT NOT NULL CHECK (said IN ('a', 'b', 't', 's')),"
    " said_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),"
    " PRIMARY KEY (prompt, first, second)) STRICT, WITHOUT ROWID;"
    "ALTER TABLE cells ADD COLUMN grader TEXT;",
};
#define CALIB_VERSION ((int)(sizeof(migrations) / sizeof(migrations[0])))

static const char *const statements[] = {
#define X(name, sql) [CALIB_##name] = sql,
    CALIB_STATEMENTS(X)
#undef X
};

enum fault_err calib_failed(struct calib *store, struct fault *fault)
{
    return fault_set(fault, FAULT_STORE, "store '%s': %s", store->path,
                     sqlite3_errmsg(store->db));
}

static enum fault_err calib_exec(struct calib *store, const char *sql,
                                 struct fault *fault)
{
    if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return calib_failed(store, fault);
    return FAULT_OK;
}

static enum fault_err calib_pragma(struct calib *store, const char *sql, int *ret_value,
                                   struct fault *fault)
{
    sqlite3_stmt *statement = NULL;
    enum fault_err err = FAULT_OK;

    if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        err = calib_failed(store, fault);
    else
        *ret_value = sqlite3_column_int(statement, 0);
    (void)sqlite3_finalize(statement);
    return err;
}

static enum fault_err calib_migrate(struct calib *store, struct fault *fault)
{
    int application = 0, version = 0, objects = 0;
    char *mark = NULL;
    enum fault_err err =
        calib_pragma(store, "PRAGMA application_id", &application, fault);

    if (err == FAULT_OK)
        err = calib_pragma(store, "PRAGMA user_version", &version, fault);
    if (err == FAULT_OK)
        err = calib_pragma(store, "SELECT count(*) FROM sqlite_master", &objects, fault);
    if (err != FAULT_OK)
        return err;
    if (application != CALIB_APPLICATION && (application != 0 || objects > 0))
        return fault_set(fault, FAULT_STORE, "'%s' is not a calibration store",
                         store->path);
    if (version > CALIB_VERSION)
        return fault_set(fault, FAULT_STORE,
                         "store '%s' is of version %d, this program knows %d",
                         store->path, version, CALIB_VERSION);
    if (version == CALIB_VERSION)
        return FAULT_OK;
    err = calib_exec(store, "BEGIN IMMEDIATE", fault);
    for (int i = version; err == FAULT_OK && i < CALIB_VERSION; i++)
        err = calib_exec(store, migrations[i], fault);
    mark = memory_format("PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
                         CALIB_APPLICATION, CALIB_VERSION);
    if (err == FAULT_OK)
        err = calib_exec(store, mark, fault);
    free(mark);
    return err;
}

enum fault_err calib_open(const char *path, enum calib_mode mode,
                          struct calib **ret_store, struct fault *fault)
{
    int flags = SQLITE_OPEN_READWRITE | (mode == CALIB_CREATE ? SQLITE_OPEN_CREATE : 0);
    struct calib *store;
    enum fault_err err;

    if (mode == CALIB_EXISTING && access(path, F_OK) != 0)
        return fault_set(fault, FAULT_STORE,
                         "there is no store '%s' (import and calibrate make one)", path);
    store = memory_new(1, sizeof(*store));
    store->path = memory_text(path);
    if (sqlite3_open_v2(path, &store->db, flags, NULL) != SQLITE_OK) {
        err = fault_set(fault, FAULT_STORE, "cannot open store '%s': %s", path,
                        sqlite3_errmsg(store->db));
        goto failed;
    }
    (void)sqlite3_busy_timeout(store->db, CALIB_BUSY_MS);
    err = calib_migrate(store, fault);
    if (err == FAULT_OK)
        err = calib_exec(store,
                         "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                         " PRAGMA foreign_keys = ON",
                         fault);
    if (err != FAULT_OK)
        goto failed;
    *ret_store = store;
    return FAULT_OK;
failed:
    calib_close(store);
    return err;
}

void calib_close(struct calib *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < CALIB_N_STATEMENTS; i++)
        (void)sqlite3_finalize(store->prepared[i]);
    (void)sqlite3_close(store->db);
    free(store->path);
    free(store);
}

/* -- binding and stepping -- */

sqlite3_stmt *calib_ready(struct calib *store, enum calib_statement which)
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

bool calib_bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    return sqlite3_bind_text(statement, at, text, -1, SQLITE_TRANSIENT) == SQLITE_OK;
}

bool calib_bind_whole(sqlite3_stmt *statement, int at, int64_t value)
{
    if (value == MONEY_NONE)
        return sqlite3_bind_null(statement, at) == SQLITE_OK;
    return sqlite3_bind_int64(statement, at, value) == SQLITE_OK;
}

bool calib_bind_number(sqlite3_stmt *statement, int at, double value)
{
    if (isnan(value))
        return sqlite3_bind_null(statement, at) == SQLITE_OK;
    return sqlite3_bind_double(statement, at, value) == SQLITE_OK;
}

const char *calib_column_text(sqlite3_stmt *statement, int at)
{
    return (const char *)sqlite3_column_text(statement, at);
}

int64_t calib_column_whole(sqlite3_stmt *statement, int at)
{
    if (sqlite3_column_type(statement, at) == SQLITE_NULL)
        return MONEY_NONE;
    return sqlite3_column_int64(statement, at);
}

double calib_column_number(sqlite3_stmt *statement, int at)
{
    if (sqlite3_column_type(statement, at) == SQLITE_NULL)
        return NAN;
    return sqlite3_column_double(statement, at);
}

enum fault_err calib_run(struct calib *store, sqlite3_stmt *statement, bool bound,
                         struct fault *fault)
{
    enum fault_err err = FAULT_OK;

    if (statement == NULL || !bound || sqlite3_step(statement) != SQLITE_DONE)
        err = calib_failed(store, fault);
    (void)sqlite3_reset(statement);
    return err;
}

enum fault_err calib_next(struct calib *store, sqlite3_stmt *statement, bool *ret_row,
                          struct fault *fault)
{
    int step = statement != NULL ? sqlite3_step(statement) : SQLITE_ERROR;

    *ret_row = step == SQLITE_ROW;
    if (*ret_row)
        return FAULT_OK;
    enum fault_err err = FAULT_OK;
    if (step != SQLITE_DONE)
        err = calib_failed(store, fault);
    (void)sqlite3_reset(statement);
    return err;
}

enum fault_err calib_begin(struct calib *store, struct fault *fault)
{
    return calib_run(store, calib_ready(store, CALIB_BEGIN), true, fault);
}

enum fault_err calib_commit(struct calib *store, struct fault *fault)
{
    return calib_run(store, calib_ready(store, CALIB_COMMIT), true, fault);
}
