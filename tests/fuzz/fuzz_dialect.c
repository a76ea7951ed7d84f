/* fuzz_dialect.c - other APIs' requests and the answers told in them.
 *
 * Laws: what is sent on of a completion or an input, and what a translation writes, is a body
 * that the scan takes, also where it leaves something out; a stream told in another API is the
 * same however it was sliced, and each of its events is one line of JSON. A stream of an
 * expert's own in that API is the same however it was sliced, and ends only where it says so.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "gateway/domain/dialect.h"
#include "gateway/domain/native.h"
#include "gateway/domain/retell.h"
#include "gateway/domain/scan.h"
#include "gateway/domain/sse.h"
#include "gateway/flow/relay.h"

#define DEPTH     64
#define MAX_EVENT 4096
#define MAX_BYTES (1u << 22)

static const enum dialect_name names[] = { DIALECT_MESSAGES, DIALECT_RESPONSES };

static enum scan_err scan_of(struct str body, unsigned depth)
{
    struct scan scan;

    scan_init(&scan, depth);
    if (scan_feed(&scan, body.p, body.n) == SCAN_OK)
        return scan_end(&scan);
    return scan.error;
}

static void request(const struct dialect *dialect, struct str body)
{
    struct api_error error = { .code = API_OK };
    struct buf chat, echo, errors;
    struct jread_value value;

    buf_init(&chat, MAX_BYTES);
    buf_init(&errors, MAX_BYTES);
    if (dialect->request(body, &chat, NULL, &error) == API_OK)
        LAW(scan_of(buf_str(&chat), DEPTH + 8) == SCAN_OK);
    else
        dialect_error(dialect, &error, STR("req_1"), &errors);
    if (dialect->echo) {
        buf_init(&echo, MAX_BYTES);
        buf_put(&echo, "{\"a\":1");
        dialect->echo(body, &echo);
        buf_put(&echo, "}");
        LAW(!echo.failed && jread_parse(buf_str(&echo), DEPTH + 8, &value));
        buf_release(&echo);
    }
    buf_release(&chat);
    buf_release(&errors);
}

/* What goes to who speaks that API himself. */
static void sent(const struct chat_request *chat, struct arena *arena)
{
    const struct chat_edit edit = { .model = STR_INIT("m"), .output_limit = 7 };
    struct iovec pieces[CHAT_MAX_PIECES];
    struct buf body;
    size_t n, bytes;

    buf_init(&body, MAX_BYTES);
    LAW(chat_splice(chat, &edit, arena, pieces, &n, &bytes) == ERR_OK);
    for (size_t i = 0; i < n; i++)
        buf_put_str(&body, (struct str){ pieces[i].iov_base, pieces[i].iov_len });
    LAW(scan_of(buf_str(&body), DEPTH) == SCAN_OK);
    buf_release(&body);
}

static void own_request(const struct dialect *dialect, struct str body)
{
    struct api_error error = { .code = API_OK };
    struct retell_gap gap = { .stateful = false };
    struct chat_request chat, native;
    struct scan scan, own;
    struct arena arena;
    struct buf told;

    arena_init(&arena, 1u << 20);
    buf_init(&told, MAX_BYTES);
    scan_init(&own, DEPTH);
    LAW(scan_feed(&own, body.p, body.n) == SCAN_OK && scan_end(&own) == SCAN_OK);
    if (dialect->request(body, &told, &gap, &error) == API_OK) {
        scan_init(&scan, DEPTH + 8);
        LAW(scan_feed(&scan, told.p, told.n) == SCAN_OK && scan_end(&scan) == SCAN_OK);
        if (chat_parse(&chat, &scan, buf_str(&told), &arena, NULL) == API_OK) {
            native_request(&native, dialect->native, &chat, &own, body);
            LAW(native.prompt_bytes >= chat.prompt_bytes);
            (void)chat_extras(&native);
            sent(&native, &arena);
        }
    }
    buf_release(&told);
    arena_release(&arena);
}

static void other_shape(enum chat_shape shape, struct str body)
{
    const struct chat_edit edit = { .model = STR_INIT("m"), .output_limit = 7 };
    struct iovec pieces[CHAT_MAX_PIECES];
    struct chat_request chat;
    struct arena arena;
    struct scan scan;
    struct buf sent;
    size_t n, bytes;

    arena_init(&arena, 1u << 20);
    buf_init(&sent, MAX_BYTES);
    scan_init(&scan, DEPTH);
    if (scan_feed(&scan, body.p, body.n) == SCAN_OK && scan_end(&scan) == SCAN_OK &&
        chat_parse_as(&chat, shape, &scan, body, &arena, NULL) == API_OK) {
        LAW(chat.n_messages > 0 && chat.n > 0 && chat.prompt_bytes <= body.n);
        LAW(chat_splice(&chat, &edit, &arena, pieces, &n, &bytes) == ERR_OK);
        for (size_t i = 0; i < n; i++)
            buf_put_str(&sent, (struct str){ pieces[i].iov_base, pieces[i].iov_len });
        LAW(scan_of(buf_str(&sent), DEPTH) == SCAN_OK);
    }
    buf_release(&sent);
    arena_release(&arena);
}

