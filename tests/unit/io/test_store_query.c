/* Questions to the store, and what retention leaves of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "gateway/base/clock.h"
#include "gateway/io/store_feedback.h"
#include "tests/unit/io/store_fixture.h"

static struct store_file *file;
static struct store_view view;

static const char *const experts[] = { "small", "large" };

/* Decisions dec_00 .. dec_09, an hour apart from NOON on, of two experts in turn and two
 * keys in halves. */
static int ten_decisions(void **state)
{
    struct store_settings with;
    struct store *store;
    struct store_error error = { "" };

    if (fresh_folder(state) != 0)
        return -1;
    with = settings();
    store = opened(&with);
    for (int i = 0; i < 10; i++) {
        char id[16];
        struct store_decision d = a_decision("x");

        (void)snprintf(id, sizeof id, "dec_%02d", i);
        d.id = str_of(id);
        d.at_us = NOON + i * INT64_C(3600000000);
        d.expert = str_of(experts[i % 2]);
        d.key = i < 5 ? STR("a") : STR("");
        d.policy = i < 8 ? STR("auto") : STR("");
        d.tags = i % 4 == 1 ? STR("{\"env\":\"prod\",\"team.a\":\"x\"}") : STR("");
        d.tags = i % 4 == 3 ? STR("{\"team.a\":\"y\"}") : d.tags;
        (void)put_decision(store, &d, NULL);
    }
    for (int i = 0; i < 3; i++) {
        const struct store_feedback f = { .decision =
                                              i < 2 ? STR("dec_03") : STR("dec_04"),
                                          .expert = str_of(experts[i % 2]),
                                          .key = STR("a"),
                                          .score = 0.25 * i,
                                          .shared = i == 2,
                                          .weight = 0.5,
                                          .at_us = NOON + i,
                                          .text = i == 1 ? STR("the text") : STR(""),
                                          .input_tokens = -1,
                                          .predicted = i == 1 ? (double)NAN : 0.5,
                                          .output_tokens = i };
        struct store_row *row = store_row_feedback(&f);

        (void)store_put(store, &row, NULL);
    }
    store_close(store);
    if (store_file_open(path, STORE_FILE_READ, &file, &error) != STORE_OK)
        return -1;
    view = (struct store_view){ .file = file };
    return 0;
}

static int closed(void **state)
{
    store_file_close(file);
    file = NULL;
    return remove_folder(state);
}

static char listed[256];

static bool list_id(void *context, const struct store_decision *decision)
{
    size_t n = strlen(listed);

    (void)context;
    (void)snprintf(listed + n, sizeof listed - n, " " STR_FMT,
                   STR_ARG(str_skip(decision->id, 4)));
    return true;
}

static const char *list(const struct store_filter *filter)
{
    struct store_error error = { "" };

    listed[0] = '\0';
    if (store_list(&view, filter, list_id, NULL, &error) != STORE_OK)
        fail_msg("%s", error.text);
    return listed;
}

static void a_list_is_paged_by_the_last_id_from_the_newest_on(void **state)
{
    (void)state;
    assert_string_equal(list(&(struct store_filter){ .limit = 3 }), " 09 08 07");
    assert_string_equal(
        list(&(struct store_filter){ .limit = 3, .before = STR("dec_07") }), " 06 05 04");
    assert_string_equal(
        list(&(struct store_filter){ .limit = 3, .before = STR("dec_00") }), "");
}

static void a_list_is_narrowed_by_every_filter(void **state)
{
    const int64_t hour = INT64_C(3600000000);

    (void)state;
    assert_string_equal(
        list(&(struct store_filter){ .limit = 9, .expert = STR("small") }),
        " 08 06 04 02 00");
    assert_string_equal(
        list(&(struct store_filter){ .limit = 2, .by_key = true, .key = STR("a") }),
        " 04 03");
    assert_string_equal(list(&(struct store_filter){ .limit = 2, .by_key = true }),
                        " 09 08");
    assert_string_equal(list(&(struct store_filter){ .limit = 1, .policy = STR("auto") }),
                        " 07");
    assert_string_equal(list(&(struct store_filter){ .limit = 9,
                                                     .since_us = NOON + 2 * hour,
                                                     .until_us = NOON + 4 * hour }),
                        " 03 02");
}

