/* listeners.c - the sockets, and a server on each of them for every worker. */
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/edge/listen.h"
#include "gateway/edge/server.h"
#include "gateway/main/process.h"

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

int listeners_open(struct process *process)
{
    const struct config *config = process->snapshot->config;

    if (open_listener(process, config->listen, ROUTE_PUBLIC, process->n_workers) != 0)
        return -1;
    if (config->admin == NULL)
        return 0;
    return open_listener(process, config->admin, ROUTE_ADMIN, 1);
}
