/* fuzz_stream.c - an expert's stream as the relay tells it, in every API.
 *
 * Laws: where the bytes are cut in two does not matter; what was shown is never taken back;
 * a torn stream ends well only if the expert said so; what a voice tells is JSON, event by
 * event. Where the stream is cut hangs on its bytes.
 */
#include "tests/fuzz/fuzz.h"

#include "gateway/domain/delta.h"
#include "gateway/domain/dialect.h"
#include "gateway/domain/jread.h"
#include "gateway/flow/relay.h"

#define EVENT_BYTES 4096

struct hearing {
    struct relay relay;
    struct voice voice;
};

static const struct {
    enum dialect_name dialect;
    bool usage_wanted;
} apis[] = {
    { DIALECT_CHAT, false },
    { DIALECT_CHAT, true },
    { DIALECT_RESPONSES, true },
    { DIALECT_MESSAGES, true },
};

static void price(void *arg, const struct usage *usage, struct usage_cost *ret_cost)
{
    (void)arg;
    (void)usage;
    *ret_cost = (struct usage_cost){ .cost_pico = 7,
                                     .decision_id = STR("dec_1"),
                                     .expert = STR("small") };
}

static void begin(struct hearing *hearing, size_t api)
{
    const struct dialect *dialect = dialect_of(apis[api].dialect);
    const struct voice_facts facts = { .id = STR("1"), .model = STR("m") };
    const struct relay_rules rules = { .hold_bytes = 2048,
                                       .hold_chunks = 4,
                                       .event_bytes = EVENT_BYTES,
                                       .usage_wanted = apis[api].usage_wanted,
                                       .voice = dialect->voice ? &hearing->voice : NULL,
                                       .voice_bytes = 16 << 20 };

    *hearing = (struct hearing){ .voice = { .ended = false } };
    if (dialect->voice)
        voice_init(&hearing->voice, dialect->voice, &facts, 1 << 20);
    relay_init(&hearing->relay, &rules, price, NULL);
}

static void end(struct hearing *hearing)
{
    relay_release(&hearing->relay);
    voice_release(&hearing->voice);
}

static struct str shown(const struct hearing *hearing)
{
    return hearing->relay.committed ? buf_str(&hearing->relay.out) : STR("");
}

static void check_told(struct str out)
{
    struct jread_value root;
    struct sse sse;

    sse_init(&sse, 32 << 20);
    while (out.n > 0) {
        out = str_skip(out, sse_feed(&sse, out.p, out.n));
        if (sse_ready(&sse)) {
            struct sse_event event = sse_take(&sse);

            LAW(event.is_comment || jread_parse(event.data, JREAD_MAX_DEPTH, &root));
        }
    }
    LAW(!sse_in_event(&sse));
    sse_release(&sse);
}

static void check(size_t api, struct str stream, size_t cut)
{
    struct hearing whole, split, torn;
    size_t before;

    begin(&whole, api);
    begin(&split, api);
    begin(&torn, api);
    relay_feed(&whole.relay, stream.p, stream.n);
    relay_finish(&whole.relay, true);
    relay_feed(&split.relay, stream.p, cut);
    before = shown(&split).n;
    LAW(str_eq(shown(&split), str_first(shown(&whole), before)));
    relay_feed(&split.relay, stream.p + cut, stream.n - cut);
    relay_finish(&split.relay, true);
    LAW(split.relay.state == whole.relay.state && split.relay.fault == whole.relay.fault);
    LAW(str_eq(shown(&split), shown(&whole)));
    LAW(whole.relay.state == RELAY_ENDED || whole.relay.state == RELAY_BROKEN);
    LAW(whole.relay.state != RELAY_ENDED || whole.relay.done || whole.relay.finished);

    relay_feed(&torn.relay, stream.p, stream.n);
    relay_finish(&torn.relay, false);
    LAW(torn.relay.state == RELAY_BROKEN || torn.relay.done);
    if (whole.relay.rules.voice)
        check_told(shown(&whole));
    end(&whole);
    end(&split);
    end(&torn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str stream = { (const char *)data, n };
    size_t hash = 5381;

    for (size_t i = 0; i < n; i++)
        hash = hash * 33 + data[i];
    for (size_t api = 0; api < ARRAY_LEN(apis); api++)
        check(api, stream, hash % (n + 1));
    return 0;
}
