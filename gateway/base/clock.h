/* clock.h - time, through a pointer that tests replace.
 *
 * A struct clock is borrowed by everything that needs time and outlives it. clock_system
 * is the real one; a test brings its own with a fake `now`. Thread-safe as far as its
 * functions are (the system's are).
 */
#ifndef GATEWAY_BASE_CLOCK_H
#define GATEWAY_BASE_CLOCK_H

#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/base/str.h"

struct clock {
    int64_t (*monotonic_us)(void *context); /* never goes back; origin unspecified */
    int64_t (*wall_us)(void *context);      /* microseconds since 1970, UTC */
    void *context;
};

extern const struct clock clock_system;

int64_t clock_us(const struct clock *clock); /* monotonic */
int64_t clock_ms(const struct clock *clock); /* monotonic, rounded down */
int64_t clock_wall_us(const struct clock *clock);
int64_t clock_wall_s(const struct clock *clock);

#define CLOCK_TEXT_BYTES 32
/* "2026-01-31T12:00:00.000Z". Returns text. */
const char *clock_format(int64_t wall_us, char text[CLOCK_TEXT_BYTES]);
/* "2026-01-31" (its first moment), "2026-01-31T12:00:00Z" or with a fraction of a second;
 * UTC, from 1970 to 9999. INVALID: another form, or no such day or time. */
NODISCARD enum err clock_parse(struct str text, int64_t *ret_wall_us);

#endif
