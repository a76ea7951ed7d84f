/* health.h - may this endpoint be called now? A circuit breaker of one endpoint, and how long
 * it asked to be left alone.
 *
 *                  N failures in a row, or too large a share of a window
 *       +--------+ ---------------------------------------------------> +------+
 *       | CLOSED |                                                      | OPEN | <-----------+
 *       +--------+ <------------------- +-----------+ <---------------- +------+             |
 *         slow start      it worked     | HALF_OPEN |   its time is over: one call           |
 *                                       +-----------+ ---- it failed: open for longer -------+
 *
 *     health_look()                       may it be called, and if not, from when on?
 *     health_enter(.., &ticket)           now a call is under way; false: not after all
 *         health_told(.., &ticket, said)  as soon as something is known, once or more often
 *     health_leave(.., &ticket)           the call is over
 *     health_limit(.., for_us)            it answered 429 and said for how long
 *
 * Open. The first time for rules.open_us, then each time twice as long as before, up to
 * open_max_us; who stays closed for longer than that begins anew. A quarter is taken off or
 * added by chance, so that gateways that noticed together do not come back together.
 *
 * Half open. One call is let through. What it says decides. If it says nothing (its client
 * left) the next one is the trial; if it takes longer than the time that the breaker was
 * open, another one is let through as well.
 *
 * Early. Who has nobody else to ask need not wait for a trial's time: while it is open one call
 * at a time is let through (health_early, health_enter with `early`), a tenth of rules.open_us after it was
 * last known to be down. If that call fails, all is as it was before it: it lengthens nothing.
 * An endpoint that is checked (health_checked) has none, since its checks know better.
 *
 * Slow start. For rules.slow_us after it recovered, only a share of the calls should come here, from a
 * tenth growing to all: health_look says SLOW for the others. Who has nobody else to ask may call anyway.
 *
 * Limited. A 429 says that it is well and has enough: no failure, and no call until the time
 * that it named is over, however good it is otherwise.
 *
 * Pure: time is passed in (monotonic microseconds, of one clock for all), chance comes from
 * it. Threads: any; one word of 64 bits is the breaker, changed by compare and exchange, so
 * each change is seen by exactly one caller, who gets it as the return value and logs it. A
 * call that works on a closed breaker costs relaxed loads and two relaxed additions.
 */
#ifndef GATEWAY_FLOW_HEALTH_H
#define GATEWAY_FLOW_HEALTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "gateway/base/err.h"

/* X(name, word) */
#define HEALTH_STATES(X)                                                                 \
    X(CLOSED, "closed")                                                                  \
    X(OPEN, "open")                                                                      \
    X(HALF_OPEN, "half_open")

enum health_state {
#define X(name, word) HEALTH_##name,
    HEALTH_STATES(X)
#undef X
        HEALTH_STATE_COUNT
};

/* X(name, word): from the most to the least welcome. */
#define HEALTH_MAYS(X)                                                                   \
    X(TRIAL, "trial") /* it was down: the next call shows whether it still is */         \
    X(READY, "ready")                                                                    \
    X(SLOW, "slow_start") /* if nobody else can be asked */                              \
    X(LIMITED, "limited") /* not before the time that it named */                        \
    X(DOWN, "down")       /* not before its trial is due */

enum health_may {
#define X(name, word) HEALTH_MAY_##name,
    HEALTH_MAYS(X)
#undef X
};

/* What a call says of the endpoint. */
enum health_said {
    HEALTH_NOTHING, /* the client left, the request was at fault... */
    HEALTH_WORKED,
    HEALTH_FAILED,
};

/* What a call changed, for the log and the metrics. */
enum health_change {
    HEALTH_SAME,
    HEALTH_OPENED,    /* closed -> open */
    HEALTH_REOPENED,  /* half open -> open: the trial failed, or said nothing */
    HEALTH_TRYING,    /* open -> half open */
    HEALTH_RECOVERED, /* half open -> closed */
};

struct health_rules {
    unsigned failures;      /* in a row, that open it; 0: they do not */
    unsigned share_percent; /* or so many of a window's calls; 0: never by a share */
    unsigned share_calls;   /* of which there are at least so many */
    uint64_t window_us;     /* > 0 */
    uint64_t open_us, open_max_us;
    uint64_t slow_us;        /* 0: no slow start */
    uint64_t limited_max_us; /* a longer limit is cut to this */
    uint64_t checked_us;     /* it is checked so often; 0: never */
};

/* One endpoint's; zeroed it is closed and has never been called. */
struct health {
    _Atomic(uint64_t) breaker; /* state, times opened in a row, a time: health.c */
    _Atomic(uint64_t) window;  /* its number, calls, failures */
    _Atomic(uint64_t) limited_until_us; /* 0: it never was */
    _Atomic(uint64_t) changed_us;       /* when the state last changed; 0: never */
    _Atomic(uint64_t) failed_us;        /* the last failure; 0: none */
    _Atomic(const char *) failed_why;   /* of it; a static word; NULL: none */
    atomic_uint failed_in_row;
    atomic_uint in_flight;
    atomic_uint slow_turn; /* counts looks during slow start */
};

/* Of one call. */
struct health_ticket {
    bool trial; /* what it says decides, and it has not been said yet */
    uint64_t
        until_us; /* of an early trial: when the next one is due if it fails; else 0 */
};

const char *health_state_word(enum health_state state);
const char *health_may_word(enum health_may may);

enum health_state health_state(const struct health *health);
/* *ret_until_us (may be NULL): with LIMITED and DOWN, when to look again; else 0. */
enum health_may health_look(struct health *health, const struct health_rules *rules,
                            uint64_t now_us, uint64_t *ret_until_us);
/* The same without counting in the slow start: for people. */
enum health_may health_show(const struct health *health, const struct health_rules *rules,
                            uint64_t now_us, uint64_t *ret_until_us);

/* It is down: may a trial be made now, before its time, by who has nobody else to ask? */
bool health_early(const struct health *health, const struct health_rules *rules,
                  uint64_t now_us);
/* Is it worth waiting for? It may be called now, or a trial that is under way or may begin
 * until by_us could show that it is well; and none has failed since since_us. */
bool health_hope(const struct health *health, const struct health_rules *rules,
                 uint64_t since_us, uint64_t now_us, uint64_t by_us);

/* A call begins. False: it is down, or somebody else makes the trial: nothing is counted.
 * early: a trial before its time, see health_early. *ret_change: TRYING or SAME. */
NODISCARD bool health_enter(struct health *health, const struct health_rules *rules,
                            bool early, uint64_t now_us, struct health_ticket *ret_ticket,
                            enum health_change *ret_change);
/* why: of a failure, a static word. */
enum health_change health_told(struct health *health, const struct health_rules *rules,
                               uint64_t now_us, struct health_ticket *ticket,
                               enum health_said said, const char *why);
/* The call is over. A trial of which nothing was said is given back. */
enum health_change health_leave(struct health *health, const struct health_rules *rules,
                                uint64_t now_us, struct health_ticket *ticket);
/* True: it was not limited before (worth a line in the log). */
bool health_limit(struct health *health, const struct health_rules *rules,
                  uint64_t now_us, uint64_t for_us);

/* A check that costs nothing (tcp, GET /models), made beside the calls. While it is open a
 * good one makes a trial due at once, and a bad one puts it off: so no request is the first to notice that
 * it is still down. While it is closed bad ones count like calls; good ones excuse nothing. */
enum health_change health_checked(struct health *health, const struct health_rules *rules,
                                  uint64_t now_us, bool good, const char *why);

#endif
