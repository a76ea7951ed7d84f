/* test_steer.c - a day's spending finds its target, whatever the traffic. */
#include "gateway/domain/steer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/base/money.h"

static const struct steer_rule rule = { 24 * MONEY_USD, 0.25, 64 };

static void on_plan_nothing_is_corrected(void **state)
{
    (void)state;
    assert_true(steer_factor(&rule, 0, 0) == 1);
    /* Four fifths of a dollar an hour are planned. */
    assert_true(fabs(steer_factor(&rule, 12 * MONEY_USD * 4 / 5, 43200) - 1) < 1e-9);
}

static void half_an_hour_ahead_doubles_lambda_and_behind_halves_it(void **state)
{
    int64_t half_hour = MONEY_USD * 4 / 5 / 2;

    (void)state;
    assert_true(fabs(steer_factor(&rule, 13 * half_hour, 12 * 1800) - 2) < 1e-9);
    assert_true(fabs(steer_factor(&rule, 11 * half_hour, 12 * 1800) - 0.5) < 1e-9);
}

static void the_factor_stays_within_its_bounds(void **state)
{
    (void)state;
    assert_true(steer_factor(&rule, INT64_MAX, 0) == 64);
    assert_true(steer_factor(&rule, 0, 86400) == 0.25);
}

static void more_spent_is_never_more_generous(void **state)
{
    double before = 0;

    (void)state;
    for (int64_t spent = 0; spent < 30 * MONEY_USD; spent += MONEY_USD / 50) {
        double factor = steer_factor(&rule, spent, 40000);

        assert_true(factor >= before);
        before = factor;
    }
}

/* A day of traffic that would cost `pressure` times the target if nobody steered, and that
 * gets cheaper by the factor's power -elasticity. Spent, as a share of the target. */
static double day(double pressure, double elasticity, int rush)
{
    double spent = 0;

    for (int64_t second = 0; second < STEER_DAY_S; second += 20) {
        double factor = steer_factor(&rule, (int64_t)spent, second);
        /* With a rush half of the traffic comes within three hours of the morning. */
        double share = !rush                                      ? 1
                       : second >= 8 * 3600 && second < 11 * 3600 ? 4
                                                                  : 0.5 * 24 / 21;

        spent += (double)rule.target_pico * pressure * share * 20 / STEER_DAY_S *
                 pow(factor, -elasticity);
    }
    return spent / (double)rule.target_pico;
}

static void a_day_ends_below_its_target_whatever_the_traffic(void **state)
{
    (void)state;
    for (double elasticity = 0.3; elasticity <= 1; elasticity += 0.35) {
        for (double pressure = 0.8; pressure <= 3; pressure *= 1.3) {
            double even = day(pressure, elasticity, 0),
                   rush = day(pressure, elasticity, 1);

            if (even < 0.7 || even > 1 || rush > 1.05)
                fail_msg("%g times the target at elasticity %g: %g, with a rush %g",
                         pressure, elasticity, even, rush);
        }
    }
}

static void little_traffic_is_not_inflated_beyond_the_bound(void **state)
{
    (void)state;
    /* The least factor of 1/4 makes it dearer by no more than 4 ^ elasticity. */
    assert_true(day(0.1, 0.5, 0) <= 0.1 * 2 + 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_plan_nothing_is_corrected),
        cmocka_unit_test(half_an_hour_ahead_doubles_lambda_and_behind_halves_it),
        cmocka_unit_test(the_factor_stays_within_its_bounds),
        cmocka_unit_test(more_spent_is_never_more_generous),
        cmocka_unit_test(a_day_ends_below_its_target_whatever_the_traffic),
        cmocka_unit_test(little_traffic_is_not_inflated_beyond_the_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
