/* store_schema.c - the table of migrations. What must hold: a file is at one version as a
 * whole, or untouched. */
#include "gateway/io/store_schema.h"

#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>

/* Step i brings a file from version i to i + 1. */
static const char *const migrations[] = {
    "CREATE TABLE decisions ("
    " id TEXT PRIMARY KEY NOT NULL,"
    " at_us INTEGER NOT NULL,"
    " request_id TEXT NOT NULL,"
    " response_id TEXT," /* the expert's own id of its answer */
    " key TEXT NOT NULL DEFAULT '',"
    " policy TEXT NOT NULL DEFAULT ''," /* '': the expert was named */
    " expert TEXT,"                     /* who was asked last */
    " reason TEXT,"
    " status INTEGER," /* shown to the client; NULL: not yet */
    " state TEXT NOT NULL CHECK (state IN ('open', 'settled', 'crashed')),"
    " spent_pico INTEGER NOT NULL,"
    " bound_pico INTEGER NOT NULL,"
    " evidence_pico INTEGER NOT NULL,"
    " generation_pico INTEGER NOT NULL,"
    " estimated INTEGER NOT NULL,"
    " input_tokens INTEGER,"
    " output_tokens INTEGER,"
    " best_pico INTEGER,"     /* what always the best expert would have cost */
    " cheapest_pico INTEGER," /* what always the cheapest would have cost */
    " tags TEXT,"
    " bundle TEXT,"
    " config TEXT,"
    " record TEXT) STRICT;"
    "CREATE INDEX decisions_request ON decisions (request_id);"
    "CREATE INDEX decisions_response ON decisions (response_id)"
    " WHERE response_id IS NOT NULL;"
    "CREATE INDEX decisions_key ON decisions (key, id);"
    "CREATE INDEX decisions_expert ON decisions (expert, id);"
    "CREATE INDEX decisions_policy ON decisions (policy, id);"
    "CREATE INDEX decisions_open ON decisions (id) WHERE state = 'open';"

    "CREATE TABLE charges ("
    " decision TEXT NOT NULL,"
    " n INTEGER NOT NULL," /* 0, 1, 2... in the order of the calls */
    " kind TEXT NOT NULL CHECK (kind IN ('embedding', 'generation')),"
    " expert TEXT NOT NULL,"
    " worst_pico INTEGER," /* reserved; NULL: no bound was known */
    " bound_pico INTEGER NOT NULL,"
    " spent_pico INTEGER NOT NULL,"
    " known INTEGER NOT NULL," /* 1: by reported usage */
    " fate TEXT NOT NULL,"     /* STORE_FATES in store.h */
    " input_tokens INTEGER,"
    " output_tokens INTEGER,"
    " over_limit INTEGER NOT NULL," /* 1: far more output than was allowed */
    " at_us INTEGER NOT NULL,"      /* of the reservation; its UTC day is the spend's */
    " PRIMARY KEY (decision, n)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE spend ("
    " day INTEGER NOT NULL,"
    " key TEXT NOT NULL,"
    " policy TEXT NOT NULL,"
    " expert TEXT NOT NULL,"
    " kind TEXT NOT NULL,"
    " requests INTEGER NOT NULL,"
    " calls INTEGER NOT NULL,"
    " spent_pico INTEGER NOT NULL,"
    " bound_pico INTEGER NOT NULL,"
    " input_tokens INTEGER NOT NULL,"
    " output_tokens INTEGER NOT NULL,"
    " best_pico INTEGER NOT NULL,"
    " cheapest_pico INTEGER NOT NULL,"
    " PRIMARY KEY (day, key, policy, expert, kind)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE keys ("
    " id TEXT PRIMARY KEY NOT NULL,"
    " name TEXT NOT NULL,"
    " hash1 BLOB NOT NULL,"
    " hash2 BLOB," /* the other secret while keys are rotated */
    " created_us INTEGER NOT NULL,"
    " expires_us INTEGER,"
    " revoked_us INTEGER,"
    " experts TEXT,"  /* JSON list; NULL: all */
    " policies TEXT," /* JSON list; NULL: all */
    " day_pico INTEGER,"
    " month_pico INTEGER,"
    " total_pico INTEGER,"
    " requests_per_minute INTEGER,"
    " tokens_per_minute INTEGER,"
    " feedback TEXT,"
    " tags TEXT) STRICT;"
    "CREATE UNIQUE INDEX keys_hash1 ON keys (hash1);"
    "CREATE UNIQUE INDEX keys_hash2 ON keys (hash2) WHERE hash2 IS NOT NULL;"

    "CREATE TABLE feedback ("
    " decision TEXT NOT NULL,"
    " expert TEXT NOT NULL,"
    " score REAL NOT NULL CHECK (score BETWEEN 0 AND 1),"
    " weight REAL NOT NULL,"
    " key TEXT NOT NULL,"
    " at_us INTEGER NOT NULL,"
    " shared INTEGER NOT NULL," /* 1: it teaches everybody, 0: its key alone */
    " messages TEXT,"           /* JSON, where prompts may be kept */
    " text TEXT,"               /* routing text, where prompts may be kept */
    " text_version TEXT,"
    " input_tokens INTEGER,"
    " output_tokens INTEGER,"
    " predicted REAL," /* quality, when it was decided; NULL: nobody knew */
    " vectors TEXT,"   /* JSON, as in the record, where they may be kept */
    " PRIMARY KEY (decision, expert)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX feedback_key ON feedback (key, at_us);",
};
#define STORE_VERSION ((int)ARRAY_LEN(migrations))

