/* Agreement with a person: shares, intervals and kappa against known values. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/ctl/agreement.h"

static void the_interval_is_wilsons(void **state)
{
    double low, high;

    (void)state;
    agreement_wilson(8, 10, &low, &high); /* 0.4902, 0.9433 by any table */
    assert_true(fabs(low - 0.49016) < 1e-4 && fabs(high - 0.94332) < 1e-4);
    agreement_wilson(10, 10, &low, &high);
    assert_true(fabs(low - 0.72246) < 1e-4 && fabs(high - 1) < 1e-9);
    agreement_wilson(0, 10, &low, &high);
    assert_true(fabs(low) < 1e-9 && fabs(high - 0.27754) < 1e-4);
    agreement_wilson(0, 0, &low, &high);
    assert_true(isnan(low) && isnan(high));
}

/* Two readers of 50 proposals: 20 and 15 agreements, 5 and 10 others: kappa 0.4. */
static void kappa_is_cohens(void **state)
{
    size_t said[AGREEMENT_N][AGREEMENT_N] = { { 20, 5, 0 }, { 10, 15, 0 }, { 0, 0, 0 } };
    struct agreement sum;

    (void)state;
    agreement_of(said, &sum);
    assert_int_equal(sum.labels, 50);
    assert_true(fabs(sum.share - 0.7) < 1e-12 && fabs(sum.kappa - 0.4) < 1e-12);
    assert_int_equal(sum.decided, 50);
    assert_int_equal(sum.decided_agreed, 35);
}

static void
nothing_is_known_without_labels_and_kappa_not_where_all_say_one_thing(void **state)
{
    size_t none[AGREEMENT_N][AGREEMENT_N] = { { 0 } };
    size_t one[AGREEMENT_N][AGREEMENT_N] = { { 0 }, { 0 }, { 0, 0, 7 } };
    struct agreement sum;

    (void)state;
    agreement_of(none, &sum);
    assert_true(isnan(sum.share) && isnan(sum.kappa) && isnan(sum.low));
    agreement_of(one, &sum);
    assert_true(sum.share == 1 && isnan(sum.kappa));
}

static void qualities_say_who_is_better(void **state)
{
    (void)state;
    assert_int_equal(agreement_by_quality(0.9, 0.8), AGREEMENT_A);
    assert_int_equal(agreement_by_quality(0.1, 0.8), AGREEMENT_B);
    assert_int_equal(agreement_by_quality(0.8, 0.84), AGREEMENT_T);
    assert_int_equal(agreement_by_quality(0.8, 0.75), AGREEMENT_A);
    assert_int_equal(agreement_by_quality(NAN, 0.75), AGREEMENT_N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_interval_is_wilsons),
        cmocka_unit_test(kappa_is_cohens),
        cmocka_unit_test(
            nothing_is_known_without_labels_and_kappa_not_where_all_say_one_thing),
        cmocka_unit_test(qualities_say_who_is_better),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
