/* main.c - frugald: the command line, the start, the signals, the end.
 *
 *   main thread    load -> listen -> workers -> loop: signals, dead snapshots, ended workers
 *   worker threads one loop each: accept, exchange, upstream calls
 *
 *   SIGHUP         load another snapshot and publish it; on failure the old one stays
 *   SIGTERM, INT   drain: stop accepting, finish what is in flight within limits.drain_ms;
 *                  a second one ends it at once, as honestly as there is time for
 */
#include <assert.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>

#include <cblas.h>

#include "gateway/base/buf.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/domain/key_file.h"
#include "gateway/edge/listen.h"
#include "gateway/edge/server.h"
#include "gateway/flow/archive.h"
#include "gateway/flow/bars.h"
#include "gateway/flow/inventory.h"
#include "gateway/flow/keeper.h"
#include "gateway/flow/snapshot.h"
#include "gateway/flow/worker.h"
#include "gateway/io/signals.h"

#define WORKERS_MAX    METRICS_MAX_BLOCKS - 2 /* main and the store's writer have one each */
#define POOL_THREADS   2
#define POOL_QUEUE_MAX 256
#define HELP_BYTES     (256u << 10)

struct process {
    const char *config_path;
    struct loop *loop;
    struct signals *signals;
    struct snapshot *snapshot; /* in force; owned reference */
    uint64_t loaded;           /* snapshots so far */
    struct metrics_block *metrics;
    struct keeper *keeper;
    struct service service;
    unsigned n_workers;
    struct worker *workers[METRICS_MAX_BLOCKS];
    unsigned n_running;
    bool draining;
};

static const char usage[] =
    "usage: frugald --config FILE [--check-config]\n"
    "\n"
    "  --config FILE    serve by this configuration\n"
    "  --check-config   read the configuration and what it names, say what is wrong, "
    "end\n"
    "  --help-config    list every setting of the configuration\n"
    "  --help-keys      list every field of the file of keys\n"
    "  --help           show this text\n"
    "  --version        show the version\n"
    "\n"
    "SIGHUP reloads the configuration, SIGTERM finishes what is in flight and ends.\n";

/* -- snapshots --------------------------------------------------------------------------- */

static void bury(void *arg)
{
    snapshot_free(arg);
}

static void reap(void *context, struct snapshot *dead)
{
    struct process *process = context;

    dead->mail = (struct loop_mail){ .fn = bury, .arg = dead };
    loop_post(process->loop, &dead->mail);
}

static void set_log_level(const struct config *config)
{
    enum log_level level;

    if (log_level_parse(str_of(config->log_level), &level) == ERR_OK)
        log_set_level(level);
}

/* Listeners and workers are made once; whoever changes them has to start anew. */
static void warn_of_restart(const struct config *before, const struct config *after)
{
    const char *admin_before = before->admin != NULL ? before->admin : "";
    const char *admin_after = after->admin != NULL ? after->admin : "";

    if (strcmp(before->listen, after->listen) != 0 ||
        strcmp(admin_before, admin_after) != 0 || before->workers != after->workers)
        log_message(LOG_WARN, "restart_needed",
                    "listen, admin and workers are taken over at the next start only");
    if (archive_differs(before, after))
        log_message(LOG_WARN, "restart_needed",
                    "the store stays as it was opened: its path and settings are taken "
                    "over at the next start only");
}

/* Configuration, bundle and the file of keys, or nothing of them. */
static enum err load(struct process *process, uint64_t number,
                     const struct snapshot *before, struct snapshot **ret_snapshot,
                     struct snapshot_error *error)
{
    struct keeper_error why = { .text = "" };
    struct snapshot *snapshot;
    enum err err = snapshot_load(process->config_path, number, before,
                                 process->service.metrics, &snapshot, error);

    if (err != ERR_OK)
        return err;
    err = keeper_file(process->keeper, snapshot->config, &why);
    if (err != ERR_OK) {
        (void)snprintf(error->text, sizeof error->text, "%s", why.text);
        snapshot_unref(snapshot);
        return err;
    }
    *ret_snapshot = snapshot;
    return ERR_OK;
}

