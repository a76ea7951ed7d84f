/* test_admission.c - who is let in, who waits, who is refused: one worker, two, and a crowd
 * of threads. */
#include "gateway/flow/admission.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LANES 3
#define SEATS 64

struct guest {
    struct admission_seat seat;
    struct admission_queue *queue;
    int woken;
};

struct hall {
    struct admission admission;
    struct metrics *metrics;
    struct loop *loops[LANES];
    struct admission_queue *queues[LANES];
    struct config_limits limits;
    struct guest guests[SEATS];
    int order[SEATS], n_order; /* who was woken, in this order */
};

static struct hall *hall;

static void woken(void *arg)
{
    struct guest *guest = arg;

    guest->woken++;
    hall->order[hall->n_order++] = (int)(guest - hall->guests);
}

static int setup(void **state)
{
    hall = calloc(1, sizeof *hall);
    *state = hall;
    assert_int_equal(metrics_new(&hall->metrics), ERR_OK);
    for (size_t i = 0; i < LANES; i++) {
        assert_int_equal(loop_new(&hall->loops[i]), LOOP_OK);
        hall->queues[i] = admission_open(&hall->admission, hall->loops[i],
                                         metrics_block(hall->metrics));
        assert_non_null(hall->queues[i]);
    }
    hall->limits = (struct config_limits){
        .in_flight = 3, .queue = 8, .queue_ms = 600000, .bodies_bytes = 1 << 20
    };
    return 0;
}

static void leave(int i)
{
    admission_leave(hall->guests[i].queue, &hall->guests[i].seat);
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < SEATS; i++)
        if (hall->guests[i].queue != NULL)
            leave(i);
    assert_int_equal(hall->admission.in_flight, 0);
    assert_int_equal(hall->admission.waiting, 0);
    assert_int_equal(hall->admission.bodies, 0);
    assert_int_equal(hall->admission.none.places, 0);
    for (int lane = 0; lane < LANES; lane++) {
        loop_turn(hall->loops[lane], 0);
        admission_close(hall->queues[lane]);
    }
    for (int lane = 0; lane < LANES; lane++)
        loop_free(hall->loops[lane]);
    metrics_free(hall->metrics);
    free(hall);
    return 0;
}

static enum admission_state ask(int lane, int i, struct admission_key *key)
{
    struct guest *guest = &hall->guests[i];

    guest->queue = hall->queues[lane];
    guest->seat.key = key;
    guest->seat.wake = woken;
    guest->seat.arg = guest;
    return admission_ask(guest->queue, &guest->seat, &hall->limits);
}

static void turn(void)
{
    for (int round = 0; round < 3; round++)
        for (int lane = 0; lane < LANES; lane++)
            loop_turn(hall->loops[lane], 0);
}

static enum admission_state state_of(int i)
{
    return hall->guests[i].seat.state;
}

static int64_t shed(enum metric_shed why)
{
    return metrics_value(hall->metrics, METRIC_SHED, why, 0);
}

/* -- one worker -------------------------------------------------------------------------- */

static void a_place_that_is_given_back_goes_to_who_waited_longest(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(0, i, NULL), ADMISSION_IN);
    for (int i = 3; i < 6; i++)
        assert_int_equal(ask(0, i, NULL), ADMISSION_WAITING);
    turn();
    assert_int_equal(hall->n_order, 0);
    assert_int_equal(metrics_value(hall->metrics, METRIC_WAITING, 0, 0), 3);
    leave(1);
    assert_int_equal(hall->n_order, 0);                   /* not from inside the call */
    assert_int_equal(ask(0, 6, NULL), ADMISSION_WAITING); /* nobody overtakes */
    turn();
    leave(0);
    leave(2);
    turn();
    for (int i = 0; i < 3; i++)
        assert_int_equal(hall->order[i], 3 + i);
    assert_int_equal(hall->n_order, 3);
    assert_int_equal(state_of(6), ADMISSION_WAITING);
    assert_int_equal(metrics_value(hall->metrics, METRIC_QUEUE_WAIT, 0, 0), 3);
    assert_int_equal(metrics_value(hall->metrics, METRIC_IN_FLIGHT, 0, 0), 3);
}

static void who_leaves_the_queue_is_not_woken_and_holds_up_nobody(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++)
        (void)!ask(0, i, NULL);
    leave(3);
    leave(5);
    leave(0);
    turn();
    assert_int_equal(hall->n_order, 1);
    assert_int_equal(hall->order[0], 4);
}

