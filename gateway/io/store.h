/* store.h - the ledger and the decisions on disk: one thread writes, one reads, and no
 * event loop ever waits for either.
 *
 *   main      store_open()                before the workers start
 *   loops     store_admit() ... store_put()          a place first, the row at the end
 *             store_put_wait() ... wait->fn          where the row must be on disk first
 *             store_read(job) ... job->done          a question, answered on the same loop
 *   main      store_close()               after the drain: everything is written
 *
 *   loop --+                     +--------+  BEGIN; rows; COMMIT   +-----------+
 *   loop --+-- rows (pointers) ->| writer |----------------------->| SQLite,   |
 *   loop --+                     +--------+                        | WAL       |
 *     ^                               | written up to row n        |           |
 *     |    mail: it is on disk        v                            |           |
 *     +-------------------------- waits                            |           |
 *     |    mail: done            +--------+  SELECT                |           |
 *     +--------------------------| reader |<-----------------------|           |
 *          jobs ---------------->+--------+                        +-----------+
 *                                                    frugalctl reads and writes beside us
 *
 * What is promised. A row that was put is committed after commit_ms at the latest, or when
 * commit_rows of them wait, and the time of a commit. A kill -9 loses what was put
 * and not committed: no more than that. `full` syncs each commit to the disk, so that the
 * same holds for a loss of power; otherwise a loss of power may take the last commits, and
 * never breaks the file. A row put with store_put_wait is committed at once (together with
 * all that waits: one sync for many) and its fn says so: nothing of it is ever lost.
 *
 * Failure. When a commit fails (disk full, file locked for longer than STORE_BUSY_MS) its
 * rows stay in memory and are tried again for ever; store_failing() says so, the notice is
 * given, those who wait are told `false`. The queue is bounded: with `refuse` store_admit
 * is false while it fails, and whoever has a place can always put; with `continue` a row
 * that finds no room is lost, counted and noticed. Never silently. A queue that is full
 * only since more comes than can be written is waited for, not refused.
 *
 * Reading. A job runs after a barrier: it sees every row that was put before store_read.
 * While the store fails it sees what is committed, and store_find() also what is in memory.
 *
 * One gateway a file: store_open takes a lock on "<path>-lock" and refuses a second one.
 * Decisions that are OPEN when the store is opened belong to a gateway that died: they
 * become CRASHED, their open charges are spent at the worst case.
 *
 * Threads: store_open, store_close on main; the rest on any thread. No call blocks but
 * those two: the lock is held for as long as a pointer takes to be linked.
 */
#ifndef GATEWAY_IO_STORE_H
#define GATEWAY_IO_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/clock.h"
#include "gateway/base/err.h"
#include "gateway/domain/metrics.h"
#include "gateway/io/loop.h"
#include "gateway/io/store_query.h"
#include "gateway/io/store_row.h"
#include "gateway/io/store_schema.h"

#define STORE_JOBS_MAX 256 /* questions that wait for the reader */

struct store;

/* What main tells the operator; called on the writer's thread (inside store_open and
 * store_close on main's). */
enum store_notice {
    STORE_NOTICE_CRASHED, /* n decisions were open at the start */
    STORE_NOTICE_FAILING, /* a commit failed: text says why; once until it works again */
    STORE_NOTICE_WORKING, /* it works again */
    STORE_NOTICE_LOST,    /* n rows were lost since the last notice */
    STORE_NOTICE_REFUSED, /* one of them since the tables do not take it: text says why */
    STORE_NOTICE_REMOVED, /* n decisions were removed by retention */
};

struct store_settings {
    const char *path;               /* borrowed during store_open */
    bool full;                      /* sync each commit */
    bool refuse;                    /* on failure: refuse rather than lose */
    int64_t commit_ms, commit_rows; /* commit_rows: half of queue_rows at most */
    int64_t busy_ms; /* a lock of another process is waited for; 0: STORE_BUSY_MS */
    int64_t queue_rows, queue_bytes; /* rows that are put or have a place; their bytes */
    int64_t keep_days;               /* decisions older than this are removed; 0: never */
    int64_t keep_bytes;              /* the oldest go when the file is larger; 0: never */
    const struct clock *clock;       /* borrowed; NULL: the system's */
    struct metrics_block *metrics;   /* the writer's own; NULL: none */
    void (*notice)(void *context, enum store_notice notice, int64_t n, const char *text);
    void *context; /* notice may be NULL */
};

/* Makes or migrates the file, settles what a crash left open, starts both threads. */
NODISCARD enum store_err store_open(const struct store_settings *settings,
                                    struct store **ret_store, struct store_error *error);
/* Writes what was put, ends the threads. What cannot be written after several tries is
 * noticed as lost. No job may be waiting on a loop that is gone. Takes NULL. */
void store_close(struct store *store);

/* -- writing ----------------------------------------------------------------------------- */

/* A place in the queue for a row that is to come; embedded in the owner, zeroed. */
struct store_place {
    bool held;
};

/* Takes a place. False: there is none, or the store fails and refuses. With `continue` the
 * request then goes on without one; with `refuse` it waits (store_wait_room), or is not
 * begun where store_failing(). */
NODISCARD bool store_admit(struct store *store, struct store_place *place);
/* Nothing is put after all. Harmless without a place. */
void store_forgo(struct store *store, struct store_place *place);
/* Takes *row, in any case. With a held place (may be NULL), which it uses up, it cannot
 * fail; otherwise false when the queue is full: the row is lost and counted. */
bool store_put(struct store *store, struct store_row **row, struct store_place *place);

/* Counts a row that could not even be made. */
void store_lose(struct store *store);

/* Someone who must know when his row is on disk. Borrowed until fn. */
struct store_wait {
    void (*fn)(void *arg, bool written); /* on the loop; false: the commit failed, and the
                                            row is tried again without him */
    void *arg;
    struct loop *loop; /* NULL: on the writer's thread */
    /* the store's */
    struct loop_mail mail;
    struct store_wait *next;
    uint64_t number; /* of the row */
    bool written;
};
/* The same as store_put; true: fn will be called, once. */
NODISCARD bool store_put_wait(struct store *store, struct store_row **row,
                              struct store_place *place, struct store_wait *wait);

/* fn is called, once, with true when there may be room again, to be asked for by
 * store_admit, first come, first served; with false when the store fails. */
void store_wait_room(struct store *store, struct store_wait *wait);

/* -- reading ----------------------------------------------------------------------------- */

/* A question, embedded in the owner's struct. */
struct store_job {
    void (*run)(void *arg, struct store_view *view); /* on the reader's thread; may take
                                                        its time; store_query.h */
    void (*done)(void *arg);                         /* on the loop, afterwards */
    void *arg;
    struct loop *loop; /* where done runs; NULL: on the reader's thread */
    /* the store's */
    struct loop_mail mail;
    struct store_job *next;
    uint64_t barrier;
};
/* The job is *borrowed* until done. False: too many wait (STORE_JOBS_MAX). A job cannot be
 * taken back: an owner that loses interest marks itself and frees in done. */
NODISCARD bool store_read(struct store *store, struct store_job *job);

/* -- state ------------------------------------------------------------------------------- */

bool store_failing(const struct store *store);   /* the last commit failed */
bool store_refuses(const struct store *store);   /* the setting */
bool store_is_full(const struct store *store);   /* the setting: durability */
size_t store_waiting(const struct store *store); /* rows not yet committed, and places */
uint64_t store_lost(const struct store *store);  /* rows lost so far */
const char *store_path(const struct store *store);

#endif
