/* test_vector_cache.c - kept vectors: bounded, the least recently used go first. */
#include "gateway/flow/vector_cache.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DIM 32

static unsigned seed;

static unsigned draw(unsigned n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

/* high 0: all in one shard, so that the order of use is one. */
static struct vector_key key_of(uint64_t n)
{
    return (struct vector_key){ .low = n * UINT64_C(0x9e3779b97f4a7c15), .high = 0 };
}

static void fill(float *vector, uint64_t n)
{
    for (size_t d = 0; d < DIM; d++)
        vector[d] = (float)n + (float)d / 64.0f;
}

static bool holds(struct vector_cache *cache, uint64_t n)
{
    float vector[DIM], expected[DIM];

    if (!vector_cache_get(cache, key_of(n), vector, DIM))
        return false;
    fill(expected, n);
    assert_memory_equal(vector, expected, sizeof vector);
    return true;
}

static void keep(struct vector_cache *cache, uint64_t n)
{
    float vector[DIM];

    fill(vector, n);
    vector_cache_put(cache, key_of(n), vector, DIM);
}

static void while_it_is_off_nothing_is_kept(void **state)
{
    struct vector_cache *cache = vector_cache_new(1);

    (void)state;
    assert_false(vector_cache_on(cache));
    keep(cache, 1);
    assert_false(holds(cache, 1));
    assert_int_equal(vector_cache_state(cache).bytes, 0);
    vector_cache_free(cache);
}

static void what_was_kept_is_found(void **state)
{
    struct vector_cache *cache = vector_cache_new(1);
    float other[DIM + 1];

    (void)state;
    vector_cache_limit(cache, 1 << 20);
    assert_true(vector_cache_on(cache));
    keep(cache, 1);
    assert_true(holds(cache, 1));
    assert_false(holds(cache, 2));
    assert_false(vector_cache_get(cache, key_of(1), other, DIM + 1));
    assert_int_equal(vector_cache_state(cache).entries, 1);
    vector_cache_free(cache);
}

static void a_key_is_of_text_bundle_embedder_model_and_process(void **state)
{
    static const struct {
        uint64_t seed;
        const char *bundle, *embedder, *model, *text;
    } of[] = {
        { 1, "b", "e", "m", "hello" },  { 2, "b", "e", "m", "hello" },
        { 1, "bb", "e", "m", "hello" }, { 1, "b", "ee", "m", "hello" },
        { 1, "b", "e", "mm", "hello" }, { 1, "b", "e", "m", "hello " },
        { 1, "be", "", "m", "hello" },  { 1, "b", "e", "", "mhello" },
    };
    struct vector_key keys[ARRAY_LEN(of)];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(of); i++) {
        struct vector_cache *cache = vector_cache_new(of[i].seed);

        keys[i] = vector_cache_key(cache, of[i].bundle, of[i].embedder, of[i].model,
                                   str_of(of[i].text));
        for (size_t k = 0; k < i; k++)
            assert_true(keys[k].low != keys[i].low && keys[k].high != keys[i].high);
        vector_cache_free(cache);
    }
}

static void a_smaller_limit_throws_out(void **state)
{
    struct vector_cache *cache = vector_cache_new(1);

    (void)state;
    vector_cache_limit(cache, 16 << 20);
    for (uint64_t n = 0; n < 1000; n++)
        keep(cache, n);
    assert_int_equal(vector_cache_state(cache).entries, 1000);
    vector_cache_limit(cache, 16 << 15);
    assert_in_range(vector_cache_state(cache).entries, 1, 999);
    assert_true(vector_cache_state(cache).bytes <= 16 << 15);
    assert_true(holds(cache, 999));
    assert_false(holds(cache, 0));
    vector_cache_limit(cache, 0);
    assert_int_equal(vector_cache_state(cache).bytes, 0);
    vector_cache_free(cache);
}

static void what_is_larger_than_a_shard_is_not_kept_and_costs_nobody(void **state)
{
    static float large[1 << 16];
    struct vector_cache *cache = vector_cache_new(1);

    (void)state;
    vector_cache_limit(cache, 16 << 14);
    keep(cache, 1);
    vector_cache_put(cache, key_of(2), large, ARRAY_LEN(large));
    assert_true(holds(cache, 1));
    assert_int_equal(vector_cache_state(cache).entries, 1);
    vector_cache_free(cache);
}

/* The law: those who are kept are the ones that were used last, and their bytes are below the
 * limit after every step. */
#define KEYS 200

static void the_least_recently_used_go_first(void **state)
{
    (void)state;
    for (seed = 1; seed <= 50; seed++) {
        size_t limit = 16 * (2048 + draw(20000));
        struct vector_cache *cache = vector_cache_new(seed);
        unsigned used[KEYS] = { 0 }, now = 0;
        bool missing = false;
        unsigned first = seed;

        vector_cache_limit(cache, limit);
        for (unsigned step = 0; step < 2000; step++) {
            unsigned n = draw(KEYS);

            if (draw(3) != 0) {
                if (holds(cache, n))
                    used[n] = ++now;
            } else if (!holds(cache, n)) {
                keep(cache, n);
                used[n] = ++now;
            } else {
                used[n] = ++now;
            }
            assert_true(vector_cache_state(cache).bytes <= limit);
        }
        for (unsigned before = now; before > 0; before--) {
            for (unsigned n = 0; n < KEYS; n++) {
                if (used[n] != before)
                    continue;
                if (!holds(cache, n))
                    missing = true;
                else if (missing)
                    fail_msg("seed %u: %u is kept, and one used later is not", first, n);
            }
        }
        assert_true(missing);
        vector_cache_free(cache);
        seed = first;
    }
}

/* -- from several threads ---------------------------------------------------------------- */

static struct vector_cache *shared;

static void *use(void *arg)
{
    uint64_t n = (uint64_t)(uintptr_t)arg;

    for (unsigned i = 0; i < 20000; i++) {
        float vector[DIM], expected[DIM];
        struct vector_key key;

        n = n * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        key = (struct vector_key){ .low = n >> 33 & 255, .high = n >> 33 & 255 };
        if (!vector_cache_get(shared, key, vector, DIM)) {
            fill(vector, key.low);
            vector_cache_put(shared, key, vector, DIM);
            continue;
        }
        fill(expected, key.low);
        if (memcmp(vector, expected, sizeof vector) != 0)
            return arg;
        if (i % 5000 == 0)
            vector_cache_limit(shared, 16 << (10 + i / 5000));
    }
    return NULL;
}

static void threads_get_whole_vectors(void **state)
{
    pthread_t threads[4];

    (void)state;
    shared = vector_cache_new(1);
    vector_cache_limit(shared, 16 << 11);
    for (uintptr_t t = 0; t < ARRAY_LEN(threads); t++)
        assert_int_equal(pthread_create(&threads[t], NULL, use, (void *)(t + 1)), 0);
    for (size_t t = 0; t < ARRAY_LEN(threads); t++) {
        void *wrong;

        (void)pthread_join(threads[t], &wrong);
        assert_null(wrong);
    }
    vector_cache_free(shared);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_it_is_off_nothing_is_kept),
        cmocka_unit_test(what_was_kept_is_found),
        cmocka_unit_test(a_key_is_of_text_bundle_embedder_model_and_process),
        cmocka_unit_test(a_smaller_limit_throws_out),
        cmocka_unit_test(what_is_larger_than_a_shard_is_not_kept_and_costs_nobody),
        cmocka_unit_test(the_least_recently_used_go_first),
        cmocka_unit_test(threads_get_whole_vectors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