const char *store_err_text(enum store_err err)
{
    static const char *const texts[] = {
#define X(name, text) text,
        STORE_ERRORS(X)
#undef X
    };

    return texts[err];
}

int store_schema_version(void)
{
    return STORE_VERSION;
}

enum store_err store_error_set(struct store_error *error, enum store_err err,
                               const char *format, ...)
{
    va_list args;

    if (error == NULL || error->text[0] != '\0')
        return err;
    va_start(args, format);
    (void)vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return err;
}

enum store_err store_failed(struct sqlite3 *db, const char *path,
                            struct store_error *error)
{
    enum store_err err = STORE_IO;

    switch (db != NULL ? sqlite3_errcode(db) : SQLITE_NOMEM) {
    case SQLITE_NOMEM:
        err = STORE_NOMEM;
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        err = STORE_BUSY;
        break;
    case SQLITE_FULL:
        err = STORE_FULL;
        break;
    case SQLITE_INTERRUPT:
        err = STORE_SLOW;
        break;
    case SQLITE_NOTADB:
        err = STORE_FOREIGN;
        break;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
        err = STORE_REFUSED;
        break;
    default:
        break;
    }
    return store_error_set(error, err, "store '%s': %s", path,
                           db != NULL ? sqlite3_errmsg(db) : store_err_text(err));
}

static enum store_err number(struct sqlite3 *db, const char *sql, const char *path,
                             int *ret_value, struct store_error *error)
{
    sqlite3_stmt *statement = NULL;
    enum store_err err = STORE_OK;

    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        err = store_failed(db, path, error);
    else
        *ret_value = sqlite3_column_int(statement, 0);
    (void)sqlite3_finalize(statement);
    return err;
}

/* Whose file it is, and of which version. */
static enum store_err judge(struct sqlite3 *db, const char *path, int *ret_version,
                            struct store_error *error)
{
    int application = 0, version = 0, objects = 0;
    enum store_err err = number(db, "PRAGMA application_id", path, &application, error);

    if (err == STORE_OK)
        err = number(db, "PRAGMA user_version", path, &version, error);
    if (err == STORE_OK)
        err = number(db, "SELECT count(*) FROM sqlite_master", path, &objects, error);
    if (err != STORE_OK)
        return err;
    if (application != STORE_APPLICATION &&
        (application != 0 || version != 0 || objects > 0))
        return store_error_set(error, STORE_FOREIGN,
                               "'%s' is not a database of the gateway", path);
    if (version > STORE_VERSION)
        return store_error_set(error, STORE_NEWER,
                               "store '%s' is of version %d, this program knows %d: use "
                               "the program that wrote it, or another file",
                               path, version, STORE_VERSION);
    *ret_version = version;
    return STORE_OK;
}

enum store_err store_schema_check(struct sqlite3 *db, const char *path,
                                  struct store_error *error)
{
    int version = 0;
    enum store_err err = judge(db, path, &version, error);

    if (err == STORE_OK && version < STORE_VERSION)
        err = store_error_set(error, STORE_ABSENT,
                              "store '%s' is of version %d, this program needs %d: start "
                              "the gateway on it once",
                              path, version, STORE_VERSION);
    return err;
}

/* In an open transaction, so that no other process migrates at the same time. */
static enum store_err migrate(struct sqlite3 *db, const char *path,
                              struct store_error *error)
{
    int version = 0;
    char mark[128];
    enum store_err err = judge(db, path, &version, error);

    if (err != STORE_OK || version == STORE_VERSION)
        return err;
    for (int i = version; i < STORE_VERSION; i++) {
        if (sqlite3_exec(db, migrations[i], NULL, NULL, NULL) != SQLITE_OK)
            return store_failed(db, path, error);
    }
    (void)snprintf(mark, sizeof mark,
                   "PRAGMA application_id = %d; PRAGMA user_version = %d",
                   STORE_APPLICATION, STORE_VERSION);
    if (sqlite3_exec(db, mark, NULL, NULL, NULL) != SQLITE_OK)
        return store_failed(db, path, error);
    return STORE_OK;
}

enum store_err store_schema_migrate(struct sqlite3 *db, const char *path,
                                    struct store_error *error)
{
    int version = 0;
    enum store_err err = judge(db, path, &version, error);

    if (err != STORE_OK || version == STORE_VERSION)
        return err;
    if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        return store_failed(db, path, error);
    err = migrate(db, path, error);
    if (err == STORE_OK && sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        err = store_failed(db, path, error);
    if (err != STORE_OK)
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return err;
}
