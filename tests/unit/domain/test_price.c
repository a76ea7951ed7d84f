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
#define RATES                                                                            \
    {                                                                                    \
        .input_pico = 60000, .cached_input_pico = 6000, .cache_write_pico = 60000,       \
        .output_pico = 250000, .reasoning_pico = 250000                                  \
    }
static const struct config_price plain = { .from_s = INT64_MIN,
                                           .n_tiers = 1,
                                           .tiers = { { 0, RATES } } };
static const struct config_generator paid = {
    .prices = { .n = 1, .list = &plain },
    .template_tokens = 64,
    .prompt_bound = CONFIG_BOUND_BYTES,
};
static const struct price_span now = { 1000, 2000 };

/* Another price in the place of a generator's. */
static struct config_generator priced(const struct config_price *price)
{
    struct config_generator generator = paid;

    generator.prices.list = price;
    return generator;
}
static const struct chat_request request = { .n = 1,
                                             .n_messages = 2,
                                             .prompt_bytes = 400 };

static void the_bound_covers_bytes_and_template(void **state)
{
    (void)state;
    assert_true(price_prompt_bound(&paid, &request) ==
                400 + 2 * PRICE_MESSAGE_OVERHEAD + 64);
    assert_true(price_worst(&paid, &request, now, 100) == 496 * 60000 + 100 * 250000);
}

static void a_count_stands_in_the_place_of_the_messages_bytes(void **state)
{
    struct chat_request chat = request;

    (void)state;
    chat.message_bytes = 300; /* and 100 of tools */
    chat.tools_bytes = 100;
    int64_t by_bytes = price_prompt_bound(&paid, &chat);
    assert_true(price_prompt_counted(&paid, &chat, 0) == by_bytes);
    assert_true(price_prompt_counted(&paid, &chat, 90) == by_bytes - 210);
    assert_true(price_prompt_counted(&paid, &chat, 300) == by_bytes);
    assert_true(price_prompt_counted(&paid, &chat, INT64_MAX) == by_bytes);
    assert_true(price_worst_of(&paid, &chat, by_bytes - 210, now, 10) ==
                (by_bytes - 210) * 60000 + 10 * 250000);
    assert_true(price_trim_of(&paid, &chat, by_bytes - 210, now, 0,
                              (by_bytes - 210) * 60000 + 10 * 250000) == 10);
}

static void n_answers_cost_n_times(void **state)
{
    struct chat_request three = request;

    (void)state;
    three.n = 3;
    assert_true(price_worst(&paid, &three, now, 100) == 496 * 60000 + 300 * 250000);
    assert_true(price_trim(&paid, &three, now, 0, 496 * 60000 + 300 * 250000) == 100);
    assert_true(price_trim(&paid, &three, now, 0, 496 * 60000 + 300 * 250000 - 1) == 99);
}

static void without_a_limit_there_is_no_bound(void **state)
{
    struct config_price gift = plain;
    struct config_generator output_is_free = priced(&gift);

    (void)state;
    gift.tiers[0].rates.output_pico = gift.tiers[0].rates.reasoning_pico = 0;
    assert_true(price_worst(&paid, &request, now, 0) == MONEY_NONE);
    assert_true(price_worst(&output_is_free, &request, now, 0) == 496 * 60000);
    assert_true(price_trim(&output_is_free, &request, now, 0, 496 * 60000) ==
                PRICE_NO_LIMIT);
    assert_true(price_trim(&output_is_free, &request, now, 7, 496 * 60000) == 7);
    assert_true(price_trim(&output_is_free, &request, now, 7, 496 * 60000 - 1) == 0);
}

static void an_unbounded_prompt_is_never_affordable(void **state)
{
    struct config_generator none = paid;
    struct chat_request image = request, audio = request;

    (void)state;
    none.prompt_bound = CONFIG_BOUND_NONE;
    assert_true(price_worst(&none, &request, now, 10) == MONEY_NONE);
    assert_true(price_trim(&none, &request, now, 10, MONEY_NONE - 1) == 0);
    image.n_images = 1;
    assert_true(price_worst(&paid, &image, now, 10) == MONEY_NONE);
    none = paid;
    none.image_tokens = 1000;
    assert_true(price_worst(&none, &image, now, 10) == 1496 * 60000 + 10 * 250000);
    audio.n_other_media = 1;
    assert_true(price_worst(&none, &audio, now, 10) == MONEY_NONE);
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
    /* Of several prompts each may fill it. */
    long_one.shape = CHAT_PROMPT;
    long_one.n_messages = 10;
    assert_true(price_prompt_bound(&small, &long_one) == 81920);
    long_one.shape = CHAT_MESSAGES;
    assert_true(price_prompt_bound(&small, &long_one) == 8192);
}

