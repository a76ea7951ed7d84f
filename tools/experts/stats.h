/* stats.h - what each model was asked and did: the upstream's side of the story.
 *
 * Tests compare it with what the gateway says: a request the gateway cancelled must be
 * cancelled here, tokens it settled must have been written here. Any thread counts; the
 * numbers of one model are not a snapshot of one instant.
 */
#ifndef TOOLS_EXPERTS_STATS_H
#define TOOLS_EXPERTS_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "gateway/base/buf.h"

#define STATS_MODELS 64 /* names kept apart; the rest is counted as "other" */

#define STATS_COUNTERS(X)                                                                \
    X(requests, "bodies read whole")                                                     \
    X(in_flight, "of them, not over yet")                                                \
    X(completed, "answered to the last byte")                                            \
    X(cancelled, "the client went before the answer was over")                           \
    X(cut, "ended by the script before the answer was over")                             \
    X(refused, "answered with an error")                                                 \
    X(prompt_tokens, "read")                                                             \
    X(completion_tokens, "written, also for a client that went")

struct stats_model {
    char name[256];
#define X(name, text) _Atomic int64_t name;
    STATS_COUNTERS(X)
#undef X
};

struct stats;

struct stats *stats_new(void); /* NULL: out of memory */
void stats_free(struct stats *stats);

/* Never NULL; lives as long as the stats. */
struct stats_model *stats_of(struct stats *stats, const char *model);

/* {"models":{"NAME":{"requests":..}}} */
void stats_render(struct stats *stats, struct buf *out);

#endif