static void a_list_goes_the_other_way_as_well(void **state)
{
    (void)state;
    assert_string_equal(
        list(&(struct store_filter){ .limit = 3, .after = STR("dec_04") }), " 05 06 07");
    assert_string_equal(
        list(&(struct store_filter){ .limit = 3, .after = STR("dec_09") }), "");
}

static void a_list_is_narrowed_by_a_tag(void **state)
{
    (void)state;
    assert_string_equal(list(&(struct store_filter){ .limit = 9,
                                                     .tag_name = STR("team.a"),
                                                     .tag_value = STR("x") }),
                        " 09 05 01");
    assert_string_equal(list(&(struct store_filter){
                            .limit = 9, .tag_name = STR("team"), .tag_value = STR("x") }),
                        "");
}

static bool keep_waiting(void *context, const struct store_decision *decision)
{
    const int64_t until_us = clock_us(&clock_system) + 5000;

    (void)decision;
    while (clock_us(&clock_system) < until_us)
        ;
    ++*(int *)context;
    return true;
}

static void a_list_that_takes_too_long_is_given_up(void **state)
{
    const struct store_filter late = { .limit = 10000, .within_ms = 1 },
                              free = { .limit = 9 };
    struct store_error error = { "" };
    int n = 0;

    (void)state;
    /* A thousand and one rows: the clock is looked at once in so many steps. */
    assert_int_equal(store_list(&view, &late, keep_waiting, &n, &error), STORE_SLOW);
    assert_in_range(n, 1, 200);
    n = 0;
    assert_int_equal(store_list(&view, &free, keep_waiting, &n, &error), STORE_OK);
    assert_int_equal(n, 9);
}

static int a_thousand_more(void **state)
{
    struct store_settings with;
    struct store *store;
    struct store_error error = { "" };

    if (fresh_folder(state) != 0)
        return -1;
    with = settings();
    store = opened(&with);
    for (int i = 0; i < 1001; i++) {
        char id[16];
        struct store_decision d = a_decision("x");

        (void)snprintf(id, sizeof id, "dec_%04d", i);
        d.id = str_of(id);
        (void)put_decision(store, &d, NULL);
    }
    store_close(store);
    if (store_file_open(path, STORE_FILE_READ, &file, &error) != STORE_OK)
        return -1;
    view = (struct store_view){ .file = file };
    return 0;
}

static bool no_record(void *context, const struct store_decision *decision)
{
    assert_true((decision->record.n == 0) == *(bool *)context);
    return true;
}

static void a_brief_list_leaves_the_records_where_they_are(void **state)
{
    struct store_error error = { "" };
    bool brief = true;

    (void)state;
    assert_int_equal(store_list(&view,
                                &(struct store_filter){ .limit = 1, .brief = true },
                                no_record, &brief, &error),
                     STORE_OK);
    brief = false;
    assert_int_equal(store_list(&view, &(struct store_filter){ .limit = 1 }, no_record,
                                &brief, &error),
                     STORE_OK);
}

static bool list_feedback(void *context, const struct store_feedback *f)
{
    size_t n = strlen(listed);

    (void)context;
    (void)snprintf(listed + n, sizeof listed - n, " " STR_FMT ":" STR_FMT ":%g:%d:%g:%d",
                   STR_ARG(str_skip(f->decision, 4)), STR_ARG(f->expert), f->score,
                   (int)f->text.n, f->predicted, f->shared);
    return true;
}

static void scores_are_found_by_decision_and_all_together(void **state)
{
    struct store_error error = { "" };
    int64_t n = 0;

    (void)state;
    listed[0] = '\0';
    assert_int_equal(store_feedback_of(&view, STR("dec_03"), list_feedback, NULL, &error),
                     STORE_OK);
    assert_string_equal(listed, " 03:large:0.25:8:nan:0 03:small:0:0:0.5:0");
    listed[0] = '\0';
    assert_int_equal(store_feedback_each(&view, list_feedback, NULL, &error), STORE_OK);
    assert_string_equal(listed,
                        " 04:small:0.5:0:0.5:1 03:large:0.25:8:nan:0 03:small:0:0:0.5:0");
    assert_int_equal(store_feedback_count(&view, STR("a"), NOON + 1, &n, &error),
                     STORE_OK);
    assert_int_equal(n, 2);
    assert_int_equal(store_feedback_count(&view, STR("b"), 0, &n, &error), STORE_OK);
    assert_int_equal(n, 0);
}

