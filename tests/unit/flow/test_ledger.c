/* The ledger of one request: what was paid, and what the disk must know when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/flow/ledger.h"
#include "tests/unit/io/store_fixture.h"

struct desk {
    struct store *store;
    struct loop *loop;
    struct arena arena;
    struct purse purse;
    struct purse_hold hold;
    struct store_decision head;
    struct ledger ledger;
    int woken;
};

static void woke(void *arg)
{
    ((struct desk *)arg)->woken++;
}

static void open_desk(struct desk *desk, const struct store_settings *with)
{
    *desk = (struct desk){ .head = a_decision("dec_1") };
    desk->head.charges = NULL;
    desk->head.n_charges = 0;
    arena_init(&desk->arena, 1 << 20);
    purse_init(&desk->purse, 1000000, NULL);
    assert_int_equal(loop_new(&desk->loop), LOOP_OK);
    if (with != NULL)
        desk->store = opened(with);
    ledger_init(&desk->ledger, desk->store, desk->loop, &desk->arena, &desk->head, woke,
                desk);
}

static void close_desk(struct desk *desk)
{
    ledger_release(&desk->ledger);
    if (desk->store != NULL)
        assert_int_equal(store_waiting(desk->store), 0);
    store_close(desk->store);
    loop_free(desk->loop);
    arena_release(&desk->arena);
}

static struct store_settings full(void)
{
    struct store_settings with = settings();

    with.full = true;
    return with;
}

static void reserve(struct desk *desk, const char *expert, int64_t worst_pico)
{
    assert_int_equal(purse_reserve(&desk->purse, worst_pico, &desk->hold), PURSE_OK);
    assert_int_equal(ledger_open(&desk->ledger, &desk->purse, STORE_KIND_GENERATION,
                                 expert, worst_pico, 0),
                     ERR_OK);
}

static void settle_call(struct desk *desk, int64_t actual_pico)
{
    (void)purse_settle(&desk->purse, &desk->hold, actual_pico);
    ledger_close(&desk->ledger, &desk->purse, STORE_FATE_REPORTED, 1, 2);
}

static void take_back(struct desk *desk)
{
    purse_release(&desk->purse, &desk->hold);
    ledger_close(&desk->ledger, &desk->purse, STORE_FATE_FREE, -1, -1);
}

static enum ledger_secured secured(struct desk *desk)
{
    enum ledger_secured is;

    for (;;) {
        is = ledger_secure(&desk->ledger);
        if (is != LEDGER_WAITING)
            return is;
        loop_turn(desk->loop, -1);
    }
}

static void finish(struct desk *desk)
{
    ledger_settle(&desk->ledger, &desk->head);
    while (ledger_busy(&desk->ledger))
        loop_turn(desk->loop, -1);
    if (desk->store != NULL && store_waiting(desk->store) > 0)
        flush(desk->store);
}

static void without_a_store_every_call_may_be_made(void **state)
{
    struct desk desk;

    (void)state;
    open_desk(&desk, NULL);
    assert_int_equal(ledger_admit(&desk.ledger), LEDGER_SECURED);
    reserve(&desk, "small", 100);
    assert_int_equal(ledger_secure(&desk.ledger), LEDGER_SECURED);
    settle_call(&desk, 50);
    assert_false(ledger_binds(&desk.ledger));
    finish(&desk);
    close_desk(&desk);
}

/* Closed in either order, each is what its own call cost. */
static void two_charges_side_by_side_are_told_apart(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct store_settings with = settings();
        struct desk desk;
        struct purse_hold beside = { 0 };

        open_desk(&desk, &with);
        assert_int_equal(ledger_admit(&desk.ledger), LEDGER_SECURED);
        reserve(&desk, "small", 100);
        assert_int_equal(purse_reserve(&desk.purse, 200, &beside), PURSE_OK);
        assert_int_equal(ledger_open_beside(&desk.ledger, &desk.purse,
                                            STORE_KIND_EMBEDDING, "small", 200, 0),
                         ERR_OK);
        if (first == 0)
            settle_call(&desk, 40);
        purse_unknown(&desk.purse, &beside, 70);
        ledger_close_beside(&desk.ledger, &desk.purse, STORE_FATE_UNKNOWN, -1, -1);
        if (first == 1)
            settle_call(&desk, 40);
        finish(&desk);
        assert_int_equal(number_in_file("SELECT spent_pico FROM charges WHERE n = 0"),
                         40);
        assert_int_equal(number_in_file("SELECT bound_pico FROM charges WHERE n = 0"),
                         40);
        assert_int_equal(number_in_file("SELECT spent_pico FROM charges WHERE n = 1"),
                         70);
        assert_int_equal(number_in_file("SELECT bound_pico FROM charges WHERE n = 1"),
                         200);
        assert_int_equal(number_in_file("SELECT bound_pico FROM decisions"), 240);
        close_desk(&desk);
    }
}

