/* Which prompts a new expert answers first: where it decides, spread over all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tools/ctl/informative.h"

#define N 12

/* Three kinds of prompts, four of each, one after the other. */
static const char *const texts[N] = {
    "sum of 1 and 2 please",    "sum of 3 and 4 please",    "sum of 5 and 6 please",
    "sum of 7 and 8 please",    "write a poem on rain",     "write a poem on snow",
    "write a poem on wind",     "write a poem on night",    "translate bread to French",
    "translate milk to French", "translate salt to French", "translate tea to French",
};
static const bool none[N];

static size_t kind(size_t prompt)
{
    return prompt / 4;
}

static void each_kind_has_its_turn(void **state)
{
    double weights[N];
    size_t order[N];
    bool seen[3] = { false };

    (void)state;
    for (size_t i = 0; i < N; i++)
        weights[i] = 0.75;
    informative_order(texts, weights, none, N, 3, order);
    for (size_t i = 0; i < 3; i++)
        seen[kind(order[i])] = true;
    assert_true(seen[0] && seen[1] && seen[2]);
}

static void all_prompts_are_there_once(void **state)
{
    double weights[N];
    size_t order[N];
    unsigned seen = 0;

    (void)state;
    for (size_t i = 0; i < N; i++)
        weights[i] = 0.25 + (double)(i % 3) / 2;
    for (size_t picks = 0; picks <= N; picks++) {
        informative_order(texts, weights, none, N, picks, order);
        seen = 0;
        for (size_t i = 0; i < N; i++)
            seen |= 1u << order[i];
        assert_int_equal(seen, (1u << N) - 1);
    }
}

static void of_one_kind_that_which_decides_is_first(void **state)
{
    double weights[N];
    size_t order[N];

    (void)state;
    for (size_t i = 0; i < N; i++)
        weights[i] = i % 4 == 2 ? 1.25 : 0.25;
    informative_order(texts, weights, none, N, 3, order);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(order[i] % 4, 2);
}

static void what_is_known_counts_as_picked(void **state)
{
    double weights[N];
    size_t order[N];
    bool known[N] = { [1] = true, [6] = true };

    (void)state;
    for (size_t i = 0; i < N; i++)
        weights[i] = 0.75;
    informative_order(texts, weights, known, N, 1, order);
    assert_int_equal(order[0], 1);
    assert_int_equal(order[1], 6);
    assert_int_equal(kind(order[2]), 2);
}

static void a_text_without_words_is_a_text(void **state)
{
    const char *const odd[] = { "", "   ", "?!", "\xc3\xa9t\xc3\xa9" };
    const double weights[] = { 1, 1, 1, 1 };
    size_t order[4], sum = 0;

    (void)state;
    informative_order(odd, weights, none, 4, 4, order);
    for (size_t i = 0; i < 4; i++)
        sum += order[i];
    assert_int_equal(sum, 6);
}

static void weights_are_large_where_the_new_one_decides(void **state)
{
    (void)state;
    assert_float_equal(informative_weight(0, 0, 0, 0), 0.75, 0);
    assert_float_equal(informative_weight(1, 1, 1, 1), 0.75, 0);
    assert_float_equal(informative_weight(4, 4, 4, 1), 0.25, 1e-12); /* all are right */
    assert_float_equal(informative_weight(4, 0, 0, 0), 1.25, 1e-12); /* nobody is */
    assert_float_equal(informative_weight(4, 2, 2, 1), 1.25, 1e-12); /* they disagree */
    assert_float_equal(informative_weight(4, 3, 3, 1), 1.0, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_has_its_turn),
        cmocka_unit_test(all_prompts_are_there_once),
        cmocka_unit_test(of_one_kind_that_which_decides_is_first),
        cmocka_unit_test(what_is_known_counts_as_picked),
        cmocka_unit_test(a_text_without_words_is_a_text),
        cmocka_unit_test(weights_are_large_where_the_new_one_decides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
