/* responses_voice.c - a chat expert's answer as a response, or as the events of one.
 *
 *   response.created  response.in_progress
 *   output_item.added  content_part.added  output_text.delta*  output_text.done
 *       content_part.done  output_item.done                              for a text
 *   output_item.added  function_call_arguments.delta*  ..done  output_item.done
 *   response.completed, or response.incomplete
 *
 * Each part of the answer is an item of the output. Every event has its sequence number.
 */
#include "gateway/domain/responses.h"

/* What differs between the parts that are told in content parts. */
struct words {
    const char *prefix;       /* of an item's id */
    const char *type, *key;   /* of the content part */
    const char *delta, *done; /* events */
};

static const struct words words[] = {
    [VOICE_NONE] = { "", "", "", "", "" },
    [VOICE_THINKING] = { "rs_", "reasoning_text", "text", "response.reasoning_text.delta",
                         "response.reasoning_text.done" },
    [VOICE_TEXT] = { "msg_", "output_text", "text", "response.output_text.delta",
                     "response.output_text.done" },
    [VOICE_REFUSAL] = { "msg_", "refusal", "refusal", "response.refusal.delta",
                        "response.refusal.done" },
    [VOICE_TOOL] = { "fc_", "", "arguments", "response.function_call_arguments.delta",
                     "response.function_call_arguments.done" },
};

static const struct buf nothing = { 0 };

static void put_id(const struct voice *voice, struct buf *out)
{
    buf_put(out, words[voice->part].prefix);
    buf_put_str(out, voice->facts.id);
    buf_putf(out, "_%zu", voice->n_parts - 1);
}

static void event(struct voice *voice, struct buf *out, const char *name)
{
    buf_put(out, "event: ");
    buf_put(out, name);
    buf_put(out, "\ndata: {\"type\":\"");
    buf_put(out, name);
    buf_putf(out, "\",\"sequence_number\":%lld", (long long)voice->sequence++);
}

static void event_of_item(struct voice *voice, struct buf *out, const char *name)
{
    event(voice, out, name);
    buf_putf(out, ",\"output_index\":%zu", voice->n_parts - 1);
}

/* Of a piece of an item. */
static void event_of_part(struct voice *voice, struct buf *out, const char *name)
{
    event_of_item(voice, out, name);
    buf_put(out, ",\"item_id\":\"");
    put_id(voice, out);
    buf_put(out, "\"");
    if (voice->part != VOICE_TOOL)
        buf_put(out, ",\"content_index\":0");
}

static void event_end(struct buf *out)
{
    buf_put(out, "}\n\n");
}

/* -- the response -- */

static void put_usage(const struct voice *voice, struct buf *out)
{
    const struct usage *usage = &voice->usage;

    if (!voice->has_usage) {
        buf_put(out, ",\"usage\":null");
        return;
    }
    buf_putf(
        out,
        ",\"usage\":{\"input_tokens\":%lld,\"input_tokens_details\":"
        "{\"cached_tokens\":%lld,\"cache_write_tokens\":%lld},\"output_tokens\":%lld,"
        "\"output_tokens_details\":{\"reasoning_tokens\":%lld},\"total_tokens\":%lld",
        (long long)usage->input_tokens, (long long)usage->cached_tokens,
        (long long)usage->cache_write_tokens, (long long)usage->output_tokens,
        (long long)usage->reasoning_tokens,
        (long long)(usage->input_tokens + usage->output_tokens));
    usage_put_cost(out, &voice->cost);
    buf_put(out, "}");
}

static void put_response(const struct voice *voice, bool over, struct buf *out)
{
    bool cut = voice->finish == VOICE_LENGTH || voice->finish == VOICE_FILTERED;

    buf_put(out, "{\"id\":\"");
    buf_put(out, voice->ops->id_prefix);
    buf_put_str(out, voice->facts.id);
    buf_putf(out, "\",\"object\":\"response\",\"created_at\":%lld,\"status\":\"%s\"",
             (long long)voice->facts.created_s,
             !over ? "in_progress"
             : cut ? "incomplete"
                   : "completed");
    buf_put(out, ",\"error\":null,\"incomplete_details\":");
    if (over && cut)
        buf_putf(out, "{\"reason\":\"%s\"}",
                 voice->finish == VOICE_LENGTH ? "max_output_tokens" : "content_filter");
    else
        buf_put(out, "null");
    buf_put(out, ",\"model\":");
    buf_put_json(out, voice->facts.model);
    buf_put(out, ",\"output\":[");
    buf_put_str(out, buf_str(&voice->parts));
    buf_put(out, "],\"background\":false,\"previous_response_id\":null,\"store\":false,"
                 "\"truncation\":\"disabled\"");
    buf_put_str(out, voice->facts.echo);
    if (over)
        put_usage(voice, out);
    else
        buf_put(out, ",\"usage\":null");
    buf_put(out, "}");
}

static void event_of_response(struct voice *voice, struct buf *out, const char *name,
                              bool over)
{
    event(voice, out, name);
    buf_put(out, ",\"response\":");
    put_response(voice, over, out);
    event_end(out);
}

/* -- items -- */

