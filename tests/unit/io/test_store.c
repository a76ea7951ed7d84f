/* The store: what was put is committed, bounded, counted when lost, and found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/io/store_fixture.h"

/* Another program that writes, for as long as it likes. */
static sqlite3 *lock_the_file(void)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, 5000);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void unlock_the_file(sqlite3 *db)
{
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* A lock, and a commit that has met it. */
static sqlite3 *make_it_fail(struct store *store)
{
    sqlite3 *lock = lock_the_file();

    flush(store);
    assert_true(store_failing(store));
    return lock;
}

/* -- writing ----------------------------------------------------------------------------- */

static void a_row_that_is_put_is_in_the_file_after_the_close(void **state)
{
    struct store_settings with = settings();
    struct store *store = opened(&with);

    (void)state;
    assert_true(put_id(store, "dec_1"));
    store_close(store);
    assert_int_equal(number_in_file("SELECT count(*) FROM decisions"), 1);
    assert_int_equal(number_in_file("SELECT sum(bound_pico) FROM charges"), 1030);
}

static void rows_are_committed_when_so_many_wait(void **state)
{
    struct store_settings with = settings();
    struct store *store;

    (void)state;
    with.commit_rows = 3;
    store = opened(&with);
    (void)put_id(store, "dec_1");
    (void)put_id(store, "dec_2");
    assert_int_equal(number_in_file("SELECT count(*) FROM decisions"), 0);
    (void)put_id(store, "dec_3");
    while (store_waiting(store) > 0)
        sched_yield();
    assert_int_equal(number_in_file("SELECT count(*) FROM decisions"), 3);
    store_close(store);
}

static void rows_are_committed_when_one_is_so_old(void **state)
{
    struct store_settings with = settings();
    struct store *store;

    (void)state;
    with.commit_ms = 1;
    store = opened(&with);
    (void)put_id(store, "dec_1");
    while (store_waiting(store) > 0)
        sched_yield();
    assert_int_equal(number_in_file("SELECT count(*) FROM decisions"), 1);
    store_close(store);
}

static void who_waits_is_told_when_the_row_is_in_the_file(void **state)
{
    struct store_settings with = settings();
    struct store *store;
    struct store_decision decision = a_decision("dec_1");
    struct store_row *row = store_row_decision(&decision);
    struct store_wait wait = { .fn = see_written };

    (void)state;
    with.full = true;
    store = opened(&with);
    assert_true(store_put_wait(store, &row, NULL, &wait));
    assert_null(row);
    WAIT_UNTIL(seen.written == 1);
    assert_int_equal(number_in_file("SELECT count(*) FROM decisions"), 1);
    store_close(store);
}

static void who_waits_is_told_on_the_loop_he_names(void **state)
{
    struct store_settings with = settings();
    struct store *store = opened(&with);
    struct store_decision decision = a_decision("dec_1");
    struct store_row *row = store_row_decision(&decision);
    struct loop *loop = NULL;
    struct store_wait wait = { .fn = see_written };

    (void)state;
    assert_int_equal(loop_new(&loop), LOOP_OK);
    wait.loop = loop;
    assert_true(store_put_wait(store, &row, NULL, &wait));
    while (seen.written == 0)
        loop_turn(loop, -1);
    store_close(store);
    loop_free(loop);
}

static void spend_is_added_to_once_however_often_a_decision_is_put(void **state)
{
    struct store_settings with = settings();
    struct store *store = opened(&with);
    struct store_decision decision = a_decision("dec_1");

    (void)state;
    decision.state = STORE_STATE_OPEN;
    (void)put_decision(store, &decision, NULL);
    flush(store);
    assert_int_equal(number_in_file("SELECT count(*) FROM spend"), 0);
    decision.state = STORE_STATE_SETTLED;
    (void)put_decision(store, &decision, NULL);
    (void)put_decision(store, &decision, NULL);
    store_close(store);
    assert_int_equal(number_in_file("SELECT sum(bound_pico) FROM spend"), 1030);
    assert_int_equal(number_in_file("SELECT sum(spent_pico) FROM spend"), 430);
    assert_int_equal(number_in_file("SELECT sum(calls) FROM spend"), 2);
    assert_int_equal(number_in_file("SELECT sum(requests) FROM spend"), 1);
    assert_int_equal(number_in_file("SELECT sum(best_pico) FROM spend"), 900);
    assert_int_equal(number_in_file("SELECT count(*) FROM spend WHERE day = 20000"), 2);
}

#define KEYS 600 /* more than sums that are kept in memory */

static void the_spend_of_many_keys_in_one_commit_is_each_ones_own(void **state)
{
    struct store_settings with = settings();
    struct store *store;
    struct store_decision decision = a_decision("x");
    char id[32], key[32];

    (void)state;
    with.queue_rows = 10000;
    store = opened(&with);
    for (int i = 0; i < 2 * KEYS; i++) {
        (void)snprintf(id, sizeof id, "dec_%04d", i);
        (void)snprintf(key, sizeof key, "key_%03d", i % KEYS);
        decision.id = str_of(id);
        decision.key = str_of(key);
        (void)put_decision(store, &decision, NULL);
    }
    store_close(store);
    assert_int_equal(number_in_file("SELECT count(DISTINCT key) FROM spend"), KEYS);
    assert_int_equal(
        number_in_file("SELECT min(requests) FROM spend WHERE expert = 'large'"), 2);
    assert_int_equal(number_in_file("SELECT max(bound_pico) FROM spend"), 2000);
    assert_int_equal(number_in_file("SELECT sum(bound_pico) FROM spend"),
                     2 * KEYS * 1030);
}

static void a_charge_counts_on_the_day_it_was_reserved(void **state)
{
    struct store_settings with = settings();
    struct store *store = opened(&with);
    struct store_decision decision = a_decision("dec_1");
    struct store_charge late = two_charges[1];

    (void)state;
    late.at_us = 20001 * DAY_US;
    decision.n_charges = 1;
    decision.charges = &late;
    decision.at_us = 20001 * DAY_US - 1;
    (void)put_decision(store, &decision, NULL);
    store_close(store);
    assert_int_equal(number_in_file("SELECT bound_pico FROM spend WHERE day = 20001"),
                     1000);
    assert_int_equal(number_in_file("SELECT requests FROM spend WHERE day = 20000"), 1);
}

static void sums_that_grow_too_large_stop_growing(void **state)
{
    struct store_settings with = settings();
    struct store *store = opened(&with);
    struct store_decision decision = a_decision("dec_1");
    struct store_charge dear = two_charges[1];

    (void)state;
    dear.bound_pico = dear.spent_pico = MONEY_NONE - 1;
    decision.n_charges = 1;
    decision.charges = &dear;
    for (const char *id = "abc"; *id != '\0'; id++) {
        decision.id = (struct str){ id, 1 };
        (void)put_decision(store, &decision, NULL);
    }
    store_close(store);
    assert_int_equal(seen.amounts[STORE_NOTICE_LOST], 0);
    assert_true(number_in_file("SELECT bound_pico FROM spend") >= MONEY_NONE / 2);
}

static void a_row_that_the_tables_refuse_is_lost_alone_and_said(void **state)
{
    struct store_settings with = settings();
    struct store *store = opened(&with);
    struct store_feedback absurd = { .decision = STR("d"),
                                     .expert = STR("e"),
                                     .score = 7 };
    struct store_row *row = store_row_feedback(&absurd);
    struct store_wait wait = { .fn = see_written };

    (void)state;
    (void)put_id(store, "dec_1");
    assert_true(store_put_wait(store, &row, NULL, &wait));
    WAIT_UNTIL(seen.not_written == 1);
    (void)put_id(store, "dec_2");
    store_close(store);
    assert_int_equal(seen.notices[STORE_NOTICE_REFUSED], 1);
    assert_int_equal(seen.amounts[STORE_NOTICE_LOST], 1);
    assert_int_equal(number_in_file("SELECT count(*) FROM decisions"), 2);
}

#define PUTTERS 4
#define EACH    500

static void *put_many(void *arg)
{
    struct store *store = arg;
    struct store_decision decision = a_decision("x");
    struct store_place place = { false };
    char id[64];

    for (int i = 0; i < EACH; i++) {
        (void)snprintf(id, sizeof id, "dec_%p_%d", (void *)&place, i);
        decision.id = str_of(id);
        while (!store_admit(store, &place))
            sched_yield();
        (void)put_decision(store, &decision, &place);
    }
    return NULL;
}

static void rows_of_many_threads_are_all_there(void **state)
{
    struct store_settings with = settings();
    struct store *store;
    pthread_t threads[PUTTERS];

    (void)state;
    with.queue_rows = 64;
    store = opened(&with);
    for (int i = 0; i < PUTTERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, store), 0);
    for (int i = 0; i < PUTTERS; i++)
        pthread_join(threads[i], NULL);
    store_close(store);
    assert_int_equal(number_in_file("SELECT count(*) FROM decisions"), PUTTERS * EACH);
    assert_int_equal(number_in_file("SELECT sum(requests) FROM spend"), PUTTERS * EACH);
    assert_int_equal(seen.amounts[STORE_NOTICE_LOST], 0);
}

