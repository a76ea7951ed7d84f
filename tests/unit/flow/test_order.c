/* test_order.c - who may answer, for how much: ceilings, limits, allow lists. */
#include "gateway/flow/order.h"

#include "tests/unit/flow/request.h"

#include <math.h>

#include "gateway/domain/price.h"

/* 1 USD per million tokens is 1,000,000 pico-USD per token: sums below are in tokens. */
static const char text[] =
    "{\"listen\":\"127.0.0.1:0\",\"experts\":{"
    "\"cheap\":{\"endpoints\":[\"http://127.0.0.1:9/v1\"],\"generator\":{\"model\":\"c\","
    "\"price\":{\"input\":1,\"output\":1}}},"
    "\"dear\":{\"endpoints\":[\"http://127.0.0.1:9/v1\"],\"generator\":{\"model\":\"d\","
    "\"price\":{\"input\":100,\"output\":100},\"max_output_tokens\":5000}},"
    "\"wild\":{\"endpoints\":[\"http://127.0.0.1:9/v1\"],\"generator\":{\"model\":\"w\","
    "\"price\":{\"input\":1,\"output\":1},\"prompt_bound\":\"none\"}},"
    "\"gift\":{\"endpoints\":[\"http://127.0.0.1:9/v1\"],\"generator\":{\"model\":\"g\","
    "\"free\":true}},"
    "\"told\":{\"endpoints\":[\"http://127.0.0.1:9/v1\"],\"generator\":{\"model\":\"t\","
    "\"price\":{\"input\":1,\"output\":1},\"prompt_bound\":\"tokenize\"}}},"
    "\"policies\":{"
    "\"auto\":{\"value_usd\":0.02,\"default\":\"dear\",\"max_output_tokens\":1000},"
    "\"capped\":{\"value_usd\":0.02,\"default\":\"cheap\",\"max_output_tokens\":1000,"
    "\"budget_usd\":0.001,\"on_budget\":\"downgrade\"}}}";

enum { CHEAP, DEAR, WILD, GIFT, TOLD };

static struct config *config;

static int load(void **state)
{
    struct config_error error = { 0 };

    (void)state;
    if (config_parse(str_of(text), "test.json", &config, &error) == ERR_OK)
        return 0;
    print_error("%s: %s\n", error.pointer, error.text);
    return -1;
}

static int unload(void **state)
{
    (void)state;
    config_unref(config);
    return 0;
}

struct fixture {
    struct request request;
    struct order order;
    struct api_error error;
};

static enum api_err make_for(struct fixture *f, const char *body,
                             const struct key_allow *allow, uint64_t barred)
{
    memset(f, 0, sizeof *f);
    request_init(&f->request, body);
    return order_make(&f->order, config, &f->request.chat, &f->request.options, allow,
                      barred, 1000, &f->error);
}

static enum api_err make(struct fixture *f, const char *body, uint64_t barred)
{
    return make_for(f, body, &key_allow_all, barred);
}

static void end(struct fixture *f)
{
    request_release(&f->request);
}

#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"what is the time?\"}]"

static int64_t prompt_tokens(const struct fixture *f, size_t expert)
{
    return price_prompt_bound(&config->experts[expert].generator, &f->request.chat);
}

static void a_policy_is_a_model(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f, "{\"model\":\"auto\"," MESSAGES "}", 0), API_OK);
    assert_non_null(f.order.policy);
    assert_int_equal(f.order.preferred, DEAR);
    assert_int_equal(order_allowed_count(&f.order), 5);
    end(&f);
}

static void an_expert_is_a_model(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f, "{\"model\":\"wild\"," MESSAGES "}", 0), API_OK);
    assert_null(f.order.policy);
    assert_int_equal(f.order.preferred, WILD);
    assert_int_equal(order_allowed_count(&f.order), 1);
    end(&f);
}

static void a_stranger_is_no_model(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f, "{\"model\":\"gpt-9\"," MESSAGES "}", 0), API_NO_MODEL);
    assert_string_equal(f.error.param, "model");
    end(&f);
}

