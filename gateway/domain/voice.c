/* voice.c - reads a chat answer and says its parts one after the other.
 *
 * What must always hold: open and close come in pairs, never nested; what is closed is never
 * opened again, so an expert that mixes its tool calls cannot be told and is refused.
 */
#include "gateway/domain/voice.h"

#include <assert.h>

#define DEPTH      JREAD_MAX_DEPTH
#define NAME_BYTES 4096 /* of a tool's id or name */

void voice_init(struct voice *voice, const struct voice_ops *ops,
                const struct voice_facts *facts, size_t max_bytes)
{
    *voice = (struct voice){ .ops = ops, .facts = *facts, .tool_index = -1 };
    buf_init(&voice->tool_id, NAME_BYTES);
    buf_init(&voice->tool_name, NAME_BYTES);
    buf_init(&voice->text, max_bytes);
    /* Thinking is quoted once more, and every part has its frame. */
    buf_init(&voice->parts, 2 * max_bytes);
    buf_init(&voice->logprobs, max_bytes);
    buf_init(&voice->stop, NAME_BYTES);
}

void voice_release(struct voice *voice)
{
    buf_release(&voice->tool_id);
    buf_release(&voice->tool_name);
    buf_release(&voice->text);
    buf_release(&voice->parts);
    buf_release(&voice->logprobs);
    buf_release(&voice->stop);
}

static bool is_sound(const struct voice *voice)
{
    return !voice->failed && !voice->tool_id.failed && !voice->tool_name.failed &&
           !voice->text.failed && !voice->parts.failed && !voice->logprobs.failed &&
           !voice->stop.failed;
}

static struct str inside(struct jread_value text)
{
    return (struct str){ text.raw.p + 1, text.raw.n - 2 };
}

/* -- parts -- */

static void start(struct voice *voice, struct buf *out)
{
    if (voice->started)
        return;
    voice->started = true;
    voice->ops->start(voice, out);
}

static void close_part(struct voice *voice, struct buf *out)
{
    if (voice->part == VOICE_NONE)
        return;
    voice->ops->close(voice, out);
    voice->part = VOICE_NONE;
    buf_clear(&voice->text);
}

static void open_part(struct voice *voice, enum voice_part part, struct buf *out)
{
    close_part(voice, out);
    voice->part = part;
    voice->n_parts++;
    voice->called = voice->called || part == VOICE_TOOL;
    voice->ops->open(voice, out);
}

static void say(struct voice *voice, struct str said, struct buf *out)
{
    if (said.n == 0)
        return;
    buf_put_str(&voice->text, said);
    voice->ops->more(voice, said, out);
}

static void say_text(struct voice *voice, enum voice_part part, struct jread_value value,
                     struct buf *out)
{
    struct jread_iter it = jread_iter(value);
    struct jread_value piece;

    if (value.type == JREAD_TEXT && value.raw.n > 2) {
        if (voice->part != part)
            open_part(voice, part, out);
        say(voice, inside(value), out);
    }
    /* Some experts say their content in parts. */
    while (value.type == JREAD_LIST && jread_next_element(&it, &piece)) {
        struct jread_value text = jread_get(piece, "text");

        if (text.type == JREAD_TEXT)
            say_text(voice, part, text, out);
    }
}

/* -- tools -- */

static void keep(struct buf *kept, struct jread_value text)
{
    buf_clear(kept);
    if (text.type == JREAD_TEXT)
        buf_put_str(kept, inside(text));
}

/* Is it more of the call that is open? An index, where there is one, says so; else an id
 * begins another. */
static bool goes_on(const struct voice *voice, bool has_index, int64_t index,
                    struct jread_value id)
{
    if (voice->part != VOICE_TOOL || (has_index && index != voice->tool_index))
        return false;
    return id.type != JREAD_TEXT || id.raw.n <= 2 ||
           str_eq(inside(id), buf_str(&voice->tool_id));
}

static void say_arguments(struct voice *voice, struct jread_value arguments,
                          struct buf *out)
{
    struct buf quoted;

    if (arguments.type == JREAD_TEXT) {
        say(voice, inside(arguments), out);
        return;
    }
    if (arguments.type != JREAD_MAP)
        return;
    buf_init(&quoted, 8 * arguments.raw.n + 2);
    buf_put_json(&quoted, arguments.raw);
    voice->failed = voice->failed || quoted.failed;
    if (!quoted.failed)
        say(voice, (struct str){ quoted.p + 1, quoted.n - 2 }, out);
    buf_release(&quoted);
}

static void say_call(struct voice *voice, struct jread_value call, bool is_whole,
                     struct buf *out)
{
    struct jread_value function = jread_get(call, "function");
    struct jread_value id = jread_get(call, "id"), name = jread_get(function, "name");
    int64_t index = -1;
    bool has_index = jread_integer(jread_get(call, "index"), &index);

    if (call.type != JREAD_MAP)
        return;
    if (is_whole || !goes_on(voice, has_index, index, id)) {
        if (name.type != JREAD_TEXT || name.raw.n <= 2) {
            voice->failed = true; /* more of what was closed */
            return;
        }
        close_part(voice, out);
        keep(&voice->tool_id, id);
        keep(&voice->tool_name, name);
        if (voice->tool_id.n == 0)
            buf_putf(&voice->tool_id, "call_%zu", voice->n_parts);
        voice->tool_index = has_index ? index : -1;
        open_part(voice, VOICE_TOOL, out);
    }
    say_arguments(voice, jread_get(function, "arguments"), out);
}

