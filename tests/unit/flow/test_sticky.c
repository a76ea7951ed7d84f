/* test_sticky.c - conversations are found again, bounded, and never those of others. */
#include "gateway/flow/sticky.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <pthread.h>

#include "gateway/base/err.h"

#define KEEP 100

static struct sticky_key key(const void *tenant, uint64_t n)
{
    return (struct sticky_key){ tenant, { n * UINT64_C(0x9e3779b97f4a7c15), n } };
}

static struct sticky *table_of(size_t entries)
{
    struct sticky *table = NULL;

    assert_int_equal(sticky_new(entries, &table), ERR_OK);
    assert_non_null(table);
    return table;
}

static void learn(struct sticky *table, struct sticky_key k, size_t slot, int64_t now)
{
    struct sticky_lesson lesson = { .slot = slot,
                                    .messages = 3,
                                    .input_tokens = 1000,
                                    .output_tokens = 100,
                                    .begun = true };

    sticky_learn(table, &k, &lesson, now);
}

static void what_answered_last_is_found_until_it_is_too_old(void **state)
{
    struct sticky *table = table_of(64);
    struct sticky_key k = key(NULL, 1);
    struct sticky_place place;

    (void)state;
    assert_false(sticky_find(table, &k, KEEP, 10, &place));
    learn(table, k, 7, 10);
    assert_true(sticky_find(table, &k, KEEP, 10 + KEEP, &place));
    assert_int_equal(place.slot, 7);
    assert_int_equal(place.tokens, 1100);
    assert_int_equal(place.messages, 3);
    assert_int_equal(place.idle_s, KEEP);
    assert_false(sticky_find(table, &k, KEEP, 11 + KEEP, &place));
    sticky_free(table);
}

static void equal_turns_of_two_tenants_are_two_conversations(void **state)
{
    static const char one, two;
    struct sticky *table = table_of(64);
    struct sticky_key mine = key(&one, 1), yours = key(&two, 1), nobodys = key(NULL, 1);
    struct sticky_place place;

    (void)state;
    learn(table, mine, 3, 10);
    assert_false(sticky_find(table, &yours, KEEP, 10, &place));
    assert_false(sticky_find(table, &nobodys, KEEP, 10, &place));
    learn(table, yours, 4, 11);
    assert_true(sticky_find(table, &mine, KEEP, 11, &place));
    assert_int_equal(place.slot, 3);
    sticky_free(table);
}

static void the_share_that_was_read_from_the_cache_is_what_is_expected_next(void **state)
{
    struct sticky *table = table_of(64);
    struct sticky_key k = key(NULL, 1);
    struct sticky_lesson lesson = { .slot = 3,
                                    .messages = 5,
                                    .input_tokens = 2000,
                                    .cached_tokens = 550,
                                    .output_tokens = 10,
                                    .begun = true };
    struct sticky_place place;

    (void)state;
    learn(table, k, 3, 10);
    assert_true(sticky_find(table, &k, KEEP, 10, &place));
    assert_true(place.hit == 1); /* nothing is known: all is hoped for */
    sticky_learn(table, &k, &lesson, 11);
    assert_true(sticky_find(table, &k, KEEP, 11, &place));
    assert_true(place.hit == 0.5); /* 550 of the 1100 that could have been there */
    assert_int_equal(place.answers, 2);
    lesson.slot = 4;
    lesson.messages = 7;
    sticky_learn(table, &k, &lesson, 12);
    assert_true(sticky_find(table, &k, KEEP, 12, &place));
    assert_true(place.hit == 1); /* another expert's cache */
    assert_int_equal(place.answers, 1);
    sticky_free(table);
}

/* However many come, the table stays as it is, and single questions give way first. */
static void conversations_outlive_any_number_of_single_questions(void **state)
{
    struct sticky *table = table_of(800);
    struct sticky_lesson single = { .slot = 2, .messages = 1, .input_tokens = 10 };
    struct sticky_place place;
    size_t kept = 0;

    (void)state;
    for (uint64_t i = 0; i < 200; i++)
        learn(table, key(NULL, i), 1, 10);
    for (uint64_t i = 1000; i < 101000; i++) {
        struct sticky_key k = key(NULL, i);

        sticky_learn(table, &k, &single, 11);
    }
    for (uint64_t i = 0; i < 200; i++) {
        struct sticky_key k = key(NULL, i);

        kept += sticky_find(table, &k, KEEP, 12, &place);
    }
    /* Two a bucket of eight; a bucket that was given nine has lost one. */
    assert_true(kept >= 198);
    sticky_free(table);
}

static void the_longest_unused_gives_way(void **state)
{
    struct sticky *table = table_of(STICKY_WAYS);
    struct sticky_key k;
    struct sticky_place place;

    (void)state;
    for (uint64_t i = 0; i < STICKY_WAYS; i++)
        learn(table, key(NULL, i), 1, 10 + (int64_t)i);
    learn(table, key(NULL, 0), 1, 50); /* used again */
    learn(table, key(NULL, 99), 1, 51);
    k = key(NULL, 0);
    assert_true(sticky_find(table, &k, KEEP, 51, &place));
    k = key(NULL, 1);
    assert_false(sticky_find(table, &k, KEEP, 51, &place));
    sticky_free(table);
}

static void no_entries_are_no_table(void **state)
{
    struct sticky *table = (struct sticky *)state;

    assert_int_equal(sticky_new(0, &table), ERR_OK);
    assert_null(table);
    sticky_free(table);
}

static void *hammer(void *arg)
{
    struct sticky *table = arg;
    struct sticky_place place;

    for (uint64_t i = 0; i < 20000; i++) {
        struct sticky_key k = key(NULL, i % 37);

        learn(table, k, 1 + i % 37, 10);
        if (sticky_find(table, &k, KEEP, 10, &place) && place.slot != 1 + i % 37)
            return arg;
    }
    return NULL;
}

static void many_threads_see_whole_entries(void **state)
{
    struct sticky *table = table_of(64);
    pthread_t threads[4];
    void *torn = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, table), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_join(threads[i], &torn), 0);
        assert_null(torn);
    }
    sticky_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_answered_last_is_found_until_it_is_too_old),
        cmocka_unit_test(equal_turns_of_two_tenants_are_two_conversations),
        cmocka_unit_test(the_share_that_was_read_from_the_cache_is_what_is_expected_next),
        cmocka_unit_test(conversations_outlive_any_number_of_single_questions),
        cmocka_unit_test(the_longest_unused_gives_way),
        cmocka_unit_test(no_entries_are_no_table),
        cmocka_unit_test(many_threads_see_whole_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
