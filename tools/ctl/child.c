/* child.c - a program at the other end of two pipes.
 *
 * What holds: at most one line is under way; whenever that line does not get its answer the
 * program is ended, so that a late answer is never taken for that of the next question.
 */
#include "tools/ctl/child.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "gateway/base/buf.h"
#include "gateway/base/clock.h"
#include "tools/ctl/memory.h"

#define ENDING_MS 1000 /* from closing its pipes to its end */

extern char **environ;

struct child {
    char *command;
    int limit_ms;
    pid_t pid;       /* 0: does not run */
    int in, out;     /* its standard input and output */
    struct buf line; /* what it said, behind the last line */
    size_t started, failures, in_row;
    bool given_up;
};

struct child *child_new(const char *command, int limit_ms)
{
    struct child *child = memory_new(1, sizeof(*child));

    child->command = memory_text(command);
    child->limit_ms = limit_ms;
    buf_init(&child->line, CHILD_LINE_BYTES);
    return child;
}

/* Ends the program and all that it started. */
static void stop(struct child *child)
{
    if (child->pid == 0)
        return;
    (void)close(child->in);
    (void)close(child->out);
    (void)kill(-child->pid, SIGKILL);
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    child->pid = 0;
    buf_clear(&child->line);
}

void child_free(struct child *child)
{
    if (child == NULL)
        return;
    stop(child);
    buf_release(&child->line);
    free(child->command);
    free(child);
}

size_t child_failures(const struct child *child)
{
    return child->failures;
}

/* Its own process group, no blocked signals, no descriptors but its three. */
static int spawn(struct child *child, const int *to, const int *from)
{
    char *line = memory_format("exec %s", child->command);
    char *argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, line, NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;

    (void)sigemptyset(&none);
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    (void)posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP |
                                                    POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &defaults);
    int code = posix_spawn(&child->pid, "/bin/sh", &actions, &attributes, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    free(line);
    return code;
}

static bool start(struct child *child, char note[CHILD_NOTE_BYTES])
{
    int to[2], from[2], code;

    if (child->pid != 0)
        return true;
    if (pipe2(to, O_CLOEXEC) != 0) {
        (void)snprintf(note, CHILD_NOTE_BYTES, "no pipe: %s", strerror(errno));
        return false;
    }
    if (pipe2(from, O_CLOEXEC) != 0) {
        (void)snprintf(note, CHILD_NOTE_BYTES, "no pipe: %s", strerror(errno));
        (void)close(to[0]);
        (void)close(to[1]);
        return false;
    }
    code = spawn(child, to, from);
    (void)close(to[0]);
    (void)close(from[1]);
    child->in = to[1];
    child->out = from[0];
    if (code != 0) {
        (void)snprintf(note, CHILD_NOTE_BYTES, "cannot start: %s", strerror(code));
        (void)close(child->in);
        (void)close(child->out);
        child->pid = 0;
        return false;
    }
    (void)fcntl(child->in, F_SETFL, O_NONBLOCK);
    child->started++;
    return true;
}

static char *question_line(const struct child_question *question, size_t *ret_bytes)
{
    const struct {
        const char *name, *text;
    } members[] = { { "id", question->id },
                    { "prompt", question->prompt },
                    { "reference", question->reference },
                    { "answer", question->answer } };
    struct buf line;

    buf_init(&line, SIZE_MAX / 2);
    buf_putf(&line, "{\"messages\":%s",
             question->messages != NULL ? question->messages : "null");
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        buf_putf(&line, ",\"%s\":", members[i].name);
        if (members[i].text == NULL)
            buf_put(&line, "null");
        else
            buf_put_json(&line, str_of(members[i].text));
    }
    buf_put(&line, "}");
    char *text = memory_text_n(line.p, line.n);
    buf_release(&line);
    /* Messages are kept as they came, line breaks between their members included. */
    for (char *p = text; *p != '\0'; p++) {
        if (*p == '\n' || *p == '\r')
            *p = ' ';
    }
    *ret_bytes = strlen(text) + 1;
    text[*ret_bytes - 1] = '\n'; /* in place of the NUL: written by length */
    return text;
}

