/* condition.h - the state of the experts as operators see it: readiness, metrics, and
 * GET /admin/experts.
 *
 * Everything is read from the snapshot's gauges when it is asked for; nothing is kept.
 * Threads: any.
 */
#ifndef GATEWAY_FLOW_CONDITION_H
#define GATEWAY_FLOW_CONDITION_H

#include <stddef.h>

#include "gateway/base/buf.h"
#include "gateway/domain/metrics.h"
#include "gateway/flow/snapshot.h"

/* Adds texts to a JSON list that has *n elements already: embedders that deliver no evidence, experts with
 * endpoints that are down. */
void condition_degraded(const struct snapshot *snapshot, size_t *n, struct buf *out);
/* Adds the names of experts that are barred from ceilings to a JSON list that is empty. */
void condition_barred(const struct snapshot *snapshot, struct buf *out);
/* The whole answer of GET /admin/experts. */
void condition_experts(const struct snapshot *snapshot, struct buf *out);
/* Sets frugal_expert_state. block: nobody else moves its gauges; several may set them. */
void condition_show(const struct snapshot *snapshot, struct metrics_block *block);

#endif
