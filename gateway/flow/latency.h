/* latency.h - how long calls of one expert's embedding take: its 95th percentile of late.
 *
 *     latency_note(&latency, us)           a call that worked
 *     us = latency_p95(&latency)           0: too few calls to say
 *     if (latency_hedge(&latency)) ...     a second call is made: at most a tenth of the calls
 *
 * Buckets are quarters of an octave, so the percentile is at most a quarter too long. When
 * there are LATENCY_CALLS of them all are halved: what was long ago counts ever less.
 *
 * Pure. Threads: any; relaxed atomics. Who counts while another one halves may get lost, which
 * moves the percentile by one call.
 */
#ifndef GATEWAY_FLOW_LATENCY_H
#define GATEWAY_FLOW_LATENCY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LATENCY_BUCKETS 96
#define LATENCY_CALLS   1024 /* kept at most */
#define LATENCY_LEAST   50   /* calls below which there is no percentile */

/* Zeroed: no calls. */
struct latency {
    atomic_uint calls, hedged;
    atomic_uint buckets[LATENCY_BUCKETS];
};

void latency_note(struct latency *latency, uint64_t us);
uint64_t latency_p95(const struct latency *latency);
/* Takes one of the second calls that may be made; false: there were too many. */
bool latency_hedge(struct latency *latency);

#endif