static void beyond_the_queue_a_request_is_refused_at_its_head(void **state)
{
    struct guest *late = &hall->guests[11];

    (void)state;
    for (int i = 0; i < 11; i++)
        (void)!ask(0, i, NULL);
    assert_int_equal(state_of(10), ADMISSION_WAITING);
    assert_true(admission_full(hall->queues[0], &late->seat, &hall->limits));
    assert_int_equal(late->seat.state, ADMISSION_SHED);
    assert_int_equal(late->seat.why, METRIC_SHED_FULL);
    /* Who passed the head while there was room. */
    assert_int_equal(ask(0, 12, NULL), ADMISSION_SHED);
    assert_int_equal(shed(METRIC_SHED_FULL), 2);
    leave(0);
    assert_false(admission_full(hall->queues[0], &hall->guests[13].seat, &hall->limits));
}

static void without_a_queue_the_first_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    hall->limits.queue = 0;
    for (int i = 0; i < 3; i++) {
        assert_false(
            admission_full(hall->queues[0], &hall->guests[i].seat, &hall->limits));
        assert_int_equal(ask(0, i, NULL), ADMISSION_IN);
    }
    assert_true(admission_full(hall->queues[0], &hall->guests[3].seat, &hall->limits));
    assert_int_equal(ask(0, 4, NULL), ADMISSION_SHED);
}

static void who_waits_too_long_is_refused(void **state)
{
    (void)state;
    hall->limits.queue_ms = 20;
    for (int i = 0; i < 5; i++)
        (void)!ask(0, i, NULL);
    while (hall->n_order < 2)
        loop_turn(hall->loops[0], -1);
    assert_int_equal(state_of(3), ADMISSION_SHED);
    assert_int_equal(hall->guests[4].seat.why, METRIC_SHED_LATE);
    assert_int_equal(shed(METRIC_SHED_LATE), 2);
    assert_int_equal(metrics_value(hall->metrics, METRIC_WAITING, 0, 0), 0);
}

static int seen[2];

static void look_first(void *arg)
{
    (void)arg;
    seen[0] = hall->n_order;
}

static void look_again(void *arg)
{
    (void)arg;
    seen[1] = hall->n_order;
}

/* Timers of one loop fire in the order of their times, however late the machine is. */
static void in_a_queue_that_stands_nobody_waits_longer_than_a_quarter(void **state)
{
    struct loop_timer before = { .fn = look_first }, after = { .fn = look_again };
    struct loop *loop = hall->loops[0];
    uint64_t asked;

    (void)state;
    for (int i = 0; i < 4; i++)
        (void)!ask(0, i, NULL);
    asked = hall->guests[3].seat.since_us;
    while (loop_now_us(loop) < asked + 200000)
        loop_turn(loop, 5);
    hall->limits.queue_ms = 200; /* for which the queue has not been empty */
    assert_int_equal(ask(0, 4, NULL), ADMISSION_WAITING);
    asked = hall->guests[4].seat.since_us;
    assert_int_equal(loop_timer_set(loop, &before, asked + 49000), LOOP_OK);
    assert_int_equal(loop_timer_set(loop, &after, asked + 51000), LOOP_OK);
    while (after.slot != 0)
        loop_turn(loop, -1);
    assert_int_equal(seen[0], 1); /* the one that stood */
    assert_int_equal(seen[1], 2);
    assert_int_equal(hall->guests[4].seat.why, METRIC_SHED_LATE);
}

/* -- keys -------------------------------------------------------------------------------- */

static void the_key_with_the_fewest_places_is_next(void **state)
{
    struct admission_key greedy = { 0 }, modest = { 0 };

    (void)state;
    for (int i = 0; i < 6; i++)
        (void)!ask(0, i, &greedy);
    assert_int_equal(greedy.places, 3);
    assert_int_equal(ask(0, 6, &modest), ADMISSION_WAITING);
    assert_int_equal(ask(0, 7, &modest), ADMISSION_WAITING);
    leave(0);
    turn();
    leave(1);
    turn();
    leave(2);
    turn();
    /* Who has as many takes turns. */
    assert_int_equal(hall->order[0], 6);
    assert_int_equal(hall->order[1], 3);
    assert_int_equal(hall->order[2], 7);
    assert_int_equal(greedy.places, 1);
    assert_int_equal(modest.places, 2);
    for (int i = 0; i < 8; i++)
        leave(i);
    assert_int_equal(greedy.places, 0);
    assert_int_equal(modest.places, 0);
}