static void a_charge_is_what_the_purse_booked_meanwhile(void **state)
{
    struct store_settings with = settings();
    struct desk desk;

    (void)state;
    open_desk(&desk, &with);
    assert_int_equal(ledger_admit(&desk.ledger), LEDGER_SECURED);
    reserve(&desk, "small", 100);
    settle_call(&desk, 40);
    reserve(&desk, "large", 1000);
    purse_unknown(&desk.purse, &desk.hold, 700);
    ledger_close(&desk.ledger, &desk.purse, STORE_FATE_UNKNOWN, -1, -1);
    finish(&desk);
    assert_int_equal(number_in_file("SELECT spent_pico FROM charges WHERE n = 0"), 40);
    assert_int_equal(number_in_file("SELECT bound_pico FROM charges WHERE n = 1"), 1000);
    assert_int_equal(number_in_file("SELECT spent_pico FROM decisions"), 740);
    assert_int_equal(number_in_file("SELECT bound_pico FROM decisions"),
                     desk.purse.bound_pico);
    close_desk(&desk);
}

static void many_charges_stay_in_their_order(void **state)
{
    struct store_settings with = settings();
    struct desk desk;

    (void)state;
    open_desk(&desk, &with);
    for (int i = 0; i < 40; i++) {
        reserve(&desk, "small", 100);
        settle_call(&desk, i);
    }
    finish(&desk);
    assert_int_equal(number_in_file("SELECT count(*) FROM charges WHERE spent_pico = n"),
                     40);
    close_desk(&desk);
}

static void batched_durability_waits_for_nothing(void **state)
{
    struct store_settings with = settings();
    struct desk desk;

    (void)state;
    open_desk(&desk, &with);
    reserve(&desk, "small", 100);
    assert_int_equal(ledger_secure(&desk.ledger), LEDGER_SECURED);
    settle_call(&desk, 40);
    assert_false(ledger_binds(&desk.ledger));
    ledger_settle(&desk.ledger, &desk.head);
    assert_false(ledger_busy(&desk.ledger));
    flush(desk.store);
    close_desk(&desk);
}

static void full_durability_has_the_reservation_on_the_disk(void **state)
{
    struct store_settings with = full();
    struct desk desk;

    (void)state;
    open_desk(&desk, &with);
    reserve(&desk, "small", 100);
    assert_int_equal(ledger_secure(&desk.ledger), LEDGER_WAITING);
    assert_true(ledger_busy(&desk.ledger));
    assert_int_equal(secured(&desk), LEDGER_SECURED);
    assert_int_equal(desk.woken, 1);
    assert_int_equal(number_in_file("SELECT state = 'open' FROM decisions"), 1);
    assert_int_equal(number_in_file("SELECT bound_pico FROM charges"), 100);
    settle_call(&desk, 40);
    assert_true(ledger_binds(&desk.ledger));
    finish(&desk);
    assert_int_equal(desk.woken, 2);
    assert_int_equal(number_in_file("SELECT state = 'settled' FROM decisions"), 1);
    assert_int_equal(number_in_file("SELECT sum(bound_pico) FROM spend"), 40);
    close_desk(&desk);
}

