/* test_health.c - the breaker of one endpoint, by tables of what happens when.
 *
 * A scenario is a list of steps; each names a time, an event and what must be seen after it.
 */
#include "gateway/flow/health.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MS  UINT64_C(1000)
#define SEC (1000 * MS)

/* Open for 1 s, 2 s, 4 s, 8 s, each a quarter more or less. */
static const struct health_rules rules = {
    .failures = 3,
    .share_percent = 50,
    .share_calls = 10,
    .window_us = 10 * SEC,
    .open_us = 1 * SEC,
    .open_max_us = 8 * SEC,
    .slow_us = 10 * SEC,
    .limited_max_us = 60 * SEC,
};
#define LONGEST(seconds) ((seconds)*SEC * 5 / 4 + 1)

enum event {
    WORKS,   /* a whole call */
    FAILS,   /* likewise */
    LEFT,    /* likewise: nothing was said */
    LIMITED, /* a 429 for 5 s */
    LOOKS,
    SHUT, /* no call may begin */
    BEGINS,
    EARLY_SHUT, /* not even a call before its time */
    EARLY,      /* begins, before its time */
    WENT_WELL,  /* the call that began last */
    WENT_WRONG,
    LEAVES,
    CHECK_GOOD,
    CHECK_BAD,
};

struct step {
    uint64_t at_us;
    enum event event;
    unsigned times; /* 0: once */
    enum health_state state;
    enum health_may may; /* of a look right after it */
};

static enum health_change one_call(struct health *health, uint64_t now_us,
                                   enum health_said said)
{
    struct health_ticket ticket = { 0 };
    enum health_change begun, told, left;

    assert_true(health_enter(health, &rules, false, now_us, &ticket, &begun));
    told = health_told(health, &rules, now_us, &ticket, said, "cut");
    left = health_leave(health, &rules, now_us, &ticket);
    return told != HEALTH_SAME ? told : left;
}

static void take(struct health *health, struct health_ticket *ticket,
                 const struct step *step)
{
    const uint64_t now = step->at_us;
    struct health_ticket other = { 0 };
    enum health_change change;

    switch (step->event) {
    case WORKS:
        (void)one_call(health, now, HEALTH_WORKED);
        break;
    case FAILS:
        (void)one_call(health, now, HEALTH_FAILED);
        break;
    case LEFT:
        (void)one_call(health, now, HEALTH_NOTHING);
        break;
    case LIMITED:
        (void)health_limit(health, &rules, now, 5 * SEC);
        break;
    case LOOKS:
        break;
    case SHUT:
        assert_false(health_enter(health, &rules, false, now, &other, &change));
        break;
    case BEGINS:
        assert_true(health_enter(health, &rules, false, now, ticket, &change));
        break;
    case EARLY_SHUT:
        assert_false(health_early(health, &rules, now));
        break;
    case EARLY:
        assert_true(health_early(health, &rules, now));
        assert_true(health_enter(health, &rules, true, now, ticket, &change));
        assert_int_equal(change, HEALTH_TRYING);
        assert_false(health_early(health, &rules, now));
        assert_false(health_enter(health, &rules, true, now, &other, &change));
        break;
    case WENT_WELL:
    case WENT_WRONG:
        (void)health_told(health, &rules, now, ticket,
                          step->event == WENT_WELL ? HEALTH_WORKED : HEALTH_FAILED,
                          "cut");
        (void)health_leave(health, &rules, now, ticket);
        break;
    case LEAVES:
        (void)health_leave(health, &rules, now, ticket);
        break;
    case CHECK_GOOD:
    case CHECK_BAD:
        (void)health_checked(health, &rules, now, step->event == CHECK_GOOD, "connect");
        break;
    }
}

static void play(const struct step *steps, size_t n)
{
    struct health health = { 0 };
    struct health_ticket ticket = { 0 };

    for (size_t i = 0; i < n; i++) {
        enum health_may may;

        for (unsigned t = 0; t < (steps[i].times > 0 ? steps[i].times : 1); t++)
            take(&health, &ticket, &steps[i]);
        may = health_show(&health, &rules, steps[i].at_us, NULL);
        if (health_state(&health) != steps[i].state || may != steps[i].may)
            fail_msg("step %zu: '%s' and '%s'", i,
                     health_state_word(health_state(&health)), health_may_word(may));
    }
    assert_int_equal(atomic_load(&health.in_flight), 0);
}

