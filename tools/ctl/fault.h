/* fault.h - what went wrong, in words for the person at the terminal.
 *
 * Every fallible function of frugalctl returns enum fault_err (0 is success) and writes
 * the details into the caller's struct fault, which may be NULL. The first fault wins: a
 * caller higher up may add its own and changes nothing. Texts are lower case, without a
 * full stop, with the subject in single quotes and the cause last; faults of a file start
 * with "file:line: ".
 *
 * Memory: this is a tool that runs for minutes and owns nothing that another process
 * waits for, so memory that the machine cannot give ends it (memory.h); no caller has to
 * handle that.
 */
#ifndef TOOLS_CTL_FAULT_H
#define TOOLS_CTL_FAULT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/err.h"

/* Name, exit code of the program, text used when nobody gave details. */
#define FAULT_ERRORS(X)                                                                  \
    X(OK, 0, "success")                                                                  \
    X(USAGE, 2, "wrong usage")                                                           \
    X(INPUT, 1, "the input is wrong")                                                    \
    X(IO, 1, "cannot read or write")                                                     \
    X(STORE, 1, "the store failed")                                                      \
    X(CONFIG, 1, "the configuration is wrong")                                           \
    X(FUSER, 1, "the fuser failed")                                                      \
    X(EXPERT, 1, "an expert failed")                                                     \
    X(STOPPED, 1, "stopped")                                                             \
    X(WORSE, 3, "the new bundle is worse")                                               \
    X(UNSURE, 4, "cannot tell which bundle is better")

enum fault_err {
#define X(name, code, text) FAULT_##name,
    FAULT_ERRORS(X)
#undef X
};

struct fault {
    char text[1024]; /* empty: nothing was said yet */
};

/* Keeps the first text given. Returns `code`, so that `return fault_set(...)` reads well.
 */
enum fault_err fault_set(struct fault *fault, enum fault_err code, const char *format,
                         ...) __attribute__((format(printf, 3, 4)));
/* The same with "path:line: " in front; line 0 leaves the number out. */
enum fault_err fault_at(struct fault *fault, enum fault_err code, const char *path,
                        size_t line, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

int fault_exit_code(enum fault_err code);
/* The details, or the general text when there are none. */
const char *fault_text(const struct fault *fault, enum fault_err code);

#endif
