/* thread.h - a thread of ours: no signal ends up in it.
 *
 *   thread_start(&thread, fn, arg)      then pthread_join(), as with any other
 *
 * Signals are the main thread's affair (io/signals.h): one that the kernel gave to another would wait there
 * until that one is scheduled, under a sanitizer until its next call of the library. So every thread that we
 * start begins, and stays, with all signals blocked; those that libraries start when they are loaded
 * (OpenBLAS) are not ours, and take what they are given.
 * Threads: any.
 */
#ifndef GATEWAY_BASE_THREAD_H
#define GATEWAY_BASE_THREAD_H

#include <pthread.h>

#include "gateway/base/err.h"

/* NOMEM: the system has none left; *ret_thread is untouched. */
NODISCARD enum err thread_start(pthread_t *ret_thread, void *(*fn)(void *arg), void *arg);

#endif
