/* vector_cache.c - vectors that remote embedders gave for texts; see vector_cache.h.
 *
 *     shard     slots [ . | * | . | * ]     chains by key; the table doubles when it is full
 *                           |       |
 *                           v       v
 *                        entry <-> entry <-> entry     most to least recently used
 */
#include "gateway/flow/vector_cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#define SHARDS         16 /* a power of two */
#define FIRST_SLOTS    64 /* likewise */
#define MALLOC_BYTES   16 /* of an allocation, beside what was asked for */
#define PREFIX_TEXTS   3
#define BYTES_OF(dim_) (sizeof(struct entry) + (dim_) * sizeof(float) + MALLOC_BYTES)

struct entry {
    struct entry *chain;         /* the next with the same slot */
    struct entry *newer, *older; /* in the order of use */
    struct vector_key key;
    size_t dim;
    float vector[];
};

struct shard {
    pthread_mutex_t lock; /* guards all below; vectors are copied under it */
    struct entry **slots; /* owned; NULL until the first entry */
    size_t n_slots, n;
    size_t bytes, limit;
    struct entry *newest, *oldest;
};

struct vector_cache {
    uint64_t seed;
    atomic_bool on;
    struct shard shards[SHARDS];
};

struct vector_cache *vector_cache_new(uint64_t seed)
{
    struct vector_cache *cache = calloc(1, sizeof *cache);

    if (cache == NULL)
        return NULL;
    cache->seed = seed;
    atomic_init(&cache->on, false);
    for (size_t i = 0; i < SHARDS; i++) {
        if (pthread_mutex_init(&cache->shards[i].lock, NULL) == 0)
            continue;
        while (i-- > 0)
            pthread_mutex_destroy(&cache->shards[i].lock);
        free(cache);
        return NULL;
    }
    return cache;
}

static struct shard *shard_of(struct vector_cache *cache, struct vector_key key)
{
    return &cache->shards[key.high % SHARDS];
}

/* -- under the lock ---------------------------------------------------------------------- */

static struct entry **slot_of(const struct shard *shard, struct vector_key key)
{
    return &shard->slots[key.low & (shard->n_slots - 1)];
}

static bool same(struct vector_key a, struct vector_key b)
{
    return a.low == b.low && a.high == b.high;
}

static struct entry *find(const struct shard *shard, struct vector_key key)
{
    struct entry *entry = shard->slots != NULL ? *slot_of(shard, key) : NULL;

    while (entry != NULL && !same(entry->key, key))
        entry = entry->chain;
    return entry;
}

static void unlink_use(struct shard *shard, struct entry *entry)
{
    *(entry->newer != NULL ? &entry->newer->older : &shard->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &shard->oldest) = entry->newer;
}

static void link_newest(struct shard *shard, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = shard->newest;
    *(shard->newest != NULL ? &shard->newest->newer : &shard->oldest) = entry;
    shard->newest = entry;
}

static void take_out(struct shard *shard, struct entry *entry)
{
    struct entry **at = slot_of(shard, entry->key);

    while (*at != entry)
        at = &(*at)->chain;
    *at = entry->chain;
    unlink_use(shard, entry);
    shard->bytes -= BYTES_OF(entry->dim);
    shard->n--;
}

/* A list, by `chain`, of those who were used least recently and are too much with `more`
 * bytes; to be freed without the lock. */
static struct entry *throw_out(struct shard *shard, size_t more)
{
    struct entry *out = NULL;

    while (shard->oldest != NULL && shard->bytes + more > shard->limit) {
        struct entry *entry = shard->oldest;

        take_out(shard, entry);
        entry->chain = out;
        out = entry;
    }
    return out;
}

/* As many slots as `slots` has; the old table is given back to be freed. */
static struct entry **rehash(struct shard *shard, struct entry **slots, size_t n_slots)
{
    struct entry **before = shard->slots;

    shard->bytes += n_slots * sizeof(struct entry *);
    shard->bytes -= shard->n_slots * sizeof(struct entry *);
    shard->slots = slots;
    shard->n_slots = n_slots;
    for (struct entry *entry = shard->newest; entry != NULL; entry = entry->older) {
        struct entry **at = slot_of(shard, entry->key);

        entry->chain = *at;
        *at = entry;
    }
    return before;
}

/* -- outside of it ----------------------------------------------------------------------- */

static void free_chain(struct entry *entry)
{
    while (entry != NULL) {
        struct entry *next = entry->chain;

        free(entry);
        entry = next;
    }
}

