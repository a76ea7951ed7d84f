/* clock.c - the system's time, and how it is written. */
#include "gateway/base/clock.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>
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

/* Takes `digits` digits and what must follow them off the front of *text. */
static bool take(struct str *text, size_t digits, const char *after, int *ret_value)
{
    int value = 0;

    if (text->n < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (text->p[i] < '0' || text->p[i] > '9')
            return false;
        value = value * 10 + (text->p[i] - '0');
    }
    *text = str_skip(*text, digits);
    if (!str_starts(*text, after))
        return false;
    *text = str_skip(*text, strlen(after));
    *ret_value = value;
    return true;
}

/* ".25Z" or "Z", to the microsecond. */
static bool take_fraction(struct str text, int64_t *ret_us)
{
    int64_t us = 0, unit = 100000;

    if (text.n > 1 && text.p[0] == '.') {
        text = str_skip(text, 1);
        if (text.p[0] < '0' || text.p[0] > '9')
            return false;
        for (; text.n > 0 && text.p[0] >= '0' && text.p[0] <= '9'; unit /= 10) {
            us += (text.p[0] - '0') * unit;
            text = str_skip(text, 1);
        }
    }
    *ret_us = us;
    return str_is(text, "Z");
}

enum err clock_parse(struct str text, int64_t *ret_wall_us)
{
    struct tm tm = { .tm_isdst = 0 }, again;
    int year, month;
    int64_t us = 0;
    time_t seconds;
    bool timed;

    if (!take(&text, 4, "-", &year) || !take(&text, 2, "-", &month))
        return ERR_INVALID;
    timed = text.n != 2;
    if (!take(&text, 2, timed ? "T" : "", &tm.tm_mday))
        return ERR_INVALID;
    if (timed && (!take(&text, 2, ":", &tm.tm_hour) || !take(&text, 2, ":", &tm.tm_min) ||
                  !take(&text, 2, "", &tm.tm_sec) || !take_fraction(text, &us)))
        return ERR_INVALID;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    again = tm;
    seconds = timegm(&again); /* it would take 31 June for 1 July */
    if (year < 1970 || again.tm_mon != tm.tm_mon || again.tm_mday != tm.tm_mday ||
        again.tm_hour != tm.tm_hour || again.tm_min != tm.tm_min ||
        again.tm_sec != tm.tm_sec)
        return ERR_INVALID;
    *ret_wall_us = (int64_t)seconds * 1000000 + us;
    return ERR_OK;
}
