/* tokens.c - see tokens.h. */
#include "tools/experts/tokens.h"

#include <ctype.h>

enum { LETTERS = 5, DIGITS = 3 };

static int is_letter(char c)
{
    return isalpha((unsigned char)c) != 0;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t run(const char *p, size_t n, size_t at, size_t most, int (*is)(char))
{
    size_t end = at;
    while (end < n && end - at < most && is(p[end]))
        end++;
    return end;
}

size_t tokens_next(const char *p, size_t n)
{
    size_t at = n > 1 && p[0] == ' ' ? 1 : 0;
    if (n == 0)
        return 0;
    if (is_letter(p[at]))
        return run(p, n, at, LETTERS, is_letter);
    if (is_digit(p[at]))
        return run(p, n, at, DIGITS, is_digit);
    at++;
    while (at < n && ((unsigned char)p[at] & 0xc0) == 0x80)
        at++;
    return at;
}

size_t tokens_count(const char *p, size_t n)
{
    size_t count = 0;
    for (size_t at = 0; at < n; count++)
        at += tokens_next(p + at, n - at);
    return count;
}

size_t tokens_prefix(const char *p, size_t n, size_t tokens)
{
    size_t at = 0;
    while (at < n && tokens-- > 0)
        at += tokens_next(p + at, n - at);
    return at;
}
