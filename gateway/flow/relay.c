/* relay.c - an expert's stream of events on its way to the client; see relay.h.
 *
 * What must always hold: before the commit point `out` has whole events within the hold
 * limits plus one event; after it the client gets every event in its order, as it came,
 * but for usage. [DONE] is passed on only when it came.
 */
#include "gateway/flow/relay.h"

#include <assert.h>
#include <string.h>

#include "gateway/domain/delta.h"

#define SCRATCH_BYTES (512u << 10)
#define READ_BYTES    (1u << 20) /* more than one feed ever brings */

const char *relay_fault_text(enum relay_fault fault)
{
    static const char *const texts[] = {
#define X(name, word, text) text,
        RELAY_FAULTS(X)
#undef X
    };

    return texts[fault];
}

static void no_cost(void *arg, const struct usage *usage, struct usage_cost *ret_cost)
{
    (void)arg;
    (void)usage;
    *ret_cost = (struct usage_cost){ .cost_pico = MONEY_NONE };
}

void relay_init(struct relay *relay, const struct relay_rules *rules,
                void (*cost)(void *arg, const struct usage *usage,
                             struct usage_cost *ret_cost),
                void *arg)
{
    *relay = (struct relay){ .rules = *rules,
                             .cost = cost != NULL ? cost : no_cost,
                             .arg = arg };
    buf_init(&relay->out, rules->hold_bytes + 2 * rules->event_bytes + READ_BYTES +
                              rules->voice_bytes);
    sse_init(&relay->sse, rules->event_bytes);
    arena_init(&relay->scratch, SCRATCH_BYTES);
}

void relay_release(struct relay *relay)
{
    buf_release(&relay->out);
    sse_release(&relay->sse);
    arena_release(&relay->scratch);
}

static void break_off(struct relay *relay, enum relay_fault fault)
{
    relay->state = RELAY_BROKEN;
    relay->fault = fault;
}

void relay_commit(struct relay *relay)
{
    if (relay->state != RELAY_HOLDING)
        return;
    relay->state = RELAY_OPEN;
    relay->committed = true;
}

static void put_raw(struct relay *relay, struct str raw)
{
    buf_put_str(&relay->out, raw);
    buf_put(&relay->out, "\n\n");
}

/* Data that came in several lines goes on in several: a line feed is where one ends. */
static void put_lines(struct relay *relay, struct str text)
{
    struct str line;

    while (memchr(text.p, '\n', text.n) != NULL) {
        (void)str_cut(&text, '\n', &line);
        buf_put_str(&relay->out, line);
        buf_put(&relay->out, "\ndata: ");
    }
    buf_put_str(&relay->out, text);
}

static void put_pieces(struct relay *relay, const struct iovec *pieces, size_t n)
{
    buf_put(&relay->out, "data: ");
    for (size_t i = 0; i < n; i++) {
        if (pieces[i].iov_len > 0)
            put_lines(relay,
                      (struct str){ .p = pieces[i].iov_base, .n = pieces[i].iov_len });
    }
    buf_put(&relay->out, "\n\n");
}

/* The last usage of an API of the expert's own, which always tells it, with the cost. */
static void put_native_usage(struct relay *relay, const struct sse_event *event,
                             const struct delta *delta)
{
    struct iovec pieces[USAGE_MAX_PIECES];
    struct usage_cost cost;
    size_t n = 0, bytes;

    relay->cost(relay->arg, &delta->usage, &cost);
    arena_clear(&relay->scratch);
    if (usage_splice_at(event->data, delta->usage_raw, &cost, &relay->scratch, pieces, &n,
                        &bytes) != ERR_OK) {
        put_raw(relay, event->raw);
        return;
    }
    if (event->name.n > 0) {
        buf_put(&relay->out, "event: ");
        buf_put_str(&relay->out, event->name);
        buf_put(&relay->out, "\n");
    }
    put_pieces(relay, pieces, n);
}

