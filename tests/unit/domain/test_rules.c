/* test_rules.c - rules narrow and pin, in their order; a text that is too hard for a regex
 * costs nobody any time. */
#include "gateway/domain/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "gateway/domain/pattern.h"

enum { A, B, C };

static struct config *config_of(const char *rules)
{
    struct config_error error = { .set = false };
    struct config *config = NULL;
    char line[1200];
    struct buf text;

    buf_init(&text, 65536);
    buf_put(&text, "{\"experts\":{");
    for (int i = 0; i < 3; i++)
        buf_putf(&text,
                 "%s\"%c\":{\"endpoints\":[\"http://127.0.0.1:1/v1\"],\"generator\":{"
                 "\"model\":\"m\",\"price\":{\"input\":1,\"output\":1}}}",
                 i > 0 ? "," : "", 'a' + i);
    buf_putf(&text, "},\"policies\":{\"auto\":{},\"other\":{}},\"rules\":%s}", rules);
    assert_false(text.failed);
    if (config_parse(buf_str(&text), "f.json", &config, &error) != ERR_OK)
        fail_msg("%s", config_error_text(&error, line, sizeof line));
    buf_release(&text);
    return config;
}

static struct rules_result look(const struct config *config, int policy, const char *tags,
                                const char *text)
{
    struct frugal_options options;
    struct rules_facts facts = { .policy = policy,
                                 .options = &options,
                                 .text = str_of(text) };
    struct rules_result result;

    frugal_options_init(&options);
    frugal_options_key_tags(&options, str_of(tags));
    rules_look(config, &facts, &result);
    return result;
}

#define BIT(i) (UINT64_C(1) << (i))
#define ALL    (BIT(A) | BIT(B) | BIT(C))

static void rules_narrow_one_after_another_and_the_last_pin_counts(void **state)
{
    struct config *config = config_of(
        "[{\"name\":\"one\",\"when\":{\"tag\":\"t=1\"},\"allow\":[\"a\",\"b\"]},"
        "{\"name\":\"two\",\"when\":{\"tag\":\"t\"},\"deny\":[\"a\"]},"
        "{\"name\":\"three\",\"when\":{\"regex\":\"x\"},\"pin\":\"a\"},"
        "{\"name\":\"four\",\"when\":{\"regex\":\"xy\",\"tag\":\"t\"},\"pin\":\"b\"}]");
    struct rules_result result = look(config, 0, "t=1", "xy");

    (void)state;
    assert_true((result.allowed & ALL) == BIT(B));
    assert_int_equal(result.pin, 3);
    assert_int_equal(result.matched, 15);
    result = look(config, 0, "t=2", "x");
    assert_true((result.allowed & ALL) == (BIT(B) | BIT(C)));
    assert_int_equal(result.pin, 2);
    result = look(config, 0, NULL, "nothing");
    assert_true(result.allowed == UINT64_MAX);
    assert_int_equal(result.pin, -1);
    assert_int_equal(result.matched, 0);
    config_unref(config);
}

static void a_rule_of_a_policy_binds_that_policy_alone(void **state)
{
    struct config *config =
        config_of("[{\"name\":\"one\",\"policies\":[\"other\"],\"when\":{\"regex\":\"x\"}"
                  ",\"deny\":["
                  "\"a\"]},"
                  "{\"name\":\"all\",\"when\":{\"regex\":\"x\"},\"deny\":[\"b\"]},"
                  "{\"name\":\"pin\",\"when\":{\"regex\":\"x\"},\"pin\":\"c\"}]");

    (void)state;
    assert_int_equal(look(config, 0, NULL, "x").matched, 6);
    assert_int_equal(look(config, 1, NULL, "x").matched, 7);
    /* Who names an expert is not pinned to another, and is denied it like everybody. */
    assert_int_equal(look(config, -1, NULL, "x").matched, 2);
    assert_true(rules_want_text(config, 0));
    config_unref(config);
}

