/* test_latency.c - the 95th percentile of late, and how many second calls it allows. */
#include "gateway/flow/latency.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/base/err.h"

static void note(struct latency *latency, unsigned n, uint64_t us)
{
    for (unsigned i = 0; i < n; i++)
        latency_note(latency, us);
}

static void few_calls_say_nothing(void **state)
{
    struct latency latency = { 0 };

    (void)state;
    note(&latency, LATENCY_LEAST - 1, 1000);
    assert_int_equal(latency_p95(&latency), 0);
    note(&latency, 1, 1000);
    assert_true(latency_p95(&latency) > 0);
}

/* Never below the true percentile, and at most a quarter and a unit above it. */
static void the_percentile_is_close(void **state)
{
    static const uint64_t us[] = { 0,     63,     100,     1000,     2500,
                                   30000, 250000, 1000000, 30000000, 100000000 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(us); i++) {
        struct latency latency = { 0 };
        uint64_t p95;

        note(&latency, 94, us[i] / 3);
        note(&latency, 3, us[i]);
        note(&latency, 3, 10 * us[i]);
        p95 = latency_p95(&latency);
        assert_true(p95 > us[i]);
        assert_true(p95 <= us[i] + us[i] / 4 + 128);
    }
}

static void what_was_long_ago_is_forgotten(void **state)
{
    struct latency latency = { 0 };

    (void)state;
    note(&latency, 2000, 100000);
    assert_true(latency_p95(&latency) > 100000);
    note(&latency, 6000, 1000);
    assert_true(latency_p95(&latency) < 2000);
}

static void second_calls_are_at_most_a_tenth(void **state)
{
    struct latency latency = { 0 };
    unsigned hedges = 0;

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        latency_note(&latency, 1000);
        hedges += latency_hedge(&latency);
    }
    assert_in_range(hedges, 900, 1100);
}

static struct latency shared;

static void *hammer(void *arg)
{
    for (unsigned i = 0; i < 20000; i++) {
        latency_note(&shared, 1000);
        (void)latency_hedge(&shared);
        (void)latency_p95(&shared);
    }
    return arg;
}

static void threads_do_not_break_it(void **state)
{
    pthread_t threads[4];

    (void)state;
    for (size_t t = 0; t < ARRAY_LEN(threads); t++)
        assert_int_equal(pthread_create(&threads[t], NULL, hammer, NULL), 0);
    for (size_t t = 0; t < ARRAY_LEN(threads); t++)
        (void)pthread_join(threads[t], NULL);
    assert_in_range(latency_p95(&shared), 1000, 1400);
    assert_in_range(shared.calls, 1, LATENCY_CALLS + 4);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_calls_say_nothing),
        cmocka_unit_test(the_percentile_is_close),
        cmocka_unit_test(what_was_long_ago_is_forgotten),
        cmocka_unit_test(second_calls_are_at_most_a_tenth),
        cmocka_unit_test(threads_do_not_break_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
