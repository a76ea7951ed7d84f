/* store_schema.h - the tables of the gateway's database, their versions, and how an older
 * file becomes a present one.
 *
 *   decisions   one row a decision: columns that are searched by, and `record`, the whole
 *               story as JSON. Ids carry their time, so id order is time order
 *   charges     what a decision paid, or may have paid: one row a paid call
 *   spend       sums of charges by UTC day, key, policy, expert and kind; added to in the
 *               transaction of the charges, never removed. Budgets continue from it
 *   keys        who may ask (hashes of secrets, never secrets), for whom, for how much
 *   feedback    scores of answers, with what a calibration row needs
 *
 * Conventions: money is integer pico-USD, NULL is "unknown" (MONEY_NONE), never 0; *_us is
 * microseconds since 1970, UTC; `day` is days since 1970, UTC; a text that does not apply
 * is '' in `key` and `policy`, and NULL elsewhere. `bound_pico` is what the promises are
 * kept with, `spent_pico` what is believed; bound >= spent unless an expert broke its
 * limit.
 *
 * PRAGMA user_version is the number of the schema, application_id marks the file as ours. A
 * step that was released never changes: another is appended to the table in the .c file.
 * Used by the daemon (through store.h) and by frugalctl. Threads: none of its own.
 */
#ifndef GATEWAY_IO_STORE_SCHEMA_H
#define GATEWAY_IO_STORE_SCHEMA_H

#include "gateway/base/err.h"

#define STORE_APPLICATION 0x46474454 /* "FGDT" */

#define STORE_ERRORS(X)                                                                  \
    X(OK, "success")                                                                     \
    X(NOMEM, "out of memory")                                                            \
    X(IO, "cannot be read or written")                                                   \
    X(BUSY, "locked by another process")                                                 \
    X(FULL, "the disk or the queue is full")                                             \
    X(FOREIGN, "not a database of the gateway")                                          \
    X(NEWER, "of a newer version")                                                       \
    X(ABSENT, "not there")                                                               \
    X(REFUSED, "a value that the tables do not take")                                    \
    X(IN_USE, "in use by another gateway")                                               \
    X(SLOW, "it takes too long")

enum store_err {
#define X(name, text) STORE_##name,
    STORE_ERRORS(X)
#undef X
};

const char *store_err_text(enum store_err err);

/* The caller's; the first error wins. Starts as { "" }. */
struct store_error {
    char text[400]; /* "store 'frugal.db': database is locked" */
};

struct sqlite3; /* SQLite's connection */

int store_schema_version(void); /* the one that this program writes */

/* Brings the open database to this program's version, in one transaction: an empty one is
 * made, an older one migrated step by step, the present one left alone. NEWER or FOREIGN:
 * nothing was touched. path is for the error's text, error may be NULL. */
NODISCARD enum store_err store_schema_migrate(struct sqlite3 *db, const char *path,
                                              struct store_error *error);
/* The same judgement without writing anything: OK only for the present version. ABSENT:
 * older or empty. */
NODISCARD enum store_err store_schema_check(struct sqlite3 *db, const char *path,
                                            struct store_error *error);

/* What SQLite's last result on this connection means, with its text in error. */
enum store_err store_failed(struct sqlite3 *db, const char *path,
                            struct store_error *error);
/* Sets the text and returns err. */
enum store_err store_error_set(struct store_error *error, enum store_err err,
                               const char *format, ...) PRINTF_LIKE(3, 4);

#endif
