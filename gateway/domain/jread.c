/* jread.c - a JSON text that lies in memory, read in place.
 *
 * skip_value() checks and steps over one value; everything else stands on it. Iterators run
 * the same code over text that was checked before, so they cannot fail and need no trust.
 */
#include "gateway/domain/jread.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/domain/jread_run.h"

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

static bool is_digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

/* By a table, since texts that are not English have many of them: one more than the digit's
 * value, 0 for what is none. */
static int hex_value(char c)
{
    static const int8_t digits[256] = {
        ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
        ['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
        ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16, ['A'] = 11, ['B'] = 12,
        ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
    };

    return digits[(unsigned char)c] - 1;
}

/* -- stepping over; all return the byte behind, or NULL -- */

/* How many bytes an escape has behind its backslash, by the first of them; 0: it is none. */
static const uint8_t escape_bytes[256] = {
    ['"'] = 1, ['\\'] = 1, ['/'] = 1, ['b'] = 1, ['f'] = 1,
    ['n'] = 1, ['r'] = 1,  ['t'] = 1, ['u'] = 5,
};

static const char *skip_string(const char *p, const char *end)
{
    assert(*p == '"');
    for (p++;;) {
        size_t n;

        p = jread_run_any(p, end);
        if (p == end || (unsigned char)*p < 0x20)
            return NULL;
        if (*p++ == '"')
            return p;
        n = p < end ? escape_bytes[(unsigned char)*p] : 0;
        if (n == 0 || (size_t)(end - p) < n)
            return NULL;
        for (size_t i = 1; i < n; i++)
            if (hex_value(p[i]) < 0)
                return NULL;
        p += n;
    }
}

static const char *skip_number(const char *p, const char *end)
{
    if (p < end && *p == '-')
        p++;
    if (!is_digit(p, end))
        return NULL;
    if (*p == '0')
        p++;
    else
        while (is_digit(p, end))
            p++;
    if (p < end && *p == '.') {
        p++;
        if (!is_digit(p, end))
            return NULL;
        while (is_digit(p, end))
            p++;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        if (!is_digit(p, end))
            return NULL;
        while (is_digit(p, end))
            p++;
    }
    return p;
}

static const char *skip_word(const char *p, const char *end, const char *word)
{
    size_t n = strlen(word);

    return (size_t)(end - p) >= n && memcmp(p, word, n) == 0 ? p + n : NULL;
}

static const char *skip_value(const char *p, const char *end, unsigned depth);

static const char *skip_key(const char *p, const char *end)
{
    if (p == end || *p != '"')
        return NULL;
    p = skip_string(p, end);
    if (!p)
        return NULL;
    p = skip_space(p, end);
    return p < end && *p == ':' ? skip_space(p + 1, end) : NULL;
}

/* The members or elements between the brackets; p is behind the opening one. */
static const char *skip_items(const char *p, const char *end, unsigned depth, bool map)
{
    const char close = map ? '}' : ']';

    p = skip_space(p, end);
    if (p < end && *p == close)
        return p + 1;
    for (;;) {
        if (map)
            p = skip_key(p, end);
        if (p)
            p = skip_value(p, end, depth);
        if (!p)
            return NULL;
        p = skip_space(p, end);
        if (p == end)
            return NULL;
        if (*p == close)
            return p + 1;
        if (*p != ',')
            return NULL;
        p = skip_space(p + 1, end);
    }
}

static const char *skip_value(const char *p, const char *end, unsigned depth)
{
    if (p == end)
        return NULL;
    switch (*p) {
    case '"':
        return skip_string(p, end);
    case '{':
    case '[':
        return depth == 0 ? NULL : skip_items(p + 1, end, depth - 1, *p == '{');
    case 't':
        return skip_word(p, end, "true");
    case 'f':
        return skip_word(p, end, "false");
    case 'n':
        return skip_word(p, end, "null");
    default:
        return skip_number(p, end);
    }
}

/* -- values -- */

const char *jread_type_name(enum jread_type type)
{
    static const char *const names[] = { "nothing",  "null",     "a boolean", "a number",
                                         "a string", "an array", "an object" };

    return names[type];
}

struct jread_value jread_trusted(struct str raw)
{
    enum jread_type type = JREAD_NUMBER;

    if (raw.n == 0)
        return (struct jread_value){ JREAD_NOTHING, { NULL, 0 } };
    switch (raw.p[0]) {
    case '"':
        type = JREAD_TEXT;
        break;
    case '{':
        type = JREAD_MAP;
        break;
    case '[':
        type = JREAD_LIST;
        break;
    case 't':
    case 'f':
        type = JREAD_BOOL;
        break;
    case 'n':
        type = JREAD_NULLS;
        break;
    default:
        break;
    }
    return (struct jread_value){ type, raw };
}

bool jread_parse(struct str text, unsigned depth, struct jread_value *ret_value)
{
    const char *begin, *end, *p;

    assert(depth <= JREAD_MAX_DEPTH);
    if (text.n == 0)
        return false;
    end = text.p + text.n;
    begin = skip_space(text.p, end);
    p = skip_value(begin, end, depth);
    if (!p || skip_space(p, end) != end)
        return false;
    *ret_value = jread_trusted((struct str){ begin, (size_t)(p - begin) });
    return true;
}

struct jread_iter jread_iter(struct jread_value map_or_list)
{
    if (map_or_list.type != JREAD_MAP && map_or_list.type != JREAD_LIST)
        return (struct jread_iter){ NULL, NULL };
    /* Without its closing bracket, so that the end of the text ends the iteration. */
    return (struct jread_iter){ map_or_list.raw.p + 1,
                                map_or_list.raw.p + map_or_list.raw.n - 1 };
}

void jread_jump(struct jread_iter *it, const char *behind)
{
    const char *p = skip_space(behind, it->end);

    it->p = p < it->end && *p == ',' ? p + 1 : p;
}

bool jread_next_element(struct jread_iter *it, struct jread_value *ret_value)
{
    const char *p, *behind;

    if (!it->p)
        return false;
    p = skip_space(it->p, it->end);
    behind = skip_value(p, it->end, JREAD_MAX_DEPTH);
    if (!behind)
        return false;
    *ret_value = jread_trusted((struct str){ p, (size_t)(behind - p) });
    jread_jump(it, behind);
    return true;
}

bool jread_next_key(struct jread_iter *it, struct jread_value *ret_key)
{
    const char *key, *p;

    if (!it->p)
        return false;
    key = skip_space(it->p, it->end);
    p = key < it->end && *key == '"' ? skip_string(key, it->end) : NULL;
    if (!p)
        return false;
    *ret_key = jread_trusted((struct str){ key, (size_t)(p - key) });
    it->p = skip_key(key, it->end);
    return it->p != NULL;
}

bool jread_next_member(struct jread_iter *it, struct jread_value *ret_key,
                       struct jread_value *ret_value)
{
    struct jread_iter at = *it;
    struct jread_value key;

    if (!jread_next_key(&at, &key) || !jread_next_element(&at, ret_value))
        return false;
    *ret_key = key;
    *it = at;
    return true;
}

struct jread_value jread_get(struct jread_value map, const char *name)
{
    struct jread_value key, value, found = { JREAD_NOTHING, { NULL, 0 } };
    struct jread_iter it;

    if (map.type != JREAD_MAP)
        return found;
    it = jread_iter(map);
    while (jread_next_member(&it, &key, &value))
        if (jread_string_is(key, name))
            found = value;
    return found;
}

/* -- strings -- */

static unsigned hex4(const char *p)
{
    unsigned value = 0;

    for (int i = 0; i < 4; i++)
        value = value << 4 | (unsigned)hex_value(p[i]);
    return value;
}

static size_t put_utf8(unsigned c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* Takes the next run of plain bytes, or one escape, off *s (the inside of a checked string).
 * The piece is borrowed from *s or from `escaped`. */
static struct str next_piece(struct str *s, char escaped[4])
{
    const char *end = s->p + s->n;
    const char *p = s->p;
    struct str piece;
    unsigned c;

    if (*p != '\\') {
        piece = (struct str){ p, (size_t)(jread_run_any(p, end) - p) };
        *s = str_skip(*s, piece.n);
        return piece;
    }
    if (p[1] != 'u') {
        static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
        const char *at = strchr(from, p[1]);

        escaped[0] = at ? to[at - from] : p[1];
        *s = str_skip(*s, 2);
        return (struct str){ escaped, 1 };
    }
    c = hex4(p + 2);
    *s = str_skip(*s, 6);
    if (c >= 0xd800 && c < 0xdc00 && s->n >= 6 && s->p[0] == '\\' && s->p[1] == 'u') {
        unsigned low = hex4(s->p + 2);

        if (low >= 0xdc00 && low < 0xe000) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            *s = str_skip(*s, 6);
        }
    }
    if (c >= 0xd800 && c < 0xe000)
        c = 0xfffd;
    return (struct str){ escaped, put_utf8(c, escaped) };
}

static struct str inside(struct jread_value value)
{
    assert(value.type == JREAD_TEXT && value.raw.n >= 2);
    return (struct str){ value.raw.p + 1, value.raw.n - 2 };
}

bool jread_string_is(struct jread_value value, const char *name)
{
    struct str rest, want = str_of(name);
    char escaped[4];

    if (value.type != JREAD_TEXT)
        return false;
    rest = inside(value);
    while (rest.n > 0) {
        struct str piece = next_piece(&rest, escaped);

        if (!str_eq(piece, str_first(want, piece.n)))
            return false;
        want = str_skip(want, piece.n);
    }
    return want.n == 0;
}

enum err jread_string(struct jread_value value, struct arena *arena, struct str *ret_text)
{
    struct str rest;
    char *text, escaped[4];
    size_t n = 0;

    if (value.type != JREAD_TEXT)
        return ERR_INVALID;
    rest = inside(value);
    text = arena_alloc(arena, rest.n + 1); /* no escape is shorter than what it means */
    if (!text)
        return ERR_NOMEM;
    while (rest.n > 0) {
        struct str piece = next_piece(&rest, escaped);

        memcpy(text + n, piece.p, piece.n);
        n += piece.n;
    }
    text[n] = '\0';
    *ret_text = (struct str){ text, n };
    return ERR_OK;
}

size_t jread_put_inside(struct str run, size_t max_bytes, struct buf *out)
{
    char escaped[4];
    size_t n = 0;

    while (run.n > 0) {
        struct str piece = next_piece(&run, escaped);
        struct str fits = str_clip_utf8(piece, max_bytes - n);

        buf_put_str(out, fits);
        n += fits.n;
        if (fits.n < piece.n)
            break;
    }
    return n;
}

size_t jread_put_string(struct jread_value value, size_t max_bytes, struct buf *out)
{
    return value.type == JREAD_TEXT ? jread_put_inside(inside(value), max_bytes, out) : 0;
}

void jread_put_compact(struct str raw, struct buf *out)
{
    const char *p = raw.p, *end = raw.p + raw.n, *from = raw.p;
    bool in_string = false;

    for (; p < end; p++) {
        if (in_string && *p == '\\') {
            p++;
        } else if (*p == '"') {
            in_string = !in_string;
        } else if (!in_string && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
            buf_put_str(out, (struct str){ from, (size_t)(p - from) });
            from = p + 1;
        }
    }
    buf_put_str(out, (struct str){ from, (size_t)(end - from) });
}

/* -- other scalars -- */

bool jread_is_true(struct jread_value value)
{
    return value.type == JREAD_BOOL && value.raw.p[0] == 't';
}

bool jread_double(struct jread_value value, double *ret_value)
{
    char text[128], *end;
    double number;

    if (value.type != JREAD_NUMBER || value.raw.n >= sizeof(text))
        return false;
    memcpy(text, value.raw.p, value.raw.n);
    text[value.raw.n] = '\0';
    number = strtod(text, &end);
    if (*end != '\0' || !isfinite(number))
        return false;
    *ret_value = number;
    return true;
}

bool jread_integer(struct jread_value value, int64_t *ret_value)
{
    struct str digits = value.raw;
    bool negative;
    uint64_t magnitude;
    double number;

    if (value.type != JREAD_NUMBER)
        return false;
    negative = str_starts(digits, "-");
    if (negative)
        digits = str_skip(digits, 1);
    if (str_to_u64(digits, &magnitude) == ERR_OK) {
        if (magnitude > INT64_MAX)
            return false;
        *ret_value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
        return true;
    }
    if (!jread_double(value, &number) || number != nearbyint(number) ||
        fabs(number) > 9007199254740992.0)
        return false;
    *ret_value = (int64_t)number;
    return true;
}
