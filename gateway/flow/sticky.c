/* sticky.c - where conversations are; see sticky.h. */
#include "gateway/flow/sticky.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#define MAX_TOKENS INT32_MAX

/* 56 bytes; seen_s 0: free. */
struct entry {
    const void *tenant;
    uint64_t hash[2];
    int64_t seen_s; /* of the last answer, by the clock of the caller plus 1 */
    int32_t tokens;
    float hit;
    uint32_t messages;
    uint16_t slot;
    uint16_t answers : 15, begun : 1;
};

struct lock {
    _Alignas(64)
        pthread_mutex_t mutex; /* guards the buckets i with i % STICKY_LOCKS here */
};

struct sticky {
    struct lock locks[STICKY_LOCKS];
    size_t n_buckets;
    struct entry *entries; /* n_buckets * STICKY_WAYS */
};

enum err sticky_new(size_t entries, struct sticky **ret_table)
{
    struct sticky *table;

    if (entries == 0) {
        *ret_table = NULL;
        return ERR_OK;
    }
    table = aligned_alloc(_Alignof(struct sticky), sizeof *table);
    if (table == NULL)
        return ERR_NOMEM;
    table->n_buckets = (entries + STICKY_WAYS - 1) / STICKY_WAYS;
    table->entries = calloc(table->n_buckets * STICKY_WAYS, sizeof *table->entries);
    if (table->entries == NULL) {
        free(table);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < STICKY_LOCKS; i++)
        pthread_mutex_init(&table->locks[i].mutex, NULL);
    *ret_table = table;
    return ERR_OK;
}

void sticky_free(struct sticky *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < STICKY_LOCKS; i++)
        pthread_mutex_destroy(&table->locks[i].mutex);
    free(table->entries);
    free(table);
}

static size_t bucket_of(const struct sticky *table, const struct sticky_key *key)
{
    /* Fibonacci's constant spreads the tenant, whose lowest bits are all alike. */
    uint64_t mixed =
        key->hash[0] ^ (uint64_t)(uintptr_t)key->tenant * UINT64_C(0x9e3779b97f4a7c15);

    return (size_t)((unsigned __int128)mixed * table->n_buckets >> 64);
}

static bool is_of(const struct entry *entry, const struct sticky_key *key)
{
    return entry->seen_s != 0 && entry->tenant == key->tenant &&
           entry->hash[0] == key->hash[0] && entry->hash[1] == key->hash[1];
}

bool sticky_find(struct sticky *table, const struct sticky_key *key, int64_t keep_s,
                 int64_t now_s, struct sticky_place *ret_place)
{
    size_t bucket = bucket_of(table, key);
    pthread_mutex_t *mutex = &table->locks[bucket % STICKY_LOCKS].mutex;
    const struct entry *entries = &table->entries[bucket * STICKY_WAYS];
    bool found = false;

    pthread_mutex_lock(mutex);
    for (size_t i = 0; i < STICKY_WAYS && !found; i++) {
        const struct entry *entry = &entries[i];

        if (!is_of(entry, key) || now_s + 1 - entry->seen_s > keep_s)
            continue;
        found = true;
        *ret_place = (struct sticky_place){ .slot = entry->slot,
                                            .tokens = entry->tokens,
                                            .hit = (double)entry->hit,
                                            .messages = entry->messages,
                                            .answers = entry->answers,
                                            .idle_s = now_s + 1 - entry->seen_s };
    }
    pthread_mutex_unlock(mutex);
    return found;
}

/* Should a give way before b? */
static bool worth_less(const struct entry *a, const struct entry *b)
{
    if ((a->seen_s == 0) != (b->seen_s == 0))
        return a->seen_s == 0;
    return a->begun != b->begun ? b->begun : a->seen_s < b->seen_s;
}

static float hit_of(const struct entry *before, const struct sticky_lesson *lesson)
{
    int64_t expected =
        before->tokens < lesson->input_tokens ? before->tokens : lesson->input_tokens;
    double hit;

    if (before->slot != lesson->slot || lesson->messages <= before->messages ||
        expected <= 0)
        return before->slot == lesson->slot ? before->hit : 1;
    hit = (double)lesson->cached_tokens / (double)expected;
    return hit > 1 ? 1 : (float)hit;
}

static int32_t clamp(int64_t tokens)
{
    return tokens < 0 ? 0 : tokens > MAX_TOKENS ? MAX_TOKENS : (int32_t)tokens;
}

void sticky_learn(struct sticky *table, const struct sticky_key *key,
                  const struct sticky_lesson *lesson, int64_t now_s)
{
    size_t bucket = bucket_of(table, key);
    pthread_mutex_t *mutex = &table->locks[bucket % STICKY_LOCKS].mutex;
    struct entry *entries = &table->entries[bucket * STICKY_WAYS], *entry = NULL;
    struct entry fresh = { .tenant = key->tenant,
                           .hash = { key->hash[0], key->hash[1] },
                           .seen_s = now_s + 1,
                           .tokens = clamp(lesson->input_tokens + lesson->output_tokens),
                           .hit = 1,
                           .messages = (uint32_t)clamp((int64_t)lesson->messages),
                           .slot = (uint16_t)lesson->slot,
                           .answers = 1,
                           .begun = lesson->begun };

    assert(lesson->slot > 0 && lesson->slot <= UINT16_MAX && now_s >= 0);
    pthread_mutex_lock(mutex);
    for (size_t i = 0; i < STICKY_WAYS; i++) {
        if (is_of(&entries[i], key)) {
            entry = &entries[i];
            fresh.hit = hit_of(entry, lesson);
            if (entry->slot == lesson->slot)
                fresh.answers =
                    (uint16_t)((entry->answers + (entry->answers < 0x7fff)) & 0x7fff);
            break;
        }
        if (entry == NULL || worth_less(&entries[i], entry))
            entry = &entries[i];
    }
    *entry = fresh;
    pthread_mutex_unlock(mutex);
}
