/* test_token_count.c - which prompts are asked about, with what words, and what is read. */
#include "gateway/domain/token_count.h"

#include "tests/unit/flow/request.h"

static const char *ask(const char *body, enum config_tokenizer_takes takes)
{
    static char text[4096];
    struct config_generator generator = { .model = "a \"model\"",
                                          .tokenizer_takes = takes };
    struct request request;
    struct buf out;
    bool asked;

    request_init(&request, body);
    buf_init(&out, sizeof text - 1);
    asked = token_question(&request.chat, &generator, &out);
    if (asked) {
        memcpy(text, out.p, out.n);
        text[out.n] = '\0';
    }
    buf_release(&out);
    request_release(&request);
    return asked ? text : NULL;
}

#define BODY(messages) "{\"model\":\"m\",\"messages\":" messages "}"

static void strings_go_as_they_are_escaped(void **state)
{
    (void)state;
    assert_string_equal(
        ask(BODY("[ {\"role\":\"system\",\"content\":\"a\\u00e9\\n\\\"b\\\"\"},"
                 "{\"content\":[{\"type\":\"text\",\"text\":\"x\"},"
                 "{\"text\":\"y\"}],\"name\":\"n\"} ]"),
            CONFIG_TAKES_CONTENT),
        "{\"content\":\"system\\na\\u00e9\\n\\\"b\\\"\\nx\\ny\\nn\\n\"}");
}

static void messages_go_as_they_are(void **state)
{
    (void)state;
    assert_string_equal(
        ask(BODY("[ {\"role\": \"user\",\"content\":\"x\"}]"), CONFIG_TAKES_MESSAGES),
        "{\"model\":\"a \\\"model\\\"\",\"messages\":[ {\"role\": "
        "\"user\",\"content\":\"x\"}]}");
}

static void every_content_of_a_message_counts(void **state)
{
    (void)state;
    assert_string_equal(
        ask(BODY("[{\"content\":\"x\",\"content\":\"y\"}]"), CONFIG_TAKES_CONTENT),
        "{\"content\":\"x\\ny\\n\"}");
}

static void what_a_template_prints_in_its_own_way_is_not_asked_about(void **state)
{
    static const char *const bodies[] = {
        BODY("[{\"role\":\"user\",\"content\":\"x\",\"tool_calls\":[]}]"),
        BODY("[{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"x\"}]"),
        BODY("[{\"role\":\"user\",\"content\":null}]"),
        BODY(
            "[{\"role\":\"user\",\"content\":[{\"type\":\"thinking\",\"text\":\"x\"}]}]"),
        BODY("[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]"),
        BODY("[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},"
             "{\"type\":\"image_url\",\"image_url\":{\"url\":\"u\"}}]}]"),
        BODY("[{\"role\":\"user\",\"content\":\"x\",\"reasoning_content\":\"y\"}]"),
        BODY("[{\"role\":7,\"content\":\"x\"}]"),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        assert_null(ask(bodies[i], CONFIG_TAKES_CONTENT));
        assert_null(ask(bodies[i], CONFIG_TAKES_MESSAGES));
    }
}

static void long_prompts_are_not_asked_about(void **state)
{
    struct config_generator generator = { .model = "m" };
    struct request request;
    struct buf out;

    (void)state;
    request_init(&request, BODY("[{\"role\":\"user\",\"content\":\"x\"}]"));
    buf_init(&out, 1000);
    request.chat.message_bytes = TOKEN_QUESTION_BYTES + 1;
    assert_false(token_question(&request.chat, &generator, &out));
    request.chat.message_bytes = TOKEN_QUESTION_BYTES;
    assert_true(token_question(&request.chat, &generator, &out));
    buf_release(&out);
    buf_init(&out, 10); /* no room */
    assert_false(token_question(&request.chat, &generator, &out));
    buf_release(&out);
    request_release(&request);
}

static void answers_of_both_kinds_are_read(void **state)
{
    (void)state;
    assert_true(token_answer(STR("{\"tokens\":[1, 22,333]}")) == 3);
    assert_true(token_answer(STR("{\"tokens\":[]}")) == 0);
    assert_true(token_answer(STR("{\"tokens\":[{\"id\":1,\"piece\":\"[,]\"}]}")) == 1);
    assert_true(token_answer(STR("{\"count\":12}")) == 12);
    assert_true(token_answer(STR("{\"count\":1,\"tokens\":[1,2]}")) == 2);
    assert_true(token_answer(STR("{\"count\":12,\"tokens\":[1,2]}")) == 12);
    assert_true(token_answer(STR("{\"count\":12,\"tokens\":null}")) == 12);
}

static void other_answers_say_nothing(void **state)
{
    static const char *const answers[] = {
        "",
        "[1,2,3]",
        "{}",
        "7",
        "{\"count\":-1}",
        "{\"count\":1.5}",
        "{\"tok",
        "{\"count\":\"7\"}",
        "{\"tokens\":7}",
        "{\"count\":1}x",
        "{\"count\":99999999999999999999}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++)
        assert_true(token_answer(str_of(answers[i])) == -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_go_as_they_are_escaped),
        cmocka_unit_test(messages_go_as_they_are),
        cmocka_unit_test(every_content_of_a_message_counts),
        cmocka_unit_test(what_a_template_prints_in_its_own_way_is_not_asked_about),
        cmocka_unit_test(long_prompts_are_not_asked_about),
        cmocka_unit_test(answers_of_both_kinds_are_read),
        cmocka_unit_test(other_answers_say_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
