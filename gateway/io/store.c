/* store.c - the queue that loops see, opening and closing. The threads are in
 * store_writer.c and store_reader.c, what they share in store_private.h.
 *
 * What must always hold: places == rows in the list + places held; a row leaves the list
 * only when it is committed or counted as lost; a wait is answered exactly once. */
#include "gateway/io/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "gateway/base/thread.h"
#include "gateway/io/store_private.h"

int64_t store_now_us(const struct store *store)
{
    (void)store;
    return clock_us(&clock_system);
}

void store_notify(const struct store *store, enum store_notice notice, int64_t n,
                  const char *text)
{
    if (store->settings.notice != NULL)
        store->settings.notice(store->settings.context, notice, n, text);
}

/* -- places ------------------------------------------------------------------------------ */

static bool has_room(const struct store *store, size_t places)
{
    return places < (size_t)store->settings.queue_rows &&
           atomic_load(&store->bytes) < (size_t)store->settings.queue_bytes;
}

/* Under the lock: rows up to this one are committed as soon as can be. */
static bool hurry(struct store *store, uint64_t number)
{
    if (number <= store->urgent || number <= store->committed)
        return false;
    store->urgent = number;
    store->idle = false;
    return true;
}

/* One more row that waits or is to come. Where there is no room, what waits is not left to
 * wait for its time. */
static bool take_room(struct store *store)
{
    bool wake;

    if (has_room(store, atomic_fetch_add(&store->places, 1)))
        return true;
    atomic_fetch_sub(&store->places, 1);
    pthread_mutex_lock(&store->lock);
    wake = hurry(store, store->put);
    pthread_mutex_unlock(&store->lock);
    if (wake)
        pthread_cond_signal(&store->work);
    return false;
}

bool store_admit(struct store *store, struct store_place *place)
{
    assert(!place->held);
    if (store->settings.refuse && store_failing(store))
        return false;
    if (!take_room(store))
        return false;
    place->held = true;
    return true;
}

void store_forgo(struct store *store, struct store_place *place)
{
    if (!place->held)
        return;
    place->held = false;
    atomic_fetch_sub(&store->places, 1);
    store_tell_room(store, 1, true);
}

void store_tell_room(struct store *store, size_t n, bool room)
{
    struct store_wait *first, **end = &first, *next;

    if (atomic_load(&store->n_rooms) == 0)
        return;
    pthread_mutex_lock(&store->lock);
    first = store->rooms;
    for (; n > 0 && *end != NULL; n--) {
        end = &(*end)->next;
        atomic_fetch_sub(&store->n_rooms, 1);
    }
    store->rooms = *end;
    *end = NULL;
    if (store->rooms == NULL)
        store->rooms_last = &store->rooms;
    pthread_mutex_unlock(&store->lock);
    for (; first != NULL; first = next) {
        next = first->next;
        store_answer(first, room);
    }
}

/* Whoever gives room looks for those who wait after it, and whoever waits looks for room
 * once more under the lock: so neither misses the other. */
void store_wait_room(struct store *store, struct store_wait *wait)
{
    bool failing, room;

    pthread_mutex_lock(&store->lock);
    atomic_fetch_add(&store->n_rooms, 1);
    failing = store_failing(store);
    room = has_room(store, atomic_load(&store->places));
    if (failing || room) {
        atomic_fetch_sub(&store->n_rooms, 1);
    } else {
        wait->next = NULL;
        *store->rooms_last = wait;
        store->rooms_last = &wait->next;
    }
    pthread_mutex_unlock(&store->lock);
    if (failing || room)
        store_answer(wait, !failing);
}

/* The place becomes the row's. */
static bool take_place(struct store *store, struct store_place *place)
{
    if (place != NULL && place->held) {
        place->held = false;
        return true;
    }
    return take_room(store);
}

/* -- writing ----------------------------------------------------------------------------- */

