/* money.c - exact amounts. No floating point in here but for money_to_usd. */
#include "gateway/base/money.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define USD_DIGITS   12 /* of MONEY_USD behind the point */
#define MAX_DIGITS   40 /* a longer number is nobody's price */
#define MAX_EXPONENT 100

struct decimal {
    char digits[MAX_DIGITS]; /* 0..9, significant ones, leading zeros left out */
    int n;
    int exponent; /* value = digits * 10^exponent */
};

static bool is_digit(struct str s)
{
    return s.n > 0 && s.p[0] >= '0' && s.p[0] <= '9';
}

static bool push_digit(struct decimal *d, char c)
{
    if (d->n == 0 && c == '0')
        return true;
    if (d->n == MAX_DIGITS)
        return false;
    d->digits[d->n++] = (char)(c - '0');
    return true;
}

static bool read_exponent(struct str *s, int *exponent)
{
    int sign = 1, value = 0;

    if (s->n == 0 || (s->p[0] != 'e' && s->p[0] != 'E'))
        return true;
    *s = str_skip(*s, 1);
    if (s->n > 0 && (s->p[0] == '+' || s->p[0] == '-')) {
        sign = s->p[0] == '-' ? -1 : 1;
        *s = str_skip(*s, 1);
    }
    if (!is_digit(*s))
        return false;
    for (; is_digit(*s); *s = str_skip(*s, 1))
        if (value <= MAX_EXPONENT)
            value = value * 10 + (s->p[0] - '0');
    *exponent += sign * value;
    return true;
}

/* The grammar of a JSON number without its minus sign. */
static bool read_decimal(struct str s, struct decimal *d)
{
    *d = (struct decimal){ .n = 0 };
    if (!is_digit(s) || (s.p[0] == '0' && is_digit(str_skip(s, 1))))
        return false;
    for (; is_digit(s); s = str_skip(s, 1))
        if (!push_digit(d, s.p[0]))
            return false;
    if (s.n > 0 && s.p[0] == '.') {
        s = str_skip(s, 1);
        if (!is_digit(s))
            return false;
        for (; is_digit(s); s = str_skip(s, 1)) {
            if (!push_digit(d, s.p[0]))
                return false;
            d->exponent--;
        }
    }
    if (!read_exponent(&s, &d->exponent) || s.n > 0)
        return false;
    while (d->n > 0 && d->digits[d->n - 1] == 0)
        d->n--, d->exponent++;
    return true;
}

/* `up`: what is too fine is rounded up, and not refused. */
static enum err parse_scaled(struct str text, int scale, bool up, int64_t *ret_value)
{
    struct decimal d;
    int64_t value = 0;
    bool fine;

    if (!read_decimal(text, &d))
        return ERR_INVALID;
    if (d.n == 0) {
        *ret_value = 0;
        return ERR_OK;
    }
    fine = d.exponent + scale < 0; /* its last digit is not 0 */
    if (fine && !up)
        return ERR_INVALID;
    for (int i = 0; i < d.n + d.exponent + scale; i++) {
        int64_t digit = i < d.n ? d.digits[i] : 0;

        if (__builtin_mul_overflow(value, INT64_C(10), &value) ||
            __builtin_add_overflow(value, digit, &value))
            return ERR_OVERFLOW;
    }
    if (__builtin_add_overflow(value, (int64_t)fine, &value) || value == MONEY_NONE)
        return ERR_OVERFLOW;
    *ret_value = value;
    return ERR_OK;
}

enum err money_parse(struct str text, int64_t *ret_pico)
{
    return parse_scaled(text, USD_DIGITS, false, ret_pico);
}

enum err money_parse_up(struct str text, int64_t *ret_pico)
{
    return parse_scaled(text, USD_DIGITS, true, ret_pico);
}

enum err money_parse_per_million(struct str text, int64_t *ret_pico_per_token)
{
    return parse_scaled(text, USD_DIGITS - 6, false, ret_pico_per_token);
}

/* Written by hand: several a request, and printf costs ten times as much. */
const char *money_format(int64_t pico, char text[MONEY_TEXT_BYTES])
{
    char digits[MONEY_TEXT_BYTES];
    int64_t whole = pico / MONEY_USD, part = pico % MONEY_USD;
    size_t n = 0, at = sizeof(digits);

    assert(pico >= 0);
    if (pico == MONEY_NONE) {
        memcpy(text, "none", sizeof("none"));
        return text;
    }
    do {
        digits[--at] = (char)('0' + whole % 10);
        whole /= 10;
    } while (whole > 0);
    while (at < sizeof(digits))
        text[n++] = digits[at++];
    if (part > 0)
        text[n++] = '.';
    for (int64_t unit = MONEY_USD / 10; part > 0; unit /= 10) {
        text[n++] = (char)('0' + part / unit);
        part %= unit;
    }
    text[n] = '\0';
    return text;
}

double money_to_usd(int64_t pico)
{
    return pico == MONEY_NONE ? INFINITY : (double)pico / (double)MONEY_USD;
}

int64_t money_add(int64_t a, int64_t b)
{
    int64_t sum;

    assert(a >= 0 && b >= 0);
    return __builtin_add_overflow(a, b, &sum) ? MONEY_NONE : sum;
}

int64_t money_mul(int64_t pico, int64_t count)
{
    int64_t product;

    assert(pico >= 0 && count >= 0);
    if (pico == MONEY_NONE || count == MONEY_NONE)
        return MONEY_NONE;
    return __builtin_mul_overflow(pico, count, &product) ? MONEY_NONE : product;
}

int64_t money_sub(int64_t a, int64_t b)
{
    assert(a >= 0 && b >= 0);
    if (a == MONEY_NONE)
        return MONEY_NONE;
    return a > b ? a - b : 0;
}