static void keys_with_as_many_places_take_turns(void **state)
{
    struct admission_key key[3] = { 0 };

    (void)state;
    hall->limits.queue = 32;
    hall->limits.in_flight = 1;
    assert_int_equal(ask(0, 0, NULL), ADMISSION_IN);
    for (int i = 1; i <= 9; i++)
        assert_int_equal(ask(0, i, &key[(i - 1) / 3]), ADMISSION_WAITING);
    for (int i = 0; i < 9; i++) {
        leave(i == 0 ? 0 : hall->order[i - 1]);
        turn();
    }
    for (int i = 0; i < 9; i++)
        assert_int_equal(hall->order[i], 1 + i % 3 * 3 + i / 3);
    leave(hall->order[8]);
}

static void a_key_that_floods_leaves_half_of_the_queue_to_others(void **state)
{
    struct admission_key greedy = { 0 }, modest = { 0 };
    int waiting = 0;

    (void)state;
    hall->limits.in_flight = 1;
    for (int i = 0; i < 20; i++)
        waiting += ask(0, i, &greedy) == ADMISSION_WAITING;
    assert_int_equal(waiting, 4);
    assert_int_equal(shed(METRIC_SHED_KEY), 15);
    assert_int_equal(ask(0, 20, &modest), ADMISSION_WAITING);
    assert_int_equal(ask(0, 21, &modest), ADMISSION_WAITING);
    assert_int_equal(ask(0, 22, &modest), ADMISSION_SHED);
    for (int i = 0; i < 23; i++)
        leave(i);
}

static void without_keys_one_party_may_fill_the_queue(void **state)
{
    int waiting = 0;

    (void)state;
    for (int i = 0; i < 20; i++)
        waiting += ask(0, i, NULL) == ADMISSION_WAITING;
    assert_int_equal(waiting, 8);
}

/* -- bodies ------------------------------------------------------------------------------ */

static void bodies_are_counted_in_steps_and_given_back(void **state)
{
    struct guest *guests = hall->guests;

    (void)state;
    guests[0].queue = guests[1].queue = hall->queues[0];
    assert_true(admission_body(hall->queues[0], &guests[0].seat, 1, &hall->limits));
    assert_int_equal(hall->admission.bodies, 64 << 10);
    assert_true(
        admission_body(hall->queues[0], &guests[0].seat, 64 << 10, &hall->limits));
    assert_int_equal(hall->admission.bodies, 64 << 10);
    assert_true(
        admission_body(hall->queues[0], &guests[0].seat, 900 << 10, &hall->limits));
    assert_false(
        admission_body(hall->queues[0], &guests[1].seat, 200 << 10, &hall->limits));
    assert_int_equal(guests[1].seat.why, METRIC_SHED_MEMORY);
    leave(0);
    assert_int_equal(hall->admission.bodies, 0);
}

/* -- several workers --------------------------------------------------------------------- */

static void a_place_that_one_worker_gives_back_is_another_workers(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(0, i, NULL), ADMISSION_IN);
    assert_int_equal(ask(1, 3, NULL), ADMISSION_WAITING);
    assert_int_equal(ask(2, 4, NULL), ADMISSION_WAITING);
    leave(0);
    leave(1);
    turn();
    assert_int_equal(hall->n_order, 2);
    assert_int_equal(state_of(3), ADMISSION_IN);
    assert_int_equal(state_of(4), ADMISSION_IN);
}

static void a_worker_above_its_share_takes_no_more_while_others_wait(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(0, i, NULL), ADMISSION_IN);
    assert_int_equal(ask(0, 3, NULL), ADMISSION_WAITING);
    assert_int_equal(ask(1, 4, NULL), ADMISSION_WAITING);
    leave(0);
    turn();
    assert_int_equal(hall->order[0], 4);
    leave(1);
    turn();
    assert_int_equal(hall->order[1], 3);
}

static void a_limit_that_the_workers_cannot_share_is_used_up_all_the_same(void **state)
{
    (void)state;
    hall->limits.in_flight = 4; /* of three: a share of two */
    for (int i = 0; i < 4; i++)
        assert_int_equal(ask(i % 2, i, NULL), ADMISSION_IN);
    for (int i = 4; i < 10; i++)
        assert_int_equal(ask(i % 2, i, NULL), ADMISSION_WAITING);
    for (int i = 0; i < 4; i++)
        leave(i);
    turn();
    assert_int_equal(hall->n_order, 4);
    assert_int_equal(hall->admission.in_flight, 4);
}

/* -- threads ----------------------------------------------------------------------------- */

#define ROUNDS 4000
#define CROWD  12 /* requests of each thread at once */

