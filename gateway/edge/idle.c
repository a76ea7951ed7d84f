/* idle.c - connections without a request; see idle.h.
 *
 * The list is in the order of time, the longest idle first. libmicrohttpd accepts nothing at
 * its limit, so some places are kept free: somebody must be able to come for somebody to go.
 */
#include "gateway/edge/idle.h"

#include <sys/socket.h>

#define KEPT_FREE 16 /* one place in so many */
#define GRACE_US  1000000

static void look(void *arg)
{
    idle_crowd(arg);
}

void idle_init(struct server *server)
{
    TAILQ_INIT(&server->idle);
    server->crowd_timer = (struct loop_timer){ .fn = look, .arg = server };
}

void idle_release(struct server *server)
{
    loop_timer_clear(server->loop, &server->crowd_timer);
}

void idle_leave(struct connection *c)
{
    if (c->idle_since_us == 0)
        return;
    c->idle_since_us = 0;
    TAILQ_REMOVE(&c->server->idle, c, in_idle);
}

void idle_enter(struct connection *c)
{
    idle_leave(c);
    c->idle_since_us = loop_now_us(c->server->loop);
    TAILQ_INSERT_TAIL(&c->server->idle, c, in_idle);
}

/* libmicrohttpd sees its client leave. */
static void close_oldest(struct server *server)
{
    struct connection *c = TAILQ_FIRST(&server->idle);

    idle_leave(c);
    (void)shutdown(c->watch.fd, SHUT_RDWR);
    c->told_to_leave = true;
    metrics_add(worker_metrics(server->worker), METRIC_CONNECTIONS_CLOSED, 0, 0, 1);
    server->n_leaving++;
}

void idle_crowd(struct server *server)
{
    unsigned most = server->settings.connections_max;
    unsigned few = most - (most + KEPT_FREE - 1) / KEPT_FREE;
    uint64_t now = loop_now_us(server->loop), due;

    while (server->n_connections - server->n_leaving > few &&
           !TAILQ_EMPTY(&server->idle)) {
        due = TAILQ_FIRST(&server->idle)->idle_since_us + GRACE_US;
        if (due > now) {
            if (server->crowd_timer.slot == 0)
                IGNORE(loop_timer_set(server->loop, &server->crowd_timer, due));
            return;
        }
        close_oldest(server);
    }
}
