/* signals.c - a handler, a pipe, a watch; see signals.h. */
#include "gateway/io/signals.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct signals {
    struct loop *loop;
    struct loop_watch watch;
    void (*fn)(void *arg, int number);
    void *arg;
    int pipe[2];
    int numbers[SIGNALS_MAX];
    size_t n;
};

/* A handler has no argument of its own: this one word is why there is one watcher in a
 * process. It is written while no handler is installed. */
static volatile sig_atomic_t handler_fd = -1;

static void handle(int number)
{
    int saved = errno;
    unsigned char byte = (unsigned char)number;
    ssize_t wrote = write(handler_fd, &byte, 1); /* full: the loop has enough to read */

    (void)wrote;
    errno = saved;
}

static void on_readable(void *arg, uint32_t events)
{
    struct signals *signals = arg;
    unsigned char bytes[64];
    ssize_t got = read(signals->pipe[0], bytes, sizeof(bytes));

    (void)events;
    for (ssize_t i = 0; i < got; i++)
        signals->fn(signals->arg, bytes[i]);
}

static void set_action(const struct signals *signals, void (*action)(int))
{
    struct sigaction how = { .sa_handler = action, .sa_flags = SA_RESTART };

    (void)sigemptyset(&how.sa_mask);
    for (size_t i = 0; i < signals->n; i++)
        (void)sigaction(signals->numbers[i], &how, NULL);
}

enum loop_err signals_new(struct loop *loop, const int *numbers, size_t n,
                          void (*fn)(void *arg, int number), void *arg,
                          struct signals **ret_signals)
{
    struct signals *signals = calloc(1, sizeof(*signals));
    enum loop_err err = LOOP_SYSTEM;

    assert(handler_fd < 0 && n > 0 && n <= SIGNALS_MAX);
    if (signals == NULL)
        return LOOP_NOMEM;
    *signals = (struct signals){ .loop = loop, .fn = fn, .arg = arg, .n = n };
    for (size_t i = 0; i < n; i++)
        signals->numbers[i] = numbers[i];
    if (pipe2(signals->pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        goto no_pipe;
    signals->watch = (struct loop_watch){ .fn = on_readable, .arg = signals };
    err = loop_watch(loop, &signals->watch, signals->pipe[0], EPOLLIN);
    if (err != LOOP_OK)
        goto no_watch;
    handler_fd = signals->pipe[1];
    set_action(signals, handle);
    *ret_signals = signals;
    return LOOP_OK;
no_watch:
    (void)close(signals->pipe[0]);
    (void)close(signals->pipe[1]);
no_pipe:
    free(signals);
    return err;
}

static void release(struct signals *signals, void (*action)(int))
{
    if (signals == NULL)
        return;
    set_action(signals, action);
    handler_fd = -1;
    loop_unwatch(signals->loop, &signals->watch);
    (void)close(signals->pipe[0]);
    (void)close(signals->pipe[1]);
    free(signals);
}

void signals_free(struct signals *signals)
{
    release(signals, SIG_DFL);
}

void signals_end(struct signals *signals)
{
    release(signals, SIG_IGN);
}
