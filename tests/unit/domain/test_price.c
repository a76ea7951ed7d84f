/* test_price.c - bounds, trims and settlements. */
#include "gateway/domain/price.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* 60,000 and 250,000 pico a token: 0.06 and 0.25 USD per million. */
static const struct config_generator paid = {
    .price = { .input_pico = 60000, .cached_input_pico = 6000, .output_pico = 250000 },
    .prompt_bound = CONFIG_BOUND_BYTES,
};
static const struct chat_request request = { .n = 1,
                                             .n_messages = 2,
                                             .prompt_bytes = 400 };

static void the_bound_covers_bytes_and_template(void **state)
{
    (void)state;
    assert_true(price_prompt_bound(&paid, &request) ==
                400 + 2 * PRICE_MESSAGE_OVERHEAD + PRICE_REQUEST_OVERHEAD);
    assert_true(price_worst(&paid, &request, 100) == 496 * 60000 + 100 * 250000);
}

static void n_answers_cost_n_times(void **state)
{
    struct chat_request three = request;

    (void)state;
    three.n = 3;
    assert_true(price_worst(&paid, &three, 100) == 496 * 60000 + 300 * 250000);
    assert_true(price_trim(&paid, &three, 0, 496 * 60000 + 300 * 250000) == 100);
    assert_true(price_trim(&paid, &three, 0, 496 * 60000 + 300 * 250000 - 1) == 99);
}

static void without_a_limit_there_is_no_bound(void **state)
{
    struct config_generator output_is_free = paid;

    (void)state;
    assert_true(price_worst(&paid, &request, 0) == MONEY_NONE);
    output_is_free.price.output_pico = 0;
    assert_true(price_worst(&output_is_free, &request, 0) == 496 * 60000);
    assert_true(price_trim(&output_is_free, &request, 0, 496 * 60000) == PRICE_NO_LIMIT);
    assert_true(price_trim(&output_is_free, &request, 7, 496 * 60000) == 7);
    assert_true(price_trim(&output_is_free, &request, 7, 496 * 60000 - 1) == 0);
}

static void an_unbounded_prompt_is_never_affordable(void **state)
{
    struct config_generator none = paid;
    struct chat_request image = request, audio = request;

    (void)state;
    none.prompt_bound = CONFIG_BOUND_NONE;
    assert_true(price_worst(&none, &request, 10) == MONEY_NONE);
    assert_true(price_trim(&none, &request, 10, MONEY_NONE - 1) == 0);
    image.n_images = 1;
    assert_true(price_worst(&paid, &image, 10) == MONEY_NONE);
    none = paid;
    none.image_tokens = 1000;
    assert_true(price_worst(&none, &image, 10) == 1496 * 60000 + 10 * 250000);
    audio.n_other_media = 1;
    assert_true(price_worst(&none, &audio, 10) == MONEY_NONE);
}

static void the_context_bounds_a_long_prompt(void **state)
{
    struct config_generator small = paid;
    struct chat_request long_one = request;

    (void)state;
    small.context_tokens = 8192;
    long_one.prompt_bytes = 1000000;
    assert_true(price_prompt_bound(&small, &long_one) == 8192);
    assert_true(price_prompt_bound(&small, &request) == 496);
}

static void a_free_expert_costs_nothing_ever(void **state)
{
    struct config_generator free_one = { .price = { .free = true },
                                         .prompt_bound = CONFIG_BOUND_NONE };

    (void)state;
    assert_true(price_worst(&free_one, &request, 0) == 0);
    assert_true(price_trim(&free_one, &request, 50, 0) == 50);
    assert_true(price_prompt_pico(&free_one, &request) == 0);
}

static void trim_stops_where_not_one_token_fits(void **state)
{
    const int64_t prompt = 496 * 60000;

    (void)state;
    assert_true(price_trim(&paid, &request, 100, prompt) == 0);
    assert_true(price_trim(&paid, &request, 100, prompt + 249999) == 0);
    assert_true(price_trim(&paid, &request, 100, prompt + 250000) == 1);
    assert_true(price_trim(&paid, &request, 100, MONEY_NONE) == 100);
    assert_true(price_trim(&paid, &request, 100, prompt + 101 * 250000) == 100);
}

static void the_lowest_limit_counts(void **state)
{
    struct config_generator capped = paid;
    struct chat_request limited = request;

    (void)state;
    assert_true(price_output_limit(&paid, &request, 0) == 0);
    assert_true(price_output_limit(&paid, &request, 4096) == 4096);
    capped.max_output_tokens = 1000;
    assert_true(price_output_limit(&capped, &request, 4096) == 1000);
    limited.output_limit = 10;
    assert_true(price_output_limit(&capped, &limited, 4096) == 10);
}

static void settlement_prices_cached_tokens_apart(void **state)
{
    const struct usage usage = { true, 100, 40, 7 };
    struct config_price price = paid.price;

    (void)state;
    price.request_pico = 5;
    assert_true(price_settle(&price, &usage) == 5 + 60 * 60000 + 40 * 6000 + 7 * 250000);
}

static void dear_caches_raise_the_bound(void **state)
{
    struct config_generator odd = paid;

    (void)state;
    odd.price.cached_input_pico = 70000;
    assert_true(price_worst(&odd, &request, 1) == 496 * 70000 + 250000);
}

static void embeddings_have_bound_and_expectation(void **state)
{
    const struct config_embedding embedding = { .input_pico = 20000 };
    const struct config_embedding free_one = { .free = true };

    (void)state;
    assert_true(price_embedding_worst(&embedding, 400) ==
                (400 + PRICE_MESSAGE_OVERHEAD) * 20000);
    assert_true(price_embedding_expected(&embedding, 400) == 100 * 20000);
    assert_true(price_embedding_settle(&embedding, 90) == 90 * 20000);
    assert_true(price_embedding_worst(&free_one, SIZE_MAX / 4) == 0);
}

static void estimates_round_up_and_saturate(void **state)
{
    (void)state;
    assert_true(usage_estimate_tokens(0) == 0);
    assert_true(usage_estimate_tokens(1) == 1);
    assert_true(usage_estimate_tokens(5) == 2);
    assert_true(usage_estimate_tokens(SIZE_MAX) == USAGE_MAX_TOKENS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bound_covers_bytes_and_template),
        cmocka_unit_test(n_answers_cost_n_times),
        cmocka_unit_test(without_a_limit_there_is_no_bound),
        cmocka_unit_test(an_unbounded_prompt_is_never_affordable),
        cmocka_unit_test(the_context_bounds_a_long_prompt),
        cmocka_unit_test(a_free_expert_costs_nothing_ever),
        cmocka_unit_test(trim_stops_where_not_one_token_fits),
        cmocka_unit_test(the_lowest_limit_counts),
        cmocka_unit_test(settlement_prices_cached_tokens_apart),
        cmocka_unit_test(dear_caches_raise_the_bound),
        cmocka_unit_test(embeddings_have_bound_and_expectation),
        cmocka_unit_test(estimates_round_up_and_saturate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
