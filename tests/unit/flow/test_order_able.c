/* test_order_able.c - who is able to what is asked for, and has room for it. */
#include "gateway/flow/order.h"

#include "tests/unit/flow/request.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/domain/ability.h"

enum { PLAIN, EYE, HAND, ANY, N_EXPERTS };

/* NULL: it says nothing of what it is able to. */
static const char *const able[N_EXPERTS] = { "[]", "[\"images\",\"json_object\"]",
                                             "[\"tools\",\"n\"]", NULL };
static const char *const room[N_EXPERTS] = {
    "\"context\":1000,\"max_output_tokens\":100",
    "\"context\":4000,\"max_output_tokens\":2000", "\"context\":20000", "\"context\":0"
};
static const char *const names[N_EXPERTS] = { "plain", "eye", "hand", "any" };
static const char policies[] = "\"policies\":{\"auto\":{\"default\":\"plain\"},"
                               "\"some\":{\"default\":\"plain\",\"experts\":[\"plain\","
                               "\"eye\",\"hand\"]}}";

static struct config *config_with(const char *const capabilities[N_EXPERTS])
{
    struct config_error error = { 0 };
    struct config *config = NULL;
    struct buf text;

    buf_init(&text, 65536);
    buf_put(&text, "{\"listen\":\"127.0.0.1:0\",\"experts\":{");
    for (size_t i = 0; i < N_EXPERTS; i++) {
        buf_putf(&text,
                 "%s\"%s\":{\"endpoints\":[\"http://127.0.0.1:9/v1\"],\"generator\":{"
                 "\"model\":\"m\",\"free\":true,%s",
                 i == 0 ? "" : ",", names[i], room[i]);
        if (capabilities[i] != NULL)
            buf_putf(&text, ",\"capabilities\":%s", capabilities[i]);
        buf_put(&text, "}}");
    }
    buf_putf(&text, "},%s}", policies);
    if (config_parse(buf_str(&text), "test.json", &config, &error) != ERR_OK)
        print_error("%s: %s\n", error.pointer, error.text);
    buf_release(&text);
    assert_non_null(config);
    return config;
}

struct fixture {
    struct config *config;
    struct request request;
    struct order order;
    struct api_error error;
};

static enum api_err make_of(struct fixture *f, const char *const capabilities[N_EXPERTS],
                            const char *body, bool duty)
{
    memset(f, 0, sizeof *f);
    f->config = config_with(capabilities);
    request_init(&f->request, body);
    f->request.chat.limit_is_duty = duty;
    return order_make(&f->order, f->config, &f->request.chat, &f->request.options,
                      &key_allow_all, 0, 1000, &f->error);
}

static enum api_err make(struct fixture *f, const char *body)
{
    return make_of(f, able, body, false);
}

static void end(struct fixture *f)
{
    request_release(&f->request);
    config_unref(f->config);
}

#define SAYS(content) "\"messages\":[{\"role\":\"user\",\"content\":" content "}]"
#define HELLO         SAYS("\"hello\"")
#define IMAGE         SAYS("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"u\"}}]")
#define TOOLS         "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"
#define ONLY(expert)  (UINT64_C(1) << (expert))

static void who_asks_for_nothing_special_may_ask_anybody(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f, "{\"model\":\"auto\"," HELLO "}"), API_OK);
    assert_int_equal(order_allowed_count(&f.order), N_EXPERTS);
    assert_int_equal(f.order.preferred, PLAIN);
    end(&f);
}

static void who_lacks_an_ability_goes_and_the_default_with_it(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f, "{\"model\":\"auto\"," IMAGE "}"), API_OK);
    assert_int_equal(f.order.allowed, ONLY(EYE) | ONLY(ANY));
    assert_int_equal(f.order.preferred, EYE);
    assert_int_equal(f.order.excluded[PLAIN], EXCLUDED_ABILITY);
    assert_int_equal(f.order.excluded[HAND], EXCLUDED_ABILITY);
    end(&f);
}

