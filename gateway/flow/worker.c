/* worker.c - one thread, one event loop, all that its exchanges share; see worker.h.
 *
 * End of a worker:
 *
 *   drain --> listeners quiesce --> open connections may --> no exchange left ------> stop
 *                                   bring one more request  \-> the limit: exchanges
 *                                   (drain_grace)                 are shut --> last writes
 *                                                               (FLUSH_MS) --> stop
 */
#include "gateway/flow/worker.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/thread.h"
#include "gateway/flow/checkup.h"
#include "gateway/flow/probe.h"

/* libgomp's. Declared here since clang, which the lints run, does not find gcc's omp.h. */
void omp_set_num_threads(int n);

#define FLUSH_MS 250 /* for the last words to clients once exchanges were shut */

/* What other threads ask of the worker; owned by its mail. */
struct worker_offer {
    struct loop_mail mail;
    struct worker *worker;
    struct snapshot *snapshot; /* owned reference, or NULL */
    struct keyring *keyring;   /* the same */
    struct worker_publication *publication;
};
struct order_mail {
    struct loop_mail mail;
    struct worker *worker;
    unsigned limit_ms; /* drain */
};

struct worker {
    struct service *service;
    unsigned index;
    struct loop *loop;
    struct http *http;
    struct metrics_block *metrics;
    struct snapshot *snapshot; /* owned reference */
    struct keyring *keyring;   /* owned reference, or NULL */
    struct decider decider;
    struct admission_queue *queue;
    struct id_source ids;
    struct log_collector log;
    struct loop_task log_task;
    struct probe *probe;     /* of the snapshot; on worker 0 */
    struct checkup *checkup; /* likewise */
    struct worker_seat *seats;
    size_t n_seats;
    bool draining;
    bool shut;          /* the drain's limit is over */
    unsigned n_waiting; /* listeners whose connections may still bring a request */
    struct loop_timer drain_timer, grace_timer;
    struct loop_task stop_task;
    size_t n_listeners;
    struct {
        const struct listener_ops *ops;
        void *listener;
    } listeners[WORKER_LISTENERS_MAX];
    pthread_t thread;
    bool started;
    bool over; /* the thread has ended, or is about to: mail is only put away */
    struct loop_mail ended;     /* to the main thread */
    struct loop_mail pulse;     /* from it */
    atomic_bool ended_for_good; /* its loop turns no more */
    atomic_bool beating;        /* the pulse is on its way; false: the loop has felt it */
};

struct loop *worker_loop(struct worker *worker)
{
    return worker->loop;
}

struct http *worker_http(struct worker *worker)
{
    return worker->http;
}

struct metrics_block *worker_metrics(struct worker *worker)
{
    return worker->metrics;
}

struct service *worker_service(struct worker *worker)
{
    return worker->service;
}

unsigned worker_index(const struct worker *worker)
{
    return worker->index;
}

struct snapshot *worker_snapshot(struct worker *worker)
{
    return worker->snapshot;
}

struct keyring *worker_keys(struct worker *worker)
{
    return worker->keyring;
}

struct decider *worker_decider(struct worker *worker)
{
    return &worker->decider;
}

struct admission_queue *worker_queue(struct worker *worker)
{
    return worker->queue;
}

const char *worker_new_id(struct worker *worker, const char *prefix,
                          char text[ID_TEXT_BYTES])
{
    return id_new(&worker->ids, prefix, text);
}

size_t worker_exchanges(const struct worker *worker)
{
    return worker->n_seats;
}

bool worker_draining(const struct worker *worker)
{
    return worker->draining;
}

/* -- the snapshot ------------------------------------------------------------------------ */

