/* test_account.c - what a key has spent: budgets that hold whoever asks, and in which
 * order. */
#include "gateway/flow/account.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define DAY_US INT64_C(86400000000)
/* 2026-01-31, noon. */
#define NOON_US (INT64_C(20484) * DAY_US + DAY_US / 2)

struct fake {
    int64_t wall_us, us;
    struct clock clock;
    struct accounts *book;
    struct account *account;
};

static int64_t fake_us(void *context)
{
    return ((struct fake *)context)->us;
}

static int64_t fake_wall_us(void *context)
{
    return ((struct fake *)context)->wall_us;
}

static int setup(void **state)
{
    static struct fake fake;

    fake = (struct fake){ .wall_us = NOON_US, .us = 1000 };
    fake.clock = (struct clock){ fake_us, fake_wall_us, &fake };
    fake.book = accounts_new(&fake.clock);
    if (fake.book == NULL ||
        accounts_open(fake.book, STR("team"), &fake.account) != ERR_OK)
        return -1;
    *state = &fake;
    return 0;
}

static int teardown(void **state)
{
    accounts_free(((struct fake *)*state)->book);
    return 0;
}

static void budgets(struct fake *fake, int64_t day, int64_t month, int64_t total)
{
    struct key_limits limits = { .budget_pico = { day, month, total } };

    account_limit(fake->account, &limits);
}

static void a_reservation_is_taken_from_every_window(void **state)
{
    struct fake *fake = *state;
    struct account_hold hold = { 0 };
    struct account_window windows[KEY_WINDOW_COUNT];

    budgets(fake, 100, 200, MONEY_NONE);
    assert_int_equal(account_reserve(fake->account, 60, NULL, &hold), ACCOUNT_OK);
    assert_int_equal(account_remaining(fake->account, NULL), 40);
    account_settle(fake->account, &hold, 25);
    account_view(fake->account, windows);
    for (int w = 0; w < KEY_WINDOW_COUNT; w++) {
        assert_int_equal(windows[w].bound_pico, 25);
        assert_int_equal(windows[w].held_pico, 0);
    }
    assert_int_equal(account_remaining(fake->account, NULL), 75);
}

static void what_fits_to_the_last_pico_is_let_in_and_one_more_is_not(void **state)
{
    struct fake *fake = *state;
    struct account_hold a = { 0 }, b = { 0 };

    budgets(fake, 100, MONEY_NONE, MONEY_NONE);
    assert_int_equal(account_reserve(fake->account, 40, NULL, &a), ACCOUNT_OK);
    assert_int_equal(account_reserve(fake->account, 61, NULL, &b), ACCOUNT_SHORT);
    assert_false(b.open);
    assert_int_equal(account_reserve(fake->account, 60, NULL, &b), ACCOUNT_OK);
    account_settle(fake->account, &a, 0);
    account_settle(fake->account, &b, 60);
    assert_int_equal(account_remaining(fake->account, NULL), 40);
}

static void the_narrowest_window_decides_and_is_named(void **state)
{
    struct fake *fake = *state;
    struct account_hold hold = { 0 };
    struct account_window window;

    budgets(fake, 100, 70, 500);
    assert_int_equal(account_reserve(fake->account, 71, NULL, &hold), ACCOUNT_SHORT);
    assert_int_equal(account_tightest(fake->account, &window), KEY_MONTH);
    assert_int_equal(window.budget_pico, 70);
    assert_int_equal(window.resets_us, INT64_C(20485) * DAY_US); /* 1 February */
}

static void without_a_budget_no_window_is_tight_and_everything_counts(void **state)
{
    struct fake *fake = *state;
    struct account_hold a = { 0 }, b = { 0 }, c = { 0 };
    struct account_window windows[KEY_WINDOW_COUNT];

    assert_false(account_bounded(fake->account));
    assert_int_equal(account_tightest(fake->account, windows), KEY_WINDOW_COUNT);
    assert_int_equal(account_remaining(fake->account, NULL), MONEY_NONE);
    assert_int_equal(account_reserve(fake->account, MONEY_NONE, NULL, &a), ACCOUNT_OK);
    assert_int_equal(account_reserve(fake->account, MONEY_NONE - 1, NULL, &b),
                     ACCOUNT_OK);
    assert_int_equal(account_reserve(fake->account, MONEY_NONE - 1, NULL, &c),
                     ACCOUNT_OK);
    account_settle(fake->account, &a, 7);
    account_settle(fake->account, &b, 8);
    account_settle(fake->account, &c, 9);
    account_view(fake->account, windows);
    assert_int_equal(windows[KEY_TOTAL].bound_pico, 24);
    assert_int_equal(windows[KEY_TOTAL].held_pico, 0);
}

