/* jput.c - writes JSON into a buffer; see jput.h.
 *
 * Numbers are written by hand: a record has a hundred of them and printf takes longer for
 * each than everything else here.
 */
#include "gateway/base/jput.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/money.h"

#define DIGITS       6    /* significant ones of a number */
#define SMALLEST     1e-9 /* below it, and from LARGEST on, printf writes the number */
#define LARGEST      1e15
#define NUMBER_BYTES 40

void jput_init(struct jput *j, struct buf *out)
{
    *j = (struct jput){ .out = out };
}

/* The comma that is due and the key. */
static void begin(struct jput *j, const char *key)
{
    const size_t n = key != NULL ? strlen(key) : 0;
    char *to, *start;

    if (buf_room(j->out, n + 4, &start) != ERR_OK)
        return;
    to = start;
    if (j->comma)
        *to++ = ',';
    if (key != NULL) {
        *to++ = '"';
        memcpy(to, key, n);
        to += n;
        *to++ = '"';
        *to++ = ':';
    }
    buf_commit(j->out, (size_t)(to - start));
    j->comma = true;
}

void jput_open(struct jput *j, const char *key, char bracket)
{
    begin(j, key);
    IGNORE(buf_add(j->out, &bracket, 1));
    j->comma = false;
}

void jput_close(struct jput *j, char bracket)
{
    IGNORE(buf_add(j->out, &bracket, 1));
    j->comma = true;
}

void jput_null(struct jput *j, const char *key)
{
    begin(j, key);
    IGNORE(buf_add(j->out, "null", 4));
}

void jput_bool(struct jput *j, const char *key, bool value)
{
    begin(j, key);
    buf_put(j->out, value ? "true" : "false");
}

/* The decimal digits of a value at the end of a text; returns where they begin. */
static size_t digits_before(char *text, size_t at, uint64_t value)
{
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return at;
}

void jput_int(struct jput *j, const char *key, int64_t value)
{
    char text[NUMBER_BYTES];
    size_t at = digits_before(text, sizeof text,
                              value < 0 ? 0 - (uint64_t)value : (uint64_t)value);

    if (value < 0)
        text[--at] = '-';
    begin(j, key);
    IGNORE(buf_add(j->out, text + at, sizeof text - at));
}

/* Digits behind the point that make DIGITS significant ones. */
static int decimals_of(double magnitude)
{
    int decimals = DIGITS - 1;

    for (; magnitude >= 10 && decimals > 0; decimals--)
        magnitude /= 10;
    for (; magnitude < 1; decimals++)
        magnitude *= 10;
    return decimals;
}

/* value = scaled / 10^decimals, zeros at the end left out. */
static size_t put_decimal(char *text, bool negative, uint64_t scaled, int decimals)
{
    char digits[NUMBER_BYTES];
    size_t at, n = 0, end = sizeof digits;

    for (; decimals > 0 && scaled % 10 == 0; decimals--)
        scaled /= 10;
    at = digits_before(digits, end, scaled);
    while (end - at < (size_t)decimals + 1)
        digits[--at] = '0';
    if (negative)
        text[n++] = '-';
    memcpy(text + n, digits + at, end - at - (size_t)decimals);
    n += end - at - (size_t)decimals;
    if (decimals > 0) {
        text[n++] = '.';
        memcpy(text + n, digits + end - (size_t)decimals, (size_t)decimals);
        n += (size_t)decimals;
    }
    return n;
}

void jput_number(struct jput *j, const char *key, double value)
{
    static const double powers[] = { 1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6, 1e7,
                                     1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14 };
    const double magnitude = fabs(value);
    char text[NUMBER_BYTES];
    size_t n = 1;

    if (!isfinite(value)) {
        jput_null(j, key);
        return;
    }
    begin(j, key);
    if (magnitude <= 0) {
        text[0] = '0';
    } else if (magnitude < SMALLEST || magnitude >= LARGEST) {
        n = (size_t)snprintf(text, sizeof text, "%.*g", DIGITS, value);
    } else {
        int decimals = decimals_of(magnitude);

        n = put_decimal(text, value < 0, (uint64_t)llrint(magnitude * powers[decimals]),
                        decimals);
    }
    IGNORE(buf_add(j->out, text, n));
}

void jput_usd(struct jput *j, const char *key, int64_t pico)
{
    char text[MONEY_TEXT_BYTES];

    if (pico == MONEY_NONE) {
        jput_null(j, key);
        return;
    }
    begin(j, key);
    buf_put(j->out, money_format(pico, text));
}

void jput_text(struct jput *j, const char *key, const char *value)
{
    jput_str(j, key, str_of(value));
}

void jput_str(struct jput *j, const char *key, struct str value)
{
    if (value.p == NULL) {
        jput_null(j, key);
        return;
    }
    begin(j, key);
    buf_put_json(j->out, value);
}

void jput_raw(struct jput *j, const char *key, struct str json)
{
    if (json.n == 0) {
        jput_null(j, key);
        return;
    }
    begin(j, key);
    buf_put_str(j->out, json);
}

void jput_floats(struct jput *j, const char *key, const float *values, size_t n)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = (const unsigned char *)values;
    const size_t bytes = n * sizeof *values, length = (bytes + 2) / 3 * 4;
    char *to;

    begin(j, key);
    if (buf_room(j->out, length + 2, &to) != ERR_OK)
        return;
    *to++ = '"';
    for (size_t i = 0; i < bytes; i += 3) {
        unsigned group = (unsigned)from[i] << 16;

        if (i + 1 < bytes)
            group |= (unsigned)from[i + 1] << 8;
        if (i + 2 < bytes)
            group |= from[i + 2];
        *to++ = alphabet[group >> 18];
        *to++ = alphabet[group >> 12 & 63];
        *to++ = i + 1 < bytes ? alphabet[group >> 6 & 63] : '=';
        *to++ = i + 2 < bytes ? alphabet[group & 63] : '=';
    }
    *to = '"';
    buf_commit(j->out, length + 2);
}
