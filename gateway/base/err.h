/* err.h - the errors of the base floor, and the few macros that every file uses.
 *
 * A fallible function returns `enum err` (or its module's own `enum x_err`), 0 is
 * success, and is NODISCARD; who ignores one on purpose writes (void). Outputs named
 * ret_x are untouched on failure.
 */
#ifndef GATEWAY_BASE_ERR_H
#define GATEWAY_BASE_ERR_H

#include <stddef.h>

#define NODISCARD               __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

#define IGNORE(call)                                                                     \
    do {                                                                                 \
        if (call) {                                                                      \
        }                                                                                \
    } while (0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct of `type` whose `member` is at `pointer`. */
#define CONTAINER_OF(pointer, type, member)                                              \
    ((type *)((char *)(pointer)-offsetof(type, member)))

#define ERRS(X)                                                                          \
    X(OK, "success")                                                                     \
    X(NOMEM, "out of memory")                                                            \
    X(TOO_LARGE, "over a limit")                                                         \
    X(INVALID, "invalid value")                                                          \
    X(OVERFLOW, "number too large")                                                      \
    X(IO, "input or output error")

enum err {
#define X(name, text) ERR_##name,
    ERRS(X)
#undef X
};

const char *err_text(enum err code); /* a static string, lower case */

#endif