/* Gauges of the bundle belong to the whole process; worker 0 shows them. */
static void show_snapshot(struct worker *worker)
{
    const struct snapshot *snapshot = worker->snapshot;
    const struct config *config = snapshot->config;
    int64_t rows = 0, without = 0;

    if (snapshot->fuser != NULL)
        rows = (int64_t)fuser_bundle_rows(fuser_bundle_of(snapshot->fuser));
    /* Those whose expert has gone are set to nothing. */
    for (size_t slot = 0; slot < METRICS_MAX_EXPERTS; slot++)
        metrics_set(worker->metrics, METRIC_EXPERT_ROWS, slot, 0);
    for (size_t i = 0; i < config->n_experts; i++) {
        if (config->experts[i].has_generator && (snapshot->known >> i & 1) == 0)
            without++;
        metrics_set(worker->metrics, METRIC_EXPERT_ROWS, snapshot->slots[i],
                    (int64_t)snapshot->rows[i]);
    }
    metrics_set(worker->metrics, METRIC_BUNDLE_LOADED, 0, snapshot->fuser != NULL);
    metrics_set(worker->metrics, METRIC_BUNDLE_ROWS, 0, rows);
    metrics_set(worker->metrics, METRIC_EXPERTS_WITHOUT_ROWS, 0, without);
    metrics_set(worker->metrics, METRIC_BUNDLE_EXPERTS_IGNORED, 0,
                (int64_t)snapshot->bundle_ignored);
}

static void take_snapshot(struct worker *worker)
{
    if (worker->index != 0 || worker->over || worker->draining)
        return;
    if (worker->service->vectors != NULL)
        vector_cache_limit(
            worker->service->vectors,
            (size_t)worker->snapshot->config->limits.embedding_cache_bytes);
    probe_stop(worker->probe);
    worker->probe = probe_start(worker->loop, worker->http, worker->snapshot);
    checkup_stop(worker->checkup);
    worker->checkup =
        checkup_start(worker->loop, worker->http, worker->snapshot, worker->metrics);
    show_snapshot(worker);
}

static void take_offer(void *arg)
{
    struct worker_offer *offer = arg;
    struct worker *worker = offer->worker;
    struct worker_publication *publication = offer->publication;

    if (offer->snapshot != NULL) {
        struct snapshot *before = worker->snapshot;

        worker->snapshot = offer->snapshot;
        offer->snapshot = before;
        take_snapshot(worker);
    }
    if (offer->keyring != NULL) {
        struct keyring *before = worker->keyring;

        worker->keyring = offer->keyring;
        offer->keyring = before;
    }
    if (publication != NULL && atomic_fetch_sub(&publication->left, 1) == 1)
        loop_post(publication->loop, &publication->mail);
    worker_offer_free(offer);
}

struct worker_offer *worker_offer_new(struct worker *worker, struct snapshot *snapshot,
                                      struct keyring *keyring,
                                      struct worker_publication *publication)
{
    struct worker_offer *offer = calloc(1, sizeof *offer);

    if (offer == NULL)
        return NULL;
    offer->worker = worker;
    offer->publication = publication;
    offer->mail = (struct loop_mail){ .fn = take_offer, .arg = offer };
    if (snapshot != NULL)
        offer->snapshot = snapshot_ref(snapshot);
    if (keyring != NULL)
        offer->keyring = keyring_ref(keyring);
    return offer;
}

void worker_offer_send(struct worker_offer *offer)
{
    if (offer->worker->started)
        loop_post(offer->worker->loop, &offer->mail);
    else
        take_offer(offer);
}

void worker_offer_free(struct worker_offer *offer)
{
    if (offer == NULL)
        return;
    snapshot_unref(offer->snapshot);
    keyring_unref(offer->keyring);
    free(offer);
}

/* -- the drain --------------------------------------------------------------------------- */

static struct order_mail *order_new(struct worker *worker, void (*fn)(void *))
{
    struct order_mail *order = calloc(1, sizeof *order);

    if (order == NULL)
        return NULL;
    order->worker = worker;
    order->mail = (struct loop_mail){ .fn = fn, .arg = order };
    return order;
}

static void stop_now(void *arg)
{
    loop_stop(((struct worker *)arg)->loop);
}

/* Not at once: answers that were just queued are written at the end of this turn. */
static void stop_if_idle(struct worker *worker)
{
    if (!worker->draining || worker->n_seats > 0 ||
        (worker->n_waiting > 0 && !worker->shut))
        return;
    loop_timer_clear(worker->loop, &worker->drain_timer);
    loop_timer_clear(worker->loop, &worker->grace_timer);
    loop_defer(worker->loop, &worker->stop_task, LOOP_LAST);
}

