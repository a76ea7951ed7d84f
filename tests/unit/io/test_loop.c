/* The event loop: order of a turn, timers, taking off, mail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/io/loop.h"
#include "gateway/io/pool.h"

#define WORD(text)                                                                       \
    (char[])                                                                             \
    {                                                                                    \
        text                                                                             \
    } /* a callback's argument is not const */

static char trace[256];

static void note(void *arg)
{
    const char *word = arg;
    size_t n = strlen(trace);
    if (n + strlen(word) < sizeof trace)
        memcpy(trace + n, word, strlen(word) + 1);
}

static int setup(void **state)
{
    struct loop *loop = NULL;
    trace[0] = '\0';
    assert_int_equal(loop_new(&loop), LOOP_OK);
    *state = loop;
    return 0;
}

static int teardown(void **state)
{
    loop_free(*state);
    return 0;
}

/* -- turns ------------------------------------------------------------------------------- */

struct turns {
    unsigned n;
    uint64_t longest_us;
};

static void count_turn(void *arg, uint64_t us)
{
    struct turns *turns = arg;
    turns->n++;
    if (us > turns->longest_us)
        turns->longest_us = us;
}

static void work_for_2_ms(void *arg)
{
    const int64_t until = clock_us(&clock_system) + 2000;
    (void)arg;
    while (clock_us(&clock_system) < until) {
    }
}

static void the_length_of_each_turn_is_told_and_waiting_does_not_count(void **state)
{
    struct loop *loop = *state;
    struct turns turns = { .n = 0 };
    struct loop_timer timer = { .fn = note, .arg = WORD("t") };
    struct loop_task task = { .fn = work_for_2_ms };
    loop_tell_turns(loop, count_turn, &turns);
    loop_defer(loop, &task, LOOP_WORK);
    loop_turn(loop, 0);
    assert_int_equal(turns.n, 1);
    assert_true(turns.longest_us >= 2000);

    turns = (struct turns){ .n = 0 };
    assert_int_equal(loop_timer_set(loop, &timer, loop_now_us(loop) + 200000), LOOP_OK);
    loop_turn(loop, -1);
    assert_string_equal(trace, "t");
    assert_int_equal(turns.n, 1);
    assert_true(turns.longest_us < 200000);
}

/* -- timers ------------------------------------------------------------------------------ */

static void timers_fire_in_the_order_of_their_times(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timers[4] = {
        { .fn = note, .arg = WORD("c") },
        { .fn = note, .arg = WORD("a") },
        { .fn = note, .arg = WORD("d") },
        { .fn = note, .arg = WORD("b") },
    };
    const unsigned after_us[] = { 3000, 1000, 4000, 2000 };
    const uint64_t now = loop_now_us(loop);
    for (int i = 0; i < 4; i++)
        assert_int_equal(loop_timer_set(loop, &timers[i], now + after_us[i]), LOOP_OK);
    while (strlen(trace) < 4)
        loop_turn(loop, -1);
    assert_string_equal(trace, "abcd");
}

static void a_cleared_timer_does_not_fire(void **state)
{
    struct loop *loop = *state;
    struct loop_timer gone = { .fn = note, .arg = WORD("gone") };
    struct loop_timer kept = { .fn = note, .arg = WORD("kept") };
    const uint64_t now = loop_now_us(loop);
    assert_int_equal(loop_timer_set(loop, &gone, now + 500), LOOP_OK);
    assert_int_equal(loop_timer_set(loop, &kept, now + 1000), LOOP_OK);
    loop_timer_clear(loop, &gone);
    loop_timer_clear(loop, &gone); /* harmless */
    while (trace[0] == '\0')
        loop_turn(loop, -1);
    assert_string_equal(trace, "kept");
}

static struct loop *busy_loop;
static struct loop_timer busy_timer;
static unsigned busy_count;

static void set_again(void *arg)
{
    (void)arg;
    busy_count++;
    assert_int_equal(loop_timer_set(busy_loop, &busy_timer, 0), LOOP_OK);
}

static void a_timer_that_sets_itself_to_now_waits_for_the_next_turn(void **state)
{
    busy_loop = *state;
    busy_timer = (struct loop_timer){ .fn = set_again };
    busy_count = 0;
    assert_int_equal(loop_timer_set(busy_loop, &busy_timer, 0), LOOP_OK);
    while (busy_count == 0)
        loop_turn(busy_loop, -1);
    assert_int_equal(busy_count, 1);
    loop_timer_clear(busy_loop, &busy_timer);
}

#define MANY 500

static uint64_t fired_at[MANY];
static size_t n_fired;

static void remember_due(void *arg)
{
    const struct loop_timer *timer = arg;
    fired_at[n_fired++] = timer->due_us;
}

