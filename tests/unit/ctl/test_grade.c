/* Graders: what counts as right, and what a person would be surprised by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tools/ctl/grade.h"

static const struct {
    const char *reference, *answer;
    double quality;
} numbers[] = {
    { "84", "12 * 7 = 84", 1 },
    { "84", "12 * 7 = 85", 0 },
    { "84", "The answer is 84.", 1 },
    { "84", "84\n", 1 },
    { "84", "no idea", 0 },
    { "84", "", 0 },
    { "84", "It is 84, as 12 times 7 is 84 and not 83", 0 },
    { "1234567", "1,234,567", 1 },
    { "1234567", "$1,234,567.00", 1 },
    { "12", "1,2", 0 }, /* no thousands separator: two numbers, the last one is 2 */
    { "2", "1,2", 1 },
    { "3.5", "3.50 km", 1 },
    { "50", "50%", 1 },
    { "-3", "x = -3", 1 },
    { "-3", "3", 0 },
    { "3", "7-3", 1 }, /* the dash joins two numbers */
    { "-3", "(-3)", 1 },
    { "0", "0.0", 1 },
    { "0", "0.001", 0 },
    { "1e6", "1000000", 1 },
    { "0.5", ".5", 1 },
    { "2.5e-3", "0.0025", 1 },
    { "42", "we get \\boxed{42} which is 6 * 7", 1 },
    { "42", "first \\boxed{41}, corrected \\boxed{42}, see page 9", 1 },
    { "42", "reasoning 1 2 3\n#### 42\nDone in 3 steps", 1 },
    { "72", "#### 72", 1 },
    { "0.333333", "0.3333333", 1 },
    { "100", "99.99", 0 },
    { "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
      "1", 0 },
};

static void a_number_is_right_when_it_is_the_last_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        double quality =
            grade_answer(GRADE_NUMBER, numbers[i].reference, numbers[i].answer);
        if (quality != numbers[i].quality)
            fail_msg("reference '%s', answer '%s': %g", numbers[i].reference,
                     numbers[i].answer, quality);
    }
}

static void exact_forgives_white_space_at_the_ends_only(void **state)
{
    (void)state;
    assert_true(grade_answer(GRADE_EXACT, "Tuesday", " Tuesday\n") == 1);
    assert_true(grade_answer(GRADE_EXACT, " Tuesday ", "Tuesday") == 1);
    assert_true(grade_answer(GRADE_EXACT, "Tuesday", "tuesday") == 0);
    assert_true(grade_answer(GRADE_EXACT, "Tuesday", "Tuesday.") == 0);
    assert_true(grade_answer(GRADE_EXACT, "a b", "a  b") == 0);
    assert_true(grade_answer(GRADE_EXACT, "", "  ") == 1);
}

static void a_reference_without_a_number_is_refused(void **state)
{
    struct fault fault = { "" };

    (void)state;
    assert_int_equal(grade_check(GRADE_NUMBER, "many", &fault), FAULT_INPUT);
    assert_non_null(strstr(fault.text, "many"));
    assert_int_equal(grade_check(GRADE_NUMBER, "7 eggs", &fault), FAULT_OK);
    assert_int_equal(grade_check(GRADE_EXACT, "many", &fault), FAULT_OK);
}

static void only_known_graders_are_found(void **state)
{
    enum grade_kind kind = GRADE_EXACT;

    (void)state;
    assert_true(grade_find("number", &kind));
    assert_int_equal(kind, GRADE_NUMBER);
    assert_string_equal(grade_word(kind), "number");
    assert_false(grade_find("nummer", &kind));
    assert_false(grade_find("", &kind));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_right_when_it_is_the_last_one),
        cmocka_unit_test(exact_forgives_white_space_at_the_ends_only),
        cmocka_unit_test(a_reference_without_a_number_is_refused),
        cmocka_unit_test(only_known_graders_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
