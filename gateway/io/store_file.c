/* store_file.c - opening, and statements that are made once. What must hold: no statement
 * is left in the middle of its rows, since that would hold a snapshot of the file. */
#include "gateway/io/store_file.h"

#include <assert.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct store_file {
    sqlite3 *db;
    char *path;
    size_t n;
    struct {
        const char *sql; /* known by address */
        sqlite3_stmt *statement;
    } statements[STORE_FILE_STATEMENTS];
};

/* Pages of removed rows are given back in small steps (retention), so the file must know
 * from its first page on where they are. */
#define MAKING "PRAGMA auto_vacuum = INCREMENTAL"
#define USING                                                                            \
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"                            \
    " PRAGMA journal_size_limit = 67108864; PRAGMA wal_autocheckpoint = 4000;"           \
    " PRAGMA cache_size = -16384; PRAGMA foreign_keys = ON"

static enum store_err prepare(struct store_file *file, enum store_file_mode mode,
                              struct store_error *error)
{
    enum store_err err = STORE_OK;

    (void)sqlite3_busy_timeout(file->db, STORE_PATIENT_MS);
    if (mode == STORE_FILE_CREATE)
        err = store_file_exec(file, MAKING, error);
    if (err == STORE_OK && mode == STORE_FILE_CREATE)
        err = store_schema_migrate(file->db, file->path, error);
    else if (err == STORE_OK)
        err = store_schema_check(file->db, file->path, error);
    if (err == STORE_OK && mode != STORE_FILE_READ)
        err = store_file_exec(file, USING, error);
    return err;
}

/* Prompts may lie in it: nobody else reads it. SQLite gives its log the same mode. Only
 * for a file that is not there yet: closing the descriptor of one that is in use would let
 * go of SQLite's locks on it. */
static void make_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0)
        (void)close(fd);
}

enum store_err store_file_open(const char *path, enum store_file_mode mode,
                               struct store_file **ret_file, struct store_error *error)
{
    int flags = SQLITE_OPEN_NOMUTEX;
    struct store_file *file;
    enum store_err err;

    if (mode == STORE_FILE_READ)
        flags |= SQLITE_OPEN_READONLY;
    else
        flags |= SQLITE_OPEN_READWRITE;
    if (mode == STORE_FILE_CREATE)
        make_private(path);
    else if (access(path, F_OK) != 0)
        return store_error_set(error, STORE_ABSENT, "there is no store '%s'", path);
    file = calloc(1, sizeof *file);
    if (file != NULL)
        file->path = strdup(path);
    if (file == NULL || file->path == NULL) {
        err = store_error_set(error, STORE_NOMEM, "out of memory");
        goto failed;
    }
    if (sqlite3_open_v2(path, &file->db, flags, NULL) != SQLITE_OK)
        err = store_failed(file->db, path, error);
    else
        err = prepare(file, mode, error);
    if (err != STORE_OK)
        goto failed;
    *ret_file = file;
    return STORE_OK;
failed:
    store_file_close(file);
    return err;
}

void store_file_close(struct store_file *file)
{
    if (file == NULL)
        return;
    for (size_t i = 0; i < file->n; i++)
        (void)sqlite3_finalize(file->statements[i].statement);
    (void)sqlite3_close(file->db);
    free(file->path);
    free(file);
}

struct sqlite3 *store_file_db(struct store_file *file)
{
    return file->db;
}

const char *store_file_path(const struct store_file *file)
{
    return file->path;
}

struct sqlite3_stmt *store_file_ready(struct store_file *file, const char *sql)
{
    sqlite3_stmt *statement = NULL;

    for (size_t i = 0; i < file->n; i++) {
        if (file->statements[i].sql == sql) {
            (void)sqlite3_reset(file->statements[i].statement);
            (void)sqlite3_clear_bindings(file->statements[i].statement);
            return file->statements[i].statement;
        }
    }
    assert(file->n < STORE_FILE_STATEMENTS);
    if (sqlite3_prepare_v3(file->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement,
                           NULL) != SQLITE_OK)
        return NULL;
    file->statements[file->n].sql = sql;
    file->statements[file->n++].statement = statement;
    return statement;
}

enum store_err store_file_failed(struct store_file *file, struct store_error *error)
{
    return store_failed(file->db, file->path, error);
}

enum store_err store_file_run(struct store_file *file, struct sqlite3_stmt *statement,
                              struct store_error *error)
{
    enum store_err err = STORE_OK;

    if (statement == NULL || sqlite3_step(statement) != SQLITE_DONE)
        err = store_file_failed(file, error);
    (void)sqlite3_reset(statement);
    return err;
}

enum store_err store_file_next(struct store_file *file, struct sqlite3_stmt *statement,
                               bool *ret_row, struct store_error *error)
{
    int step = statement != NULL ? sqlite3_step(statement) : SQLITE_ERROR;
    enum store_err err = STORE_OK;

    *ret_row = step == SQLITE_ROW;
    if (*ret_row)
        return STORE_OK;
    if (step != SQLITE_DONE)
        err = store_file_failed(file, error);
    (void)sqlite3_reset(statement);
    return err;
}

enum store_err store_file_exec(struct store_file *file, const char *sql,
                               struct store_error *error)
{
    if (sqlite3_exec(file->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return store_file_failed(file, error);
    return STORE_OK;
}
