/* test_purse.c - the money of one request: reservations never exceed the ceiling. */
#include "gateway/flow/purse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_reservation_takes_from_what_remains(void **state)
{
    struct purse purse;
    struct purse_hold hold = { 0 };

    (void)state;
    purse_init(&purse, 100, NULL);
    assert_int_equal(purse_reserve(&purse, 70, &hold), PURSE_OK);
    assert_int_equal(purse_remaining(&purse), 30);
}

static void a_worst_case_above_what_remains_is_refused_and_changes_nothing(void **state)
{
    struct purse purse;
    struct purse_hold first = { 0 }, second = { 0 };

    (void)state;
    purse_init(&purse, 100, NULL);
    assert_int_equal(purse_reserve(&purse, 70, &first), PURSE_OK);
    assert_int_equal(purse_reserve(&purse, 31, &second), PURSE_SHORT);
    assert_false(second.open);
    assert_int_equal(purse_remaining(&purse), 30);
    assert_int_equal(purse_reserve(&purse, 30, &second), PURSE_OK);
}

static void settling_gives_back_what_was_not_used(void **state)
{
    struct purse purse;
    struct purse_hold hold = { 0 };

    (void)state;
    purse_init(&purse, 100, NULL);
    assert_int_equal(purse_reserve(&purse, 70, &hold), PURSE_OK);
    assert_false(purse_settle(&purse, &hold, 20));
    assert_int_equal(purse_remaining(&purse), 80);
    assert_int_equal(purse.spent_pico, 20);
    assert_false(purse.estimated);
}

static void an_attempt_of_unknown_fate_counts_at_its_worst_case(void **state)
{
    struct purse purse;
    struct purse_hold hold = { 0 };

    (void)state;
    purse_init(&purse, 100, NULL);
    assert_int_equal(purse_reserve(&purse, 70, &hold), PURSE_OK);
    purse_unknown(&purse, &hold, 10);
    assert_int_equal(purse_remaining(&purse), 30);
    assert_int_equal(purse.spent_pico, 10);
    assert_true(purse.estimated);
}

static void a_released_hold_costs_nothing(void **state)
{
    struct purse purse;
    struct purse_hold hold = { 0 };

    (void)state;
    purse_init(&purse, 100, NULL);
    assert_int_equal(purse_reserve(&purse, 100, &hold), PURSE_OK);
    purse_release(&purse, &hold);
    assert_int_equal(purse_remaining(&purse), 100);
    assert_int_equal(purse.spent_pico, 0);
}

static void a_hold_is_settled_once(void **state)
{
    struct purse purse;
    struct purse_hold hold = { 0 };

    (void)state;
    purse_init(&purse, 100, NULL);
    assert_int_equal(purse_reserve(&purse, 50, &hold), PURSE_OK);
    assert_false(purse_settle(&purse, &hold, 40));
    purse_unknown(&purse, &hold, 50);
    purse_release(&purse, &hold);
    assert_int_equal(purse.bound_pico, 40);
    assert_int_equal(purse.spent_pico, 40);
}

static void a_charge_above_the_reservation_is_booked_and_told(void **state)
{
    struct purse purse;
    struct purse_hold hold = { 0 };

    (void)state;
    purse_init(&purse, 100, NULL);
    assert_int_equal(purse_reserve(&purse, 50, &hold), PURSE_OK);
    assert_true(purse_settle(&purse, &hold, 130));
    assert_int_equal(purse.over_pico, 80);
    assert_int_equal(purse.spent_pico, 130);
    assert_int_equal(purse_remaining(&purse), 0);
}

static void without_a_bound_nothing_is_reserved_under_a_ceiling(void **state)
{
    struct purse purse;
    struct purse_hold hold = { 0 };

    (void)state;
    purse_init(&purse, INT64_MAX - 1, NULL);
    assert_int_equal(purse_reserve(&purse, PURSE_UNBOUNDED, &hold), PURSE_NO_BOUND);
    assert_false(hold.open);
}