/* -- places ------------------------------------------------------------------------------ */

static void a_full_queue_admits_nobody_until_a_place_is_given_back(void **state)
{
    struct store_settings with = settings();
    struct store *store;
    struct store_place places[3] = { { false } };

    (void)state;
    with.queue_rows = 2;
    store = opened(&with);
    assert_true(store_admit(store, &places[0]));
    assert_true(store_admit(store, &places[1]));
    assert_false(store_admit(store, &places[2]));
    store_forgo(store, &places[0]);
    store_forgo(store, &places[0]);
    assert_true(store_admit(store, &places[2]));
    assert_int_equal(store_waiting(store), 2);
    store_forgo(store, &places[1]);
    store_forgo(store, &places[2]);
    store_close(store);
}

static void bytes_are_bounded_too(void **state)
{
    struct store_settings with = settings();
    struct store *store;
    struct store_place place = { false };

    (void)state;
    with.queue_bytes = 1;
    store = opened(&with);
    assert_true(put_id(store, "dec_1"));
    assert_false(store_admit(store, &place));
    assert_false(put_id(store, "dec_2"));
    assert_int_equal(store_lost(store), 1);
    store_close(store);
    assert_int_equal(seen.amounts[STORE_NOTICE_LOST], 1);
}

/* -- failure ----------------------------------------------------------------------------- */

