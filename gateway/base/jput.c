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

/* Room for n bytes at the end: a look at open members before the call that may grow. */
static char *room_for(struct buf *out, size_t n)
{
    char *room;

    if (out->base != NULL && n <= out->max_bytes - out->n &&
        (size_t)(out->p - out->base) + out->n + n <= out->capacity)
        return out->p + out->n;
    return buf_room(out, n, &room) == ERR_OK ? room : NULL;
}

/* Up to `to` has been written. */
static void written(struct jput *j, const char *to)
{
    j->out->n = (size_t)(to - j->out->p);
}

/* The comma that is due and the key, and room for a value of `bytes`, which begins at what
 * is returned; NULL: there is no room. */
static char *begin(struct jput *j, const char *key, size_t bytes)
{
    const size_t n = key != NULL ? strlen(key) : 0;
    char *to = room_for(j->out, n + 4 + bytes);

    if (to == NULL)
        return NULL;
    if (j->comma)
        *to++ = ',';
    if (key != NULL) {
        *to++ = '"';
        memcpy(to, key, n);
        to += n;
        *to++ = '"';
        *to++ = ':';
    }
    j->comma = true;
    written(j, to);
    return to;
}

/* A value that is short and stands as it is. */
static void put_short(struct jput *j, const char *key, const char *text, size_t n)
{
    char *to = begin(j, key, n);

    if (to == NULL)
        return;
    memcpy(to, text, n);
    written(j, to + n);
}

void jput_open(struct jput *j, const char *key, char bracket)
{
    put_short(j, key, &bracket, 1);
    j->comma = false;
}

void jput_close(struct jput *j, char bracket)
{
    char *to = room_for(j->out, 1);

    if (to != NULL) {
        *to = bracket;
        written(j, to + 1);
    }
    j->comma = true;
}

void jput_null(struct jput *j, const char *key)
{
    put_short(j, key, "null", 4);
}

void jput_bool(struct jput *j, const char *key, bool value)
{
    put_short(j, key, value ? "true" : "false", value ? 4 : 5);
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
    put_short(j, key, text + at, sizeof text - at);
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

/* value = scaled / 10^decimals, zeros at the end left out; returns where it ends. */
static char *put_decimal(char *to, bool negative, uint64_t scaled, int decimals)
{
    char digits[NUMBER_BYTES];
    const size_t end = sizeof digits;
    size_t at, whole;

    for (; decimals > 0 && scaled % 10 == 0; decimals--)
        scaled /= 10;
    at = digits_before(digits, end, scaled);
    while (end - at < (size_t)decimals + 1)
        digits[--at] = '0';
    whole = end - at - (size_t)decimals;
    if (negative)
        *to++ = '-';
    memcpy(to, digits + at, whole);
    to += whole;
    if (decimals > 0) {
        *to++ = '.';
        memcpy(to, digits + end - (size_t)decimals, (size_t)decimals);
        to += decimals;
    }
    return to;
}

void jput_number(struct jput *j, const char *key, double value)
{
    static const double powers[] = { 1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6, 1e7,
                                     1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14 };
    const double magnitude = fabs(value);
    char *to;

    if (!isfinite(value)) {
        jput_null(j, key);
        return;
    }
    to = begin(j, key, NUMBER_BYTES);
    if (to == NULL)
        return;
    if (magnitude <= 0) {
        *to++ = '0';
    } else if (magnitude < SMALLEST || magnitude >= LARGEST) {
        to += snprintf(to, NUMBER_BYTES, "%.*g", DIGITS, value);
    } else {
        int decimals = decimals_of(magnitude);

        to = put_decimal(to, value < 0, (uint64_t)llrint(magnitude * powers[decimals]),
                         decimals);
    }
    written(j, to);
}

void jput_usd(struct jput *j, const char *key, int64_t pico)
{
    char *to;

    if (pico == MONEY_NONE) {
        jput_null(j, key);
        return;
    }
    to = begin(j, key, MONEY_TEXT_BYTES);
    if (to != NULL)
        written(j, to + strlen(money_format(pico, to)));
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
    (void)begin(j, key, value.n + 2);
    buf_put_json(j->out, value);
}

void jput_raw(struct jput *j, const char *key, struct str json)
{
    if (json.n == 0) {
        jput_null(j, key);
        return;
    }
    (void)begin(j, key, json.n);
    buf_put_str(j->out, json);
}

void jput_floats(struct jput *j, const char *key, const float *values, size_t n)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = (const unsigned char *)values;
    const size_t bytes = n * sizeof *values, length = (bytes + 2) / 3 * 4;
    char *to = begin(j, key, length + 2);

    if (to == NULL)
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
    *to++ = '"';
    written(j, to);
}
