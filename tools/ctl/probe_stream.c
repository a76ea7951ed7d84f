/* probe_stream.c - reads a stream that lies in memory, with the times of its bytes. */
#include "tools/ctl/probe_stream.h"

#include "gateway/domain/sse.h"

/* at: of the event's last byte in the body. */
static void read_event(const struct probe_answer *answer, struct str data, size_t at,
                       struct probe_streamed *streamed, double *last_ms)
{
    struct jread_value root, choice;

    if (!jread_parse(data, JREAD_MAX_DEPTH, &root))
        return;
    struct jread_iter it = jread_iter(jread_get(root, "choices"));
    struct usage usage = usage_read(jread_get(root, "usage"));

    if (usage.known)
        streamed->usage = usage;
    if (!jread_next_element(&it, &choice) ||
        usage_text_bytes(jread_get(choice, "delta")) == 0)
        return;
    *last_ms = probe_byte_ms(answer, at);
    if (streamed->n_contents++ == 0)
        streamed->first_ms = *last_ms;
}

void probe_read_stream(const struct probe_answer *answer,
                       struct probe_streamed *ret_streamed)
{
    struct probe_streamed streamed = { .n_contents = 0 };
    struct str left = buf_str(&answer->body);
    double last_ms = 0, tokens;
    struct sse sse;

    sse_init(&sse, PROBE_ANSWER_BYTES);
    while (left.n > 0 && !sse_failed(&sse)) {
        left = str_skip(left, sse_feed(&sse, left.p, left.n));
        if (sse_ready(&sse)) {
            struct sse_event event = sse_take(&sse);

            if (event.has_data)
                read_event(answer, event.data, answer->body.n - left.n - 1, &streamed,
                           &last_ms);
        }
    }
    sse_release(&sse);
    tokens = streamed.usage.known ? (double)streamed.usage.output_tokens
                                  : (double)streamed.n_contents;
    if (streamed.n_contents > 1 && tokens > 1 && last_ms > streamed.first_ms)
        streamed.tokens_per_second = (tokens - 1) * 1000 / (last_ms - streamed.first_ms);
    else if (streamed.n_contents > 0 && last_ms > 0)
        streamed.tokens_per_second = tokens * 1000 / last_ms;
    *ret_streamed = streamed;
}