static void a_domain_is_waited_for_and_an_earlier_pin_stays_earlier(void **state)
{
    struct config *config =
        config_of("[{\"name\":\"d\",\"when\":{\"domain\":\"sums\"},\"pin\":\"a\"},"
                  "{\"name\":\"t\",\"when\":{\"regex\":\"x\"},\"pin\":\"b\"},"
                  "{\"name\":\"both\",\"when\":{\"domain\":\"sums\",\"regex\":\"x\"},"
                  "\"deny\":[\"c\"]}"
                  "]");
    struct rules_result result = look(config, 0, NULL, "x"), unknown, other;

    (void)state;
    assert_int_equal(result.open, 5);
    assert_int_equal(result.matched, 2);
    unknown = other = result;
    rules_domain(config, "sums", &result);
    assert_int_equal(result.open, 0);
    assert_int_equal(result.matched, 7);
    assert_int_equal(result.pin, 1);
    assert_true((result.allowed & ALL) == (BIT(A) | BIT(B)));
    rules_domain(config, NULL, &unknown);
    rules_domain(config, "poems", &other);
    assert_int_equal(unknown.matched, 2);
    assert_int_equal(other.matched, 2);
    /* Nothing tells the domain of a request that names its expert. */
    assert_int_equal(look(config, -1, NULL, "x").open, 0);
    config_unref(config);
}

/* Whatever the rules, one more never lets anybody in who was kept away. */
static void more_rules_never_widen(void **state)
{
    static const char *const whens[] = { "{\"tag\":\"t\"}", "{\"tag\":\"t=1\"}",
                                         "{\"regex\":\"x\"}", "{\"regex\":\"^y\"}" };
    static const char *const dos[] = { "\"allow\":[\"a\"]", "\"allow\":[\"b\",\"c\"]",
                                       "\"deny\":[\"b\"]", "\"pin\":\"c\"" };
    uint32_t dice = 1;

    (void)state;
    for (int world = 0; world < 200; world++) {
        uint64_t before = UINT64_MAX;
        struct buf rules;

        buf_init(&rules, 65536);
        buf_put(&rules, "[");
        for (int n = 0; n < 6; n++) {
            struct config *config;
            struct rules_result result;
            char kept[4096];

            dice = dice * 1664525u + 1013904223u;
            buf_putf(&rules, "%s{\"name\":\"r%d\",\"when\":%s,%s}", n > 0 ? "," : "", n,
                     whens[dice >> 28 & 3], dos[dice >> 24 & 3]);
            (void)snprintf(kept, sizeof kept, STR_FMT "]", STR_ARG(buf_str(&rules)));
            config = config_of(kept);
            result = look(config, 0, "t=1", "y x");
            assert_true((result.allowed & ~before) == 0);
            before = result.allowed;
            config_unref(config);
        }
        buf_release(&rules);
    }
}

/* -- patterns ---------------------------------------------------------------------------- */

static enum pattern_found find(const char *regex, struct str text)
{
    struct pattern *pattern = NULL;
    enum pattern_found found;

    assert_int_equal(pattern_new(str_of(regex), &pattern, NULL), ERR_OK);
    found = pattern_find(pattern, text);
    pattern_free(pattern);
    return found;
}

static void a_pattern_reads_utf8(void **state)
{
    (void)state;
    assert_int_equal(find("^.{4}$", STR("gr\xc3\xbc\xc3\x9f")), PATTERN_FOUND);
    assert_int_equal(find("(?i)GR\xc3\x9c", STR("gr\xc3\xbc")), PATTERN_FOUND);
    assert_int_equal(find("\\bselect\\b", STR("selected")), PATTERN_ABSENT);
    assert_int_equal(find("x", (struct str){ NULL, 0 }), PATTERN_ABSENT);
    assert_int_equal(find("^$", (struct str){ NULL, 0 }), PATTERN_FOUND);
}

