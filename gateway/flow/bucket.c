/* bucket.c - a limit per minute; see bucket.h. */
#include "gateway/flow/bucket.h"

#include <assert.h>

#include "gateway/domain/key_limits.h"

#define MINUTE_US INT64_C(60000000) /* units of one, too */

static_assert(KEY_RATE_MAX <= INT64_MAX / MINUTE_US / 4, "levels and sums of two fit");

static int64_t full(const struct bucket *bucket)
{
    return bucket->limit * MINUTE_US;
}

/* n of them in units, never more than a bucket holds. */
static int64_t units(const struct bucket *bucket, int64_t n)
{
    return n >= bucket->limit ? full(bucket) : n * MINUTE_US;
}

static void fill(struct bucket *bucket, int64_t now_us)
{
    int64_t passed = now_us - bucket->seen_us;

    if (passed <= 0)
        return;
    bucket->seen_us = now_us;
    if (passed > 2 * MINUTE_US)
        passed = 2 * MINUTE_US;
    bucket->level += passed * bucket->limit;
    if (bucket->level > full(bucket))
        bucket->level = full(bucket);
}

void bucket_init(struct bucket *bucket, int64_t limit, int64_t now_us)
{
    assert(limit >= 0 && limit <= KEY_RATE_MAX);
    *bucket = (struct bucket){ .limit = limit, .seen_us = now_us };
    bucket->level = full(bucket);
}

void bucket_change(struct bucket *bucket, int64_t limit, int64_t now_us)
{
    int64_t taken;

    if (limit == bucket->limit)
        return;
    fill(bucket, now_us);
    taken = full(bucket) - bucket->level;
    bucket_init(bucket, limit, now_us);
    bucket->level -= taken;
    if (bucket->level < -full(bucket))
        bucket->level = -full(bucket);
}

bool bucket_take(struct bucket *bucket, int64_t n, int64_t now_us)
{
    assert(n >= 0);
    if (bucket->limit == 0)
        return true;
    fill(bucket, now_us);
    if (bucket->level < units(bucket, n))
        return false;
    bucket_give(bucket, -n, now_us);
    return true;
}

void bucket_give(struct bucket *bucket, int64_t n, int64_t now_us)
{
    const int64_t most = 2 * bucket->limit; /* from full to the deepest debt */

    if (bucket->limit == 0)
        return;
    fill(bucket, now_us);
    if (n > most)
        n = most;
    if (n < -most)
        n = -most;
    bucket->level += n * MINUTE_US;
    if (bucket->level > full(bucket))
        bucket->level = full(bucket);
    if (bucket->level < -full(bucket))
        bucket->level = -full(bucket);
}

int64_t bucket_remaining(struct bucket *bucket, int64_t now_us)
{
    fill(bucket, now_us);
    return bucket->level > 0 ? bucket->level / MINUTE_US : 0;
}

static int64_t until(const struct bucket *bucket, int64_t level)
{
    int64_t missing = level - bucket->level;

    return missing > 0 ? (missing + bucket->limit - 1) / bucket->limit : 0;
}

int64_t bucket_wait_us(struct bucket *bucket, int64_t n, int64_t now_us)
{
    if (bucket->limit == 0)
        return 0;
    fill(bucket, now_us);
    return until(bucket, units(bucket, n));
}

int64_t bucket_reset_us(struct bucket *bucket, int64_t now_us)
{
    if (bucket->limit == 0)
        return 0;
    fill(bucket, now_us);
    return until(bucket, full(bucket));
}