static void without_a_ceiling_the_request_goes_on_as_it_came(void **state)
{
    struct order_terms terms;
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f, "{\"model\":\"auto\"," MESSAGES "}", 0), API_OK);
    assert_true(order_fit(&f.order, CHEAP, MONEY_NONE, NAN, &terms));
    assert_int_equal(terms.limit_tokens, 0);
    assert_int_equal(terms.worst_pico, MONEY_NONE);
    assert_false(terms.trimmed);
    end(&f);
}

static void under_a_ceiling_the_policys_limit_is_inserted(void **state)
{
    struct order_terms terms;
    struct fixture f;

    (void)state;
    assert_int_equal(
        make(&f, "{\"model\":\"auto\",\"frugal\":{\"budget_usd\":1}," MESSAGES "}", 0),
        API_OK);
    assert_true(order_fit(&f.order, CHEAP, f.order.ceiling_pico, NAN, &terms));
    assert_int_equal(terms.limit_tokens, 1000);
    assert_int_equal(terms.worst_pico, (prompt_tokens(&f, CHEAP) + 1000) * 1000000);
    end(&f);
}

static void trimming_makes_the_worst_case_fit_exactly(void **state)
{
    struct order_terms terms;
    struct fixture f;
    int64_t remaining;

    (void)state;
    assert_int_equal(
        make(&f, "{\"model\":\"auto\",\"frugal\":{\"budget_usd\":1}," MESSAGES "}", 0),
        API_OK);
    remaining = (prompt_tokens(&f, CHEAP) + 100) * 1000000 + 999999;
    assert_true(order_fit(&f.order, CHEAP, remaining, NAN, &terms));
    assert_true(terms.trimmed);
    assert_int_equal(terms.limit_tokens, 100);
    assert_true(terms.worst_pico <= remaining);
    end(&f);
}

static void an_answer_is_not_trimmed_to_nothing(void **state)
{
    struct order_terms terms;
    struct fixture f;
    int64_t prompt;

    (void)state;
    assert_int_equal(
        make(&f, "{\"model\":\"auto\",\"frugal\":{\"budget_usd\":1}," MESSAGES "}", 0),
        API_OK);
    prompt = prompt_tokens(&f, CHEAP);
    assert_true(
        order_fit(&f.order, CHEAP, (prompt + ORDER_LEAST_TOKENS) * 1000000, NAN, &terms));
    assert_false(order_fit(&f.order, CHEAP, (prompt + ORDER_LEAST_TOKENS - 1) * 1000000,
                           NAN, &terms));
    end(&f);
}

static void a_client_may_want_fewer_tokens_than_the_least(void **state)
{
    struct order_terms terms;
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f,
                          "{\"model\":\"auto\",\"max_tokens\":3,\"frugal\":{"
                          "\"budget_usd\":1}," MESSAGES "}",
                          0),
                     API_OK);
    assert_true(order_fit(&f.order, CHEAP, (prompt_tokens(&f, CHEAP) + 3) * 1000000, NAN,
                          &terms));
    assert_int_equal(terms.limit_tokens, 3);
    assert_false(terms.trimmed);
    end(&f);
}

static void every_answer_of_n_is_paid(void **state)
{
    struct order_terms terms;
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f,
                          "{\"model\":\"auto\",\"n\":3,\"max_tokens\":50,\"frugal\":{"
                          "\"budget_usd\":1}," MESSAGES "}",
                          0),
                     API_OK);
    assert_true(order_fit(&f.order, CHEAP, f.order.ceiling_pico, NAN, &terms));
    assert_int_equal(terms.worst_pico, (prompt_tokens(&f, CHEAP) + 150) * 1000000);
    end(&f);
}

static void downgrade_does_not_trim(void **state)
{
    struct order_terms terms;
    struct fixture f;
    int64_t full;

    (void)state;
    assert_int_equal(make(&f, "{\"model\":\"capped\"," MESSAGES "}", 0), API_OK);
    assert_int_equal(f.order.ceiling_pico, MONEY_USD / 1000);
    full = (prompt_tokens(&f, CHEAP) + 1000) * 1000000;
    assert_true(order_fit(&f.order, CHEAP, full, NAN, &terms));
    assert_false(order_fit(&f.order, CHEAP, full - 1, NAN, &terms));
    end(&f);
}

