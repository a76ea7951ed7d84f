/* test_str.c - borrowed strings. */
#include "gateway/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void cut_gives_every_part_and_then_ends(void **state)
{
    struct str s = STR("a,,b"), part;

    (void)state;
    assert_true(str_cut(&s, ',', &part) && str_is(part, "a"));
    assert_true(str_cut(&s, ',', &part) && str_is(part, ""));
    assert_true(str_cut(&s, ',', &part) && str_is(part, "b"));
    assert_false(str_cut(&s, ',', &part));
    s = STR("");
    assert_true(str_cut(&s, ',', &part) && part.n == 0);
    assert_false(str_cut(&s, ',', &part));
}

static void the_empty_string_is_legal_everywhere(void **state)
{
    struct str none = { NULL, 0 };

    (void)state;
    assert_true(str_eq(none, STR("")) && str_is(none, "") && str_is_utf8(none));
    assert_int_equal(str_trim(none).n, 0);
    assert_int_equal(str_skip(none, 3).n, 0);
    assert_false(str_starts(none, "a"));
}

static void numbers_are_digits_only(void **state)
{
    uint64_t value = 7;

    (void)state;
    assert_int_equal(str_to_u64(STR("18446744073709551615"), &value), ERR_OK);
    assert_true(value == UINT64_MAX);
    assert_int_equal(str_to_u64(STR("18446744073709551616"), &value), ERR_OVERFLOW);
    assert_int_equal(str_to_u64(STR(""), &value), ERR_INVALID);
    assert_int_equal(str_to_u64(STR("+1"), &value), ERR_INVALID);
    assert_int_equal(str_to_u64(STR("1 "), &value), ERR_INVALID);
    assert_true(value == UINT64_MAX); /* untouched on failure */
}

static void clipping_never_cuts_a_character(void **state)
{
    struct str s = STR("a\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x98\x80z");

    (void)state;
    for (size_t n = 0; n <= s.n; n++) {
        assert_true(str_is_utf8(str_clip_utf8(s, n)));
        assert_true(str_is_utf8(str_tail_utf8(s, n)));
        assert_true(str_clip_utf8(s, n).n <= n && str_tail_utf8(s, n).n <= n);
    }
    assert_int_equal(str_clip_utf8(s, 2).n, 1);
    assert_int_equal(str_tail_utf8(s, 4).n, 1);
}

static void utf8_is_checked_to_the_letter(void **state)
{
    static const char *const bad[] = {
        "\x80",         "\xc0\xaf",         "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xff"
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(str_is_utf8(str_of(bad[i])));
    assert_true(str_is_utf8(STR("\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80\xc2\x80")));
}

static void distance_counts_a_swap_as_one_edit(void **state)
{
    (void)state;
    assert_int_equal(str_distance(STR("budget_uds"), STR("budget_usd"), 2), 1);
    assert_int_equal(str_distance(STR("abc"), STR("abc"), 2), 0);
    assert_int_equal(str_distance(STR("abc"), STR("abxcd"), 2), 2);
    assert_int_equal(str_distance(STR("abc"), STR("xyz"), 2), 3);
    assert_int_equal(str_distance(STR(""), STR("ab"), 5), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_gives_every_part_and_then_ends),
        cmocka_unit_test(the_empty_string_is_legal_everywhere),
        cmocka_unit_test(numbers_are_digits_only),
        cmocka_unit_test(clipping_never_cuts_a_character),
        cmocka_unit_test(utf8_is_checked_to_the_letter),
        cmocka_unit_test(distance_counts_a_swap_as_one_edit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
