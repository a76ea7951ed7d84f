/* vector_cache.h - vectors that remote embedders gave for texts, kept for the next time.
 *
 *     vector_cache_limit(cache, bytes)               at start and reload; 0: off and empty
 *     if (vector_cache_on(cache)) {
 *         key = vector_cache_key(cache, bundle id, embedder, model, text);
 *         if (!vector_cache_get(cache, key, vector, dim))
 *             ... asked, paid ...  vector_cache_put(cache, key, vector, dim);
 *     }
 *
 * The least recently used ones go first. What is kept is bounded in bytes, the keeping
 * itself included. A key is 128 bits of XXH3 over the text, under a seed of this process and
 * of all that the vector depends on: the bundle (its rows were made by the same model, as its probes
 * have shown), the embedder, the model. So no client can make two texts meet, and another bundle
 * never sees the vectors of the one before.
 *
 * Neither texts nor their lengths are kept. But whoever can tell that his request cost no
 * evidence learns that the same text was asked about before, perhaps with another key.
 *
 * Threads: any; sixteen shards, each with a lock of its own, under which a vector is copied
 * and nothing is allocated. While it is off only vector_cache_on is called: one relaxed load.
 */
#ifndef GATEWAY_FLOW_VECTOR_CACHE_H
#define GATEWAY_FLOW_VECTOR_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/base/str.h"

struct vector_cache;

struct vector_key {
    uint64_t low, high;
};

struct vector_cache_state {
    size_t entries, bytes;
};

/* Off. seed: of this process, which no client knows. NULL: out of memory. */
NODISCARD struct vector_cache *vector_cache_new(uint64_t seed);
void vector_cache_free(struct vector_cache *cache); /* takes NULL */

/* A smaller limit throws out what is too much. */
void vector_cache_limit(struct vector_cache *cache, size_t bytes);
bool vector_cache_on(const struct vector_cache *cache);

struct vector_key vector_cache_key(const struct vector_cache *cache, const char *bundle,
                                   const char *embedder, const char *model,
                                   struct str text);
/* True: ret_vector has its dim floats. */
NODISCARD bool vector_cache_get(struct vector_cache *cache, struct vector_key key,
                                float *ret_vector, size_t dim);
/* Copied. Without memory, and where it is larger than a shard, it is not kept. */
void vector_cache_put(struct vector_cache *cache, struct vector_key key,
                      const float *vector, size_t dim);

struct vector_cache_state vector_cache_state(struct vector_cache *cache);

#endif
