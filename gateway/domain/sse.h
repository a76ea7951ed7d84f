/* sse.h - server-sent events out of bytes that arrive in any slicing.
 *
 *   struct sse sse;
 *   sse_init(&sse, max_event_bytes);
 *   for each piece:
 *       while (n > 0) {
 *           size_t used = sse_feed(&sse, p, n);    takes bytes up to the end of one event
 *           p += used, n -= used;
 *           if (sse_ready(&sse)) { event = sse_take(&sse); ... }
 *           else if (sse_failed(&sse)) -> the event is too large
 *       }
 *   at the end: sse_finish(&sse) may leave one more event, marked unterminated
 *   sse_release(&sse);
 *
 * Lines end in LF, CR or CRLF, split at any byte. Lines that begin with ':' are comments;
 * a block of comments only is an event with is_comment. `data` is what the data lines
 * say, joined by LF. `raw` is the block as it came, comments included, from its first
 * byte to the end of its last line without that line's ending: to pass an event on, write
 * raw and
 * "\n\n". Events are the same however the bytes are sliced. Pure; one thread.
 */
#ifndef GATEWAY_DOMAIN_SSE_H
#define GATEWAY_DOMAIN_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"

struct sse_event {
    struct str data;   /* of the data lines; empty when there is none */
    struct str name;   /* of the last `event:` line, or empty */
    struct str raw;    /* the block itself */
    bool has_data;     /* there was a data line */
    bool is_comment;   /* nothing but comments */
    bool unterminated; /* no empty line followed before the end of the stream */
};

struct sse {
    /* private */
    struct buf block;            /* the event under way, line endings included */
    struct buf joined;           /* its data lines, where there is more than one */
    size_t line_begin;           /* in block: the line under way */
    size_t raw_end;              /* in block: end of the last whole line */
    size_t data_begin, data_end; /* in block: the first data line's value */
    size_t name_begin, name_end; /* in block: the last event line's value */
    unsigned n_lines, n_comments, n_data;
    bool after_cr;        /* a LF now belongs to the CR before it */
    bool past_first_line; /* a byte order mark may only stand before it */
    bool ready, taken, failed, unterminated;
};

void sse_init(struct sse *sse, size_t max_event_bytes);
void sse_release(struct sse *sse);

/* Takes bytes until an event is complete or all are used; returns how many. Takes none
 * while an event is ready or after a failure. */
size_t sse_feed(struct sse *sse, const char *bytes, size_t n);
bool sse_ready(const struct sse *sse);
bool sse_failed(const struct sse *sse); /* an event over the maximum, or out of memory */
/* The event that is ready; borrowed until the next call. */
struct sse_event sse_take(struct sse *sse);
/* The stream has ended: what is left of an event becomes ready, marked unterminated. */
void sse_finish(struct sse *sse);
/* Bytes of an event have come but not its end: the stream was cut if it ends now. */
bool sse_in_event(const struct sse *sse);

#endif
