/* ping.c - signs of life on a stream whose expert is silent.
 *
 *   head --event--event---- (silence for ping_ms) ----ping---- (ping_ms) ----ping--event--
 *
 * Clients and the proxies before them take a long silence for a dead connection. What goes
 * out is a comment, or the `ping` event of the Messages API: both say nothing. Where
 * ping_held is set the silence before the first event counts, too: then the hold ends with
 * it and the head goes out, after which no other expert can take over.
 *
 * Only a time is noted where something is said; a timer that comes too early is set again.
 */
#include "gateway/flow/exchange_parts.h"

static uint64_t interval_us(const struct exchange *x)
{
    return (uint64_t)exchange_config(x)->ping_ms * 1000;
}

static void arm(struct exchange *x)
{
    /* Without memory for the timer there are no pings: the answer matters more. */
    if (x->ping_timer.slot == 0)
        IGNORE(loop_timer_set(exchange_loop(x), &x->ping_timer,
                              x->said_us + interval_us(x)));
}

void ping_asked(struct exchange *x)
{
    if (exchange_config(x)->ping_ms == 0 || !exchange_config(x)->ping_held ||
        !x->chat.stream)
        return;
    x->said_us = loop_now_us(exchange_loop(x));
    arm(x);
}

void ping_said(struct exchange *x)
{
    if (exchange_config(x)->ping_ms == 0)
        return;
    x->said_us = loop_now_us(exchange_loop(x));
    arm(x);
}

void ping_stop(struct exchange *x)
{
    loop_timer_clear(exchange_loop(x), &x->ping_timer);
}

/* A client that does not read needs none, and its queue is not to grow by them. */
void ping_due(void *arg)
{
    struct exchange *x = arg;
    const struct str ping = dialect_ping(x->dialect);

    if (x->gone || x->attempt.end != ATTEMPT_RUNNING)
        return;
    if (loop_now_us(exchange_loop(x)) < x->said_us + interval_us(x)) {
        arm(x);
    } else if (x->head_sent) {
        if (!x->paused && x->relay.state == RELAY_OPEN)
            (void)x->ops->body(x->client, ping.p, ping.n);
        ping_said(x);
    } else if (x->relay.state == RELAY_HOLDING) {
        relay_commit(&x->relay);
        exchange_woke(x); /* the head goes out: x may be gone */
    }
}
