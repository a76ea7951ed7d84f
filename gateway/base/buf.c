/* buf.c - a growing run of bytes.
 *
 * Holds always: p is inside [base, base + capacity], p + n too, n <= max_bytes. Growth
 * doubles, so that n single bytes cost O(n); bytes consumed at the front are won back by
 * moving only when the room behind is too small. Where nothing was consumed the block is
 * reallocated: the system moves the pages of a large one instead of copying it.
 */
#include "gateway/base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 256

void buf_init(struct buf *buf, size_t max_bytes)
{
    *buf = (struct buf){ .max_bytes = max_bytes };
}

void buf_release(struct buf *buf)
{
    free(buf->base);
    *buf = (struct buf){ .max_bytes = buf->max_bytes };
}

void buf_clear(struct buf *buf)
{
    buf->p = buf->base;
    buf->n = 0;
    buf->failed = false;
}

static enum err refuse(struct buf *buf, enum err code)
{
    buf->failed = true;
    return code;
}

enum err buf_room(struct buf *buf, size_t n, char **ret_room)
{
    size_t need, capacity;
    char *base;

    if (n > buf->max_bytes || buf->n > buf->max_bytes - n)
        return refuse(buf, ERR_TOO_LARGE);
    need = buf->n + n;
    if (buf->base && (size_t)(buf->p - buf->base) + need <= buf->capacity)
        goto found;
    /* Moving is worth it only when it wins at least half of the block back. */
    if (buf->base && need <= buf->capacity / 2) {
        memmove(buf->base, buf->p, buf->n);
        buf->p = buf->base;
        goto found;
    }
    capacity = buf->capacity < FIRST_BYTES ? FIRST_BYTES : buf->capacity;
    while (capacity < need)
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    if (buf->p == buf->base) {
        base = realloc(buf->base, capacity);
        if (!base)
            return refuse(buf, ERR_NOMEM);
    } else {
        base = malloc(capacity);
        if (!base)
            return refuse(buf, ERR_NOMEM);
        memcpy(base, buf->p, buf->n);
        free(buf->base);
    }
    buf->base = buf->p = base;
    buf->capacity = capacity;
found:
    *ret_room = buf->p + buf->n;
    return ERR_OK;
}

void buf_commit(struct buf *buf, size_t n)
{
    assert(n <= buf->capacity - (size_t)(buf->p - buf->base) - buf->n);
    buf->n += n;
}

enum err buf_add(struct buf *buf, const void *bytes, size_t n)
{
    char *room;
    enum err err;

    if (n == 0)
        return ERR_OK;
    err = buf_room(buf, n, &room);
    if (err != ERR_OK)
        return err;
    memcpy(room, bytes, n);
    buf->n += n;
    return ERR_OK;
}

enum err buf_add_str(struct buf *buf, struct str s)
{
    return buf_add(buf, s.p, s.n);
}

static enum err add_formatted(struct buf *buf, const char *format, va_list arguments)
{
    va_list again;
    char text[512], *room; /* most fit: one pass */
    int n;

    va_copy(again, arguments);
    n = vsnprintf(text, sizeof(text), format, again);
    va_end(again);
    if (n < 0)
        return refuse(buf, ERR_INVALID);
    if ((size_t)n < sizeof(text))
        return buf_add(buf, text, (size_t)n);
    /* vsnprintf writes a 0 that is not ours: room for it may lie above the maximum. */
    const size_t more = buf->max_bytes < SIZE_MAX;
    buf->max_bytes += more;
    const enum err err = buf_room(buf, (size_t)n + 1, &room);
    buf->max_bytes -= more;
    if (err != ERR_OK)
        return err;
    (void)vsnprintf(room, (size_t)n + 1, format, arguments);
    buf->n += (size_t)n;
    return ERR_OK;
}

enum err buf_addf(struct buf *buf, const char *format, ...)
{
    va_list arguments;
    enum err err;

    va_start(arguments, format);
    err = add_formatted(buf, format, arguments);
    va_end(arguments);
    return err;
}

void buf_put(struct buf *buf, const char *text)
{
    IGNORE(buf_add(buf, text, strlen(text)));
}

void buf_put_str(struct buf *buf, struct str s)
{
    IGNORE(buf_add(buf, s.p, s.n));
}

void buf_putf(struct buf *buf, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    IGNORE(add_formatted(buf, format, arguments));
    va_end(arguments);
}

/* Bytes at the front of s that stand for themselves in a JSON string. */
static size_t json_plain(struct str s)
{
    size_t n = 0;

    while (n < s.n) {
        unsigned char c = (unsigned char)s.p[n];
        size_t sequence = 1;

        if (c < 0x20 || c == '"' || c == '\\')
            break;
        if (c >= 0x80)
            sequence = str_utf8_sequence(str_skip(s, n));
        if (sequence == 0)
            break;
        n += sequence;
    }
    return n;
}

void buf_put_json(struct buf *buf, struct str s)
{
    static const char from[] = "\"\\\n\r\t\b\f";
    static const char to[] = "\"\\nrtbf";

    buf_put(buf, "\"");
    while (s.n > 0) {
        size_t plain = json_plain(s);
        const char *at;
        char c;

        IGNORE(buf_add(buf, s.p, plain));
        s = str_skip(s, plain);
        if (s.n == 0)
            break;
        c = s.p[0];
        at = c != '\0' ? strchr(from, c) : NULL;
        if (at)
            buf_putf(buf, "\\%c", to[at - from]);
        else if ((unsigned char)c < 0x20)
            buf_putf(buf, "\\u%04x", (unsigned)c);
        else
            buf_put(buf, "\xef\xbf\xbd");
        s = str_skip(s, 1);
    }
    buf_put(buf, "\"");
}

void buf_consume(struct buf *buf, size_t n)
{
    assert(n <= buf->n);
    buf->n -= n;
    buf->p = buf->n == 0 ? buf->base : buf->p + n;
}

struct str buf_str(const struct buf *buf)
{
    return (struct str){ buf->p, buf->n };
}
