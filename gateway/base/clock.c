/* clock.c - the system's time, and how it is written. */
#include "gateway/base/clock.h"

#include <assert.h>
#include <time.h>

static int64_t read_clock_us(clockid_t id)
{
    struct timespec now = { 0 };

    (void)clock_gettime(id, &now); /* cannot fail for these two clocks */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t system_monotonic_us(void *context)
{
    (void)context;
    return read_clock_us(CLOCK_MONOTONIC);
}

static int64_t system_wall_us(void *context)
{
    (void)context;
    return read_clock_us(CLOCK_REALTIME);
}

const struct clock clock_system = { system_monotonic_us, system_wall_us, NULL };

int64_t clock_us(const struct clock *clock)
{
    return clock->monotonic_us(clock->context);
}

int64_t clock_ms(const struct clock *clock)
{
    return clock_us(clock) / 1000;
}

int64_t clock_wall_us(const struct clock *clock)
{
    return clock->wall_us(clock->context);
}

int64_t clock_wall_s(const struct clock *clock)
{
    return clock_wall_us(clock) / 1000000;
}

/* By hand: every line of the log begins with it. */
static char *put_digits(char *p, int value, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        p[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return p + digits;
}

const char *clock_format(int64_t wall_us, char text[CLOCK_TEXT_BYTES])
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm tm = { .tm_mday = 1 };
    char *p = text;

    assert(wall_us >= 0);
    (void)gmtime_r(&seconds, &tm);
    p = put_digits(p, tm.tm_year + 1900, 4);
    *p++ = '-';
    p = put_digits(p, tm.tm_mon + 1, 2);
    *p++ = '-';
    p = put_digits(p, tm.tm_mday, 2);
    *p++ = 'T';
    p = put_digits(p, tm.tm_hour, 2);
    *p++ = ':';
    p = put_digits(p, tm.tm_min, 2);
    *p++ = ':';
    p = put_digits(p, tm.tm_sec, 2);
    *p++ = '.';
    p = put_digits(p, (int)(wall_us % 1000000 / 1000), 3);
    *p++ = 'Z';
    *p = '\0';
    return text;
}
