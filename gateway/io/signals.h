/* signals.h - the process's signals as events of one loop
 *
 *      signals_new(loop, numbers, n, fn, arg)
 *           fn(arg, number)                       on the loop's thread
 *      signals_free()
 *
 * A signalfd would need the signals blocked in every thread of the process, and libraries
 * start threads before main() can block anything (OpenBLAS does when it is loaded): a
 * signal that the kernel gives to one of those would end the process. So they stay open in
 * the main thread and in theirs, and a handler passes the number on through a pipe. Threads that
 * we start ourselves have all signals blocked (base/thread.h).
 *
 * One at a time in a process; the loop outlives it. The same signal sent several times
 * before the loop turns may be told once.
 */
#ifndef GATEWAY_IO_SIGNALS_H
#define GATEWAY_IO_SIGNALS_H

#include <stddef.h>

#include "gateway/io/loop.h"

#define SIGNALS_MAX 8 /* numbers watched */

struct signals;

/* numbers: 1..SIGNALS_MAX of them, below 128. */
enum loop_err signals_new(struct loop *loop, const int *numbers, size_t n,
                          void (*fn)(void *arg, int number), void *arg,
                          struct signals **ret_signals)
    __attribute__((warn_unused_result));

/* The default actions are in force again. NULL is fine. */
void signals_free(struct signals *signals);
/* The same for a process that is about to end: they are ignored from now on, so that one that comes
 * in its last moments does not change how it ended. */
void signals_end(struct signals *signals);

#endif
