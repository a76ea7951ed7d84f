/* store_writer.c - the thread that writes.
 *
 *   sleep until   a row is commit_ms old, commit_rows wait, somebody waits, a retry or
 *                 retention is due, or the store closes
 *   take          what was put, at most BATCH_MAX rows
 *   commit        BEGIN; rows; COMMIT - not under the lock
 *        good     rows leave the list, waits and jobs are told
 *        refused  one row that the tables do not take: it is lost, the rest tried again
 *        failed   the rows stay, waits are told `false`, tried again after a while
 */
#include <string.h>
#include <time.h>

#include "gateway/io/store_private.h"

#define BATCH_MAX       512 /* rows of one transaction: a long one keeps room from who waits */
#define RETRY_FIRST_MS  50
#define RETRY_MAX_MS    1000
#define CLOSE_TRIES     3 /* commits that fail at the end before rows are given up */
#define RETAIN_EVERY_MS 1000
#define RETAIN_SHARE    4 /* 1/5 of the writer's time at most, unless it is urgent */

/* The writer's own, on its thread's stack. */
struct writer {
    struct store *store;
    int64_t retry_ms;     /* until the next try; 0: the last commit was good */
    int64_t retry_due_us; /* valid while failing */
    int64_t retain_due_us;
    unsigned close_tries;
    int64_t removed; /* by retention, not yet noticed */
    uint64_t lost_told;
    struct store_error error; /* of the last commit */
    struct store_sums sums;   /* of the transaction */
};

static void count(const struct store *store, enum metric metric, uint64_t n)
{
    if (store->settings.metrics != NULL && n > 0)
        metrics_add(store->settings.metrics, metric, 0, 0, n);
}

static void show(const struct store *store, enum metric metric, int64_t value)
{
    if (store->settings.metrics != NULL)
        metrics_set(store->settings.metrics, metric, 0, value);
}

/* -- sleeping ---------------------------------------------------------------------------- */

static bool retains(const struct store *store)
{
    return store->settings.keep_days > 0 || store->settings.keep_bytes > 0;
}

/* Under the lock: when the next commit is due; INT64_MAX: nothing to commit. */
static int64_t commit_due(const struct writer *w)
{
    const struct store *store = w->store;

    if (store->first == NULL)
        return INT64_MAX;
    if (w->retry_ms > 0)
        return store->closing ? 0 : w->retry_due_us;
    if (store->closing || store->urgent > store->committed ||
        store->taken > store->committed ||
        store->put - store->taken >= (uint64_t)store->settings.commit_rows)
        return 0;
    return store->oldest_us + store->settings.commit_ms * 1000;
}

static void sleep_until(struct store *store, int64_t due_us)
{
    struct timespec due = { .tv_sec = due_us / 1000000,
                            .tv_nsec = due_us % 1000000 * 1000 };

    if (due_us == INT64_MAX)
        pthread_cond_wait(&store->work, &store->lock);
    else
        (void)pthread_cond_timedwait(&store->work, &store->lock, &due);
}

/* Under the lock. False: the end. */
static bool wait_for_work(struct writer *w)
{
    struct store *store = w->store;

    for (;;) {
        int64_t now_us = store_now_us(store), due_us = commit_due(w);

        if (due_us <= now_us)
            return true;
        if (store->closing && store->first == NULL)
            return false;
        if (retains(store) && w->retain_due_us < due_us)
            due_us = w->retain_due_us;
        if (due_us <= now_us)
            return true;
        store->idle = store->first == NULL;
        sleep_until(store, due_us);
        store->idle = false;
    }
}

/* -- a commit ---------------------------------------------------------------------------- */

/* Rows from the front up to `taken`. Not under the lock: nobody else takes rows off, and
 * what is appended is behind `taken`. */
static enum store_err write_rows(struct writer *w, struct store_row *row, uint64_t taken,
                                 struct store_row **ret_refused)
{
    struct store *store = w->store;
    enum store_err err = store_rows_begin(store->out, &w->error);

