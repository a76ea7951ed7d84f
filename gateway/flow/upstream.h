/* upstream.h - how an expert of the snapshot is reached: endpoint, key, limits, room.
 *
 * Endpoints of one expert are taken in turn, over all workers. Calls in flight are counted
 * per expert over all workers: upstream_enter before a call, upstream_leave after it.
 * Threads: any; the counters are atomic.
 */
#ifndef GATEWAY_FLOW_UPSTREAM_H
#define GATEWAY_FLOW_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/flow/snapshot.h"
#include "gateway/io/embedder.h"
#include "gateway/io/http.h"

/* False: the expert has max_in_flight calls under way already; nothing is counted. */
NODISCARD bool upstream_enter(struct snapshot *snapshot, size_t expert);
void upstream_leave(struct snapshot *snapshot, size_t expert);

/* A turn of the expert's endpoints; *the first try of a request takes one*. */
unsigned upstream_turn(struct snapshot *snapshot, size_t expert);
/* The endpoint of a turn, and, for turn + 1, + 2, ..., the others; *borrowed from the
 * snapshot*. */
const char *upstream_endpoint(const struct snapshot *snapshot, size_t expert,
                              unsigned turn);
struct http_timeouts upstream_timeouts(const struct config_expert *expert);

/* A call of the remote embedder j of the configuration; all *borrowed from the snapshot*
 * but the texts. within_ms (0: none) shortens the expert's own time limits. */
struct embedder_spec upstream_embedder_spec(struct snapshot *snapshot, size_t embedder,
                                            const struct embedder_text *texts,
                                            size_t n_texts, unsigned within_ms);

#endif