/* An event with usage: priced for who asked, out of sight for who did not. */
static void put_usage(struct relay *relay, const struct sse_event *event,
                      const struct delta *delta)
{
    struct iovec pieces[USAGE_MAX_PIECES];
    struct usage_cost cost;
    size_t n = 0, bytes;

    if (!relay->rules.usage_wanted) {
        if (delta_is_usage_chunk(delta))
            return;
        delta_strip_usage(event->data, pieces, &n);
        put_pieces(relay, pieces, n);
        return;
    }
    relay->told_usage = true;
    relay->cost(relay->arg, &delta->usage, &cost);
    arena_clear(&relay->scratch);
    if (usage_splice(event->data, &cost, &relay->scratch, pieces, &n, &bytes) == ERR_OK)
        put_pieces(relay, pieces, n);
    else
        put_raw(relay, event->raw);
}

static void put_name(struct relay *relay, const char *key, struct str name)
{
    if (name.n == 0)
        return;
    buf_putf(&relay->out, "\"%s\":\"" STR_FMT "\",", key, STR_ARG(name));
}

/* The chunk that the client asked for and the expert never sent. */
static void put_guess(struct relay *relay)
{
    const struct usage unknown = { .known = false };
    struct usage_cost cost;

    if (native_is(relay->rules.shape) || relay->told_usage ||
        (relay->rules.voice == NULL && !relay->rules.usage_wanted))
        return;
    relay->told_usage = true;
    relay->cost(relay->arg, &unknown, &cost);
    if (relay->rules.voice != NULL) {
        voice_guess(relay->rules.voice, &cost);
        return;
    }
    buf_put(&relay->out, "data: {");
    put_name(relay, "id", relay->names.id);
    put_name(relay, "model", relay->names.model);
    buf_putf(&relay->out, "\"object\":\"%s\",\"created\":%lld,\"choices\":[],\"usage\":",
             relay->rules.shape == CHAT_PROMPT ? "text_completion"
                                               : "chat.completion.chunk",
             (long long)relay->created);
    usage_put_guess(&relay->out, &cost);
    buf_put(&relay->out, "}\n\n");
}

/* The event in the words of the client's API. */
static void put_told(struct relay *relay, const struct sse_event *event,
                     const struct delta *delta)
{
    struct voice *voice = relay->rules.voice;
    struct usage_cost cost;
    struct jread_value root;

    if (delta->has_usage && jread_parse(event->data, JREAD_MAX_DEPTH, &root)) {
        relay->told_usage = true;
        relay->cost(relay->arg, &delta->usage, &cost);
        voice_usage(voice, jread_get(root, "usage"), &cost);
    }
    if (delta->done ? !voice_end(voice, &relay->out)
                    : !voice_chunk(voice, event->data, &relay->out))
        break_off(relay, RELAY_FAULT_MALFORMED);
}

/* An event is gone with the next: what is to last is copied. */
static struct str keep_name(char text[USAGE_MAX_NAME], struct str name)
{
    if (name.n == 0)
        return name;
    memcpy(text, name.p, name.n);
    return (struct str){ .p = text, .n = name.n };
}

static void take_names(struct relay *relay, const struct usage_names *names,
                       int64_t created)
{
    relay->names.id = keep_name(relay->name_text[0], names->id);
    relay->names.model = keep_name(relay->name_text[1], names->model);
    relay->names.fingerprint = keep_name(relay->name_text[2], names->fingerprint);
    relay->created = created;
}

static void take_delta(struct relay *relay, const struct delta *delta)
{
    if (delta->has_usage && (delta->usage.known || delta->usage.absurd))
        relay->usage = delta->usage;
    relay->content |= delta->content;
    relay->finished |= delta->finished;
    relay->done |= delta->done;
    if (delta->sequence > 0)
        relay->sequence = delta->sequence;
    relay->output_bytes += delta->output_bytes;
    if (relay->events == 0)
        take_names(relay, &delta->names, delta->created);
    relay->events++;
}

