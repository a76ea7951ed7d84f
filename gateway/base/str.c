/* str.c - borrowed strings. Nothing here allocates or writes through a struct str. */
#include "gateway/base/str.h"

#include <string.h>

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

struct str str_of(const char *text)
{
    return (struct str){ text, text ? strlen(text) : 0 };
}

bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_is(struct str a, const char *text)
{
    return str_eq(a, str_of(text));
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

bool str_starts(struct str s, const char *prefix)
{
    return str_is(str_first(s, strlen(prefix)), prefix);
}

bool str_starts_nocase(struct str s, const char *prefix)
{
    return str_eq_nocase(str_first(s, strlen(prefix)), str_of(prefix));
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.n > 0 && is_space(s.p[0]))
        s.p++, s.n--;
    while (s.n > 0 && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

struct str str_skip(struct str s, size_t n)
{
    if (n > s.n)
        n = s.n;
    return n == 0 ? s : (struct str){ s.p + n, s.n - n };
}

struct str str_first(struct str s, size_t n)
{
    return n < s.n ? (struct str){ s.p, n } : s;
}

bool str_cut(struct str *s, char separator, struct str *ret_part)
{
    const char *at;

    if (!s->p)
        return false;
    at = s->n > 0 ? memchr(s->p, separator, s->n) : NULL;
    if (!at) {
        *ret_part = *s;
        *s = (struct str){ NULL, 0 };
        return true;
    }
    *ret_part = (struct str){ s->p, (size_t)(at - s->p) };
    *s = (struct str){ at + 1, s->n - ret_part->n - 1 };
    return true;
}

enum err str_to_u64(struct str s, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (s.n == 0)
        return ERR_INVALID;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return ERR_INVALID;
    for (size_t i = 0; i < s.n; i++) {
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.p[i] - '0'), &value))
            return ERR_OVERFLOW;
    }
    *ret_value = value;
    return ERR_OK;
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

struct str str_clip_utf8(struct str s, size_t n)
{
    if (n >= s.n)
        return s;
    while (n > 0 && is_continuation(s.p[n]))
        n--;
    return (struct str){ s.p, n };
}

struct str str_tail_utf8(struct str s, size_t n)
{
    size_t at;

    if (n >= s.n)
        return s;
    at = s.n - n;
    while (at < s.n && is_continuation(s.p[at]))
        at++;
    return (struct str){ s.p + at, s.n - at };
}

/* Length of the well-formed sequence at p, of at most n bytes; 0: there is none. The ranges
 * are table 3-7 of the Unicode standard. */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t length;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        length = 2;
    else if (p[0] >= 0xe0 && p[0] <= 0xef)
        length = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        length = 4;
    else
        return 0;
    if (length > n)
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

size_t str_utf8_sequence(struct str s)
{
    return s.n == 0 ? 0 : utf8_sequence((const unsigned char *)s.p, s.n);
}

bool str_is_utf8(struct str s)
{
    while (s.n > 0) {
        size_t length = str_utf8_sequence(s);

        if (length == 0)
            return false;
        s.p += length, s.n -= length;
    }
    return true;
}

#define DISTANCE_MAX_BYTES 64

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned str_distance(struct str a, struct str b, unsigned max)
{
    /* Three rows of the matrix of optimal string alignment. */
    unsigned rows[3][DISTANCE_MAX_BYTES + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];

    if (a.n > DISTANCE_MAX_BYTES || b.n > DISTANCE_MAX_BYTES)
        return max + 1;
    for (size_t j = 0; j <= b.n; j++)
        last[j] = (unsigned)j, before[j] = 0;
    for (size_t i = 1; i <= a.n; i++) {
        unsigned *spare = before;

        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            unsigned differs = a.p[i - 1] != b.p[j - 1];

            now[j] = least(last[j - 1] + differs, least(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
        }
        before = last, last = now, now = spare;
    }
    return least(last[b.n], max + 1);
}