static void who_has_no_bound_is_never_asked_under_a_ceiling(void **state)
{
    struct order_terms terms;
    struct fixture f;

    (void)state;
    assert_int_equal(
        make(&f, "{\"model\":\"wild\",\"frugal\":{\"budget_usd\":1000}," MESSAGES "}", 0),
        API_OK);
    assert_false(order_fit(&f.order, WILD, f.order.ceiling_pico, NAN, &terms));
    assert_int_equal(order_too_dear(&f.order, 0, &f.error), API_BUDGET);
    assert_non_null(strstr(f.error.message, "no allowed expert has an upper bound"));
    end(&f);
}

static void a_free_expert_fits_into_a_ceiling_of_nothing(void **state)
{
    struct order_terms terms;
    struct fixture f;

    (void)state;
    assert_int_equal(
        make(&f, "{\"model\":\"gift\",\"frugal\":{\"budget_usd\":0}," MESSAGES "}", 0),
        API_OK);
    assert_true(order_fit(&f.order, GIFT, 0, NAN, &terms));
    assert_int_equal(terms.worst_pico, 0);
    end(&f);
}

static void the_refusal_names_the_least_price(void **state)
{
    struct fixture f;
    char price[MONEY_TEXT_BYTES];

    (void)state;
    assert_int_equal(make(&f,
                          "{\"model\":\"auto\",\"frugal\":{\"budget_usd\":0.000001,"
                          "\"experts\":[\"cheap\",\"dear\"]}," MESSAGES "}",
                          0),
                     API_OK);
    assert_int_equal(order_too_dear(&f.order, 7, &f.error), API_BUDGET);
    money_format((prompt_tokens(&f, CHEAP) + ORDER_LEAST_TOKENS) * 1000000 + 7, price);
    assert_non_null(strstr(f.error.message, price));
    assert_non_null(strstr(f.error.message, "'cheap'"));
    end(&f);
}

static void a_refusal_does_not_call_the_cheapest_too_dear_that_fits(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f,
                          "{\"model\":\"auto\",\"frugal\":{\"budget_usd\":1000,"
                          "\"on_budget\":\"reject\","
                          "\"experts\":[\"cheap\",\"dear\"]}," MESSAGES "}",
                          0),
                     API_OK);
    assert_int_equal(order_too_dear(&f.order, 0, &f.error), API_BUDGET);
    assert_null(strstr(f.error.message, "above its budget"));
    assert_non_null(strstr(f.error.message, "the best expert"));
    assert_non_null(strstr(f.error.message, "'cheap'"));
    end(&f);
}

static void a_request_tightens_its_policy_and_cannot_loosen_it(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f,
                          "{\"model\":\"capped\",\"frugal\":{\"budget_usd\":5,"
                          "\"on_budget\":\"trim\"}," MESSAGES "}",
                          0),
                     API_OK);
    assert_int_equal(f.order.ceiling_pico, MONEY_USD / 1000);
    assert_int_equal(f.order.on_budget, CONFIG_ON_BUDGET_DOWNGRADE);
    end(&f);
    assert_int_equal(make(&f,
                          "{\"model\":\"capped\",\"frugal\":{\"budget_usd\":0.0001,"
                          "\"on_budget\":\"reject\"}," MESSAGES "}",
                          0),
                     API_OK);
    assert_int_equal(f.order.ceiling_pico, MONEY_USD / 10000);
    assert_int_equal(f.order.on_budget, CONFIG_ON_BUDGET_REJECT);
    end(&f);
}

static void an_allow_list_replaces_a_default_that_is_not_on_it(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(
        make(&f, "{\"model\":\"auto\",\"frugal\":{\"experts\":[\"cheap\"]}," MESSAGES "}",
             0),
        API_OK);
    assert_int_equal(f.order.preferred, CHEAP);
    assert_int_equal(order_allowed_count(&f.order), 1);
    end(&f);
}

