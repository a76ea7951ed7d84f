/* shelter.c - fork, a death signal for the child, a parent that passes signals on. */
#include "tools/ctl/shelter.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/io/loop.h"
#include "gateway/io/signals.h"

struct parent {
    struct loop *loop;
    pid_t child;
    int status; /* of the child, once it is over */
    bool over;
};

static void look_after(struct parent *parent)
{
    if (!parent->over && waitpid(parent->child, &parent->status, WNOHANG) != 0) {
        parent->over = true;
        loop_stop(parent->loop);
    }
}

static void pass_on(void *arg, int number)
{
    struct parent *parent = arg;

    if (number == SIGCHLD) {
        look_after(parent);
    } else if (number == SIGTSTP) {
        (void)kill(parent->child, SIGSTOP);
        (void)raise(SIGSTOP);
    } else if (!parent->over) {
        (void)kill(parent->child, number);
    }
}

/* Waits for the child and ends as it did. */
static _Noreturn void stay_behind(pid_t child)
{
    static const int numbers[] = { SIGCHLD, SIGINT,  SIGTERM, SIGHUP,
                                   SIGQUIT, SIGTSTP, SIGCONT };
    struct parent parent = { .child = child };
    struct signals *signals = NULL;

    if (loop_new(&parent.loop) == LOOP_OK &&
        signals_new(parent.loop, numbers, ARRAY_LEN(numbers), pass_on, &parent,
                    &signals) == LOOP_OK) {
        look_after(&parent); /* it may have ended before there was a handler */
        loop_run(parent.loop);
    }
    while (!parent.over && waitpid(child, &parent.status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(parent.status))
        _exit(WEXITSTATUS(parent.status));
    (void)fprintf(stderr, "frugalctl: ended by a signal: %s\n",
                  strsignal(WTERMSIG(parent.status)));
    _exit(128 + WTERMSIG(parent.status));
}

enum fault_err shelter_enter(struct fault *fault)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    pid_t parent = getpid();

    (void)fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        return fault_set(fault, FAULT_IO, "cannot start a process: %s", strerror(errno));
    if (child > 0)
        stay_behind(child);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || sigaction(SIGPIPE, &ignore, NULL) != 0 ||
        sigaction(SIGTTOU, &ignore, NULL) != 0)
        return fault_set(fault, FAULT_IO, "cannot be told of a kill: %s",
                         strerror(errno));
    if (getppid() != parent)
        return fault_set(fault, FAULT_STOPPED, "killed");
    return FAULT_OK;
}

enum fault_err shelter_close(struct fault *fault)
{
    if (setpgid(0, 0) != 0)
        return fault_set(fault, FAULT_IO, "cannot leave the process group: %s",
                         strerror(errno));
    return FAULT_OK;
}
