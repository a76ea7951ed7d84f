/* play_native.c - Responses and Messages in the words of these APIs; see play.h.
 *
 *   Messages:   message_start  block_start block_delta* block_stop  ...  message_delta  message_stop
 *   Responses:  created  item.added part.added delta* part.done item.done  ...  completed
 *
 * The same scripts hold as for a chat: chunks are counted, cut and priced alike. There is one
 * answer, and its usage is always told, but where the script says none.
 */
#include <string.h>

#include "tools/experts/play_private.h"

bool play_is_native(const struct play *play)
{
    return play->request.api == REQUEST_RESPONSES ||
           play->request.api == REQUEST_MESSAGES;
}

static bool is_message(const struct play *play)
{
    return play->request.api == REQUEST_MESSAGES;
}

static bool calls(const struct play *play)
{
    return play->request.script.tool_calls != 0;
}

static bool thinks(const struct play *play)
{
    return play->request.script.reasoning > 0;
}

static int last_part(const struct play *play)
{
    return thinks(play) ? 1 : 0;
}

static const char *tool(const struct play *play)
{
    return play->request.tool[0] != 0 ? play->request.tool : "none";
}

/* -- usage ------------------------------------------------------------------------------- */

static void put_count(const struct play_usage *said, struct buf *out)
{
    buf_putf(out, "\"output_tokens\":%s%s%zu%s", said->quote, said->sign,
             said->completion, said->quote);
}

/* What a cache gave and took stands beside the rest of the prompt. */
static void put_message_input(const struct play *play, struct buf *out)
{
    const struct play_usage said = play_usage_of(play);
    struct invoice truth = { .model = "" };
    size_t cached = 0, written = 0;
    if (play_bill(play, &truth)) {
        cached = (size_t)truth.cached_tokens;
        written = (size_t)truth.cache_write_tokens;
    }
    if (cached + written > said.prompt)
        cached = written = 0;
    buf_putf(out,
             "\"input_tokens\":%zu,\"cache_read_input_tokens\":%zu,"
             "\"cache_creation_input_tokens\":%zu,",
             said.prompt - cached - written, cached, written);
}

static void put_response_usage(const struct play *play, struct buf *out)
{
    const struct play_usage said = play_usage_of(play);
    struct invoice truth = { .model = "" };
    (void)play_bill(play, &truth);
    buf_putf(out, "\"usage\":{\"input_tokens\":%zu,", said.prompt);
    put_count(&said, out);
    buf_putf(out,
             ",\"total_tokens\":%zu,\"input_tokens_details\":{\"cached_tokens\":%lld,"
             "\"cache_write_tokens\":%lld},\"output_tokens_details\":{"
             "\"reasoning_tokens\":%zu}}",
             said.prompt + said.completion, (long long)truth.cached_tokens,
             (long long)truth.cache_write_tokens, play->reasoned);
}

static bool tells_usage(const struct play *play)
{
    return play->request.script.usage != SCRIPT_USAGE_NONE;
}

/* -- parts of an answer ------------------------------------------------------------------ */

static void put_call_input(struct buf *out)
{
    buf_put(out, "{\"n\": 1}");
}

static void put_blocks(const struct play *play, struct buf *out)
{
    buf_put(out, "[");
    if (thinks(play)) {
        buf_put(out, "{\"type\":\"thinking\",\"signature\":\"signed\",\"thinking\":");
        play_put_reasoning(play, out);
        buf_put(out, "},");
    }
    if (calls(play)) {
        buf_putf(out, "{\"type\":\"tool_use\",\"id\":\"toolu_%llx\",\"name\":",
                 (unsigned long long)play->number);
        buf_put_json(out, str_of(tool(play)));
        buf_put(out, ",\"input\":");
        put_call_input(out);
    } else {
        buf_put(out, "{\"type\":\"text\",\"text\":");
        play_put_text(play, out);
    }
    buf_put(out, "}]");
}

static void put_reasoning_item(const struct play *play, bool whole, struct buf *out)
{
    buf_putf(out, "{\"type\":\"reasoning\",\"id\":\"rs_%llx\",\"summary\":[",
             (unsigned long long)play->number);
    if (whole) {
        buf_put(out, "{\"type\":\"summary_text\",\"text\":");
        play_put_reasoning(play, out);
        buf_put(out, "}");
    }
    buf_put(out, "]}");
}

