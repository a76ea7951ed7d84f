/* test_templates.c - what prompts share is found, and what they only seem to share is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/ctl/memory.h"
#include "tools/ctl/question.h"
#include "tools/ctl/templates.h"

static const char *const words[] = { "red",  "apple", "seven",  "runs", "over",
                                     "hill", "Paris", "winter", "code", "loud" };

/* A question of its own for each number. */
static void put_question(char *text, size_t bytes, unsigned n)
{
    (void)snprintf(text, bytes, "%s %s %s %u?", words[n % 10], words[n / 10 % 10],
                   words[n / 3 % 10], n);
}

static void add(struct templates *templates, const char *system, const char *text)
{
    char *user = question_messages(str_of(text));
    char *all = system == NULL
                    ? memory_text(user)
                    : memory_format("[{\"role\":\"system\",\"content\":\"%s\"},%s",
                                    system, user + 1);

    templates_add(templates, all);
    free(all);
    free(user);
}

static struct routing_strip *strip_of(struct templates *templates, bool with_system)
{
    struct fault fault = { "" };
    struct routing_strip *strip = NULL;

    assert_int_equal(templates_strip(templates, with_system, &strip, &fault), FAULT_OK);
    templates_release(templates);
    return strip;
}

static void a_shared_beginning_is_found_up_to_the_question(void **state)
{
    static const char template[] = "You are a clerk. Answer in one word.\nQuestion: ";
    struct templates templates = { 0 };
    char question[128], text[256];

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        put_question(question, sizeof question, i);
        (void)snprintf(text, sizeof text, "%s%s", i % 2 == 0 ? template : "", question);
        add(&templates, NULL, text);
    }
    struct routing_strip *strip = strip_of(&templates, false);
    assert_non_null(strip);
    assert_int_equal(strip->turn.n, 1);
    assert_int_equal(strip->turn.at[0].n, strlen(template));
    assert_memory_equal(strip->turn.at[0].p, template, strlen(template));
    routing_strip_free(strip);
}

static void two_templates_that_begin_alike_are_two(void **state)
{
    static const char *const both[] = {
        "You are a translator. Translate into French, keep names: ",
        "You are a reviewer. Say whether this review is friendly: "
    };
    struct templates templates = { 0 };
    char question[128], text[256];

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        put_question(question, sizeof question, i);
        (void)snprintf(text, sizeof text, "%s%s", both[i % 2], question);
        add(&templates, NULL, text);
    }
    struct routing_strip *strip = strip_of(&templates, false);
    assert_int_equal(strip->turn.n, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(strip->turn.at[i].n, strlen(both[0]));
    routing_strip_free(strip);
}

static void questions_without_a_template_have_none(void **state)
{
    struct templates templates = { 0 };
    char question[128], text[256];

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        put_question(question, sizeof question, i);
        (void)snprintf(text, sizeof text, "What is the %s", question);
        add(&templates, "Be kind to everybody who asks you something.", text);
    }
    assert_null(strip_of(&templates, false));
}

static void a_system_prompt_may_be_shared_as_a_whole(void **state)
{
    static const char system[] = "Be kind to everybody who asks you something.";
    struct templates templates = { 0 };
    char question[128];

    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        put_question(question, sizeof question, i);
        add(&templates, system, question);
    }
    struct routing_strip *strip = strip_of(&templates, true);
    assert_int_equal(strip->turn.n, 0);
    assert_int_equal(strip->system.n, 1);
    assert_int_equal(strip->system.at[0].n, strlen(system));
    routing_strip_free(strip);
}

static void few_prompts_share_by_chance(void **state)
{
    struct templates templates = { 0 };

    (void)state;
    for (unsigned i = 0; i < TEMPLATES_FEW - 1; i++) {
        char text[128];
        (void)snprintf(text, sizeof text,
                       "A long beginning that all of these have in common %u", i * 7919);
        add(&templates, NULL, text);
    }
    assert_null(strip_of(&templates, false));
}

/* Texts of thousands of equal bytes are no work of thousands of steps, and no recursion. */
static void long_texts_are_compared_to_their_limit(void **state)
{
    struct templates templates = { 0 };
    char text[3 * ROUTING_STRIP_LONG];

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        memset(text, 'x', sizeof text);
        (void)snprintf(text + sizeof text - 16, 16, "%u", i);
        add(&templates, NULL, text);
    }
    struct routing_strip *strip = strip_of(&templates, false);
    routing_strip_free(strip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shared_beginning_is_found_up_to_the_question),
        cmocka_unit_test(two_templates_that_begin_alike_are_two),
        cmocka_unit_test(questions_without_a_template_have_none),
        cmocka_unit_test(a_system_prompt_may_be_shared_as_a_whole),
        cmocka_unit_test(few_prompts_share_by_chance),
        cmocka_unit_test(long_texts_are_compared_to_their_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
