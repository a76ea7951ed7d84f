/* test_adapt.c - an expert's dialect: what it changes of a request, and what it may not. */
#include "gateway/domain/adapt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "gateway/base/arena.h"
#include "gateway/domain/chat.h"
#include "gateway/domain/config.h"

static struct config *config_with(const char *more)
{
    struct config_error error = { 0 };
    struct config *config = NULL;
    struct buf text;

    buf_init(&text, 65536);
    buf_putf(&text,
             "{\"listen\":\"127.0.0.1:0\",\"experts\":{\"e\":{\"endpoints\":"
             "[\"http://127.0.0.1:9/v1\"],\"generator\":{\"model\":\"m\",\"free\":true,"
             "%s}}}}",
             more);
    if (config_parse(buf_str(&text), "test.json", &config, &error) != ERR_OK)
        print_error("%s: %s\n", error.pointer, error.text);
    buf_release(&text);
    assert_non_null(config);
    return config;
}

struct spliced {
    enum err err;
    uint32_t adapted;
    char *text; /* NUL-terminated */
};

static struct spliced splice(const struct config *config, const char *body, int64_t limit)
{
    const struct config_generator *generator = &config->experts[0].generator;
    struct spliced spliced = { .text = NULL };
    struct chat_edit edit = { .model = STR_INIT("m"),
                              .output_limit = limit,
                              .limit_field = generator->limit_field,
                              .adapt = &generator->adapt,
                              .adapted = &spliced.adapted };
    struct api_error error = { 0 };
    struct chat_request chat;
    struct iovec *pieces;
    struct arena arena;
    struct scan scan;
    struct buf out;
    size_t n, bytes;

    arena_init(&arena, 1 << 20);
    buf_init(&out, 1 << 20);
    scan_init(&scan, 64);
    assert_int_equal(scan_feed(&scan, body, strlen(body)), SCAN_OK);
    assert_int_equal(scan_end(&scan), SCAN_OK);
    assert_int_equal(chat_parse(&chat, &scan, str_of(body), &arena, &error), API_OK);
    pieces = arena_array(&arena, chat_max_pieces(&edit), sizeof *pieces);
    assert_non_null(pieces);
    spliced.err = chat_splice(&chat, &edit, &arena, pieces, &n, &bytes);
    for (size_t i = 0; spliced.err == ERR_OK && i < n; i++)
        buf_put_str(&out, (struct str){ pieces[i].iov_base, pieces[i].iov_len });
    if (spliced.err == ERR_OK)
        assert_int_equal(out.n, bytes);
    spliced.text = strndup(out.p != NULL ? out.p : "", out.n);
    buf_release(&out);
    arena_release(&arena);
    return spliced;
}

#define HELLO "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static void becomes(const char *request, const char *body, const char *wanted)
{
    struct config *config = config_with(request);
    struct spliced spliced = splice(config, body, 0);

    assert_int_equal(spliced.err, ERR_OK);
    assert_string_equal(spliced.text, wanted);
    free(spliced.text);
    config_unref(config);
}

static void members_are_renamed_dropped_and_set_where_they_stand(void **state)
{
    (void)state;
    becomes(
        "\"request\":{\"rename\":{\"reasoning_effort\":\"effort\"},\"drop\":[\"logit_"
        "bias\",\"user\"],\"set\":{\"top_k\":4,\"t\":0.7}}",
        "{ \"logit_bias\" : {\"1\":2} ,\"model\":\"auto\", \"reasoning_effort\":\"low\" "
        "," HELLO ",\"user\":\"u\" , \"logit_bias\":null }",
        "{\"top_k\":4,\"t\":0.7, \"model\":\"m\", \"effort\":\"low\" ," HELLO " }");
}

static void three_that_go_at_the_end_take_one_comma_with_them(void **state)
{
    (void)state;
    becomes("\"request\":{\"drop\":[\"a\",\"b\",\"c\"]}",
            "{\"model\":\"auto\"," HELLO ",\"a\":1,\"b\":[1,{\"a\":2}],\"c\":\"}\"}",
            "{\"model\":\"m\"," HELLO "}");
    becomes("\"request\":{\"drop\":[\"a\",\"b\"]}",
            "{\"model\":\"auto\"," HELLO
            ",\"a\":1,\"frugal\":{},\"b\":1,\"x\":1,\"a\":1}",
            "{\"model\":\"m\"," HELLO ",\"x\":1}");
}

static void keys_are_compared_unescaped(void **state)
{
    (void)state;
    becomes("\"request\":{\"drop\":[\"user\"],\"rename\":{\"a\":\"b\"}}",
            "{\"model\":\"auto\"," HELLO ",\"u\\u0073er\":1,\"\\u0061\":2}",
            "{\"model\":\"m\"," HELLO ",\"b\":2}");
}

static void what_has_its_new_name_already_keeps_the_clients(void **state)
{
    (void)state;
    becomes("\"request\":{\"rename\":{\"a\":\"b\"}}",
            "{\"model\":\"auto\",\"a\":1," HELLO ",\"\\u0062\":2}",
            "{\"model\":\"m\"," HELLO ",\"\\u0062\":2}");
}

