/* test_api_error.c - every error of the table has a body that OpenAI's clients understand. */
#include "gateway/domain/api_error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "gateway/domain/reason.h"

static void every_error_has_the_shape_clients_expect(void **state)
{
    (void)state;
    for (int code = API_OK + 1; code < API_ERR_COUNT; code++) {
        struct api_error error = { .code = (enum api_err)code };
        int status = api_error_status((enum api_err)code);
        json_t *root, *inner;
        struct buf body;

        buf_init(&body, 4096);
        api_error_body(&error, &body);
        root = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
        inner = json_object_get(root, "error");
        assert_int_equal(json_object_size(inner), 4);
        assert_true(json_string_length(json_object_get(inner, "message")) > 0);
        assert_true(json_string_length(json_object_get(inner, "type")) > 0);
        assert_true(json_is_null(json_object_get(inner, "param")));
        assert_true(json_string_length(json_object_get(inner, "code")) > 0);
        assert_true(status >= 400 && status <= 599);
        assert_true(api_error_fault((enum api_err)code) != API_FAULT_NONE);
        json_decref(root);
        buf_release(&body);
    }
}

static void faults_fit_their_status(void **state)
{
    (void)state;
    for (int i = API_OK + 1; i < API_ERR_COUNT; i++) {
        enum api_fault fault = api_error_fault((enum api_err)i);

        assert_true((fault == API_FAULT_CALLER || fault == API_FAULT_POLICY) ==
                    (api_error_status((enum api_err)i) < 500));
    }
}

static void words_are_labels_and_differ(void **state)
{
    (void)state;
    for (int i = 0; i < API_ERR_COUNT; i++) {
        const char *word = api_error_word((enum api_err)i);

        assert_int_equal(strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_"),
                         strlen(word));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(word, api_error_word((enum api_err)k));
    }
    for (int i = 0; i < REASON_COUNT; i++)
        assert_true(strlen(reason_text((enum reason)i)) > 0);
}

static void a_spent_budget_is_not_retried(void **state)
{
    (void)state;
    assert_int_equal(api_error_status(API_BUDGET), 402);
    assert_string_equal(api_error_should_retry(API_BUDGET), "false");
    assert_string_equal(api_error_code(API_BUDGET), "budget_exceeded");
    assert_string_equal(api_error_source(API_BUDGET), "gateway");
    assert_string_equal(api_error_source(API_EXPERT_TIMEOUT), "expert");
}

static void the_first_error_wins(void **state)
{
    struct api_error error = { .code = API_OK };

    (void)state;
    assert_int_equal(
        api_error_set(&error, API_MISSING, "model", "'%s' is missing", "model"),
        API_MISSING);
    assert_int_equal(api_error_set(&error, API_INTERNAL, NULL, NULL), API_MISSING);
    assert_string_equal(error.message, "'model' is missing");
    assert_string_equal(error.param, "model");
    assert_int_equal(api_error_set(NULL, API_NOMEM, NULL, NULL), API_NOMEM);
}

static void what_a_stranger_wrote_is_escaped(void **state)
{
    struct api_error error = { .code = API_OK };
    struct buf out;
    json_t *root;

    (void)state;
    (void)api_error_set(&error, API_NO_MODEL, "model", "there is no '%s'", "\"}\n\xff");
    buf_init(&out, 4096);
    api_error_event(&error, &out);
    assert_true(str_starts(buf_str(&out), "data: {"));
    assert_true(str_is(str_skip(buf_str(&out), out.n - 2), "\n\n"));
    assert_null(memchr(out.p, '\n', out.n - 2));
    root = json_loadb(out.p + 6, out.n - 8, 0, NULL);
    assert_non_null(root);
    json_decref(root);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_the_shape_clients_expect),
        cmocka_unit_test(faults_fit_their_status),
        cmocka_unit_test(words_are_labels_and_differ),
        cmocka_unit_test(a_spent_budget_is_not_retried),
        cmocka_unit_test(the_first_error_wins),
        cmocka_unit_test(what_a_stranger_wrote_is_escaped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