static void without_a_ceiling_everything_is_reserved_and_counted(void **state)
{
    struct purse purse;
    struct purse_hold a = { 0 }, b = { 0 }, c = { 0 };

    (void)state;
    purse_init(&purse, PURSE_UNBOUNDED, NULL);
    assert_int_equal(purse_reserve(&purse, PURSE_UNBOUNDED, &a), PURSE_OK);
    assert_int_equal(purse_reserve(&purse, INT64_MAX - 1, &b), PURSE_OK);
    assert_int_equal(purse_reserve(&purse, INT64_MAX - 1, &c), PURSE_OK);
    assert_int_equal(purse_remaining(&purse), PURSE_UNBOUNDED);
    assert_false(purse_settle(&purse, &a, 7));
    assert_false(purse_settle(&purse, &b, 8));
    purse_unknown(&purse, &c, 9);
    assert_int_equal(purse.spent_pico, 24);
}

/* The law: whatever the order of calls, what was promised to experts stays below the
 * ceiling as long as they keep to their worst cases. */
static void whatever_happens_the_ceiling_holds(void **state)
{
    uint64_t seed = 88172645463325252u;

    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct purse_hold holds[4] = { 0 };
        struct purse purse;
        int64_t charged = 0;

        purse_init(&purse, 1000, NULL);
        for (int step = 0; step < 40; step++) {
            struct purse_hold *hold;
            int64_t amount;

            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            hold = &holds[seed % 4];
            amount = (int64_t)(seed >> 8) & 511;
            if (!hold->open) {
                int64_t before = purse_remaining(&purse);

                assert_int_equal(purse_reserve(&purse, amount, hold),
                                 amount <= before ? PURSE_OK : PURSE_SHORT);
            } else if (seed >> 62 == 0) {
                purse_release(&purse, hold);
            } else if (seed >> 62 == 1) {
                charged += hold->worst_pico;
                purse_unknown(&purse, hold, amount);
            } else {
                int64_t actual = amount % (hold->worst_pico + 1);

                charged += actual;
                assert_false(purse_settle(&purse, hold, actual));
            }
            assert_true(charged <= 1000);
            assert_true(purse.spent_pico <= purse.bound_pico);
            assert_int_equal(purse.bound_pico, charged);
        }
    }
}

/* -- with a key's account -- */

static int64_t still(void *context)
{
    (void)context;
    return INT64_C(1769860800000000);
}

static const struct clock stopped = { still, still, NULL };

static struct accounts *book_of(int64_t budget, struct account **ret_account)
{
    struct key_limits limits = { .budget_pico = { MONEY_NONE, MONEY_NONE, budget } };
    struct accounts *book = accounts_new(&stopped);

    assert_non_null(book);
    assert_int_equal(accounts_open(book, STR("team"), ret_account), ERR_OK);
    account_limit(*ret_account, &limits);
    return book;
}

static void the_lesser_of_ceiling_and_budget_remains(void **state)
{
    struct account *account;
    struct accounts *book = book_of(150, &account);
    struct purse a, b;
    struct purse_hold first = { 0 }, second = { 0 };

    (void)state;
    purse_init(&a, 100, account);
    purse_init(&b, PURSE_UNBOUNDED, account);
    assert_int_equal(purse_remaining(&a), 100);
    assert_int_equal(purse_remaining(&b), 150);
    assert_int_equal(purse_reserve(&a, 90, &first), PURSE_OK);
    assert_int_equal(purse_remaining(&b), 60);
    assert_int_equal(purse_reserve(&b, 61, &second), PURSE_SHORT);
    assert_int_equal(purse_reserve(&b, PURSE_UNBOUNDED, &second), PURSE_NO_BOUND);
    assert_int_equal(purse_reserve(&b, 60, &second), PURSE_OK);
    purse_release(&b, &second);
    purse_unknown(&a, &first, 5);
    assert_int_equal(purse_remaining(&a), 10);
    assert_int_equal(purse_remaining(&b), 60);
    accounts_free(book);
}

