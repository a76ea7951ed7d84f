/* test_money.c - exact amounts: what is too large or unknown is never cheap. */
#include "gateway/base/money.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <math.h>

static void sums_saturate_upwards(void **state)
{
    (void)state;
    assert_true(money_add(1, 2) == 3);
    assert_true(money_add(MONEY_NONE, 0) == MONEY_NONE);
    assert_true(money_add(MONEY_NONE - 1, 1) == MONEY_NONE);
    assert_true(money_add(MONEY_NONE - 1, 2) == MONEY_NONE);
    assert_true(money_mul(INT64_C(5000000000), INT64_C(5000000000)) == MONEY_NONE);
    assert_true(money_mul(MONEY_NONE, 0) == MONEY_NONE);
    assert_true(money_mul(3, 4) == 12);
}

static void differences_stop_at_zero(void **state)
{
    (void)state;
    assert_true(money_sub(5, 3) == 2);
    assert_true(money_sub(3, 5) == 0);
    assert_true(money_sub(MONEY_NONE, 5) == MONEY_NONE);
    assert_true(money_sub(5, MONEY_NONE) == 0);
}

static void a_price_list_gives_pico_per_token(void **state)
{
    int64_t pico = 0;

    (void)state;
    assert_int_equal(money_parse_per_million(STR("0.06"), &pico), ERR_OK);
    assert_true(pico == 60000);
    /* 0.1 and 0.3 have no exact double; their texts are exact. */
    assert_int_equal(money_parse(STR("0.1"), &pico), ERR_OK);
    assert_true(pico == INT64_C(100000000000));
    assert_int_equal(money_parse(STR("0.3"), &pico), ERR_OK);
    assert_true(pico == INT64_C(300000000000));
}

static void what_is_too_fine_is_rounded_up(void **state)
{
    int64_t pico = 0;

    (void)state;
    assert_int_equal(money_parse_up(STR("4.2123e-08"), &pico), ERR_OK);
    assert_true(pico == 42123);
    assert_int_equal(money_parse_up(STR("0.0000000000011"), &pico), ERR_OK);
    assert_true(pico == 2);
    assert_int_equal(money_parse_up(STR("1e-30"), &pico), ERR_OK);
    assert_true(pico == 1);
    assert_int_equal(money_parse_up(STR("0e-30"), &pico), ERR_OK);
    assert_true(pico == 0);
    assert_int_equal(money_parse_up(STR("9223372.0368547758069"), &pico), ERR_OVERFLOW);
    assert_int_equal(money_parse_up(STR("-1"), &pico), ERR_INVALID);
}

static void output_is_untouched_on_failure(void **state)
{
    int64_t pico = 42;

    (void)state;
    assert_int_equal(money_parse(STR("1e99"), &pico), ERR_OVERFLOW);
    assert_int_equal(money_parse(STR("x"), &pico), ERR_INVALID);
    assert_true(pico == 42);
}

static void amounts_are_written_in_full(void **state)
{
    char text[MONEY_TEXT_BYTES];

    (void)state;
    assert_string_equal(money_format(0, text), "0");
    assert_string_equal(money_format(1, text), "0.000000000001");
    assert_string_equal(money_format(MONEY_USD * 12 + MONEY_USD / 2, text), "12.5");
    assert_string_equal(money_format(MONEY_NONE - 1, text), "9223372.036854775806");
    assert_string_equal(money_format(MONEY_NONE, text), "none");
    assert_true(isinf(money_to_usd(MONEY_NONE)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_saturate_upwards),
        cmocka_unit_test(differences_stop_at_zero),
        cmocka_unit_test(a_price_list_gives_pico_per_token),
        cmocka_unit_test(what_is_too_fine_is_rounded_up),
        cmocka_unit_test(output_is_untouched_on_failure),
        cmocka_unit_test(amounts_are_written_in_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
