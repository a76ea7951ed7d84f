/* test_conversation.c - requests of one conversation are known by their beginning, whatever
 * else in them changes from turn to turn. */
#include "gateway/domain/conversation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/buf.h"

static struct conversation of_messages(const char *messages, const char *id)
{
    struct api_error error = { .code = API_OK };
    struct conversation conversation;
    struct chat_request chat;
    struct arena arena;
    struct scan scan;
    struct buf body;

    buf_init(&body, 4 << 20);
    buf_put(&body, "{\"model\":\"auto\",\"messages\":[");
    buf_put(&body, messages);
    buf_put(&body, "]}");
    assert_false(body.failed);
    arena_init(&arena, 1 << 20);
    scan_init(&scan, 64);
    assert_int_equal(scan_feed(&scan, body.p, body.n), SCAN_OK);
    assert_int_equal(scan_end(&scan), SCAN_OK);
    assert_int_equal(chat_parse(&chat, &scan, buf_str(&body), &arena, &error), API_OK);
    conversation_of(&chat, str_of(id), &conversation);
    arena_release(&arena);
    buf_release(&body);
    return conversation;
}

static bool same(struct conversation a, struct conversation b)
{
    return a.kind == b.kind && a.hash[0] == b.hash[0] && a.hash[1] == b.hash[1];
}

#define SYSTEM    "{\"role\":\"system\",\"content\":\"be brief\"},"
#define QUESTION  "{\"role\":\"user\",\"content\":\"how far is the moon?\"}"
#define ANSWER    ",{\"role\":\"assistant\",\"content\":\"far\"}"
#define CALLS     ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[]}"
#define RESULT    ",{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"384400\"}"
#define FOLLOW_UP ",{\"role\":\"user\",\"content\":\"and in miles?\"}"

static void
later_turns_belong_to_the_conversation_that_their_beginning_began(void **state)
{
    struct conversation first = of_messages(SYSTEM QUESTION, NULL);
    struct conversation later = of_messages(SYSTEM QUESTION ANSWER FOLLOW_UP, NULL);

    (void)state;
    assert_int_equal(first.kind, CONVERSATION_FIRST_TURNS);
    assert_false(first.begun);
    assert_true(later.begun);
    assert_false(later.tool_loop);
    assert_int_equal(later.messages, 4);
    assert_true(same(first, later));
}

static void
another_question_or_another_system_prompt_is_another_conversation(void **state)
{
    struct conversation one = of_messages(SYSTEM QUESTION, NULL);

    (void)state;
    assert_false(same(one, of_messages(QUESTION, NULL)));
    assert_false(same(one, of_messages(SYSTEM "{\"role\":\"user\",\"content\":\"how "
                                              "far is the sun?\"}",
                                       NULL)));
    assert_false(
        same(one, of_messages("{\"role\":\"user\",\"content\":\"be brief\"}", NULL)));
}

/* Where one text ends and the next begins counts. */
static void texts_do_not_flow_into_each_other(void **state)
{
    (void)state;
    assert_false(same(of_messages("{\"role\":\"system\",\"content\":\"ab\"},"
                                  "{\"role\":\"user\",\"content\":\"c\"}",
                                  NULL),
                      of_messages("{\"role\":\"system\",\"content\":\"a\"},"
                                  "{\"role\":\"user\",\"content\":\"bc\"}",
                                  NULL)));
}

static void a_wandering_mark_of_a_cache_changes_nothing(void **state)
{
    struct conversation plain = of_messages(SYSTEM QUESTION, NULL);
    struct conversation marked = of_messages(
        SYSTEM
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"how far is "
        "the moon?\",\"cache_control\":{\"type\":\"ephemeral\"}}]}" ANSWER FOLLOW_UP,
        NULL);

    (void)state;
    assert_true(same(plain, marked));
}

static void pictures_tell_conversations_apart(void **state)
{
    static const char *const urls[] = { "http://a/1.png", "http://a/2.png" };
    struct conversation seen[2];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char text[256];

        (void)snprintf(
            text, sizeof text,
            "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"what "
            "is this?\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"%s\"}}]}",
            urls[i]);
        seen[i] = of_messages(text, NULL);
    }
    assert_false(same(seen[0], seen[1]));
}

