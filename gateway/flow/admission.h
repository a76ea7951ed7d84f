/* admission.h - which requests are under way at once, and who waits for a place.
 *
 *   service                           struct admission, zeroed, one for all workers
 *   worker      admission_open(...)   its queue, before any worker starts
 *   exchange    admission_full        at the head: a place will not be had, refuse at once
 *               admission_body        memory for more of the body; false: refuse
 *               admission_ask         the body is whole: IN, WAITING or SHED
 *                  seat.wake()        WAITING became IN or SHED
 *               admission_leave       when the request is over, in any state
 *
 *                      places: limits.in_flight, all workers together
 *                     +------------------------------------+
 *    body is whole -->| in | in | in | in | in | in | in   |--> over
 *          |          +------------------------------------+
 *          |             ^
 *          |             | the waiting key with the fewest places; among those in turn
 *          |       key A: oldest .. newest
 *          +-----> key B: oldest .. newest      limits.queue, all workers together
 *          |       no key: oldest .. newest
 *          v
 *       503, nothing was spent
 *
 * Rules. A request takes a place when its body is whole, so a client that sends slowly holds
 * a connection and no place. Nobody overtakes within a key. A key may fill as many places of
 * the queue as are still free, so one that floods leaves half of it to the others; where no
 * keys are asked for, there is one party and it may fill all of it. A burst waits up to
 * limits.queue_ms. A queue that has not been empty for that long is no burst: until it is,
 * nobody waits longer than a quarter of it, so that those who are let in are not late as
 * well (the idea is CoDel's). Bodies of all requests together: limits.bodies_bytes.
 *
 * Workers. Places are one atomic counter. Each worker has its own queue. While others
 * wait elsewhere a worker takes no more than its equal share of the places; a worker that
 * gives one back and has no use for it calls another by mail.
 *
 * Ownership: seats are embedded in exchanges and *borrowed while WAITING*. Threads: a queue
 * and its seats are the worker's own; struct admission is atomics. Errors: without memory
 * for a queue's entry the request is shed.
 */
#ifndef GATEWAY_FLOW_ADMISSION_H
#define GATEWAY_FLOW_ADMISSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "gateway/base/err.h"
#include "gateway/domain/config.h"
#include "gateway/domain/metrics.h"
#include "gateway/io/loop.h"

struct admission_queue; /* of one worker */
struct admission_party; /* who wait with the same key */

/* What a key has, over all workers; zeroed at first. */
struct admission_key {
    atomic_int places, waiting;
};

/* What the workers share; zeroed at first. */
struct admission {
    atomic_int in_flight;      /* places taken */
    atomic_int waiting;        /* in all queues */
    _Atomic int64_t bodies;    /* bytes */
    atomic_uint turn;          /* of the lanes, when one is called */
    struct admission_key none; /* requests without a key */
    size_t n_lanes;            /* fixed before the first worker starts */
    struct admission_lane {    /* what others know of a worker's queue */
        atomic_int waiting;    /* in it */
        atomic_bool called;    /* the mail is on its way */
        struct loop *loop;     /* borrowed */
        struct loop_mail mail; /* to it: places are free */
    } lanes[METRICS_MAX_BLOCKS];
};

enum admission_state {
    ADMISSION_NONE, /* did not ask, or has left */
    ADMISSION_WAITING,
    ADMISSION_IN,   /* has a place */
    ADMISSION_SHED, /* is to be refused */
};

/* A request's place; embedded and zeroed. Set key, wake and arg before the first call;
 * the rest is admission.c's, to be read. */
struct admission_seat {
    struct admission_key *key; /* outlives the seat; NULL: it has none */
    void (*wake)(void *arg);   /* from the loop, never from inside admission_* */
    void *arg;

    enum admission_state state;
    enum metric_shed why; /* SHED */
    uint64_t since_us;    /* loop time when it began to wait; 0: it did not */
    uint64_t waited_us;   /* until it was let in */
    int64_t body_bytes;   /* taken for its body */
    struct admission_party *party;
    TAILQ_ENTRY(admission_seat) in_party, in_queue;
};

/* The lane is the worker's from here on. NULL: out of memory. */
NODISCARD struct admission_queue *admission_open(struct admission *admission,
                                                 struct loop *loop,
                                                 struct metrics_block *metrics);
void admission_close(struct admission_queue *queue); /* takes NULL; nobody may wait */

/* True: no place is free and nobody more may wait; the seat is SHED. */
NODISCARD bool admission_full(struct admission_queue *queue, struct admission_seat *seat,
                              const struct config_limits *limits);
/* So many bytes of a body are here. False: there is no memory for them; the seat is SHED. */
NODISCARD bool admission_body(struct admission_queue *queue, struct admission_seat *seat,
                              size_t bytes, const struct config_limits *limits);
/* Once. */
NODISCARD enum admission_state admission_ask(struct admission_queue *queue,
                                             struct admission_seat *seat,
                                             const struct config_limits *limits);
/* Gives back whatever it has. */
void admission_leave(struct admission_queue *queue, struct admission_seat *seat);
/* Seconds for `retry-after`: 1 to 3 in turn, so that those who are refused at once do not
 * all come back at once. */
int64_t admission_retry_s(struct admission_queue *queue);

#endif