static char summed[1024];

static void sum(void *context, const struct store_spend *spend)
{
    size_t n = strlen(summed);

    (void)context;
    (void)snprintf(summed + n, sizeof summed - n,
                   "%lld " STR_FMT "/" STR_FMT "/" STR_FMT " %lld %lld %lld\n",
                   (long long)spend->day, STR_ARG(spend->key), STR_ARG(spend->expert),
                   STR_ARG(spend->kind), (long long)spend->requests,
                   (long long)spend->calls, (long long)spend->bound_pico);
}

static const char *sums(const struct store_spend_filter *filter, unsigned group)
{
    struct store_error error = { "" };

    summed[0] = '\0';
    if (store_spend(&view, filter, group, sum, NULL, &error) != STORE_OK)
        fail_msg("%s", error.text);
    return summed;
}

static void spend_is_summed_by_what_is_asked_for(void **state)
{
    const struct store_spend_filter all = { 0 };

    (void)state;
    assert_string_equal(sums(&all, 0), "-1 // 10 20 10300\n");
    assert_string_equal(sums(&all, STORE_GROUP_KEY), "-1 // 5 10 5150\n"
                                                     "-1 a// 5 10 5150\n");
    assert_string_equal(sums(&all, STORE_GROUP_EXPERT | STORE_GROUP_KIND),
                        "-1 /embedder/embedding 0 10 300\n"
                        "-1 /large/generation 5 10 10000\n"
                        "-1 /small/generation 5 0 0\n");
}

static void spend_is_narrowed_by_day_and_key(void **state)
{
    (void)state;
    assert_string_equal(sums(&(struct store_spend_filter){ .first_day = 20001 }, 0), "");
    assert_string_equal(sums(&(struct store_spend_filter){ .first_day = 20000,
                                                           .last_day = 20000,
                                                           .by_key = true,
                                                           .key = STR("a") },
                             STORE_GROUP_DAY),
                        "20000 // 5 10 5150\n");
}

static void spend_is_summed_by_the_values_of_a_tag(void **state)
{
    const struct store_spend_filter all = { 0 }, day_before = { .last_day = 19999 },
                                    of_a = { .by_key = true, .key = STR("a") };
    struct store_error error = { "" };

    (void)state;
    summed[0] = '\0';
    assert_int_equal(store_spend_by_tag(&view, &all, STR("team.a"), sum, NULL, &error),
                     STORE_OK);
    assert_string_equal(summed, "-1 // 5 0 5150\n-1 x// 3 0 3090\n-1 y// 2 0 2060\n");
    summed[0] = '\0';
    assert_int_equal(store_spend_by_tag(&view, &of_a, STR("team.a"), sum, NULL, &error),
                     STORE_OK);
    assert_string_equal(summed, "-1 // 3 0 3090\n-1 x// 1 0 1030\n-1 y// 1 0 1030\n");
    summed[0] = '\0';
    assert_int_equal(
        store_spend_by_tag(&view, &day_before, STR("team.a"), sum, NULL, &error),
        STORE_OK);
    assert_string_equal(summed, "");
}

static struct store_windows windows_of_a;

static void keep_a(void *context, const struct store_windows *windows)
{
    (void)context;
    if (str_is(windows->key, "a"))
        windows_of_a = *windows;
}

static void windows_on(int64_t day)
{
    struct store_error error = { "" };

    windows_of_a = (struct store_windows){ .total_pico = -1 };
    assert_int_equal(store_each_spend(&view, day, keep_a, NULL, &error), STORE_OK);
}

static void budgets_continue_from_the_day_its_month_and_the_total(void **state)
{
    /* Day 20000 is the 4th of October 2024. */
    (void)state;
    assert_int_equal(store_month_start(20000), 19997);
    windows_on(20000);
    assert_int_equal(windows_of_a.day_pico, 5150);
    windows_on(20010);
    assert_int_equal(windows_of_a.day_pico, 0);
    assert_int_equal(windows_of_a.month_pico, 5150);
    windows_on(20040);
    assert_int_equal(windows_of_a.month_pico, 0);
    assert_int_equal(windows_of_a.total_pico, 5150);
}