static void an_unknown_worst_case_is_refused_under_any_budget(void **state)
{
    struct fake *fake = *state;
    struct account_hold hold = { 0 };

    budgets(fake, MONEY_NONE, MONEY_NONE, MONEY_NONE - 1);
    assert_int_equal(account_reserve(fake->account, MONEY_NONE, NULL, &hold),
                     ACCOUNT_NO_BOUND);
    assert_false(hold.open);
}

static void a_reservation_settles_in_the_day_it_was_taken_in(void **state)
{
    struct fake *fake = *state;
    struct account_hold old = { 0 }, fresh = { 0 };
    struct account_window windows[KEY_WINDOW_COUNT];

    budgets(fake, 100, MONEY_NONE, 1000);
    assert_int_equal(account_reserve(fake->account, 80, NULL, &old), ACCOUNT_OK);
    fake->wall_us += DAY_US / 2; /* midnight, and another month */
    assert_int_equal(account_remaining(fake->account, NULL), 100);
    assert_int_equal(account_reserve(fake->account, 100, NULL, &fresh), ACCOUNT_OK);
    account_settle(fake->account, &old, 80);
    account_settle(fake->account, &fresh, 30);
    account_view(fake->account, windows);
    assert_int_equal(windows[KEY_DAY].bound_pico, 30);
    assert_int_equal(windows[KEY_MONTH].bound_pico, 30);
    assert_int_equal(windows[KEY_TOTAL].bound_pico, 110);
    assert_int_equal(windows[KEY_TOTAL].held_pico, 0);
}

static void a_clock_set_back_over_midnight_gives_nothing_twice(void **state)
{
    struct fake *fake = *state;
    struct account_hold hold = { 0 };

    budgets(fake, 100, MONEY_NONE, MONEY_NONE);
    fake->wall_us = NOON_US + DAY_US / 2;
    assert_int_equal(account_reserve(fake->account, 100, NULL, &hold), ACCOUNT_OK);
    account_settle(fake->account, &hold, 100);
    fake->wall_us -= 1;
    assert_int_equal(account_remaining(fake->account, NULL), 0);
    fake->wall_us += 2;
    assert_int_equal(account_remaining(fake->account, NULL), 0);
    fake->wall_us += DAY_US;
    assert_int_equal(account_remaining(fake->account, NULL), 100);
}

static void a_clock_that_was_a_year_ahead_does_not_stop_the_days(void **state)
{
    struct fake *fake = *state;
    struct account_hold hold = { 0 };

    budgets(fake, 100, MONEY_NONE, MONEY_NONE);
    fake->wall_us += 365 * DAY_US;
    assert_int_equal(account_reserve(fake->account, 100, NULL, &hold), ACCOUNT_OK);
    fake->wall_us -= 365 * DAY_US;
    assert_int_equal(account_remaining(fake->account, NULL), 0);
    account_settle(fake->account, &hold, 60);
    assert_int_equal(account_remaining(fake->account, NULL), 40);
    fake->wall_us += DAY_US;
    assert_int_equal(account_remaining(fake->account, NULL), 100);
}

static void a_charge_above_the_reservation_is_booked(void **state)
{
    struct fake *fake = *state;
    struct account_hold hold = { 0 };

    budgets(fake, 100, MONEY_NONE, MONEY_NONE);
    assert_int_equal(account_reserve(fake->account, 50, NULL, &hold), ACCOUNT_OK);
    account_settle(fake->account, &hold, 130);
    assert_int_equal(account_remaining(fake->account, NULL), 0);
    assert_int_equal(account_reserve(fake->account, 1, NULL, &hold), ACCOUNT_SHORT);
    assert_int_equal(account_reserve(fake->account, 0, NULL, &hold), ACCOUNT_OK);
    account_settle(fake->account, &hold, 0);
}

