/* id.h - ids of requests and decisions: sortable by time, with the instance, hard to
 * guess.
 *
 *   req_01jd6w3z9k-0a1f-6x3tq0m2v7rk
 *       `time, ms  `instance `60 random bits, base32
 *
 * One source a worker, used by that worker only. Random bytes come from getrandom(2) in
 * batches, or from the function a test gives.
 */
#ifndef GATEWAY_BASE_ID_H
#define GATEWAY_BASE_ID_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/base/clock.h"

#define ID_TEXT_BYTES 48 /* with the final 0 */

typedef void (*id_random_fn)(void *context, void *bytes, size_t n);

struct id_source {
    const struct clock *clock; /* borrowed */
    uint16_t instance;         /* of this gateway among several */
    id_random_fn random;
    void *random_context;
    uint8_t pool[256]; /* random bytes not yet used: the last `left` ones */
    size_t left;
};

/* random may be NULL: getrandom(2). */
void id_source_init(struct id_source *source, const struct clock *clock,
                    uint16_t instance, id_random_fn random, void *random_context);

/* prefix: at most 8 bytes, "req", "dec", ... Returns text. */
const char *id_new(struct id_source *source, const char *prefix,
                   char text[ID_TEXT_BYTES]);

/* What every id of that moment begins with, "dec_01jd6w3z9k": as a text it is before all of
 * them and behind all earlier ones. Returns text. */
const char *id_floor(const char *prefix, int64_t wall_us, char text[ID_TEXT_BYTES]);

uint64_t
id_random(struct id_source *source); /* 64 random bits, for jitter and sampling */

#endif