static void tell(enum dialect_name name, struct str stream, size_t piece, struct buf *out)
{
    const struct voice_facts facts = { .id = STR_INIT("1"), .model = STR_INIT("m") };
    struct relay_rules rules = { .hold_bytes = 1u << 16,
                                 .hold_chunks = 3,
                                 .event_bytes = MAX_EVENT,
                                 .usage_wanted = true,
                                 .voice_bytes = MAX_BYTES };
    struct voice voice;
    struct relay relay;

    voice_init(&voice, dialect_of(name)->voice, &facts, 1u << 18);
    rules.voice = &voice;
    relay_init(&relay, &rules, NULL, NULL);
    while (stream.n > 0) {
        struct str part = str_first(stream, piece);

        stream = str_skip(stream, part.n);
        relay_feed(&relay, part.p, part.n);
    }
    relay_finish(&relay, true);
    if (relay.committed)
        buf_put_str(out, buf_str(&relay.out));
    buf_putf(out, "%d %d", (int)relay.state, (int)relay.fault);
    relay_release(&relay);
    voice_release(&voice);
}

static void relay_own(enum chat_shape shape, struct str stream, size_t piece,
                      struct buf *out)
{
    const struct relay_rules rules = {
        .hold_bytes = 1u << 16, .hold_chunks = 3, .event_bytes = MAX_EVENT, .shape = shape
    };
    struct relay relay;

    relay_init(&relay, &rules, NULL, NULL);
    while (stream.n > 0) {
        struct str part = str_first(stream, piece);

        stream = str_skip(stream, part.n);
        relay_feed(&relay, part.p, part.n);
    }
    relay_finish(&relay, true);
    LAW((relay.state == RELAY_ENDED) == (relay.done && relay.fault == RELAY_FAULT_NONE));
    if (relay.committed)
        buf_put_str(out, buf_str(&relay.out));
    buf_putf(out, "%d %d %d", (int)relay.state, (int)relay.fault, relay.usage.known);
    relay_release(&relay);
}

static void own_answer(enum chat_shape shape, struct str stream)
{
    struct usage_answer read;
    struct buf whole, other;

    buf_init(&whole, 2 * MAX_BYTES);
    buf_init(&other, 2 * MAX_BYTES);
    relay_own(shape, stream, SIZE_MAX, &whole);
    for (size_t piece = 1; piece <= 5; piece += 2) {
        buf_clear(&other);
        relay_own(shape, stream, piece, &other);
        LAW(str_eq(buf_str(&whole), buf_str(&other)));
    }
    (void)!native_answer(shape, stream, &read);
    buf_release(&whole);
    buf_release(&other);
}

static void each_event_is_a_line(struct str told)
{
    struct jread_value value;
    struct sse sse;

    sse_init(&sse, MAX_BYTES);
    while (told.n > 0) {
        told = str_skip(told, sse_feed(&sse, told.p, told.n));
        if (sse_ready(&sse)) {
            struct sse_event event = sse_take(&sse);

            LAW(!event.has_data || (jread_parse(event.data, JREAD_MAX_DEPTH, &value) &&
                                    memchr(event.data.p, '\n', event.data.n) == NULL));
        }
    }
    sse_release(&sse);
}

static void answer(enum dialect_name name, struct str stream)
{
    struct buf whole, other;

    buf_init(&whole, 2 * MAX_BYTES);
    buf_init(&other, 2 * MAX_BYTES);
    tell(name, stream, SIZE_MAX, &whole);
    each_event_is_a_line(buf_str(&whole));
    for (size_t piece = 1; piece <= 5; piece += 2) {
        buf_clear(&other);
        tell(name, stream, piece, &other);
        LAW(str_eq(buf_str(&whole), buf_str(&other)));
    }
    buf_release(&whole);
    buf_release(&other);
}

static void whole(enum dialect_name name, struct str body)
{
    const struct usage_cost cost = { .cost_pico = 1 };
    const struct voice_facts facts = { .id = STR_INIT("1"), .model = STR_INIT("m") };
    struct usage_answer read;
    struct jread_value value;
    struct voice voice;
    struct buf out;

    if (!usage_read_answer(body, &read))
        return;
    buf_init(&out, MAX_BYTES);
    voice_init(&voice, dialect_of(name)->voice, &facts, 1u << 18);
    if (voice_whole(&voice, body, read.usage_raw, &cost, &out))
        LAW(jread_parse(buf_str(&out), JREAD_MAX_DEPTH, &value));
    voice_release(&voice);
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str input = { (const char *)data, n };

    other_shape(CHAT_PROMPT, input);
    other_shape(CHAT_INPUT, input);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (scan_of(input, DEPTH) == SCAN_OK) {
            request(dialect_of(names[i]), input);
            own_request(dialect_of(names[i]), input);
        }
        own_answer(dialect_of(names[i])->native, input);
        answer(names[i], input);
        whole(names[i], input);
    }
    return 0;
}
