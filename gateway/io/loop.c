/* loop.c - the event loop
 *
 * What must always hold: a node that was taken off is never called again. For watches this
 * means that events of the current batch which name it are struck out; the batch is small
 * and taking off is rare, so a walk does.
 */
#include "gateway/io/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "gateway/base/clock.h"

#define HEAP_FIRST 64

struct loop {
    int epoll_fd;
    int wake_fd;
    uint64_t now_us;

    /* The batch under way: event i is being handled, the rest are still to come. */
    struct epoll_event events[LOOP_EVENTS_MAX];
    int n_events, event;

    struct loop_timer **heap;
    uint32_t n_timers, heap_size;

    struct loop_task *first[LOOP_PHASES], **last[LOOP_PHASES];

    void (*turned)(void *arg, uint64_t us);
    void *turned_arg;

    struct loop_watch wake;
    _Atomic(struct loop_mail *)
        mail; /* newest first; any thread pushes, the loop takes all */
    atomic_bool stop;
};

const char *loop_err_text(enum loop_err err)
{
    static const char *const texts[] = {
#define X(name, text) text,
        LOOP_ERRORS(X)
#undef X
    };
    return texts[err];
}

static uint64_t monotonic_us(void)
{
    return (uint64_t)clock_us(&clock_system);
}

/* -- mail -------------------------------------------------------------------------------- */

static void wake(struct loop *loop)
{
    const uint64_t one = 1;
    /* EAGAIN: the counter is full, so the loop is awake already. */
    while (write(loop->wake_fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void loop_post(struct loop *loop, struct loop_mail *mail)
{
    struct loop_mail *head = atomic_load_explicit(&loop->mail, memory_order_relaxed);
    do {
        mail->next = head;
    } while (!atomic_compare_exchange_weak_explicit(
        &loop->mail, &head, mail, memory_order_acq_rel, memory_order_relaxed));
    if (head == NULL)
        wake(loop);
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stop, true);
    wake(loop);
}

static void read_mail(void *arg, uint32_t events)
{
    struct loop *loop = arg;
    uint64_t count;
    (void)events;
    while (read(loop->wake_fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
}

/* Letters are read after the timers, in the order of posting. The box is emptied after the
 * eventfd was: a letter that comes later finds an empty box and wakes the loop again. */
static void deliver_mail(struct loop *loop)
{
    struct loop_mail *mail =
        atomic_exchange_explicit(&loop->mail, NULL, memory_order_acq_rel);
    struct loop_mail *oldest = NULL;
    while (mail != NULL) {
        struct loop_mail *next = mail->next;
        mail->next = oldest;
        oldest = mail;
        mail = next;
    }
    while (oldest != NULL) {
        struct loop_mail *next = oldest->next;
        oldest->fn(oldest->arg);
        oldest = next;
    }
}

/* -- life cycle -------------------------------------------------------------------------- */

enum loop_err loop_new(struct loop **ret_loop)
{
    enum loop_err err = LOOP_NOMEM;
    struct loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        return LOOP_NOMEM;
    loop->epoll_fd = loop->wake_fd = -1;
    loop->heap_size = HEAP_FIRST;
    loop->heap = calloc(loop->heap_size, sizeof(struct loop_timer *));
    if (loop->heap == NULL)
        goto fail;
    for (int i = 0; i < LOOP_PHASES; i++)
        loop->last[i] = &loop->first[i];
    loop->now_us = monotonic_us();

    err = LOOP_SYSTEM;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        goto fail;
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0)
        goto fail;
    loop->wake.fn = read_mail;
    loop->wake.arg = loop;
    err = loop_watch(loop, &loop->wake, loop->wake_fd, EPOLLIN);
    if (err != LOOP_OK)
        goto fail;
    *ret_loop = loop;
    return LOOP_OK;

fail:
    loop_free(loop);
    return err;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    if (loop->wake_fd >= 0)
        (void)close(loop->wake_fd);
    if (loop->epoll_fd >= 0)
        (void)close(loop->epoll_fd);
    free(loop->heap);
    free(loop);
}

void loop_tell_turns(struct loop *loop, void (*fn)(void *arg, uint64_t us), void *arg)
{
    loop->turned = fn;
    loop->turned_arg = arg;
}

uint64_t loop_now_us(const struct loop *loop)
{
    return loop->now_us;
}

/* -- file descriptors -------------------------------------------------------------------- */

enum loop_err loop_watch(struct loop *loop, struct loop_watch *watch, int fd,
                         uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = watch };
    assert(watch->fn != NULL && events != 0);
    if (watch->events != 0) {
        assert(watch->fd == fd);
        if (watch->events == events)
            return LOOP_OK;
        if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0)
            return LOOP_SYSTEM;
    } else if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        return LOOP_SYSTEM;
    }
    watch->fd = fd;
    watch->events = events;
    return LOOP_OK;
}

void loop_unwatch(struct loop *loop, struct loop_watch *watch)
{
    if (watch->events == 0)
        return;
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->events = 0;
    for (int i = loop->event + 1; i < loop->n_events; i++)
        if (loop->events[i].data.ptr == watch)
            loop->events[i].data.ptr = NULL;
}

/* -- timers: a binary heap, the earliest on top; slot i + 1 is stored in the timer -------- */

static void heap_put(struct loop *loop, uint32_t i, struct loop_timer *timer)
{
    loop->heap[i] = timer;
    timer->slot = i + 1;
}

