/* The measures of eval routing on curves small enough to work out by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/ctl/measures.h"

#define NEAR 1e-9

static void near_to(double value, double expected)
{
    if (!(fabs(value - expected) < NEAR))
        fail_msg("%.12g is not %.12g", value, expected);
}

/* Four prompts; "cheap" is right on two for 1 USD, "dear" on three for 3. At lambda 0 the router asks the dear one
 * for the first three and the cheap one for the last, which is all that can be right; at any other price it always
 * asks the cheap one. */
#define N 4
static const double quality[N * 2] = { 1, 1, 0, 1, 0, 1, 1, 0 };
static const double cost[N * 2] = { 1, 3, 1, 3, 1, 3, 1, 3 };
static const double predicted[N * 2] = { .5, .8, .1, .6, .2, .9, .7, .3 };
static const uint8_t chosen[2 * N] = { 1, 1, 1, 0, 0, 0, 0, 0 };
static const double unpaid[2 * N] = { 0 };

static struct trial four(void)
{
    return (struct trial){ .n = N,
                           .n_models = 2,
                           .n_lambdas = 2,
                           .quality = quality,
                           .cost = cost,
                           .predicted = predicted,
                           .chosen = chosen,
                           .paid = unpaid };
}

static void a_hull_keeps_what_mixing_cannot_reach(void **state)
{
    struct measures_point points[] = { { 3, .6 }, { 1, .2 }, { 4, .55 },
                                       { 2, .5 }, { 2, .3 }, { 3.5, .9 } };
    (void)state;
    assert_int_equal(measures_hull(points, 6), 3);
    near_to(points[0].cost, 1);
    near_to(points[1].cost, 2);
    near_to(points[1].quality, .5);
    near_to(points[2].cost, 3.5);
    near_to(points[2].quality, .9);
}

static void a_hull_drops_points_on_its_own_edge_and_repeats(void **state)
{
    struct measures_point line[] = { { 1, .25 }, { 2, .5 }, { 3, .75 }, { 3, .75 } };
    struct measures_point one[] = { { 2, .5 }, { 2, .5 } };
    (void)state;
    assert_int_equal(measures_hull(line, 4), 2);
    near_to(line[1].cost, 3);
    assert_int_equal(measures_hull(one, 2), 1);
    assert_int_equal(measures_hull(one, 0), 0);
}

static void the_curve_runs_from_the_dearest_money_to_none(void **state)
{
    struct trial trial = four();
    struct measures_point curve[MEASURES_POINTS], single[2];
    (void)state;
    assert_int_equal(measures_curve(&trial, NULL, curve), 2);
    near_to(curve[0].cost, 1);
    near_to(curve[0].quality, .5);
    near_to(curve[1].cost, 2.5);
    near_to(curve[1].quality, 1);
    measures_singles(&trial, NULL, single);
    near_to(single[0].quality, .5);
    near_to(single[1].cost, 3);
}

/* The hull goes (1, .5) - (2.5, 1) - flat; mixing the models (1, .5) - (3, .75). */
static void areas_and_costs_are_those_worked_out_by_hand(void **state)
{
    struct trial trial = four();
    struct measures m;
    (void)state;
    measures_of(&trial, NULL, &m);
    near_to(m.best_single, .75);
    near_to(m.oracle, 1);
    near_to(m.accuracy, 1);
    near_to(m.gap_closed, 1);
    near_to(m.aiq_b, (1.5 * .75 + .5 * 1) / 2);
    near_to(m.zero_aiq_b, .625);
    near_to(m.match, 1.75 / 3);
    near_to(m.p99, (1 + .2425 / .5 * 1.5) / 3);
    near_to(m.p95, (1 + .2125 / .5 * 1.5) / 3);
}

static void evidence_is_paid_for_on_the_curve(void **state)
{
    static const double paid[2 * N] = { .5, .5, .5, .5, 0, 0, 0, 0 };
    struct trial trial = four();
    struct measures_point curve[MEASURES_POINTS];
    (void)state;
    trial.paid = paid;
    (void)measures_curve(&trial, NULL, curve);
    near_to(curve[0].cost, 1);
    near_to(curve[1].cost, 3);
}

static void picks_count_as_often_as_they_are_named(void **state)
{
    static const uint32_t last[N] = { 3, 3, 3, 3 };
    struct trial trial = four();
    struct measures m;
    (void)state;
    measures_of(&trial, last, &m);
    near_to(m.best_single, 1); /* the cheap one */
    near_to(m.accuracy, 1);
    near_to(m.match, 1);
    near_to(m.aiq_b, 1); /* cheapest and best are one: no range, its quality */
}

static void what_is_never_reached_is_not_a_number(void **state)
{
    static const uint8_t cheap[2 * N] = { 0 };
    struct trial trial = four();
    struct measures m;
    (void)state;
    trial.chosen = cheap;
    measures_of(&trial, NULL, &m);
    assert_true(isnan(m.match) && isnan(m.p99) && isnan(m.p95));
    near_to(m.accuracy, .5);
    near_to(m.gap_closed, -1);
    near_to(m.aiq_b, .5);
}

static void without_a_gap_there_is_no_share_of_it(void **state)
{
    static const double flat[N * 2] = { 1, 1, 1, 1, 0, 0, 0, 0 };
    struct trial trial = four();
    struct measures m;
    (void)state;
    trial.quality = flat;
    measures_of(&trial, NULL, &m);
    near_to(m.oracle, m.best_single);
    assert_true(isnan(m.gap_closed));
    assert_true(isfinite(m.aiq_b) && isfinite(m.ece));
}

