/* thread.c - a thread of ours: no signal ends up in it; see thread.h. */
#include "gateway/base/thread.h"

#include <signal.h>

enum err thread_start(pthread_t *ret_thread, void *(*fn)(void *arg), void *arg)
{
    sigset_t all, before;
    pthread_t thread;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&thread, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        return ERR_NOMEM;
    *ret_thread = thread;
    return ERR_OK;
}