static void nested_members_and_values_are_left_alone(void **state)
{
    (void)state;
    becomes("\"request\":{\"drop\":[\"a\"],\"rename\":{\"b\":\"c\"},\"set\":{\"d\":1}}",
            "{\"model\":\"auto\"," HELLO ",\"x\":{\"a\":1,\"b\":2,\"d\":3},\"y\":\"a\"}",
            "{\"d\":1,\"model\":\"m\"," HELLO
            ",\"x\":{\"a\":1,\"b\":2,\"d\":3},\"y\":\"a\"}");
}

static void usage_is_not_asked_for_where_that_is_dropped(void **state)
{
    (void)state;
    becomes("\"request\":{\"drop\":[\"stream_options\"]}",
            "{\"model\":\"auto\",\"stream\":true," HELLO "}",
            "{\"model\":\"m\",\"stream\":true," HELLO "}");
    becomes("\"request\":{\"drop\":[\"stream_options\"]}",
            "{\"model\":\"auto\",\"stream\":true,\"stream_options\":{\"include_usage\":"
            "false}," HELLO "}",
            "{\"model\":\"m\",\"stream\":true," HELLO "}");
}

static void the_output_limit_arrives_under_its_only_name(void **state)
{
    struct config *config = config_with(
        "\"request\":{\"rename\":{\"max_tokens\":\"max_completion_tokens\"}}");
    struct spliced spliced;

    (void)state;
    assert_int_equal(config->experts[0].generator.limit_field,
                     CONFIG_LIMIT_MAX_COMPLETION_TOKENS);
    spliced = splice(config, "{\"model\":\"auto\",\"max_tokens\":50," HELLO "}", 20);
    assert_string_equal(spliced.text,
                        "{\"max_completion_tokens\":20,\"model\":\"m\"," HELLO "}");
    assert_int_equal(spliced.adapted, 1);
    free(spliced.text);
    spliced =
        splice(config, "{\"model\":\"auto\"," HELLO ",\"max_completion_tokens\":50}", 20);
    assert_string_equal(spliced.text,
                        "{\"model\":\"m\"," HELLO ",\"max_completion_tokens\":20}");
    assert_int_equal(spliced.adapted, 0);
    free(spliced.text);
    config_unref(config);
}

static void the_setting_of_the_limits_name_is_such_a_rule(void **state)
{
    struct config *config = config_with("\"output_limit_field\":\"max_tokens\"");
    const struct adapt *adapt = &config->experts[0].generator.adapt;

    (void)state;
    assert_int_equal(adapt->n, 1);
    assert_true(adapt->rules[0].limit);
    assert_string_equal(adapt->rules[0].field, "max_completion_tokens");
    assert_string_equal(adapt->rules[0].to, "max_tokens");
    config_unref(config);
}

static void who_repeats_what_is_dropped_is_refused_at_some_point(void **state)
{
    struct config *config = config_with("\"request\":{\"drop\":[\"a\"]}");

    (void)state;
    for (size_t n = ADAPT_MAX_CHANGES; n <= ADAPT_MAX_CHANGES + 1; n++) {
        struct spliced spliced;
        struct buf body;

        buf_init(&body, 65536);
        buf_put(&body, "{\"model\":\"auto\"");
        for (size_t i = 0; i < n; i++)
            buf_putf(&body, ",\"a\":%zu,\"x%zu\":1", i, i);
        buf_put(&body, "," HELLO "}");
        assert_int_equal(buf_add(&body, "", 1), ERR_OK);
        spliced = splice(config, body.p, 0);
        assert_int_equal(spliced.err, n > ADAPT_MAX_CHANGES ? ERR_TOO_LARGE : ERR_OK);
        free(spliced.text);
        buf_release(&body);
    }
    config_unref(config);
}

/* -- the law: as if it had been parsed, changed and written again -- */

static const char *const pool[] = { "a", "b", "c", "dd", "e_e", "logit_bias", "user" };
static const char *const values[] = { "1",        "null",
                                      "\"x, }\"", "[1,{\"a\":2}]",
                                      "{}",       "{\"b\":[[]]}",
                                      "true",     "\"\\u0061\\\"\"",
                                      "-2.5e3" };
static const char *const spaces[] = { "", " ", "\n\t", "  " };

static const char *one_of(const char *const *list, size_t n)
{
    return list[(size_t)rand() % n];
}
#define ONE_OF(list) one_of(list, ARRAY_LEN(list))

/* Draws a way for each name, and writes it down twice: for the configuration, and as what a
 * client's object becomes. */
