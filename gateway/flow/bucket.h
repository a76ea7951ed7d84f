/* bucket.h - a limit per minute: a bucket that fills as time goes by.
 *
 *     bucket_init(&b, 60, now)          60 a minute, full
 *     bucket_take(&b, n, now)           false: not now; bucket_wait_us says how long
 *     bucket_give(&b, n, now)           corrects: back (n > 0) or still owed (n < 0)
 *
 * It holds a minute's worth at most and fills evenly, so that a burst of a whole minute's
 * worth is let through once and the long-run average is the limit. A demand for more than
 * it can ever hold is let in when it is full, and leaves it in debt; the debt is at most
 * another minute's worth, however absurd a correction is. Exact: a unit is a 60-millionth,
 * so a microsecond adds `limit` of them.
 *
 * Pure; one owner. Times are microseconds of a clock that never goes back.
 */
#ifndef GATEWAY_FLOW_BUCKET_H
#define GATEWAY_FLOW_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
    int64_t limit;   /* per minute; 0: no limit */
    int64_t level;   /* in units; negative: in debt */
    int64_t seen_us; /* up to when it has been filled */
};

/* limit: 0 (none) to KEY_RATE_MAX. */
void bucket_init(struct bucket *bucket, int64_t limit, int64_t now_us);
/* Another limit: what was taken stays taken. */
void bucket_change(struct bucket *bucket, int64_t limit, int64_t now_us);
/* n >= 0. False: nothing was taken. Without a limit always true. */
bool bucket_take(struct bucket *bucket, int64_t n, int64_t now_us);
void bucket_give(struct bucket *bucket, int64_t n, int64_t now_us);

/* Whole ones that could be taken now, 0 at least. */
int64_t bucket_remaining(struct bucket *bucket, int64_t now_us);
/* Until n can be taken; 0: now. */
int64_t bucket_wait_us(struct bucket *bucket, int64_t n, int64_t now_us);
/* Until it is full. */
int64_t bucket_reset_us(struct bucket *bucket, int64_t now_us);

#endif
