/* A grader of the operator's own: answers, and every way in which it may fail. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/ctl/child.h"

#define LIMIT_MS 20000

static char note[CHILD_NOTE_BYTES];

static enum child_answer ask(struct child *child, const char *id, double *ret_quality)
{
    struct child_question question = { .id = id,
                                       .prompt = "2 + 2?",
                                       .messages = "[{\"role\":\n\"user\"}]",
                                       .answer = "four\nor \"4\"" };

    return child_ask(child, &question, ret_quality, note);
}

static void the_same_program_answers_line_by_line(void **state)
{
    struct child *child = child_new(
        "python3 -uc 'import json, os, sys\n"
        "for line in sys.stdin:\n"
        "  q = json.loads(line)\n"
        "  assert q[\"answer\"] == \"four\\nor \\\"4\\\"\" and q[\"reference\"] is "
        "None\n"
        "  print(json.dumps({\"id\": q[\"id\"], \"quality\": "
        "len(q[\"id\"]) / 10, \"note\": str(os.getpid())}))'",
        LIMIT_MS);
    char first[CHILD_NOTE_BYTES];
    double quality = 0;

    (void)state;
    assert_int_equal(ask(child, "aaa", &quality), CHILD_OK);
    assert_true(quality == 0.3);
    memcpy(first, note, sizeof(first));
    assert_int_equal(ask(child, "aaaaa", &quality), CHILD_OK);
    assert_true(quality == 0.5);
    assert_string_equal(first, note);
    assert_int_equal(child_failures(child), 0);
    child_free(child);
}

static const struct {
    const char *command, *says;
} broken[] = {
    { "true", "it ended with exit code 0" },
    { "sh -c 'read line; exit 3'", "it ended with exit code 3" },
    { "sh -c 'read line; kill -SEGV $$'", "it was ended by signal 11" },
    { "/nowhere/grade 2>/dev/null", "it ended with exit code 127: there is no such" },
    { "sh -c 'read line; echo nonsense; cat'", "no JSON" },
    { "sh -c 'read line; echo \"{\\\"id\\\": \\\"b\\\", \\\"quality\\\": 1}\"; cat'",
      "another id" },
    { "sh -c 'read line; echo \"{\\\"id\\\": \\\"a\\\", \\\"quality\\\": 2}\"; cat'",
      "from 0 to 1" },
    { "sh -c 'read line; head -c 2000000 /dev/zero; cat'", "too long" },
};

static void a_failure_costs_one_answer_and_is_given_up_in_the_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct child *child = child_new(broken[i].command, LIMIT_MS);
        double quality = 7;
        for (size_t n = 0; n < CHILD_IN_ROW; n++) {
            assert_int_equal(ask(child, "a", &quality), CHILD_FAILED);
            if (strstr(note, broken[i].says) == NULL)
                fail_msg("%s: '%s'", broken[i].command, note);
        }
        assert_int_equal(ask(child, "a", &quality), CHILD_GIVEN_UP);
        assert_int_equal(child_failures(child), CHILD_IN_ROW);
        assert_true(quality == 7);
        child_free(child);
    }
}

static void a_late_answer_is_not_taken_for_the_next(void **state)
{
    struct child *child = child_new("sh -c 'read line; exec sleep 1000'", 50);
    double quality;

    (void)state;
    assert_int_equal(ask(child, "a", &quality), CHILD_FAILED);
    assert_non_null(strstr(note, "time limit"));
    child_free(child);
}

static void it_is_started_anew_after_a_crash(void **state)
{
    struct child *child = child_new(
        "sh -c 'read line; echo \"{\\\"id\\\": \\\"a\\\", \\\"quality\\\": null}\"'",
        LIMIT_MS);
    double quality = 0;

    (void)state;
    assert_int_equal(ask(child, "a", &quality), CHILD_OK);
    assert_true(isnan(quality));
    assert_int_equal(ask(child, "a", &quality), CHILD_FAILED);
    assert_int_equal(ask(child, "a", &quality), CHILD_OK);
    assert_int_equal(child_failures(child), 1);
    child_free(child);
}

/* More than two pipes hold: both sides must go on. */
static void a_long_answer_passes(void **state)
{
    struct child *child =
        child_new("python3 -uc 'import json, sys\n"
                  "for line in sys.stdin:\n"
                  "  q = json.loads(line)\n"
                  "  print(json.dumps({\"id\": q[\"id\"], \"quality\": "
                  "float(len(q[\"answer\"]) == 3000000), \"note\": \"x\" * 500000}))'",
                  LIMIT_MS);
    char *answer = malloc(3000001);
    struct child_question question = { .id = "a", .answer = answer };
    double quality = 0;

    (void)state;
    assert_non_null(answer);
    memset(answer, 'y', 3000000);
    answer[3000000] = '\0';
    assert_int_equal(child_ask(child, &question, &quality, note), CHILD_OK);
    assert_true(quality == 1);
    free(answer);
    child_free(child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_program_answers_line_by_line),
        cmocka_unit_test(a_failure_costs_one_answer_and_is_given_up_in_the_end),
        cmocka_unit_test(a_late_answer_is_not_taken_for_the_next),
        cmocka_unit_test(it_is_started_anew_after_a_crash),
        cmocka_unit_test(a_long_answer_passes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