/* -- a choice -- */

static void read_finish(struct voice *voice, struct jread_value choice)
{
    static const struct {
        const char *word;
        enum voice_finish finish;
    } words[] = {
        { "length", VOICE_LENGTH },       { "tool_calls", VOICE_TOOLS },
        { "function_call", VOICE_TOOLS }, { "content_filter", VOICE_FILTERED },
        { "stop", VOICE_STOP },
    };
    struct jread_value reason = jread_get(choice, "finish_reason");
    struct jread_value stop = jread_get(choice, "stop_reason");

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (jread_string_is(reason, words[i].word))
            voice->finish = words[i].finish;
    if (stop.type == JREAD_TEXT)
        keep(&voice->stop, stop);
}

/* Some experts stop where they call. */
static void settle_finish(struct voice *voice)
{
    if (voice->called && voice->finish == VOICE_STOP)
        voice->finish = VOICE_TOOLS;
}

static void keep_logprobs(struct voice *voice, struct jread_value choice)
{
    struct jread_value list = jread_get(jread_get(choice, "logprobs"), "content"), item;
    struct jread_iter it = jread_iter(list);

    while (list.type == JREAD_LIST && jread_next_element(&it, &item)) {
        buf_put(&voice->logprobs, voice->logprobs.n > 0 ? "," : "");
        jread_put_compact(item.raw, &voice->logprobs);
    }
}

static void read_choice(struct voice *voice, struct jread_value choice, bool is_whole,
                        struct buf *out)
{
    struct jread_value said = jread_get(choice, is_whole ? "message" : "delta");
    struct jread_value calls = jread_get(said, "tool_calls"), call;
    struct jread_value thought = jread_get(said, "reasoning_content");
    struct jread_iter it = jread_iter(calls);
    int64_t index;

    if (jread_integer(jread_get(choice, "index"), &index) && index != 0)
        return;
    if (thought.type != JREAD_TEXT)
        thought = jread_get(said, "reasoning");
    if (thought.type == JREAD_TEXT)
        say_text(voice, VOICE_THINKING, thought, out);
    keep_logprobs(voice, choice);
    say_text(voice, VOICE_TEXT, jread_get(said, "content"), out);
    say_text(voice, VOICE_REFUSAL, jread_get(said, "refusal"), out);
    while (calls.type == JREAD_LIST && jread_next_element(&it, &call))
        say_call(voice, call, is_whole, out);
    read_finish(voice, choice);
}

static void read_choices(struct voice *voice, struct jread_value root, bool is_whole,
                         struct buf *out)
{
    struct jread_value choices = jread_get(root, "choices"), choice;
    struct jread_iter it = jread_iter(choices);

    start(voice, out);
    while (choices.type == JREAD_LIST && jread_next_element(&it, &choice))
        read_choice(voice, choice, is_whole, out);
}

bool voice_chunk(struct voice *voice, struct str data, struct buf *out)
{
    voice->streaming = true;
    read_choices(voice, jread_trusted(str_trim(data)), false, out);
    return is_sound(voice);
}

void voice_usage(struct voice *voice, struct jread_value usage,
                 const struct usage_cost *cost)
{
    voice->usage = usage_read(usage);
    voice->has_usage = voice->usage.known;
    voice->cost = *cost;
    if (!voice->has_usage)
        voice_guess(voice, cost);
}

void voice_guess(struct voice *voice, const struct usage_cost *cost)
{
    voice->usage = (struct usage){ .known = true,
                                   .input_tokens = cost->guess_input,
                                   .output_tokens = cost->guess_output };
    voice->has_usage = true;
    voice->cost = *cost;
}

bool voice_end(struct voice *voice, struct buf *out)
{
    if (voice->ended)
        return is_sound(voice);
    voice->ended = true;
    start(voice, out);
    close_part(voice, out);
    settle_finish(voice);
    voice->ops->end(voice, out);
    return is_sound(voice);
}

bool voice_whole(struct voice *voice, struct str body, struct str usage_raw,
                 const struct usage_cost *cost, struct buf *out)
{
    read_choices(voice, jread_trusted(str_trim(body)), true, out);
    close_part(voice, out);
    if (usage_raw.n > 0)
        voice_usage(voice, jread_trusted(usage_raw), cost);
    else
        voice_guess(voice, cost);
    voice->ended = true;
    settle_finish(voice);
    voice->ops->whole(voice, out);
    return is_sound(voice) && !out->failed;
}

/* -- for the ops -- */

void voice_put_inside(struct buf *out, const char *key, const struct buf *inside)
{
    buf_put(out, "\"");
    buf_put(out, key);
    buf_put(out, "\":\"");
    buf_put_str(out, buf_str(inside));
    buf_put(out, "\"");
}

void voice_put_arguments(struct voice *voice, struct buf *out)
{
    struct jread_value object;
    struct buf plain;

    buf_init(&plain, voice->text.n + 1);
    (void)jread_put_inside(buf_str(&voice->text), SIZE_MAX, &plain);
    voice->failed = voice->failed || plain.failed;
    if (jread_parse(buf_str(&plain), DEPTH / 2, &object) && object.type == JREAD_MAP) {
        buf_put_str(out, object.raw);
    } else if (str_trim(buf_str(&plain)).n == 0) {
        buf_put(out, "{}");
    } else {
        buf_put(out, "{");
        voice_put_inside(out, "invalid", &voice->text);
        buf_put(out, "}");
    }
    buf_release(&plain);
}
