/* loop.h - one event loop: file descriptors, timers, work at the end of a turn, mail
 *
 *      loop_new()
 *      loop_watch(), loop_timer_set(), loop_defer() ...     from callbacks, on the thread
 *      loop_run()                                           until loop_stop()
 *      loop_free()
 *
 * One turn:
 *
 *      epoll_wait -> fd callbacks -> timers due -> mail -> LOOP_WORK -> LOOP_FLUSH -> LOOP_LAST
 *                                                              ^            |
 *                                                              +------------+ while either has work
 *
 * What is due in one turn is collected, not done at once: callbacks that read bytes defer
 * a LOOP_WORK task, and the task sees everything that arrived in this turn (decisions are
 * searched in one batch). LOOP_FLUSH talks to the libraries that must not be re-entered
 * (libcurl, libmicrohttpd). LOOP_LAST frees what callbacks of this turn may still have
 * pointed at. A task deferred while its own phase runs is run in the same turn, in the
 * next round; after LOOP_ROUNDS_MAX rounds the rest waits for the next turn, which does
 * not sleep.
 *
 * Nodes (watch, timer, task, mail) are embedded in their owner's structs and *borrowed*
 * by the loop while armed. Zero them before first use. Taking one off is always legal, in
 * every callback, also when it is not armed, and afterwards its callback does not run,
 * not even for an event of the same turn.
 *
 * Threads: a loop belongs to the thread that runs it. Only loop_post() and loop_stop()
 * may be called from other threads. The loop must outlive all of them.
 */
#ifndef GATEWAY_IO_LOOP_H
#define GATEWAY_IO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "gateway/base/err.h"

#define LOOP_EVENTS_MAX 256 /* events taken from the kernel in one turn */
#define LOOP_ROUNDS_MAX 16  /* rounds of WORK and FLUSH in one turn */

#define LOOP_ERRORS(X)                                                                   \
    X(OK, "success")                                                                     \
    X(NOMEM, "out of memory")                                                            \
    X(SYSTEM, "the system refused a descriptor")

enum loop_err {
#define X(name, text) LOOP_##name,
    LOOP_ERRORS(X)
#undef X
};

const char *loop_err_text(enum loop_err err);

enum loop_phase { LOOP_WORK, LOOP_FLUSH, LOOP_LAST, LOOP_PHASES };

struct loop;

/* A watched file descriptor. Set fn and arg, then loop_watch(). */
struct loop_watch {
    void (*fn)(void *arg, uint32_t events); /* EPOLL* bits that are true */
    void *arg;
    int fd; /* set by loop_watch(); borrowed: the owner closes it, after unwatch */
    uint32_t events; /* what the kernel was last asked for; 0 = not watched */
};

/* A timer, once. Set fn and arg, then loop_timer_set(). Disarmed before fn runs. */
struct loop_timer {
    void (*fn)(void *arg);
    void *arg;
    uint64_t due_us; /* on the clock of loop_now_us() */
    uint32_t slot;   /* place in the heap + 1; 0 = not armed */
};

/* Work for the end of the turn. Set fn and arg, then loop_defer(). */
struct loop_task {
    void (*fn)(void *arg);
    void *arg;
    struct loop_task *next, **prev; /* prev NULL = not deferred */
};

/* A message to a loop from any thread. Set fn and arg, then loop_post(). */
struct loop_mail {
    void (*fn)(void *arg);
    void *arg;
    struct loop_mail *next;
};

/* -- life cycle -------------------------------------------------------------------------- */

NODISCARD enum loop_err loop_new(struct loop **ret_loop);

/* Nothing may be watched, armed, deferred or in the mail any more except for what its
 * owner will not touch again: the nodes are forgotten, their callbacks do not run. */
void loop_free(struct loop *loop);

/* Turns until loop_stop(); the turn in which it is stopped is finished. Can be called
 * again. */
void loop_run(struct loop *loop);

/* One turn that waits at most wait_ms (-1: until something happens). For tests and tools. */
void loop_turn(struct loop *loop, int wait_ms);

/* Ends loop_run() after its current turn. Any thread; also from a callback. */
void loop_stop(struct loop *loop);

/* fn is told at the end of each turn for how long the loop was at work, from the moment it
 * woke up: as long was nobody else served. NULL: nobody is told, as at the beginning. */
void loop_tell_turns(struct loop *loop, void (*fn)(void *arg, uint64_t us), void *arg);

/* -- time -------------------------------------------------------------------------------- */

/* Monotonic microseconds, read once a turn (after epoll_wait): cheap, and the same for
 * everything that happens in the turn. */
uint64_t loop_now_us(const struct loop *loop);

/* -- file descriptors -------------------------------------------------------------------- */

/* Watches fd for `events` (EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLET...); called again for an
 * armed node with the same fd it changes the events. */
NODISCARD enum loop_err loop_watch(struct loop *loop, struct loop_watch *watch, int fd,
                                   uint32_t events);

/* Call before the fd is closed. */
void loop_unwatch(struct loop *loop, struct loop_watch *watch);

/* -- timers ------------------------------------------------------------------------------ */

/* Arms, or moves an armed timer, to due_us (a time in the past: the next turn). Logarithmic
 * in the number of timers. Fails only when the heap cannot grow. */
NODISCARD enum loop_err loop_timer_set(struct loop *loop, struct loop_timer *timer,
                                       uint64_t due_us);
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);

/* -- work at the end of a turn ----------------------------------------------------------- */

/* Appends the task to the phase; a task that is already deferred stays where it is. */
void loop_defer(struct loop *loop, struct loop_task *task, enum loop_phase phase);
void loop_undefer(struct loop *loop, struct loop_task *task);

/* -- mail -------------------------------------------------------------------------------- */

/* Runs mail->fn on the loop's thread in one of its next turns, in the order of posting.
 * Any thread. The node is borrowed until fn starts; it cannot be taken back. */
void loop_post(struct loop *loop, struct loop_mail *mail);

#endif
