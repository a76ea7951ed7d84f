/* server.c - the daemon of one worker
 *
 *      loop: MHD's epoll fd is readable --+
 *      loop: MHD's time limit ------------+--> run: MHD_run until it has nothing to do
 *      loop: FLUSH: resume the batch -----+
 *
 * What must always hold: MHD is run after every batch of resumes (it does not wake up by
 * itself) and as long as MHD_get_timeout says 0; a batch of resumes is one a turn, as MHD
 * walks all suspended connections for it; only what we suspended is resumed.
 */
#include "gateway/edge/server.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/edge/idle.h"
#include "gateway/edge/server_private.h"

#define CONNECTIONS_MAX 4096
#define HEAD_BYTES      (12U << 10)
#define DRAIN_BYTES     (64U << 20)
#define IDLE_S          75
#define RUNS_MAX        8 /* in a row; then the rest of the turn has its say */

static void run(struct server *server)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    for (int i = 0; i < RUNS_MAX; i++) {
        (void)MHD_run(server->daemon);
        if (MHD_get_timeout(server->daemon, &ms) != MHD_YES)
            return;
        if (ms > 0)
            break;
    }
    if (ms == 0) {
        loop_defer(server->loop, &server->flush, LOOP_FLUSH);
        return;
    }
    /* Activity moves MHD's limits away all the time: a timer that comes too early finds
     * nothing and is set again. When it cannot be set the next event does. */
    const uint64_t due = loop_now_us(server->loop) + (uint64_t)ms * 1000;
    if (server->timer.slot == 0 || server->timer.due_us > due) {
        if (loop_timer_set(server->loop, &server->timer, due) != LOOP_OK)
            return;
    }
}

static void on_readable(void *arg, uint32_t events)
{
    (void)events;
    run(arg);
}

static void on_limit(void *arg)
{
    run(arg);
}

static void flush(void *arg)
{
    struct server *server = arg;
    while (server->resumed != NULL) {
        struct connection *connection = server->resumed;
        server->resumed = connection->next_resumed;
        connection->resume_due = false;
        assert(connection->suspended);
        connection->suspended = false;
        MHD_resume_connection(connection->mhd);
    }
    run(server);
}

void server_resume(struct connection *connection)
{
    struct server *server = connection->server;
    if (!connection->suspended || connection->resume_due)
        return;
    connection->resume_due = true;
    connection->next_resumed = server->resumed;
    server->resumed = connection;
    loop_defer(server->loop, &server->flush, LOOP_FLUSH);
}

static void on_connection(void *arg, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        connection_started(arg, mhd, socket_context);
    else
        connection_closed(*socket_context);
}

static void default_to(struct server_settings *settings)
{
    if (settings->connections_max == 0)
        settings->connections_max = CONNECTIONS_MAX;
    if (settings->head_bytes == 0)
        settings->head_bytes = HEAD_BYTES;
    if (settings->drain_bytes == 0)
        settings->drain_bytes = DRAIN_BYTES;
    if (settings->idle_s == 0)
        settings->idle_s = IDLE_S;
}

static struct MHD_Daemon *start_daemon(struct server *server)
{
    const struct server_settings *settings = &server->settings;
    const struct MHD_OptionItem secret[] = {
        { MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)tls_priorities },
        { MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, tls_retrieve_function() },
        { MHD_OPTION_END, 0, NULL },
    };
    const struct MHD_OptionItem clear[] = { { MHD_OPTION_END, 0, NULL } };
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;

    if (settings->tls != NULL)
        flags |= MHD_USE_TLS;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, connection_request, server, MHD_OPTION_LISTEN_SOCKET,
        settings->listen_fd, MHD_OPTION_CONNECTION_LIMIT, settings->connections_max,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, settings->head_bytes + SERVER_POOL_MORE,
        MHD_OPTION_CONNECTION_TIMEOUT, settings->idle_s, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, server, MHD_OPTION_NOTIFY_COMPLETED, connection_completed, server,
        MHD_OPTION_UNESCAPE_CALLBACK, connection_unescape, server, MHD_OPTION_ARRAY,
        settings->tls != NULL ? secret : clear, MHD_OPTION_END);
}

struct server *server_new(struct worker *worker, const struct server_settings *settings)
{
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        (void)close(settings->listen_fd);
        return NULL;
    }
    server->worker = worker;
    server->loop = worker_loop(worker);
    server->settings = *settings;
    default_to(&server->settings);
    server->watch.fn = on_readable;
    server->timer.fn = on_limit;
    server->flush.fn = flush;
    idle_init(server);
    server->watch.arg = server->timer.arg = server->flush.arg = server;

    server->daemon = start_daemon(server);
    if (server->daemon == NULL) {
        (void)close(server->settings.listen_fd);
        server->settings.listen_fd = -1;
        server_free(server);
        return NULL;
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL ||
        loop_watch(server->loop, &server->watch, info->epoll_fd, EPOLLIN) != LOOP_OK) {
        server_free(server);
        return NULL;
    }
    return server;
}

bool server_quiesce(struct server *server)
{
    if (!server->quiesced) {
        server->quiesced = true;
        (void)MHD_quiesce_daemon(server->daemon);
        (void)close(server->settings.listen_fd);
        server->settings.listen_fd = -1;
        loop_defer(server->loop, &server->flush, LOOP_FLUSH);
    }
    return server->connections != NULL;
}

/* MHD has no call that closes idle connections: they see their peer leave. */
void server_hang_up(struct server *server)
{
    for (struct connection *c = server->connections; c != NULL; c = c->next)
        if (!c->active)
            (void)shutdown(c->watch.fd, SHUT_RDWR);
    loop_defer(server->loop, &server->flush, LOOP_FLUSH);
}

void server_free(struct server *server)
{
    if (server == NULL)
        return;
    for (struct connection *c = server->connections; c != NULL; c = c->next) {
        connection_drop(c);
        if (c->suspended) /* MHD aborts when it is stopped with suspended connections */
            MHD_resume_connection(c->mhd);
        c->suspended = false;
    }
    server->resumed = NULL;
    loop_unwatch(server->loop, &server->watch);
    if (server->daemon != NULL)
        MHD_stop_daemon(server->daemon); /* closes the listening socket, if it has it */
    loop_timer_clear(server->loop, &server->timer);
    loop_undefer(server->loop, &server->flush);
    assert(server->connections == NULL);
    idle_release(server);
    free(server);
}

static bool quiesce(void *listener)
{
    return server_quiesce(listener);
}

static void hang_up(void *listener)
{
    server_hang_up(listener);
}

static void close_listener(void *listener)
{
    server_free(listener);
}

const struct listener_ops server_listener_ops = { .quiesce = quiesce,
                                                  .hang_up = hang_up,
                                                  .close = close_listener };
