/* native_price.c - what of a request in an API of the expert's own may cost more than its
 * tokens at the usual price.
 *
 * Whether tools and contents are plain was seen when the request was translated: what could
 * not be is refused. Here is what the translation leaves out, and members that occur twice, of
 * which it saw one. One pass over the body, which was scanned: a string of megabytes is jumped
 * over, whatever it is nested in.
 */
#include "gateway/domain/native.h"

#include <assert.h>
#include <string.h>

#include "gateway/domain/jread.h"

struct level {
    uint8_t seen; /* bit i: twins[i] */
    bool is_map, is_mark;
};

struct walk {
    const char *p, *end;
    unsigned depth; /* open maps and lists */
    struct level levels[SCAN_MAX_DEPTH + 2];
    bool marks; /* a cache_control */
};

/* Where contents and their kinds are told. */
static const char *const twins[] = { "type",   "content",   "source",   "input",
                                     "output", "image_url", "file_url", "file_id" };

static_assert(ARRAY_LEN(twins) <= 8, "a bit each");

static void skip_space(struct walk *walk)
{
    while (walk->p < walk->end && strchr(" \t\r\n", *walk->p) != NULL)
        walk->p++;
}

/* The string at p, with its quotes; goes on behind it. */
static struct jread_value take_string(struct walk *walk)
{
    const char *begin = walk->p, *quote = begin, *back;

    do {
        quote = memchr(quote + 1, '"', (size_t)(walk->end - quote - 1));
        for (back = quote; back[-1] == '\\'; back--)
            ;
    } while ((quote - back) % 2 != 0);
    walk->p = quote + 1;
    return (struct jread_value){ JREAD_TEXT, { begin, (size_t)(walk->p - begin) } };
}

/* NULL, or the parameter that may have a price of its own. */
static const char *take_key(struct walk *walk, struct jread_value key)
{
    struct level *level = &walk->levels[walk->depth];

    for (size_t i = 0; i < ARRAY_LEN(twins); i++) {
        if (!jread_string_is(key, twins[i]))
            continue;
        if ((level->seen >> i & 1) != 0)
            return "content";
        level->seen |= (uint8_t)(1u << i);
    }
    walk->p++; /* the colon */
    skip_space(walk);
    if (level->is_mark && jread_string_is(key, "ttl") && *walk->p == '"' &&
        !jread_string_is(take_string(walk), "5m"))
        return "cache_control.ttl"; /* it is kept for longer, at another price */
    if (!jread_string_is(key, "cache_control") || *walk->p == 'n')
        return NULL;
    walk->marks = true;
    walk->levels[walk->depth + 1].is_mark = *walk->p == '{';
    return NULL;
}

static const char *take_token(struct walk *walk)
{
    struct jread_value string;

    switch (*walk->p) {
    case '"':
        string = take_string(walk);
        skip_space(walk);
        if (walk->p < walk->end && *walk->p == ':' && walk->levels[walk->depth].is_map)
            return take_key(walk, string);
        return NULL;
    case '{':
    case '[':
        walk->depth++;
        walk->levels[walk->depth].seen = 0;
        walk->levels[walk->depth].is_map = *walk->p == '{';
        break;
    case '}':
    case ']':
        walk->levels[walk->depth].is_mark = false;
        walk->depth--;
        break;
    default:
        break;
    }
    walk->p++;
    return NULL;
}

const char *native_unpriced(struct str body, bool *ret_marks)
{
    struct walk walk = { .p = body.p, .end = body.p + body.n };
    const char *found = NULL;

    while (found == NULL && walk.p < walk.end)
        found = take_token(&walk);
    *ret_marks = walk.marks;
    return found;
}