static void a_locked_file_refuses_new_requests_and_keeps_what_was_begun(void **state)
{
    struct store_settings with = settings();
    struct store *store = opened(&with);
    struct store_decision decision = a_decision("dec_1");
    struct store_place begun = { false }, later = { false };
    sqlite3 *lock;

    (void)state;
    assert_true(store_admit(store, &begun));
    lock = make_it_fail(store);
    assert_int_equal(seen.notices[STORE_NOTICE_FAILING], 1);
    assert_int_equal(seen.not_written, 1);
    assert_false(store_admit(store, &later));
    assert_true(put_decision(store, &decision, &begun));
    unlock_the_file(lock);
    WAIT_UNTIL(seen.notices[STORE_NOTICE_WORKING] == 1);
    flush(store);
    assert_int_equal(number_in_file("SELECT count(*) FROM decisions"), 1);
    assert_true(store_admit(store, &later));
    store_forgo(store, &later);
    store_close(store);
    assert_int_equal(seen.amounts[STORE_NOTICE_LOST], 0);
}

static void who_goes_on_while_it_fails_loses_counted_rows(void **state)
{
    struct store_settings with = settings();
    struct store *store;
    struct store_place place = { false };
    sqlite3 *lock;

    (void)state;
    with.refuse = false;
    with.queue_rows = 3;
    store = opened(&with);
    lock = make_it_fail(store);
    assert_true(store_admit(store, &place));
    store_forgo(store, &place);
    assert_true(put_id(store, "dec_1"));
    assert_true(put_id(store, "dec_2"));
    assert_false(put_id(store, "dec_3"));
    assert_false(put_id(store, "dec_4"));
    WAIT_UNTIL(seen.amounts[STORE_NOTICE_LOST] == 2);
    unlock_the_file(lock);
    store_close(store);
    assert_int_equal(number_in_file("SELECT count(*) FROM decisions"), 2);
}