static void many_moved_timers_still_fire_in_order(void **state)
{
    struct loop *loop = *state;
    static struct loop_timer timers[MANY];
    const uint64_t now = loop_now_us(loop);
    unsigned seed = 7;
    size_t armed = 0;
    memset(timers, 0, sizeof timers);
    n_fired = 0;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < MANY; i++) {
            timers[i].fn = remember_due;
            timers[i].arg = &timers[i];
            if (rand_r(&seed) % 4 == 0)
                loop_timer_clear(loop, &timers[i]);
            else
                assert_int_equal(
                    loop_timer_set(loop, &timers[i],
                                   now + 1000 + (uint64_t)(rand_r(&seed) % 5000)),
                    LOOP_OK);
        }
    }
    for (int i = 0; i < MANY; i++)
        armed += timers[i].slot != 0;
    while (n_fired < armed)
        loop_turn(loop, -1);
    for (size_t i = 1; i < n_fired; i++)
        assert_true(fired_at[i - 1] <= fired_at[i]);
    assert_int_equal(n_fired, armed);
}

/* -- watches ----------------------------------------------------------------------------- */

struct pair {
    struct loop *loop;
    struct loop_watch watch;
    struct pair *other;
    int fd;
    int calls;
};

static void take_the_other_off(void *arg, uint32_t events)
{
    struct pair *p = arg;
    (void)events;
    p->calls++;
    loop_unwatch(p->loop, &p->other->watch);
    loop_unwatch(p->loop, &p->watch);
}

static void an_event_of_this_turn_is_lost_with_its_watch(void **state)
{
    struct loop *loop = *state;
    struct pair a = { .loop = loop }, b = { .loop = loop };
    a.other = &b;
    b.other = &a;
    struct pair *pairs[] = { &a, &b };
    for (int i = 0; i < 2; i++) {
        pairs[i]->fd = eventfd(1, EFD_NONBLOCK);
        pairs[i]->watch.fn = take_the_other_off;
        pairs[i]->watch.arg = pairs[i];
        assert_int_equal(loop_watch(loop, &pairs[i]->watch, pairs[i]->fd, EPOLLIN),
                         LOOP_OK);
    }
    loop_turn(loop, -1);
    loop_turn(loop, 0);
    assert_int_equal(a.calls + b.calls, 1);
    (void)close(a.fd);
    (void)close(b.fd);
}

/* -- the end of a turn ------------------------------------------------------------------- */

struct chain {
    struct loop *loop;
    struct loop_task *next;
    enum loop_phase phase;
    const char *word;
};

static void note_and_defer(void *arg)
{
    struct chain *chain = arg;
    note((void *)(uintptr_t)chain->word);
    if (chain->next != NULL)
        loop_defer(chain->loop, chain->next, chain->phase);
}

static void
phases_run_in_order_and_work_that_flush_finds_runs_in_the_same_turn(void **state)
{
    struct loop *loop = *state;
    struct loop_task last = { .fn = note, .arg = WORD("last ") };
    struct loop_task late = { .fn = note, .arg = WORD("late-work ") };
    struct chain chain = { loop, &late, LOOP_WORK, "flush " };
    struct loop_task flush = { .fn = note_and_defer, .arg = &chain };
    struct loop_task one = { .fn = note, .arg = WORD("one ") };
    struct loop_task two = { .fn = note, .arg = WORD("two ") };
    loop_defer(loop, &last, LOOP_LAST);
    loop_defer(loop, &flush, LOOP_FLUSH);
    loop_defer(loop, &one, LOOP_WORK);
    loop_defer(loop, &two, LOOP_WORK);
    loop_defer(loop, &one, LOOP_WORK); /* already there: stays where it is */
    loop_turn(loop, -1);               /* does not sleep: work is due */
    assert_string_equal(trace, "one two flush late-work last ");
}

static struct loop *undefer_loop;
static struct loop_task undefer_victims[2];

static void undefer_both(void *arg)
{
    note(arg);
    loop_undefer(undefer_loop, &undefer_victims[0]);
    loop_undefer(undefer_loop, &undefer_victims[1]);
}

static void a_task_can_take_off_those_behind_it(void **state)
{
    undefer_loop = *state;
    struct loop_task first = { .fn = undefer_both, .arg = WORD("first ") };
    struct loop_task after = { .fn = note, .arg = WORD("after ") };
    undefer_victims[0] = (struct loop_task){ .fn = note, .arg = WORD("victim ") };
    undefer_victims[1] = undefer_victims[0];
    loop_defer(undefer_loop, &first, LOOP_WORK);
    loop_defer(undefer_loop, &undefer_victims[0], LOOP_WORK);
    loop_defer(undefer_loop, &undefer_victims[1], LOOP_WORK);
    loop_turn(undefer_loop, -1);
    loop_defer(undefer_loop, &after, LOOP_WORK);
    loop_turn(undefer_loop, -1);
    assert_string_equal(trace, "first after ");
}

static void defer_myself(void *arg)
{
    struct chain *chain = arg;
    busy_count++;
    loop_defer(chain->loop, chain->next, LOOP_WORK);
}

static void work_that_defers_itself_for_ever_does_not_hold_the_turn(void **state)
{
    struct loop *loop = *state;
    struct loop_task task = { .fn = defer_myself };
    struct chain chain = { loop, &task, LOOP_WORK, "" };
    task.arg = &chain;
    busy_count = 0;
    loop_defer(loop, &task, LOOP_WORK);
    loop_turn(loop, -1);
    assert_int_equal(busy_count, LOOP_ROUNDS_MAX);
    loop_turn(loop, -1); /* and the next one does not sleep */
    assert_int_equal(busy_count, 2 * LOOP_ROUNDS_MAX);
    loop_undefer(loop, &task);
}

