/* latency.c - how long calls take, of late; see latency.h.
 *
 *     units of 64 us:  4 5 6 7 | 8 10 12 14 | 16 20 24 28 | ...      four buckets an octave
 */
#include "gateway/flow/latency.h"

#include <stddef.h>

#define UNIT_US     64
#define HEDGE_SHARE 10 /* one second call in so many calls */

static size_t bucket_of(uint64_t us)
{
    uint64_t units = us / UNIT_US + 4;
    unsigned octave = 63 - (unsigned)__builtin_clzll(units); /* at least 2 */
    size_t bucket = (size_t)(octave - 2) * 4 + (units >> (octave - 2) & 3);

    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

/* What every call of the bucket took less than. */
static uint64_t end_of(size_t bucket)
{
    return (((UINT64_C(4) + bucket % 4 + 1) << bucket / 4) - 4) * UNIT_US;
}

static void halve_one(atomic_uint *count)
{
    unsigned n = atomic_load_explicit(count, memory_order_relaxed);

    while (!atomic_compare_exchange_weak(count, &n, n / 2)) {
    }
}

/* Whoever brings the calls down halves the rest. */
static void halve(struct latency *latency, unsigned calls)
{
    if (!atomic_compare_exchange_strong(&latency->calls, &calls, calls / 2))
        return;
    halve_one(&latency->hedged);
    for (size_t b = 0; b < LATENCY_BUCKETS; b++)
        halve_one(&latency->buckets[b]);
}

void latency_note(struct latency *latency, uint64_t us)
{
    unsigned calls;

    atomic_fetch_add_explicit(&latency->buckets[bucket_of(us)], 1, memory_order_relaxed);
    calls = 1 + atomic_fetch_add_explicit(&latency->calls, 1, memory_order_relaxed);
    if (calls >= LATENCY_CALLS)
        halve(latency, calls);
}

uint64_t latency_p95(const struct latency *latency)
{
    uint64_t total = 0, seen = 0;

    for (size_t b = 0; b < LATENCY_BUCKETS; b++)
        total += atomic_load_explicit(&latency->buckets[b], memory_order_relaxed);
    if (total < LATENCY_LEAST)
        return 0;
    for (size_t b = 0; b < LATENCY_BUCKETS; b++) {
        seen += atomic_load_explicit(&latency->buckets[b], memory_order_relaxed);
        if (seen * 100 >= total * 95)
            return end_of(b);
    }
    return end_of(LATENCY_BUCKETS - 1);
}

bool latency_hedge(struct latency *latency)
{
    unsigned calls = atomic_load_explicit(&latency->calls, memory_order_relaxed);
    unsigned hedged = atomic_load_explicit(&latency->hedged, memory_order_relaxed);

    do {
        if ((uint64_t)(hedged + 1) * HEDGE_SHARE > calls)
            return false;
    } while (!atomic_compare_exchange_weak(&latency->hedged, &hedged, hedged + 1));
    return true;
}