static void reload(struct process *process)
{
    struct snapshot_error error = { .text = "" };
    struct snapshot *snapshot, *before = process->snapshot;

    if (process->draining)
        return;
    if (load(process, process->loaded + 1, before, &snapshot, &error) != ERR_OK) {
        metrics_add(process->metrics, METRIC_RELOADS_FAILED, 0, 0, 1);
        log_message(LOG_ERROR, "reload_failed", "%s", error.text);
        return;
    }
    process->loaded++;
    bars_lift(snapshot, process->metrics);
    snapshot->reaper = reap;
    snapshot->reaper_context = process;
    warn_of_restart(before->config, snapshot->config);
    set_log_level(snapshot->config);
    for (unsigned i = 0; i < process->n_workers; i++) {
        if (worker_publish(process->workers[i], snapshot) != ERR_OK)
            log_message(LOG_ERROR, "no_memory", "worker %u keeps the old snapshot", i);
    }
    (void)!keeper_publish(process->keeper);
    process->snapshot = snapshot;
    snapshot_unref(before);
    metrics_add(process->metrics, METRIC_RELOADS, 0, 0, 1);
    inventory_log(snapshot, "reloaded");
}

/* -- signals ----------------------------------------------------------------------------- */

static void drain(struct process *process)
{
    unsigned limit_ms = (unsigned)process->snapshot->config->limits.drain_ms;

    if (process->draining)
        limit_ms = 0;
    process->draining = true;
    atomic_store(&process->service.draining, true);
    log_message(LOG_INFO, "draining", "%u ms at most", limit_ms);
    for (unsigned i = 0; i < process->n_workers; i++) {
        if (worker_drain(process->workers[i], limit_ms) != ERR_OK)
            loop_stop(worker_loop(process->workers[i]));
    }
}

