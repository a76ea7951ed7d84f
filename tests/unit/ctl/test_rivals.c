/* test_rivals.c - the runner-up, the margin, and the lambda that flips a choice. */
#include "tools/ctl/rivals.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static json_t *record(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, 0, &error);

    if (json == NULL)
        fail_msg("%s", error.text);
    return json;
}

#define RANKED(name, quality, se, usd, utility)                                          \
    "{\"expert\":\"" name "\",\"quality\":" quality ",\"quality_se\":" se                \
    ",\"expected_usd\":" usd ",\"utility\":" utility ",\"affordable\":true}"

static void the_runner_up_stands_so_many_standard_errors_behind(void **state)
{
    struct rivals rivals;
    json_t *json = record("{\"lambda\":10,\"expert\":\"mid\",\"ranking\":[" RANKED(
        "mid", "0.8", "0.03", "0.01",
        "0.7") "," RANKED("low", "0.5", "0.01", "0.001",
                          "0.49") "," RANKED("top", "0.95", "0.04", "0.03", "0.65") "]}");

    (void)state;
    rivals_of(json, &rivals);
    assert_string_equal(rivals.all[rivals.chosen].expert, "mid");
    assert_string_equal(rivals.all[rivals.runner_up].expert, "top");
    assert_true(fabs(rivals.margin - 0.05) < 1e-12);
    assert_true(fabs(rivals.margin_se - 0.05) < 1e-12);
    json_decref(json);
}

static void lambda_flips_to_the_dearer_below_and_to_the_cheaper_above(void **state)
{
    struct rivals rivals;
    json_t *json = record("{\"lambda\":10,\"expert\":\"mid\",\"ranking\":[" RANKED(
        "mid", "0.8", "0.03", "0.01",
        "0.7") "," RANKED("low", "0.5", "0.01", "0.001",
                          "0.49") "," RANKED("top", "0.95", "0.04", "0.03", "0.65") "]}");

    (void)state;
    rivals_of(json, &rivals);
    /* 0.8 - 0.01 l = 0.95 - 0.03 l, and 0.8 - 0.01 l = 0.5 - 0.001 l */
    assert_true(fabs(rivals.below - 7.5) < 1e-9);
    assert_string_equal(rivals.all[rivals.if_below].expert, "top");
    assert_true(fabs(rivals.above - 0.3 / 0.009) < 1e-9);
    assert_string_equal(rivals.all[rivals.if_above].expert, "low");
    json_decref(json);
}

static void who_is_dominated_flips_at_no_lambda(void **state)
{
    struct rivals rivals;
    json_t *json = record("{\"lambda\":10,\"expert\":\"good\",\"ranking\":[" RANKED(
        "good", "0.9", "0.03", "0.001",
        "0.89") "," RANKED("bad", "0.5", "0.01", "0.002",
                           "0.48") "," RANKED("same", "0.4", "0.01", "0.001",
                                              "0.39") "]}");

    (void)state;
    rivals_of(json, &rivals);
    assert_true(isnan(rivals.below) && isnan(rivals.above));
    assert_string_equal(rivals.all[rivals.runner_up].expert, "bad");
    json_decref(json);
}

static void who_could_not_be_paid_is_no_runner_up_and_no_flip(void **state)
{
    struct rivals rivals;
    json_t *json = record("{\"lambda\":10,\"expert\":\"mid\",\"ranking\":[" RANKED(
        "mid", "0.8", "0.03", "0.01",
        "0.7") ","
               "{\"expert\":\"top\",\"quality\":0.99,\"quality_se\":0.01,\"expected_"
               "usd\":0.02,"
               "\"utility\":0.79,\"affordable\":false},"
               "{\"expert\":\"poor\",\"quality\":0.1,\"quality_se\":0.01,\"expected_"
               "usd\":0.0001,"
               "\"utility\":0.099,\"affordable\":true,\"good_enough\":false}]}");

    (void)state;
    rivals_of(json, &rivals);
    assert_string_equal(rivals.all[rivals.runner_up].expert, "poor");
    assert_true(isnan(rivals.below) && isnan(rivals.above));
    json_decref(json);
}

static void without_predictions_there_are_no_rivals(void **state)
{
    static const char *const texts[] = {
        "{}",
        "{\"lambda\":null,\"expert\":null,\"ranking\":[]}",
        "{\"lambda\":1,\"expert\":\"a\",\"ranking\":[{\"expert\":\"a\",\"quality\":null,"
        "\"expected_usd\":1,\"utility\":null}]}",
        "{\"lambda\":1,\"expert\":\"gone\",\"ranking\":[" RANKED("a", "0.9", "0.03",
                                                                 "0.001", "0.89") "]}",
    };
    struct rivals rivals;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_t *json = record(texts[i]);

        rivals_of(json, &rivals);
        assert_int_equal(rivals.chosen, -1);
        assert_int_equal(rivals.runner_up, -1);
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_runner_up_stands_so_many_standard_errors_behind),
        cmocka_unit_test(lambda_flips_to_the_dearer_below_and_to_the_cheaper_above),
        cmocka_unit_test(who_is_dominated_flips_at_no_lambda),
        cmocka_unit_test(who_could_not_be_paid_is_no_runner_up_and_no_flip),
        cmocka_unit_test(without_predictions_there_are_no_rivals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