static void a_tool_loop_ends_with_the_next_answer(void **state)
{
    (void)state;
    assert_true(of_messages(QUESTION CALLS RESULT, NULL).tool_loop);
    assert_true(of_messages(QUESTION CALLS RESULT RESULT, NULL).tool_loop);
    /* Some agents put reminders behind the results. */
    assert_true(of_messages(QUESTION CALLS RESULT FOLLOW_UP, NULL).tool_loop);
    assert_false(of_messages(QUESTION CALLS RESULT ANSWER FOLLOW_UP, NULL).tool_loop);
    assert_false(of_messages(QUESTION ANSWER FOLLOW_UP, NULL).tool_loop);
    assert_false(of_messages(QUESTION, NULL).tool_loop);
}

static void a_long_conversation_is_still_known_by_its_beginning(void **state)
{
    struct conversation first = of_messages(SYSTEM QUESTION, NULL);
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 20);
    buf_put(&text, SYSTEM QUESTION);
    for (int i = 0; i < 100; i++)
        buf_put(&text, CALLS RESULT);
    buf_put(&text, "");
    assert_int_equal(buf_add(&text, "", 1), ERR_OK);
    assert_true(same(first, of_messages(text.p, NULL)));
    assert_true(of_messages(text.p, NULL).tool_loop);
    buf_release(&text);
}

static void a_name_of_the_client_counts_before_any_hash(void **state)
{
    struct conversation named = of_messages(SYSTEM QUESTION, "thread-7");

    (void)state;
    assert_int_equal(named.kind, CONVERSATION_HEADER);
    assert_true(same(named, of_messages(QUESTION ANSWER FOLLOW_UP, "thread-7")));
    assert_false(same(named, of_messages(SYSTEM QUESTION, "thread-8")));
}

static void without_a_user_turn_there_is_no_conversation(void **state)
{
    (void)state;
    assert_int_equal(of_messages("{\"role\":\"system\",\"content\":\"x\"}", NULL).kind,
                     CONVERSATION_NONE);
    assert_int_equal(of_messages("{\"content\":1},{\"role\":7}", NULL).kind,
                     CONVERSATION_NONE);
}

static void of_a_huge_picture_only_the_beginning_counts(void **state)
{
    struct conversation seen[2];
    struct buf text;

    (void)state;
    for (int i = 0; i < 2; i++) {
        buf_init(&text, 4 << 20);
        buf_put(&text, "{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
                       "\"image_url\":{\"url\":\"data:");
        for (int n = 0; n < 1 << 20; n++)
            assert_int_equal(buf_add(&text, "A", 1), ERR_OK);
        buf_put(&text, "\"}}]}");
        if (i == 1)
            buf_put(&text, ANSWER FOLLOW_UP);
        assert_int_equal(buf_add(&text, "", 1), ERR_OK);
        seen[i] = of_messages(text.p, NULL);
        buf_release(&text);
    }
    assert_int_equal(seen[0].kind, CONVERSATION_FIRST_TURNS);
    assert_true(same(seen[0], seen[1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            later_turns_belong_to_the_conversation_that_their_beginning_began),
        cmocka_unit_test(
            another_question_or_another_system_prompt_is_another_conversation),
        cmocka_unit_test(texts_do_not_flow_into_each_other),
        cmocka_unit_test(a_wandering_mark_of_a_cache_changes_nothing),
        cmocka_unit_test(pictures_tell_conversations_apart),
        cmocka_unit_test(a_tool_loop_ends_with_the_next_answer),
        cmocka_unit_test(a_long_conversation_is_still_known_by_its_beginning),
        cmocka_unit_test(a_name_of_the_client_counts_before_any_hash),
        cmocka_unit_test(without_a_user_turn_there_is_no_conversation),
        cmocka_unit_test(of_a_huge_picture_only_the_beginning_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
