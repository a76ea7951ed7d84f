/* checkup.h - are the endpoints still there? Checks beside the calls, where the configuration asks for them.
 *
 *     checkup_start     after a snapshot is published, on one worker
 *     checkup_stop      before the next one, and at the end
 *
 * `tcp` opens a connection and closes it; `models` asks GET /models, which costs nothing
 * anywhere. Neither is ever a generation, so it says less than a call does: a bad check counts
 * as a failure, a good one only makes the trial of an endpoint due that was down (health.h).
 * With checks no client's request is the first to find out whether it is still down.
 *
 * Each endpoint has one check under way at most, and a timer that is a tenth early or late by
 * chance. Threads: the worker's own.
 */
#ifndef GATEWAY_FLOW_CHECKUP_H
#define GATEWAY_FLOW_CHECKUP_H

#include "gateway/domain/metrics.h"
#include "gateway/flow/snapshot.h"
#include "gateway/io/http.h"
#include "gateway/io/loop.h"

struct checkup;

/* Takes a reference on the snapshot. NULL: out of memory, or nothing is to be checked. */
struct checkup *checkup_start(struct loop *loop, struct http *http,
                              struct snapshot *snapshot, struct metrics_block *metrics);
void checkup_stop(struct checkup *checkup); /* cancels what runs; takes NULL */

#endif
