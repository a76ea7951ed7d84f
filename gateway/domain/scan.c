/* scan.c - a push-down automaton over the bytes of a body.
 *
 * Whether a key is one of ours, and what its value is then, is scan_keys.c's.
 *
 * One function per state takes what it can of the piece and returns how far it came, or NULL
 * after an error. Whatever must survive the end of a piece is in struct scan, so a body cut
 * between any two bytes gives the same result.
 *
 *   level 1        { "messages":                      keys are compared with ours
 *   level 2          [                                elements are counted and placed
 *   level 3            { "role": .., "content":       or "images": whether it has elements
 *   level 4              [
 *   level 5                { "image_url": .. }        keys are compared with media, at level 4
 *                                                     where content is one part, too
 *   level 1        { "response_format":
 *   level 2          { "type": "json_schema" ..       the value is compared
 */
#include "gateway/domain/scan.h"

#include <assert.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/domain/jread_run.h"
#include "gateway/domain/scan_parts.h"

#define STATES(X)                                                                        \
    X(VALUE)     /* a value must come */                                                 \
    X(FIRST_KEY) /* behind '{': a key or '}' */                                          \
    X(KEY)       /* behind ',': a key */                                                 \
    X(COLON)                                                                             \
    X(FIRST_ELEMENT) /* behind '[': a value or ']' */                                    \
    X(AFTER)         /* behind a value: ',' or the closing bracket */                    \
    X(STRING)                                                                            \
    X(ESCAPE) /* behind a backslash */                                                   \
    X(HEX)    /* in the digits of an escape */                                           \
    X(UTF8)   /* in a character of several bytes */                                      \
    X(LITERAL)                                                                           \
    X(NUMBER)                                                                            \
    X(DONE) /* nothing but white space may come */

enum state {
#define X(name) STATE_##name,
    STATES(X)
#undef X
};

enum number { /* what came last */
              NUMBER_MINUS,
              NUMBER_ZERO,
              NUMBER_DIGITS,
              NUMBER_POINT,
              NUMBER_FRACTION,
              NUMBER_E,
              NUMBER_SIGN,
              NUMBER_EXPONENT,
};

const char *scan_err_text(enum scan_err code)
{
    static const char *const texts[] = {
#define X(name, text) text,
        SCAN_ERRORS(X)
#undef X
    };

    return (size_t)code < ARRAY_LEN(texts) ? texts[code] : "unknown error";
}

void scan_init(struct scan *scan, unsigned max_depth)
{
    assert(max_depth >= 1 && max_depth <= SCAN_MAX_DEPTH);
    *scan = (struct scan){
        .max_depth = (uint16_t)max_depth,
        .state = STATE_VALUE,
        .in_field = SCAN_FIELD_COUNT,
    };
}

static size_t offset_of(const struct scan *scan, const char *p)
{
    return scan->bytes + (size_t)(p - scan->piece);
}

static const char *fail(struct scan *scan, const char *p, enum scan_err error)
{
    scan->error = error;
    scan->error_offset = offset_of(scan, p);
    return NULL;
}

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool in_object(const struct scan *scan)
{
    unsigned level = scan->depth - 1u;

    return (scan->is_object[level / 64] >> (level % 64) & 1) != 0;
}

/* -- values begin and end -- */

static void begin_value(struct scan *scan, size_t at, enum jread_type type)
{
    if (scan->depth == 1 && scan->in_field < SCAN_FIELD_COUNT) {
        scan->fields[scan->in_field].type = type;
        scan->fields[scan->in_field].begin = at;
        scan->in_messages = scan->in_field == SCAN_MESSAGES && type == JREAD_LIST;
    } else if (scan->depth == MESSAGE_LEVEL && scan->in_messages) {
        struct scan_place *place = &scan->messages[scan->n_messages % SCAN_LAST_MESSAGES];

        place->type = type;
        place->begin = at;
        scan->n_bad_messages += type != JREAD_MAP;
    } else if (scan->depth == PART_LEVEL && scan->media != SCAN_MEDIA_NONE) {
        scan->media_begin = at;
    } else if (scan->in_images && scan->in_messages &&
               (scan->depth == IMAGES_LEVEL ||
                (scan->depth == IMAGES_LEVEL - 1 && type == JREAD_TEXT))) {
        scan->media_kinds |= 1u << SCAN_MEDIA_IMAGE;
    }
}

