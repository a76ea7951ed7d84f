/* floats.c - numbers out of an embedding answer.
 *
 * A decimal of at most 19 digits and a small power of ten is one exact integer and one exact
 * power, so that one division or multiplication gives the correctly rounded double (Clinger
 * 1990). Rounding that to float is right unless the double lies exactly between two floats;
 * there, and for everything unusual, strtof decides.
 */
#include "gateway/domain/floats.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/domain/jread.h"

#define DEPTH            64
#define MAX_NUMBER_BYTES 400
#define EXACT_INTEGER    (UINT64_C(1) << 53)
#define EXACT_POWER      22

const char *floats_err_text(enum floats_err code)
{
    static const char *const texts[] = {
#define X(name, text) text,
        FLOATS_ERRORS(X)
#undef X
    };

    return (size_t)code < ARRAY_LEN(texts) ? texts[code] : "unknown error";
}

/* -- one number -- */

static enum floats_err slow_number(struct str text, float *ret_value)
{
    char copy[MAX_NUMBER_BYTES], *end;
    float value;

    if (text.n == 0 || text.n >= sizeof(copy))
        return FLOATS_BAD_NUMBER;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    value = strtof(copy, &end);
    if (*end != '\0' || !isfinite(value))
        return FLOATS_BAD_NUMBER;
    *ret_value = value;
    return FLOATS_OK;
}

static bool is_halfway(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return (bits & 0x1fffffff) == 0x10000000; /* the 29 bits that a float lacks */
}

/* -?digits[.digits][e[+-]digits]; the grammar was checked before. False: for strtof. */
static bool fast_number(struct str text, double *ret_value)
{
    static const double powers[EXACT_POWER + 1] = {
        1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    };
    const char *p = text.p, *end = text.p + text.n;
    bool negative = p < end && *p == '-', point = false;
    int digits = 0, exponent = 0, written = 0, sign = 1;
    uint64_t integer = 0;
    double value;

    for (p += negative; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        digits += integer > 0 || *p != '0';
        if (digits > 19)
            return false;
        integer = integer * 10 + (uint64_t)(*p - '0');
        exponent -= point;
    }
    if (p < end) {
        p++;
        if (p < end && (*p == '-' || *p == '+'))
            sign = *p++ == '-' ? -1 : 1;
        for (; p < end && written < 1000; p++)
            written = written * 10 + (*p - '0');
        exponent += sign * written;
    }
    if (integer > EXACT_INTEGER || exponent > EXACT_POWER || exponent < -EXACT_POWER)
        return false;
    value = (double)integer;
    value = exponent < 0 ? value / powers[-exponent] : value * powers[exponent];
    *ret_value = negative ? -value : value;
    return true;
}

static enum floats_err read_number(struct str text, float *ret_value)
{
    double value;

    if (!fast_number(text, &value) || is_halfway(value) ||
        (value != 0 && fabs(value) < (double)FLT_MIN) || fabs(value) > (double)FLT_MAX)
        return slow_number(text, ret_value);
    *ret_value = (float)value;
    return FLOATS_OK;
}

enum floats_err floats_number(struct str text, float *ret_value)
{
    struct jread_value value;

    if (!jread_parse(text, 0, &value) || value.type != JREAD_NUMBER ||
        value.raw.n != text.n)
        return FLOATS_BAD_NUMBER;
    return read_number(text, ret_value);
}

/* -- a vector -- */

