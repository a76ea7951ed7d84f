/* clock.c - the system's time, and how it is written. */
#include "gateway/base/clock.h"

#include <stdio.h>
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

const char *clock_format(int64_t wall_us, char text[CLOCK_TEXT_BYTES])
{
    time_t seconds = (time_t)(wall_us / 1000000);
    int ms = (int)(wall_us % 1000000 / 1000);
    struct tm tm;
    size_t n = 0;

    text[0] = '\0';
    if (gmtime_r(&seconds, &tm))
        n = strftime(text, CLOCK_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(text + n, CLOCK_TEXT_BYTES - n, ".%03dZ", ms);
    return text;
}