/* Reads what there is. False: the program has ended, or says too much. */
static bool take(struct child *child)
{
    char *room;

    if (buf_room(&child->line, 4096, &room) != ERR_OK)
        return false;
    ssize_t got = read(child->out, room, 4096);
    if (got > 0)
        buf_commit(&child->line, (size_t)got);
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

/* The program has closed a pipe: says why, once its end is known. It is not reaped, so that
 * its group keeps its number until stop(). */
static void describe_end(const struct child *child, char note[CHILD_NOTE_BYTES])
{
    int64_t end_us = clock_us(&clock_system) + (int64_t)ENDING_MS * 1000;
    siginfo_t info = { .si_pid = 0 };

    while (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0 && clock_us(&clock_system) < end_us)
        (void)poll(NULL, 0, 2);
    if (info.si_pid == 0)
        (void)snprintf(note, CHILD_NOTE_BYTES, "it has closed its input or output");
    else if (info.si_code == CLD_EXITED)
        (void)snprintf(note, CHILD_NOTE_BYTES, "it ended with exit code %d%s",
                       info.si_status,
                       info.si_status == 127   ? ": there is no such program"
                       : info.si_status == 126 ? ": it cannot be executed"
                                               : "");
    else
        (void)snprintf(note, CHILD_NOTE_BYTES, "it was ended by signal %d",
                       info.si_status);
}

static const char ended[] = "it has ended";

/* Writes the question while it reads, so that neither side waits for ever. */
static const char *exchange(struct child *child, const char *text, size_t bytes)
{
    int64_t end_us = clock_us(&clock_system) + (int64_t)child->limit_ms * 1000;
    size_t written = 0;

    while (child->line.n == 0 || memchr(child->line.p, '\n', child->line.n) == NULL) {
        struct pollfd fds[2] = { { .fd = child->out, .events = POLLIN },
                                 { .fd = written < bytes ? child->in : -1,
                                   .events = POLLOUT } };
        int64_t left_ms = (end_us - clock_us(&clock_system)) / 1000;
        if (left_ms <= 0)
            return "the time limit has passed";
        if (poll(fds, 2, (int)left_ms) < 0 && errno != EINTR)
            return "poll failed";
        if (fds[1].revents != 0) {
            ssize_t n = write(child->in, text + written, bytes - written);
            if (n > 0)
                written += (size_t)n;
            else if (n < 0 && errno != EAGAIN && errno != EINTR && fds[0].revents == 0)
                return ended;
        }
        if (fds[0].revents != 0 && !take(child))
            return child->line.failed ? "its line is too long" : ended;
    }
    return NULL;
}

/* NULL, or what is wrong with its line, which is taken off. */
static const char *read_line(struct child *child, const char *id, double *ret_quality,
                             char note[CHILD_NOTE_BYTES])
{
    const char *end = memchr(child->line.p, '\n', child->line.n);
    size_t n = (size_t)(end - child->line.p);
    json_t *line = json_loadb(child->line.p, n, 0, NULL);
    const char *said = json_string_value(json_object_get(line, "id"));
    const json_t *quality = json_object_get(line, "quality");
    const char *words = json_string_value(json_object_get(line, "note"));
    const char *wrong = NULL;

    if (line == NULL)
        wrong = "its line is no JSON object";
    else if (said == NULL || strcmp(said, id) != 0)
        wrong = "its line has another id than the question";
    else if (json_is_null(quality))
        *ret_quality = NAN;
    else if (!json_is_number(quality) || !(json_number_value(quality) >= 0) ||
             !(json_number_value(quality) <= 1))
        wrong = "'quality' is no number from 0 to 1";
    else
        *ret_quality = json_number_value(quality);
    if (wrong == NULL)
        (void)snprintf(note, CHILD_NOTE_BYTES, "%s", words != NULL ? words : "");
    json_decref(line);
    buf_consume(&child->line, n + 1);
    return wrong;
}

static enum child_answer failed(struct child *child, const char *why,
                                char note[CHILD_NOTE_BYTES])
{
    if (why == ended)
        describe_end(child, note);
    else if (why != NULL)
        (void)snprintf(note, CHILD_NOTE_BYTES, "%s", why);
    stop(child);
    child->failures++;
    child->in_row++;
    child->given_up = child->in_row >= CHILD_IN_ROW || child->started > CHILD_RESTARTS;
    return CHILD_FAILED;
}

enum child_answer child_ask(struct child *child, const struct child_question *question,
                            double *ret_quality, char note[CHILD_NOTE_BYTES])
{
    struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
    const char *wrong = NULL;
    size_t bytes;

    note[0] = '\0';
    if (child->given_up)
        return CHILD_GIVEN_UP;
    if (!start(child, note))
        return failed(child, NULL, note);
    char *line = question_line(question, &bytes);
    (void)sigaction(SIGPIPE, &ignore, &before);
    wrong = exchange(child, line, bytes);
    (void)sigaction(SIGPIPE, &before, NULL);
    free(line);
    if (wrong == NULL)
        wrong = read_line(child, question->id, ret_quality, note);
    if (wrong != NULL)
        return failed(child, wrong, note);
    child->in_row = 0;
    return CHILD_OK;
}
