/* worker.h - one thread, one event loop, all that its exchanges share.
 *
 * Shared-nothing: a worker owns its loop, its HTTP client, its block of metrics and its
 * exchanges; nothing of them is touched by another thread. Others reach it by posting to
 * its loop (worker_offer_send, worker_drain).
 *
 *    main   w = worker_new(...)       server = edge's, listening, on worker_loop(w)
 *           worker_attach(w, ops, server)       once per listener, before the start
 *           worker_start(w)           the thread runs its loop
 *           worker_offer_send(worker_offer_new(w, snap, ring))   any number of times
 *           worker_drain(w, ms)       stops accepting; the thread ends when the last
 *                                     exchange has, or when the time is over
 *           worker_join(w), worker_free(w)
 *
 * Threads: worker_new .. worker_start and worker_join, worker_free on the main thread;
 * worker_offer_* and worker_drain on any; everything else on the worker's own.
 */
#ifndef GATEWAY_FLOW_WORKER_H
#define GATEWAY_FLOW_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/base/id.h"
#include "gateway/domain/metrics.h"
#include "gateway/flow/admission.h"
#include "gateway/flow/decider.h"
#include "gateway/flow/keyring.h"
#include "gateway/flow/snapshot.h"
#include "gateway/flow/sticky.h"
#include "gateway/flow/vector_cache.h"
#include "gateway/io/http.h"
#include "gateway/io/loop.h"
#include "gateway/io/pool.h"
#include "gateway/io/resolve.h"
#include "gateway/io/store.h"

struct reload;
struct worker;
struct worker_offer;

#define WORKER_LISTENERS_MAX 9

/* Several offers that belong together: whoever takes the last one posts the mail. Owned by
 * whoever made the offers, until the mail has come. */
struct worker_publication {
    atomic_uint left; /* offers that are not taken */
    struct loop *loop;
    struct loop_mail mail;
};

/* What all workers of the process see; made by main before the first worker, immutable
 * but for the atomics. */
struct service {
    struct metrics *metrics;      /* borrowed; rendered at scrape */
    struct metrics_block *shown;  /* gauges that are set at scrape, by whoever renders */
    struct vector_cache *vectors; /* borrowed, shared; NULL: none are kept */
    struct resolve *resolve;      /* borrowed, shared */
    struct pool *pool;            /* borrowed; for long searches; NULL: none */
    struct store *store;          /* borrowed, shared; NULL: nothing is kept */
    int64_t started_us;           /* monotonic */
    struct admission admission;   /* requests under way, and who waits for a place */
    struct sticky *sticky; /* borrowed, shared; NULL: no conversation is remembered */
    /* A worker's thread is about to end; called on it. mail: the worker's, to be posted. */
    void (*ended)(void *context, struct loop_mail *mail);
    void *ended_context;
    /* Reads configuration, bundle and keys anew on the main thread, fills in the report and
     * calls reload_done(); any thread. NULL: nobody does. See reload.h. */
    void (*reload)(void *context, struct reload *reload);
    void *reload_context;
    atomic_bool draining; /* set at SIGTERM: /readyz says so */
    uint16_t instance;    /* in ids */
};

/* How the worker tells a listener (the edge's server) what happens to it; called on the
 * worker's thread. */
struct listener_ops {
    /* Stop accepting. True: there are connections that may still bring a request; it is
     * served, and when the last of them is gone worker_listener_empty() is called. */
    bool (*quiesce)(void *listener);
    void (*hang_up)(void *listener); /* their time is over: those without a request go */
    void (*close)(void *listener);   /* the loop ends: tell exchange_gone for what is
                                      left, free the listener */
};

/* Takes its own reference on the snapshot; metrics is borrowed. */
NODISCARD enum err worker_new(struct service *service, unsigned index,
                              struct snapshot *snapshot, struct metrics_block *metrics,
                              struct worker **ret_worker);
/* At most WORKER_LISTENERS_MAX listeners. The listener is *taken*: closed by ops->close on the thread, or
 * by worker_free when the worker was never started. */
void worker_attach(struct worker *worker, const struct listener_ops *ops, void *listener);
NODISCARD enum err worker_start(struct worker *worker);
/* What is to be in force, NULL: as before; with references of its own. publication: NULL, or
 * told when the offer is taken. Snapshot and keys of
 * one offer are taken over in one turn, so no request sees one without the other. Whoever
 * needs all workers or none makes all offers before the first is sent. */
NODISCARD struct worker_offer *worker_offer_new(struct worker *worker,
                                                struct snapshot *snapshot,
                                                struct keyring *keyring,
                                                struct worker_publication *publication);
/* Takes the offer. Before the start of the worker it is in force at once; without any keys
 * every request is let in. */
void worker_offer_send(struct worker_offer *offer);
void worker_offer_free(
    struct worker_offer *offer); /* one that was not sent; takes NULL */
NODISCARD enum err worker_drain(struct worker *worker, unsigned limit_ms);
/* Called by a quiesced listener without connections. */
void worker_listener_empty(struct worker *worker);
/* Has the loop turned since the last call? Asks it to, for the next one. A worker that has
 * ended has. Main's alone, about a worker that was started. */
bool worker_pulse(struct worker *worker);
void worker_join(struct worker *worker);
void worker_free(struct worker *worker); /* takes NULL; joins nothing */

/* This thread's numeric libraries start no teams of threads, which would fight the workers
 * for the processors. Also for threads that are no workers. */
void worker_alone(void);

struct loop *worker_loop(struct worker *worker);
struct http *worker_http(struct worker *worker);
struct metrics_block *worker_metrics(struct worker *worker);
struct service *worker_service(struct worker *worker);
unsigned worker_index(const struct worker *worker);
/* The snapshot in force; *borrowed until the loop's next turn*: take a reference. */
struct snapshot *worker_snapshot(struct worker *worker);

/* An exchange's place in its worker; embedded and zeroed by the exchange. */
struct worker_seat {
    struct worker_seat *next, **prev;
    void (*shut)(struct worker_seat *seat); /* the drain's limit is over: end honestly */
};

/* Exchanges under way: the drain waits for them. */
void worker_enter(struct worker *worker, struct worker_seat *seat);
void worker_leave(struct worker *worker, struct worker_seat *seat);
size_t worker_exchanges(const struct worker *worker);
bool worker_draining(const struct worker *worker);

/* The keys in force; the same. NULL: none were published. */
struct keyring *worker_keys(struct worker *worker);

struct decider *worker_decider(struct worker *worker);
struct admission_queue *worker_queue(struct worker *worker);
/* A new id of this worker; */
const char *worker_new_id(struct worker *worker, const char *prefix,
                          char text[ID_TEXT_BYTES]);

#endif