static void signalled(void *arg, int number)
{
    if (number == SIGHUP)
        reload(arg);
    else
        drain(arg);
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

/* Who can be reached from elsewhere has to ask for keys. */
static bool may_listen(struct process *process, const char *real)
{
    const struct config *config = process->snapshot->config;

    if (listen_is_loopback(real))
        return true;
    keeper_closed(process->keeper);
    if (keeper_count(process->keeper) > 0)
        return true;
    log_message(LOG_ERROR, "start_failed",
                "'%s' can be reached from other machines and no key is configured: "
                "set " KEEPER_BOOTSTRAP
                " in the environment (for instance to the output of "
                "`openssl rand -hex 32`), or name a file of keys with \"keys\": "
                "{\"file\": \"keys.txt\"} in '%s' (`frugalctl keys hash` writes it), or "
                "add a key to its store (`frugalctl keys add`), or listen on 127.0.0.1",
                real, config->path);
    return false;
}

static int open_listener(struct process *process, const char *address,
                         enum route_surface surface, unsigned n)
{
    const struct config *config = process->snapshot->config;
    const struct config_limits *limits = &config->limits;
    struct server_settings settings = {
        .surface = surface,
        .connections_max = (unsigned)((limits->connections + n - 1) / n),
        .head_bytes = (size_t)limits->header_bytes,
        .idle_s = (unsigned)((limits->keep_alive_ms + 999) / 1000),
    };
    char real[LISTEN_ADDRESS_BYTES];
    struct listen_error error = { .text = "" };
    int fds[METRICS_MAX_BLOCKS];
    struct log_line line;

    if (listen_open(address, n, fds, real, &error) != 0) {
        log_message(LOG_ERROR, "start_failed", "%s", error.text);
        return -1;
    }
    if (surface == ROUTE_ADMIN && !listen_is_loopback(real))
        log_message(
            LOG_WARN, "admin_open",
            "'%s' can be reached from other machines and asks for no key: it shows "
            "every record",
            real);
    if (surface == ROUTE_PUBLIC && !may_listen(process, real)) {
        for (unsigned i = 0; i < n; i++)
            close(fds[i]);
        return -1;
    }
    for (unsigned i = 0; i < n; i++) {
        struct server *server;

        settings.listen_fd = fds[i];
        server = server_new(process->workers[i], &settings);
        if (server == NULL) {
            for (unsigned rest = i + 1; rest < n; rest++)
                close(fds[rest]);
            log_message(LOG_ERROR, "start_failed", "cannot serve on '%s'", real);
            return -1;
        }
        worker_attach(process->workers[i], &server_listener_ops, server);
    }
    log_begin(&line, LOG_INFO, "listening");
    log_text(&line, "listener", surface == ROUTE_PUBLIC ? "public" : "admin");
    log_text(&line, "address", real);
    log_end(&line);
    return 0;
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

static int make_shared(struct process *process)
{
    struct service *service = &process->service;

    if (!http_global_init())
        return -1;
    if (metrics_new(&service->metrics) != ERR_OK)
        return -1;
    process->metrics = metrics_block(service->metrics);
    service->resolve = resolve_new(NULL);
    service->ended = worker_ended;
    service->ended_context = process;
    service->started_us = clock_us(&clock_system);
    if (process->metrics == NULL || service->resolve == NULL)
        return -1;
    return pool_new(POOL_THREADS, POOL_QUEUE_MAX, worker_alone, &service->pool) == POOL_OK
               ? 0
               : -1;
}

static int start(struct process *process)
{
    const struct config *config = process->snapshot->config;

    if (make_workers(process) != 0) {
        log_message(LOG_ERROR, "start_failed", "cannot make the workers: out of memory");
        return -1;
    }
    if (open_listener(process, config->listen, ROUTE_PUBLIC, process->n_workers) != 0)
        return -1;
    if (config->admin != NULL &&
        open_listener(process, config->admin, ROUTE_ADMIN, 1) != 0)
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
    keeper_rest(process->keeper);
    store_close(service->store); /* answers to loops that no longer run, but still are */
    pool_free(service->pool);
    for (unsigned i = 0; i < process->n_workers; i++)
        worker_free(process->workers[i]);
    resolve_free(service->resolve);
    snapshot_unref(process->snapshot);
    if (process->loop != NULL) {
        loop_turn(process->loop, 0);
        signals_free(process->signals);
        loop_free(process->loop);
    }
    keeper_free(process->keeper);
    metrics_free(service->metrics);
}

static int serve(const char *config_path)
{
    struct process process = { .config_path = config_path, .loaded = 1 };
    struct snapshot_error error = { .text = "" };
    struct store_error trouble = { .text = "" };
    struct keeper_error no_keys = { .text = "" };
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
    if (keeper_new(&clock_system, &process.keeper, &no_keys) != ERR_OK) {
        log_message(LOG_ERROR, "start_failed", "%s", no_keys.text);
        goto done;
    }
    if (load(&process, 1, NULL, &process.snapshot, &error) != ERR_OK) {
        log_message(LOG_ERROR, "start_failed", "%s", error.text);
        goto done;
    }
    process.snapshot->reaper = reap;
    process.snapshot->reaper_context = &process;
    process.service.instance = (uint16_t)process.snapshot->config->instance;
    set_log_level(process.snapshot->config);
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
    loop_run(process.loop);
    log_message(LOG_INFO, "ended", "every request is settled");
    code = EXIT_SUCCESS;
done:
    stop(&process);
    return code;
}

/* -- command line ------------------------------------------------------------------------ */

static int refuse(const char *why)
{
    (void)fprintf(stderr, "frugald: %s\n", why);
    return EXIT_FAILURE;
}

static int check(const char *config_path)
{
    struct process process = { .config_path = config_path };
    struct snapshot_error error = { .text = "" };
    struct store_error trouble = { .text = "" };
    struct keeper_error no_keys = { .text = "" };
    struct snapshot *snapshot;
    enum err err;

    if (keeper_new(&clock_system, &process.keeper, &no_keys) != ERR_OK)
        return refuse(no_keys.text);
    err = load(&process, 1, NULL, &snapshot, &error);
    keeper_free(process.keeper);
    if (err != ERR_OK)
        return refuse(error.text);
    if (archive_check(snapshot->config, &trouble) != STORE_OK) {
        snapshot_unref(snapshot);
        return refuse(trouble.text);
    }
    printf("%s: fine: %zu experts, %zu embedders, %zu policies, %s\n", config_path,
           snapshot->config->n_experts, snapshot->config->n_embedders,
           snapshot->config->n_policies,
           snapshot->fuser != NULL ? fuser_bundle_id(fuser_bundle_of(snapshot->fuser))
                                   : "no bundle");
    snapshot_unref(snapshot);
    return EXIT_SUCCESS;
}

static int help(void (*print)(struct buf *out))
{
    struct buf out;

    buf_init(&out, HELP_BYTES);
    print(&out);
    (void)fwrite(out.p, 1, out.n, stdout);
    buf_release(&out);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },
        { "check-config", no_argument, NULL, 'k' },
        { "help-config", no_argument, NULL, 's' },
        { "help-keys", no_argument, NULL, 'f' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'v' },
        { NULL, 0, NULL, 0 },
    };
    const char *config_path = NULL;
    bool only_check = false;
    int option;

    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            config_path = optarg;
            break;
        case 'k':
            only_check = true;
            break;
        case 's':
            return help(config_print_help);
        case 'f':
            return help(key_file_help);
        case 'h':
            (void)fputs(usage, stdout);
            return EXIT_SUCCESS;
        case 'v':
            (void)puts("frugald " FRUGAL_VERSION);
            return EXIT_SUCCESS;
        default:
            (void)fputs(usage, stderr);
            return 2;
        }
    }
    if (config_path == NULL || optind < argc) {
        (void)fprintf(stderr, "frugald: %s\n%s",
                      config_path == NULL ? "--config is missing" : "too many arguments",
                      usage);
        return 2;
    }
    return only_check ? check(config_path) : serve(config_path);
}