static void what_is_wrong_with_a_pattern_is_said_with_its_place(void **state)
{
    struct pattern_error error = { .offset = 0 };
    struct pattern *pattern = NULL;

    (void)state;
    assert_int_equal(pattern_new(STR("a(b"), &pattern, &error), ERR_INVALID);
    assert_null(pattern);
    assert_int_equal(error.offset, 3);
    assert_non_null(strstr(error.text, "parenthesis"));
}

static void a_text_that_is_too_hard_is_given_up(void **state)
{
    static char text[8400];

    (void)state;
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '!';
    assert_int_equal(find("(a+)+$", (struct str){ text, sizeof text }), PATTERN_TOO_HARD);
    /* What only needs room gets it. */
    text[sizeof text - 1] = 'a';
    assert_int_equal(find("^(a|b)+$", (struct str){ text, 4000 }), PATTERN_FOUND);
}

static double thread_ms(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* The limits are some 2 ms; a slow machine gets 50. */
static void no_pattern_takes_long_whatever_the_text(void **state)
{
    static const char *const regexes[] = { "(?:a|b|ab)*\\d", "(?=(a+))a*[0-9]",
                                           "(?=.*\\d)x",     ".*.*=.*",
                                           "(a+)+$",         "\\w+\\s",
                                           "a*a*\\d",        "(*NO_JIT)(?=.*\\d)x" };
    static const size_t sizes[] = { 8400, 32768 };
    static const char letters[] = "ax";
    static char text[32768];
    double worst = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(regexes) * 2 * 3; i++) {
        const char *regex = regexes[i / 6];
        struct str whole = { text, sizes[i % 2] };
        double ms = thread_ms();

        memset(text, i / 2 % 3 == 0 ? 'a' : 'x', sizeof text);
        if (i / 2 % 3 == 2)
            for (size_t k = 0; k < sizeof text; k++)
                text[k] = letters[k % 2];
        text[whole.n - 1] = '=';
        (void)find(regex, whole);
        ms = thread_ms() - ms;
        worst = ms > worst ? ms : worst;
        if (ms > 50)
            fail_msg("%s on %zu bytes: %.1f ms", regex, whole.n, ms);
    }
    print_message("the slowest took %.2f ms\n", worst);
}

/* Each start goes few steps; there are many starts. */
static void starts_are_counted_together(void **state)
{
    static char text[32768];

    (void)state;
    memset(text, 'x', sizeof text);
    assert_int_equal(find("(?=.*\\d)x", (struct str){ text, sizeof text }),
                     PATTERN_TOO_HARD);
}

static void what_refers_back_is_refused(void **state)
{
    static const char *const regexes[] = { "(.+)\\1[0-9]", "(?=(a+))a*\\1[0-9]",
                                           "(?<n>a)\\k<n>", "(a)?(?(1)b|c)" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(regexes); i++) {
        struct pattern_error error = { .offset = 0 };
        struct pattern *pattern = NULL;

        assert_int_equal(pattern_new(str_of(regexes[i]), &pattern, &error), ERR_INVALID);
        assert_null(pattern);
        assert_true(error.refused);
        assert_non_null(strstr(error.text, "instead of '(a|b)\\1'"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_narrow_one_after_another_and_the_last_pin_counts),
        cmocka_unit_test(a_rule_of_a_policy_binds_that_policy_alone),
        cmocka_unit_test(a_domain_is_waited_for_and_an_earlier_pin_stays_earlier),
        cmocka_unit_test(more_rules_never_widen),
        cmocka_unit_test(a_pattern_reads_utf8),
        cmocka_unit_test(what_is_wrong_with_a_pattern_is_said_with_its_place),
        cmocka_unit_test(a_text_that_is_too_hard_is_given_up),
        cmocka_unit_test(no_pattern_takes_long_whatever_the_text),
        cmocka_unit_test(starts_are_counted_together),
        cmocka_unit_test(what_refers_back_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
