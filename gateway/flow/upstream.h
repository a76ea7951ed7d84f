/* upstream.h - how an expert of the snapshot is reached: endpoint, key, limits, room, health.
 *
 *     upstream_choose()                which endpoint, if any may be called now
 *     upstream_choose_early()          which one might be tried before its time
 *     upstream_enter(&call, ..)        in flight, at the expert and at the endpoint
 *         upstream_told(&call, ..)     what the call says of the endpoint's health
 *         upstream_limit(&call, ..)    it asked to be left alone for so long
 *     upstream_leave(&call)
 *
 * Of an expert's endpoints the one with the fewest calls in flight is taken, in turn where
 * several have as few; but one whose trial is due (health.h) goes before them, and one in slow
 * start after them. Calls in flight are counted per expert over all workers as well, and bounded.
 *
 * A change of health is logged here, once, by whoever caused it, and counted.
 * Threads: any; the counters are atomic. A struct upstream_call is its owner's.
 */
#ifndef GATEWAY_FLOW_UPSTREAM_H
#define GATEWAY_FLOW_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/flow/health.h"
#include "gateway/flow/snapshot.h"
#include "gateway/io/embedder.h"
#include "gateway/io/http.h"

struct upstream_choice {
    enum health_may may; /* TRIAL, READY or SLOW: it may be called */
    size_t endpoint;     /* of the expert; then */
    uint64_t until_us;   /* else: when to look again */
    bool early;          /* it may be tried all the same, see upstream_choose_early */
};

/* tried: bit e: endpoint e is out of the question. With all of them tried: DOWN, until 0. */
struct upstream_choice upstream_choose(struct snapshot *snapshot, size_t expert,
                                       uint32_t tried, uint64_t now_us);
/* For who has nobody else to ask: of the endpoints that are down and may be tried before their
 * time (health_early) the one whose time comes first; none: `early` is false. */
struct upstream_choice upstream_choose_early(struct snapshot *snapshot, size_t expert,
                                             uint64_t now_us);
/* Is one of its endpoints worth waiting for, see health_hope? */
bool upstream_hope(struct snapshot *snapshot, size_t expert, uint64_t since_us,
                   uint64_t now_us, uint64_t by_us);
/* What a call that broke is counted as, by who broke it: CONNECT, TIMEOUT, or else CUT. */
enum metric_attempt upstream_broken(enum http_result_code code);
/* TRIAL, READY, SLOW. */
bool upstream_may_call(enum health_may may);

enum upstream_entry {
    UPSTREAM_ENTERED,
    UPSTREAM_FULL, /* the expert has max_in_flight calls under way already */
    UPSTREAM_SHUT, /* the endpoint is down, or somebody else makes its trial */
};

/* One call; zeroed: none. */
struct upstream_call {
    struct snapshot *snapshot; /* borrowed; NULL: not entered */
    struct metrics_block *metrics;
    size_t expert, endpoint;
    struct health_ticket ticket;
};

/* Without ENTERED nothing is counted. early: chosen so. metrics: the thread's own; NULL: none. */
NODISCARD enum upstream_entry upstream_enter(struct upstream_call *call,
                                             struct snapshot *snapshot, size_t expert,
                                             size_t endpoint, bool early,
                                             struct metrics_block *metrics);
/* why: a static word. */
void upstream_told(struct upstream_call *call, enum health_said said, const char *why);
/* for_ms 0 or less: it did not say for how long, so nobody is kept away. */
void upstream_limit(struct upstream_call *call, int64_t for_ms);
void upstream_leave(struct upstream_call *call); /* harmless where it is not entered */

/* A check beside the calls, see health_checked. */
void upstream_checked(struct snapshot *snapshot, size_t expert, size_t endpoint,
                      bool good, const char *why, struct metrics_block *metrics);

/* The URL, *borrowed from the snapshot*. */
const char *upstream_endpoint(const struct snapshot *snapshot, size_t expert,
                              size_t endpoint);
struct http_timeouts upstream_timeouts(const struct config_expert *expert);
struct http_tls upstream_tls(const struct config_expert *expert);

/* A call of the remote embedder j of the configuration at that endpoint; all *borrowed from
 * the snapshot* but the texts. within_ms (0: none) shortens the expert's own time limits. */
struct embedder_spec upstream_embedder_spec(struct snapshot *snapshot, size_t embedder,
                                            size_t endpoint,
                                            const struct embedder_text *texts,
                                            size_t n_texts, unsigned within_ms);

#endif
