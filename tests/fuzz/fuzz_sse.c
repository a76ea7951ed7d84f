/* fuzz_sse.c - events and what they carry.
 *
 * Laws: slicing does not matter; an event written again as raw and an empty line is the same
 * event; a chunk without its usage says the same but for the usage.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/domain/delta.h"
#include "gateway/domain/sse.h"

#define MAX_EVENT 4096

static void put_event(struct sse *sse, struct buf *log, struct buf *again)
{
    struct sse_event event = sse_take(sse);

    buf_putf(log, "%d%d%d ", event.has_data, event.is_comment, event.unterminated);
    buf_put_str(log, event.name);
    buf_put(log, "|");
    buf_put_str(log, event.data);
    buf_put(log, "|");
    if (!again)
        return;
    buf_put_str(again, event.raw);
    buf_put(again, "\n\n");
}

static void run(struct str stream, size_t piece, struct buf *log, struct buf *again)
{
    struct sse sse;

    sse_init(&sse, MAX_EVENT);
    while (stream.n > 0 && !sse_failed(&sse)) {
        struct str part = str_first(stream, piece);

        stream = str_skip(stream, part.n);
        while (part.n > 0 && !sse_failed(&sse)) {
            part = str_skip(part, sse_feed(&sse, part.p, part.n));
            if (sse_ready(&sse))
                put_event(&sse, log, again);
        }
    }
    sse_finish(&sse);
    if (sse_ready(&sse))
        put_event(&sse, log, again);
    buf_put(log, sse_failed(&sse) ? "failed" : "");
    LAW(!log->failed);
    sse_release(&sse);
}

static void chunk_without_usage(struct str data)
{
    struct delta delta = delta_read(data), stripped;
    struct iovec pieces[2];
    struct buf out;
    size_t n;

    if (!delta.valid || delta.done)
        return;
    buf_init(&out, data.n);
    delta_strip_usage(data, pieces, &n);
    for (size_t i = 0; i < n; i++)
        buf_put_str(&out, (struct str){ pieces[i].iov_base, pieces[i].iov_len });
    stripped = delta_read(buf_str(&out));
    LAW(stripped.valid && stripped.content == delta.content);
    LAW(stripped.is_error == delta.is_error && stripped.finished == delta.finished);
    LAW(stripped.output_bytes == delta.output_bytes);
    buf_release(&out);
}

/* The last event was marked as unterminated, or the stream failed in the middle of one. */
static bool same_but_for_the_end(struct str a, struct str b)
{
    if (a.n > b.n)
        a = str_first(a, b.n); /* "failed" */
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (a.p[i] != b.p[i] && (a.p[i] != '1' || b.p[i] != '0'))
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str stream = { (const char *)data, n };
    struct buf whole, other, again;

    buf_init(&whole, 1 << 24);
    buf_init(&other, 1 << 24);
    buf_init(&again, 1 << 24);
    run(stream, SIZE_MAX, &whole, &again);
    for (size_t piece = 1; piece <= 5; piece += 2) {
        buf_clear(&other);
        run(stream, piece, &other, NULL);
        LAW(str_eq(buf_str(&whole), buf_str(&other)));
    }
    /* Written again, an event that had no end has one. A line that begins with a byte order
     * mark would be read otherwise as the first of a stream. */
    buf_clear(&other);
    run(buf_str(&again), SIZE_MAX, &other, NULL);
    if (!memmem(data, n, "\xef\xbb\xbf", 3))
        LAW(same_but_for_the_end(buf_str(&whole), buf_str(&other)));
    chunk_without_usage(stream);
    buf_release(&whole);
    buf_release(&other);
    buf_release(&again);
    return 0;
}