static void put_output_item(const struct play *play, bool whole, struct buf *out)
{
    const char *status = whole ? "completed" : "in_progress";
    if (calls(play)) {
        buf_putf(out,
                 "{\"type\":\"function_call\",\"id\":\"fc_%llx\",\"call_id\":"
                 "\"call_%llx\",\"status\":\"%s\",\"name\":",
                 (unsigned long long)play->number, (unsigned long long)play->number,
                 status);
        buf_put_json(out, str_of(tool(play)));
        buf_put(out,
                whole ? ",\"arguments\":\"{\\\"n\\\": 1}\"}" : ",\"arguments\":\"\"}");
        return;
    }
    buf_putf(out,
             "{\"type\":\"message\",\"id\":\"msg_%llx\",\"role\":\"assistant\","
             "\"status\":\"%s\",\"content\":[",
             (unsigned long long)play->number, status);
    if (whole) {
        buf_put(out, "{\"type\":\"output_text\",\"annotations\":[],\"text\":");
        play_put_text(play, out);
        buf_put(out, "}");
    }
    buf_put(out, "]}");
}

/* The object of an answer, of which `done` says whether it is over. */
static void put_response(const struct play *play, bool done, struct buf *out)
{
    const char *status = !done             ? "in_progress"
                         : play->cut_short ? "incomplete"
                                           : "completed";
    buf_putf(out,
             "{\"id\":\"resp_%llx\",\"object\":\"response\",\"created_at\":%lld,"
             "\"status\":\"%s\",\"error\":null,\"incomplete_details\":%s,"
             "\"parallel_tool_calls\":true,\"tool_choice\":\"auto\",\"tools\":[],"
             "\"model\":",
             (unsigned long long)play->number, play->created, status,
             done && play->cut_short ? "{\"reason\":\"max_output_tokens\"}" : "null");
    buf_put_json(out, str_of(play->request.model));
    buf_put(out, ",\"output\":[");
    if (done && thinks(play)) {
        put_reasoning_item(play, true, out);
        buf_put(out, ",");
    }
    if (done)
        put_output_item(play, true, out);
    buf_put(out, "],");
    if (done && tells_usage(play))
        put_response_usage(play, out);
    else
        buf_put(out, "\"usage\":null");
    buf_put(out, "}");
}

static const char *stop_reason(const struct play *play)
{
    if (play->cut_short)
        return "max_tokens";
    return calls(play) ? "tool_use" : "end_turn";
}

static void open_message(const struct play *play, struct buf *out)
{
    buf_putf(
        out,
        "{\"id\":\"msg_%llx\",\"type\":\"message\",\"role\":\"assistant\",\"model\":",
        (unsigned long long)play->number);
    buf_put_json(out, str_of(play->request.model));
}

/* -- streams ----------------------------------------------------------------------------- */

static const char *line_end(const struct play *play)
{
    return play->request.script.crlf != 0 ? "\r\n" : "\n";
}

/* type: a literal. */
static void open_event(struct play *play, const char *type, struct buf *out)
{
    const char *line = line_end(play);
    if (play->request.script.comments != 0)
        buf_putf(out, ": still here%s%s", line, line);
    buf_putf(out, "event: %s%sdata: {\"type\":\"%s\"", type, line, type);
    if (!is_message(play))
        buf_putf(out, ",\"sequence_number\":%d", play->events++);
}

static void close_event(const struct play *play, struct buf *out)
{
    buf_putf(out, "}%s%s", line_end(play), line_end(play));
}