static void what_nobody_has_together_is_refused_by_name(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f, "{\"model\":\"some\"," IMAGE "," TOOLS "}"), API_UNABLE);
    assert_string_equal(
        f.error.message,
        "no expert that 'some' allows supports tools and images together: "
        "'plain' lacks tools and images, 'eye' lacks tools, 'hand' lacks "
        "images; this could be answered by 'any'");
    assert_string_equal(f.error.param, "tools");
    end(&f);
}

static void what_nobody_has_at_all_is_the_parameter(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f, "{\"model\":\"some\"," IMAGE ",\"logprobs\":true}"),
                     API_UNABLE);
    assert_string_equal(f.error.param, "logprobs");
    end(&f);
}

static void an_expert_by_name_is_refused_what_it_lacks(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f, "{\"model\":\"eye\"," IMAGE ",\"n\":2}"), API_UNABLE);
    assert_string_equal(f.error.message,
                        "the expert 'eye' does not support n; this could "
                        "be answered by 'any'");
    assert_string_equal(f.error.param, "n");
    end(&f);
}

static void an_expert_that_a_key_may_not_use_is_not_named(void **state)
{
    struct key_allow allow = { .experts = ~ONLY(ANY), .policies = UINT64_MAX };
    struct fixture f;

    (void)state;
    IGNORE(make(&f, "{\"model\":\"some\"," IMAGE "," TOOLS "}"));
    f.error = (struct api_error){ 0 };
    assert_int_equal(order_make(&f.order, f.config, &f.request.chat, &f.request.options,
                                &allow, 0, 1000, &f.error),
                     API_UNABLE);
    assert_null(strstr(f.error.message, "any"));
    end(&f);
}

/* -- room -- */

static void a_long_answer_is_for_those_who_give_it(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f, "{\"model\":\"auto\"," HELLO ",\"max_tokens\":500}"),
                     API_OK);
    assert_int_equal(f.order.excluded[PLAIN], EXCLUDED_OUTPUT);
    assert_int_equal(f.order.allowed, ONLY(EYE) | ONLY(HAND) | ONLY(ANY));
    end(&f);
}

static void an_answer_that_does_not_fit_beside_the_prompt_is_for_larger_contexts(void **s)
{
    struct fixture f;

    (void)s;
    assert_int_equal(make(&f, "{\"model\":\"auto\"," HELLO ",\"max_tokens\":19999}"),
                     API_OK);
    assert_int_equal(f.order.allowed, ONLY(ANY));
    assert_int_equal(f.order.excluded[HAND], EXCLUDED_CONTEXT);
    assert_int_equal(f.order.excluded[EYE], EXCLUDED_CONTEXT);
    end(&f);
}

static void whoever_is_alone_is_asked_for_as_much_as_it_gives(void **state)
{
    struct order_terms terms;
    struct fixture f;

    (void)state;
    assert_int_equal(make(&f, "{\"model\":\"plain\"," HELLO ",\"max_tokens\":500}"),
                     API_OK);
    assert_true(order_fit(&f.order, PLAIN, MONEY_NONE, 10, &terms));
    assert_int_equal(terms.limit_tokens, 100);
    end(&f);
}

/* Every Messages request has max_tokens, and most are large. */
static void a_limit_that_its_api_demands_excludes_nobody(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(
        make_of(&f, able, "{\"model\":\"auto\"," HELLO ",\"max_tokens\":4000}", true),
        API_OK);
    assert_int_equal(order_allowed_count(&f.order), N_EXPERTS);
    end(&f);
}

static void a_prompt_of_about(struct fixture *f, const char *model, size_t tokens)
{
    struct buf body;

    buf_init(&body, 1 << 20);
    buf_putf(&body, "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"",
             model);
    for (size_t i = 0; i < tokens; i++)
        buf_put(&body, "word");
    buf_put(&body, "\"}]}");
    assert_int_equal(buf_add(&body, "", 1), ERR_OK);
    memset(f, 0, sizeof *f);
    f->config = config_with(able);
    request_init(&f->request, body.p);
    assert_int_equal(order_make(&f->order, f->config, &f->request.chat,
                                &f->request.options, &key_allow_all, 0, 1000, &f->error),
                     API_OK);
    f->request.chat.body = (struct str){ 0 };
    buf_release(&body);
}