#define PLAY(name, ...)                                                                  \
    static void name(void **state)                                                       \
    {                                                                                    \
        static const struct step steps[] = { __VA_ARGS__ };                              \
                                                                                         \
        (void)state;                                                                     \
        play(steps, ARRAY_LEN(steps));                                                   \
    }

#define CLOSED    HEALTH_CLOSED
#define OPEN      HEALTH_OPEN
#define HALF_OPEN HEALTH_HALF_OPEN
#define READY     HEALTH_MAY_READY
#define TRIAL     HEALTH_MAY_TRIAL
#define DOWN      HEALTH_MAY_DOWN
#define SLOW      HEALTH_MAY_SLOW
#define LIMIT     HEALTH_MAY_LIMITED

PLAY(failures_in_a_row_open_it, { 1 * SEC, FAILS, 2, CLOSED, READY },
     { 1 * SEC, FAILS, 1, OPEN, DOWN }, { 1 * SEC, SHUT, 5, OPEN, DOWN })

PLAY(a_call_that_works_breaks_the_row, { 1 * SEC, FAILS, 2, CLOSED, READY },
     { 1 * SEC, WORKS, 1, CLOSED, READY }, { 1 * SEC, FAILS, 2, CLOSED, READY })

PLAY(half_of_the_calls_of_a_window_open_it, { 1 * SEC, WORKS, 5, CLOSED, READY },
     { 1 * SEC, FAILS, 2, CLOSED, READY }, { 1 * SEC, WORKS, 1, CLOSED, READY },
     { 1 * SEC, FAILS, 2, CLOSED, READY }, { 1 * SEC, WORKS, 1, CLOSED, READY },
     { 1 * SEC, FAILS, 2, CLOSED, READY }, { 1 * SEC, WORKS, 0, CLOSED, READY },
     { 1 * SEC, FAILS, 2, OPEN, DOWN })

PLAY(failures_of_different_windows_are_not_added, { 1 * SEC, FAILS, 2, CLOSED, READY },
     { 1 * SEC, WORKS, 3, CLOSED, READY }, { 1 * SEC, FAILS, 2, CLOSED, READY },
     { 11 * SEC, WORKS, 1, CLOSED, READY }, { 11 * SEC, FAILS, 2, CLOSED, READY })

PLAY(clients_that_leave_say_nothing, { 1 * SEC, FAILS, 2, CLOSED, READY },
     { 1 * SEC, LEFT, 20, CLOSED, READY }, { 1 * SEC, FAILS, 1, OPEN, DOWN })

PLAY(when_its_time_is_over_one_call_is_let_through, { 1 * SEC, FAILS, 3, OPEN, DOWN },
     { 1 * SEC + 700 * MS, SHUT, 1, OPEN, DOWN },
     { 1 * SEC + LONGEST(1), LOOKS, 9, OPEN, TRIAL },
     { 1 * SEC + LONGEST(1), BEGINS, 1, HALF_OPEN, DOWN },
     { 1 * SEC + LONGEST(1), SHUT, 9, HALF_OPEN, DOWN },
     { 1 * SEC + LONGEST(1), WENT_WELL, 1, CLOSED, SLOW },
     { 30 * SEC, LOOKS, 1, CLOSED, READY })

PLAY(each_failed_trial_doubles_the_time, { 100 * SEC, FAILS, 3, OPEN, DOWN },
     { 101 * SEC + 251 * MS, FAILS, 1, OPEN, DOWN },
     { 102 * SEC + 700 * MS, SHUT, 1, OPEN, DOWN }, { 104 * SEC, FAILS, 1, OPEN, DOWN },
     { 106 * SEC + 900 * MS, SHUT, 1, OPEN, DOWN }, { 110 * SEC, FAILS, 1, OPEN, DOWN },
     { 115 * SEC + 900 * MS, SHUT, 1, OPEN, DOWN }, { 121 * SEC, FAILS, 1, OPEN, DOWN },
     { 126 * SEC + 900 * MS, SHUT, 1, OPEN, DOWN }, { 132 * SEC, LOOKS, 1, OPEN, TRIAL })