static void an_unknown_outcome_counts_neither_for_nor_against(void **state)
{
    double gaps[N * 2], costs[N * 2];
    struct trial trial = four();
    struct measures m;
    (void)state;
    memcpy(gaps, quality, sizeof(gaps));
    memcpy(costs, cost, sizeof(costs));
    gaps[1 * 2 + 1] = costs[1 * 2 + 1] = NAN; /* what the dear one said of prompt 1 */
    trial.quality = gaps;
    trial.cost = costs;
    measures_of(&trial, NULL, &m);
    near_to(m.best_single, 2.0 / 3);
    near_to(m.accuracy, 1);
    near_to(m.ece, (.2 + .1 + .3) / 3);
    assert_true(isfinite(m.apgr));
}

/* The mean of four prompts drawn with repetition is 0, 1/4, .. 1: the interval holds what is measured, repeats
 * itself, and what few resamples have is not a number. */
static void an_interval_holds_what_is_measured(void **state)
{
    struct trial trial = four();
    struct progress bar;
    struct measures m, low, high, low_again, high_again;
    (void)state;
    progress_init(&bar, "", 1);
    measures_of(&trial, NULL, &m);
    measures_intervals(&trial, 400, 7, &bar, &low, &high);
    measures_intervals(&trial, 400, 7, &bar, &low_again, &high_again);
    assert_true(low.best_single <= m.best_single && m.best_single <= high.best_single);
    assert_true(low.aiq_b < m.aiq_b && m.aiq_b < high.aiq_b);
    near_to(low.accuracy, 1); /* every prompt's choice is right */
    near_to(high.accuracy, 1);
    near_to(low.ece, low_again.ece);
    near_to(high.ece, high_again.ece);
    trial.n_models = 1;
    measures_intervals(&trial, 10, 7, &bar, &low, &high);
    assert_true(isnan(low.apgr) && isnan(high.apgr));
}

/* -- calibration ---------------------------------------------------------------------------------- */

#define MANY 20

static double error_of(double first, const double *outcomes)
{
    double said[MANY];
    static const uint8_t only[MANY] = { 0 };
    static const double none[MANY] = { 0 };
    struct trial trial = { MANY, 1, 1, outcomes, none, said, only, none };
    struct measures m;
    for (size_t i = 0; i < MANY; i++)
        said[i] = first + 1e-12 * (double)i; /* in order, and all but equal */
    measures_of(&trial, NULL, &m);
    return m.ece;
}

static void a_calibration_error_is_that_of_ten_bins_of_equal_mass(void **state)
{
    double alternating[MANY], pairs[MANY];
    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        alternating[i] = (double)(i % 2);
        pairs[i] = (double)(i / 2 % 2);
    }
    assert_true(error_of(.5, alternating) <
                1e-6); /* each bin holds one right, one wrong */
    assert_true(fabs(error_of(.5, pairs) - .5) < 1e-6); /* both or none */
    assert_true(fabs(error_of(.8, alternating) - .3) < 1e-6);
}

/* -- strong calls -------------------------------------------------------------------------------- */

/* Ten prompts in falling order of predicted gain; the strong model gains on four of them, so that the share of the
 * gap recovered is 0 .25 .5 .5 .75 .75 .75 1 1 1 1. */
static void strong_calls_are_counted_as_routellm_does(void **state)
{
    static const int gains[10] = { 1, 1, 0, 1, 0, 0, 1, 0, 0, 0 };
    static const double none[10 * 2] = { 0 };
    static const uint8_t weak[10] = { 0 };
    (void)state;
    for (size_t strong = 0; strong < 2; strong++) {
        double truth[10 * 2], said[10 * 2];
        struct trial trial = { 10, 2, 1, truth, none, said, weak, none };
        struct measures m;
        for (size_t i = 0; i < 10; i++) {
            truth[i * 2 + strong] = gains[i];
            truth[i * 2 + 1 - strong] = 0;
            said[i * 2 + strong] = 1 - .05 * (double)i;
            said[i * 2 + 1 - strong] = .3;
        }
        measures_of(&trial, NULL, &m);
        near_to(m.apgr, .7);
        near_to(m.cpt50, 20);
        near_to(m.cpt80, 62);
    }
}

static void strong_calls_need_two_models(void **state)
{
    struct trial trial = four();
    struct measures m;
    (void)state;
    measures_of(&trial, NULL, &m);
    assert_true(isfinite(m.apgr));
    trial.n_models = 1;
    measures_of(&trial, NULL, &m);
    assert_true(isnan(m.apgr) && isnan(m.cpt50) && isnan(m.cpt80));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hull_keeps_what_mixing_cannot_reach),
        cmocka_unit_test(a_hull_drops_points_on_its_own_edge_and_repeats),
        cmocka_unit_test(the_curve_runs_from_the_dearest_money_to_none),
        cmocka_unit_test(areas_and_costs_are_those_worked_out_by_hand),
        cmocka_unit_test(evidence_is_paid_for_on_the_curve),
        cmocka_unit_test(picks_count_as_often_as_they_are_named),
        cmocka_unit_test(what_is_never_reached_is_not_a_number),
        cmocka_unit_test(without_a_gap_there_is_no_share_of_it),
        cmocka_unit_test(an_interval_holds_what_is_measured),
        cmocka_unit_test(an_unknown_outcome_counts_neither_for_nor_against),
        cmocka_unit_test(a_calibration_error_is_that_of_ten_bins_of_equal_mass),
        cmocka_unit_test(strong_calls_are_counted_as_routellm_does),
        cmocka_unit_test(strong_calls_need_two_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