static void a_prompt_that_is_probably_too_long_goes_to_larger_contexts(void **state)
{
    struct fixture f;

    (void)state;
    a_prompt_of_about(&f, "auto", 3000);
    assert_int_equal(f.order.excluded[PLAIN], EXCLUDED_CONTEXT);
    assert_int_equal(f.order.allowed, ONLY(EYE) | ONLY(HAND) | ONLY(ANY));
    end(&f);
}

static void where_all_are_probably_too_small_nobody_goes(void **state)
{
    struct fixture f;

    (void)state;
    a_prompt_of_about(&f, "some", 30000);
    assert_int_equal(f.order.allowed, ONLY(PLAIN) | ONLY(EYE) | ONLY(HAND));
    end(&f);
}

static void what_a_tokenizer_counted_is_certain(void **state)
{
    struct fixture f;

    (void)state;
    a_prompt_of_about(&f, "some", 30000);
    assert_true(order_count(&f.order, PLAIN, 30000));
    assert_true(order_count(&f.order, HAND, 19000));
    assert_int_equal(order_counted(&f.order, &f.error), API_OK);
    assert_int_equal(f.order.allowed, ONLY(EYE) | ONLY(HAND));
    assert_int_equal(f.order.preferred, EYE);
    assert_true(order_count(&f.order, EYE, 29000));
    assert_true(order_count(&f.order, HAND, 31000));
    assert_int_equal(order_counted(&f.order, &f.error), API_CONTEXT_LENGTH);
    assert_string_equal(f.error.message,
                        "the prompt has 29000 tokens at least, as counted, and no expert "
                        "that may answer has a context of more than 20000");
    end(&f);
}

/* -- the law -- */

/* One way to ask for each ability, as a member of a chat completion request or a part of its
 * message. */
static const struct {
    const char *member, *part;
} ways[ABILITY_COUNT] = {
    [ABILITY_TOOLS] = { TOOLS, NULL },
    [ABILITY_IMAGES] = { NULL, "\"image_url\":{\"url\":\"u\"}" },
    [ABILITY_AUDIO] = { NULL, "\"input_audio\":{\"data\":\"AA\"}" },
    [ABILITY_VIDEO] = { NULL, "\"video_url\":{\"url\":\"u\"}" },
    [ABILITY_FILES] = { NULL, "\"file\":{\"file_id\":\"f\"}" },
    [ABILITY_JSON_OBJECT] = { "\"response_format\":{\"type\":\"json_object\"}", NULL },
    [ABILITY_JSON_SCHEMA] = { "\"response_format\":{\"json_schema\":{\"schema\":{}},"
                              "\"type\":\"json_schema\"}",
                              NULL },
    [ABILITY_LOGPROBS] = { "\"logprobs\":true", NULL },
    [ABILITY_N] = { "\"n\":3", NULL },
    [ABILITY_AUDIO_OUTPUT] = { "\"modalities\":[\"text\",\"audio\"]", NULL },
    [ABILITY_IMAGE_OUTPUT] = { "\"modalities\":[\"image\"]", NULL },
};

/* Two that are said in the same member exclude each other; a suffix is of completions only. */
static uint32_t askable(uint32_t needs)
{
    needs &= (UINT32_C(1) << ABILITY_COUNT) - 1;
    needs &= ~ABILITY_BIT(SUFFIX);
    if ((needs & ABILITY_BIT(JSON_OBJECT)) != 0)
        needs &= ~ABILITY_BIT(JSON_SCHEMA);
    if ((needs & ABILITY_BIT(AUDIO_OUTPUT)) != 0)
        needs &= ~ABILITY_BIT(IMAGE_OUTPUT);
    return needs;
}

