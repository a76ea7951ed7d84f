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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompt_and_request_agree_at_every_length),
        cmocka_unit_test(a_long_prompt_keeps_both_ends),
        cmocka_unit_test(many_long_parts_are_clipped_like_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