static void in_band_error(struct relay *relay, const struct sse_event *event,
                          const struct delta *delta)
{
    relay->error_status = delta->error_status;
    if (relay->committed && relay->rules.voice == NULL) {
        put_raw(relay, event->raw);
        relay->shown_error = true;
    } else if (!relay->committed && !relay->content) {
        relay->refusal = refusal_for_sure(event->data);
    }
    if (relay->refusal != REFUSAL_OTHER) {
        buf_clear(&relay->out);
        buf_put_str(&relay->out, event->data);
    }
    break_off(relay, RELAY_FAULT_IN_BAND);
}

static void pass_event(struct relay *relay, const struct sse_event *event)
{
    struct delta delta;

    if (str_trim(event->data).n == 0) {
        if (event->is_comment && relay->committed)
            put_raw(relay, event->raw);
        return;
    }
    delta = native_is(relay->rules.shape)
                ? native_read(relay->rules.shape, event->data, &relay->tally)
                : delta_read(event->data);
    if (!delta.valid) {
        break_off(relay, event->unterminated ? RELAY_FAULT_CUT : RELAY_FAULT_MALFORMED);
        return;
    }
    if (delta.is_error) {
        in_band_error(relay, event, &delta);
        return;
    }
    take_delta(relay, &delta);
    if (delta.done && relay->events == 1) {
        break_off(relay, RELAY_FAULT_MALFORMED);
        return;
    }
    if (delta.done)
        put_guess(relay);
    if (relay->rules.voice != NULL)
        put_told(relay, event, &delta);
    else if (delta.usage_raw.n > 0)
        put_native_usage(relay, event, &delta);
    else if (native_is(relay->rules.shape))
        put_raw(relay, event->raw);
    else if (delta.has_usage)
        put_usage(relay, event, &delta);
    else
        put_raw(relay, event->raw);
    relay->held++;
    if (relay->state == RELAY_BROKEN)
        return;
    if (relay->state == RELAY_HOLDING &&
        (delta.content || delta.done || relay->held >= relay->rules.hold_chunks ||
         relay->out.n >= relay->rules.hold_bytes))
        relay_commit(relay);
    if (delta.done)
        relay->state = RELAY_ENDED;
}

static bool running(const struct relay *relay)
{
    return relay->state == RELAY_HOLDING || relay->state == RELAY_OPEN;
}

static void pass_ready_event(struct relay *relay)
{
    struct sse_event event = sse_take(&relay->sse);

    pass_event(relay, &event);
    if (relay->out.failed)
        break_off(relay, RELAY_FAULT_NOMEM);
}

void relay_feed(struct relay *relay, const char *bytes, size_t n)
{
    while (n > 0 && running(relay)) {
        size_t used = sse_feed(&relay->sse, bytes, n);

        bytes += used;
        n -= used;
        if (sse_ready(&relay->sse))
            pass_ready_event(relay);
        else if (sse_failed(&relay->sse))
            break_off(relay, RELAY_FAULT_TOO_LARGE);
        else
            assert(n == 0);
    }
}

/* Some servers end without [DONE], and a few without the last empty line. A finish reason
 * and a complete HTTP answer are as good an end; a bare end of bytes is none. */
void relay_finish(struct relay *relay, bool whole)
{
    if (!running(relay))
        return;
    sse_finish(&relay->sse);
    if (sse_ready(&relay->sse))
        pass_ready_event(relay);
    if (!running(relay))
        return;
    if (!whole || !relay->finished || native_is(relay->rules.shape)) {
        break_off(relay, RELAY_FAULT_CUT);
        return;
    }
    put_guess(relay);
    if (relay->rules.voice != NULL && !voice_end(relay->rules.voice, &relay->out)) {
        break_off(relay, RELAY_FAULT_MALFORMED);
        return;
    }
    if (relay->out.failed) {
        break_off(relay, RELAY_FAULT_NOMEM);
        return;
    }
    relay_commit(relay);
    relay->state = RELAY_ENDED;
}
