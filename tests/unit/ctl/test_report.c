/* The summary: means of what is known, percentiles of answers, nothing where nothing is known. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/base/money.h"
#include "tools/ctl/report.h"

static double number(json_t *list, const char *name)
{
    return json_number_value(json_object_get(json_array_get(list, 0), name));
}

static void the_error_is_that_of_the_mean(void **state)
{
    struct report *report = report_new(1);

    (void)state;
    report->lines[0].name = "e";
    for (int i = 0; i < 100; i++)
        report_add(&report->lines[0], i < 20 ? 1 : 0, MONEY_NONE, NAN);
    json_t *list = report_json(report);
    assert_float_equal(number(list, "accuracy"), 0.2, 1e-12);
    assert_float_equal(number(list, "se"), sqrt(0.2 * 0.8 / 99), 1e-12);
    assert_true(json_is_null(json_object_get(json_array_get(list, 0), "usd")));
    assert_true(json_is_null(json_object_get(json_array_get(list, 0), "latency_p50_ms")));
    json_decref(list);
    report_free(report);
}

static void latencies_are_told_by_percentiles(void **state)
{
    struct report *report = report_new(1);

    (void)state;
    report->lines[0].name = "e";
    for (int i = 200; i >= 1; i--)
        report_answer(&report->lines[0], i, 10);
    report_answer(&report->lines[0], NAN, 10);
    report->lines[0].busy_ms = 500;
    report->lines[0].busy_tokens = 100;
    json_t *list = report_json(report);
    assert_float_equal(number(list, "latency_p50_ms"), 100, 0);
    assert_float_equal(number(list, "latency_p95_ms"), 190, 0);
    assert_float_equal(number(list, "output_tokens"), 10, 0);
    assert_float_equal(number(list, "tokens_per_second"), 2000 / 20.1, 1e-9);
    assert_float_equal(number(list, "tokens_per_second_all"), 200, 1e-9);
    assert_true(json_is_null(json_object_get(json_array_get(list, 0), "accuracy")));
    json_decref(list);
    report_free(report);
}

static void one_cell_has_no_error(void **state)
{
    struct report *report = report_new(1);

    (void)state;
    report->lines[0].name = "e";
    report_add(&report->lines[0], 1, 3000000, 5);
    json_t *list = report_json(report);
    assert_true(json_is_null(json_object_get(json_array_get(list, 0), "se")));
    assert_float_equal(number(list, "usd_per_request"), 3e-6, 1e-18);
    json_decref(list);
    report_free(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_error_is_that_of_the_mean),
        cmocka_unit_test(latencies_are_told_by_percentiles),
        cmocka_unit_test(one_cell_has_no_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
