/* The experts against references they share no code with: an engine without limits is
 * right, the experts of the house are as good and as bad as they are said to be. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/experts/arithmetic.h"
#include "tools/experts/calendar.h"
#include "tools/experts/expert.h"
#include "tools/experts/question.h"
#include "tools/experts/text.h"
#include "tools/experts/units.h"

#define SEED 20240229

static const struct arithmetic_skill all_arithmetic = {
    .bracket_depth = 99,
    .max_terms = 999,
    .product_digits = 99,
    .largest_divisor = 99999,
    .largest_spelled = 1e6,
    .knows_ratios = true,
};
static const struct calendar_skill all_calendar = {
    .century_rule = true,
    .day_first = true,
    .iso_weeks = true,
    .exact_span_days = INT32_MAX,
    .exact_shift = INT32_MAX,
};
static const struct units_skill all_units = {
    .rare_units = true,
    .compounds = true,
    .factor_digits = 17,
    .largest_spelled = 1e6,
};
static const struct text_skill all_text = {
    .letters = SIZE_MAX,
    .words = SIZE_MAX / 2,
    .folds = true,
    .looks_past_blanks = true,
};

static bool right(const struct question *question, const char *answer)
{
    if (strcmp(question->grade, "exact") == 0)
        return strcmp(question->reference, answer) == 0;
    char *end = NULL;
    double said = strtod(answer, &end), meant = strtod(question->reference, NULL);
    return end != answer && fabs(said - meant) < 0.0051;
}

static void answer_without_limits(const struct question *question, struct reply *reply)
{
    struct prompt prompt;
    prompt_read(&prompt, question->prompt, strlen(question->prompt));
    if (strcmp(question->domain, "arithmetic") == 0)
        arithmetic_answer(&all_arithmetic, &prompt, reply);
    else if (strcmp(question->domain, "calendar") == 0)
        calendar_answer(&all_calendar, &prompt, reply);
    else if (strcmp(question->domain, "units") == 0)
        units_answer(&all_units, &prompt, reply);
    else
        text_answer(&all_text, &prompt, reply);
}

/* Stories use verbs that nobody taught the engine, and that is meant. */
static void an_engine_without_limits_agrees_with_every_reference(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 6000; i++) {
        struct question question;
        struct reply reply;
        question_make(SEED, i, 0, &question);
        if (strcmp(question.family, "story") == 0)
            continue;
        answer_without_limits(&question, &reply);
        if (!right(&question, reply.text))
            print_error("%s\n  %s: %s, said %s\n", question.prompt, question.family,
                        question.reference, reply.text);
        assert_true(right(&question, reply.text));
    }
}

static double share_right(const char *expert, const char *domain, double mixed)
{
    const struct expert *who = expert_find(expert, strlen(expert));
    int asked = 0, good = 0;
    for (uint64_t i = 0; i < 8000; i++) {
        struct question question;
        struct reply reply;
        question_make(SEED, i, mixed, &question);
        if (strcmp(question.domain, domain) != 0)
            continue;
        expert_answer(who, question.prompt, strlen(question.prompt), &reply);
        asked++;
        good += right(&question, reply.text);
    }
    return (double)good / asked;
}

static const char *const domains[] = { "arithmetic", "calendar", "units", "text" };

static void a_specialist_is_good_at_its_own_domain_and_never_perfect(void **state)
{
    (void)state;
    for (size_t d = 0; d < 4; d++) {
        double own = share_right(domains[d], domains[d], 0.2);
        assert_true(own > 0.78 && own < 0.92);
    }
}

static void a_specialist_is_bad_at_the_others(void **state)
{
    (void)state;
    for (size_t e = 0; e < 4; e++) {
        for (size_t d = 0; d < 4; d++)
            assert_true(e == d || share_right(domains[e], domains[d], 0.2) < 0.15);
    }
}

static void the_generalist_is_right_on_three_quarters_of_everything(void **state)
{
    (void)state;
    for (size_t d = 0; d < 4; d++) {
        double share = share_right("generalist", domains[d], 0.2);
        assert_true(share > 0.76 && share < 0.92);
        assert_true(share_right("generalist", domains[d], 1.0) > 0.7);
    }
}

static void say(const char *expert, const char *prompt, const char *expected)
{
    struct reply reply;
    expert_answer(expert_find(expert, strlen(expert)), prompt, strlen(prompt), &reply);
    assert_string_equal(reply.text, expected);
}