/* -- retention --------------------------------------------------------------------------- */

static int64_t now_us;

static int64_t moving_wall(void *context)
{
    (void)context;
    return now_us;
}

static const struct clock moving_clock = { .wall_us = moving_wall };

static void kept(struct store_settings with)
{
    struct store *store = opened(&with);

    WAIT_UNTIL(seen.notices[STORE_NOTICE_REMOVED] > 0);
    store_close(store);
}

static void old_decisions_go_and_their_spend_stays(void **state)
{
    struct store_settings with = settings();

    (void)state;
    now_us = NOON + DAY_US + 5 * INT64_C(3600000000);
    with.clock = &moving_clock;
    with.keep_days = 1;
    kept(with);
    assert_int_equal(seen.amounts[STORE_NOTICE_REMOVED], 5);
    assert_int_equal(number_in_file("SELECT count(*) FROM decisions"), 5);
    assert_int_equal(number_in_file("SELECT count(*) FROM charges"), 10);
    assert_int_equal(number_in_file("SELECT id = 'dec_05' FROM decisions ORDER BY id"),
                     1);
    assert_int_equal(number_in_file("SELECT sum(bound_pico) FROM spend"), 10300);
}

#define LARGE_RECORDS 600

/* Records that together are far above what may be kept. */
static void fill(const char *record)
{
    struct store_settings with = settings();
    struct store *store = opened(&with);
    char id[16];

    for (int i = 0; i < LARGE_RECORDS; i++) {
        struct store_decision d = a_decision("x");

        (void)snprintf(id, sizeof id, "dec_%04d", i);
        d.id = str_of(id);
        d.record = str_of(record);
        (void)put_decision(store, &d, NULL);
    }
    store_close(store);
}

static void the_oldest_go_when_the_file_grows_too_large(void **state)
{
    struct store_settings with;
    static char record[8192];

    (void)state;
    memset(record, 'x', sizeof record - 1);
    fill(record);
    with = settings();
    with.keep_bytes = 1 << 21;
    kept(with);
    assert_in_range(number_in_file("SELECT count(*) FROM decisions"), 1, 250);
    assert_int_equal(
        number_in_file("SELECT count(*) FROM decisions WHERE id = 'dec_0599'"), 1);
    assert_int_equal(number_in_file("SELECT sum(requests) FROM spend"),
                     10 + LARGE_RECORDS);
}

static void an_open_decision_is_never_removed(void **state)
{
    struct store_settings with = settings();
    struct store_decision open = a_decision("dec_000");
    struct store *store;

    (void)state;
    now_us = NOON + 9 * DAY_US;
    with.clock = &moving_clock;
    with.keep_days = 1;
    open.state = STORE_STATE_OPEN;
    with.commit_ms = 0;
    store = opened(&with);
    (void)put_decision(store, &open, NULL);
    WAIT_UNTIL(seen.amounts[STORE_NOTICE_REMOVED] == 10);
    flush(store);
    assert_int_equal(number_in_file("SELECT count(*) FROM decisions"), 1);
    store_close(store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, ten_decisions, closed)
    const struct CMUnitTest tests[] = {
        TEST(a_list_is_paged_by_the_last_id_from_the_newest_on),
        TEST(a_list_is_narrowed_by_every_filter),
        TEST(a_list_goes_the_other_way_as_well),
        TEST(a_list_is_narrowed_by_a_tag),
        cmocka_unit_test_setup_teardown(a_list_that_takes_too_long_is_given_up,
                                        a_thousand_more, closed),
        TEST(a_brief_list_leaves_the_records_where_they_are),
        TEST(scores_are_found_by_decision_and_all_together),
        TEST(spend_is_summed_by_what_is_asked_for),
        TEST(spend_is_narrowed_by_day_and_key),
        TEST(spend_is_summed_by_the_values_of_a_tag),
        TEST(budgets_continue_from_the_day_its_month_and_the_total),
        TEST(old_decisions_go_and_their_spend_stays),
        TEST(the_oldest_go_when_the_file_grows_too_large),
        TEST(an_open_decision_is_never_removed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
