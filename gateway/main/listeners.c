/* listeners.c - the sockets, and a server on each of them for every worker. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/edge/listen.h"
#include "gateway/edge/server.h"
#include "gateway/main/process.h"

#define PUBLIC_NAME "public"
#define ADMIN_NAME  "admin"

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

/* -- sockets ----------------------------------------------------------------------------- */

/* One listener's sockets: as many as there are workers to serve on it. */
struct sockets {
    enum route_surface surface;
    unsigned n;
    int fds[METRICS_MAX_BLOCKS];
    char real[LISTEN_ADDRESS_BYTES];
};

static void close_from(const struct sockets *sockets, unsigned first)
{
    for (unsigned i = first; i < sockets->n; i++)
        (void)close(sockets->fds[i]);
}

static int open_sockets(struct process *process, const char *address,
                        struct sockets *sockets)
{
    struct listen_error error = { .text = "" };
    int result;

    if (strncmp(address, LISTEN_UNIX, strlen(LISTEN_UNIX)) == 0) {
        result = listen_unix_open(address + strlen(LISTEN_UNIX), sockets->fds,
                                  &process->place, &error);
        (void)snprintf(sockets->real, sizeof sockets->real, "%s", address);
    } else {
        result = listen_open(address, sockets->n, sockets->fds, sockets->real, &error);
    }
    if (result != 0)
        log_message(LOG_ERROR, "start_failed", "%s", error.text);
    return result;
}

/* A copy for each worker of a socket that the service manager keeps. */
static int copy_sockets(int fd, struct sockets *sockets)
{
    if (listen_describe(fd, sockets->real) != 0) {
        log_message(LOG_ERROR, "start_failed",
                    "the service manager's socket has an address that is not known here");
        return -1;
    }
    for (unsigned i = 0; i < sockets->n; i++) {
        sockets->fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (sockets->fds[i] >= 0)
            continue;
        sockets->n = i;
        close_from(sockets, 0);
        log_message(LOG_ERROR, "start_failed", "the system refuses descriptors");
        return -1;
    }
    return 0;
}

/* -- servers ----------------------------------------------------------------------------- */

static int serve_on(struct process *process, const struct sockets *sockets)
{
    const struct config_limits *limits = &process->snapshot->config->limits;
    const unsigned n = sockets->n;
    struct server_settings settings = {
        .surface = sockets->surface,
        .connections_max = (unsigned)((limits->connections + n - 1) / n),
        .head_bytes = (size_t)limits->header_bytes,
        .idle_s = (unsigned)((limits->keep_alive_ms + 999) / 1000),
        .tls = sockets->surface == ROUTE_PUBLIC ? process->tls : NULL,
    };

    for (unsigned i = 0; i < n; i++) {
        struct server *server;

        settings.listen_fd = sockets->fds[i];
        server = server_new(process->workers[i], &settings);
        if (server == NULL) {
            close_from(sockets, i + 1);
            log_message(LOG_ERROR, "start_failed", "cannot serve on '%s'", sockets->real);
            return -1;
        }
        worker_attach(process->workers[i], &server_listener_ops, server);
    }
    return 0;
}

/* Sockets that are open; taken. */
static int begin(struct process *process, const struct sockets *sockets, bool inherited)
{
    struct log_line line;

    if (sockets->surface == ROUTE_ADMIN && !listen_is_loopback(sockets->real))
        log_message(
            LOG_WARN, "admin_open",
            "'%s' can be reached from other machines and asks for no key: it shows "
            "every record",
            sockets->real);
    if (sockets->surface == ROUTE_PUBLIC && process->tls == NULL &&
        !listen_is_loopback(sockets->real))
        log_message(LOG_WARN, "clear_listener",
                    "'%s' can be reached from other machines and speaks in clear: keys "
                    "and prompts can be read on the way, unless what stands before it "
                    "encrypts; see \"tls\"",
                    sockets->real);
    if (sockets->surface == ROUTE_PUBLIC && !may_listen(process, sockets->real)) {
        close_from(sockets, 0);
        return -1;
    }
    if (serve_on(process, sockets) != 0)
        return -1;
    log_begin(&line, LOG_INFO, "listening");
    log_text(&line, "listener", sockets->surface == ROUTE_PUBLIC ? "public" : "admin");
    log_text(&line, "address", sockets->real);
    if (sockets->surface == ROUTE_PUBLIC)
        log_bool(&line, "tls", process->tls != NULL);
    if (inherited)
        log_bool(&line, "inherited", true);
    log_end(&line);
    return 0;
}

/* What the service manager hands over under that name is served instead of the address. */
static int open_listener(struct process *process, const char *name, const char *address,
                         enum route_surface surface, unsigned n)
{
    struct sockets sockets = { .surface = surface, .n = n };
    unsigned inherited = 0;
    int fd;

    while ((fd = manager_socket(&process->manager, name, inherited)) >= 0) {
        sockets.n = n;
        if (copy_sockets(fd, &sockets) != 0 || begin(process, &sockets, true) != 0)
            return -1;
        inherited++;
    }
    if (inherited > 0 || address == NULL)
        return 0;
    if (open_sockets(process, address, &sockets) != 0)
        return -1;
    return begin(process, &sockets, false);
}

/* A socket of another name would never be accepted on, and its clients would wait. */
static int check_names(const struct process *process)
{
    for (unsigned i = 0; i < process->manager.n_sockets; i++) {
        const char *name = process->manager.sockets[i].name;

        if (strcmp(name, PUBLIC_NAME) == 0 || strcmp(name, ADMIN_NAME) == 0)
            continue;
        log_message(LOG_ERROR, "start_failed",
                    "the service manager's socket '%s' is of no use: its unit says "
                    "FileDescriptorName=" PUBLIC_NAME " or " ADMIN_NAME,
                    name);
        return -1;
    }
    return 0;
}

int listeners_open(struct process *process)
{
    const struct config *config = process->snapshot->config;

    if (check_names(process) != 0 || open_listener(process, PUBLIC_NAME, config->listen,
                                                   ROUTE_PUBLIC, process->n_workers) != 0)
        return -1;
    return open_listener(process, ADMIN_NAME, config->admin, ROUTE_ADMIN, 1);
}

void listeners_forget(struct process *process)
{
    listen_unix_remove(&process->place);
}