static void a_free_expert_costs_nothing_ever(void **state)
{
    const struct config_price nothing = { .from_s = INT64_MIN, .n_tiers = 1 };
    struct config_generator free_one = { .prices = { true, false, 1, &nothing },
                                         .prompt_bound = CONFIG_BOUND_NONE };

    (void)state;
    assert_true(price_worst(&free_one, &request, now, 0) == 0);
    assert_true(price_trim(&free_one, &request, now, 50, 0) == 50);
    assert_true(price_prompt_pico(&free_one, &request, 0) == 0);
}

static void trim_stops_where_not_one_token_fits(void **state)
{
    const int64_t prompt = 496 * 60000;

    (void)state;
    assert_true(price_trim(&paid, &request, now, 100, prompt) == 0);
    assert_true(price_trim(&paid, &request, now, 100, prompt + 249999) == 0);
    assert_true(price_trim(&paid, &request, now, 100, prompt + 250000) == 1);
    assert_true(price_trim(&paid, &request, now, 100, MONEY_NONE) == 100);
    assert_true(price_trim(&paid, &request, now, 100, prompt + 101 * 250000) == 100);
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
    const struct usage usage = { true, 100, 40, 7, 0, 0, false };
    struct config_price price = plain;

    (void)state;
    price.tiers[0].rates.request_pico = 5;
    assert_true(price_settle(&price, &usage) == 5 + 60 * 60000 + 40 * 6000 + 7 * 250000);
}

static void dear_caches_raise_the_bound(void **state)
{
    struct config_price price = plain;
    struct config_generator odd = priced(&price);

    (void)state;
    price.tiers[0].rates.cached_input_pico = 70000;
    assert_true(price_worst(&odd, &request, now, 1) == 496 * 70000 + 250000);
    price.tiers[0].rates.cache_write_pico = 80000;
    assert_true(price_worst(&odd, &request, now, 1) == 496 * 80000 + 250000);
    price.tiers[0].rates.reasoning_pico = 300000;
    assert_true(price_worst(&odd, &request, now, 1) == 496 * 80000 + 300000);
    assert_true(price_trim(&odd, &request, now, 9, 496 * 80000 + 3 * 300000) == 3);
}

static void written_and_reasoned_tokens_are_priced_apart(void **state)
{
    const struct usage usage = { true, 100, 40, 70, 30, 50, false };
    struct config_price price = plain;

    (void)state;
    price.tiers[0].rates.cache_write_pico = 75000;
    price.tiers[0].rates.reasoning_pico = 100000;
    assert_true(price_settle(&price, &usage) ==
                30 * 60000 + 40 * 6000 + 30 * 75000 + 20 * 250000 + 50 * 100000);
}

/* Twice the price above 300 tokens, half of it above 600. */
static struct config_price tiered(void)
{
    struct config_price price = plain;

    price.n_tiers = 3;
    price.tiers[1] = price.tiers[2] = price.tiers[0];
    price.tiers[1].above_tokens = 300;
    price.tiers[1].rates.input_pico *= 2;
    price.tiers[1].rates.output_pico *= 2;
    price.tiers[2].above_tokens = 600;
    price.tiers[2].rates.input_pico /= 2;
    return price;
}

static void a_long_prompt_is_charged_at_its_tier_altogether(void **state)
{
    const struct config_price price = tiered();
    struct usage usage = { true, 300, 0, 10, 0, 0, false };

    (void)state;
    assert_true(price_settle(&price, &usage) == 300 * 60000 + 10 * 250000);
    usage.input_tokens = 301;
    assert_true(price_settle(&price, &usage) == 301 * 120000 + 10 * 500000);
    usage.input_tokens = 601;
    assert_true(price_settle(&price, &usage) == 601 * 30000 + 10 * 250000);
}