    memset(&w->sums, 0, sizeof w->sums);
    while (err == STORE_OK) {
        err = store_rows_write(store->out, &w->sums, row, &w->error);
        if (err == STORE_REFUSED)
            *ret_refused = row;
        if (row->number == taken)
            break;
        row = row->next;
    }
    if (err == STORE_OK)
        err = store_rows_flush(store->out, &w->sums, &w->error);
    if (err == STORE_OK)
        err = store_rows_commit(store->out, &w->error);
    if (err != STORE_OK)
        store_rows_rollback(store->out);
    return err;
}

/* Under the lock: waits for rows `first` to `last`, to be answered without it. */
static struct store_wait *take_waits(struct store *store, uint64_t first, uint64_t last)
{
    struct store_wait *taken = NULL, **end = &taken, **link = &store->waits;

    while (*link != NULL && (*link)->number < first)
        link = &(*link)->next;
    while (*link != NULL && (*link)->number <= last) {
        *end = *link;
        *link = (*link)->next;
        end = &(*end)->next;
        *end = NULL;
    }
    if (*link == NULL)
        store->waits_last = link;
    return taken;
}

static void answer_waits(struct store_wait *wait, bool written)
{
    struct store_wait *next;

    for (; wait != NULL; wait = next) {
        next = wait->next;
        store_answer(wait, written);
    }
}

/* Rows up to `number` leave the list and are freed; returns how many. */
static size_t drop_rows(struct store *store, uint64_t number, bool written)
{
    struct store_row *row, *next, *end;
    struct store_wait *waits;
    size_t bytes = 0, n = 0;

    pthread_mutex_lock(&store->lock);
    row = store->first;
    for (end = row; end != NULL && end->number <= number; end = end->next)
        ;
    store->first = end;
    if (end == NULL)
        store->last = &store->first;
    store->committed = number;
    waits = take_waits(store, 0, number);
    pthread_mutex_unlock(&store->lock);
    pthread_cond_signal(&store->asked);
    for (; row != end; row = next) {
        next = row->next;
        bytes += row->bytes;
        n++;
        store_row_free(row);
    }
    atomic_fetch_sub(&store->places, n);
    atomic_fetch_sub(&store->bytes, bytes);
    answer_waits(waits, written);
    store_tell_room(store, n, true);
    return n;
}

/* The tables do not take this row and never will. It stays as a mark, so that numbers have
 * no gap, and goes with its batch. */
static void lose_row(struct writer *w, struct store_row *refused)
{
    struct store *store = w->store;
    struct store_wait *waits;

    pthread_mutex_lock(&store->lock);
    refused->sort = STORE_SORT_LOST;
    waits = take_waits(store, refused->number, refused->number);
    pthread_mutex_unlock(&store->lock);
    atomic_fetch_add(&store->lost, 1);
    store_notify(store, STORE_NOTICE_REFUSED, 1, w->error.text);
    answer_waits(waits, false);
}

static void works_again(struct writer *w)
{
    w->retry_ms = 0;
    w->close_tries = 0;
    if (!atomic_exchange(&w->store->failing, false))
        return;
    show(w->store, METRIC_STORE_FAILING, 0);
    store_notify(w->store, STORE_NOTICE_WORKING, 0, NULL);
}

static void failed(struct writer *w)
{
    struct store *store = w->store;
    struct store_wait *waits;

    count(store, METRIC_STORE_FAILURES, 1);
    w->retry_ms = w->retry_ms == 0 ? RETRY_FIRST_MS : w->retry_ms * 2;
    if (w->retry_ms > RETRY_MAX_MS)
        w->retry_ms = RETRY_MAX_MS;
    w->retry_due_us = store_now_us(store) + w->retry_ms * 1000;
    if (!atomic_exchange(&store->failing, true)) {
        show(store, METRIC_STORE_FAILING, 1);
        store_notify(store, STORE_NOTICE_FAILING, 0, w->error.text);
    }
    pthread_mutex_lock(&store->lock);
    waits = take_waits(store, 0, UINT64_MAX);
    pthread_mutex_unlock(&store->lock);
    pthread_cond_signal(&store->asked);
    answer_waits(waits, false);
    store_tell_room(store, SIZE_MAX, false);
}

