/* sse.c - the event stream grammar of the HTML standard, one event at a time.
 *
 * A block collects the lines of one event with their endings; empty lines are not kept. All
 * that is remembered of a line are offsets into the block, since the block may move as it
 * grows. An event ends at its empty line already when that ends in CR: the LF that may follow
 * is taken off the front of whatever comes next.
 */
#include "gateway/domain/sse.h"

#include <assert.h>
#include <string.h>

void sse_init(struct sse *sse, size_t max_event_bytes)
{
    *sse = (struct sse){ .ready = false };
    buf_init(&sse->block, max_event_bytes);
    buf_init(&sse->joined, max_event_bytes);
}

void sse_release(struct sse *sse)
{
    buf_release(&sse->block);
    buf_release(&sse->joined);
}

static void begin_event(struct sse *sse)
{
    buf_clear(&sse->block);
    buf_clear(&sse->joined);
    sse->line_begin = sse->raw_end = 0;
    sse->data_begin = sse->data_end = sse->name_begin = sse->name_end = 0;
    sse->n_lines = sse->n_comments = sse->n_data = 0;
    sse->ready = sse->taken = sse->unterminated = false;
}

static struct str slice(const struct sse *sse, size_t begin, size_t end)
{
    return str_first(str_skip(buf_str(&sse->block), begin), end - begin);
}

static void end_data_line(struct sse *sse, size_t begin, size_t end)
{
    if (sse->n_data == 0) {
        sse->data_begin = begin;
        sse->data_end = end;
    } else {
        if (sse->n_data == 1)
            buf_put_str(&sse->joined, slice(sse, sse->data_begin, sse->data_end));
        buf_put(&sse->joined, "\n");
        buf_put_str(&sse->joined, slice(sse, begin, end));
    }
    sse->n_data++;
}

/* The line under way is whole: block[line_begin, end of block). */
static void end_line(struct sse *sse)
{
    struct str line = slice(sse, sse->line_begin, sse->block.n);
    struct str field, value;
    size_t begin;

    if (!sse->past_first_line && str_starts(line, "\xef\xbb\xbf"))
        line = str_skip(line, 3);
    sse->past_first_line = true;
    if (line.n == 0) {
        sse->block.n = sse->line_begin; /* a byte order mark alone is no line */
        sse->ready = sse->n_lines > 0;
        return;
    }
    sse->n_lines++;
    sse->raw_end = sse->block.n;
    value = line;
    if (!str_cut(&value, ':', &field))
        return;
    if (!value.p)
        value = (struct str){ sse->block.p + sse->block.n, 0 };
    else if (str_starts(value, " "))
        value = str_skip(value, 1);
    begin = (size_t)(value.p - sse->block.p);
    if (field.n == 0) {
        sse->n_comments++;
    } else if (str_is(field, "data")) {
        end_data_line(sse, begin, begin + value.n);
    } else if (str_is(field, "event")) {
        sse->name_begin = begin;
        sse->name_end = begin + value.n;
    }
}

static const char *find_ending(const char *p, const char *end)
{
    const char *lf = memchr(p, '\n', (size_t)(end - p));
    const char *cr = memchr(p, '\r', (size_t)((lf ? lf : end) - p));

    return cr ? cr : lf;
}

/* Keeps the ending of a line that was not empty, for raw. */
static void keep_ending(struct sse *sse, char c)
{
    if (sse->n_lines == 0)
        return;
    if (buf_add(&sse->block, &c, 1) != ERR_OK)
        sse->failed = true;
    sse->line_begin = sse->block.n;
}

size_t sse_feed(struct sse *sse, const char *bytes, size_t n)
{
    const char *p = bytes, *end;

    if (sse->ready || sse->failed || n == 0)
        return 0;
    end = bytes + n;
    if (sse->taken)
        begin_event(sse);
    while (p < end && !sse->ready && !sse->failed) {
        const char *ending;

        if (sse->after_cr && *p == '\n') {
            sse->after_cr = false;
            keep_ending(sse, *p++);
            continue;
        }
        sse->after_cr = false;
        ending = find_ending(p, end);
        if (buf_add(&sse->block, p, (size_t)((ending ? ending : end) - p)) != ERR_OK) {
            sse->failed = true;
            break;
        }
        p = ending ? ending + 1 : end;
        if (!ending)
            break;
        sse->after_cr = *ending == '\r';
        end_line(sse);
        if (!sse->ready)
            keep_ending(sse, *ending);
    }
    if (sse->joined.failed)
        sse->failed = true;
    return (size_t)(p - bytes);
}

bool sse_ready(const struct sse *sse)
{
    return sse->ready && !sse->failed;
}

bool sse_failed(const struct sse *sse)
{
    return sse->failed;
}

struct sse_event sse_take(struct sse *sse)
{
    struct sse_event event;

    assert(sse_ready(sse));
    event = (struct sse_event){
        .data = sse->n_data > 1 ? buf_str(&sse->joined)
                                : slice(sse, sse->data_begin, sse->data_end),
        .name = slice(sse, sse->name_begin, sse->name_end),
        .raw = slice(sse, 0, sse->raw_end),
        .has_data = sse->n_data > 0,
        .is_comment = sse->n_comments == sse->n_lines,
        .unterminated = sse->unterminated,
    };
    sse->ready = false;
    sse->taken = true;
    return event;
}

void sse_finish(struct sse *sse)
{
    if (sse->ready || sse->failed)
        return;
    if (sse->taken)
        begin_event(sse);
    if (sse->block.n > sse->line_begin)
        end_line(sse);
    sse->ready = sse->n_lines > 0;
    sse->unterminated = sse->ready;
    if (sse->joined.failed)
        sse->failed = true;
}

bool sse_in_event(const struct sse *sse)
{
    return !sse->ready && !sse->taken && sse->block.n > 0;
}
