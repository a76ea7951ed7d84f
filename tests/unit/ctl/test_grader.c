/* Graders by their words, against wordings that models really use. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/ctl/grade_choice.h"
#include "tools/ctl/grader.h"
#include "tools/ctl/graders.h"

#define OPTIONS                                                                          \
    "Which is the capital of France?\nA) Berlin\nB) Paris\nC) Madrid\nD) Rome, the old " \
    "one"

static double grade(const char *spec, const char *text, const char *reference,
                    const char *answer)
{
    struct fault fault = { "" };
    struct grader *grader = NULL;
    struct grade_subject subject = { text, reference, answer };

    if (grader_new(spec, &grader, &fault) != FAULT_OK)
        fail_msg("'%s': %s", spec, fault.text);
    if (grader_check(grader, reference, &fault) != FAULT_OK)
        fail_msg("'%s', reference '%s': %s", spec, reference, fault.text);
    double quality = grader_grade(grader, &subject);
    grader_free(grader);
    return quality;
}

/* -- choice -- */

static const struct {
    char letter; /* 0: none */
    const char *answer;
} chosen[] = {
    { 'B', "B" },
    { 'B', "b" },
    { 'B', "(B)" },
    { 'B', "**B**" },
    { 'B', "B." },
    { 'B', " \n(b).\n" },
    { 'B', "B) Paris" },
    { 'B', "**B) Paris**\n\nParis has been the capital since 987. A strong choice." },
    { 'B', "The answer is (B)." },
    { 'B', "The answer is B" },
    { 'B', "The answer is: **B) Paris**" },
    { 'B', "The correct answer is option B." },
    { 'B', "Answer: B" },
    { 'B', "**Answer:** B" },
    { 'B', "**Answer: B**" },
    { 'B', "### Final answer\n\n(B)" },
    { 'B', "answer: b)" },
    { 'B', "So the final answer is $\\boxed{B}$." },
    { 'B', "\\boxed{\\text{B}}" },
    { 'B', "\\boxed{\\textbf{(B)}}" },
    { 'B', "\\boxed{\\text{B) Paris}}" },
    { 'B', "\\boxed{Paris}" },
    { 'B', "First \\boxed{A}; no, \\boxed{B}" },
    { 'B', "Therefore, the answer is $\\mathbf{B}$." },
    { 'B', "I would choose B, since it is on the Seine." },
    { 'B', "I'd go with option (B)." },
    { 'B', "B is correct." },
    { 'B', "B) is the correct answer because of its history." },
    { 'B', "The best choice is B." },
    { 'B', "Answer: B. Option A is in Germany, option C in Spain, option D in Italy." },
    { 'B', "A is wrong: Berlin is in Germany. C is in Spain. So it must be (B)" },
    { 'B', "A) no\nB) yes\nC) no\nD) no\n\nThe correct answer is B" },
    { 'B', "At first I thought the answer is A. Wait. The answer is B." },
    { 'B', "Not A, not C, not D.\n\nB" },
    { 'B', "It is Paris." },
    { 'B', "The capital is Paris. A city on the Seine." },
    { 'B', "The capital of France is **Paris**." },
    { 'D', "Rome, the old one" },
    { 'A', "A" },
    { 'A', "The answer is A." },
    { 'A', "A. Berlin" },
    { 'C', "C" },
    { 'B', "Die richtige Antwort ist B." },
    { 'B', "La respuesta es B." },
    { 'B', "La r\303\251ponse est (B)." },
    { 'B', "<answer>B</answer>" },
    { 'B', "{\"answer\": \"B\"}" },
    { 'B', "```\nB\n```" },
    { 0, "" },
    { 0, "I cannot answer that." },
    { 0, "Berlin or Paris, hard to say" },
    { 0, "A good question." },
    { 0, "The answer is E." },
    { 0, "Sorry, but I think I should not." },
};

static void a_choice_is_found_in_the_dresses_that_models_give_it(void **state)
{
    struct grade_choices choices;

    (void)state;
    grade_choices_of(OPTIONS, &choices);
    assert_int_equal(choices.n, 4);
    for (size_t i = 0; i < sizeof(chosen) / sizeof(chosen[0]); i++) {
        int found = grade_choice_of(chosen[i].answer, &choices);
        char letter = found < 0 ? '\0' : (char)('A' + found);
        if (letter != chosen[i].letter)
            fail_msg("'%s': '%c', not '%c'", chosen[i].answer, letter, chosen[i].letter);
    }
}