static void who_waits_while_it_fails_is_told_at_once(void **state)
{
    struct store_settings with = settings();
    struct store *store = opened(&with);
    sqlite3 *lock = make_it_fail(store);
    int before = seen.not_written;

    (void)state;
    flush(store);
    assert_int_equal(seen.not_written, before + 1);
    unlock_the_file(lock);
    store_close(store);
    assert_int_equal(number_in_file("SELECT count(*) FROM feedback"), 1);
}

static void what_cannot_be_written_at_the_end_is_said_to_be_lost(void **state)
{
    struct store_settings with = settings();
    struct store *store = opened(&with);
    sqlite3 *lock = make_it_fail(store);

    (void)state;
    (void)put_id(store, "dec_1");
    store_close(store);
    assert_int_equal(seen.amounts[STORE_NOTICE_LOST], 2);
    unlock_the_file(lock);
}

/* -- reading ----------------------------------------------------------------------------- */

struct question {
    const char *id;
    enum store_find_by by;
    enum store_err err;
    struct store_row *found;
};

static void find(void *arg, struct store_view *view)
{
    struct question *q = arg;

    q->err = store_find(view, q->by, str_of(q->id), &q->found, NULL);
}

static struct store_row *found(struct store *store, enum store_find_by by, const char *id)
{
    struct question q = { .id = id, .by = by };
    struct store_job job = { .run = find, .done = see_done, .arg = &q };
    int before = seen.jobs;

    assert_true(store_read(store, &job));
    WAIT_UNTIL(seen.jobs > before);
    assert_true(q.err == STORE_OK || q.err == STORE_ABSENT);
    return q.found;
}

static void a_question_sees_what_was_put_before_it(void **state)
{
    struct store_settings with = settings();
    struct store *store = opened(&with);
    struct store_row *row;
    const struct store_decision *d;

    (void)state;
    (void)put_id(store, "dec_1");
    row = found(store, STORE_BY_ID, "dec_1");
    assert_non_null(row);
    d = store_row_as_decision(row);
    assert_true(str_is(d->record, "{\"id\":1}"));
    assert_true(str_is(d->key, "key_a"));
    assert_int_equal(d->bound_pico, 1030);
    assert_int_equal(d->n_charges, 2);
    assert_true(str_is(d->charges[1].expert, "large"));
    assert_int_equal(d->charges[0].fate, STORE_FATE_REPORTED);
    assert_int_equal(d->charges[0].output_tokens, -1);
    store_row_free(row);
    assert_int_equal(number_in_file("SELECT count(*) FROM decisions"), 1);
    store_close(store);
}

static void decisions_are_found_by_the_ids_that_clients_have(void **state)
{
    struct store_settings with = settings();
    struct store *store = opened(&with);
    struct store_row *row;

    (void)state;
    (void)put_id(store, "dec_1");
    (void)put_id(store, "dec_2");
    row = found(store, STORE_BY_REQUEST, "req_1");
    assert_true(str_is(store_row_as_decision(row)->id, "dec_2"));
    store_row_free(row);
    row = found(store, STORE_BY_RESPONSE, "chatcmpl-1");
    assert_true(str_is(store_row_as_decision(row)->id, "dec_2"));
    store_row_free(row);
    assert_null(found(store, STORE_BY_ID, "dec_3"));
    store_close(store);
}

static void while_it_fails_rows_are_found_in_memory(void **state)
{
    struct store_settings with = settings();
    struct store *store = opened(&with);
    sqlite3 *lock = make_it_fail(store);
    struct store_row *row;

    (void)state;
    (void)put_id(store, "dec_1");
    row = found(store, STORE_BY_ID, "dec_1");
    assert_non_null(row);
    assert_int_equal(store_row_as_decision(row)->n_charges, 2);
    store_row_free(row);
    unlock_the_file(lock);
    store_close(store);
}

static void block(void *arg, struct store_view *view)
{
    (void)view;
    pthread_barrier_wait(arg);
}

