/* What an expert said: the first choice's words, or why there are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/ctl/reply.h"

static void a_reply_has_words_usage_and_a_reason(void **state)
{
    struct reply reply;

    (void)state;
    assert_true(
        reply_read(STR("{\"choices\":[{\"message\":{\"content\":\"a\\u0000b\\n\"},"
                       "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,"
                       "\"completion_tokens\":2}}"),
                   100, &reply));
    assert_string_equal(reply.text, "a b\n");
    assert_string_equal(reply.finish_reason, "stop");
    assert_true(reply.usage.usage.known);
    assert_int_equal(reply.usage.usage.output_tokens, 2);
    reply_release(&reply);
}

static void a_refusal_is_what_was_said(void **state)
{
    struct reply reply;

    (void)state;
    assert_true(reply_read(STR("{\"choices\":[{\"message\":{\"content\":null,\"refusal\":"
                               "\"I will not.\"}}]}"),
                           100, &reply));
    assert_string_equal(reply.text, "I will not.");
    assert_null(reply.finish_reason);
    reply_release(&reply);
}

static void nothing_said_is_an_empty_text(void **state)
{
    struct reply reply;

    (void)state;
    assert_true(reply_read(STR("{\"choices\":[{\"message\":{\"tool_calls\":[]}}]}"), 100,
                           &reply));
    assert_string_equal(reply.text, "");
    reply_release(&reply);
}

static void what_is_no_completion_is_none(void **state)
{
    struct reply reply;

    (void)state;
    assert_false(reply_read(STR("{\"choices\":[]}"), 100, &reply));
    assert_false(reply_read(STR("hello"), 100, &reply));
    assert_false(reply_read(STR(""), 100, &reply));
    assert_false(reply_read(STR("{\"choices\":[{\"message\":{\"content\":\"\xff\"}}]}"),
                            100, &reply));
}

static void an_error_is_told_in_one_line(void **state)
{
    char text[40];

    (void)state;
    reply_refusal(STR("{\"error\":{\"message\":\"too\\nlong\"}}"), 400, text,
                  sizeof(text));
    assert_string_equal(text, "status 400: too long");
    reply_refusal(STR("<html>"), 502, text, sizeof(text));
    assert_string_equal(text, "status 502");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_has_words_usage_and_a_reason),
        cmocka_unit_test(a_refusal_is_what_was_said),
        cmocka_unit_test(nothing_said_is_an_empty_text),
        cmocka_unit_test(what_is_no_completion_is_none),
        cmocka_unit_test(an_error_is_told_in_one_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
