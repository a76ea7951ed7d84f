/* store_private.h - what the files of the store share; only store*.c include it.
 *
 *   store.c         the queue, the places, the waits: what loops see
 *   store_writer.c  the thread that writes: batches, retries, notices
 *   store_reader.c  the thread that reads: jobs behind their barrier
 *   store_rows.c    rows into statements; what a crash left open
 *   store_retain.c  what is removed, in small steps
 *   store_query.c   questions
 *
 * Rows are numbered as they are put. Under the lock, always:
 *
 *      removed   |  batch: first .. taken   |  queue: taken+1 .. put
 *   <= committed |  the writer has it       |  not yet looked at
 *
 * A row stays in the one list (first..put) until it is committed, so that store_find sees
 * it in memory while the disk fails; only the writer takes off the front.
 */
#ifndef GATEWAY_IO_STORE_PRIVATE_H
#define GATEWAY_IO_STORE_PRIVATE_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "gateway/io/store.h"

/* -- rows -- */

enum store_sort { STORE_SORT_DECISION, STORE_SORT_FEEDBACK };

struct store_row {
    struct store_row *next;
    uint64_t number;
    enum store_sort sort;
    bool counted; /* among the rows of the queue's bound */
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

    /* Guards everything down to `jobs_last`. Held while pointers are linked, and while
     * store_find looks through memory because the disk fails. */
    pthread_mutex_t lock;
    pthread_cond_t work;  /* the writer: something to do sooner than it thinks */
    pthread_cond_t asked; /* the reader: a job came, or its barrier is reached */
    struct store_row *first, **last; /* not committed, by number */
    uint64_t put;                    /* number of the last row */
    uint64_t committed;              /* every row up to here is on disk */
    uint64_t urgent;                 /* rows up to here are waited for */
    uint64_t tried;    /* rows up to here were in a commit, good or failed */
    int64_t oldest_us; /* when the first row not yet looked at was put; monotonic */
    size_t bytes;      /* of the rows in the list */
    struct store_wait *waits, **waits_last; /* by number */
    struct store_job *jobs, **jobs_last;
    size_t n_jobs;
    bool idle;    /* the writer waits without a limit: wake it for the first row */
    bool closing; /* the writer ends when all is written */
    bool written; /* the writer has ended: the reader ends when no job waits */

    atomic_size_t places; /* rows in the list, and places held */
    atomic_bool failing;
    atomic_uint_fast64_t lost;
    uint64_t lost_told; /* the writer's: of `lost` noticed */
};

int64_t store_now_us(const struct store *store); /* monotonic */
void store_notify(const struct store *store, enum store_notice notice, int64_t n,
                  const char *text);

void *store_writer_main(void *store);
void *store_reader_main(void *store);

/* store_rows.c: one row into its tables; in a transaction of the caller's. */
NODISCARD enum store_err store_rows_write(struct store_file *file,
                                          const struct store_row *row,
                                          struct store_error *error);
/* Decisions that a dead gateway left open; one transaction. */
NODISCARD enum store_err store_rows_recover(struct store_file *file, int64_t *ret_crashed,
                                            struct store_error *error);

/* store_retain.c: one small step; *ret_removed 0: nothing is left to do for now. */
NODISCARD enum store_err store_retain_step(struct store_file *file, int64_t now_us,
                                           int64_t keep_days, int64_t keep_bytes,
                                           int64_t *ret_removed,
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