/* Under the lock. True: the writer is to be woken. */
static bool link_row(struct store *store, struct store_row *row, int64_t now_us)
{
    row->next = NULL;
    row->number = ++store->put;
    *store->last = row;
    store->last = &row->next;
    atomic_fetch_add_explicit(&store->bytes, row->bytes, memory_order_relaxed);
    if (store->put == store->taken + 1)
        store->oldest_us = now_us;
    if (store->put - store->taken >= (uint64_t)store->settings.commit_rows ||
        store->idle) {
        store->idle = false;
        return true;
    }
    return false;
}

static void link_wait(struct store *store, struct store_wait *wait, uint64_t number)
{
    wait->number = number;
    wait->next = NULL;
    *store->waits_last = wait;
    store->waits_last = &wait->next;
}

static void call_wait(void *arg)
{
    struct store_wait *wait = arg;

    wait->fn(wait->arg, wait->written);
}

void store_answer(struct store_wait *wait, bool written)
{
    wait->written = written;
    wait->mail = (struct loop_mail){ .fn = call_wait, .arg = wait };
    if (wait->loop != NULL)
        loop_post(wait->loop, &wait->mail);
    else
        call_wait(wait);
}

static bool put(struct store *store, struct store_row **row, struct store_place *place,
                struct store_wait *wait)
{
    int64_t now_us = store_now_us(store);
    bool failing = store_failing(store); /* then nobody is made to wait for a retry */
    bool wake;

    if (!take_place(store, place)) {
        store_row_free(*row);
        *row = NULL;
        atomic_fetch_add(&store->lost, 1);
        return false;
    }
    pthread_mutex_lock(&store->lock);
    wake = link_row(store, *row, now_us);
    if (wait != NULL && !failing) {
        link_wait(store, wait, store->put);
        wake = hurry(store, store->put) || wake;
    }
    pthread_mutex_unlock(&store->lock);
    *row = NULL;
    if (wake)
        pthread_cond_signal(&store->work);
    if (wait != NULL && failing)
        store_answer(wait, false);
    return true;
}

bool store_put(struct store *store, struct store_row **row, struct store_place *place)
{
    return put(store, row, place, NULL);
}

bool store_put_wait(struct store *store, struct store_row **row,
                    struct store_place *place, struct store_wait *wait)
{
    return put(store, row, place, wait);
}

void store_lose(struct store *store)
{
    atomic_fetch_add(&store->lost, 1);
}

/* -- reading ----------------------------------------------------------------------------- */

bool store_read(struct store *store, struct store_job *job)
{
    bool taken = false, wake = false;

    pthread_mutex_lock(&store->lock);
    if (store->n_jobs < STORE_JOBS_MAX) {
        job->barrier = store->put;
        job->next = NULL;
        *store->jobs_last = job;
        store->jobs_last = &job->next;
        store->n_jobs++;
        wake = hurry(store, job->barrier);
        taken = true;
    }
    pthread_mutex_unlock(&store->lock);
    if (wake)
        pthread_cond_signal(&store->work);
    if (taken)
        pthread_cond_signal(&store->asked);
    return taken;
}

/* -- state ------------------------------------------------------------------------------- */

bool store_failing(const struct store *store)
{
    return atomic_load_explicit(&store->failing, memory_order_relaxed);
}

bool store_refuses(const struct store *store)
{
    return store->settings.refuse;
}

bool store_is_full(const struct store *store)
{
    return store->settings.full;
}

size_t store_waiting(const struct store *store)
{
    return atomic_load_explicit(&store->places, memory_order_relaxed);
}

uint64_t store_lost(const struct store *store)
{
    return atomic_load_explicit(&store->lost, memory_order_relaxed);
}

const char *store_path(const struct store *store)
{
    return store->path;
}

/* -- opening and closing ----------------------------------------------------------------- */

/* SQLite's own locks let several programs write in turn, which is right for frugalctl;
 * but a second gateway would take what is open here for what a crash left. */
static enum store_err lock_file(struct store *store, struct store_error *error)
{
    char path[4096];

