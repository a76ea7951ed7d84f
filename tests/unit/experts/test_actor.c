/* Scripted experts of known skill and judges with known faults. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/experts/actor.h"
#include "tools/experts/question.h"

#define N    1000
#define MARK "0123456789abcdef"

static void say(const char *model, const char *prompt, struct reply *reply)
{
    struct script script;
    char error[200];

    script_init(&script);
    assert_null(script_parse(model, &script, error, sizeof(error)));
    actor_say(&script, model, str_of(prompt), reply);
}

static bool right(const struct question *question, const char *answer)
{
    if (strcmp(question->grade, "exact") == 0)
        return strcmp(question->reference, answer) == 0;
    return fabs(strtod(answer, NULL) - strtod(question->reference, NULL)) < 0.0051;
}

/* Within three standard errors of what the script says, questions that nobody grasps aside. */
static void an_expert_has_the_skill_that_it_is_said_to_have(void **state)
{
    const int skills[] = { 0, 50, 90, 100 };

    (void)state;
    for (size_t k = 0; k < sizeof(skills) / sizeof(skills[0]); k++) {
        char model[64];
        double p = skills[k] / 100.0, good = 0;
        (void)snprintf(model, sizeof(model), "script:skill=%d", skills[k]);
        for (uint64_t i = 0; i < N; i++) {
            struct question question;
            struct reply reply;
            question_make(7, i, 0, &question);
            say(model, question.prompt, &reply);
            good += right(&question, reply.text);
        }
        assert_true(fabs(good / N - p) < 3 * sqrt(p * (1 - p) / N) + 0.03);
    }
}

static void write_prompt(char *out, size_t bytes, const char *reference, const char *a,
                         const char *b)
{
    (void)snprintf(out, bytes,
                   "<<<QUESTION " MARK ">>>\nWhat is 3 plus 4?\n%s%s%s<<<ANSWER%s " MARK
                   ">>>\n%s\n%s%s%s<<<END " MARK ">>>\nJudge.",
                   reference != NULL ? "<<<REFERENCE " MARK ">>>\n" : "",
                   reference != NULL ? reference : "", reference != NULL ? "\n" : "",
                   b != NULL ? " A" : "", a, b != NULL ? "<<<ANSWER B " MARK ">>>\n" : "",
                   b != NULL ? b : "", b != NULL ? "\n" : "");
}

static const struct {
    const char *reference, *a, *b, *says;
} cases[] = {
    { NULL, "It is 7.", NULL, "SCORE: 10" },
    { NULL, "It is 8.", NULL, "SCORE: 1" },
    { "Paris", "It is Paris", NULL, "SCORE: 10" },
    { NULL, "It is 7", "It is 8", "VERDICT: A" },
    { NULL, "It is 8", "It is 7", "VERDICT: B" },
    { NULL, "7", "That is 7", "VERDICT: TIE" },
    { NULL, "1", "2", "VERDICT: TIE" },
};

static void a_judge_knows_what_is_right(void **state)
{
    char prompt[2048];
    struct reply reply;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_prompt(prompt, sizeof(prompt), cases[i].reference, cases[i].a, cases[i].b);
        say("script:judge=1", prompt, &reply);
        if (strstr(reply.text, cases[i].says) == NULL)
            fail_msg("%s / %s: %s", cases[i].a, cases[i].b != NULL ? cases[i].b : "-",
                     reply.text);
    }
}

static void faults_come_as_often_as_they_are_said_to(void **state)
{
    char prompt[2048], swapped[2048], a[32], b[32];
    struct reply one, other;
    int wrong = 0, first = 0, prose = 0;

    (void)state;
    for (int i = 0; i < N; i++) {
        (void)snprintf(a, sizeof(a), "%d and 7", i);
        (void)snprintf(b, sizeof(b), "%d and 8", i);
        write_prompt(prompt, sizeof(prompt), NULL, a, b);
        write_prompt(swapped, sizeof(swapped), NULL, b, a);
        say("script:judge=1,judge_errors=20", prompt, &one);
        wrong += strstr(one.text, "VERDICT: B") != NULL;
        say("script:judge=1,judge_first=30", prompt, &one);
        say("script:judge=1,judge_first=30", swapped, &other);
        first += strstr(one.text, "VERDICT: A") != NULL &&
                 strstr(other.text, "VERDICT: A") != NULL;
        say("script:judge=1,judge_prose=10", prompt, &one);
        prose += strstr(one.text, "VERDICT") == NULL;
    }
    assert_in_range(wrong, 160, 240);
    assert_in_range(first, 255, 345);
    assert_in_range(prose, 70, 130);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_expert_has_the_skill_that_it_is_said_to_have),
        cmocka_unit_test(a_judge_knows_what_is_right),
        cmocka_unit_test(faults_come_as_often_as_they_are_said_to),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
