/* Signals as events of the loop, whatever thread the kernel picks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "gateway/io/signals.h"

struct seen {
    struct loop *loop;
    unsigned count;
    int last;
};

static void see(void *arg, int number)
{
    struct seen *seen = arg;

    seen->count++;
    seen->last = number;
    loop_stop(seen->loop);
}

/* Sleeps in a read that only the closed pipe ends, as a library's thread does. */
static void *sleep_in_read(void *arg)
{
    char byte;

    while (read(*(int *)arg, &byte, 1) < 0)
        continue;
    return NULL;
}

static void a_signal_that_lands_in_a_library_s_thread_reaches_the_loop(void **state)
{
    static const int numbers[] = { SIGUSR1, SIGTERM };
    struct signals *signals = NULL;
    struct seen seen = { 0 };
    pthread_t other;
    sigset_t set;
    int ends[2];

    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* it holds back the signal of a thread that sleeps in read() */
#endif
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(loop_new(&seen.loop), LOOP_OK);
    assert_int_equal(pthread_create(&other, NULL, sleep_in_read, &ends[0]), 0);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM); /* so that the kernel must pick the other thread */
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    assert_int_equal(signals_new(seen.loop, numbers, 2, see, &seen, &signals), LOOP_OK);
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    loop_run(seen.loop);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.last, SIGTERM);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    loop_run(seen.loop);
    assert_int_equal(seen.last, SIGUSR1);
    signals_free(signals);
    loop_free(seen.loop);
    assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
    (void)close(ends[1]);
    assert_int_equal(pthread_join(other, NULL), 0);
    (void)close(ends[0]);
}

static void afterwards_the_default_action_is_in_force(void **state)
{
    static const int numbers[] = { SIGUSR1 };
    struct signals *signals = NULL;
    struct seen seen = { 0 };
    struct sigaction now;

    (void)state;
    assert_int_equal(loop_new(&seen.loop), LOOP_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(signals_new(seen.loop, numbers, 1, see, &seen, &signals),
                         LOOP_OK);
        signals_free(signals);
    }
    assert_int_equal(sigaction(SIGUSR1, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_DFL);
    signals_free(NULL);
    loop_free(seen.loop);
}

static void one_that_comes_when_all_is_over_changes_nothing(void **state)
{
    static const int numbers[] = { SIGUSR1, SIGTERM };
    struct signals *signals = NULL;
    struct seen seen = { 0 };

    (void)state;
    assert_int_equal(loop_new(&seen.loop), LOOP_OK);
    assert_int_equal(signals_new(seen.loop, numbers, 2, see, &seen, &signals), LOOP_OK);
    signals_end(signals);
    assert_int_equal(raise(SIGTERM), 0);
    assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(seen.count, 0);
    signals_end(NULL);
    loop_free(seen.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_that_lands_in_a_library_s_thread_reaches_the_loop),
        cmocka_unit_test(afterwards_the_default_action_is_in_force),
        cmocka_unit_test(one_that_comes_when_all_is_over_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
