/* log.h - logfmt lines on stderr, one write(2) each, or several whole lines in one.
 *
 *   log_message(LOG_WARN, "bundle_refused", "cannot load '%s': %s", path, cause);
 *
 *   struct log_line line;
 *   log_begin(&line, LOG_INFO, "request");
 *   log_str(&line, "expert", name);
 *   log_usd(&line, "cost_usd", pico);
 *   log_end(&line);
 *
 * gives
 *
 *   ts=2026-01-31T12:00:00.000Z level=info event=request expert=small cost_usd=0.0012
 *
 * Values with spaces, quotes, '=' or control bytes are quoted and escaped, so that one
 * event is one line whatever a stranger sends. A line has a maximum; what does not fit is
 * dropped field by field and `cut=true` says so. Never a prompt or a key: callers see to
 * that. Libraries (everything below flow) do not log.
 *
 * Descriptor and clock are set once at start, before threads; the rest may be called from
 * any thread.
 */
#ifndef GATEWAY_BASE_LOG_H
#define GATEWAY_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/clock.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"

#define LOG_LINE_BYTES 4096

#define LOG_LEVELS(X)                                                                    \
    X(DEBUG, "debug")                                                                    \
    X(INFO, "info")                                                                      \
    X(WARN, "warn")                                                                      \
    X(ERROR, "error")

enum log_level {
#define X(name, word) LOG_##name,
    LOG_LEVELS(X)
#undef X
};

struct log_line {
    char text[LOG_LINE_BYTES];
    size_t n;
    bool off; /* below the level: nothing is formatted or written */
    bool cut;
};

void log_set_level(
    enum log_level level); /* lowest level that is written; INFO at start */
void log_set_fd(int fd);   /* 2 at start */
void log_set_clock(const struct clock *clock); /* borrowed for ever */
NODISCARD enum err log_level_parse(struct str word, enum log_level *ret_level);
bool log_enabled(enum log_level level);

/* Lines of one thread, written together: a write a line costs as much as the rest of a
 * small request, and threads that write to one file wait for each other. `due` is called
 * when the first line after a flush has come; log_flush must follow soon. */
#define LOG_COLLECT_BYTES (64u << 10) /* written at once when they are full */
struct log_collector {
    void (*due)(void *arg);
    void *arg;
    size_t n;
    char text[LOG_COLLECT_BYTES];
};
/* For this thread from here on; borrowed. NULL: lines are written singly again, what is
 * collected first. */
void log_collect(struct log_collector *collector);
void log_flush(void); /* of this thread */

void log_begin(struct log_line *line, enum log_level level, const char *event);
void log_str(struct log_line *line, const char *key, struct str value);
void log_text(struct log_line *line, const char *key,
              const char *value); /* NULL: no field */
void log_int(struct log_line *line, const char *key, int64_t value);
void log_bool(struct log_line *line, const char *key, bool value);
void log_fixed(struct log_line *line, const char *key, double value, int decimals);
void log_usd(struct log_line *line, const char *key, int64_t pico); /* NONE: no field */
void log_end(struct log_line *line); /* writes; EINTR is retried, other errors are lost */

/* One line with the field msg. */
void log_message(enum log_level level, const char *event, const char *format, ...)
    PRINTF_LIKE(3, 4);

#endif