static void options_are_read_in_their_dresses(void **state)
{
    static const char *const questions[] = {
        "Q?\n(A) x\n(B) y\n(C) z",
        "Q?\nA. x\nB. y\nC. z",
        "Q?\nA: x\nB: y\nC: z",
        "Q?\n- A) x\n- B) y\n- C) z",
        "Q?\n**A)** x\n**B)** y\n**C)** z",
        "Example:\nA) 1\nB) 2\nQ?\nA) x\nB) y\nC) z",
    };
    struct grade_choices choices;

    (void)state;
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
        grade_choices_of(questions[i], &choices);
        if (choices.n != 3 || !str_is(choices.text[2], "z"))
            fail_msg("'%s': %zu options", questions[i], choices.n);
    }
    grade_choices_of("No options here. A dog.\nB movie", &choices);
    assert_int_equal(choices.n, 0);
}

static void a_reference_is_a_letter_or_the_text_of_an_option(void **state)
{
    (void)state;
    assert_true(grade("choice", OPTIONS, "B", "The answer is (B)") == 1);
    assert_true(grade("choice", OPTIONS, "(b)", "The answer is (B)") == 1);
    assert_true(grade("choice", OPTIONS, "B) Paris", "The answer is (B)") == 1);
    assert_true(grade("choice", OPTIONS, "Paris", "The answer is (B)") == 1);
    assert_true(grade("choice", OPTIONS, "paris", "The answer is (C)") == 0);
    assert_true(grade("choice", OPTIONS, "B", "I refuse") == 0);
    assert_true(grade("choice", "Which?", "Paris", "It is Paris") == 1);
    assert_true(grade("choice", "Which?", "J", "Answer: J") == 1);
}

/* -- exact, number -- */

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
        double quality = grade("number", "", numbers[i].reference, numbers[i].answer);
        if (quality != numbers[i].quality)
            fail_msg("reference '%s', answer '%s': %g", numbers[i].reference,
                     numbers[i].answer, quality);
    }
}

static void exact_forgives_white_space_at_the_ends_only(void **state)
{
    (void)state;
    assert_true(grade("exact", "", "Tuesday", " Tuesday\n") == 1);
    assert_true(grade("exact", "", " Tuesday ", "Tuesday") == 1);
    assert_true(grade("exact", "", "Tuesday", "tuesday") == 0);
    assert_true(grade("exact", "", "Tuesday", "Tuesday.") == 0);
    assert_true(grade("exact", "", "a b", "a  b") == 0);
    assert_true(grade("exact", "", "", "  ") == 1);
}

/* -- contains, number, regex -- */

static const struct {
    const char *spec, *reference, *answer;
    double quality;
} cases[] = {
    { "contains", "Paris", "It is PARIS, of course", 1 },
    { "contains", "new  york", "**New\nYork**", 1 },
    { "contains", "4", "14", 0 },
    { "contains", "4", "it is 4.", 1 },
    { "contains", "art", "a part of it", 0 },
    { "contains", "C++", "I like C++17", 1 },
    { "contains", "na\303\257ve", "he is na\303\257ve", 1 },
    { "contains", "Paris", "", 0 },
    { "number", "1234", "\\boxed{1{,}234}", 1 },
    { "number", "1234567", "it is 1\\,234\\,567", 1 },
    { "number", "0.5", "\\boxed{0.5\\text{ m}}, see page 9", 1 },
    { "exact", "yes", "yes\n", 1 },
    { "regex:^(?i)yes\\b", NULL, "Yes, it is", 1 },
    { "regex:^(?i)yes\\b", NULL, "oh yes", 0 },
    { "regex:a:b,c", NULL, "xa:b,cx", 1 },
};

static void texts_are_compared_as_people_would(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double quality = grade(cases[i].spec, "", cases[i].reference, cases[i].answer);
        if (quality != cases[i].quality)
            fail_msg("%s, reference '%s', answer '%s': %g", cases[i].spec,
                     cases[i].reference != NULL ? cases[i].reference : "-",
                     cases[i].answer, quality);
    }
}

static void a_pattern_that_takes_too_long_is_not_known(void **state)
{
    char *long_text = malloc(200001);

    (void)state;
    assert_non_null(long_text);
    memset(long_text, 'a', 199999);
    long_text[199999] = 'b';
    long_text[200000] = '\0';
    assert_true(isnan(grade("regex:^(a+)+$", "", NULL, long_text)));
    free(long_text);
}

/* -- json-schema -- */