static void put_part(const struct voice *voice, bool is_whole, struct buf *out)
{
    const struct words *w = &words[voice->part];

    buf_putf(out, "{\"type\":\"%s\",", w->type);
    voice_put_inside(out, w->key, is_whole ? &voice->text : &nothing);
    if (voice->part == VOICE_TEXT) {
        buf_put(out, ",\"annotations\":[],\"logprobs\":[");
        if (is_whole)
            buf_put_str(out, buf_str(&voice->logprobs));
        buf_put(out, "]");
    }
    buf_put(out, "}");
}

static void put_item(const struct voice *voice, bool is_whole, struct buf *out)
{
    buf_put(out, "{\"id\":\"");
    put_id(voice, out);
    buf_putf(out, "\",\"status\":\"%s\",", is_whole ? "completed" : "in_progress");
    if (voice->part == VOICE_TOOL) {
        buf_put(out, "\"type\":\"function_call\",");
        voice_put_inside(out, "call_id", &voice->tool_id);
        buf_put(out, ",");
        voice_put_inside(out, "name", &voice->tool_name);
        buf_put(out, ",");
        voice_put_inside(out, "arguments", is_whole ? &voice->text : &nothing);
    } else {
        buf_put(out, voice->part == VOICE_THINKING
                         ? "\"type\":\"reasoning\",\"summary\":[],\"content\":["
                         : "\"type\":\"message\",\"role\":\"assistant\",\"content\":[");
        if (is_whole)
            put_part(voice, true, out);
        buf_put(out, "]");
    }
    buf_put(out, "}");
}

static void start(struct voice *voice, struct buf *out)
{
    if (!voice->streaming)
        return;
    event_of_response(voice, out, "response.created", false);
    event_of_response(voice, out, "response.in_progress", false);
}

static void open_item(struct voice *voice, struct buf *out)
{
    if (!voice->streaming)
        return;
    event_of_item(voice, out, "response.output_item.added");
    buf_put(out, ",\"item\":");
    put_item(voice, false, out);
    event_end(out);
    if (voice->part == VOICE_TOOL)
        return;
    event_of_part(voice, out, "response.content_part.added");
    buf_put(out, ",\"part\":");
    put_part(voice, false, out);
    event_end(out);
}

static void more(struct voice *voice, struct str inside, struct buf *out)
{
    if (!voice->streaming)
        return;
    event_of_part(voice, out, words[voice->part].delta);
    buf_put(out, ",\"delta\":\"");
    buf_put_str(out, inside);
    buf_put(out, voice->part == VOICE_TEXT ? "\",\"logprobs\":[]" : "\"");
    event_end(out);
}

static void tell_done(struct voice *voice, struct buf *out)
{
    event_of_part(voice, out, words[voice->part].done);
    buf_put(out, ",");
    voice_put_inside(out, words[voice->part].key, &voice->text);
    if (voice->part == VOICE_TOOL) {
        buf_put(out, ",");
        voice_put_inside(out, "name", &voice->tool_name);
    } else if (voice->part == VOICE_TEXT) {
        buf_put(out, ",\"logprobs\":[");
        buf_put_str(out, buf_str(&voice->logprobs));
        buf_put(out, "]");
    }
    event_end(out);
    if (voice->part != VOICE_TOOL) {
        event_of_part(voice, out, "response.content_part.done");
        buf_put(out, ",\"part\":");
        put_part(voice, true, out);
        event_end(out);
    }
    event_of_item(voice, out, "response.output_item.done");
    buf_put(out, ",\"item\":");
    put_item(voice, true, out);
    event_end(out);
}

static void close_item(struct voice *voice, struct buf *out)
{
    if (voice->streaming)
        tell_done(voice, out);
    buf_put(&voice->parts, voice->parts.n > 0 ? "," : "");
    put_item(voice, true, &voice->parts);
    if (voice->part == VOICE_TEXT)
        buf_clear(&voice->logprobs);
}

static void end(struct voice *voice, struct buf *out)
{
    bool cut = voice->finish == VOICE_LENGTH || voice->finish == VOICE_FILTERED;

    event_of_response(voice, out, cut ? "response.incomplete" : "response.completed",
                      true);
}

static void whole(struct voice *voice, struct buf *out)
{
    put_response(voice, true, out);
}

const struct voice_ops responses_voice = {
    .id_prefix = "resp_",
    .start = start,
    .open = open_item,
    .more = more,
    .close = close_item,
    .end = end,
    .whole = whole,
};

/* -- errors -- */

/* The event has `code` and `message`, and for readers that look for it `error` too. */
void responses_error_event(const struct api_error *error, int64_t sequence,
                           struct buf *out)
{
    const char *code = api_error_code(error->code);
    struct buf body;

    buf_init(&body, 8192);
    api_error_body(error, &body);
    buf_putf(out, "event: error\ndata: {\"type\":\"error\",\"sequence_number\":%lld,",
             (long long)sequence);
    buf_put(out, "\"code\":");
    buf_put_json(out, str_of(code != NULL ? code : "server_error"));
    buf_put(out, ",\"message\":");
    buf_put_json(out, str_of(api_error_message(error)));
    buf_put(out, ",\"param\":null,");
    /* {"error":{..}} without its first bracket; the last one closes the event. */
    buf_put_str(out, str_skip(buf_str(&body), 1));
    buf_put(out, "\n\n");
    out->failed = out->failed || body.failed;
    buf_release(&body);
}
