/* The store: what was committed is there, what is unknown stays unknown. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "tools/ctl/calib.h"

static char path[] = "/tmp/frugal-store-XXXXXX";
static struct fault fault;

static int fresh(void **state)
{
    struct calib *store = NULL;

    memset(&fault, 0, sizeof(fault));
    (void)unlink(path);
    if (calib_open(path, CALIB_CREATE, &store, &fault) != FAULT_OK)
        return -1;
    *state = store;
    return 0;
}

static int closed(void **state)
{
    char side[64];

    calib_close(*state);
    (void)unlink(path);
    (void)snprintf(side, sizeof(side), "%s-wal", path);
    (void)unlink(side);
    (void)snprintf(side, sizeof(side), "%s-shm", path);
    (void)unlink(side);
    return 0;
}

static struct calib_prompt a_prompt(const char *id, const char *messages)
{
    return (struct calib_prompt){
        .id = id, .messages = messages, .text = "text", .text_version = "text@1"
    };
}

static int64_t put(struct calib *store, const struct calib_prompt *prompt)
{
    int64_t row = 0;

    assert_int_equal(calib_put_prompt(store, prompt, &row, &fault), FAULT_OK);
    return row;
}

struct seen {
    size_t count;
    struct calib_cell cell;
    char domain[16], text[32];
    float vector[4];
    size_t dim;
    int64_t known;
};

static enum fault_err see_cell(void *context, int64_t prompt, int64_t expert,
                               const struct calib_cell *cell, struct fault *why)
{
    struct seen *seen = context;

    (void)prompt;
    (void)expert;
    (void)why;
    seen->count++;
    seen->cell = *cell;
    return FAULT_OK;
}

static enum fault_err see_prompt(void *context, int64_t row,
                                 const struct calib_prompt *known, struct fault *why)
{
    struct seen *seen = context;

    (void)row;
    (void)why;
    seen->count++;
    (void)snprintf(seen->domain, sizeof(seen->domain), "%s",
                   known->domain != NULL ? known->domain : "-");
    return FAULT_OK;
}

static enum fault_err see_vector(void *context, int64_t prompt, const float *vector,
                                 size_t dim, struct fault *why)
{
    struct seen *seen = context;

    (void)prompt;
    (void)why;
    seen->count++;
    seen->dim = dim;
    memcpy(seen->vector, vector, dim * sizeof(float));
    return FAULT_OK;
}

static enum fault_err see_answer(void *context, int64_t prompt, int64_t expert,
                                 const struct calib_answer *answer, struct fault *why)
{
    struct seen *seen = context;

    (void)prompt;
    (void)expert;
    (void)why;
    seen->count++;
    (void)snprintf(seen->text, sizeof(seen->text), "%s", answer->text);
    seen->cell.cost_pico = answer->cost_pico;
    return FAULT_OK;
}

static enum fault_err see_expert(void *context, const struct calib_expert *known,
                                 struct fault *why)
{
    struct seen *seen = context;

    (void)why;
    seen->count++;
    seen->known = known->known;
    return FAULT_OK;
}

static void an_unknown_cell_is_never_zero(void **state)
{
    struct calib *store = *state;
    struct calib_prompt prompt = a_prompt("a", "[1]");
    struct calib_cell cell = { NAN, 3, NAN, NAN, MONEY_NONE, NULL };
    struct seen seen = { 0 };
    int64_t row = put(store, &prompt), expert = 0;

    assert_int_equal(calib_expert(store, "x", &expert, &fault), FAULT_OK);
    assert_int_equal(calib_put_cell(store, row, expert, &cell, &fault), FAULT_OK);
    assert_int_equal(calib_each_cell(store, see_cell, &seen, &fault), FAULT_OK);
    assert_int_equal(seen.count, 1);
    assert_true(isnan(seen.cell.quality) && isnan(seen.cell.latency_ms));
    assert_true(seen.cell.input_tokens == 3);
    assert_int_equal(seen.cell.cost_pico, MONEY_NONE);
    assert_int_equal(calib_each_expert(store, see_expert, &seen, &fault), FAULT_OK);
    assert_int_equal(seen.known, 0);
}

static void a_quality_outside_its_range_is_refused(void **state)
{
    struct calib *store = *state;
    struct calib_prompt prompt = a_prompt("a", "[1]");
    struct calib_cell cell = { 1.5, 3, 3, 3, 3, NULL };
    int64_t row = put(store, &prompt), expert = 0;

    assert_int_equal(calib_expert(store, "x", &expert, &fault), FAULT_OK);
    assert_int_equal(calib_put_cell(store, row, expert, &cell, &fault), FAULT_STORE);
}

static void a_known_id_with_another_text_is_refused(void **state)
{
    struct calib *store = *state;
    struct calib_prompt first = a_prompt("a", "[1]"), other = a_prompt("a", "[2]");
    struct seen seen = { 0 };
    int64_t row = put(store, &first), again = 0;

    assert_int_equal(calib_put_prompt(store, &other, &again, &fault), FAULT_INPUT);
    assert_non_null(strstr(fault.text, "'a'"));
    first.domain = "sums";
    assert_int_equal(put(store, &first), row);
    first.domain = NULL; /* does not take away what is known */
    assert_int_equal(put(store, &first), row);
    assert_int_equal(calib_each_prompt(store, NULL, 0, see_prompt, &seen, &fault),
                     FAULT_OK);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.domain, "sums");
}