static void too_many_questions_are_turned_away(void **state)
{
    struct store_settings with = settings();
    struct store *store = opened(&with);
    static struct store_job jobs[STORE_JOBS_MAX + 2];
    pthread_barrier_t gate;
    int taken = 0;

    (void)state;
    pthread_barrier_init(&gate, NULL, 2);
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
        jobs[i] = (struct store_job){ .run = block, .done = see_done, .arg = &gate };
    /* At most one has left the queue for the reader's thread, which it holds up. */
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
        taken += store_read(store, &jobs[i]);
    assert_in_range(taken, STORE_JOBS_MAX, STORE_JOBS_MAX + 1);
    for (int i = 0; i < taken; i++)
        pthread_barrier_wait(&gate);
    store_close(store);
    assert_int_equal(seen.jobs, taken);
    pthread_barrier_destroy(&gate);
}

/* -- after a crash ----------------------------------------------------------------------- */

static void what_was_open_is_spent_at_its_worst_case_at_the_next_start(void **state)
{
    struct store_settings with = settings();
    struct store *store = opened(&with);
    struct store_decision decision = a_decision("dec_1");
    struct store_charge charges[2] = { two_charges[0], two_charges[1] };

    (void)state;
    decision.state = STORE_STATE_OPEN;
    charges[1].fate = STORE_FATE_OPEN;
    charges[1].spent_pico = 0;
    decision.charges = charges;
    (void)put_decision(store, &decision, NULL);
    store_close(store);
    store = opened(&with);
    store_close(store);
    store = opened(&with);
    assert_int_equal(seen.amounts[STORE_NOTICE_CRASHED], 1);
    store_close(store);
    assert_int_equal(number_in_file("SELECT state = 'crashed' FROM decisions"), 1);
    assert_int_equal(number_in_file("SELECT spent_pico FROM decisions"), 1030);
    assert_int_equal(number_in_file("SELECT fate = 'crashed' FROM charges WHERE n = 1"),
                     1);
    assert_int_equal(number_in_file("SELECT sum(bound_pico) FROM spend"), 1030);
    assert_int_equal(number_in_file("SELECT sum(requests) FROM spend"), 1);
}

static void a_second_gateway_on_the_same_file_is_refused(void **state)
{
    struct store_settings with = settings();
    struct store *store = opened(&with), *second = NULL;
    struct store_error error = { "" };

    (void)state;
    assert_int_equal(store_open(&with, &second, &error), STORE_IN_USE);
    assert_non_null(strstr(error.text, "in use by another gateway"));
    store_close(store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(a_row_that_is_put_is_in_the_file_after_the_close),
        TEST(rows_are_committed_when_so_many_wait),
        TEST(rows_are_committed_when_one_is_so_old),
        TEST(who_waits_is_told_when_the_row_is_in_the_file),
        TEST(who_waits_is_told_on_the_loop_he_names),
        TEST(spend_is_added_to_once_however_often_a_decision_is_put),
        TEST(the_spend_of_many_keys_in_one_commit_is_each_ones_own),
        TEST(a_charge_counts_on_the_day_it_was_reserved),
        TEST(sums_that_grow_too_large_stop_growing),
        TEST(a_row_that_the_tables_refuse_is_lost_alone_and_said),
        TEST(rows_of_many_threads_are_all_there),
        TEST(a_full_queue_admits_nobody_until_a_place_is_given_back),
        TEST(bytes_are_bounded_too),
        TEST(a_locked_file_refuses_new_requests_and_keeps_what_was_begun),
        TEST(who_goes_on_while_it_fails_loses_counted_rows),
        TEST(who_waits_while_it_fails_is_told_at_once),
        TEST(what_cannot_be_written_at_the_end_is_said_to_be_lost),
        TEST(a_question_sees_what_was_put_before_it),
        TEST(decisions_are_found_by_the_ids_that_clients_have),
        TEST(while_it_fails_rows_are_found_in_memory),
        TEST(too_many_questions_are_turned_away),
        TEST(what_was_open_is_spent_at_its_worst_case_at_the_next_start),
        TEST(a_second_gateway_on_the_same_file_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