static void a_hold_settles_once(void **state)
{
    struct fake *fake = *state;
    struct account_hold hold = { 0 };

    budgets(fake, 100, MONEY_NONE, MONEY_NONE);
    account_settle(fake->account, &hold, 10);
    assert_int_equal(account_reserve(fake->account, 50, NULL, &hold), ACCOUNT_OK);
    account_settle(fake->account, &hold, 40);
    account_settle(fake->account, &hold, 40);
    assert_int_equal(account_remaining(fake->account, NULL), 60);
}

static void another_limit_keeps_what_was_spent(void **state)
{
    struct fake *fake = *state;
    struct account_hold hold = { 0 }, more = { 0 };

    budgets(fake, 100, MONEY_NONE, MONEY_NONE);
    assert_int_equal(account_reserve(fake->account, 60, NULL, &hold), ACCOUNT_OK);
    budgets(fake, 50, MONEY_NONE, MONEY_NONE);
    assert_int_equal(account_remaining(fake->account, NULL), 0);
    account_settle(fake->account, &hold, 60);
    budgets(fake, 200, MONEY_NONE, MONEY_NONE);
    assert_int_equal(account_remaining(fake->account, NULL), 140);
    assert_int_equal(account_reserve(fake->account, 140, NULL, &more), ACCOUNT_OK);
    account_settle(fake->account, &more, 0);
}

static void what_the_ledger_says_counts_in_the_windows_of_its_day(void **state)
{
    static const int64_t sums[KEY_WINDOW_COUNT] = { 1, 10, 100 };
    struct fake *fake = *state;
    struct account_window windows[KEY_WINDOW_COUNT];

    account_restore(fake->account, NOON_US, sums);
    account_restore(fake->account, NOON_US - DAY_US, sums);
    account_restore(fake->account, NOON_US - 40 * DAY_US, sums);
    account_view(fake->account, windows);
    assert_int_equal(windows[KEY_DAY].bound_pico, 1);
    assert_int_equal(windows[KEY_MONTH].bound_pico, 20);
    assert_int_equal(windows[KEY_TOTAL].bound_pico, 300);
}

static void an_id_has_one_account(void **state)
{
    struct fake *fake = *state;
    struct account *again, *other, *prefix;

    assert_int_equal(accounts_open(fake->book, STR("other"), &other), ERR_OK);
    assert_int_equal(accounts_open(fake->book, STR("tea"), &prefix), ERR_OK);
    assert_int_equal(accounts_open(fake->book, STR("team"), &again), ERR_OK);
    assert_ptr_equal(again, fake->account);
    assert_ptr_not_equal(other, again);
    assert_ptr_not_equal(prefix, again);
    assert_string_equal(account_id(prefix), "tea");
}

/* The law, against the simplest model: a list of what was booked and what is held. */
#define HOLDS 6

struct model {
    struct account_hold hold;
    int64_t worst, day;
};

