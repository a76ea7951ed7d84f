/* test_alike.c - what says nearly the same is found without comparing all with all, and what only
 * begins alike is not. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/ctl/alike.h"
#include "tools/ctl/dice.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/question.h"

static void add(struct haul *haul, const char *id, const char *text)
{
    struct fault fault = { "" };
    char *messages = question_messages(str_of(text));
    const struct brought_answer answer = {
        .expert = "e", .text = text, .quality = NAN, .cost_pico = MONEY_NONE
    };
    const struct brought brought = {
        .id = id, .messages = messages, .answers = &answer, .n_answers = 1
    };

    assert_int_equal(haul_add(haul, &brought, haul->n + 1, &fault), FAULT_OK);
    free(messages);
}

static void drop(struct haul *haul, double similarity)
{
    struct fault fault = { "" };
    struct plain plain = { .n = 0 };

    assert_int_equal(plain_cut(haul, &plain, &fault), FAULT_OK);
    alike_drop(haul, &plain, similarity);
    plain_release(&plain);
}

static void one_other_number_makes_a_short_question_another_one(void **state)
{
    struct haul haul;

    (void)state;
    haul_init(&haul);
    add(&haul, "a", "What is 17 times 23?");
    add(&haul, "b", "What is 17 times 24?");
    add(&haul, "c", "WHAT is 17, times 23 ?");
    add(&haul, "d", "?!");
    add(&haul, "e", "!?");
    drop(&haul, 0.85);
    assert_int_equal(haul_count(&haul, HAUL_KEPT), 4);
    assert_int_equal(haul.prompts[2].fate, HAUL_ALIKE);
    assert_int_equal(haul.prompts[2].like, 0);
    assert_true(haul.prompts[2].similarity == 1);
    haul_release(&haul);
}

static void answers_to_the_very_same_messages_go_over(void **state)
{
    struct haul haul;

    (void)state;
    haul_init(&haul);
    add(&haul, "a", "Name a fish.");
    add(&haul, "b", "Name a fish.");
    add(&haul, "c", "name a fish");
    drop(&haul, 0.85);
    assert_int_equal(haul_count(&haul, HAUL_KEPT), 1);
    assert_int_equal(haul.prompts[0].n_answers, 2);
    assert_int_equal(haul.prompts[2].n_answers, 1);
    haul_release(&haul);
}

static void a_shared_template_makes_nobody_alike(void **state)
{
    struct haul haul;

    (void)state;
    haul_init(&haul);
    for (unsigned i = 0; i < 40; i++) {
        char id[16], text[1024];
        (void)snprintf(id, sizeof id, "%u", i);
        (void)snprintf(
            text, sizeof text,
            "You are the clerk of a shop. Answer in one sentence, be kind, do not "
            "promise what you cannot hold, and never tell prices of tomorrow or of "
            "another shop. Question: %u apples and %u pears?",
            i * 7, i * 13);
        add(&haul, id, text);
    }
    drop(&haul, 0.85);
    assert_int_equal(haul_count(&haul, HAUL_KEPT), 40);
    haul_release(&haul);
}

/* A text of n words, of which every `other`th is one that only text i has. */
static char *text_of(unsigned seed, unsigned i, unsigned n, unsigned other)
{
    size_t room = n * 12 + 1, at = 0;
    char *text = memory_new(room, 1);
    struct dice dice = dice_seeded(seed);

    for (unsigned w = 0; w < n; w++) {
        size_t word = dice_below(&dice, 5000);
        bool own = other > 0 && w % other == other - 1;
        int bytes = snprintf(text + at, room - at, "w%zu ",
                             own ? (size_t)10000 + i * 1000 + w : word);
        at += (size_t)bytes;
    }
    return text;
}

/* 300 texts, each with a copy that has a word in a hundred changed (three of a hundred runs, so
 * similarity 0.94) and one that has ten (0.54): the first is found, the second stays. */
static void copies_with_a_few_other_words_are_found_among_many(void **state)
{
    struct haul haul;

    (void)state;
    haul_init(&haul);
    for (unsigned i = 0; i < 300; i++) {
        static const unsigned others[] = { 0, 100, 10 };
        for (unsigned c = 0; c < 3; c++) {
            char id[16];
            char *text = text_of(i + 1, i, 200, others[c]);
            (void)snprintf(id, sizeof id, "%u-%u", i, c);
            add(&haul, id, text);
            free(text);
        }
    }
    drop(&haul, 0.85);
    for (size_t i = 0; i < 900; i++) {
        assert_int_equal(haul.prompts[i].fate, i % 3 == 1 ? HAUL_ALIKE : HAUL_KEPT);
        if (i % 3 == 1)
            assert_int_equal(haul.prompts[i].like, i - 1);
    }
    haul_release(&haul);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_other_number_makes_a_short_question_another_one),
        cmocka_unit_test(answers_to_the_very_same_messages_go_over),
        cmocka_unit_test(a_shared_template_makes_nobody_alike),
        cmocka_unit_test(copies_with_a_few_other_words_are_found_among_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
