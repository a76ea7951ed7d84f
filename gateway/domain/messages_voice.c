/* messages_voice.c - a chat expert's answer as a message, or as the events of one.
 *
 *   message_start
 *   content_block_start  content_block_delta*  content_block_stop      for each part
 *   message_delta (stop_reason, usage with cost)  message_stop
 */
#include <string.h>

#include "gateway/domain/messages.h"

static void event(struct buf *out, const char *name)
{
    buf_put(out, "event: ");
    buf_put(out, name);
    buf_put(out, "\ndata: {\"type\":\"");
    buf_put(out, name);
    buf_put(out, "\"");
}

static void event_end(struct buf *out)
{
    buf_put(out, "}\n\n");
}

/* Cached tokens stand apart from the others here. */
static void put_usage(const struct voice *voice, struct buf *out)
{
    const struct usage *usage = &voice->usage;
    int64_t caches = usage->cached_tokens + usage->cache_write_tokens;

    buf_putf(out,
             ",\"usage\":{\"input_tokens\":%lld,\"cache_creation_input_tokens\":%lld,"
             "\"cache_read_input_tokens\":%lld,\"output_tokens\":%lld",
             (long long)(usage->input_tokens - caches),
             (long long)usage->cache_write_tokens, (long long)usage->cached_tokens,
             (long long)usage->output_tokens);
    usage_put_cost(out, &voice->cost);
    buf_put(out, "}");
}

static void put_stop(const struct voice *voice, struct buf *out)
{
    static const char *const words[] = {
        [VOICE_STOP] = "end_turn",
        [VOICE_LENGTH] = "max_tokens",
        [VOICE_TOOLS] = "tool_use",
        [VOICE_FILTERED] = "refusal",
    };
    bool by_sequence = voice->finish == VOICE_STOP && voice->stop.n > 0;

    buf_putf(out, "\"stop_reason\":\"%s\",",
             by_sequence ? "stop_sequence" : words[voice->finish]);
    if (by_sequence)
        voice_put_inside(out, "stop_sequence", &voice->stop);
    else
        buf_put(out, "\"stop_sequence\":null");
}

static void put_head(const struct voice *voice, struct buf *out)
{
    buf_put(out, "\"id\":\"");
    buf_put(out, voice->ops->id_prefix);
    buf_put_str(out, voice->facts.id);
    buf_put(out, "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    buf_put_json(out, voice->facts.model);
    buf_put(out, ",\"content\":[");
}

static void start(struct voice *voice, struct buf *out)
{
    if (!voice->streaming)
        return;
    event(out, "message_start");
    buf_put(out, ",\"message\":{");
    put_head(voice, out);
    buf_put(out, "],\"stop_reason\":null,\"stop_sequence\":null,"
                 "\"usage\":{\"input_tokens\":0,\"output_tokens\":0}}");
    event_end(out);
}

/* A block as it stands so far; text: the inside of its text, arguments as an object. */
static void put_block(struct voice *voice, bool is_whole, struct buf *out)
{
    static const struct buf nothing = { 0 };
    const struct buf *text = is_whole ? &voice->text : &nothing;

    switch (voice->part) {
    case VOICE_THINKING:
        buf_put(out, "{\"type\":\"thinking\",");
        voice_put_inside(out, "thinking", text);
        buf_put(out, ",\"signature\":\"\"}");
        break;
    case VOICE_TOOL:
        buf_put(out, "{\"type\":\"tool_use\",");
        voice_put_inside(out, "id", &voice->tool_id);
        buf_put(out, ",");
        voice_put_inside(out, "name", &voice->tool_name);
        buf_put(out, ",\"input\":");
        if (is_whole)
            voice_put_arguments(voice, out);
        else
            buf_put(out, "{}");
        buf_put(out, "}");
        break;
    default:
        buf_put(out, "{\"type\":\"text\",");
        voice_put_inside(out, "text", text);
        buf_put(out, "}");
    }
}

static void put_index(const struct voice *voice, struct buf *out)
{
    buf_putf(out, ",\"index\":%zu", voice->n_parts - 1);
}

static void open_block(struct voice *voice, struct buf *out)
{
    if (!voice->streaming)
        return;
    event(out, "content_block_start");
    put_index(voice, out);
    buf_put(out, ",\"content_block\":");
    put_block(voice, false, out);
    event_end(out);
}

static void more(struct voice *voice, struct str inside, struct buf *out)
{
    static const char *const heads[] = {
        [VOICE_NONE] = "",
        [VOICE_THINKING] = "{\"type\":\"thinking_delta\",\"thinking\":\"",
        [VOICE_TEXT] = "{\"type\":\"text_delta\",\"text\":\"",
        [VOICE_REFUSAL] = "{\"type\":\"text_delta\",\"text\":\"",
        [VOICE_TOOL] = "{\"type\":\"input_json_delta\",\"partial_json\":\"",
    };

    if (!voice->streaming)
        return;
    event(out, "content_block_delta");
    put_index(voice, out);
    buf_put(out, ",\"delta\":");
    buf_put(out, heads[voice->part]);
    buf_put_str(out, inside);
    buf_put(out, "\"}");
    event_end(out);
}

static void close_block(struct voice *voice, struct buf *out)
{
    if (voice->streaming) {
        event(out, "content_block_stop");
        put_index(voice, out);
        event_end(out);
        return; /* nobody asks a stream for its whole */
    }
    buf_put(&voice->parts, voice->parts.n > 0 ? "," : "");
    put_block(voice, true, &voice->parts);
}

static void end(struct voice *voice, struct buf *out)
{
    event(out, "message_delta");
    buf_put(out, ",\"delta\":{");
    put_stop(voice, out);
    buf_put(out, "}");
    put_usage(voice, out);
    event_end(out);
    event(out, "message_stop");
    event_end(out);
}

static void whole(struct voice *voice, struct buf *out)
{
    buf_put(out, "{");
    put_head(voice, out);
    buf_put_str(out, buf_str(&voice->parts));
    buf_put(out, "],");
    put_stop(voice, out);
    put_usage(voice, out);
    buf_put(out, "}");
}

const struct voice_ops messages_voice = {
    .id_prefix = "msg_",
    .start = start,
    .open = open_block,
    .more = more,
    .close = close_block,
    .end = end,
    .whole = whole,
};

/* -- errors -- */

int messages_status(int status)
{
    return status == 503 ? 529 : status;
}

static const char *error_type(int status)
{
    static const struct {
        int status;
        const char *type;
    } types[] = {
        { 401, "authentication_error" }, { 402, "billing_error" },
        { 403, "permission_error" },     { 404, "not_found_error" },
        { 413, "request_too_large" },    { 429, "rate_limit_error" },
        { 504, "timeout_error" },        { 529, "overloaded_error" },
    };

    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (types[i].status == status)
            return types[i].type;
    return status < 500 ? "invalid_request_error" : "api_error";
}

void messages_error(struct str message, int status, struct str request_id,
                    struct buf *out)
{
    buf_putf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":",
             error_type(status));
    buf_put_json(out, message);
    buf_put(out, "},\"request_id\":");
    buf_put_json(out, request_id);
    buf_put(out, "}");
}