static void sift_up(struct loop *loop, uint32_t i, struct loop_timer *timer)
{
    while (i > 0 && loop->heap[(i - 1) / 2]->due_us > timer->due_us) {
        heap_put(loop, i, loop->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_put(loop, i, timer);
}

static void sift_down(struct loop *loop, uint32_t i, struct loop_timer *timer)
{
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= loop->n_timers)
            break;
        if (child + 1 < loop->n_timers &&
            loop->heap[child + 1]->due_us < loop->heap[child]->due_us)
            child++;
        if (timer->due_us <= loop->heap[child]->due_us)
            break;
        heap_put(loop, i, loop->heap[child]);
        i = child;
    }
    heap_put(loop, i, timer);
}

static void resift(struct loop *loop, uint32_t i, struct loop_timer *timer)
{
    if (i > 0 && loop->heap[(i - 1) / 2]->due_us > timer->due_us)
        sift_up(loop, i, timer);
    else
        sift_down(loop, i, timer);
}

enum loop_err loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t due_us)
{
    assert(timer->fn != NULL);
    /* What is due now runs in the next turn: a timer that sets itself cannot spin here. */
    timer->due_us = due_us > loop->now_us ? due_us : loop->now_us + 1;
    if (timer->slot != 0) {
        resift(loop, timer->slot - 1, timer);
        return LOOP_OK;
    }
    if (loop->n_timers == loop->heap_size) {
        struct loop_timer **heap =
            reallocarray(loop->heap, loop->heap_size, 2 * sizeof *heap);
        if (heap == NULL)
            return LOOP_NOMEM;
        loop->heap = heap;
        loop->heap_size *= 2;
    }
    sift_up(loop, loop->n_timers++, timer);
    return LOOP_OK;
}

void loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
    if (timer->slot == 0)
        return;
    uint32_t i = timer->slot - 1;
    struct loop_timer *moved = loop->heap[--loop->n_timers];
    timer->slot = 0;
    if (moved != timer)
        resift(loop, i, moved);
}

static void run_timers(struct loop *loop)
{
    while (loop->n_timers > 0 && loop->heap[0]->due_us <= loop->now_us) {
        struct loop_timer *timer = loop->heap[0];
        loop_timer_clear(loop, timer);
        timer->fn(timer->arg);
    }
}

/* -- work at the end of a turn ----------------------------------------------------------- */

void loop_defer(struct loop *loop, struct loop_task *task, enum loop_phase phase)
{
    assert(task->fn != NULL);
    if (task->prev != NULL)
        return;
    task->next = NULL;
    task->prev = loop->last[phase];
    *loop->last[phase] = task;
    loop->last[phase] = &task->next;
}

void loop_undefer(struct loop *loop, struct loop_task *task)
{
    if (task->prev == NULL)
        return;
    *task->prev = task->next;
    if (task->next != NULL) {
        task->next->prev = task->prev;
    } else {
        for (int i = 0; i < LOOP_PHASES; i++)
            if (loop->last[i] == &task->next)
                loop->last[i] = task->prev;
    }
    task->prev = NULL;
}

/* Runs what is in the phase now and not what its tasks defer: the list is cut at a marker,
 * since every task, the next one included, may be taken off meanwhile. */
static void run_phase(struct loop *loop, enum loop_phase phase)
{
    struct loop_task marker = { .fn = NULL, .arg = NULL, .next = NULL };
    if (loop->first[phase] == NULL)
        return;
    marker.prev = loop->last[phase];
    *loop->last[phase] = &marker;
    loop->last[phase] = &marker.next;
    while (loop->first[phase] != &marker) {
        struct loop_task *task = loop->first[phase];
        loop_undefer(loop, task);
        task->fn(task->arg);
    }
    loop_undefer(loop, &marker);
}

static void run_tasks(struct loop *loop)
{
    for (int round = 0; round < LOOP_ROUNDS_MAX; round++) {
        if (loop->first[LOOP_WORK] == NULL && loop->first[LOOP_FLUSH] == NULL)
            break;
        run_phase(loop, LOOP_WORK);
        run_phase(loop, LOOP_FLUSH);
    }
    run_phase(loop, LOOP_LAST);
}

/* -- turns ------------------------------------------------------------------------------- */

static int wait_limit_ms(const struct loop *loop, int wait_ms)
{
    for (int i = 0; i < LOOP_PHASES; i++)
        if (loop->first[i] != NULL)
            return 0;
    if (loop->n_timers == 0)
        return wait_ms;
    uint64_t now = monotonic_us(), due = loop->heap[0]->due_us;
    uint64_t ms = due <= now ? 0 : (due - now + 999) / 1000;
    if (ms > INT_MAX)
        ms = INT_MAX;
    return wait_ms >= 0 && (uint64_t)wait_ms < ms ? wait_ms : (int)ms;
}

void loop_turn(struct loop *loop, int wait_ms)
{
    int n = epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS_MAX,
                       wait_limit_ms(loop, wait_ms));
    assert(n >= 0 || errno == EINTR);
    loop->now_us = monotonic_us();
    loop->n_events = n > 0 ? n : 0;
    for (loop->event = 0; loop->event < loop->n_events; loop->event++) {
        const struct epoll_event *event = &loop->events[loop->event];
        struct loop_watch *watch = event->data.ptr;
        if (watch != NULL)
            watch->fn(watch->arg, event->events);
    }
    loop->n_events = loop->event = 0;
    run_timers(loop);
    deliver_mail(loop);
    run_tasks(loop);
    if (loop->turned != NULL)
        loop->turned(loop->turned_arg, monotonic_us() - loop->now_us);
}

void loop_run(struct loop *loop)
{
    while (!atomic_load_explicit(&loop->stop, memory_order_relaxed))
        loop_turn(loop, -1);
    atomic_store(&loop->stop, false);
}