static void vectors_of_another_routing_text_are_dropped(void **state)
{
    struct calib *store = *state;
    struct calib_prompt prompt = a_prompt("a", "[1]");
    const float vector[] = { 0.5f, -1.0f, 2.0f };
    struct seen seen = { 0 };
    int64_t row = put(store, &prompt);

    assert_int_equal(calib_put_vector(store, row, "e", "m", vector, 3, &fault), FAULT_OK);
    assert_int_equal(put(store, &prompt), row);
    assert_int_equal(calib_each_vector(store, "e", "m", see_vector, &seen, &fault),
                     FAULT_OK);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.dim, 3);
    assert_memory_equal(seen.vector, vector, sizeof(vector));
    prompt.text = "another text";
    assert_int_equal(put(store, &prompt), row);
    seen.count = 0;
    assert_int_equal(calib_each_vector(store, "e", "m", see_vector, &seen, &fault),
                     FAULT_OK);
    assert_int_equal(seen.count, 0);
}

static void answers_belong_to_one_model(void **state)
{
    struct calib *store = *state;
    struct calib_prompt prompt = a_prompt("a", "[1]");
    struct calib_answer answer = { .model = "m1", .text = "42", .cost_pico = 7 };
    struct seen seen = { 0 };
    int64_t row = put(store, &prompt), expert = 0;

    assert_int_equal(calib_expert(store, "x", &expert, &fault), FAULT_OK);
    assert_int_equal(calib_put_answer(store, row, expert, &answer, &fault), FAULT_OK);
    assert_int_equal(calib_each_answer(store, expert, "m2", see_answer, &seen, &fault),
                     FAULT_OK);
    assert_int_equal(seen.count, 0);
    assert_int_equal(calib_each_answer(store, expert, "m1", see_answer, &seen, &fault),
                     FAULT_OK);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.text, "42");
    assert_int_equal(seen.cell.cost_pico, 7);
}

static void what_is_not_committed_is_not_there(void **state)
{
    struct calib_prompt prompt = a_prompt("a", "[1]");
    struct seen seen = { 0 };

    assert_int_equal(calib_begin(*state, &fault), FAULT_OK);
    (void)put(*state, &prompt);
    calib_close(*state);
    *state = NULL;
    struct calib *store = NULL;
    assert_int_equal(calib_open(path, CALIB_EXISTING, &store, &fault), FAULT_OK);
    *state = store;
    assert_int_equal(calib_each_prompt(store, NULL, 0, see_prompt, &seen, &fault),
                     FAULT_OK);
    assert_int_equal(seen.count, 0);
}

