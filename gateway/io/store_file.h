/* store_file.h - one connection to the gateway's database.
 *
 *   struct store_file *file;
 *   struct store_error error = { "" };
 *   if (store_file_open("frugal.db", STORE_FILE_READ, &file, &error) != STORE_OK)
 *       fprintf(stderr, "%s\n", error.text);
 *   ... store_query.h, or statements of one's own through store_file_db() ...
 *   store_file_close(file);
 *
 * The daemon's writer and its reader have one each (store.h); frugalctl opens its own
 * beside a running gateway: the file is in WAL mode, where readers and the one writer do
 * not wait for each other, and two writers wait for each other's commit.
 *
 * Threads: a connection belongs to one thread at a time.
 */
#ifndef GATEWAY_IO_STORE_FILE_H
#define GATEWAY_IO_STORE_FILE_H

#include <stdbool.h>

#include "gateway/base/err.h"
#include "gateway/io/store_schema.h"

#define STORE_BUSY_MS    2000  /* the daemon's writer waits so long for another's lock */
#define STORE_PATIENT_MS 10000 /* everybody else for the daemon's, which comes often */

struct sqlite3;
struct sqlite3_stmt;
struct store_file;

enum store_file_mode {
    STORE_FILE_CREATE, /* made when absent, migrated when older: the daemon, frugalctl keys */
    STORE_FILE_WRITE, /* ABSENT when it is not there */
    STORE_FILE_READ,  /* the same, and nothing can be written */
};

NODISCARD enum store_err store_file_open(const char *path, enum store_file_mode mode,
                                         struct store_file **ret_file,
                                         struct store_error *error);
void store_file_close(struct store_file *file); /* takes NULL; rolls back what is open */

struct sqlite3 *store_file_db(struct store_file *file); /* borrowed */
const char *store_file_path(const struct store_file *file);

/* A statement made at first use and kept, handed out reset and unbound. sql is a literal:
 * it is known again by its address. NULL: SQLite refuses, see store_file_failed(). */
#define STORE_FILE_STATEMENTS 64
struct sqlite3_stmt *store_file_ready(struct store_file *file, const char *sql);
/* Runs to its end a statement that gives no row; resets it. A NULL statement is an error. */
NODISCARD enum store_err store_file_run(struct store_file *file,
                                        struct sqlite3_stmt *statement,
                                        struct store_error *error);
/* Steps to the next row; *ret_row false: no more, and the statement is reset. */
NODISCARD enum store_err store_file_next(struct store_file *file,
                                         struct sqlite3_stmt *statement, bool *ret_row,
                                         struct store_error *error);
/* Several statements without results. */
NODISCARD enum store_err store_file_exec(struct store_file *file, const char *sql,
                                         struct store_error *error);
enum store_err store_file_failed(struct store_file *file, struct store_error *error);

#endif
