/* The command line: what is taken, and what is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/money.h"
#include "tools/ctl/options.h"

struct chosen {
    bool loud;
    const char *store, *how;
    struct option_list names;
    int64_t count, usd;
    double share;
};

#define AT(member) .offset = offsetof(struct chosen, member)
static const struct option_spec specs[] = {
    { .name = "store",
      .kind = OPTION_TEXT,
      .value = "F",
      .help = "h",
      .rule = OPTION_REQUIRED,
      AT(store) },
    { .name = "loud", .kind = OPTION_FLAG, .help = "h", AT(loud) },
    { .name = "how",
      .kind = OPTION_CHOICE,
      .value = "H",
      .help = "h",
      .choices = "exact|number",
      .fallback = "exact",
      AT(how) },
    { .name = "names", .kind = OPTION_LIST, .value = "N", .help = "h", AT(names) },
    { .name = "count",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "h",
      .fallback = "8",
      .min = 1,
      .max = 64,
      AT(count) },
    { .name = "usd", .kind = OPTION_USD, .value = "U", .help = "h", AT(usd) },
    { .name = "share",
      .kind = OPTION_NUMBER,
      .value = "S",
      .help = "h",
      .min = 0,
      .max = 1,
      AT(share) },
};
static const struct option_table table = { specs, ARRAY_LEN(specs) };

#define PARSE(...)                                                                       \
    parse((const char *[]){ __VA_ARGS__ },                                               \
          sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *))

static struct chosen chosen;
static struct fault fault;
static const char *operands[16];
static size_t n_operands;
static bool help;

static enum fault_err parse(const char *const *argv, size_t argc)
{
    options_release(&table, &chosen);
    memset(&chosen, 0, sizeof(chosen));
    memset(&fault, 0, sizeof(fault));
    n_operands = 0;
    return options_parse(&table, (int)argc, argv, &chosen, operands, &n_operands, &help,
                         &fault);
}

static void values_are_stored_in_every_written_form(void **state)
{
    (void)state;
    assert_int_equal(PARSE("DIR", "--store", "a.db", "--count=3", "--loud", "--usd=0.25",
                           "--names", "x,y", "--share", "0.5", "--how=number"),
                     FAULT_OK);
    assert_string_equal(chosen.store, "a.db");
    assert_int_equal(chosen.count, 3);
    assert_true(chosen.loud);
    assert_int_equal(chosen.usd, 250000000000);
    assert_int_equal(chosen.names.count, 2);
    assert_string_equal(chosen.names.items[1], "y");
    assert_true(chosen.share == 0.5);
    assert_string_equal(chosen.how, "number");
    assert_int_equal(n_operands, 1);
    assert_string_equal(operands[0], "DIR");
}

static void defaults_stand_where_nothing_is_given(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--store", "a.db"), FAULT_OK);
    assert_int_equal(chosen.count, 8);
    assert_string_equal(chosen.how, "exact");
    assert_false(chosen.loud);
    assert_int_equal(chosen.usd, MONEY_NONE);
    assert_int_equal(PARSE("--store", "a.db", "--usd", "0"), FAULT_OK);
    assert_int_equal(chosen.usd, 0);
}

static void two_dashes_end_the_options(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--store", "a.db", "--", "--loud", "-"), FAULT_OK);
    assert_false(chosen.loud);
    assert_int_equal(n_operands, 2);
}

static void help_wins_over_everything(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--stroe", "--help"), FAULT_OK);
    assert_true(help);
}

static void assert_refused(enum fault_err err, const char *word)
{
    assert_int_equal(err, FAULT_USAGE);
    if (strstr(fault.text, word) == NULL)
        fail_msg("'%s' does not say '%s'", fault.text, word);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    assert_refused(PARSE("--stroe", "x"), "did you mean '--store'");
    assert_refused(PARSE("--zzzzzzzz", "x"), "unknown option '--zzzzzzzz'");
    assert_refused(PARSE("--store"), "--store needs a value");
    assert_refused(PARSE("--store="), "--store: the value is empty");
    assert_refused(PARSE("--loud"), "--store F is missing");
    assert_refused(PARSE("--store", "x", "--store", "y"), "--store is given twice");
    assert_refused(PARSE("--store", "x", "--loud=1"), "--loud takes no value");
    assert_refused(PARSE("--store", "x", "--count", "65"), "--count: 65 is not within");
    assert_refused(PARSE("--store", "x", "--count", "8x"), "--count: '8x'");
    assert_refused(PARSE("--store", "x", "--share", "nan"), "--share: 'nan'");
    assert_refused(PARSE("--store", "x", "--usd", "-1"), "--usd: '-1'");
    assert_refused(PARSE("--store", "x", "--usd", "1e-13"), "--usd: '1e-13'");
    assert_refused(PARSE("--store", "x", "--names", "a,,b"), "--names: 'a,,b'");
    assert_refused(PARSE("--store", "x", "--how", "nummer"), "exact|number");
    assert_refused(PARSE("-x"), "unknown option '-x'");
}

static int teardown(void **state)
{
    (void)state;
    options_release(&table, &chosen);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_stored_in_every_written_form),
        cmocka_unit_test(defaults_stand_where_nothing_is_given),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(help_wins_over_everything),
        cmocka_unit_test(what_is_wrong_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