static void a_call_that_cannot_cost_anything_is_not_waited_for(void **state)
{
    struct store_settings with = full();
    struct desk desk;

    (void)state;
    open_desk(&desk, &with);
    reserve(&desk, "free", 0);
    assert_int_equal(ledger_secure(&desk.ledger), LEDGER_SECURED);
    settle_call(&desk, 0);
    assert_false(ledger_binds(&desk.ledger));
    finish(&desk);
    close_desk(&desk);
}

static void what_was_given_up_on_the_way_comes_back_before_the_next(void **state)
{
    struct store_settings with = full();
    struct desk desk;

    (void)state;
    open_desk(&desk, &with);
    reserve(&desk, "small", 100);
    assert_int_equal(ledger_secure(&desk.ledger), LEDGER_WAITING);
    take_back(&desk);
    reserve(&desk, "large", 1000);
    assert_int_equal(secured(&desk), LEDGER_SECURED);
    assert_int_equal(desk.woken, 2);
    assert_int_equal(number_in_file("SELECT bound_pico FROM charges WHERE n = 1"), 1000);
    assert_int_equal(number_in_file("SELECT fate = 'free' FROM charges WHERE n = 0"), 1);
    take_back(&desk);
    finish(&desk);
    assert_int_equal(number_in_file("SELECT sum(bound_pico) FROM spend"), 0);
    close_desk(&desk);
}