/* -- mail -------------------------------------------------------------------------------- */

#define SENDERS 4
#define LETTERS 2000

struct letter {
    struct loop_mail mail;
    struct loop *loop;
    unsigned sender, number;
};

static unsigned next_number[SENDERS];
static unsigned n_received;

static void receive(void *arg)
{
    const struct letter *letter = arg;
    assert_int_equal(letter->number, next_number[letter->sender]);
    next_number[letter->sender]++;
    if (++n_received == SENDERS * LETTERS)
        loop_stop(letter->loop);
}

static void *send_letters(void *arg)
{
    struct letter *letters = arg;
    for (unsigned i = 0; i < LETTERS; i++)
        loop_post(letters[i].loop, &letters[i].mail);
    return NULL;
}

static void mail_from_many_threads_arrives_once_and_in_order(void **state)
{
    static struct letter letters[SENDERS][LETTERS];
    pthread_t threads[SENDERS];
    n_received = 0;
    memset(next_number, 0, sizeof next_number);
    for (unsigned s = 0; s < SENDERS; s++) {
        for (unsigned i = 0; i < LETTERS; i++) {
            struct letter *letter = &letters[s][i];
            *letter = (struct letter){ .loop = *state, .sender = s, .number = i };
            letter->mail.fn = receive;
            letter->mail.arg = letter;
        }
        assert_int_equal(pthread_create(&threads[s], NULL, send_letters, letters[s]), 0);
    }
    loop_run(*state);
    for (unsigned s = 0; s < SENDERS; s++)
        pthread_join(threads[s], NULL);
    assert_int_equal(n_received, SENDERS * LETTERS);
}

/* -- pool -------------------------------------------------------------------------------- */

#define JOBS 100

struct sum {
    struct pool_job job;
    unsigned in, out;
};

static unsigned n_done;

static void square(void *arg)
{
    struct sum *sum = arg;
    sum->out = sum->in * sum->in;
}

static void count_done(void *arg)
{
    struct sum *sum = arg;
    assert_int_equal(sum->out, sum->in * sum->in);
    if (++n_done == JOBS)
        loop_stop(sum->job.loop);
}

static void jobs_of_the_pool_come_back_on_the_loop(void **state)
{
    static struct sum sums[JOBS];
    struct pool *pool = NULL;
    assert_int_equal(pool_new(3, JOBS, NULL, &pool), POOL_OK);
    n_done = 0;
    for (unsigned i = 0; i < JOBS; i++) {
        sums[i] = (struct sum){ .in = i };
        sums[i].job.run = square;
        sums[i].job.done = count_done;
        sums[i].job.arg = &sums[i];
        sums[i].job.loop = *state;
        assert_int_equal(pool_submit(pool, &sums[i].job), POOL_OK);
    }
    loop_run(*state);
    pool_free(pool);
    assert_int_equal(n_done, JOBS);
}

static pthread_barrier_t full_barrier;

static void wait_at_the_barrier(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&full_barrier); /* taken by the thread */
    pthread_barrier_wait(&full_barrier); /* let go */
}

static void a_full_queue_takes_nothing(void **state)
{
    struct pool *pool = NULL;
    struct pool_job jobs[3];
    (void)state;
    memset(jobs, 0, sizeof jobs);
    pthread_barrier_init(&full_barrier, NULL, 2);
    assert_int_equal(pool_new(1, 1, NULL, &pool), POOL_OK);
    jobs[0].run = wait_at_the_barrier;
    jobs[1].run = jobs[2].run = note;
    jobs[1].arg = WORD("ran");
    jobs[2].arg = WORD("never");
    assert_int_equal(pool_submit(pool, &jobs[0]), POOL_OK);
    pthread_barrier_wait(&full_barrier);
    assert_int_equal(pool_submit(pool, &jobs[1]), POOL_OK);
    assert_int_equal(pool_submit(pool, &jobs[2]), POOL_FULL);
    pthread_barrier_wait(&full_barrier);
    pool_free(pool);
    pthread_barrier_destroy(&full_barrier);
    assert_string_equal(trace, "ran");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_length_of_each_turn_is_told_and_waiting_does_not_count),
        TEST(timers_fire_in_the_order_of_their_times),
        TEST(a_cleared_timer_does_not_fire),
        TEST(a_timer_that_sets_itself_to_now_waits_for_the_next_turn),
        TEST(many_moved_timers_still_fire_in_order),
        TEST(an_event_of_this_turn_is_lost_with_its_watch),
        TEST(phases_run_in_order_and_work_that_flush_finds_runs_in_the_same_turn),
        TEST(a_task_can_take_off_those_behind_it),
        TEST(work_that_defers_itself_for_ever_does_not_hold_the_turn),
        TEST(mail_from_many_threads_arrives_once_and_in_order),
        TEST(jobs_of_the_pool_come_back_on_the_loop),
        TEST(a_full_queue_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
