/* sticky.h - where conversations are: the expert that answered last, and what leaving it
 * would lose.
 *
 *     admit   sticky_find(table, key, keep_s, now, &place)    who, and how much of the next
 *                                                             prompt it has read before
 *     settle  sticky_learn(table, key, &lesson, now)          who really answered
 *
 * A bounded table of buckets, each of STICKY_WAYS places:
 *
 *     tenant, hash --> bucket [ place | place | ... ]     one of STICKY_LOCKS mutexes, held
 *                                                         for the look through one bucket
 *
 * Where a bucket is full, what was asked only once gives way first (single questions are
 * most of what comes in, and most never come back), then the longest unused. Nothing is
 * allocated after sticky_new and nothing is swept.
 *
 * The tenant is compared as it is, not as a part of the hash, so that nobody ever touches the
 * conversation of another tenant, however he chooses his first turns. Experts are kept by
 * their slot (metrics.h), which a name has for the life of the process: the table outlives
 * reloads, and an expert that is taken out and put in again is found again.
 *
 * What is kept is a belief about somebody else's cache: it moves expected prices and is never
 * part of a worst case. Any thread.
 */
#ifndef GATEWAY_FLOW_STICKY_H
#define GATEWAY_FLOW_STICKY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"

#define STICKY_WAYS  8
#define STICKY_LOCKS 64

struct sticky;

struct sticky_key {
    const void *tenant; /* compared only; NULL: whoever has no key */
    uint64_t hash[2];
};

struct sticky_place {
    size_t slot;    /* of the expert */
    int64_t tokens; /* of the last prompt and its answer: what the next one begins with */
    double hit;     /* share of them that is expected to be in the expert's cache, 0..1 */
    size_t messages;  /* in the last request */
    unsigned answers; /* of this expert, one after another */
    int64_t idle_s;   /* since the last answer */
};

struct sticky_lesson {
    size_t slot;                                        /* more than 0 */
    size_t messages;                                    /* in the request */
    int64_t input_tokens, cached_tokens, output_tokens; /* as reported or estimated */
    bool
        begun; /* there was an answer among its turns: it is worth more than a question */
};

/* At least `entries` places, at most STICKY_WAYS more; 0 is none: *ret_table is NULL. */
NODISCARD enum err sticky_new(size_t entries, struct sticky **ret_table);
void sticky_free(struct sticky *table); /* takes NULL */

/* now_s: a clock that never goes back, in seconds. False: nothing younger than keep_s. */
bool sticky_find(struct sticky *table, const struct sticky_key *key, int64_t keep_s,
                 int64_t now_s, struct sticky_place *ret_place);
/* An expert that was here before and says how much it read from its cache corrects `hit`;
 * of another one all is hoped for. */
void sticky_learn(struct sticky *table, const struct sticky_key *key,
                  const struct sticky_lesson *lesson, int64_t now_s);

#endif