static void drain_is_over(void *arg)
{
    struct worker *worker = arg;
    struct worker_seat *seat, *next;

    if (worker->shut) {
        loop_stop(worker->loop);
        return;
    }
    worker->shut = true;
    log_message(LOG_WARN, "drain_limit", "%zu requests are cut", worker->n_seats);
    if (loop_timer_set(worker->loop, &worker->drain_timer,
                       loop_now_us(worker->loop) + FLUSH_MS * 1000) != LOOP_OK)
        loop_stop(worker->loop);
    for (seat = worker->seats; seat != NULL; seat = next) {
        next = seat->next;
        seat->shut(seat);
    }
    stop_if_idle(worker);
}

/* Who has sent nothing until now is not going to. */
static void grace_is_over(void *arg)
{
    struct worker *worker = arg;

    worker->n_waiting = 0;
    for (size_t i = 0; i < worker->n_listeners; i++)
        worker->listeners[i].ops->hang_up(worker->listeners[i].listener);
    stop_if_idle(worker);
}

void worker_listener_empty(struct worker *worker)
{
    if (worker->n_waiting == 0)
        return;
    worker->n_waiting--;
    stop_if_idle(worker);
}

static void drained(void *arg)
{
    struct order_mail *order = arg;
    struct worker *worker = order->worker;
    uint64_t due = loop_now_us(worker->loop) + (uint64_t)order->limit_ms * 1000;
    uint64_t grace_us = (uint64_t)worker->snapshot->config->limits.drain_grace_ms * 1000;

    free(order);
    if (worker->over)
        return;
    if (worker->draining) {
        if (due < worker->drain_timer.due_us && !worker->shut)
            drain_is_over(worker);
        return;
    }
    worker->draining = true;
    probe_stop(worker->probe);
    worker->probe = NULL;
    checkup_stop(worker->checkup);
    worker->checkup = NULL;
    for (size_t i = 0; i < worker->n_listeners; i++)
        worker->n_waiting +=
            worker->listeners[i].ops->quiesce(worker->listeners[i].listener);
    if (loop_timer_set(worker->loop, &worker->grace_timer,
                       loop_now_us(worker->loop) + grace_us) != LOOP_OK)
        grace_is_over(worker);
    if (loop_timer_set(worker->loop, &worker->drain_timer, due) != LOOP_OK)
        drain_is_over(worker);
    stop_if_idle(worker);
}

enum err worker_drain(struct worker *worker, unsigned limit_ms)
{
    struct order_mail *order = order_new(worker, drained);

    if (order == NULL)
        return ERR_NOMEM;
    order->limit_ms = limit_ms;
    loop_post(worker->loop, &order->mail);
    return ERR_OK;
}

void worker_enter(struct worker *worker, struct worker_seat *seat)
{
    seat->next = worker->seats;
    seat->prev = &worker->seats;
    if (worker->seats != NULL)
        worker->seats->prev = &seat->next;
    worker->seats = seat;
    worker->n_seats++;
}

void worker_leave(struct worker *worker, struct worker_seat *seat)
{
    assert(worker->n_seats > 0);
    *seat->prev = seat->next;
    if (seat->next != NULL)
        seat->next->prev = seat->prev;
    worker->n_seats--;
    stop_if_idle(worker);
}

/* -- the pulse --------------------------------------------------------------------------- */

static void beat(void *arg)
{
    atomic_store(&((struct worker *)arg)->beating, false);
}

bool worker_pulse(struct worker *worker)
{
    if (atomic_load(&worker->beating) && !atomic_load(&worker->ended_for_good))
        return false;
    if (!atomic_exchange(&worker->beating, true))
        loop_post(worker->loop, &worker->pulse);
    return true;
}

/* Lines of one turn are written together, at its end. */
static void write_log(void *arg)
{
    (void)arg;
    log_flush();
}

static void log_soon(void *arg)
{
    struct worker *worker = arg;

    loop_defer(worker->loop, &worker->log_task, LOOP_LAST);
}

static void turned(void *arg, uint64_t us)
{
    metrics_observe(arg, METRIC_LOOP_TURN, 0, (int64_t)us);
}