static uint64_t dice(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void the_account_is_the_sum_of_what_was_booked_and_held(void **state)
{
    struct fake *fake = *state;
    uint64_t seed = 88172645463325252u;

    for (int round = 0; round < 400; round++) {
        struct model models[HOLDS] = { 0 };
        int64_t day_budget = (int64_t)(dice(&seed) % 900), total_budget = 3000;
        int64_t day_spent = 0, total_spent = 0, today = 0;
        char name[16];

        (void)snprintf(name, sizeof name, "round%d", round);
        assert_int_equal(accounts_open(fake->book, str_of(name), &fake->account), ERR_OK);
        budgets(fake, day_budget, MONEY_NONE, total_budget);
        for (int step = 0; step < 80; step++) {
            struct model *model = &models[dice(&seed) % HOLDS];
            int64_t amount = (int64_t)(dice(&seed) & 511);
            int64_t held = 0, held_today = 0, day_free, total_free;

            if (dice(&seed) % 16 == 0) {
                fake->wall_us += DAY_US;
                today++;
                day_spent = 0;
            }
            for (int i = 0; i < HOLDS; i++) {
                held += models[i].hold.open ? models[i].worst : 0;
                held_today +=
                    models[i].hold.open && models[i].day == today ? models[i].worst : 0;
            }
            day_free = day_budget - day_spent - held_today;
            total_free = total_budget - total_spent - held;
            if (!model->hold.open) {
                bool fits = amount <= day_free && amount <= total_free;

                assert_int_equal(
                    account_reserve(fake->account, amount, NULL, &model->hold),
                    fits ? ACCOUNT_OK : ACCOUNT_SHORT);
                model->worst = amount;
                model->day = today;
                continue;
            }
            if (dice(&seed) % 4 == 0) { /* a seat is given up for another amount */
                struct account_hold next = { 0 };
                int64_t seat_today = model->day == today ? model->worst : 0;
                bool fits = amount <= day_free + seat_today &&
                            amount <= total_free + model->worst;

                assert_int_equal(
                    account_reserve(fake->account, amount, &model->hold, &next),
                    fits ? ACCOUNT_OK : ACCOUNT_SHORT);
                assert_int_equal(model->hold.open, !fits);
                if (fits)
                    *model = (struct model){ next, amount, today };
                continue;
            }
            amount %= model->worst + 1;
            account_settle(fake->account, &model->hold, amount);
            total_spent += amount;
            day_spent += model->day == today ? amount : 0;
            assert_true(total_spent <= total_budget && day_spent <= day_budget);
        }
    }
}

/* -- threads -- */

#define THREADS 4
#define ROUNDS  20000

struct race {
    struct account *account;
    uint64_t seed;
};

static atomic_llong all_spent;

static void *spend(void *arg)
{
    struct race *race = arg;
    struct account_window windows[KEY_WINDOW_COUNT];

    for (int i = 0; i < ROUNDS; i++) {
        struct account_hold hold = { 0 };
        int64_t worst = (int64_t)(dice(&race->seed) % 1000);
        int64_t actual = (int64_t)(dice(&race->seed) % (uint64_t)(worst + 1));

        if (account_reserve(race->account, worst, NULL, &hold) != ACCOUNT_OK)
            continue;
        account_view(race->account, windows);
        if (windows[KEY_TOTAL].bound_pico + windows[KEY_TOTAL].held_pico >
            windows[KEY_TOTAL].budget_pico)
            return race; /* seen below as a failure */
        account_settle(race->account, &hold, actual);
        atomic_fetch_add(&all_spent, actual);
    }
    return NULL;
}

static void many_threads_never_pass_the_budget_and_leave_nothing_behind(void **state)
{
    struct fake *fake = *state;
    struct race races[THREADS];
    pthread_t threads[THREADS];
    struct account_window windows[KEY_WINDOW_COUNT];

    atomic_store(&all_spent, 0);
    budgets(fake, MONEY_NONE, MONEY_NONE, THREADS * ROUNDS * 200);
    for (int i = 0; i < THREADS; i++) {
        races[i] = (struct race){ .account = fake->account,
                                  .seed = 88172645463325252u + (unsigned)i };
        assert_int_equal(pthread_create(&threads[i], NULL, spend, &races[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *result;

        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
    account_view(fake->account, windows);
    assert_int_equal(windows[KEY_TOTAL].held_pico, 0);
    assert_int_equal(windows[KEY_TOTAL].bound_pico, atomic_load(&all_spent));
    assert_true(windows[KEY_TOTAL].bound_pico <= windows[KEY_TOTAL].budget_pico);
    assert_true(windows[KEY_TOTAL].bound_pico > windows[KEY_TOTAL].budget_pico - 1000);
}

/* -- rates -- */

static void requests_are_let_in_as_the_minute_goes_by(void **state)
{
    struct fake *fake = *state;
    struct key_limits limits = KEY_LIMITS_NONE;
    struct account_rate rate;

    limits.requests_per_minute = 2;
    account_limit(fake->account, &limits);
    assert_true(account_request(fake->account, &rate));
    assert_true(account_request(fake->account, &rate));
    assert_int_equal(rate.remaining, 0);
    assert_int_equal(rate.reset_us, 60000000);
    assert_false(account_request(fake->account, &rate));
    assert_int_equal(rate.wait_us, 30000000);
    fake->us += 29999999;
    assert_false(account_request(fake->account, &rate));
    assert_int_equal(rate.wait_us, 1);
    fake->us += 1;
    assert_true(account_request(fake->account, &rate));
}

static void tokens_are_corrected_by_what_was_used(void **state)
{
    struct fake *fake = *state;
    struct key_limits limits = KEY_LIMITS_NONE;
    struct account_rate rate;

    limits.tokens_per_minute = 1000;
    account_limit(fake->account, &limits);
    assert_true(account_tokens(fake->account, 900, &rate));
    assert_int_equal(rate.remaining, 100);
    assert_false(account_tokens(fake->account, 200, &rate));
    account_tokens_used(fake->account, 900, 100);
    assert_true(account_tokens(fake->account, 900, &rate));
    account_tokens_used(fake->account, 900, 1400);
    assert_false(account_tokens(fake->account, 1, &rate));
    assert_int_equal(rate.wait_us, 501 * 60000);
}

static void a_demand_above_a_whole_minute_waits_for_a_full_bucket(void **state)
{
    struct fake *fake = *state;
    struct key_limits limits = KEY_LIMITS_NONE;
    struct account_rate rate;

    limits.tokens_per_minute = 100;
    account_limit(fake->account, &limits);
    assert_true(account_tokens(fake->account, 5000, &rate));
    assert_int_equal(rate.remaining, 0);
    fake->us += 60000000;
    assert_false(account_tokens(fake->account, 5000, &rate));
    fake->us += 60000000;
    assert_true(account_tokens(fake->account, 5000, &rate));
}

static void an_absurd_usage_blocks_for_two_minutes_at_most(void **state)
{
    struct fake *fake = *state;
    struct key_limits limits = KEY_LIMITS_NONE;
    struct account_rate rate;

    limits.tokens_per_minute = KEY_RATE_MAX;
    account_limit(fake->account, &limits);
    account_tokens_used(fake->account, 0, INT64_MAX);
    assert_false(account_tokens(fake->account, 1, &rate));
    fake->us += 120000000;
    assert_true(account_tokens(fake->account, KEY_RATE_MAX, &rate));
    account_tokens_used(fake->account, INT64_MAX, 0);
    assert_true(account_tokens(fake->account, KEY_RATE_MAX, &rate));
    assert_int_equal(rate.remaining, 0);
}

static void another_rate_does_not_fill_the_bucket(void **state)
{
    struct fake *fake = *state;
    struct key_limits limits = KEY_LIMITS_NONE;
    struct account_rate rate;

    limits.requests_per_minute = 3;
    account_limit(fake->account, &limits);
    for (int i = 0; i < 3; i++)
        assert_true(account_request(fake->account, &rate));
    account_limit(fake->account, &limits);
    assert_false(account_request(fake->account, &rate));
    limits.requests_per_minute = 4;
    account_limit(fake->account, &limits);
    assert_true(account_request(fake->account, &rate));
    assert_false(account_request(fake->account, &rate));
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_reservation_is_taken_from_every_window),
        test(what_fits_to_the_last_pico_is_let_in_and_one_more_is_not),
        test(the_narrowest_window_decides_and_is_named),
        test(without_a_budget_no_window_is_tight_and_everything_counts),
        test(an_unknown_worst_case_is_refused_under_any_budget),
        test(a_reservation_settles_in_the_day_it_was_taken_in),
        test(a_clock_set_back_over_midnight_gives_nothing_twice),
        test(a_clock_that_was_a_year_ahead_does_not_stop_the_days),
        test(a_charge_above_the_reservation_is_booked),
        test(a_hold_settles_once),
        test(another_limit_keeps_what_was_spent),
        test(what_the_ledger_says_counts_in_the_windows_of_its_day),
        test(an_id_has_one_account),
        test(the_account_is_the_sum_of_what_was_booked_and_held),
        test(many_threads_never_pass_the_budget_and_leave_nothing_behind),
        test(requests_are_let_in_as_the_minute_goes_by),
        test(tokens_are_corrected_by_what_was_used),
        test(a_demand_above_a_whole_minute_waits_for_a_full_bucket),
        test(an_absurd_usage_blocks_for_two_minutes_at_most),
        test(another_rate_does_not_fill_the_bucket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