static void put_begin(struct play *play, struct buf *out)
{
    if (is_message(play)) {
        open_event(play, "message_start", out);
        buf_put(out, ",\"message\":");
        open_message(play, out);
        buf_put(out, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null");
        if (tells_usage(play)) {
            buf_put(out, ",\"usage\":{");
            put_message_input(play, out);
            buf_put(out, "\"output_tokens\":1}");
        }
        buf_put(out, "}");
        close_event(play, out);
        return;
    }
    open_event(play, "response.created", out);
    buf_put(out, ",\"response\":");
    put_response(play, false, out);
    close_event(play, out);
}

/* Of the text of a response: the part in its item, and where an event belongs. */
static void put_text_part(struct play *play, const char *type, bool whole,
                          struct buf *out)
{
    if (calls(play))
        return;
    open_event(play, type, out);
    buf_putf(out,
             ",\"item_id\":\"msg_%llx\",\"output_index\":%d,\"content_index\":0,"
             "\"part\":{\"type\":\"output_text\",\"annotations\":[],\"text\":",
             (unsigned long long)play->number, last_part(play));
    if (whole)
        play_put_text(play, out);
    else
        buf_put(out, "\"\"");
    buf_put(out, "}");
    close_event(play, out);
}

static void open_part(struct play *play, bool thought, struct buf *out)
{
    const int index = thought ? 0 : last_part(play);
    if (!is_message(play)) {
        open_event(play, "response.output_item.added", out);
        buf_putf(out, ",\"output_index\":%d,\"item\":", index);
        if (thought)
            put_reasoning_item(play, false, out);
        else
            put_output_item(play, false, out);
        close_event(play, out);
        if (!thought)
            put_text_part(play, "response.content_part.added", false, out);
        return;
    }
    open_event(play, "content_block_start", out);
    buf_putf(out, ",\"index\":%d,\"content_block\":", index);
    if (thought) {
        buf_put(out, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
    } else if (calls(play)) {
        buf_putf(out, "{\"type\":\"tool_use\",\"id\":\"toolu_%llx\",\"name\":",
                 (unsigned long long)play->number);
        buf_put_json(out, str_of(tool(play)));
        buf_put(out, ",\"input\":{}}");
    } else {
        buf_put(out, "{\"type\":\"text\",\"text\":\"\"}");
    }
    close_event(play, out);
}

static void close_part(struct play *play, bool thought, struct buf *out)
{
    const int index = thought ? 0 : last_part(play);
    if (is_message(play)) {
        open_event(play, "content_block_stop", out);
        buf_putf(out, ",\"index\":%d", index);
        close_event(play, out);
        return;
    }
    if (!thought)
        put_text_part(play, "response.content_part.done", true, out);
    open_event(play, "response.output_item.done", out);
    buf_putf(out, ",\"output_index\":%d,\"item\":", index);
    if (thought)
        put_reasoning_item(play, true, out);
    else
        put_output_item(play, true, out);
    close_event(play, out);
}

static void put_thought(struct play *play, struct buf *out)
{
    if (is_message(play)) {
        open_event(play, "content_block_delta", out);
        buf_putf(out,
                 ",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":"
                 "\"r%d \"}",
                 play->chunk);
    } else {
        open_event(play, "response.reasoning_summary_text.delta", out);
        buf_putf(out, ",\"output_index\":0,\"delta\":\"r%d \"", play->chunk);
    }
    close_event(play, out);
    play->written++;
    play->reasoned++;
    play->chunk++;
}

static void put_call(struct play *play, struct buf *out)
{
    if (is_message(play)) {
        open_event(play, "content_block_delta", out);
        buf_putf(out,
                 ",\"index\":%d,\"delta\":{\"type\":\"input_json_delta\","
                 "\"partial_json\":\"{\\\"n\\\": 1}\"}",
                 last_part(play));
    } else {
        open_event(play, "response.function_call_arguments.delta", out);
        buf_putf(out, ",\"output_index\":%d,\"delta\":\"{\\\"n\\\": 1}\"",
                 last_part(play));
    }
    close_event(play, out);
    play->chunk = (int)play->tokens;
    play->written++;
}

static void put_content(struct play *play, struct buf *out)
{
    if (play->chunk == play->request.script.malformed_at) {
        buf_putf(out, "event: broken%sdata: {\"type\":{]\n\n", line_end(play));
        play->chunk++;
        play->written++;
        return;
    }
    if (calls(play)) {
        put_call(play, out);
        return;
    }
    if (is_message(play)) {
        open_event(play, "content_block_delta", out);
        buf_putf(out, ",\"index\":%d,\"delta\":{\"type\":\"text_delta\",\"text\":",
                 last_part(play));
        play_put_piece(play, out);
        buf_put(out, "}");
    } else {
        open_event(play, "response.output_text.delta", out);
        buf_putf(out,
                 ",\"item_id\":\"msg_%llx\",\"output_index\":%d,"
                 "\"content_index\":0,\"logprobs\":[],\"delta\":",
                 (unsigned long long)play->number, last_part(play));
        play_put_piece(play, out);
    }
    close_event(play, out);
}

static void put_error(struct play *play, struct buf *out)
{
    open_event(play, "error", out);
    if (is_message(play))
        buf_put(out, ",\"error\":{\"type\":\"api_error\",\"message\":"
                     "\"the model fell over\"}");
    else
        buf_put(out, ",\"code\":\"server_error\",\"message\":\"the model fell over\","
                     "\"param\":null");
    close_event(play, out);
}

static void put_end(struct play *play, struct buf *out)
{
    const struct play_usage said = play_usage_of(play);
    if (!is_message(play))
        return;
    open_event(play, "message_delta", out);
    buf_putf(out, ",\"delta\":{\"stop_reason\":\"%s\",\"stop_sequence\":null}",
             stop_reason(play));
    if (tells_usage(play)) {
        buf_put(out, ",\"usage\":{");
        put_count(&said, out);
        buf_put(out, "}");
    }
    close_event(play, out);
}

static void put_last(struct play *play, struct buf *out)
{
    if (is_message(play)) {
        open_event(play, "message_stop", out);
    } else {
        open_event(play, play->cut_short ? "response.incomplete" : "response.completed",
                   out);
        buf_put(out, ",\"response\":");
        put_response(play, true, out);
    }
    close_event(play, out);
}

static enum play_step say_content(struct play *play, struct buf *out, int *ret_wait_ms)
{
    enum play_step step = play_interrupted(play);
    if (step == PLAY_END)
        put_error(play, out);
    if (step != PLAY_MORE)
        return step;
    if (play_content_left(play)) {
        put_content(play, out);
        *ret_wait_ms = play->request.script.chunk_ms;
        return PLAY_MORE;
    }
    close_part(play, false, out);
    play->phase = FINISH;
    if (play->request.script.usage == SCRIPT_USAGE_LATE)
        *ret_wait_ms = 50;
    return PLAY_MORE;
}

enum play_step play_native_next(struct play *play, struct buf *out, int *ret_wait_ms)
{
    switch (play->phase) {
    case ROLE:
        put_begin(play, out);
        open_part(play, thinks(play), out);
        play->phase = thinks(play) ? REASONING : CONTENT;
        return PLAY_MORE;
    case REASONING:
        put_thought(play, out);
        *ret_wait_ms = play->request.script.chunk_ms;
        if (play->chunk < play->request.script.reasoning)
            return PLAY_MORE;
        close_part(play, true, out);
        open_part(play, false, out);
        play->chunk = 0;
        play->phase = CONTENT;
        return PLAY_MORE;
    case CONTENT:
        return say_content(play, out, ret_wait_ms);
    case FINISH:
    case USAGE:
        put_end(play, out);
        play->phase = DONE;
        return PLAY_MORE;
    case DONE:
        break;
    }
    if (play->request.script.no_done == 0)
        put_last(play, out);
    return PLAY_END;
}

/* -- bodies ------------------------------------------------------------------------------ */

enum play_step play_native_body(struct play *play, struct buf *out)
{
    const struct script *script = &play->request.script;
    play->reasoned = (size_t)script->reasoning;
    play->written = play->tokens + play->reasoned;
    if (script->malformed_at >= 0) {
        buf_put(out, "{\"type\":\"message\",\"output\":[{]");
        return PLAY_END;
    }
    if (!is_message(play)) {
        put_response(play, true, out);
    } else {
        const struct play_usage said = play_usage_of(play);
        open_message(play, out);
        buf_put(out, ",\"content\":");
        put_blocks(play, out);
        buf_putf(out, ",\"stop_reason\":\"%s\",\"stop_sequence\":null",
                 stop_reason(play));
        if (tells_usage(play)) {
            buf_put(out, ",\"usage\":{");
            put_message_input(play, out);
            put_count(&said, out);
            buf_put(out, "}");
        }
        buf_put(out, "}");
    }
    return script->cut_after >= 0 || out->failed ? PLAY_CUT : PLAY_END;
}
