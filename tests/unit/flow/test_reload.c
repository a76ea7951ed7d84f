/* test_reload.c - a reload that is asked for: its way to main and back, its report as text. */
#include "gateway/flow/reload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "gateway/flow/worker.h"

static json_t *rendered(const struct reload_report *report)
{
    struct buf out;
    json_t *tree;

    buf_init(&out, 65536);
    reload_render(report, &out);
    assert_false(out.failed);
    tree = json_loadb(out.p, out.n, 0, NULL);
    buf_release(&out);
    assert_non_null(tree);
    return tree;
}

static const char *text_at(const json_t *tree, const char *a, const char *b)
{
    return json_string_value(json_object_get(json_object_get(tree, a), b));
}

static void a_success_names_both_versions_and_its_warnings(void **state)
{
    struct reload_report report = { .before = { 1, "aa", "" },
                                    .now = { 2, "bb", "cc" },
                                    .keys = 3 };
    json_t *tree, *warning;
    struct api_error error = { .code = API_OK };

    (void)state;
    reload_warn(&report, "listen", "'%s' stays", "listen");
    reload_warn(&report, NULL, "a \"quoted\" one");
    assert_int_equal(reload_error(&report, &error), API_OK);
    tree = rendered(&report);
    assert_string_equal(text_at(tree, "before", "config"), "aa");
    assert_null(text_at(tree, "before", "bundle"));
    assert_string_equal(text_at(tree, "now", "bundle"), "cc");
    assert_int_equal(json_integer_value(json_object_get(tree, "keys")), 3);
    warning = json_array_get(json_object_get(tree, "warnings"), 0);
    assert_string_equal(json_string_value(json_object_get(warning, "setting")), "listen");
    warning = json_array_get(json_object_get(tree, "warnings"), 1);
    assert_true(json_is_null(json_object_get(warning, "setting")));
    json_decref(tree);
}

static void a_refusal_names_the_place(void **state)
{
    struct reload_report report = {
        .failed = true,
        .before = { 7, "aa", "" },
        .error = { .text = "f.json:3:4: /listen: no",
                   .file = "f.json",
                   .pointer = "/listen",
                   .line = 3,
                   .column = 4 },
    };
    struct api_error error = { .code = API_OK };
    json_t *tree = rendered(&report);

    (void)state;
    assert_string_equal(text_at(tree, "error", "param"), "/listen");
    assert_string_equal(text_at(tree, "error", "file"), "f.json");
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(tree, "error"), "line")), 3);
    json_decref(tree);
    assert_int_equal(reload_error(&report, &error), API_RELOAD);
    assert_int_equal(api_error_status(error.code), 422);
    assert_string_equal(error.param, "/listen");
}

static void more_warnings_than_there_is_room_for_are_said_to_be_more(void **state)
{
    static struct reload_report report;

    (void)state;
    for (unsigned i = 0; i < RELOAD_WARNINGS_MAX + 5; i++)
        reload_warn(&report, "x", "%u", i);
    assert_int_equal(report.n_warnings, RELOAD_WARNINGS_MAX);
    assert_string_equal(report.warnings[RELOAD_WARNINGS_MAX - 2].text, "30");
    assert_non_null(strstr(report.warnings[RELOAD_WARNINGS_MAX - 1].text, "more"));
}

static void a_drain_is_told_as_503(void **state)
{
    struct reload_report report = { .draining = true };
    struct api_error error = { .code = API_OK };

    (void)state;
    assert_int_equal(reload_error(&report, &error), API_DRAINING);
}

static struct reload *taken;

static void take(void *context, struct reload *reload)
{
    assert_string_equal(context, "main");
    taken = reload;
}

static void woke(void *arg)
{
    *(bool *)arg = true;
}

static void the_answer_comes_by_mail(void **state)
{
    static struct service service;
    static char context[] = "main";
    struct reload reload = { .wake = woke };
    struct loop *loop = NULL;
    bool awake = false;

    (void)state;
    assert_int_equal(loop_new(&loop), LOOP_OK);
    reload.arg = &awake;
    assert_false(reload_start(&reload, &service, loop));
    service.reload = take;
    service.reload_context = context;
    assert_true(reload_start(&reload, &service, loop));
    assert_ptr_equal(taken, &reload);
    assert_true(reload.away);
    reload_done(taken);
    assert_false(awake);
    loop_turn(loop, 0);
    assert_true(awake);
    assert_false(reload.away);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_success_names_both_versions_and_its_warnings),
        cmocka_unit_test(a_refusal_names_the_place),
        cmocka_unit_test(more_warnings_than_there_is_room_for_are_said_to_be_more),
        cmocka_unit_test(a_drain_is_told_as_503),
        cmocka_unit_test(the_answer_comes_by_mail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