static void an_allow_list_that_leaves_nobody_is_refused(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(
        make(&f, "{\"model\":\"dear\",\"frugal\":{\"experts\":[\"cheap\"]}," MESSAGES "}",
             0),
        API_BAD_OPTION);
    end(&f);
}

static void who_charged_too_much_is_barred_under_ceilings_only(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f, "{\"model\":\"auto\"," MESSAGES "}", 1u << DEAR), API_OK);
    assert_true(order_allows(&f.order, DEAR));
    end(&f);
    assert_int_equal(
        make(&f, "{\"model\":\"auto\",\"frugal\":{\"budget_usd\":1}," MESSAGES "}",
             1u << DEAR),
        API_OK);
    assert_false(order_allows(&f.order, DEAR));
    assert_int_not_equal(f.order.preferred, DEAR);
    end(&f);
    assert_int_equal(
        make(&f, "{\"model\":\"dear\",\"frugal\":{\"budget_usd\":1}," MESSAGES "}",
             1u << DEAR),
        API_BUDGET);
    end(&f);
}

static void fields_with_their_own_price_are_refused_under_a_ceiling(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f,
                          "{\"model\":\"auto\",\"service_tier\":\"priority\",\"frugal\":{"
                          "\"budget_usd\":1}," MESSAGES "}",
                          0),
                     API_UNPRICED);
    assert_string_equal(f.error.param, "service_tier");
    end(&f);
}

/* -- keys -- */

#define ONLY(expert) (UINT64_C(1) << (expert))

static void a_key_narrows_every_way_to_an_expert(void **state)
{
    struct key_allow allow = { .experts = ONLY(CHEAP), .policies = UINT64_MAX };
    struct fixture f;

    (void)state;
    assert_int_equal(make_for(&f, "{\"model\":\"auto\"," MESSAGES "}", &allow, 0),
                     API_OK);
    assert_int_equal(f.order.allowed, ONLY(CHEAP));
    assert_int_equal(f.order.preferred, CHEAP); /* in the place of the policy's default */
    assert_int_equal(f.order.reachable, ONLY(CHEAP));
    end(&f);
    assert_int_equal(make_for(&f, "{\"model\":\"dear\"," MESSAGES "}", &allow, 0),
                     API_NO_MODEL);
    end(&f);
    allow.experts = 0;
    assert_int_equal(make_for(&f, "{\"model\":\"auto\"," MESSAGES "}", &allow, 0),
                     API_NO_MODEL);
    end(&f);
}

static void a_policy_that_a_key_may_not_name_is_like_none(void **state)
{
    struct key_allow allow = { .experts = UINT64_MAX, .policies = ONLY(1) };
    struct fixture a, b;

    (void)state;
    assert_int_equal(make_for(&a, "{\"model\":\"auto\"," MESSAGES "}", &allow, 0),
                     API_NO_MODEL);
    assert_int_equal(make_for(&b, "{\"model\":\"ouat\"," MESSAGES "}", &allow, 0),
                     API_NO_MODEL);
    assert_string_equal(strchr(a.error.message, '\''),
                        "'auto' does not exist, or this key "
                        "may not use it");
    assert_string_equal(strrchr(a.error.message, '\''), strrchr(b.error.message, '\''));
    end(&a);
    end(&b);
    assert_int_equal(make_for(&a, "{\"model\":\"dear\"," MESSAGES "}", &allow, 0),
                     API_OK);
    end(&a);
}