static void end_value(struct scan *scan, size_t at)
{
    scan->state = scan->depth == 0 ? STATE_DONE : STATE_AFTER;
    if (scan->depth == 1 && scan->in_field < SCAN_FIELD_COUNT) {
        scan->fields[scan->in_field].end = at;
        scan->in_field = SCAN_FIELD_COUNT;
        scan->in_messages = false;
    } else if (scan->depth == MESSAGE_LEVEL && scan->in_messages) {
        scan->messages[scan->n_messages % SCAN_LAST_MESSAGES].end = at;
        scan->n_messages++;
    } else if (scan->depth == PART_LEVEL && scan->media != SCAN_MEDIA_NONE) {
        scan->media_bytes += at - scan->media_begin;
        scan->n_images += scan->media == SCAN_MEDIA_IMAGE;
        scan->n_other_media += scan->media != SCAN_MEDIA_IMAGE;
        scan->media_kinds |= 1u << scan->media;
        scan->media = SCAN_MEDIA_NONE;
    }
}

static const char *open_container(struct scan *scan, const char *p)
{
    bool object = *p == '{';
    unsigned level = scan->depth;
    uint64_t bit = UINT64_C(1) << (level % 64);

    if (level == scan->max_depth)
        return fail(scan, p, SCAN_TOO_DEEP);
    if (object)
        scan->is_object[level / 64] |= bit;
    else
        scan->is_object[level / 64] &= ~bit;
    scan->depth++;
    scan->state = object ? STATE_FIRST_KEY : STATE_FIRST_ELEMENT;
    return p + 1;
}

static const char *close_container(struct scan *scan, const char *p)
{
    scan->depth--;
    end_value(scan, offset_of(scan, p) + 1);
    return p + 1;
}

/* -- strings -- */

static void begin_string(struct scan *scan, const char *p, bool is_key)
{
    scan->string_begin = offset_of(scan, p);
    scan->is_key = is_key;
    scan->keep_key = is_key ? scan_key_matters(scan) : scan_value_matters(scan);
    scan->key_foreign = false;
    scan->key_wide = false;
    scan->key_n = 0;
    scan->state = STATE_STRING;
}

static const char *end_string(struct scan *scan, const char *p)
{
    if (!scan->is_key) {
        if (scan->keep_key)
            scan_value_end(scan);
        end_value(scan, offset_of(scan, p) + 1);
        return p + 1;
    }
    scan->state = STATE_COLON;
    if (scan->keep_key && !scan_key_end(scan, offset_of(scan, p)))
        return fail(scan, p, SCAN_DUPLICATE);
    return p + 1;
}

/* The ranges are table 3-7 of the Unicode standard. */
static bool begin_utf8(struct scan *scan, unsigned char lead)
{
    scan->utf8_low = 0x80;
    scan->utf8_high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf)
        scan->utf8_left = 1;
    else if (lead >= 0xe0 && lead <= 0xef)
        scan->utf8_left = 2;
    else if (lead >= 0xf0 && lead <= 0xf4)
        scan->utf8_left = 3;
    else
        return false;
    if (lead == 0xe0)
        scan->utf8_low = 0xa0;
    else if (lead == 0xed)
        scan->utf8_high = 0x9f;
    else if (lead == 0xf0)
        scan->utf8_low = 0x90;
    else if (lead == 0xf4)
        scan->utf8_high = 0x8f;
    scan->state = STATE_UTF8;
    return true;
}

static const char *in_utf8(struct scan *scan, const char *p, const char *end)
{
    for (; p < end && scan->utf8_left > 0; p++) {
        unsigned char c = (unsigned char)*p;

        if (c < scan->utf8_low || c > scan->utf8_high)
            return fail(scan, p, SCAN_NOT_UTF8);
        scan->utf8_low = 0x80;
        scan->utf8_high = 0xbf;
        scan->utf8_left--;
    }
    if (scan->utf8_left == 0)
        scan->state = STATE_STRING;
    return p;
}

static const char *in_string(struct scan *scan, const char *p, const char *end)
{
    const char *stop = jread_run_ascii(p, end);

    if (scan->keep_key)
        scan_key_add(scan, p, (size_t)(stop - p));
    p = stop;
    if (p == end)
        return p;
    if (*p == '"')
        return end_string(scan, p);
    if (*p == '\\') {
        scan->state = STATE_ESCAPE;
        return p + 1;
    }
    if ((unsigned char)*p < 0x20)
        return fail(scan, p, SCAN_MALFORMED);
    scan->key_foreign = scan->key_wide = true;
    if (!begin_utf8(scan, (unsigned char)*p))
        return fail(scan, p, SCAN_NOT_UTF8);
    return in_utf8(scan, p + 1, end);
}