struct crowd {
    struct admission_queue *queue;
    struct loop *loop;
    struct one {
        struct admission_seat seat;
        struct loop_task task;
        struct crowd *crowd;
    } ones[CROWD];
    int left;
    unsigned seed;
};

static atomic_int inside, most, refused;

static void comes(void *arg);

static void goes(void *arg)
{
    struct one *one = arg;

    atomic_fetch_sub(&inside, 1);
    admission_leave(one->crowd->queue, &one->seat);
    one->task.fn = comes;
    loop_defer(one->crowd->loop, &one->task, LOOP_LAST);
}

static void is_let_in(struct one *one)
{
    int now = atomic_fetch_add(&inside, 1) + 1, before = atomic_load(&most);

    while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
        ;
    one->task.fn = goes;
    loop_defer(one->crowd->loop, &one->task,
               rand_r(&one->crowd->seed) % 2 ? LOOP_WORK : LOOP_LAST);
}

static void is_answered(void *arg)
{
    struct one *one = arg;

    if (one->seat.state == ADMISSION_IN) {
        is_let_in(one);
        return;
    }
    atomic_fetch_add(&refused, 1);
    admission_leave(one->crowd->queue, &one->seat);
    one->task.fn = comes;
    loop_defer(one->crowd->loop, &one->task, LOOP_LAST);
}

static void comes(void *arg)
{
    struct one *one = arg;

    if (one->crowd->left == 0) {
        one->crowd = NULL;
        return;
    }
    one->crowd->left--;
    one->seat.wake = is_answered;
    one->seat.arg = one;
    if (admission_ask(one->crowd->queue, &one->seat, &hall->limits) != ADMISSION_WAITING)
        is_answered(one);
}

/* Whoever waits for a place that is overlooked hangs here. */
static bool is_over(const struct crowd *crowd)
{
    for (int i = 0; i < CROWD; i++)
        if (crowd->ones[i].crowd != NULL)
            return false;
    return true;
}

static atomic_int over;

static void *run_crowd(void *arg)
{
    struct crowd *crowd = arg;
    bool counted = false;

    for (int i = 0; i < CROWD; i++) {
        crowd->ones[i].task = (struct loop_task){ .fn = comes, .arg = &crowd->ones[i] };
        loop_defer(crowd->loop, &crowd->ones[i].task, LOOP_LAST);
    }
    while (atomic_load(&over) < LANES) {
        loop_turn(crowd->loop, 10);
        if (!counted && is_over(crowd)) {
            counted = true;
            atomic_fetch_add(&over, 1);
        }
    }
    return NULL;
}

static void no_free_place_is_overlooked_by_a_crowd_of_threads(void **state)
{
    static struct crowd crowds[LANES];
    pthread_t threads[LANES];

    (void)state;
    hall->limits.in_flight = 4;
    hall->limits.queue = 1000;
    for (int i = 0; i < LANES; i++) {
        crowds[i] = (struct crowd){ .queue = hall->queues[i],
                                    .loop = hall->loops[i],
                                    .left = ROUNDS,
                                    .seed = (unsigned)i + 1 };
        for (int k = 0; k < CROWD; k++)
            crowds[i].ones[k].crowd = &crowds[i];
    }
    for (int i = 0; i < LANES; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_crowd, &crowds[i]), 0);
    for (int i = 0; i < LANES; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(inside, 0);
    assert_int_equal(refused, 0);
    assert_in_range(most, 2, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_place_that_is_given_back_goes_to_who_waited_longest),
        TEST(who_leaves_the_queue_is_not_woken_and_holds_up_nobody),
        TEST(beyond_the_queue_a_request_is_refused_at_its_head),
        TEST(without_a_queue_the_first_beyond_the_limit_is_refused),
        TEST(who_waits_too_long_is_refused),
        TEST(in_a_queue_that_stands_nobody_waits_longer_than_a_quarter),
        TEST(the_key_with_the_fewest_places_is_next),
        TEST(keys_with_as_many_places_take_turns),
        TEST(a_key_that_floods_leaves_half_of_the_queue_to_others),
        TEST(without_keys_one_party_may_fill_the_queue),
        TEST(bodies_are_counted_in_steps_and_given_back),
        TEST(a_place_that_one_worker_gives_back_is_another_workers),
        TEST(a_worker_above_its_share_takes_no_more_while_others_wait),
        TEST(a_limit_that_the_workers_cannot_share_is_used_up_all_the_same),
        TEST(no_free_place_is_overlooked_by_a_crowd_of_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
