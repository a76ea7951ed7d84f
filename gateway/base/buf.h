/* buf.h - a growing run of bytes that is born with its maximum.
 *
 *   struct buf b;
 *   buf_init(&b, 65536);
 *   if (buf_add(&b, p, n) != ERR_OK) ...     TOO_LARGE or NOMEM: b is as it was before
 *   use(b.p, b.n);
 *   buf_release(&b);
 *
 *   [ consumed | p ......... n | room ]
 *
 * The bytes at p are valid until the next call that may grow or move: add, room, consume
 * does not move. A buffer that failed once keeps `failed` until buf_clear, so that a
 * writer of many pieces may test once at the end. One thread.
 */
#ifndef GATEWAY_BASE_BUF_H
#define GATEWAY_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/err.h"
#include "gateway/base/str.h"

struct buf {
    char *p;          /* first unconsumed byte; NULL while nothing was ever added */
    size_t n;         /* unconsumed bytes */
    char *base;       /* owned */
    size_t capacity;  /* bytes at base */
    size_t max_bytes; /* n never exceeds this */
    bool failed;      /* an add was refused since init or clear */
};

void buf_init(struct buf *buf, size_t max_bytes); /* allocates nothing */
void buf_release(struct buf *buf); /* takes a zeroed or released one, too */
void buf_clear(struct buf *buf);   /* empty, memory kept, failed forgotten */

NODISCARD enum err buf_add(struct buf *buf, const void *bytes, size_t n);
NODISCARD enum err buf_add_str(struct buf *buf, struct str s);
NODISCARD enum err buf_addf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);

/* The same without a result, for writers that test buf->failed at the end. */
void buf_put(struct buf *buf, const char *text);
void buf_put_str(struct buf *buf, struct str s);
void buf_putf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
/* s as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void buf_put_json(struct buf *buf, struct str s);

/* Room for at least n more bytes behind p + n; buf_commit says how many were written. */
NODISCARD enum err buf_room(struct buf *buf, size_t n, char **ret_room);
void buf_commit(struct buf *buf, size_t n);

void buf_consume(struct buf *buf, size_t n); /* takes n <= buf->n bytes off the front */
struct str buf_str(const struct buf *buf);   /* borrowed until the next change */

#endif
