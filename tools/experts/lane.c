/* lane.c - see lane.h. */
#include "tools/experts/lane.h"

#include <stdlib.h>
#include <unistd.h>

#include "tools/experts/job.h"
#include "tools/experts/service.h"

static void on_readable(void *arg, uint32_t events)
{
    (void)events;
    lane_turn(arg);
}

/* libmicrohttpd has no wake-up channel in this mode and forgets resumed connections in its
 * timeout: it is run again until it has nothing more to do at once. */
static void on_run(void *arg)
{
    struct lane *lane = arg;
    MHD_UNSIGNED_LONG_LONG timeout_ms = 1;
    (void)MHD_run(lane->daemon);
    if (MHD_get_timeout(lane->daemon, &timeout_ms) == MHD_YES && timeout_ms == 0)
        lane_turn(lane);
}

void lane_turn(struct lane *lane)
{
    loop_defer(lane->loop, &lane->run, LOOP_FLUSH);
}

static void on_gone(void *arg, uint32_t events)
{
    struct caller *caller = arg;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0)
        return;
    caller->left = true;
    if (caller->job != NULL)
        job_gone(caller->job);
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct lane *lane = arg;
    struct caller *caller = *context;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (caller != NULL)
            loop_unwatch(lane->loop, &caller->gone);
        free(caller);
        *context = NULL;
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    caller = calloc(1, sizeof *caller);
    if (caller == NULL || info == NULL) {
        free(caller);
        return; /* the handler refuses a connection without a caller */
    }
    caller->lane = lane;
    caller->gone = (struct loop_watch){ .fn = on_gone, .arg = caller };
    /* Unwatched, a client that goes is noticed only when something is written to it. */
    if (loop_watch(lane->loop, &caller->gone, info->connect_fd, EPOLLRDHUP | EPOLLET) !=
        LOOP_OK)
        caller->gone.events = 0;
    *context = caller;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection,
                                  const char *url, const char *method,
                                  const char *version, const char *upload,
                                  size_t *upload_bytes, void **context)
{
    (void)version;
    struct lane *lane = arg;
    struct job *job = *context;
    if (job == NULL) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        struct caller *caller = info != NULL ? info->socket_context : NULL;
        job = caller != NULL ? job_new(lane, caller, connection, method, url) : NULL;
        *context = job;
        return job != NULL ? MHD_YES : MHD_NO;
    }
    if (*upload_bytes > 0) {
        job_body(job, upload, *upload_bytes);
        *upload_bytes = 0;
        return MHD_YES;
    }
    return job_answer(job);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    (void)arg;
    (void)connection;
    job_over(*context, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    *context = NULL;
}

enum err lane_new(int listen_fd, struct stats *stats, struct invoices *invoices,
                  const struct aliases *aliases, uint64_t first, uint64_t stride,
                  struct lane **ret_lane)
{
    struct lane *lane = calloc(1, sizeof *lane);
    if (lane == NULL || loop_new(&lane->loop) != LOOP_OK)
        goto failed;
    lane->stats = stats;
    lane->invoices = invoices;
    lane->aliases = aliases;
    lane->number = first;
    lane->stride = stride;
    lane->run = (struct loop_task){ .fn = on_run, .arg = lane };
    lane->readable = (struct loop_watch){ .fn = on_readable, .arg = lane };
    lane->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO, 0, NULL, NULL,
        on_request, lane, MHD_OPTION_LISTEN_SOCKET, listen_fd,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, lane, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, lane, MHD_OPTION_CONNECTION_LIMIT, SERVICE_CONNECTIONS_MAX,
        MHD_OPTION_END);
    if (lane->daemon == NULL)
        goto failed;
    listen_fd = -1;
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(lane->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL ||
        loop_watch(lane->loop, &lane->readable, info->epoll_fd, EPOLLIN) != LOOP_OK)
        goto failed;
    *ret_lane = lane;
    return ERR_OK;
failed:
    if (listen_fd >= 0)
        (void)close(listen_fd);
    lane_free(lane);
    return ERR_IO;
}

void lane_run(struct lane *lane)
{
    loop_run(lane->loop);
}

void lane_stop(struct lane *lane)
{
    loop_stop(lane->loop);
}

void lane_free(struct lane *lane)
{
    if (lane == NULL)
        return;
    if (lane->daemon != NULL) {
        /* libmicrohttpd aborts when it is stopped with suspended connections, and its run
         * may suspend some that were not. */
        lane->closing = true;
        do {
            while (lane->waiting != NULL)
                job_gone(lane->waiting);
            (void)MHD_run(lane->daemon);
        } while (lane->waiting != NULL);
        if (lane->readable.events != 0)
            loop_unwatch(lane->loop, &lane->readable);
        MHD_stop_daemon(lane->daemon);
    }
    if (lane->loop != NULL)
        loop_free(lane->loop);
    free(lane);
}
