/* test_routing_stamp.c - templates are taken off wherever a turn stands, and a rule that makes other
 * texts has another stamp. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/domain/routing_text.h"

#define TEMPLATE "You are a clerk. Answer in one word. Q: "
#define OTHER    "Translate the following into French, please: "

static struct routing_rule rule_of(const char *base, const struct str *turn,
                                   size_t n_turn, const struct str *system,
                                   size_t n_system)
{
    struct routing_strip *strip = NULL;
    struct routing_rule rule;

    assert_int_equal(routing_rule_parse(str_of(base), &rule, NULL), ERR_OK);
    assert_int_equal(routing_strip_new(turn, n_turn, system, n_system, &strip), ERR_OK);
    assert_int_equal(routing_rule_strip(&rule, &strip), ERR_OK);
    assert_null(strip);
    return rule;
}

static void text_of_body(const struct routing_rule *rule, struct str body,
                         const char *wanted)
{
    struct api_error error = { .code = API_OK };
    struct chat_request chat;
    struct arena arena;
    struct scan scan;
    struct buf out;

    buf_init(&out, ROUTING_TEXT_MOST);
    arena_init(&arena, 1 << 20);
    scan_init(&scan, 16);
    assert_int_equal(scan_feed(&scan, body.p, body.n), SCAN_OK);
    assert_int_equal(scan_end(&scan), SCAN_OK);
    assert_int_equal(chat_parse(&chat, &scan, body, &arena, &error), API_OK);
    assert_int_equal(routing_text_by(rule, &chat, &out), ERR_OK);
    if (wanted != NULL) {
        assert_int_equal(out.n, strlen(wanted));
        assert_memory_equal(out.p, wanted, out.n);
    }
    buf_release(&out);
    arena_release(&arena);
}

#define CHAT(messages) STR("{\"model\":\"m\",\"messages\":[" messages "]}")
#define TURN(text)     "{\"role\":\"user\",\"content\":\"" text "\"}"

static void a_template_is_taken_off_the_turn_and_those_before(void **state)
{
    struct routing_rule rule = rule_of("", (struct str[]){ STR(TEMPLATE) }, 1, NULL, 0);

    (void)state;
    text_of_body(&rule, CHAT(TURN(TEMPLATE "Oslo?")), "Oslo?");
    text_of_body(&rule, CHAT(TURN(TEMPLATE "Oslo?") "," TURN(TEMPLATE "\\n Rome?")),
                 "Rome?\nOslo?");
    text_of_body(&rule, CHAT(TURN("no template")), "no template");
    text_of_body(&rule, CHAT(TURN(TEMPLATE)), TEMPLATE);
    text_of_body(&rule,
                 CHAT("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
                      "\"" TEMPLATE "a\"},{\"type\":\"text\",\"text\":\"" TEMPLATE
                      "\"}]}"),
                 "a\n" TEMPLATE);
    text_of_body(&rule,
                 STR("{\"model\":\"m\",\"messages\":[" TURN(
                     "\\u0059ou are a clerk. Answer in one word. Q: Oslo?") "]}"),
                 "Oslo?");
    routing_rule_release(&rule);
}

static void of_several_templates_a_mark_is_left(void **state)
{
    const struct str two[] = { STR(TEMPLATE), STR(OTHER) };
    struct routing_rule rule = rule_of("", two, 2, NULL, 0);
    struct buf one, other;

    (void)state;
    buf_init(&one, 4096);
    buf_init(&other, 4096);
    assert_int_equal(routing_text_of_prompt_by(&rule, STR(TEMPLATE "Oslo?"), &one),
                     ERR_OK);
    assert_int_equal(routing_text_of_prompt_by(&rule, STR(OTHER "Oslo?"), &other),
                     ERR_OK);
    assert_int_equal(one.n, ROUTING_STRIP_MARK + strlen("Oslo?"));
    assert_memory_equal(one.p + ROUTING_STRIP_MARK, "Oslo?", 5);
    assert_memory_not_equal(one.p, other.p, ROUTING_STRIP_MARK);
    buf_release(&one);
    buf_release(&other);
    routing_rule_release(&rule);
}

static void a_shared_system_prompt_leaves_its_share_to_the_turn(void **state)
{
    struct routing_rule rule =
        rule_of("system=0.5", NULL, 0, (struct str[]){ STR("Be kind to all.") }, 1);

    (void)state;
    text_of_body(
        &rule, CHAT("{\"role\":\"system\",\"content\":\"Be kind to all.\"}," TURN("hi")),
        "hi");
    text_of_body(
        &rule,
        CHAT("{\"role\":\"system\",\"content\":\"Be kind to all. In French.\"}," TURN(
            "hi")),
        "hi\nIn French.");
    routing_rule_release(&rule);
}

/* The same however long and however escaped: both ends are decoded alone then. */
static void long_turns_lose_their_template_too(void **state)
{
    struct routing_rule rule = rule_of("", (struct str[]){ STR(TEMPLATE) }, 1, NULL, 0);
    static const size_t lengths[] = { 7990,  8000,  8001,  24000, 47900, 48000,
                                      48064, 48065, 48300, 48400, 90000 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        for (int escaped = 0; escaped < 2; escaped++) {
            struct buf body, alone;
            char *long_text = malloc(lengths[i] + 1);

            for (size_t c = 0; c < lengths[i]; c++)
                long_text[c] = (char)('a' + c * c % 26);
            long_text[lengths[i]] = '\0';
            buf_init(&body, 1 << 20);
            buf_init(&alone, ROUTING_TEXT_MOST);
            assert_int_equal(routing_text_of_prompt_by(
                                 &rule, (struct str){ long_text, lengths[i] }, &alone),
                             ERR_OK);
            assert_int_equal(buf_add(&alone, "", 1), ERR_OK);
            buf_put(&body, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\","
                           "\"content\":\"" TEMPLATE);
            for (size_t c = 0; c < lengths[i]; c++)
                buf_putf(&body, escaped ? "\\u%04x" : "%c", (unsigned)long_text[c]);
            buf_put(&body, "\"}]}");
            text_of_body(&rule, buf_str(&body), alone.p);
            buf_release(&body);
            buf_release(&alone);
            free(long_text);
        }
    }
    routing_rule_release(&rule);
}