static void a_seat_keeps_money_for_the_answer_and_nobody_comes_in_between(void **state)
{
    struct account *account;
    struct accounts *book = book_of(100, &account);
    struct purse a, b;
    struct purse_hold evidence = { 0 }, answer = { 0 }, other = { 0 };

    (void)state;
    purse_init(&a, PURSE_UNBOUNDED, account);
    purse_init(&b, PURSE_UNBOUNDED, account);
    assert_int_equal(purse_seat(&a, 60), PURSE_OK);
    assert_int_equal(purse_remaining(&a), 100);
    assert_int_equal(purse_remaining(&b), 40);
    assert_int_equal(purse_reserve(&a, 41, &evidence), PURSE_SHORT);
    assert_int_equal(purse_reserve(&a, 10, &evidence), PURSE_OK);
    assert_false(purse_settle(&a, &evidence, 10));
    assert_int_equal(purse_reserve(&b, 30, &other), PURSE_OK);
    assert_int_equal(purse_remaining(&a), 60);
    assert_int_equal(purse_take(&a, 61, &answer), PURSE_SHORT);
    assert_int_equal(purse_remaining(&a), 60);
    assert_int_equal(purse_take(&a, 60, &answer), PURSE_OK);
    assert_int_equal(purse_remaining(&b), 0);
    purse_leave(&a); /* there is no seat any more */
    purse_release(&a, &answer);
    purse_release(&b, &other);
    assert_int_equal(purse_remaining(&b), 90);
    accounts_free(book);
}

static void a_seat_that_is_not_used_is_given_back(void **state)
{
    struct account *account;
    struct accounts *book = book_of(100, &account);
    struct purse purse;

    (void)state;
    purse_init(&purse, PURSE_UNBOUNDED, account);
    assert_int_equal(purse_seat(&purse, 101), PURSE_SHORT);
    assert_int_equal(purse_seat(&purse, 100), PURSE_OK);
    purse_leave(&purse);
    purse_leave(&purse);
    assert_int_equal(account_remaining(account, NULL), 100);
    purse_init(&purse, PURSE_UNBOUNDED, NULL);
    assert_int_equal(purse_seat(&purse, 100), PURSE_OK);
    purse_leave(&purse);
    accounts_free(book);
}

static void what_one_of_the_two_refuses_is_taken_from_neither(void **state)
{
    struct account *account;
    struct accounts *book = book_of(50, &account);
    struct purse purse;
    struct purse_hold hold = { 0 };

    (void)state;
    purse_init(&purse, 100, account);
    assert_int_equal(purse_reserve(&purse, 60, &hold), PURSE_SHORT);
    assert_int_equal(purse.held_pico, 0);
    purse_init(&purse, 40, account);
    assert_int_equal(purse_reserve(&purse, 45, &hold), PURSE_SHORT);
    assert_int_equal(account_remaining(account, NULL), 50);
    assert_int_equal(purse_reserve(&purse, 40, &hold), PURSE_OK);
    assert_true(purse_settle(&purse, &hold, 70));
    assert_int_equal(account_remaining(account, NULL), 0);
    accounts_free(book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reservation_takes_from_what_remains),
        cmocka_unit_test(a_worst_case_above_what_remains_is_refused_and_changes_nothing),
        cmocka_unit_test(settling_gives_back_what_was_not_used),
        cmocka_unit_test(an_attempt_of_unknown_fate_counts_at_its_worst_case),
        cmocka_unit_test(a_released_hold_costs_nothing),
        cmocka_unit_test(a_hold_is_settled_once),
        cmocka_unit_test(a_charge_above_the_reservation_is_booked_and_told),
        cmocka_unit_test(without_a_bound_nothing_is_reserved_under_a_ceiling),
        cmocka_unit_test(without_a_ceiling_everything_is_reserved_and_counted),
        cmocka_unit_test(whatever_happens_the_ceiling_holds),
        cmocka_unit_test(the_lesser_of_ceiling_and_budget_remains),
        cmocka_unit_test(what_one_of_the_two_refuses_is_taken_from_neither),
        cmocka_unit_test(a_seat_keeps_money_for_the_answer_and_nobody_comes_in_between),
        cmocka_unit_test(a_seat_that_is_not_used_is_given_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