static void the_bound_is_the_dearest_tier_within_reach(void **state)
{
    const struct config_price price = tiered();
    struct config_generator generator = priced(&price);
    struct chat_request longer = request, brief = request;

    (void)state;
    brief.prompt_bytes = 300 - 96; /* the bound is 300: the first tier only */
    assert_true(price_worst(&generator, &brief, now, 10) == 300 * 60000 + 10 * 250000);
    assert_true(price_worst(&generator, &request, now, 10) == 496 * 120000 + 10 * 500000);
    longer.prompt_bytes = 700; /* the third would be cheaper than 600 in the second */
    assert_true(price_worst(&generator, &longer, now, 10) == 600 * 120000 + 10 * 500000);
    assert_true(price_trim(&generator, &longer, now, 0, 600 * 120000 + 10 * 500000) ==
                10);
    assert_true(price_trim(&generator, &longer, now, 0, 600 * 120000 + 10 * 500000 - 1) ==
                9);
}

static void a_price_holds_from_its_date(void **state)
{
    struct config_price list[3] = { plain, plain, plain };
    struct config_generator generator = priced(list);

    (void)state;
    list[1].from_s = 1500;
    list[1].tiers[0].rates.output_pico = 900000;
    list[2].from_s = 3000;
    list[2].tiers[0].rates.output_pico = 100000;
    generator.prices.n = 3;
    assert_ptr_equal(price_at(&generator.prices, -5), &list[0]);
    assert_ptr_equal(price_at(&generator.prices, 1499), &list[0]);
    assert_ptr_equal(price_at(&generator.prices, 1500), &list[1]);
    assert_ptr_equal(price_at(&generator.prices, INT64_MAX), &list[2]);
    /* A rise within the time of the request counts from its beginning, a fall after it. */
    assert_true(price_worst(&generator, &request, now, 10) ==
                496 * 60000 + 10 * INT64_C(900000));
    assert_true(price_worst(&generator, &request, (struct price_span){ 0, 1499 }, 10) ==
                496 * 60000 + 10 * 250000);
    assert_true(price_worst(&generator, &request, (struct price_span){ 2000, 4000 },
                            10) == 496 * 60000 + 10 * INT64_C(900000));
    assert_true(price_trim(&generator, &request, now, 0, 496 * 60000 + 10 * 250000) == 2);
}

static void tools_are_bounded_in_the_form_that_a_template_gives_them(void **state)
{
    struct chat_request tools = request;

    (void)state;
    tools.tools_bytes = 100;
    assert_true(price_prompt_bound(&paid, &tools) == 496 + 100 + PRICE_TOOLS_OVERHEAD);
}

static void embeddings_have_bound_and_expectation(void **state)
{
    const struct config_price price = { .from_s = INT64_MIN,
                                        .n_tiers = 2,
                                        .tiers = { { 0, { .input_pico = 20000 } },
                                                   { 300, { .input_pico = 30000 } } } };
    const struct config_price nothing = { .from_s = INT64_MIN, .n_tiers = 1 };
    const struct config_embedding embedding = { .prices = { false, true, 1, &price } };
    const struct config_embedding free_one = { .prices = { true, true, 1, &nothing } };

    (void)state;
    assert_true(price_embedding_worst(&embedding, now, 400) ==
                (400 + PRICE_MESSAGE_OVERHEAD) * 30000);
    assert_true(price_embedding_expected(&embedding, 0, 400) == 100 * 20000);
    assert_true(price_embedding_settle(&embedding, 0, 90) == 90 * 20000);
    assert_true(price_embedding_worst(&free_one, now, SIZE_MAX / 4) == 0);
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
        cmocka_unit_test(a_count_stands_in_the_place_of_the_messages_bytes),
        cmocka_unit_test(n_answers_cost_n_times),
        cmocka_unit_test(without_a_limit_there_is_no_bound),
        cmocka_unit_test(an_unbounded_prompt_is_never_affordable),
        cmocka_unit_test(the_context_bounds_a_long_prompt),
        cmocka_unit_test(a_free_expert_costs_nothing_ever),
        cmocka_unit_test(trim_stops_where_not_one_token_fits),
        cmocka_unit_test(the_lowest_limit_counts),
        cmocka_unit_test(settlement_prices_cached_tokens_apart),
        cmocka_unit_test(dear_caches_raise_the_bound),
        cmocka_unit_test(written_and_reasoned_tokens_are_priced_apart),
        cmocka_unit_test(a_long_prompt_is_charged_at_its_tier_altogether),
        cmocka_unit_test(the_bound_is_the_dearest_tier_within_reach),
        cmocka_unit_test(a_price_holds_from_its_date),
        cmocka_unit_test(tools_are_bounded_in_the_form_that_a_template_gives_them),
        cmocka_unit_test(embeddings_have_bound_and_expectation),
        cmocka_unit_test(estimates_round_up_and_saturate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