static void foreign_and_newer_files_are_refused(void **state)
{
    struct calib *store = NULL;
    sqlite3 *db = NULL;

    calib_close(*state);
    *state = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(calib_open(path, CALIB_EXISTING, &store, &fault), FAULT_STORE);
    assert_non_null(strstr(fault.text, "version 99"));
    memset(&fault, 0, sizeof(fault));
    assert_int_equal(sqlite3_exec(db, "PRAGMA application_id = 5", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(calib_open(path, CALIB_CREATE, &store, &fault), FAULT_STORE);
    assert_non_null(strstr(fault.text, "not a calibration store"));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    (void)unlink(path);
    memset(&fault, 0, sizeof(fault));
    assert_int_equal(calib_open(path, CALIB_EXISTING, &store, &fault), FAULT_STORE);
    assert_non_null(strstr(fault.text, "there is no store"));
    assert_null(store);
}

static enum calib_state state_of(struct calib *store, const struct calib_ask *ask,
                                 int64_t *ret_bound)
{
    enum calib_state state = CALIB_OPEN;

    assert_int_equal(calib_asked(store, ask, &state, ret_bound, &fault), FAULT_OK);
    return state;
}

static enum fault_err count_asked(void *context, const struct calib_ask *ask,
                                  enum calib_state state, int64_t bound_pico,
                                  struct fault *why)
{
    size_t *count = context;

    (void)why;
    assert_string_equal(ask->what, "answer 1");
    assert_int_equal(state, CALIB_SENT);
    assert_int_equal(bound_pico, 70);
    (*count)++;
    return FAULT_OK;
}

static void a_question_is_open_sent_or_failed(void **state)
{
    struct calib *store = *state;
    struct calib_prompt prompt = a_prompt("q", "[]");
    struct calib_ask ask = { .prompt = put(store, &prompt),
                             .model = "m",
                             .what = "answer 0" };
    int64_t bound = -1;
    size_t count = 0;

    assert_int_equal(calib_expert(store, "e", &ask.expert, &fault), FAULT_OK);
    assert_int_equal(state_of(store, &ask, &bound), CALIB_OPEN);
    assert_int_equal(bound, 0);
    assert_int_equal(calib_put_sent(store, &ask, 70, &fault), FAULT_OK);
    assert_int_equal(state_of(store, &ask, &bound), CALIB_SENT);
    assert_int_equal(bound, 70);
    assert_int_equal(calib_put_failed(store, &ask, "status 400", &fault), FAULT_OK);
    assert_int_equal(state_of(store, &ask, &bound), CALIB_FAILED);
    assert_int_equal(bound, 0);
    assert_int_equal(calib_drop_asked(store, &ask, &fault), FAULT_OK);
    ask.what = "answer 1";
    assert_int_equal(calib_put_sent(store, &ask, 70, &fault), FAULT_OK);
    assert_int_equal(
        calib_each_asked(store, ask.expert, "m", count_asked, &count, &fault), FAULT_OK);
    assert_int_equal(count, 1);
    assert_int_equal(
        calib_each_asked(store, ask.expert, "n", count_asked, &count, &fault), FAULT_OK);
    assert_int_equal(count, 1);
}

static void a_verdict_is_found_by_all_that_was_shown(void **state)
{
    struct calib *store = *state;
    struct calib_prompt prompt = a_prompt("q", "[1]");
    int64_t row = put(store, &prompt), judge = 0, other = 0, own = 0;
    struct calib_verdict verdict = { .judge = "big",
                                     .model = "m",
                                     .shown = "aa",
                                     .prompt = row,
                                     .version = "judge@1",
                                     .quality = NAN,
                                     .text = "who knows",
                                     .input_tokens = 10,
                                     .output_tokens = 4,
                                     .cost_pico = 5 };
    double quality = 0;
    bool found = true;

    assert_int_equal(calib_expert(store, "big", &judge, &fault), FAULT_OK);
    assert_int_equal(calib_expert(store, "small", &other, &fault), FAULT_OK);
    verdict.first = other;
    assert_int_equal(calib_put_verdict(store, &verdict, &fault), FAULT_OK);
    verdict.shown = "bb";
    verdict.quality = 0.7;
    verdict.second = judge;
    assert_int_equal(calib_put_verdict(store, &verdict, &fault), FAULT_OK);
    assert_int_equal(
        calib_find_verdict(store, "big", "m", "aa", &found, &quality, &fault), FAULT_OK);
    assert_true(found && isnan(quality));
    assert_int_equal(
        calib_find_verdict(store, "big", "m", "bb", &found, &quality, &fault), FAULT_OK);
    assert_true(found && quality == 0.7);
    assert_int_equal(
        calib_find_verdict(store, "big", "newer", "bb", &found, &quality, &fault),
        FAULT_OK);
    assert_false(found);
    assert_int_equal(calib_own_verdicts(store, "big", &own, &fault), FAULT_OK);
    assert_int_equal(own, 1);
}

static enum fault_err take_said(void *context, const struct calib_label *label,
                                struct fault *unused)
{
    char *said = context;
    size_t n = strlen(said);

    (void)unused;
    said[n] = label->said;
    said[n + 1] = '\0';
    return FAULT_OK;
}

static void a_label_is_kept_changed_and_taken_back(void **state)
{
    struct calib *store = *state;
    struct calib_prompt prompt = a_prompt("q", "[1]");
    struct calib_label label = { .prompt = put(store, &prompt), .said = 'a' };
    char said[8] = "";

    assert_int_equal(calib_expert(store, "one", &label.first, &fault), FAULT_OK);
    assert_int_equal(calib_expert(store, "two", &label.second, &fault), FAULT_OK);
    assert_int_equal(calib_put_label(store, &label, &fault), FAULT_OK);
    label.said = 't';
    assert_int_equal(calib_put_label(store, &label, &fault), FAULT_OK);
    assert_int_equal(calib_each_label(store, take_said, said, &fault), FAULT_OK);
    assert_string_equal(said, "t");
    assert_int_equal(calib_drop_label(store, &label, &fault), FAULT_OK);
    said[0] = '\0';
    assert_int_equal(calib_each_label(store, take_said, said, &fault), FAULT_OK);
    assert_string_equal(said, "");
    label.said = 'x';
    assert_int_equal(calib_put_label(store, &label, &fault), FAULT_STORE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_unknown_cell_is_never_zero, fresh, closed),
        cmocka_unit_test_setup_teardown(a_quality_outside_its_range_is_refused, fresh,
                                        closed),
        cmocka_unit_test_setup_teardown(a_known_id_with_another_text_is_refused, fresh,
                                        closed),
        cmocka_unit_test_setup_teardown(vectors_of_another_routing_text_are_dropped,
                                        fresh, closed),
        cmocka_unit_test_setup_teardown(answers_belong_to_one_model, fresh, closed),
        cmocka_unit_test_setup_teardown(a_question_is_open_sent_or_failed, fresh, closed),
        cmocka_unit_test_setup_teardown(a_verdict_is_found_by_all_that_was_shown, fresh,
                                        closed),
        cmocka_unit_test_setup_teardown(a_label_is_kept_changed_and_taken_back, fresh,
                                        closed),
        cmocka_unit_test_setup_teardown(what_is_not_committed_is_not_there, fresh,
                                        closed),
        cmocka_unit_test_setup_teardown(foreign_and_newer_files_are_refused, fresh,
                                        closed),
    };
    int fd = mkstemp(path);

    if (fd < 0)
        return 1;
    (void)close(fd);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