PLAY(a_trial_whose_client_left_is_made_by_the_next, { 1 * SEC, FAILS, 3, OPEN, DOWN },
     { 3 * SEC, BEGINS, 1, HALF_OPEN, DOWN }, { 3 * SEC, LEAVES, 1, OPEN, TRIAL },
     { 3 * SEC, WORKS, 1, CLOSED, SLOW })

PLAY(a_trial_that_takes_too_long_gets_company, { 1 * SEC, FAILS, 3, OPEN, DOWN },
     { 3 * SEC, BEGINS, 1, HALF_OPEN, DOWN },
     { 3 * SEC + 700 * MS, SHUT, 1, HALF_OPEN, DOWN },
     { 3 * SEC + LONGEST(1), WORKS, 1, CLOSED, SLOW },
     { 3 * SEC + LONGEST(1), WENT_WRONG, 1, CLOSED, SLOW })

PLAY(who_has_nobody_else_tries_it_before_its_time, { 1 * SEC, FAILS, 3, OPEN, DOWN },
     { 1 * SEC + 99 * MS, EARLY_SHUT, 1, OPEN, DOWN },
     { 1 * SEC + 100 * MS, EARLY, 1, HALF_OPEN, DOWN },
     { 1 * SEC + 110 * MS, SHUT, 3, HALF_OPEN, DOWN },
     { 1 * SEC + 110 * MS, EARLY_SHUT, 3, HALF_OPEN, DOWN },
     { 1 * SEC + 120 * MS, WENT_WELL, 1, CLOSED, SLOW })

PLAY(an_early_trial_that_fails_lengthens_nothing, { 1 * SEC, FAILS, 3, OPEN, DOWN },
     { 1 * SEC + 200 * MS, EARLY, 1, HALF_OPEN, DOWN },
     { 1 * SEC + 210 * MS, WENT_WRONG, 1, OPEN, DOWN },
     { 1 * SEC + 309 * MS, EARLY_SHUT, 1, OPEN, DOWN },
     { 1 * SEC + 400 * MS, EARLY, 1, HALF_OPEN, DOWN },
     { 1 * SEC + 410 * MS, WENT_WRONG, 1, OPEN, DOWN },
     { 1 * SEC + 700 * MS, SHUT, 1, OPEN, DOWN },
     { 1 * SEC + LONGEST(1), LOOKS, 1, OPEN, TRIAL },
     { 1 * SEC + LONGEST(1), FAILS, 1, OPEN, DOWN },
     { 1 * SEC + LONGEST(1) + 1400 * MS, SHUT, 1, OPEN, DOWN })

PLAY(an_early_trial_whose_client_left_changes_nothing, { 1 * SEC, FAILS, 3, OPEN, DOWN },
     { 1 * SEC + 100 * MS, EARLY, 1, HALF_OPEN, DOWN },
     { 1 * SEC + 110 * MS, LEAVES, 1, OPEN, DOWN },
     { 1 * SEC + LONGEST(1), LOOKS, 1, OPEN, TRIAL })

PLAY(an_early_trial_that_ends_late_is_like_any_other, { 1 * SEC, FAILS, 3, OPEN, DOWN },
     { 1 * SEC + 100 * MS, EARLY, 1, HALF_OPEN, DOWN },
     { 4 * SEC, WENT_WRONG, 1, OPEN, DOWN }, { 4 * SEC + 1400 * MS, SHUT, 1, OPEN, DOWN },
     { 4 * SEC + LONGEST(2), LOOKS, 1, OPEN, TRIAL })

PLAY(nobody_who_named_a_time_is_tried_before_it, { 1 * SEC, FAILS, 3, OPEN, DOWN },
     { 1 * SEC + 50 * MS, LIMITED, 1, OPEN, DOWN },
     { 1 * SEC + 700 * MS, EARLY_SHUT, 1, OPEN, DOWN },
     { 6 * SEC, EARLY_SHUT, 1, OPEN, LIMIT },
     { 6 * SEC + 50 * MS, LOOKS, 1, OPEN, TRIAL })