void vector_cache_free(struct vector_cache *cache)
{
    if (cache == NULL)
        return;
    vector_cache_limit(cache, 0);
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_destroy(&cache->shards[i].lock);
    free(cache);
}

void vector_cache_limit(struct vector_cache *cache, size_t bytes)
{
    atomic_store(&cache->on, bytes > 0);
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        struct entry **slots = NULL;
        struct entry *out;

        pthread_mutex_lock(&shard->lock);
        shard->limit = bytes / SHARDS;
        out = throw_out(shard, 0);
        if (shard->n == 0)
            slots = rehash(shard, NULL, 0);
        assert(bytes > 0 || shard->bytes == 0);
        pthread_mutex_unlock(&shard->lock);
        free_chain(out);
        free(slots);
    }
}

bool vector_cache_on(const struct vector_cache *cache)
{
    return atomic_load_explicit(&cache->on, memory_order_relaxed);
}

struct vector_key vector_cache_key(const struct vector_cache *cache, const char *bundle,
                                   const char *embedder, const char *model,
                                   struct str text)
{
    const char *parts[PREFIX_TEXTS] = { bundle, embedder, model };
    uint64_t seed = cache->seed;
    XXH128_hash_t hash;

    for (size_t i = 0; i < PREFIX_TEXTS; i++)
        seed = XXH3_64bits_withSeed(parts[i], strlen(parts[i]) + 1, seed);
    hash = XXH3_128bits_withSeed(text.p, text.n, seed);
    return (struct vector_key){ .low = hash.low64, .high = hash.high64 };
}

bool vector_cache_get(struct vector_cache *cache, struct vector_key key,
                      float *ret_vector, size_t dim)
{
    struct shard *shard = shard_of(cache, key);
    struct entry *entry;
    bool found;

    pthread_mutex_lock(&shard->lock);
    entry = find(shard, key);
    found = entry != NULL && entry->dim == dim;
    if (found) {
        memcpy(ret_vector, entry->vector, dim * sizeof *ret_vector);
        unlink_use(shard, entry);
        link_newest(shard, entry);
    }
    pthread_mutex_unlock(&shard->lock);
    return found;
}

/* A larger table where the next entry would not have a slot of its own; made before the lock
 * is taken for good. Without memory the chains grow longer. */
static void make_slots(struct shard *shard)
{
    struct entry **slots = NULL, **before = NULL;
    size_t n_slots = 0;

    pthread_mutex_lock(&shard->lock);
    if (shard->n >= shard->n_slots)
        n_slots = shard->n_slots > 0 ? 2 * shard->n_slots : FIRST_SLOTS;
    pthread_mutex_unlock(&shard->lock);
    if (n_slots == 0)
        return;
    slots = calloc(n_slots, sizeof(struct entry *));
    if (slots == NULL)
        return;
    pthread_mutex_lock(&shard->lock);
    if (shard->limit > 0 && shard->n_slots < n_slots) {
        before = rehash(shard, slots, n_slots);
        slots = NULL;
    }
    pthread_mutex_unlock(&shard->lock);
    free(before);
    free(slots);
}

void vector_cache_put(struct vector_cache *cache, struct vector_key key,
                      const float *vector, size_t dim)
{
    struct shard *shard = shard_of(cache, key);
    struct entry *entry = malloc(sizeof *entry + dim * sizeof(float)), *out = NULL;

    if (entry == NULL)
        return;
    entry->key = key;
    entry->dim = dim;
    memcpy(entry->vector, vector, dim * sizeof(float));
    make_slots(shard);
    pthread_mutex_lock(&shard->lock);
    if (shard->slots != NULL && BYTES_OF(dim) <= shard->limit &&
        find(shard, key) == NULL) {
        out = throw_out(shard, BYTES_OF(dim));
        if (shard->bytes + BYTES_OF(dim) <= shard->limit) {
            struct entry **at = slot_of(shard, key);

            entry->chain = *at;
            *at = entry;
            link_newest(shard, entry);
            shard->bytes += BYTES_OF(dim);
            shard->n++;
            entry = NULL;
        }
    }
    pthread_mutex_unlock(&shard->lock);
    free(entry);
    free_chain(out);
}

struct vector_cache_state vector_cache_state(struct vector_cache *cache)
{
    struct vector_cache_state state = { 0 };

    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];

        pthread_mutex_lock(&shard->lock);
        state.entries += shard->n;
        state.bytes += shard->bytes;
        pthread_mutex_unlock(&shard->lock);
    }
    return state;
}
