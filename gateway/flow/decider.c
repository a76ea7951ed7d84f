/* decider.c - decisions that are due in one turn, stepped in one batch; see decider.h.
 *
 * A batch holds sessions of one fuser only (a reload makes two fusers live side by side).
 * Entries are taken in the order in which they became due.
 */
#include "gateway/flow/decider.h"

#include <assert.h>
#include <stdlib.h>

#include "gateway/base/clock.h"

struct batch {
    struct decider *decider;
    struct pool_job job;
    int64_t search_us; /* how long it took */
    size_t n;
    struct decider_entry *entries[DECIDER_BATCH_MAX];
    struct fuser_session *sessions[DECIDER_BATCH_MAX];
    struct fuser_step steps[DECIDER_BATCH_MAX];
};

static void entry_unlink(struct decider *decider, struct decider_entry *entry)
{
    *entry->prev = entry->next;
    if (entry->next != NULL)
        entry->next->prev = entry->prev;
    else
        decider->last = entry->prev;
    entry->next = NULL;
    entry->prev = NULL;
}

/* Moves queued entries of the first one's fuser into the batch; returns the floats that
 * one search reads. */
static size_t batch_take(struct decider *decider, struct batch *batch)
{
    struct fuser *fuser = decider->first->fuser;
    struct decider_entry *entry, *next;
    size_t floats = 0;

    batch->n = 0;
    for (entry = decider->first; entry != NULL && batch->n < DECIDER_BATCH_MAX;
         entry = next) {
        next = entry->next;
        if (entry->fuser != fuser)
            continue;
        entry_unlink(decider, entry);
        entry->place = DECIDER_AWAY;
        batch->entries[batch->n] = entry;
        batch->sessions[batch->n] = entry->session;
        batch->n++;
        if (entry->floats > floats)
            floats = entry->floats;
    }
    return floats;
}

static void batch_step(void *arg)
{
    struct batch *batch = arg;

    batch->search_us = clock_us(&clock_system);
    fuser_next(batch->sessions, batch->n, batch->steps);
    batch->search_us = clock_us(&clock_system) - batch->search_us;
}

/* An owner may free itself in fn, and others may add or remove entries, but not those of
 * this batch: they are away until their own turn comes. */
static void batch_tell(struct batch *batch)
{
    metrics_observe(batch->decider->metrics, METRIC_SEARCH, 0, batch->search_us);
    for (size_t i = 0; i < batch->n; i++) {
        struct decider_entry *entry = batch->entries[i];

        entry->place = DECIDER_NOWHERE;
        entry->fn(entry->arg, &batch->steps[i]);
    }
}

static void batch_back(void *arg)
{
    struct batch *batch = arg;

    batch->decider->away--;
    batch_tell(batch);
    free(batch);
}

/* True: the batch is on its way to the pool. A full pool or no memory is no reason to fail
 * a request: the search then runs here, late for others but right. */
static bool batch_send(struct decider *decider, const struct batch *batch)
{
    struct batch *copy;

    copy = malloc(sizeof *copy);
    if (copy == NULL)
        return false;
    *copy = *batch;
    copy->job = (struct pool_job){
        .run = batch_step, .done = batch_back, .arg = copy, .loop = decider->loop
    };
    decider->away++;
    if (pool_submit(decider->pool, &copy->job) == POOL_OK)
        return true;
    decider->away--;
    free(copy);
    return false;
}

static void decider_run(void *arg)
{
    struct decider *decider = arg;
    struct batch batch = { .decider = decider };

    while (decider->first != NULL) {
        size_t floats = batch_take(decider, &batch);

        if (floats > DECIDER_LOOP_FLOATS && decider->pool != NULL &&
            batch_send(decider, &batch))
            continue;
        batch_step(&batch);
        batch_tell(&batch);
    }
}

void decider_init(struct decider *decider, struct loop *loop, struct pool *pool,
                  struct metrics_block *metrics)
{
    *decider = (struct decider){ .loop = loop, .pool = pool, .metrics = metrics };
    decider->task = (struct loop_task){ .fn = decider_run, .arg = decider };
    decider->last = &decider->first;
}

void decider_release(struct decider *decider)
{
    assert(decider->first == NULL && decider->away == 0);
    loop_undefer(decider->loop, &decider->task);
}

void decider_add(struct decider *decider, struct decider_entry *entry)
{
    assert(entry->place == DECIDER_NOWHERE);
    assert(entry->fuser != NULL && entry->session != NULL);
    entry->place = DECIDER_QUEUED;
    entry->next = NULL;
    entry->prev = decider->last;
    *decider->last = entry;
    decider->last = &entry->next;
    loop_defer(decider->loop, &decider->task, LOOP_WORK);
}

bool decider_remove(struct decider *decider, struct decider_entry *entry)
{
    if (entry->place == DECIDER_AWAY)
        return false;
    if (entry->place == DECIDER_QUEUED) {
        entry_unlink(decider, entry);
        entry->place = DECIDER_NOWHERE;
    }
    return true;
}