static void who_is_worth_waiting_for(void **state)
{
    struct health health = { 0 };
    struct health_ticket ticket;
    enum health_change change;

    (void)state;
    assert_true(health_hope(&health, &rules, SEC, SEC, SEC));
    for (unsigned i = 0; i < 3; i++)
        (void)one_call(&health, SEC, HEALTH_FAILED);
    /* It has failed since; it had failed before: from 100 ms on it may be tried. */
    assert_false(health_hope(&health, &rules, SEC - 1, SEC, 9 * SEC));
    assert_false(health_hope(&health, &rules, SEC, SEC, SEC + 99 * MS));
    assert_true(health_hope(&health, &rules, SEC, SEC, SEC + 100 * MS));
    assert_true(health_enter(&health, &rules, true, SEC + 100 * MS, &ticket, &change));
    assert_true(health_hope(&health, &rules, SEC, SEC + 100 * MS, SEC + 110 * MS));
    (void)health_told(&health, &rules, SEC + 105 * MS, &ticket, HEALTH_FAILED, "cut");
    (void)health_leave(&health, &rules, SEC + 105 * MS, &ticket);
    assert_false(health_hope(&health, &rules, SEC, SEC + 110 * MS, 9 * SEC));
    assert_true(health_hope(&health, &rules, SEC + 200 * MS, SEC + 200 * MS, 2 * SEC));
}

PLAY(a_call_from_before_does_not_decide, { 1 * SEC, BEGINS, 1, CLOSED, READY },
     { 1 * SEC, FAILS, 3, OPEN, DOWN }, { 1 * SEC, WENT_WELL, 1, OPEN, DOWN })

PLAY(who_was_well_for_long_begins_with_the_shortest_time,
     { 1 * SEC, FAILS, 3, OPEN, DOWN }, { 3 * SEC, FAILS, 1, OPEN, DOWN },
     { 6 * SEC, FAILS, 1, OPEN, DOWN }, { 12 * SEC, WORKS, 1, CLOSED, SLOW },
     { 40 * SEC, FAILS, 3, OPEN, DOWN }, { 40 * SEC + LONGEST(1), LOOKS, 1, OPEN, TRIAL })

PLAY(who_flaps_stays_open_for_ever_longer, { 1 * SEC, FAILS, 3, OPEN, DOWN },
     { 3 * SEC, WORKS, 1, CLOSED, SLOW }, { 4 * SEC, FAILS, 3, OPEN, DOWN },
     { 4 * SEC + 1400 * MS, SHUT, 1, OPEN, DOWN },
     { 4 * SEC + LONGEST(2), LOOKS, 1, OPEN, TRIAL })

PLAY(a_limit_is_no_failure, { 1 * SEC, LIMITED, 9, CLOSED, LIMIT },
     { 5 * SEC, LOOKS, 1, CLOSED, LIMIT }, { 6 * SEC, LOOKS, 1, CLOSED, READY })

PLAY(a_trial_waits_for_the_end_of_a_limit, { 1 * SEC, FAILS, 3, OPEN, DOWN },
     { 2 * SEC + 300 * MS, LIMITED, 1, OPEN, LIMIT }, { 8 * SEC, LOOKS, 1, OPEN, TRIAL })

PLAY(bad_checks_open_it_and_good_ones_excuse_nothing,
     { 1 * SEC, CHECK_BAD, 1, CLOSED, READY }, { 1 * SEC, CHECK_GOOD, 9, CLOSED, READY },
     { 1 * SEC, FAILS, 1, CLOSED, READY }, { 1 * SEC, CHECK_BAD, 1, OPEN, DOWN },
     { 1 * SEC + 100 * MS, CHECK_GOOD, 1, OPEN, TRIAL },
     { 1 * SEC + 100 * MS, WORKS, 1, CLOSED, SLOW })