static void put_request(struct buf *out, uint32_t needs)
{
    buf_put(out, "{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":[");
    buf_put(out, "{\"type\":\"text\",\"text\":\"hello\"}");
    for (size_t i = 0; i < ABILITY_COUNT; i++)
        if ((needs >> i & 1) != 0 && ways[i].part != NULL)
            buf_putf(out, ",{\"type\":\"x\",%s}", ways[i].part);
    buf_put(out, "]}]");
    for (size_t i = 0; i < ABILITY_COUNT; i++)
        if ((needs >> i & 1) != 0 && ways[i].member != NULL)
            buf_putf(out, ",%s", ways[i].member);
    buf_put(out, "}");
    assert_int_equal(buf_add(out, "", 1), ERR_OK);
}

static void put_list(char text[256], uint32_t abilities)
{
    size_t n = 1;

    text[0] = '[';
    for (size_t i = 0; i < ABILITY_COUNT; i++)
        if ((abilities >> i & 1) != 0)
            n += (size_t)snprintf(text + n, 256 - n, "%s\"%s\"", n > 1 ? "," : "",
                                  ability_word((enum ability)i));
    (void)snprintf(text + n, 256 - n, "]");
}

static void whoever_is_left_is_able_to_everything_that_is_asked_for(void **state)
{
    size_t refused = 0, narrowed = 0;

    (void)state;
    srand(20261124);
    for (size_t round = 0; round < 3000; round++) {
        const uint32_t needs = askable((uint32_t)rand() & (uint32_t)rand());
        uint32_t abilities[N_EXPERTS];
        char lists[N_EXPERTS][256];
        const char *capabilities[N_EXPERTS];
        uint64_t should = 0;
        struct fixture f;
        struct buf body;

        for (size_t i = 0; i < N_EXPERTS; i++) {
            abilities[i] = (uint32_t)rand() | (uint32_t)rand();
            put_list(lists[i], abilities[i]);
            capabilities[i] = rand() % 8 == 0 ? NULL : lists[i];
            if (capabilities[i] == NULL || (needs & ~abilities[i]) == 0)
                should |= ONLY(i);
        }
        buf_init(&body, 65536);
        put_request(&body, needs);
        assert_int_equal(make_of(&f, capabilities, body.p, false),
                         should == 0 ? API_UNABLE : API_OK);
        assert_int_equal(f.request.chat.needs, needs);
        if (should != 0)
            assert_int_equal(f.order.allowed, should);
        refused += should == 0;
        narrowed += should != 0 && should != ONLY(N_EXPERTS) - 1;
        end(&f);
        buf_release(&body);
    }
    assert_true(refused > 100 && narrowed > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_asks_for_nothing_special_may_ask_anybody),
        cmocka_unit_test(who_lacks_an_ability_goes_and_the_default_with_it),
        cmocka_unit_test(what_nobody_has_together_is_refused_by_name),
        cmocka_unit_test(what_nobody_has_at_all_is_the_parameter),
        cmocka_unit_test(an_expert_by_name_is_refused_what_it_lacks),
        cmocka_unit_test(an_expert_that_a_key_may_not_use_is_not_named),
        cmocka_unit_test(a_long_answer_is_for_those_who_give_it),
        cmocka_unit_test(
            an_answer_that_does_not_fit_beside_the_prompt_is_for_larger_contexts),
        cmocka_unit_test(whoever_is_alone_is_asked_for_as_much_as_it_gives),
        cmocka_unit_test(a_limit_that_its_api_demands_excludes_nobody),
        cmocka_unit_test(a_prompt_that_is_probably_too_long_goes_to_larger_contexts),
        cmocka_unit_test(where_all_are_probably_too_small_nobody_goes),
        cmocka_unit_test(what_a_tokenizer_counted_is_certain),
        cmocka_unit_test(whoever_is_left_is_able_to_everything_that_is_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