static void the_experts_answer_in_words_they_were_never_shown(void **state)
{
    (void)state;
    say("arithmetic", "17 * 23", "391");
    say("arithmetic", "Please tell me: (2 + 3) * 4 - 1 = ?", "19");
    say("arithmetic", "the gcd of 84 and 36", "12");
    say("calendar", "weekday of 2000-01-01?", "Saturday");
    say("calendar", "Which date is 10 days after 2024-02-25?", "2024-03-06");
    say("units", "5 miles in kilometres please", "8.05");
    say("units", "convert 212 degrees fahrenheit to degrees celsius", "100");
    say("text", "Reverse \"drawer\"", "reward");
    say("text", "sort alphabetically: pear, apple, fig", "apple, fig, pear");
    say("generalist", "What is 12 plus 30?", "42");
    say("generalist", "Is \"never odd or even\" a palindrome?", "yes");
}

static void weaknesses_are_missing_skills_not_dice(void **state)
{
    (void)state;
    say("calendar", "Is 1900 a leap year?", "yes");
    say("generalist", "Is 1900 a leap year?", "no");
    say("arithmetic", "What is 2 * (3 + (4 - 5 * 2))?", "2"); /* inner: left to right */
    say("generalist", "What is 2 * (3 + (4 - 5 * 2))?", "-6");
    say("arithmetic", "Is 323 a prime number?", "yes");
    say("generalist", "Is 323 a prime number?", "no");
    say("units", "Convert 3 furlongs to metres.", "3");
    say("generalist", "Convert 3 furlongs to metres.", "603.51");
}

static void anything_at_all_gets_an_answer(void **state)
{
    (void)state;
    static char longest[3 * PROMPT_BYTES];
    memset(longest, '(', sizeof longest);
    const char *const odd[] = { "",
                                " ",
                                "?",
                                "((((((",
                                "\"",
                                "'",
                                "- - -",
                                "1/0",
                                "0 / 0 * 2",
                                "99999999999999999999999999 * 99999999999999999999 * 3",
                                "Convert 5 miles to kelvin",
                                "\xff\xfe\x80",
                                "/",
                                "3/4/",
                                "What date is 99999999 days after 2024-01-01?",
                                "2024-13-45",
                                "sort:",
                                "remainder of 3 and 0",
                                "Reverse \"\"",
                                "2 ^ 99999999",
                                "-" };
    for (size_t e = 0; e < n_experts; e++) {
        struct reply reply;
        for (size_t o = 0; o < sizeof odd / sizeof *odd; o++)
            expert_answer(&experts[e], odd[o], strlen(odd[o]), &reply);
        expert_answer(&experts[e], longest, sizeof longest, &reply);
        assert_true(strlen(reply.text) < sizeof reply.text);
    }
}

static void a_question_depends_on_its_seed_and_number_alone(void **state)
{
    (void)state;
    struct question first, again;
    question_make(1, 7, 0.2, &first);
    for (uint64_t i = 0; i < 7; i++)
        question_make(1, i, 0.2, &again);
    question_make(1, 7, 0.2, &again);
    assert_string_equal(first.prompt, again.prompt);
    assert_string_equal(first.reference, again.reference);
    question_make(2, 7, 0.2, &again);
    assert_string_not_equal(first.prompt, again.prompt);
}

static void a_fifth_of_the_questions_is_mixed(void **state)
{
    (void)state;
    int mixed = 0;
    for (uint64_t i = 0; i < 4000; i++) {
        struct question question;
        question_make(SEED, i, 0.2, &question);
        mixed += question.mixed;
        assert_true(question.prompt[0] != 0 && question.reference[0] != 0);
    }
    assert_in_range(mixed, 700, 900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_engine_without_limits_agrees_with_every_reference),
        cmocka_unit_test(a_specialist_is_good_at_its_own_domain_and_never_perfect),
        cmocka_unit_test(a_specialist_is_bad_at_the_others),
        cmocka_unit_test(the_generalist_is_right_on_three_quarters_of_everything),
        cmocka_unit_test(the_experts_answer_in_words_they_were_never_shown),
        cmocka_unit_test(weaknesses_are_missing_skills_not_dice),
        cmocka_unit_test(anything_at_all_gets_an_answer),
        cmocka_unit_test(a_question_depends_on_its_seed_and_number_alone),
        cmocka_unit_test(a_fifth_of_the_questions_is_mixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