static void a_checked_one_is_not_tried_by_requests(void **state)
{
    struct health_rules checked = rules;
    struct health health = { 0 };
    uint64_t now = 1 * SEC;

    (void)state;
    checked.checked_us = 5 * SEC;
    for (unsigned i = 0; i < checked.failures; i++)
        (void)health_checked(&health, &checked, now, false, "connect");
    for (unsigned i = 0; i < 100; i++, now += 5 * SEC) {
        assert_int_equal(health_show(&health, &checked, now, NULL), HEALTH_MAY_DOWN);
        assert_false(health_early(&health, &checked, now));
        (void)health_checked(&health, &checked, now, false, "connect");
    }
    (void)health_checked(&health, &checked, now, true, NULL);
    assert_int_equal(health_show(&health, &checked, now, NULL), HEALTH_MAY_TRIAL);
}

static void recover(struct health *health, uint64_t now_us)
{
    for (unsigned i = 0; i < rules.failures; i++)
        (void)one_call(health, now_us, HEALTH_FAILED);
    assert_int_equal(one_call(health, now_us + 2 * SEC, HEALTH_WORKED), HEALTH_RECOVERED);
}

static void the_share_of_calls_grows_after_recovery(void **state)
{
    static const struct {
        uint64_t after_us;
        unsigned least, most; /* of 100 looks */
    } shares[] = { { 0, 9, 11 },
                   { 2 * SEC, 27, 29 },
                   { 5 * SEC, 54, 56 },
                   { 9 * SEC, 90, 92 },
                   { 10 * SEC, 100, 100 } };
    struct health health = { 0 };

    (void)state;
    recover(&health, 1 * SEC);
    for (size_t i = 0; i < ARRAY_LEN(shares); i++) {
        unsigned ready = 0;

        for (unsigned n = 0; n < 100; n++)
            ready += health_look(&health, &rules, 3 * SEC + shares[i].after_us, NULL) ==
                     HEALTH_MAY_READY;
        assert_in_range(ready, shares[i].least, shares[i].most);
    }
}

static void a_change_is_told_once(void **state)
{
    struct health health = { 0 };

    (void)state;
    assert_int_equal(one_call(&health, SEC, HEALTH_FAILED), HEALTH_SAME);
    assert_int_equal(one_call(&health, SEC, HEALTH_FAILED), HEALTH_SAME);
    assert_int_equal(one_call(&health, SEC, HEALTH_FAILED), HEALTH_OPENED);
    assert_int_equal(one_call(&health, 3 * SEC, HEALTH_FAILED), HEALTH_REOPENED);
    assert_int_equal(one_call(&health, 6 * SEC, HEALTH_WORKED), HEALTH_RECOVERED);
    assert_true(health_limit(&health, &rules, 7 * SEC, SEC));
    assert_false(health_limit(&health, &rules, 7 * SEC, 2 * SEC));
    assert_true(health_limit(&health, &rules, 9 * SEC, SEC));
}

static void a_limit_is_cut_and_never_shortened(void **state)
{
    struct health health = { 0 };
    uint64_t until;

    (void)state;
    (void)health_limit(&health, &rules, SEC, 3600 * SEC);
    assert_int_equal(health_look(&health, &rules, SEC, &until), HEALTH_MAY_LIMITED);
    assert_int_equal(until, 61 * SEC);
    (void)health_limit(&health, &rules, 2 * SEC, SEC);
    assert_int_equal(health_look(&health, &rules, 50 * SEC, &until), HEALTH_MAY_LIMITED);
}

static void what_failed_last_is_kept(void **state)
{
    struct health health = { 0 };

    (void)state;
    (void)one_call(&health, 5 * SEC, HEALTH_FAILED);
    assert_string_equal(atomic_load(&health.failed_why), "cut");
    assert_int_equal(atomic_load(&health.failed_us), 5 * SEC);
}

/* -- from several threads ---------------------------------------------------------------- */

#define THREADS 4
#define CALLS   20000

static struct crowd {
    struct health health;
    _Atomic(uint64_t) now_us;
    atomic_int trials, most_trials, opened, recovered;
} crowd;

