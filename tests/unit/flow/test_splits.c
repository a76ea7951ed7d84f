/* test_splits.c - every stream of tests/cases/stream, fed to the relay byte by byte and in every
 * two pieces, as each API tells it: what the client gets, and when, does not depend on it.
 *
 *   at 96: open                            after so many bytes of the expert's
 *     "data: {..}\n\n"                     this more was for the client
 *   whole: ended                           the expert's HTTP answer ended as it should
 *   torn: broken, the stream was cut       it did not
 *
 * So a case also says that nothing waits for bytes that it does not need.
 */
#include "tests/unit/domain/cases.h"

#include <inttypes.h>

#include "gateway/domain/dialect.h"
#include "gateway/flow/relay.h"

#define EVENT_BYTES                                                                      \
    700 /* small, so that a case can have an event at the bound and above */

/* Completions are told like chat: as they come. */
static const struct {
    const char *label;
    enum dialect_name dialect;
    bool usage_wanted;
} apis[] = {
    { "chat", DIALECT_CHAT, false },
    { "chat with usage", DIALECT_CHAT, true },
    { "responses", DIALECT_RESPONSES, true },
    { "messages", DIALECT_MESSAGES, true },
};

struct hearing {
    struct relay relay;
    struct voice voice;
};

static void price(void *arg, const struct usage *usage, struct usage_cost *ret_cost)
{
    (void)arg;
    *ret_cost = (struct usage_cost){ .cost_pico = 1000000 * usage->output_tokens,
                                     .generation_pico = 1000000 * usage->output_tokens,
                                     .decision_id = STR("dec_1"),
                                     .expert = STR("small") };
}

static void begin(struct hearing *hearing, size_t api)
{
    const struct dialect *dialect = dialect_of(apis[api].dialect);
    const struct voice_facts facts = {
        .echo = STR(",\"tools\":[]"), .id = STR("1"), .model = STR("m"), .created_s = 1
    };
    const struct relay_rules rules = { .hold_bytes = 8192,
                                       .hold_chunks = 6,
                                       .event_bytes = EVENT_BYTES,
                                       .usage_wanted = apis[api].usage_wanted,
                                       .voice = dialect->voice ? &hearing->voice : NULL,
                                       .voice_bytes = 1 << 20 };

    *hearing = (struct hearing){ .voice = { .ended = false } };
    if (dialect->voice)
        voice_init(&hearing->voice, dialect->voice, &facts, 1 << 16);
    relay_init(&hearing->relay, &rules, price, NULL);
}

static void end(struct hearing *hearing)
{
    relay_release(&hearing->relay);
    voice_release(&hearing->voice);
}

static void put_state(struct buf *out, const struct relay *relay)
{
    static const char *const words[] = { [RELAY_HOLDING] = "holding",
                                         [RELAY_OPEN] = "open",
                                         [RELAY_ENDED] = "ended",
                                         [RELAY_BROKEN] = "broken" };

    buf_put(out, words[relay->state]);
    if (relay->state == RELAY_BROKEN) {
        buf_put(out, ", ");
        buf_put(out, relay_fault_text(relay->fault));
    }
}

/* What the client may see: nothing before the commit point. */
static struct str shown(const struct relay *relay)
{
    return relay->committed ? buf_str(&relay->out) : STR("");
}

/* One JSON string for each line of what is new. */
static void put_news(struct buf *out, struct str news)
{
    struct str event;

    while (news.n > 0) {
        const char *blank = memmem(news.p, news.n, "\n\n", 2);

        event = str_first(news, blank ? (size_t)(blank - news.p) + 2 : news.n);
        news = str_skip(news, event.n);
        buf_put(out, "  ");
        buf_put_json(out, event);
        buf_put(out, "\n");
    }
}

static void put_end(struct hearing *hearing, const char *label, bool whole, size_t before,
                    struct buf *out)
{
    relay_finish(&hearing->relay, whole);
    buf_put(out, label);
    put_state(out, &hearing->relay);
    buf_putf(out, ", output tokens %" PRId64 ", text bytes %zu\n",
             hearing->relay.usage.output_tokens, hearing->relay.output_bytes);
    put_news(out, str_skip(shown(&hearing->relay), before));
}

/* Byte by byte; curve[k] becomes what was shown after k bytes. */
static void tell_slowly(size_t api, struct str stream, size_t *curve, struct buf *out)
{
    struct hearing hearing;
    enum relay_state last = RELAY_HOLDING;

    begin(&hearing, api);
    curve[0] = 0;
    for (size_t k = 0; k < stream.n; k++) {
        relay_feed(&hearing.relay, stream.p + k, 1);
        curve[k + 1] = shown(&hearing.relay).n;
        if (curve[k + 1] == curve[k] && hearing.relay.state == last)
            continue;
        last = hearing.relay.state;
        buf_putf(out, "at %zu: ", k + 1);
        put_state(out, &hearing.relay);
        buf_put(out, "\n");
        put_news(out, str_skip(shown(&hearing.relay), curve[k]));
    }
    put_end(&hearing, "whole: ", true, curve[stream.n], out);
    end(&hearing);
    begin(&hearing, api);
    relay_feed(&hearing.relay, stream.p, stream.n);
    put_end(&hearing, "torn: ", false, curve[stream.n], out);
    end(&hearing);
}

/* All that a client hears of the stream, and how it ended. */
static void hear(size_t api, struct str stream, size_t cut, size_t *ret_after_cut,
                 struct buf *out)
{
    struct hearing hearing;

    begin(&hearing, api);
    relay_feed(&hearing.relay, stream.p, cut);
    *ret_after_cut = shown(&hearing.relay).n;
    relay_feed(&hearing.relay, stream.p + cut, stream.n - cut);
    relay_finish(&hearing.relay, true);
    put_state(out, &hearing.relay);
    buf_putf(out, " %d %d %zu %zu %" PRId64 " ", hearing.relay.content,
             hearing.relay.shown_error, hearing.relay.events, hearing.relay.output_bytes,
             hearing.relay.usage.output_tokens);
    buf_put_str(out, shown(&hearing.relay));
    end(&hearing);
}

static void print_stream(struct str stream, struct buf *out)
{
    size_t *curve = calloc(stream.n + 1, sizeof *curve);
    struct buf whole, split;
    size_t after;

    assert_non_null(curve);
    buf_init(&whole, CASES_MAX_BYTES);
    buf_init(&split, CASES_MAX_BYTES);
    for (size_t api = 0; api < ARRAY_LEN(apis); api++) {
        buf_putf(out, "== %s\n", apis[api].label);
        tell_slowly(api, stream, curve, out);
        buf_clear(&whole);
        hear(api, stream, 0, &after, &whole);
        for (size_t cut = 0; cut <= stream.n; cut++) {
            buf_clear(&split);
            hear(api, stream, cut, &after, &split);
            if (!str_eq(buf_str(&split), buf_str(&whole)))
                buf_putf(out, "cut at %zu: " STR_FMT "\n", cut, STR_ARG(buf_str(&split)));
            if (after != curve[cut])
                buf_putf(out, "cut at %zu: %zu bytes shown, not %zu\n", cut, after,
                         curve[cut]);
        }
    }
    buf_release(&whole);
    buf_release(&split);
    free(curve);
}

static void every_two_way_split_of_every_stream_is_told_alike(void **state)
{
    (void)state;
    cases_run("stream", print_stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_two_way_split_of_every_stream_is_told_alike),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