void worker_alone(void)
{
    omp_set_num_threads(1);
}

/* -- life cycle -------------------------------------------------------------------------- */

enum err worker_new(struct service *service, unsigned index, struct snapshot *snapshot,
                    struct metrics_block *metrics, struct worker **ret_worker)
{
    struct http_settings settings = {
        .connections_max = (unsigned)snapshot->config->limits.upstream_connections,
        .resolve = service->resolve,
    };
    struct worker *worker = calloc(1, sizeof *worker);

    if (worker == NULL)
        return ERR_NOMEM;
    worker->service = service;
    worker->index = index;
    worker->metrics = metrics;
    if (loop_new(&worker->loop) != LOOP_OK)
        goto failed;
    loop_tell_turns(worker->loop, turned, metrics);
    worker->http = http_new(worker->loop, &settings);
    if (worker->http == NULL)
        goto failed;
    decider_init(&worker->decider, worker->loop, service->pool, metrics);
    worker->queue = admission_open(&service->admission, worker->loop, metrics);
    if (worker->queue == NULL)
        goto failed;
    id_source_init(&worker->ids, &clock_system, service->instance, NULL, NULL);
    worker->drain_timer = (struct loop_timer){ .fn = drain_is_over, .arg = worker };
    worker->grace_timer = (struct loop_timer){ .fn = grace_is_over, .arg = worker };
    worker->pulse = (struct loop_mail){ .fn = beat, .arg = worker };
    atomic_init(&worker->beating, false);
    worker->log_task = (struct loop_task){ .fn = write_log, .arg = worker };
    worker->log.due = log_soon;
    worker->log.arg = worker;
    worker->stop_task = (struct loop_task){ .fn = stop_now, .arg = worker };
    worker->snapshot = snapshot_ref(snapshot);
    *ret_worker = worker;
    return ERR_OK;
failed:
    worker_free(worker);
    return ERR_NOMEM;
}

void worker_attach(struct worker *worker, const struct listener_ops *ops, void *listener)
{
    assert(!worker->started && worker->n_listeners < WORKER_LISTENERS_MAX);
    worker->listeners[worker->n_listeners].ops = ops;
    worker->listeners[worker->n_listeners].listener = listener;
    worker->n_listeners++;
}

static void close_listeners(struct worker *worker)
{
    for (size_t i = 0; i < worker->n_listeners; i++)
        worker->listeners[i].ops->close(worker->listeners[i].listener);
    worker->n_listeners = 0;
}

/* Searches that are still on the pool come back to this loop: it turns until they have. */
static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    char name[16];

    (void)snprintf(name, sizeof name, "worker-%u", worker->index);
    (void)prctl(PR_SET_NAME, name); /* for top -H and debuggers */
    log_collect(&worker->log);
    worker_alone();
    take_snapshot(worker);
    loop_run(worker->loop);
    close_listeners(worker);
    while (worker->n_seats > 0 || worker->decider.away > 0)
        loop_turn(worker->loop, 100);
    probe_stop(worker->probe);
    worker->probe = NULL;
    checkup_stop(worker->checkup);
    worker->checkup = NULL;
    worker->over = true;
    atomic_store(&worker->ended_for_good, true);
    log_collect(NULL);
    if (worker->service->ended != NULL)
        worker->service->ended(worker->service->ended_context, &worker->ended);
    return NULL;
}

enum err worker_start(struct worker *worker)
{
    enum err err = thread_start(&worker->thread, worker_main, worker);

    worker->started = err == ERR_OK;
    return err;
}

void worker_join(struct worker *worker)
{
    if (!worker->started)
        return;
    pthread_join(worker->thread, NULL);
    worker->started = false;
}

void worker_free(struct worker *worker)
{
    if (worker == NULL)
        return;
    assert(!worker->started);
    worker->over = true;
    close_listeners(worker);
    if (worker->loop != NULL)
        loop_turn(worker->loop, 0); /* mail that came too late */
    if (worker->http != NULL)
        decider_release(&worker->decider);
    admission_close(worker->queue);
    http_free(worker->http);
    loop_free(worker->loop);
    snapshot_unref(worker->snapshot);
    keyring_unref(worker->keyring);
    free(worker);
}
