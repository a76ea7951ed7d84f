/* test_routing_text.c - a prompt that stands alone and the same prompt in a request give the
 * same text, whatever its length and however it is escaped. */
#include "gateway/domain/routing_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MAX (1 << 21)

enum escaping { PLAIN, ESCAPE_ALL, ESCAPE_SOME };

/* The prompt as a JSON string: every character as \uXXXX, or every third one. */
static void put_escaped(struct buf *out, struct str text, enum escaping how)
{
    size_t i = 0;

    buf_put(out, "\"");
    while (text.n > 0) {
        size_t n = str_utf8_sequence(text);
        unsigned char a = (unsigned char)text.p[0];
        bool escape = how == ESCAPE_ALL || (how == ESCAPE_SOME && i++ % 3 == 0);
        unsigned c;

        if (n == 1 && escape) {
            buf_putf(out, "\\u%04x", a);
        } else if (n == 4 && escape) {
            c = ((a & 7u) << 18 | (text.p[1] & 63u) << 12 | (text.p[2] & 63u) << 6 |
                 (text.p[3] & 63u)) -
                0x10000;
            buf_putf(out, "\\u%04x\\u%04x", 0xd800 + (c >> 10), 0xdc00 + (c & 0x3ff));
        } else if (n == 1 && (a == '"' || a == '\\')) {
            buf_putf(out, "\\%c", a);
        } else {
            buf_put_str(out, str_first(text, n));
        }
        text = str_skip(text, n);
    }
    buf_put(out, "\"");
}

static void text_of_body(struct str body, struct buf *out)
{
    struct api_error error = { .code = API_OK };
    struct chat_request chat;
    struct arena arena;
    struct scan scan;

    arena_init(&arena, 1 << 20);
    scan_init(&scan, 16);
    assert_int_equal(scan_feed(&scan, body.p, body.n), SCAN_OK);
    assert_int_equal(scan_end(&scan), SCAN_OK);
    assert_int_equal(chat_parse(&chat, &scan, body, &arena, &error), API_OK);
    assert_int_equal(routing_text(&chat, out), ERR_OK);
    arena_release(&arena);
}