/* Every third second of the crowd's clock is a bad one. */
static void *hammer(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;

    for (unsigned i = 0; i < CALLS; i++) {
        uint64_t now = atomic_fetch_add(&crowd.now_us, 200) + 1;
        bool bad = now / SEC % 3 == 0;
        struct health_ticket ticket = { 0 };
        enum health_change change;
        int trials;

        seed = seed * 1664525u + 1013904223u;
        if (!health_enter(&crowd.health, &rules,
                          seed >> 29 == 0 && health_early(&crowd.health, &rules, now),
                          now, &ticket, &change))
            continue;
        if (ticket.trial) {
            trials = 1 + atomic_fetch_add(&crowd.trials, 1);
            if (trials > atomic_load(&crowd.most_trials))
                atomic_store(&crowd.most_trials, trials);
            atomic_fetch_sub(&crowd.trials, 1);
        }
        change = health_told(&crowd.health, &rules, now, &ticket,
                             bad               ? HEALTH_FAILED
                             : seed >> 28 == 0 ? HEALTH_NOTHING
                                               : HEALTH_WORKED,
                             "cut");
        atomic_fetch_add(&crowd.opened, change == HEALTH_OPENED);
        atomic_fetch_add(&crowd.recovered, change == HEALTH_RECOVERED);
        (void)health_leave(&crowd.health, &rules, now, &ticket);
    }
    return NULL;
}

static void threads_agree_on_every_change(void **state)
{
    pthread_t threads[THREADS];
    int down;

    (void)state;
    atomic_store(&crowd.now_us, SEC);
    for (uintptr_t t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, hammer, (void *)(t + 1)), 0);
    for (size_t t = 0; t < THREADS; t++)
        (void)pthread_join(threads[t], NULL);
    assert_int_equal(atomic_load(&crowd.health.in_flight), 0);
    assert_int_equal(atomic_load(&crowd.most_trials), 1);
    down = health_state(&crowd.health) != HEALTH_CLOSED;
    assert_int_equal(atomic_load(&crowd.opened), atomic_load(&crowd.recovered) + down);
    assert_true(atomic_load(&crowd.opened) >= 2);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_in_a_row_open_it),
        cmocka_unit_test(a_call_that_works_breaks_the_row),
        cmocka_unit_test(half_of_the_calls_of_a_window_open_it),
        cmocka_unit_test(failures_of_different_windows_are_not_added),
        cmocka_unit_test(clients_that_leave_say_nothing),
        cmocka_unit_test(when_its_time_is_over_one_call_is_let_through),
        cmocka_unit_test(each_failed_trial_doubles_the_time),
        cmocka_unit_test(a_trial_whose_client_left_is_made_by_the_next),
        cmocka_unit_test(who_has_nobody_else_tries_it_before_its_time),
        cmocka_unit_test(an_early_trial_that_fails_lengthens_nothing),
        cmocka_unit_test(an_early_trial_whose_client_left_changes_nothing),
        cmocka_unit_test(an_early_trial_that_ends_late_is_like_any_other),
        cmocka_unit_test(nobody_who_named_a_time_is_tried_before_it),
        cmocka_unit_test(who_is_worth_waiting_for),
        cmocka_unit_test(a_trial_that_takes_too_long_gets_company),
        cmocka_unit_test(a_call_from_before_does_not_decide),
        cmocka_unit_test(who_was_well_for_long_begins_with_the_shortest_time),
        cmocka_unit_test(who_flaps_stays_open_for_ever_longer),
        cmocka_unit_test(a_limit_is_no_failure),
        cmocka_unit_test(a_trial_waits_for_the_end_of_a_limit),
        cmocka_unit_test(bad_checks_open_it_and_good_ones_excuse_nothing),
        cmocka_unit_test(a_checked_one_is_not_tried_by_requests),
        cmocka_unit_test(the_share_of_calls_grows_after_recovery),
        cmocka_unit_test(a_change_is_told_once),
        cmocka_unit_test(a_limit_is_cut_and_never_shortened),
        cmocka_unit_test(what_failed_last_is_kept),
        cmocka_unit_test(threads_agree_on_every_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