static void put_rules(struct buf *out, enum adapt_way ways[ARRAY_LEN(pool)],
                      bool has[ARRAY_LEN(pool)])
{
    static const char *const open[] = { "\"rename\":{", ",\"drop\":[", ",\"set\":{" };

    for (size_t i = 0; i < ARRAY_LEN(pool); i++) {
        has[i] = rand() % 3 != 0;
        ways[i] = (enum adapt_way)(rand() % 3);
    }
    buf_put(out, "\"request\":{");
    for (int way = ADAPT_RENAME; way <= ADAPT_SET; way++) {
        const char *comma = "";

        buf_put(out, open[way]);
        for (size_t i = 0; i < ARRAY_LEN(pool); i++) {
            if (!has[i] || (int)ways[i] != way)
                continue;
            if (way == ADAPT_RENAME)
                buf_putf(out, "%s\"%s\":\"new_%s\"", comma, pool[i], pool[i]);
            else if (way == ADAPT_DROP)
                buf_putf(out, "%s\"%s\"", comma, pool[i]);
            else
                buf_putf(out, "%s\"%s\":[7]", comma, pool[i]);
            comma = ",";
        }
        buf_put(out, way == ADAPT_DROP ? "]" : "}");
    }
    buf_put(out, "}");
    assert_int_equal(buf_add(out, "", 1), ERR_OK);
}

static void put_member(struct buf *body, const char *name, const char *value)
{
    buf_putf(body, "%s%s\"%s\"%s:%s%s%s", body->n > 1 ? "," : "", ONE_OF(spaces), name,
             ONE_OF(spaces), ONE_OF(spaces), value, ONE_OF(spaces));
}

static void put_body(struct buf *body)
{
    size_t needed = (size_t)rand() % 6,
           order[2] = { needed, needed + (size_t)rand() % 4 };

    buf_put(body, "{");
    for (size_t i = 0; i < 10; i++) {
        char name[32];

        if (i == order[0])
            put_member(body, "model", "\"auto\"");
        if (i == order[1])
            put_member(body, "messages", "[{\"role\":\"user\",\"content\":\"hi\"}]");
        if (i == 5 && rand() % 2)
            put_member(body, "frugal", "{\"explain\":true}");
        if (rand() % 2)
            continue;
        (void)snprintf(name, sizeof name, "%s%s", rand() % 5 == 0 ? "new_" : "",
                       ONE_OF(pool));
        put_member(body, name, ONE_OF(values));
    }
    buf_put(body, "}");
    assert_int_equal(buf_add(body, "", 1), ERR_OK);
}

static json_t *adapted_by_hand(const char *body, const enum adapt_way *ways,
                               const bool *has)
{
    json_t *object = json_loads(body, 0, NULL);

    assert_non_null(object);
    json_object_set_new(object, "model", json_string("m"));
    json_object_del(object, "frugal");
    for (size_t i = 0; i < ARRAY_LEN(pool); i++) {
        json_t *value = json_object_get(object, pool[i]);
        char name[32];

        if (!has[i])
            continue;
        (void)snprintf(name, sizeof name, "new_%s", pool[i]);
        if (ways[i] == ADAPT_RENAME && value != NULL &&
            json_object_get(object, name) == NULL)
            json_object_set(object, name, value);
        json_object_del(object, pool[i]);
        if (ways[i] == ADAPT_SET)
            json_object_set_new(object, pool[i], json_pack("[i]", 7));
    }
    return object;
}

static void splicing_is_as_good_as_parsing_changing_and_writing(void **state)
{
    (void)state;
    srand(20261125);
    for (size_t round = 0; round < 3000; round++) {
        enum adapt_way ways[ARRAY_LEN(pool)];
        bool has[ARRAY_LEN(pool)];
        struct buf rules, body;
        struct config *config;
        struct spliced spliced;
        json_t *wanted, *got;

        buf_init(&rules, 4096);
        buf_init(&body, 65536);
        put_rules(&rules, ways, has);
        put_body(&body);
        config = config_with(rules.p);
        spliced = splice(config, body.p, 0);
        wanted = adapted_by_hand(body.p, ways, has);
        got = json_loads(spliced.text, 0, NULL);
        if (got == NULL || !json_equal(got, wanted))
            print_error("%s\n%s\n%s\n", rules.p, body.p, spliced.text);
        assert_true(json_equal(got, wanted));
        json_decref(got);
        json_decref(wanted);
        free(spliced.text);
        config_unref(config);
        buf_release(&rules);
        buf_release(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_renamed_dropped_and_set_where_they_stand),
        cmocka_unit_test(three_that_go_at_the_end_take_one_comma_with_them),
        cmocka_unit_test(keys_are_compared_unescaped),
        cmocka_unit_test(what_has_its_new_name_already_keeps_the_clients),
        cmocka_unit_test(nested_members_and_values_are_left_alone),
        cmocka_unit_test(usage_is_not_asked_for_where_that_is_dropped),
        cmocka_unit_test(the_output_limit_arrives_under_its_only_name),
        cmocka_unit_test(the_setting_of_the_limits_name_is_such_a_rule),
        cmocka_unit_test(who_repeats_what_is_dropped_is_refused_at_some_point),
        cmocka_unit_test(splicing_is_as_good_as_parsing_changing_and_writing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
