/* test_metrics.c - what is counted is what is scraped, also while it is counted. */
#include "gateway/domain/metrics.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct metrics *metrics;
static struct metrics_block *one, *two;

static int setup(void **state)
{
    (void)state;
    if (metrics_new(&metrics) != ERR_OK)
        return -1;
    one = metrics_block(metrics);
    two = metrics_block(metrics);
    return one && two ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    metrics_free(metrics);
    metrics_free(NULL);
    return 0;
}

static bool shows(const char *line)
{
    struct buf out;
    struct str rest, got;
    bool found = false;

    buf_init(&out, 1 << 22);
    metrics_render(metrics, &out);
    assert_false(out.failed);
    rest = buf_str(&out);
    while (str_cut(&rest, '\n', &got))
        found = found || str_is(got, line);
    buf_release(&out);
    return found;
}

static void blocks_are_summed(void **state)
{
    size_t small = metrics_expert(metrics, "small");

    (void)state;
    metrics_add(one, METRIC_ATTEMPTS, small, METRIC_ATTEMPT_OK, 2);
    metrics_add(two, METRIC_ATTEMPTS, small, METRIC_ATTEMPT_OK, 3);
    metrics_move(one, METRIC_IN_FLIGHT, 0, 5);
    metrics_move(two, METRIC_IN_FLIGHT, 0, -2);
    metrics_add(one, METRIC_COST, small, METRIC_SPEND_EVIDENCE, 1500000);
    metrics_add(one, METRIC_REQUESTS, METRIC_ROUTE_CHAT, API_BUDGET, 1);
    metrics_set(one, METRIC_BUNDLE_ROWS, 0, 7);
    metrics_set(one, METRIC_BUNDLE_ROWS, 0, 9);
    assert_true(metrics_value(metrics, METRIC_ATTEMPTS, small, METRIC_ATTEMPT_OK) == 5);
    assert_true(shows("frugal_attempts_total{expert=\"small\",result=\"ok\"} 5"));
    assert_true(shows("frugal_requests_in_flight 3"));
    assert_true(
        shows("frugal_cost_usd_total{expert=\"small\",for=\"evidence\"} 0.0000015"));
    assert_true(
        shows("frugal_requests_total{route=\"chat\",result=\"budget_exceeded\"} 1"));
    assert_true(shows("frugal_bundle_rows 9"));
    assert_true(shows("# TYPE frugal_bundle_rows gauge"));
}

static void histograms_are_cumulated(void **state)
{
    (void)state;
    metrics_observe(one, METRIC_OVERHEAD, 0, 50); /* a bound belongs to its bucket */
    metrics_observe(one, METRIC_OVERHEAD, 0, 51);
    metrics_observe(two, METRIC_OVERHEAD, 0, INT64_C(999000000));
    metrics_observe(two, METRIC_OVERHEAD, 0, -5);
    assert_true(shows("frugal_overhead_seconds_bucket{le=\"0.00005\"} 2"));
    assert_true(shows("frugal_overhead_seconds_bucket{le=\"0.0001\"} 3"));
    assert_true(shows("frugal_overhead_seconds_bucket{le=\"120\"} 3"));
    assert_true(shows("frugal_overhead_seconds_bucket{le=\"+Inf\"} 4"));
    assert_true(shows("frugal_overhead_seconds_count 4"));
    assert_true(shows("frugal_overhead_seconds_sum 999.000101"));
    assert_true(metrics_value(metrics, METRIC_OVERHEAD, 0, 0) == 4);
}

static void expert_labels_are_bounded(void **state)
{
    char name[32];
    size_t first = metrics_expert(metrics, "e0"), last = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof(name), "e%d", i);
        last = metrics_expert(metrics, name);
        assert_true(last < METRICS_MAX_EXPERTS);
    }
    assert_int_equal(last, 0); /* "other" */
    assert_int_equal(metrics_expert(metrics, "e0"), first);
    assert_true(first != 0);
}

static void empty_cells_of_experts_are_not_shown(void **state)
{
    struct buf out;

    (void)state;
    (void)metrics_expert(metrics, "quiet");
    buf_init(&out, 1 << 22);
    metrics_render(metrics, &out);
    assert_null(memmem(out.p, out.n, "quiet", 5));
    assert_non_null(memmem(out.p, out.n, "\nfrugal_clients_gone_total 0\n", 29));
    buf_release(&out);
}

#define ROUNDS 200000

static void *count(void *block)
{
    for (int i = 0; i < ROUNDS; i++) {
        metrics_add(block, METRIC_CLIENTS_GONE, 0, 0, 1);
        metrics_observe(block, METRIC_SEARCH, 0, 10);
    }
    return NULL;
}

static void a_scrape_while_counting_never_goes_back(void **state)
{
    int64_t before = 0, now = 0;
    pthread_t threads[2];

    (void)state;
    assert_int_equal(pthread_create(&threads[0], NULL, count, one), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, count, two), 0);
    for (int i = 0; i < 100; i++) {
        now = metrics_value(metrics, METRIC_CLIENTS_GONE, 0, 0);
        assert_true(now >= before && now <= 2 * ROUNDS);
        before = now;
    }
    assert_int_equal(pthread_join(threads[0], NULL), 0);
    assert_int_equal(pthread_join(threads[1], NULL), 0);
    assert_true(metrics_value(metrics, METRIC_CLIENTS_GONE, 0, 0) == 2 * ROUNDS);
    assert_true(metrics_value(metrics, METRIC_SEARCH, 0, 0) == 2 * ROUNDS);
}

static void blocks_are_bounded(void **state)
{
    size_t n = 2;

    (void)state;
    while (metrics_block(metrics))
        n++;
    assert_int_equal(n, METRICS_MAX_BLOCKS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(blocks_are_summed),
        TEST(histograms_are_cumulated),
        TEST(expert_labels_are_bounded),
        TEST(empty_cells_of_experts_are_not_shown),
        TEST(a_scrape_while_counting_never_goes_back),
        TEST(blocks_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