static sqlite3 *make_it_fail(struct desk *desk)
{
    sqlite3 *lock = NULL;

    assert_int_equal(sqlite3_open(path, &lock), SQLITE_OK);
    assert_int_equal(sqlite3_exec(lock, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    flush(desk->store);
    assert_true(store_failing(desk->store));
    return lock;
}

static void works_again(struct desk *desk, sqlite3 *lock)
{
    assert_int_equal(sqlite3_close(lock), SQLITE_OK);
    WAIT_UNTIL(seen.notices[STORE_NOTICE_WORKING] == 1);
    flush(desk->store);
}

static void while_the_disk_fails_no_call_is_made(void **state)
{
    struct store_settings with = full();
    struct desk desk;
    sqlite3 *lock;

    (void)state;
    open_desk(&desk, &with);
    assert_int_equal(ledger_admit(&desk.ledger), LEDGER_SECURED);
    lock = make_it_fail(&desk);
    reserve(&desk, "small", 100);
    assert_int_equal(secured(&desk), LEDGER_REFUSED);
    assert_int_equal(ledger_secure(&desk.ledger), LEDGER_REFUSED);
    take_back(&desk);
    finish(&desk);
    works_again(&desk, lock);
    assert_int_equal(number_in_file("SELECT sum(bound_pico) FROM spend"), 0);
    close_desk(&desk);
}

static void who_goes_on_while_the_disk_fails_makes_the_call(void **state)
{
    struct store_settings with = full();
    struct desk desk;
    sqlite3 *lock;

    (void)state;
    with.refuse = false;
    open_desk(&desk, &with);
    lock = make_it_fail(&desk);
    assert_int_equal(ledger_admit(&desk.ledger), LEDGER_SECURED);
    reserve(&desk, "small", 100);
    assert_int_equal(secured(&desk), LEDGER_SECURED);
    settle_call(&desk, 40);
    ledger_settle(&desk.ledger, &desk.head);
    while (ledger_busy(&desk.ledger))
        loop_turn(desk.loop, -1);
    works_again(&desk, lock);
    assert_int_equal(number_in_file("SELECT sum(bound_pico) FROM spend"), 40);
    close_desk(&desk);
}

static void a_request_that_cannot_be_recorded_is_not_begun(void **state)
{
    struct store_settings with = settings();
    struct desk desk;
    sqlite3 *lock;

    (void)state;
    open_desk(&desk, &with);
    lock = make_it_fail(&desk);
    while (ledger_admit(&desk.ledger) == LEDGER_WAITING)
        loop_turn(desk.loop, -1);
    assert_int_equal(ledger_admit(&desk.ledger), LEDGER_REFUSED);
    works_again(&desk, lock);
    close_desk(&desk);
}

static void who_finds_no_room_waits_until_there_is_some(void **state)
{
    struct store_settings with = settings();
    struct store_place others[2] = { { false } };
    struct desk desk;

    (void)state;
    with.queue_rows = 2;
    open_desk(&desk, &with);
    assert_true(store_admit(desk.store, &others[0]));
    assert_true(store_admit(desk.store, &others[1]));
    assert_int_equal(ledger_admit(&desk.ledger), LEDGER_WAITING);
    assert_int_equal(ledger_admit(&desk.ledger), LEDGER_WAITING);
    store_forgo(desk.store, &others[0]);
    while (desk.woken == 0)
        loop_turn(desk.loop, -1);
    assert_int_equal(ledger_admit(&desk.ledger), LEDGER_SECURED);
    assert_false(store_admit(desk.store, &others[0]));
    store_forgo(desk.store, &others[1]);
    close_desk(&desk);
}

static void a_commit_makes_room_for_who_waits(void **state)
{
    struct store_settings with = settings();
    struct desk desk;

    (void)state;
    with.queue_rows = 2;
    open_desk(&desk, &with);
    assert_true(put_id(desk.store, "dec_a"));
    assert_true(put_id(desk.store, "dec_b"));
    while (ledger_admit(&desk.ledger) == LEDGER_WAITING)
        loop_turn(desk.loop, -1);
    assert_int_equal(ledger_admit(&desk.ledger), LEDGER_SECURED);
    ledger_release(&desk.ledger);
    flush(desk.store);
    close_desk(&desk);
}

static void who_waits_for_room_is_refused_when_the_disk_fails(void **state)
{
    struct store_settings with = settings();
    struct store_place other = { false };
    struct desk desk;
    sqlite3 *lock = NULL;

    (void)state;
    with.queue_rows = 2;
    open_desk(&desk, &with);
    assert_true(store_admit(desk.store, &other));
    assert_int_equal(sqlite3_open(path, &lock), SQLITE_OK);
    assert_int_equal(sqlite3_exec(lock, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_true(put_id(desk.store, "dec_a"));
    while (ledger_admit(&desk.ledger) == LEDGER_WAITING)
        loop_turn(desk.loop, -1);
    assert_int_equal(ledger_admit(&desk.ledger), LEDGER_REFUSED);
    store_forgo(desk.store, &other);
    works_again(&desk, lock);
    close_desk(&desk);
}

static void a_decision_is_handed_over_once(void **state)
{
    struct store_settings with = settings();
    struct desk desk;

    (void)state;
    open_desk(&desk, &with);
    reserve(&desk, "small", 100);
    settle_call(&desk, 40);
    ledger_settle(&desk.ledger, &desk.head);
    ledger_settle(&desk.ledger, &desk.head);
    assert_int_equal(store_waiting(desk.store), 1);
    flush(desk.store);
    close_desk(&desk);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(without_a_store_every_call_may_be_made),
        TEST(two_charges_side_by_side_are_told_apart),
        TEST(a_charge_is_what_the_purse_booked_meanwhile),
        TEST(many_charges_stay_in_their_order),
        TEST(batched_durability_waits_for_nothing),
        TEST(full_durability_has_the_reservation_on_the_disk),
        TEST(a_call_that_cannot_cost_anything_is_not_waited_for),
        TEST(what_was_given_up_on_the_way_comes_back_before_the_next),
        TEST(while_the_disk_fails_no_call_is_made),
        TEST(who_goes_on_while_the_disk_fails_makes_the_call),
        TEST(a_request_that_cannot_be_recorded_is_not_begun),
        TEST(who_finds_no_room_waits_until_there_is_some),
        TEST(a_commit_makes_room_for_who_waits),
        TEST(who_waits_for_room_is_refused_when_the_disk_fails),
        TEST(a_decision_is_handed_over_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