static const char *in_escape(struct scan *scan, const char *p)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at;

    if (*p == 'u') {
        scan->hex = 0;
        scan->hex_left = 4;
        scan->state = STATE_HEX;
        return p + 1;
    }
    at = *p != '\0' ? strchr(from, *p) : NULL;
    if (!at)
        return fail(scan, p, SCAN_MALFORMED);
    if (scan->keep_key)
        scan_key_add(scan, &to[at - from], 1);
    scan->state = STATE_STRING;
    return p + 1;
}

static const char *in_hex(struct scan *scan, const char *p)
{
    unsigned digit;
    char ascii;

    if (is_digit(*p))
        digit = (unsigned)(*p - '0');
    else if (*p >= 'a' && *p <= 'f')
        digit = (unsigned)(*p - 'a') + 10;
    else if (*p >= 'A' && *p <= 'F')
        digit = (unsigned)(*p - 'A') + 10;
    else
        return fail(scan, p, SCAN_MALFORMED);
    scan->hex = (uint16_t)(scan->hex << 4 | digit);
    if (--scan->hex_left > 0)
        return p + 1;
    scan->state = STATE_STRING;
    if (scan->hex >= 0x80) {
        scan->key_foreign = scan->key_wide = true;
    } else if (scan->keep_key) {
        ascii = (char)scan->hex;
        scan_key_add(scan, &ascii, 1);
    }
    return p + 1;
}

/* -- words and numbers -- */

static const struct str literals[] = { STR_INIT("true"), STR_INIT("false"),
                                       STR_INIT("null") };

static const char *in_literal(struct scan *scan, const char *p, const char *end)
{
    struct str word = literals[scan->literal];

    for (; p < end && scan->literal_at < word.n; p++, scan->literal_at++)
        if (*p != word.p[scan->literal_at])
            return fail(scan, p, SCAN_MALFORMED);
    if (scan->literal_at == word.n)
        end_value(scan, offset_of(scan, p));
    return p;
}

/* What c makes of a number that stood at `number`; -1: c does not belong to it. */
static int number_next(enum number number, char c)
{
    bool e = c == 'e' || c == 'E';

    switch (number) {
    case NUMBER_MINUS:
        return c == '0' ? NUMBER_ZERO : is_digit(c) ? NUMBER_DIGITS : -1;
    case NUMBER_ZERO:
        return c == '.' ? NUMBER_POINT : e ? NUMBER_E : -1;
    case NUMBER_DIGITS:
        return is_digit(c) ? NUMBER_DIGITS : c == '.' ? NUMBER_POINT : e ? NUMBER_E : -1;
    case NUMBER_POINT:
        return is_digit(c) ? NUMBER_FRACTION : -1;
    case NUMBER_FRACTION:
        return is_digit(c) ? NUMBER_FRACTION : e ? NUMBER_E : -1;
    case NUMBER_E:
        if (c == '+' || c == '-')
            return NUMBER_SIGN;
        return is_digit(c) ? NUMBER_EXPONENT : -1;
    case NUMBER_SIGN:
    case NUMBER_EXPONENT:
        return is_digit(c) ? NUMBER_EXPONENT : -1;
    }
    return -1;
}

static const char *in_number(struct scan *scan, const char *p, const char *end)
{
    for (; p < end; p++) {
        int next = number_next((enum number)scan->number, *p);

        if (next >= 0) {
            scan->number = (uint8_t)next;
            continue;
        }
        switch ((enum number)scan->number) {
        case NUMBER_ZERO:
        case NUMBER_DIGITS:
        case NUMBER_FRACTION:
        case NUMBER_EXPONENT:
            end_value(scan, offset_of(scan, p));
            return p;
        default:
            return fail(scan, p, SCAN_MALFORMED);
        }
    }
    return p;
}

/* -- structure -- */