static void under_a_keys_budget_the_rules_of_a_ceiling_hold(void **state)
{
    struct key_allow allow = { .experts = UINT64_MAX, .policies = UINT64_MAX, true };
    struct fixture f;
    struct order_terms terms;

    (void)state;
    assert_int_equal(
        make_for(&f, "{\"model\":\"auto\"," MESSAGES "}", &allow, ONLY(DEAR)), API_OK);
    assert_int_equal(f.order.ceiling_pico, MONEY_NONE);
    assert_false(order_allows(&f.order, DEAR)); /* charged too much before */
    assert_true(order_fit(&f.order, CHEAP, MONEY_USD, NAN, &terms));
    assert_int_equal(terms.limit_tokens, 1000); /* the policy's is inserted */
    assert_false(order_fit(&f.order, WILD, MONEY_USD, NAN, &terms)); /* without a bound */
    assert_true(order_fit(&f.order, CHEAP, terms.worst_pico - 1, NAN, &terms));
    assert_true(terms.trimmed);
    assert_false(order_possible(&f.order, 0) && !order_allows(&f.order, GIFT));
    end(&f);
    assert_int_equal(
        make_for(&f, "{\"model\":\"auto\",\"service_tier\":\"flex\"," MESSAGES "}",
                 &allow, 0),
        API_UNPRICED);
    end(&f);
}

static void nothing_is_kept_for_an_expert_without_rows(void **state)
{
    struct key_allow allow = { .experts = ONLY(CHEAP) | ONLY(DEAR), UINT64_MAX, true };
    struct fixture f;
    int64_t least;

    (void)state;
    assert_int_equal(make_for(&f, "{\"model\":\"auto\"," MESSAGES "}", &allow, 0),
                     API_OK);
    least = order_answer_pico(&f.order);
    assert_int_equal(least, order_least_worst(&f.order, CHEAP));
    f.order.known = ONLY(DEAR); /* which is the policy's default, too */
    assert_false(order_may_choose(&f.order, CHEAP));
    assert_int_equal(order_answer_pico(&f.order), order_least_worst(&f.order, DEAR));
    assert_false(order_possible(&f.order, least));
    f.order.known = ONLY(WILD); /* who may not answer: then everybody else may */
    assert_true(order_may_choose(&f.order, CHEAP) && !order_may_choose(&f.order, WILD));
    assert_true(order_possible(&f.order, least));
    end(&f);
}

static void a_count_is_wanted_only_where_it_can_matter(void **state)
{
    struct order_terms terms;
    struct fixture f;
    int64_t full, least;

    (void)state;
    assert_int_equal(make(&f, "{\"model\":\"told\"," MESSAGES "}", 0), API_OK);
    assert_false(order_wants_count(&f.order, TOLD, 0)); /* no ceiling */
    end(&f);
    assert_int_equal(make(&f,
                          "{\"model\":\"auto\",\"max_tokens\":40,\"frugal\":"
                          "{\"budget_usd\":1}," MESSAGES "}",
                          0),
                     API_OK);
    full = (prompt_tokens(&f, TOLD) + 40) * 1000000;
    least =
        full -
        ((int64_t)f.request.chat.message_bytes - 1 + (40 - ORDER_LEAST_TOKENS)) * 1000000;
    assert_false(order_wants_count(&f.order, TOLD, full));
    assert_true(order_wants_count(&f.order, TOLD, full - 1));
    assert_true(order_wants_count(&f.order, TOLD, least));
    assert_false(order_wants_count(&f.order, TOLD, least - 1));
    assert_false(order_wants_count(&f.order, CHEAP, full - 1)); /* has no tokenizer */
    assert_int_equal(order_bound(&f.order, TOLD), CONFIG_BOUND_BYTES);
    assert_int_equal(order_bound(&f.order, WILD), CONFIG_BOUND_NONE);

    assert_false(order_count(&f.order, TOLD, 0));
    assert_false(order_count(&f.order, TOLD, (int64_t)f.request.chat.message_bytes + 1));
    assert_int_equal(order_bound(&f.order, TOLD), CONFIG_BOUND_BYTES);
    assert_true(order_count(&f.order, TOLD, 9));
    assert_int_equal(order_bound(&f.order, TOLD), CONFIG_BOUND_TOKENIZE);
    full -= ((int64_t)f.request.chat.message_bytes - 9) * 1000000;
    assert_true(order_fit(&f.order, TOLD, full, NAN, &terms));
    assert_false(terms.trimmed);
    assert_true(terms.worst_pico == full);
    assert_true(order_fit(&f.order, TOLD, full - 1000000, NAN, &terms));
    assert_int_equal(terms.limit_tokens, 39);
    end(&f);
}