    if (snprintf(path, sizeof path, "%s-lock", store->path) >= (int)sizeof path)
        return store_error_set(error, STORE_IO, "store '%s': the path is too long",
                               store->path);
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->lock_fd < 0)
        return store_error_set(error, STORE_IO, "cannot open '%s': %s", path,
                               strerror(errno));
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return store_error_set(error, STORE_IN_USE,
                               "store '%s' is in use by another gateway", store->path);
    return STORE_OK;
}

static enum store_err open_files(struct store *store, struct store_error *error)
{
    int64_t crashed = 0;
    enum store_err err = lock_file(store, error);

    if (err == STORE_OK)
        err = store_file_open(store->path, STORE_FILE_CREATE, &store->out, error);
    if (err == STORE_OK)
        (void)sqlite3_busy_timeout(
            store_file_db(store->out),
            store->settings.busy_ms > 0 ? (int)store->settings.busy_ms : STORE_BUSY_MS);
    if (err == STORE_OK && store->settings.full)
        err = store_file_exec(store->out, "PRAGMA synchronous = FULL", error);
    if (err == STORE_OK)
        err = store_rows_recover(store->out, &crashed, error);
    if (err == STORE_OK && crashed > 0)
        store_notify(store, STORE_NOTICE_CRASHED, crashed, NULL);
    if (err == STORE_OK)
        err = store_file_open(store->path, STORE_FILE_READ, &store->in, error);
    return err;
}

static enum store_err start_threads(struct store *store, struct store_error *error)
{
    store->writing = thread_start(&store->writer, store_writer_main, store) == ERR_OK;
    store->reading = thread_start(&store->reader, store_reader_main, store) == ERR_OK;
    return store->writing && store->reading
               ? STORE_OK
               : store_error_set(error, STORE_NOMEM, "cannot start a thread");
}

static void init_locks(struct store *store)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->work, &monotonic);
    pthread_cond_init(&store->asked, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

enum store_err store_open(const struct store_settings *settings, struct store **ret_store,
                          struct store_error *error)
{
    struct store *store = calloc(1, sizeof *store);
    enum store_err err;

    assert(settings->commit_rows > 0 && settings->commit_ms >= 0);
    assert(settings->queue_rows > 0 && settings->queue_bytes > 0);
    if (store == NULL)
        return store_error_set(error, STORE_NOMEM, "out of memory");
    init_locks(store);
    store->settings = *settings;
    if (store->settings.clock == NULL)
        store->settings.clock = &clock_system;
    /* Half of the queue may wait for its time; the other half is for what comes meanwhile. */
    if (store->settings.commit_rows > (settings->queue_rows + 1) / 2)
        store->settings.commit_rows = (settings->queue_rows + 1) / 2;
    store->lock_fd = -1;
    store->last = &store->first;
    store->waits_last = &store->waits;
    store->rooms_last = &store->rooms;
    store->jobs_last = &store->jobs;
    store->path = strdup(settings->path);
    if (store->path == NULL)
        err = store_error_set(error, STORE_NOMEM, "out of memory");
    else
        err = open_files(store, error);
    if (err == STORE_OK)
        err = start_threads(store, error);
    if (err != STORE_OK) {
        store_close(store);
        return err;
    }
    *ret_store = store;
    return STORE_OK;
}

static void end_threads(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    store->closing = true;
    pthread_mutex_unlock(&store->lock);
    pthread_cond_signal(&store->work);
    if (store->writing)
        pthread_join(store->writer, NULL);
    pthread_mutex_lock(&store->lock);
    store->ended = true;
    pthread_mutex_unlock(&store->lock);
    pthread_cond_signal(&store->asked);
    if (store->reading)
        pthread_join(store->reader, NULL);
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    end_threads(store);
    assert(store->first == NULL && store->waits == NULL && store->jobs == NULL);
    assert(store->rooms == NULL);
    store_file_close(store->in);
    store_file_close(store->out); /* the last one moves the log into the file */
    if (store->lock_fd >= 0)
        (void)close(store->lock_fd);
    pthread_cond_destroy(&store->asked);
    pthread_cond_destroy(&store->work);
    pthread_mutex_destroy(&store->lock);
    free(store->path);
    free(store);
}