static const char *begin_scalar(struct scan *scan, const char *p)
{
    size_t at = offset_of(scan, p);

    switch (*p) {
    case '"':
        begin_value(scan, at, JREAD_TEXT);
        begin_string(scan, p, false);
        return p + 1;
    case 't':
    case 'f':
    case 'n':
        begin_value(scan, at, *p == 'n' ? JREAD_NULLS : JREAD_BOOL);
        scan->literal = *p == 't' ? 0 : *p == 'f' ? 1 : 2;
        scan->literal_at = 1;
        scan->state = STATE_LITERAL;
        return p + 1;
    default:
        if (*p != '-' && !is_digit(*p))
            return fail(scan, p, SCAN_MALFORMED);
        begin_value(scan, at, JREAD_NUMBER);
        scan->number = *p == '-' ? NUMBER_MINUS : *p == '0' ? NUMBER_ZERO : NUMBER_DIGITS;
        scan->state = STATE_NUMBER;
        return p + 1;
    }
}

static const char *in_value(struct scan *scan, const char *p)
{
    if (scan->depth == 0 && *p != '{') {
        bool other = *p == '[' || *p == '"' || *p == '-' || is_digit(*p) || *p == 't' ||
                     *p == 'f' || *p == 'n';

        return fail(scan, p, other ? SCAN_NOT_OBJECT : SCAN_MALFORMED);
    }
    if (*p != '{' && *p != '[')
        return begin_scalar(scan, p);
    begin_value(scan, offset_of(scan, p), *p == '{' ? JREAD_MAP : JREAD_LIST);
    return open_container(scan, p);
}

static const char *in_key(struct scan *scan, const char *p)
{
    if (*p == '}' && scan->state == STATE_FIRST_KEY)
        return close_container(scan, p);
    if (*p != '"')
        return fail(scan, p, SCAN_MALFORMED);
    begin_string(scan, p, true);
    return p + 1;
}

static const char *in_after(struct scan *scan, const char *p)
{
    bool object = in_object(scan);

    if (*p == ',') {
        scan->state = object ? STATE_KEY : STATE_VALUE;
        return p + 1;
    }
    if (*p != (object ? '}' : ']'))
        return fail(scan, p, SCAN_MALFORMED);
    return close_container(scan, p);
}

/* White space may stand before whatever these states take. */
static const char *in_structure(struct scan *scan, const char *p, const char *end)
{
    p = skip_space(p, end);
    if (p == end)
        return p;
    switch ((enum state)scan->state) {
    case STATE_VALUE:
        return in_value(scan, p);
    case STATE_FIRST_KEY:
    case STATE_KEY:
        return in_key(scan, p);
    case STATE_COLON:
        scan->state = STATE_VALUE;
        return *p == ':' ? p + 1 : fail(scan, p, SCAN_MALFORMED);
    case STATE_FIRST_ELEMENT:
        return *p == ']' ? close_container(scan, p) : in_value(scan, p);
    case STATE_AFTER:
        return in_after(scan, p);
    default:
        return fail(scan, p, SCAN_MALFORMED);
    }
}

enum scan_err scan_feed(struct scan *scan, const char *bytes, size_t n)
{
    const char *p = bytes, *end;

    if (scan->error != SCAN_OK || n == 0)
        return scan->error;
    end = bytes + n;
    scan->piece = bytes;
    while (p && p < end) {
        switch ((enum state)scan->state) {
        case STATE_STRING:
            p = in_string(scan, p, end);
            break;
        case STATE_UTF8:
            p = in_utf8(scan, p, end);
            break;
        case STATE_ESCAPE:
            p = in_escape(scan, p);
            break;
        case STATE_HEX:
            p = in_hex(scan, p);
            break;
        case STATE_LITERAL:
            p = in_literal(scan, p, end);
            break;
        case STATE_NUMBER:
            p = in_number(scan, p, end);
            break;
        default:
            p = in_structure(scan, p, end);
            break;
        }
    }
    scan->piece = NULL;
    if (scan->error == SCAN_OK)
        scan->bytes += n;
    return scan->error;
}

enum scan_err scan_end(struct scan *scan)
{
    if (scan->error == SCAN_OK && scan->state != STATE_DONE) {
        scan->error = SCAN_TRUNCATED;
        scan->error_offset = scan->bytes;
    }
    return scan->error;
}

struct str scan_raw(const struct scan *scan, enum scan_field field, struct str body)
{
    const struct scan_place *place = &scan->fields[field];

    if (place->type == JREAD_NOTHING)
        return (struct str){ NULL, 0 };
    assert(place->begin <= place->end && place->end <= body.n);
    return (struct str){ body.p + place->begin, place->end - place->begin };
}