static void whoever_may_not_answer_has_the_first_reason_that_met_him(void **state)
{
    struct key_allow allow = { .experts = ~ONLY(WILD), .policies = UINT64_MAX };
    struct fixture f;

    (void)state;
    assert_int_equal(make_for(&f,
                              "{\"model\":\"capped\",\"frugal\":{"
                              "\"experts\":[\"cheap\",\"wild\",\"gift\"]}," MESSAGES "}",
                              &allow, ONLY(CHEAP) | ONLY(WILD)),
                     API_OK);
    assert_int_equal(f.order.excluded[CHEAP], EXCLUDED_BARRED);
    assert_int_equal(f.order.excluded[DEAR], EXCLUDED_OPTION);
    assert_int_equal(f.order.excluded[WILD], EXCLUDED_KEY);
    assert_int_equal(f.order.excluded[GIFT], EXCLUDED_NOT);
    assert_int_equal(f.order.preferred, GIFT);
    end(&f);
}

/* The law: whatever remains, on whatever terms an expert may be called, its worst case
 * stays within it, and more money never makes an expert unaffordable or its limit lower. */
static void terms_never_exceed_what_remains_and_grow_with_it(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(
        make(&f, "{\"model\":\"auto\",\"frugal\":{\"budget_usd\":1}," MESSAGES "}", 0),
        API_OK);
    for (size_t expert = 0; expert < config->n_experts; expert++) {
        int64_t limit = 0;

        for (int64_t remaining = 0; remaining < 200000000000; remaining += 123456789) {
            struct order_terms terms;

            if (!order_fit(&f.order, expert, remaining, NAN, &terms)) {
                assert_int_equal(limit, 0);
                continue;
            }
            assert_true(terms.worst_pico <= remaining);
            assert_true(terms.expected_pico <= terms.worst_pico);
            assert_true(terms.limit_tokens >= limit);
            limit = terms.limit_tokens;
        }
    }
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_is_a_model),
        cmocka_unit_test(an_expert_is_a_model),
        cmocka_unit_test(a_stranger_is_no_model),
        cmocka_unit_test(without_a_ceiling_the_request_goes_on_as_it_came),
        cmocka_unit_test(under_a_ceiling_the_policys_limit_is_inserted),
        cmocka_unit_test(trimming_makes_the_worst_case_fit_exactly),
        cmocka_unit_test(an_answer_is_not_trimmed_to_nothing),
        cmocka_unit_test(a_client_may_want_fewer_tokens_than_the_least),
        cmocka_unit_test(every_answer_of_n_is_paid),
        cmocka_unit_test(downgrade_does_not_trim),
        cmocka_unit_test(who_has_no_bound_is_never_asked_under_a_ceiling),
        cmocka_unit_test(a_free_expert_fits_into_a_ceiling_of_nothing),
        cmocka_unit_test(the_refusal_names_the_least_price),
        cmocka_unit_test(a_refusal_does_not_call_the_cheapest_too_dear_that_fits),
        cmocka_unit_test(a_request_tightens_its_policy_and_cannot_loosen_it),
        cmocka_unit_test(an_allow_list_replaces_a_default_that_is_not_on_it),
        cmocka_unit_test(an_allow_list_that_leaves_nobody_is_refused),
        cmocka_unit_test(who_charged_too_much_is_barred_under_ceilings_only),
        cmocka_unit_test(fields_with_their_own_price_are_refused_under_a_ceiling),
        cmocka_unit_test(a_key_narrows_every_way_to_an_expert),
        cmocka_unit_test(a_policy_that_a_key_may_not_name_is_like_none),
        cmocka_unit_test(under_a_keys_budget_the_rules_of_a_ceiling_hold),
        cmocka_unit_test(nothing_is_kept_for_an_expert_without_rows),
        cmocka_unit_test(a_count_is_wanted_only_where_it_can_matter),
        cmocka_unit_test(whoever_may_not_answer_has_the_first_reason_that_met_him),
        cmocka_unit_test(terms_never_exceed_what_remains_and_grow_with_it),
    };

    return cmocka_run_group_tests(tests, load, unload);
}
