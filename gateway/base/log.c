/* log.c - logfmt, whole lines in each write(2), and no more of them than a pipe takes at once,
 * so that lines of several threads never mix: a longer write to a full pipe is taken in parts,
 * with those of others in between.
 *
 * Descriptor and clock are set at start, before there are threads, and only read after.
 */
#include "gateway/base/log.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/money.h"

#define TAIL         "cut=true" /* room for " cut=true\n" is kept free at the end */
#define TAIL_BYTES   (sizeof(TAIL) + 1)

#define MAX_DECIMALS 12
#define NUMBER_BYTES 32

static _Atomic enum log_level lowest = LOG_INFO; /* a reload may change it */
static _Thread_local struct log_collector *collector;
static int descriptor = STDERR_FILENO;
static const struct clock *clock_of_lines = &clock_system;

static const char *const words[] = {
#define X(name, word) word,
    LOG_LEVELS(X)
#undef X
};

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&lowest, level, memory_order_relaxed);
}

void log_set_fd(int fd)
{
    descriptor = fd;
}

void log_set_clock(const struct clock *clock)
{
    clock_of_lines = clock;
}

enum err log_level_parse(struct str word, enum log_level *ret_level)
{
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_is(word, words[i])) {
            *ret_level = (enum log_level)i;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

bool log_enabled(enum log_level level)
{
    return level >= atomic_load_explicit(&lowest, memory_order_relaxed);
}

/* -- one field -- */

static bool put(struct log_line *line, const char *bytes, size_t n)
{
    if (n > sizeof(line->text) - TAIL_BYTES - line->n)
        return false;
    memcpy(line->text + line->n, bytes, n);
    line->n += n;
    return true;
}

static bool is_plain(struct str value)
{
    if (value.n == 0)
        return false;
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];

        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f)
            return false;
    }
    return str_is_utf8(value);
}

static bool put_quoted(struct log_line *line, struct str value)
{
    bool fits = put(line, "\"", 1);

    while (fits && value.n > 0) {
        unsigned char c = (unsigned char)value.p[0];
        size_t sequence = str_utf8_sequence(value);
        char escaped[8];

        if (c == '"' || c == '\\') {
            (void)snprintf(escaped, sizeof(escaped), "\\%c", c);
            fits = put(line, escaped, 2);
        } else if (c == '\n') {
            fits = put(line, "\\n", 2);
        } else if (c < 0x20 || c == 0x7f || sequence == 0) {
            (void)snprintf(escaped, sizeof(escaped), "\\x%02x", c);
            fits = put(line, escaped, 4);
        } else {
            fits = put(line, value.p, sequence);
        }
        value = str_skip(value, sequence > 0 ? sequence : 1);
    }
    return fits && put(line, "\"", 1);
}

void log_str(struct log_line *line, const char *key, struct str value)
{
    size_t begin = line->n;
    bool fits;

    if (line->off)
        return;
    fits = line->n == 0 || put(line, " ", 1);
    fits = fits && put(line, key, strlen(key)) && put(line, "=", 1);
    if (fits)
        fits = is_plain(value) ? put(line, value.p, value.n) : put_quoted(line, value);
    if (!fits) {
        line->n = begin;
        line->cut = true;
    }
}

void log_text(struct log_line *line, const char *key, const char *value)
{
    if (value)
        log_str(line, key, str_of(value));
}

/* Numbers are written by hand: a line has twenty of them, and a library that hooks printf
 * (as libquadmath does, beneath openblas) makes each call cost half a microsecond. Writes
 * backwards from `end` with a point before the last `decimals` digits; returns the begin. */
static char *put_number(char *end, uint64_t magnitude, int decimals)
{
    int written = 0;

    do {
        if (decimals > 0 && written == decimals)
            *--end = '.';
        *--end = (char)('0' + magnitude % 10);
        magnitude /= 10;
        written++;
    } while (magnitude > 0 || written <= decimals);
    return end;
}

void log_int(struct log_line *line, const char *key, int64_t value)
{
    char text[NUMBER_BYTES], *end = text + sizeof(text), *p;

    p = put_number(end, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 0);
    if (value < 0)
        *--p = '-';
    log_str(line, key, (struct str){ p, (size_t)(end - p) });
}

void log_bool(struct log_line *line, const char *key, bool value)
{
    log_text(line, key, value ? "true" : "false");
}

void log_fixed(struct log_line *line, const char *key, double value, int decimals)
{
    char text[NUMBER_BYTES], *end = text + sizeof(text), *p;
    double scaled = value;

    decimals = decimals < 0 ? 0 : decimals > MAX_DECIMALS ? MAX_DECIMALS : decimals;
    for (int i = 0; i < decimals; i++)
        scaled *= 10;
    if (!(fabs(scaled) < 1e18)) { /* also NAN */
        (void)snprintf(text, sizeof(text), "%g", value);
        log_text(line, key, text);
        return;
    }
    scaled = nearbyint(scaled);
    p = put_number(end, (uint64_t)fabs(scaled), decimals);
    if (scaled < 0)
        *--p = '-';
    log_str(line, key, (struct str){ p, (size_t)(end - p) });
}

void log_usd(struct log_line *line, const char *key, int64_t pico)
{
    char text[MONEY_TEXT_BYTES];

    if (pico != MONEY_NONE)
        log_text(line, key, money_format(pico, text));
}

/* -- a line -- */

void log_begin(struct log_line *line, enum log_level level, const char *event)
{
    char now[CLOCK_TEXT_BYTES];

    line->n = 0;
    line->cut = false;
    line->off = !log_enabled(level);
    if (line->off)
        return;
    log_text(line, "ts", clock_format(clock_wall_us(clock_of_lines), now));
    log_text(line, "level", words[level]);
    log_text(line, "event", event);
}

/* As many whole lines as are written in one piece whatever the descriptor is; at least one. */
static size_t whole_lines(const char *text, size_t n)
{
    const char *end;

    if (n <= PIPE_BUF)
        return n;
    end = memrchr(text, '\n', PIPE_BUF);
    if (end == NULL)
        end = memchr(text, '\n', n);
    return end != NULL ? (size_t)(end - text) + 1 : n;
}

static void write_all(const char *text, size_t n)
{
    while (n > 0) {
        ssize_t written = write(descriptor, text, whole_lines(text, n));

        if (written < 0 && errno != EINTR)
            return;
        if (written > 0) {
            text += written;
            n -= (size_t)written;
        }
    }
}

void log_flush(void)
{
    if (collector == NULL)
        return;
    write_all(collector->text, collector->n);
    collector->n = 0;
}

void log_collect(struct log_collector *given)
{
    log_flush();
    collector = given;
}

static void collect(const char *text, size_t n)
{
    if (collector->n + n > sizeof(collector->text))
        log_flush();
    if (collector->n == 0)
        collector->due(collector->arg);
    memcpy(collector->text + collector->n, text, n);
    collector->n += n;
}

void log_end(struct log_line *line)
{
    if (line->off)
        return;
    if (line->cut) {
        memcpy(line->text + line->n, " " TAIL, sizeof(TAIL));
        line->n += sizeof(TAIL);
    }
    line->text[line->n++] = '\n';
    if (collector != NULL)
        collect(line->text, line->n);
    else
        write_all(line->text, line->n);
}

void log_message(enum log_level level, const char *event, const char *format, ...)
{
    struct log_line line;
    char text[LOG_LINE_BYTES / 2];
    va_list arguments;

    if (!log_enabled(level))
        return;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    log_begin(&line, level, event);
    log_text(&line, "msg", text);
    log_end(&line);
}
