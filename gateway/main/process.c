/* process.c - the start, the signals, the end.
 *
 *   main thread    load -> listen -> workers -> loop: signals, dead snapshots, ended workers
 *   worker threads one loop each: accept, exchange, upstream calls
 *
 *   SIGHUP         load another snapshot and publish it; on failure the old one stays
 *   SIGTERM, INT   drain: stop accepting, finish what is in flight within limits.drain_ms;
 *                  a second one ends it at once, as honestly as there is time for
 */
#include "gateway/main/process.h"

#include <assert.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cblas.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/flow/archive.h"
#include "gateway/flow/inventory.h"

#define WORKERS_MAX                                                                      \
    (METRICS_MAX_BLOCKS - 3) /* main, the store and the scrape have one each */
#define POOL_THREADS   2
#define POOL_QUEUE_MAX 256
#define STOP_MS        10000 /* for the store and the end, beyond the drain's limit */

/* -- signals ----------------------------------------------------------------------------- */

static void drain(struct process *process)
{
    unsigned limit_ms = (unsigned)process->snapshot->config->limits.drain_ms;

    if (process->draining)
        limit_ms = 0;
    process->draining = true;
    manager_say(&process->manager,
                "STOPPING=1\nSTATUS=finishing what is under way\n"
                "EXTEND_TIMEOUT_USEC=%llu",
                (limit_ms + STOP_MS) * 1000ULL);
    atomic_store(&process->service.draining, true);
    log_message(LOG_INFO, "draining", "%u ms at most", limit_ms);
    for (unsigned i = 0; i < process->n_workers; i++) {
        if (worker_drain(process->workers[i], limit_ms) != ERR_OK)
            loop_stop(worker_loop(process->workers[i]));
    }
}

static void signalled(void *arg, int number)
{
    struct process *process = arg;

    if (process->snapshot == NULL)
        return; /* it is over */
    if (number == SIGHUP)
        reload_want(process);
    else
        drain(process);
}

/* From the worker's thread, its last word. */
static void worker_ended(void *context, struct loop_mail *mail);

static void count_ended(void *arg)
{
    struct process *process = arg;

    assert(process->n_running > 0);
    if (--process->n_running == 0)
        loop_stop(process->loop);
}

static void worker_ended(void *context, struct loop_mail *mail)
{
    struct process *process = context;

    *mail = (struct loop_mail){ .fn = count_ended, .arg = process };
    loop_post(process->loop, mail);
}

static int watch_signals(struct process *process)
{
    static const int numbers[] = { SIGHUP, SIGTERM, SIGINT };
    struct sigaction ignore = { .sa_handler = SIG_IGN };

    /* A file that may not grow any more is an error of its write, no reason to die. */
    if (sigaction(SIGPIPE, &ignore, NULL) != 0 || sigaction(SIGXFSZ, &ignore, NULL) != 0)
        return -1;
    if (signals_new(process->loop, numbers, ARRAY_LEN(numbers), signalled, process,
                    &process->signals) != LOOP_OK)
        return -1;
    return 0;
}

/* -- start ------------------------------------------------------------------------------- */

/* Each client and each call of an expert is a descriptor. */
static void raise_nofile(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_message(LOG_WARN, "nofile", "the limit of open files stays as it is");
}

/* A core has prompts and keys in it. A limit of one byte, other than of none, also keeps the
 * kernel from feeding a program that collects cores (core_pattern with a pipe). */
static void forbid_cores(void)
{
    const struct rlimit limit = { 1, 1 };
    struct rlimit now;

    if (getrlimit(RLIMIT_CORE, &now) == 0 && now.rlim_max <= 1)
        return;
    if (setrlimit(RLIMIT_CORE, &limit) != 0)
        log_message(LOG_WARN, "core_dumps", "the limit of core dumps stays as it is");
}

/* What it needs no right for is best done without any. */
static void warn_of_root(void)
{
    if (geteuid() == 0)
        log_message(LOG_WARN, "running_as_root",
                    "the gateway needs no rights of root: run it as a user of its own");
}

static int make_workers(struct process *process)
{
    int64_t wanted = process->snapshot->config->workers;

    if (wanted > WORKERS_MAX)
        wanted = WORKERS_MAX;
    for (; process->n_workers < (unsigned)wanted; process->n_workers++) {
        struct metrics_block *block = metrics_block(process->service.metrics);

        if (block == NULL ||
            worker_new(&process->service, process->n_workers, process->snapshot, block,
                       &process->workers[process->n_workers]) != ERR_OK)
            return -1;
    }
    return 0;
}

static struct vector_cache *make_vector_cache(void)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        return NULL;
    return vector_cache_new(seed);
}

static int make_shared(struct process *process)
{
    struct service *service = &process->service;

    if (!http_global_init())
        return -1;
    if (metrics_new(&service->metrics) != ERR_OK)
        return -1;
    process->metrics = metrics_block(service->metrics);
    service->shown = metrics_block(service->metrics);
    service->vectors = make_vector_cache();
    service->resolve = resolve_new(NULL);
    service->ended = worker_ended;
    service->ended_context = process;
    reload_serve(process);
    service->started_us = clock_us(&clock_system);
    if (process->metrics == NULL || service->shown == NULL || service->vectors == NULL ||
        service->resolve == NULL)
        return -1;
    return pool_new(POOL_THREADS, POOL_QUEUE_MAX, worker_alone, &service->pool) == POOL_OK
               ? 0
               : -1;
}