static enum floats_err read_list(struct jread_value list, float *vector, size_t max,
                                 size_t *ret_dim)
{
    struct jread_iter it = jread_iter(list);
    struct jread_value element;
    enum floats_err err;
    size_t n = 0;

    while (jread_next_element(&it, &element)) {
        if (n == max)
            return FLOATS_TOO_LONG;
        if (element.type != JREAD_NUMBER)
            return FLOATS_BAD_NUMBER;
        err = read_number(element.raw, &vector[n++]);
        if (err != FLOATS_OK)
            return err;
    }
    if (n == 0)
        return FLOATS_NO_VECTOR;
    *ret_dim = n;
    return FLOATS_OK;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static enum floats_err read_base64(struct str text, float *vector, size_t max,
                                   size_t *ret_dim)
{
    uint32_t bits = 0, word = 0;
    unsigned n_bits = 0, n_bytes = 0;
    size_t n = 0;

    for (int padding = 0; padding < 2 && text.n > 0 && text.p[text.n - 1] == '=';
         padding++)
        text.n--;
    for (size_t i = 0; i < text.n; i++) {
        int value = base64_value(text.p[i]);

        if (value < 0)
            return FLOATS_BAD_NUMBER;
        bits = bits << 6 | (uint32_t)value;
        n_bits += 6;
        if (n_bits < 8)
            continue;
        n_bits -= 8;
        word |= (bits >> n_bits & 0xff) << (8 * n_bytes++);
        if (n_bytes < 4)
            continue;
        if (n == max)
            return FLOATS_TOO_LONG;
        memcpy(&vector[n], &word, sizeof(word));
        if (!isfinite(vector[n++]))
            return FLOATS_BAD_NUMBER;
        word = 0;
        n_bytes = 0;
    }
    if (n_bytes != 0)
        return FLOATS_BAD_NUMBER;
    if (n == 0)
        return FLOATS_NO_VECTOR;
    *ret_dim = n;
    return FLOATS_OK;
}

static_assert(sizeof(float) == sizeof(uint32_t) && FLT_MANT_DIG == 24, "IEEE 754");

static enum floats_err read_text(struct jread_value text, float *vector, size_t max,
                                 size_t *ret_dim)
{
    struct str inside = { text.raw.p + 1, text.raw.n - 2 };
    enum floats_err err;
    struct buf plain;

    if (!memchr(inside.p, '\\', inside.n))
        return read_base64(inside, vector, max, ret_dim);
    /* Some writers put a backslash before every slash. */
    buf_init(&plain, text.raw.n);
    (void)jread_put_string(text, text.raw.n, &plain);
    err = plain.failed ? FLOATS_BAD_NUMBER
                       : read_base64(buf_str(&plain), vector, max, ret_dim);
    buf_release(&plain);
    return err;
}

/* -- the answer -- */

static struct jread_value find_embedding(struct jread_value root, size_t index)
{
    struct jread_iter it = jread_iter(jread_get(root, "data"));
    struct jread_value element;

    for (size_t place = 0; jread_next_element(&it, &element); place++) {
        struct jread_value written = jread_get(element, "index");
        int64_t number = (int64_t)place;

        if (written.type != JREAD_NOTHING && !jread_integer(written, &number))
            continue;
        if (number == (int64_t)index)
            return jread_get(element, "embedding");
    }
    return (struct jread_value){ JREAD_NOTHING, { NULL, 0 } };
}

enum floats_err floats_vector(struct jread_value embedding, float *ret_vector, size_t max,
                              size_t *ret_dim)
{
    if (embedding.type == JREAD_LIST)
        return read_list(embedding, ret_vector, max, ret_dim);
    if (embedding.type == JREAD_TEXT)
        return read_text(embedding, ret_vector, max, ret_dim);
    return FLOATS_NO_VECTOR;
}

enum floats_err floats_read(struct str body, size_t index, float *ret_vector, size_t max,
                            size_t *ret_dim, int64_t *ret_tokens)
{
    struct jread_value root, usage;
    enum floats_err err;
    int64_t tokens = -1;

    if (!jread_parse(body, DEPTH, &root))
        return FLOATS_MALFORMED;
    err = floats_vector(find_embedding(root, index), ret_vector, max, ret_dim);
    if (err != FLOATS_OK || !ret_tokens)
        return err;
    usage = jread_get(root, "usage");
    if (!jread_integer(jread_get(usage, "prompt_tokens"), &tokens) &&
        !jread_integer(jread_get(usage, "total_tokens"), &tokens))
        tokens = -1;
    *ret_tokens = tokens < 0 ? -1 : tokens;
    return FLOATS_OK;
}
