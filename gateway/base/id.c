/* id.c - ids in Crockford's base32 (no i, l, o, u), so that they survive being read aloud.
 */
#include "gateway/base/id.h"

#include <sys/random.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void system_random(void *context, void *bytes, size_t n)
{
    char *p = bytes;

    (void)context;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);

        if (got < 0 && errno != EINTR)
            abort(); /* a kernel without randomness: nothing sensible is left to do */
        if (got > 0)
            p += got, n -= (size_t)got;
    }
}

void id_source_init(struct id_source *source, const struct clock *clock,
                    uint16_t instance, id_random_fn random, void *random_context)
{
    *source = (struct id_source){
        .clock = clock,
        .instance = instance,
        .random = random ? random : system_random,
        .random_context = random_context,
    };
}

uint64_t id_random(struct id_source *source)
{
    uint64_t value;

    if (source->left < sizeof(value)) {
        source->random(source->random_context, source->pool, sizeof(source->pool));
        source->left = sizeof(source->pool);
    }
    memcpy(&value, source->pool + sizeof(source->pool) - source->left, sizeof(value));
    source->left -= sizeof(value);
    return value;
}

static char *put_base32(char *p, uint64_t value, int digits)
{
    static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

    for (int i = digits - 1; i >= 0; i--)
        *p++ = alphabet[(value >> (5 * i)) & 31];
    return p;
}

static char *put_hex(char *p, uint16_t value)
{
    for (int i = 3; i >= 0; i--)
        *p++ = "0123456789abcdef"[(value >> (4 * i)) & 15];
    return p;
}

static char *put_time(char *text, const char *prefix, int64_t wall_us)
{
    size_t n = strlen(prefix);

    assert(n <= 8);
    memcpy(text, prefix, n);
    text[n] = '_';
    return put_base32(text + n + 1, (uint64_t)wall_us / 1000, 10);
}

const char *id_floor(const char *prefix, int64_t wall_us, char text[ID_TEXT_BYTES])
{
    *put_time(text, prefix, wall_us) = '\0';
    return text;
}

const char *id_new(struct id_source *source, const char *prefix, char text[ID_TEXT_BYTES])
{
    char *p = put_time(text, prefix, clock_wall_us(source->clock));

    *p++ = '-';
    p = put_hex(p, source->instance);
    *p++ = '-';
    p = put_base32(p, id_random(source), 12);
    *p = '\0';
    return text;
}