static void same_for_prompt(struct str prompt, enum escaping how)
{
    struct buf body, text, alone;

    buf_init(&body, 8 * MAX);
    buf_init(&text, ROUTING_TEXT_MAX);
    buf_init(&alone, ROUTING_TEXT_MAX);
    buf_put(&body, "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":");
    put_escaped(&body, prompt, how);
    buf_put(&body, "}]}");
    assert_false(body.failed);
    text_of_body(buf_str(&body), &text);
    assert_int_equal(routing_text_of_prompt(prompt, &alone), ERR_OK);
    assert_true(str_eq(buf_str(&text), buf_str(&alone)));
    assert_true(str_is_utf8(buf_str(&text)));
    assert_true(text.n <= ROUTING_TEXT_MAX);
    buf_release(&body);
    buf_release(&text);
    buf_release(&alone);
}

static void prompt_and_request_agree_at_every_length(void **state)
{
    static const char unit[] = "ab\\c \"\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x98\x80 7+";
    static const size_t lengths[] = { 0,     1,     119,   120,   3999,  4000,
                                      4001,  7999,  8000,  8001,  12000, 24000,
                                      48010, 48080, 60000, 200000 };
    struct buf prompt;

    (void)state;
    buf_init(&prompt, MAX);
    while (prompt.n < 250000)
        buf_put(&prompt, unit);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
        for (size_t shift = 0; shift<sizeof(unit); shift += lengths[i]> 10000 ? 9 : 2) {
            struct str s = str_tail_utf8(str_first(buf_str(&prompt), lengths[i] + shift),
                                         lengths[i]);

            s = str_clip_utf8(s, s.n > 4 ? s.n - 4 : 0);
            while (!str_is_utf8(s))
                s.n--;
            same_for_prompt(s, PLAIN);
            same_for_prompt(s, ESCAPE_ALL);
            same_for_prompt(s, ESCAPE_SOME);
        }
    buf_release(&prompt);
}

static void a_long_prompt_keeps_both_ends(void **state)
{
    struct buf prompt, text;

    (void)state;
    buf_init(&prompt, MAX);
    buf_init(&text, ROUTING_TEXT_MAX);
    buf_put(&prompt, "BEGIN");
    for (int i = 0; i < 20000; i++)
        buf_put(&prompt, "middle ");
    buf_put(&prompt, "END");
    assert_int_equal(routing_text_of_prompt(buf_str(&prompt), &text), ERR_OK);
    assert_int_equal(text.n, 2 * ROUTING_TEXT_HALF + 1);
    assert_true(str_starts(buf_str(&text), "BEGIN"));
    assert_true(str_is(str_skip(buf_str(&text), text.n - 3), "END"));
    buf_release(&prompt);
    buf_release(&text);
}

static void many_long_parts_are_clipped_like_one(void **state)
{
    struct buf body, text;

    (void)state;
    buf_init(&body, MAX);
    buf_init(&text, ROUTING_TEXT_MAX);
    buf_put(&body, "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":[");
    for (int part = 0; part < 5; part++) {
        buf_putf(&body, "%s{\"type\":\"text\",\"text\":\"part%d ", part > 0 ? "," : "",
                 part);
        for (int i = 0; i < 30000; i++)
            buf_put(&body, "xy");
        buf_putf(&body, " end%d\"}", part);
    }
    buf_put(&body, "]}]}");
    text_of_body(buf_str(&body), &text);
    assert_int_equal(text.n, 2 * ROUTING_TEXT_HALF + 1);
    assert_true(str_starts(buf_str(&text), "part0 "));
    assert_true(str_is(str_skip(buf_str(&text), text.n - 4), "end4"));
    buf_release(&body);
    buf_release(&text);
}

/* -- rules ------------------------------------------------------------------------------- */

static struct routing_rule rule_of(const char *text)
{
    struct routing_rule rule = { .weighed = false };

    assert_int_equal(routing_rule_parse(str_of(text), &rule, NULL), ERR_OK);
    return rule;
}

static void by_rule(const struct routing_rule *rule, const char *messages,
                    struct buf *out)
{
    struct api_error error = { .code = API_OK };
    struct chat_request chat;
    struct arena arena;
    struct scan scan;
    struct buf body;

    buf_init(&body, 8 * MAX);
    buf_put(&body, "{\"model\":\"a\",\"messages\":[");
    buf_put(&body, messages);
    buf_put(&body, "]}");
    assert_false(body.failed);
    arena_init(&arena, 1 << 20);
    scan_init(&scan, 16);
    assert_int_equal(scan_feed(&scan, body.p, body.n), SCAN_OK);
    assert_int_equal(scan_end(&scan), SCAN_OK);
    assert_int_equal(chat_parse(&chat, &scan, buf_str(&body), &arena, &error), API_OK);
    assert_int_equal(routing_text_by(rule, &chat, out), ERR_OK);
    arena_release(&arena);
    buf_release(&body);
}

static void says(const char *rule_text, const char *messages, const char *wanted)
{
    struct routing_rule rule = rule_of(rule_text);
    struct buf text;

    buf_init(&text, ROUTING_TEXT_MOST);
    by_rule(&rule, messages, &text);
    if (!str_is(buf_str(&text), wanted))
        fail_msg("'" STR_FMT "' is not '%s'", STR_ARG(buf_str(&text)), wanted);
    buf_release(&text);
}

#define SYSTEM    "{\"role\":\"system\",\"content\":\"sys\"}"
#define DEVELOPER "{\"role\":\"developer\",\"content\":\"dev\"}"
#define FIRST     "{\"role\":\"user\",\"content\":\"first\"}"
#define ANSWER    "{\"role\":\"assistant\",\"content\":\"answer\"}"
#define SECOND    "{\"role\":\"user\",\"content\":\"second\"}"
#define LAST      "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"last\"}]}"
#define TALK      SYSTEM "," DEVELOPER "," FIRST "," ANSWER "," SECOND "," ANSWER "," LAST

static void shares_say_what_of_a_conversation_is_read(void **state)
{
    (void)state;
    says("bytes=1000", TALK, "last");
    says("earlier=0.5,bytes=1000", TALK, "last\nsecond\nfirst");
    says("system=0.5,bytes=1000", TALK, "last\nsys\ndev");
    says("system=0.4;earlier=0.4;bytes=1000", TALK, "last\nsecond\nfirst\nsys\ndev");
    says("system=0.5", SYSTEM "," ANSWER, "answer\nsys");
    says("system=0.5", SYSTEM, "sys\nsys");
    says("text@1", TALK, "last\nsecond");
}

/* However long the parts: never more than the bytes, never a broken character, and the last
 * turn has what the others leave. */
static void no_text_is_longer_than_its_rule(void **state)
{
    static const char *const rules[] = { "bytes=256", "system=0.5,bytes=256",
                                         "system=0.45,earlier=0.45,bytes=300",
                                         "earlier=0.9,bytes=257",
                                         "system=0.001,earlier=0.002,bytes=999" };
    static const size_t lengths[] = { 0, 1, 2, 100, 127, 128, 129, 255, 256, 3000 };
    struct buf messages, text;

    (void)state;
    buf_init(&messages, MAX);
    buf_init(&text, ROUTING_TEXT_MOST);
    for (size_t r = 0; r < ARRAY_LEN(rules); r++) {
        struct routing_rule rule = rule_of(rules[r]);

        for (size_t i = 0; i < ARRAY_LEN(lengths) * ARRAY_LEN(lengths); i++) {
            static const char *const roles[] = { "system", "user", "user", "user" };

            buf_clear(&messages);
            buf_clear(&text);
            for (size_t m = 0; m < ARRAY_LEN(roles); m++) {
                size_t n = lengths[(m % 2 == 0 ? i : i / ARRAY_LEN(lengths)) %
                                   ARRAY_LEN(lengths)];

                buf_putf(&messages, "%s{\"role\":\"%s\",\"content\":\"", m > 0 ? "," : "",
                         roles[m]);
                for (size_t c = 0; c < n; c += 2)
                    buf_put(&messages, "\xc3\xa9");
                buf_put(&messages, "\"}");
            }
            assert_int_equal(buf_add(&messages, "", 1), ERR_OK);
            by_rule(&rule, messages.p, &text);
            assert_true(text.n <= rule.bytes);
            assert_true(str_is_utf8(buf_str(&text)));
        }
    }
    buf_release(&messages);
    buf_release(&text);
}

static void a_version_is_read_back_as_the_same_rule(void **state)
{
    static const char *const rules[] = { "",
                                         "text@1",
                                         "system=0.2",
                                         "text@2;system=0.2;earlier=0.3;bytes=4096",
                                         "earlier=0.123456,bytes=32768",
                                         " bytes=256 , system=0.9" };

    (void)state;
    for (size_t r = 0; r < ARRAY_LEN(rules); r++) {
        struct routing_rule once = rule_of(rules[r]), again = rule_of(once.version);

        assert_string_equal(once.version, again.version);
        assert_true(once.weighed == again.weighed && once.system == again.system &&
                    once.earlier == again.earlier && once.bytes == again.bytes);
    }
}

static void what_is_no_rule_is_refused(void **state)
{
    static const char *const wrong[] = {
        "text@3",    "system=2",   "system=-0.1",
        "bytes=255", "bytes=1e9",  "bytes=300.5",
        "later=0.1", "system",     "system=0.5,earlier=0.5",
        "text@2;;",  "system=nan", "text@22"
    };

    (void)state;
    for (size_t r = 0; r < ARRAY_LEN(wrong); r++) {
        struct routing_rule rule;
        const char *why = NULL;

        if (routing_rule_parse(str_of(wrong[r]), &rule, &why) != ERR_INVALID)
            fail_msg("'%s' is taken", wrong[r]);
        assert_non_null(why);
    }
}

/* As calibration prompts stand alone. */
static void a_prompt_alone_is_cut_as_in_a_request(void **state)
{
    struct routing_rule rule = rule_of("system=0.2,earlier=0.2,bytes=300");
    struct buf prompt, messages, text, alone;

    (void)state;
    for (size_t n = 0; n < 700; n += 7) {
        buf_init(&prompt, MAX);
        buf_init(&messages, MAX);
        buf_init(&text, ROUTING_TEXT_MOST);
        buf_init(&alone, ROUTING_TEXT_MOST);
        for (size_t i = 0; i < n; i++)
            buf_putf(&prompt, "%c", (int)('a' + i % 26));
        buf_put(&messages, "{\"role\":\"user\",\"content\":");
        buf_put_json(&messages, buf_str(&prompt));
        buf_put(&messages, "}");
        assert_int_equal(buf_add(&messages, "", 1), ERR_OK);
        by_rule(&rule, messages.p, &text);
        assert_int_equal(routing_text_of_prompt_by(&rule, buf_str(&prompt), &alone),
                         ERR_OK);
        assert_true(str_eq(buf_str(&text), buf_str(&alone)));
        buf_release(&prompt);
        buf_release(&messages);
        buf_release(&text);
        buf_release(&alone);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompt_and_request_agree_at_every_length),
        cmocka_unit_test(a_long_prompt_keeps_both_ends),
        cmocka_unit_test(many_long_parts_are_clipped_like_one),
        cmocka_unit_test(shares_say_what_of_a_conversation_is_read),
        cmocka_unit_test(no_text_is_longer_than_its_rule),
        cmocka_unit_test(a_version_is_read_back_as_the_same_rule),
        cmocka_unit_test(what_is_no_rule_is_refused),
        cmocka_unit_test(a_prompt_alone_is_cut_as_in_a_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