static void json_is_graded_bare_or_in_one_fence(void **state)
{
    char path[] = "/tmp/frugal-schema-XXXXXX", spec[64];
    int file = mkstemp(path);
    const char *schema = "{\"type\":\"object\",\"required\":[\"n\"],"
                         "\"properties\":{\"n\":{\"type\":\"integer\"}}}";

    (void)state;
    assert_true(file >= 0);
    assert_int_equal(write(file, schema, strlen(schema)), (ssize_t)strlen(schema));
    close(file);
    (void)snprintf(spec, sizeof(spec), "json-schema:%s", path);
    assert_true(grade(spec, "", NULL, "{\"n\": 1}") == 1);
    assert_true(grade(spec, "", NULL, "\n```json\n{\"n\": 1}\n```\n") == 1);
    assert_true(grade(spec, "", NULL, "```\n{\"n\": \"1\"}\n```") == 0);
    assert_true(grade(spec, "", NULL, "Here you are: {\"n\": 1}") == 0);
    assert_true(grade(spec, "", NULL, "") == 0);
    (void)unlink(path);
}

/* -- words -- */

static const struct {
    const char *spec, *says;
} wrong[] = {
    { "guess", "is no grader" },
    { "", "is no grader" },
    { "regex:", "is no grader" },
    { "number:3", "is no grader" },
    { "regex:(", "missing closing parenthesis" },
    { "regex:(a)\\1", "refers back" },
    { "json-schema:/nowhere/x.json", "cannot open" },
    { "judge:gpt,loudly", "'loudly' is no setting" },
    { "judge:,rubric", "name of an expert" },
    { "judge:gpt,against=best", "pairwise" },
    { "judge:gpt,tokens=1", "whole number" },
    { "judge:gpt,criteria=/nowhere", "cannot open criteria" },
    { "agree:gpt,pairwise", "no setting" },
};

static void wrong_words_are_refused_with_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct fault fault = { "" };
        struct grader *grader = NULL;
        enum fault_err err = grader_new(wrong[i].spec, &grader, &fault);
        if (err == FAULT_OK || strstr(fault.text, wrong[i].says) == NULL)
            fail_msg("'%s': '%s'", wrong[i].spec, fault.text);
        assert_null(grader);
    }
}

static void references_are_checked_before_anybody_is_asked(void **state)
{
    struct fault fault = { "" };
    struct graders graders = { 0 };
    const struct grader *number, *again, *regex;

    (void)state;
    assert_int_equal(graders_get(&graders, "number", &number, &fault), FAULT_OK);
    assert_int_equal(graders_get(&graders, "number", &again, &fault), FAULT_OK);
    assert_int_equal(graders_get(&graders, "regex:x", &regex, &fault), FAULT_OK);
    assert_ptr_equal(number, again);
    assert_int_equal(grader_check(number, "many", &fault), FAULT_INPUT);
    assert_int_equal(grader_check(number, NULL, &fault), FAULT_INPUT);
    assert_int_equal(grader_check(regex, NULL, &fault), FAULT_OK);
    graders_release(&graders);
}

static void a_judges_settings_are_read(void **state)
{
    struct fault fault = { "" };
    struct grader *grader = NULL;

    (void)state;
    assert_int_equal(grader_new("judge:big,pairwise,against=best,opponents=3,tokens=99",
                                &grader, &fault),
                     FAULT_OK);
    const struct judge_wish *wish = grader_judge(grader);
    assert_string_equal(wish->expert, "big");
    assert_string_equal(wish->against, "best");
    assert_int_equal(wish->form, JUDGE_PAIRWISE);
    assert_int_equal(wish->opponents, 3);
    assert_int_equal(wish->output_tokens, 99);
    assert_false(grader_is_free(grader));
    grader_free(grader);
    assert_int_equal(grader_new("agree:best,judge=big", &grader, &fault), FAULT_OK);
    assert_string_equal(grader_judge(grader)->trusted, "best");
    assert_string_equal(grader_judge(grader)->expert, "big");
    grader_free(grader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_choice_is_found_in_the_dresses_that_models_give_it),
        cmocka_unit_test(options_are_read_in_their_dresses),
        cmocka_unit_test(a_reference_is_a_letter_or_the_text_of_an_option),
        cmocka_unit_test(a_number_is_right_when_it_is_the_last_one),
        cmocka_unit_test(exact_forgives_white_space_at_the_ends_only),
        cmocka_unit_test(texts_are_compared_as_people_would),
        cmocka_unit_test(a_pattern_that_takes_too_long_is_not_known),
        cmocka_unit_test(json_is_graded_bare_or_in_one_fence),
        cmocka_unit_test(wrong_words_are_refused_with_what_is_wrong),
        cmocka_unit_test(references_are_checked_before_anybody_is_asked),
        cmocka_unit_test(a_judges_settings_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