/* The texts of text@1 are what bundles in use were made of. Who changes them makes text@3. */
static void the_rules_in_use_make_the_texts_that_they_made(void **state)
{
    static const struct {
        const char *rule, *stamp;
    } known[] = {
        { "text@1", "text@1#ee832deee2cfe2e3" },
        { "text@2;system=0.4;earlier=0.3;bytes=4000",
          "text@2;system=0.4;earlier=0.3;bytes=4000#f428ea91e9866bf4" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        char stamp[ROUTING_TEXT_STAMP];
        struct routing_rule rule;

        assert_int_equal(routing_rule_parse(str_of(known[i].rule), &rule, NULL), ERR_OK);
        assert_int_equal(routing_rule_stamp(&rule, stamp), ERR_OK);
        assert_string_equal(stamp, known[i].stamp);
    }
}

static void a_rule_comes_back_from_its_bundle(void **state)
{
    const struct str turn[] = { STR(TEMPLATE), STR(OTHER "\"\xC3\xA4\"") };
    struct routing_rule rule = rule_of("system=0.2", turn, 2, turn, 1), back;
    char stamp[ROUTING_TEXT_STAMP];
    struct buf extra;

    (void)state;
    buf_init(&extra, ROUTING_STRIP_BYTES);
    assert_int_equal(routing_rule_extra(&rule, &extra), ERR_OK);
    assert_int_equal(routing_rule_stamp(&rule, stamp), ERR_OK);
    assert_int_equal(routing_rule_of_bundle(str_of(stamp), buf_str(&extra), &back, NULL),
                     ERR_OK);
    assert_string_equal(back.version, rule.version);
    text_of_body(&back, CHAT(TURN("plain")), "plain");
    routing_rule_release(&back);
    routing_rule_release(&rule);
    buf_release(&extra);
}

static void what_does_not_fit_together_is_refused(void **state)
{
    struct routing_rule rule = rule_of("", (struct str[]){ STR(TEMPLATE) }, 1, NULL, 0);
    struct routing_rule back;
    char stamp[ROUTING_TEXT_STAMP];
    const char *why = NULL;

    (void)state;
    assert_int_equal(routing_rule_stamp(&rule, stamp), ERR_OK);
    struct {
        struct str stamp, extra;
        const char *why;
    } wrong[] = {
        { STR("text@9"), STR(""), "no rule" },
        { STR("text@1#0123456789abcdef"), STR(""), "other texts" },
        { str_of(stamp), STR(""), "templates" },
        { str_of(stamp), STR("{\"turn\":[\"else\"],\"system\":[]}"), "templates" },
        { STR("text@1"), STR("{\"turn\":[\"else\"],\"system\":[]}"), "templates" },
        { str_of(stamp), STR("{\"turn\":"), "no rule" },
        { str_of(stamp), STR("{\"turn\":[\"\"],\"system\":[]}"), "no rule" },
        { str_of(stamp), STR("{\"turn\":[5],\"system\":[]}"), "no rule" },
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_int_equal(
            routing_rule_of_bundle(wrong[i].stamp, wrong[i].extra, &back, &why),
            ERR_INVALID);
        assert_non_null(strstr(why, wrong[i].why));
    }
    /* Bundles from before there were stamps have the version alone. */
    assert_int_equal(routing_rule_of_bundle(STR("text@1"), STR(""), &back, NULL), ERR_OK);
    assert_int_equal(routing_rule_of_bundle(STR(""), STR(""), &back, NULL), ERR_OK);
    routing_rule_release(&rule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_template_is_taken_off_the_turn_and_those_before),
        cmocka_unit_test(of_several_templates_a_mark_is_left),
        cmocka_unit_test(a_shared_system_prompt_leaves_its_share_to_the_turn),
        cmocka_unit_test(long_turns_lose_their_template_too),
        cmocka_unit_test(the_rules_in_use_make_the_texts_that_they_made),
        cmocka_unit_test(a_rule_comes_back_from_its_bundle),
        cmocka_unit_test(what_does_not_fit_together_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