static void committed(struct writer *w, uint64_t number, int64_t begun_us)
{
    struct store *store = w->store;

    if (store->settings.metrics != NULL)
        metrics_observe(store->settings.metrics, METRIC_STORE_COMMIT, 0,
                        store_now_us(store) - begun_us);
    works_again(w);
    count(store, METRIC_STORE_ROWS, drop_rows(store, number, true));
}

static void commit(struct writer *w)
{
    struct store *store = w->store;
    struct store_row *first, *refused = NULL;
    int64_t begun_us = store_now_us(store);
    enum store_err err;
    uint64_t number;
    bool closing;

    pthread_mutex_lock(&store->lock);
    first = store->first;
    number = store->put;
    if (number - first->number >= BATCH_MAX)
        number = first->number + BATCH_MAX - 1;
    store->taken = number;
    closing = store->closing;
    pthread_mutex_unlock(&store->lock);
    w->error.text[0] = '\0';
    err = write_rows(w, first, number, &refused);
    if (err == STORE_OK) {
        committed(w, number, begun_us);
    } else if (err == STORE_REFUSED && refused) {
        lose_row(w, refused);
    } else {
        failed(w);
        if (closing && ++w->close_tries >= CLOSE_TRIES)
            atomic_fetch_add(&store->lost, drop_rows(store, number, false));
    }
}

/* -- between commits --------------------------------------------------------------------- */

static void retain(struct writer *w)
{
    struct store *store = w->store;
    const struct store_settings *settings = &store->settings;
    struct store_retained retained = { 0, false };
    int64_t begun_us = store_now_us(store);
    enum store_err err;

    w->error.text[0] = '\0';
    err =
        store_retain_step(store->out, clock_wall_us(settings->clock), settings->keep_days,
                          settings->keep_bytes, &retained, &w->error);
    if (err != STORE_OK)
        count(store, METRIC_STORE_FAILURES, 1);
    count(store, METRIC_STORE_REMOVED, (uint64_t)retained.removed);
    w->removed += retained.removed;
    w->retain_due_us = store_now_us(store);
    if (retained.removed > 0) {
        if (!retained.urgent)
            w->retain_due_us += (w->retain_due_us - begun_us) * RETAIN_SHARE;
        return;
    }
    w->retain_due_us += RETAIN_EVERY_MS * 1000;
    if (w->removed > 0)
        store_notify(store, STORE_NOTICE_REMOVED, w->removed, NULL);
    w->removed = 0;
}

static void tell(struct writer *w)
{
    uint64_t lost = store_lost(w->store);

    show(w->store, METRIC_STORE_WAITING, (int64_t)store_waiting(w->store));
    if (lost == w->lost_told)
        return;
    count(w->store, METRIC_STORE_LOST, lost - w->lost_told);
    store_notify(w->store, STORE_NOTICE_LOST, (int64_t)(lost - w->lost_told), NULL);
    w->lost_told = lost;
}

static bool commit_is_due(const struct writer *w)
{
    bool due;

    pthread_mutex_lock(&w->store->lock);
    due = commit_due(w) <= store_now_us(w->store);
    pthread_mutex_unlock(&w->store->lock);
    return due;
}

void *store_writer_main(void *arg)
{
    struct writer w = { .store = arg };
    bool more = true;

    while (more) {
        pthread_mutex_lock(&w.store->lock);
        more = wait_for_work(&w);
        pthread_mutex_unlock(&w.store->lock);
        if (more && commit_is_due(&w))
            commit(&w);
        if (more && retains(w.store) && w.retain_due_us <= store_now_us(w.store))
            retain(&w);
        tell(&w);
    }
    return NULL;
}
