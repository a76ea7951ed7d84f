/* decider.h - decisions that are due in one turn of the loop, stepped in one batch.
 *
 *     decision --decider_add--> queue --end of turn--> fuser_next(sessions, n) --> entry->fn
 *                                       |
 *                                       +-- a long search: pool thread, then the loop again
 *
 * Searching n prompts at once is cheaper than n searches, and a search that takes longer
 * than a loop may wait goes to a small pool. While an entry is on the pool its session
 * belongs to the pool's thread: decider_remove says so, and the owner, who can only mark
 * itself then, frees in entry->fn.
 *
 * Threads: the worker's own. Entries are embedded in their owner and *borrowed* from
 * decider_add until fn or a successful decider_remove.
 */
#ifndef GATEWAY_FLOW_DECIDER_H
#define GATEWAY_FLOW_DECIDER_H

#include <stdbool.h>
#include <stddef.h>

#include "fuser/fuser.h"
#include "gateway/domain/metrics.h"
#include "gateway/io/loop.h"
#include "gateway/io/pool.h"

#define DECIDER_BATCH_MAX 64 /* sessions in one call of fuser_next */

/* Floats that one prompt's search reads and that still take less than about 0.3 ms; above
 * it the batch leaves the loop. Numbers: performance.md. */
#define DECIDER_LOOP_FLOATS (4u << 20)

enum decider_place {
    DECIDER_NOWHERE, /* zeroed: not queued */
    DECIDER_QUEUED,  /* due at the end of this turn */
    DECIDER_AWAY     /* on the pool: the session must not be touched */
};

struct decider_entry {
    struct fuser *fuser; /* *borrowed*: entries with the same one are searched together */
    struct fuser_session *session; /* *borrowed* */
    size_t floats;                 /* read by one search: rows x dimensions */
    /* From the end of the turn or a later one; the entry is nowhere again. */
    void (*fn)(void *arg, const struct fuser_step *step);
    void *arg;
    enum decider_place place;
    struct decider_entry *next, **prev;
};

struct decider {
    struct loop *loop;
    struct pool *pool; /* NULL: every search runs on the loop */
    struct loop_task task;
    struct decider_entry *first, **last;
    struct metrics_block *metrics;
    size_t away; /* batches on the pool; the loop must not end before they are back */
};

/* All are borrowed. */
void decider_init(struct decider *decider, struct loop *loop, struct pool *pool,
                  struct metrics_block *metrics);
/* Nothing may be queued or away. */
void decider_release(struct decider *decider);

void decider_add(struct decider *decider, struct decider_entry *entry);
/* True: fn will not be called. False: the entry is away and fn will be called. */
bool decider_remove(struct decider *decider, struct decider_entry *entry);

#endif
