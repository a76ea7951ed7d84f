/* test_thread.c - a thread of ours takes no signal, and the one that starts it keeps its own. */
#include "gateway/base/thread.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void *see_mask(void *arg)
{
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, arg), 0);
    return arg;
}

static void a_thread_of_ours_takes_no_signal(void **state)
{
    static const int numbers[] = { SIGHUP, SIGTERM, SIGINT, SIGCHLD, SIGUSR1 };
    sigset_t theirs, before, after;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
    assert_int_equal(thread_start(&thread, see_mask, &theirs), ERR_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        assert_true(sigismember(&theirs, numbers[i]));
        assert_int_equal(sigismember(&after, numbers[i]),
                         sigismember(&before, numbers[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_of_ours_takes_no_signal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
