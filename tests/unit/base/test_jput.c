/* test_jput.c - JSON as it is written: commas, numbers, what is not known. */
#include "gateway/base/jput.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/money.h"

static char written[4096];

static const char *number(double value)
{
    struct buf out;
    struct jput j;

    buf_init(&out, sizeof written - 1);
    jput_init(&j, &out);
    jput_number(&j, NULL, value);
    assert_false(out.failed);
    memcpy(written, out.p, out.n);
    written[out.n] = '\0';
    buf_release(&out);
    return written;
}

static void numbers_have_six_digits_and_no_zeros_behind(void **state)
{
    (void)state;
    assert_string_equal(number(0), "0");
    assert_string_equal(number(-0.0), "0");
    assert_string_equal(number(1), "1");
    assert_string_equal(number(-1.5), "-1.5");
    assert_string_equal(number(0.1), "0.1");
    assert_string_equal(number(0.73123456), "0.731235");
    assert_string_equal(number(0.9999999), "1");
    assert_string_equal(number(9.9999999), "10");
    assert_string_equal(number(99999.96), "100000");
    assert_string_equal(number(123456.7), "123457");
    assert_string_equal(number(12345678), "12345678");
    assert_string_equal(number(0.000012345678), "0.0000123457");
    assert_string_equal(number(1e-9), "0.000000001");
    assert_string_equal(number(1.5e-12), "1.5e-12");
    assert_string_equal(number(2e20), "2e+20");
}

static void what_is_no_number_is_null(void **state)
{
    (void)state;
    assert_string_equal(number(NAN), "null");
    assert_string_equal(number(INFINITY), "null");
    assert_string_equal(number(-INFINITY), "null");
}

static void numbers_are_read_back_within_six_digits(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        double value, read;

        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        value = ((double)(seed >> 11) / 9007199254740992.0 - 0.5) *
                pow(10, (double)(seed % 24) - 10);
        read = strtod(number(value), NULL);
        assert_true(fabs(read - value) <= fabs(value) * 5.1e-6);
    }
}

static void objects_lists_and_texts_get_their_commas(void **state)
{
    const float vector[] = { 1, -2.5f };
    struct buf out;
    struct jput j;

    (void)state;
    buf_init(&out, sizeof written);
    jput_init(&j, &out);
    jput_open(&j, NULL, '{');
    jput_text(&j, "a", "x\"y");
    jput_text(&j, "b", NULL);
    jput_open(&j, "c", '[');
    jput_int(&j, NULL, INT64_MIN);
    jput_int(&j, NULL, INT64_MAX);
    jput_open(&j, NULL, '{');
    jput_close(&j, '}');
    jput_close(&j, ']');
    jput_usd(&j, "d", 1);
    jput_usd(&j, "e", MONEY_NONE);
    jput_bool(&j, "f", true);
    jput_raw(&j, "g", STR("[1]"));
    jput_raw(&j, "h", (struct str){ 0 });
    jput_floats(&j, "i", vector, 2);
    jput_floats(&j, "k", vector, 0);
    jput_str(&j, "l", STR(""));
    jput_close(&j, '}');
    assert_false(out.failed);
    memcpy(written, out.p, out.n);
    written[out.n] = '\0';
    assert_string_equal(written,
                        "{\"a\":\"x\\\"y\",\"b\":null,\"c\":[-9223372036854775808,"
                        "9223372036854775807,{}],\"d\":0.000000000001,\"e\":null,"
                        "\"f\":true,\"g\":[1],\"h\":null,\"i\":\"AACAPwAAIMA=\","
                        "\"k\":\"\",\"l\":\"\"}");
    buf_release(&out);
}

static void a_full_buffer_says_so_and_nothing_else_happens(void **state)
{
    struct buf out;
    struct jput j;

    (void)state;
    buf_init(&out, 8);
    jput_init(&j, &out);
    jput_open(&j, NULL, '{');
    for (int i = 0; i < 10; i++)
        jput_number(&j, "key", 0.25);
    jput_close(&j, '}');
    assert_true(out.failed);
    assert_true(out.n <= 8);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_have_six_digits_and_no_zeros_behind),
        cmocka_unit_test(what_is_no_number_is_null),
        cmocka_unit_test(numbers_are_read_back_within_six_digits),
        cmocka_unit_test(objects_lists_and_texts_get_their_commas),
        cmocka_unit_test(a_full_buffer_says_so_and_nothing_else_happens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
