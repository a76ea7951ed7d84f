/* store_private.h - what the files of the store share; only they include it.
 *
 *   store.c         the queue, the places, the waits: what loops see
 *   store_writer.c  the thread that writes: batches, retries, notices
 *   store_reader.c  the thread that reads: jobs behind their barrier
 *   store_rows.c    rows into statements; what a crash left open
 *   store_retain.c  what is removed, in small steps
 *   store_query.c   questions
 *
 * Rows are numbered as they are put, and stand in one list until they are committed, so
 * that store_find sees them in memory while the disk fails. Under the lock, always:
 *
 *      gone          | first ... taken         | taken + 1 ... put
 *      <= committed  | the writer's batch, or  | not yet looked at
 *                    | what it tries again     |
 *
 * Only the writer takes off the front; it reads its batch without the lock, up to the row
 * `taken` and not that row's `next`.
 */
#ifndef GATEWAY_IO_STORE_PRIVATE_H
#define GATEWAY_IO_STORE_PRIVATE_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "gateway/io/store.h"

/* -- rows -- */

enum store_sort {
    STORE_SORT_DECISION,
    STORE_SORT_FEEDBACK,
    STORE_SORT_LOST, /* refused by the tables: a mark until its batch goes */
};

struct store_row {
    struct store_row *next; /* in the store's list */
    uint64_t number;
    enum store_sort sort;
    size_t bytes; /* of this piece of memory */
    union {
        struct store_decision decision;
        struct store_feedback feedback;
    };
    _Alignas(16) char rest[]; /* charges, texts */
};

/* -- the store -- */

struct store {
    /* constant after store_open */
    struct store_settings settings;
    char *path;
    int lock_fd;            /* one gateway a file */
    struct store_file *out; /* the writer's */
    struct store_file *in;  /* the reader's */
    pthread_t writer, reader;
    bool writing, reading; /* the threads were started */

    /* Guards everything down to `ended`. Held while pointers are linked, and while
     * store_find looks through the rows in memory. */
    pthread_mutex_t lock;
    pthread_cond_t work;  /* the writer: something to do sooner than it thinks */
    pthread_cond_t asked; /* the reader: a job came, or its barrier may be reached */
    struct store_row *first, **last; /* not committed, by number */
    uint64_t put;                    /* number of the last row */
    uint64_t taken;                  /* up to here the writer has looked at them */
    uint64_t committed;              /* up to here they are on disk, or counted as lost */
    uint64_t urgent;                 /* up to here somebody waits */
    int64_t oldest_us;               /* when row taken + 1 was put */
    struct store_wait *waits, **waits_last; /* by number */
    struct store_wait *rooms, **rooms_last; /* who waits for room */
    struct store_job *jobs, **jobs_last;
    size_t n_jobs;
    bool idle;    /* the writer sleeps: wake it for the first row */
    bool closing; /* the writer ends when everything is written */
    bool ended;   /* the writer has ended: the reader ends when no job waits */

    atomic_size_t places;  /* rows in the list, and places held */
    atomic_size_t bytes;   /* of the rows in the list */
    atomic_size_t n_rooms; /* waits in `rooms` */
    atomic_bool failing;
    atomic_uint_fast64_t lost;
};

int64_t store_now_us(const struct store *store); /* monotonic */
void store_notify(const struct store *store, enum store_notice notice, int64_t n,
                  const char *text);

/* There is room for n more: as many of who waits for it are told. */
void store_tell_room(struct store *store, size_t n, bool room);
/* Calls the wait's fn on its loop. */
void store_answer(struct store_wait *wait, bool written);

void *store_writer_main(void *store);
void *store_reader_main(void *store);

/* store_rows.c: one row into its tables; in a transaction of the caller's. What it adds to
 * `spend` stays in sums, whose texts are the rows', until it is flushed before the commit. */
#define STORE_SUMS 256
struct store_sums {                     /* zeroed for each transaction */
    struct store_spend all[STORE_SUMS]; /* kind empty: none */
};
NODISCARD enum store_err store_rows_write(struct store_file *file,
                                          struct store_sums *sums,
                                          const struct store_row *row,
                                          struct store_error *error);
NODISCARD enum store_err store_rows_flush(struct store_file *file,
                                          struct store_sums *sums,
                                          struct store_error *error);
NODISCARD enum store_err store_rows_begin(struct store_file *file,
                                          struct store_error *error);
NODISCARD enum store_err store_rows_commit(struct store_file *file,
                                           struct store_error *error);
void store_rows_rollback(struct store_file *file); /* harmless outside a transaction */
/* Decisions that a dead gateway left open; one transaction. */
NODISCARD enum store_err store_rows_recover(struct store_file *file, int64_t *ret_crashed,
                                            struct store_error *error);

/* store_retain.c: one small step. */
struct store_retained {
    int64_t removed; /* decisions; 0: nothing is left to do for now */
    bool urgent;     /* the file holds far more than it may */
};
NODISCARD enum store_err store_retain_step(struct store_file *file, int64_t now_us,
                                           int64_t keep_days, int64_t keep_bytes,
                                           struct store_retained *ret,
                                           struct store_error *error);

/* -- values -- */

bool store_bind_str(sqlite3_stmt *statement, int at, struct str text); /* NULL: NULL */
bool store_bind_text(sqlite3_stmt *statement, int at, const char *text);
bool store_bind_int(sqlite3_stmt *statement, int at, int64_t value);
bool store_bind_pico(sqlite3_stmt *statement, int at, int64_t pico);     /* NONE: NULL */
bool store_bind_tokens(sqlite3_stmt *statement, int at, int64_t tokens); /* -1: NULL */
/* Borrowed until the statement's next step. */
struct str store_column_str(sqlite3_stmt *statement, int at);
int64_t store_column_pico(sqlite3_stmt *statement, int at);
int64_t store_column_tokens(sqlite3_stmt *statement, int at);

#endif