static int start(struct process *process)
{
    if (make_workers(process) != 0) {
        log_message(LOG_ERROR, "start_failed", "cannot make the workers: out of memory");
        return -1;
    }
    if (listeners_open(process) != 0)
        return -1;
    if (keeper_serve(process->keeper, process->workers, process->n_workers,
                     process->metrics) != ERR_OK)
        return -1;
    for (unsigned i = 0; i < process->n_workers; i++) {
        if (worker_start(process->workers[i]) != ERR_OK) {
            log_message(LOG_ERROR, "start_failed", "cannot start a thread");
            return -1;
        }
        process->n_running++;
    }
    return 0;
}

/* Threads that run when the start fails half-way are drained like any others. */
static void stop(struct process *process)
{
    struct service *service = &process->service;

    if (process->n_running > 0) {
        drain(process);
        loop_run(process->loop);
    }
    for (unsigned i = 0; i < process->n_workers; i++)
        worker_join(process->workers[i]);
    pulse_stop(process);
    listeners_forget(process);
    keeper_rest(process->keeper);
    store_close(service->store); /* answers to loops that no longer run, but still are */
    pool_free(service->pool);
    learning_end(process);
    for (unsigned i = 0; i < process->n_workers; i++)
        worker_free(process->workers[i]);
    tls_free(process->tls);
    resolve_free(service->resolve);
    sticky_free(service->sticky);
    vector_cache_free(service->vectors);
    snapshot_unref(process->snapshot);
    process->snapshot = NULL;
    if (process->loop != NULL) {
        loop_turn(process->loop, 0);
        signals_end(process->signals);
        loop_free(process->loop);
    }
    keeper_free(process->keeper);
    metrics_free(service->metrics);
}

static enum err take_identity(struct process *process, struct tls_identity **identity)
{
    if (*identity == NULL)
        return ERR_OK;
    reload_note_identity(process, *identity, NULL);
    process->tls = tls_new(identity);
    if (process->tls != NULL)
        return ERR_OK;
    tls_identity_unref(*identity);
    log_message(LOG_ERROR, "start_failed", "%s", err_text(ERR_NOMEM));
    return ERR_NOMEM;
}

int process_serve(const char *config_path)
{
    struct process process = { .config_path = config_path, .loaded = 1 };
    struct snapshot_error error = { .text = "" };
    struct reload_set set = { NULL, NULL };
    struct store_error trouble = { .text = "" };
    struct keeper_error no_keys = { .text = "" };
    struct manager_error no_socket = { .text = "" };
    int code = EXIT_FAILURE;

    raise_nofile();
    worker_alone();
    openblas_set_num_threads(1);
    if (loop_new(&process.loop) != LOOP_OK || watch_signals(&process) != 0 ||
        make_shared(&process) != 0) {
        log_message(LOG_ERROR, "start_failed",
                    "the system refuses memory or descriptors");
        goto done;
    }
    if (manager_init(&process.manager, &no_socket) != ERR_OK) {
        log_message(LOG_ERROR, "start_failed", "%s", no_socket.text);
        goto done;
    }
    if (keeper_new(&clock_system, &process.keeper, &no_keys) != ERR_OK) {
        log_message(LOG_ERROR, "start_failed", "%s", no_keys.text);
        goto done;
    }
    if (reload_load(&process, 1, NULL, &set, &error) != ERR_OK) {
        log_message(LOG_ERROR, "start_failed", "%s", error.text);
        goto done;
    }
    process.snapshot = set.snapshot;
    if (!process.snapshot->config->core_dumps)
        forbid_cores();
    warn_of_root();
    if (take_identity(&process, &set.identity) != ERR_OK)
        goto done;
    reload_adopt(&process, process.snapshot);
    process.service.instance = (uint16_t)process.snapshot->config->instance;
    if (sticky_new((size_t)process.snapshot->config->stickiness.entries,
                   &process.service.sticky) != ERR_OK) {
        log_message(LOG_ERROR, "start_failed",
                    "no memory for 'stickiness': fewer entries need less");
        goto done;
    }
    if (archive_open(process.snapshot->config, process.service.metrics,
                     &process.service.store, &trouble) != STORE_OK) {
        log_message(LOG_ERROR, "start_failed", "%s", trouble.text);
        goto done;
    }
    if (keeper_store(process.keeper, process.service.store, &no_keys) != ERR_OK) {
        log_message(LOG_ERROR, "start_failed", "%s", no_keys.text);
        goto done;
    }
    if (process.service.store != NULL)
        snapshot_recall(process.snapshot, process.metrics);
    if (start(&process) != 0)
        goto done;
    keeper_watch(process.keeper, process.loop);
    inventory_log(process.snapshot, "ready");
    pulse_start(&process);
    reload_tell_ready(&process);
    loop_run(process.loop);
    log_message(LOG_INFO, "ended", "every request is settled");
    code = EXIT_SUCCESS;
done:
    stop(&process);
    return code;
}
