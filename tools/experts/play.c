/* play.c - the stream's events and the body in one piece; see play.h.
 *
 * What must hold: usage counts the tokens that were really written, whichever way they went
 * out, and the text of a stream's chunks joined is the text of the body.
 */
#include "tools/experts/play.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/experts/actor.h"
#include "tools/experts/play_private.h"
#include "tools/experts/tokens.h"
#include "tools/experts/vectors.h"

/* What an expert, or an actor of the script, says in all; to be freed. */
static char *whole_text(const struct request *request)
{
    const struct buf *text = &request->texts[0];
    struct reply reply;

    if (request->expert != NULL)
        expert_answer(request->expert, text->p != NULL ? text->p : "", text->n, &reply);
    else
        actor_say(&request->script, request->model, buf_str(text), &reply);
    return strdup(reply.text);
}

struct play *play_new(struct request *request, uint64_t number)
{
    struct play *play = calloc(1, sizeof *play);
    if (play == NULL)
        return NULL;
    if (request->api == REQUEST_EMBEDDINGS) {
        play->text = NULL;
    } else if (request->expert != NULL || actor_speaks(&request->script)) {
        play->text = whole_text(request);
        if (play->text == NULL) {
            free(play);
            return NULL;
        }
        play->text_bytes = strlen(play->text);
        play->tokens = tokens_count(play->text, play->text_bytes);
    } else {
        play->tokens = request->script.empty != 0 ? 0 : (size_t)request->script.chunks;
    }
    if (request->max_tokens >= 0 && request->script.ignore_limit == 0 &&
        play->tokens + (size_t)request->script.reasoning > (size_t)request->max_tokens) {
        /* Reasoning is output, and comes first. */
        if ((int64_t)request->script.reasoning > request->max_tokens)
            request->script.reasoning = (int)request->max_tokens;
        play->tokens = (size_t)(request->max_tokens - request->script.reasoning);
        play->cut_short = true;
        if (play->text != NULL)
            play->text_bytes = tokens_prefix(play->text, play->text_bytes, play->tokens);
    }
    play->request = *request;
    request_init(request);
    play->number = number;
    play->created = (long long)time(NULL);
    return play;
}

void play_free(struct play *play)
{
    if (play == NULL)
        return;
    request_release(&play->request);
    free(play->text);
    free(play);
}

const struct request *play_request(const struct play *play)
{
    return &play->request;
}

size_t play_completion_tokens(const struct play *play)
{
    return play->written;
}

static int64_t up_to(int64_t wanted, size_t there)
{
    return wanted < (int64_t)there ? wanted : (int64_t)there;
}

bool play_bill(const struct play *play, struct invoice *invoice)
{
    const struct request *request = &play->request;
    const struct script *script = &request->script;
    size_t choices = (size_t)request->choices;
    bool refused =
        script->status >= 400 && (script->status < 500 || script->status == 503);
    if (refused)
        return false;
    const bool embeddings = request->api == REQUEST_EMBEDDINGS;
    invoice->embedding = embeddings;
    invoice->prompt_tokens = (int64_t)request->prompt_tokens;
    invoice->cached_tokens = up_to(script->cached, request->prompt_tokens);
    invoice->cache_write_tokens = up_to(
        script->cache_write, request->prompt_tokens - (size_t)invoice->cached_tokens);
    invoice->completion_tokens = (int64_t)play->written;
    invoice->reasoning_tokens = (int64_t)play->reasoned;
    if (script->bill_all != 0 && !embeddings) {
        invoice->reasoning_tokens = (int64_t)(choices * (size_t)script->reasoning);
        invoice->completion_tokens =
            invoice->reasoning_tokens + (int64_t)(choices * play->tokens);
    }
    if (request->api == REQUEST_MESSAGES) /* thoughts are output like any other there */
        invoice->reasoning_tokens = 0;
    return true;
}

static struct str text_of(const char *p, size_t n)
{
    return (struct str){ p, n };
}

static const char *finish_reason(const struct play *play)
{
    if (play->cut_short)
        return "length";
    return play->request.script.tool_calls != 0 ? "tool_calls" : "stop";
}

struct play_usage play_usage_of(const struct play *play)
{
    const struct script *script = &play->request.script;
    size_t prompt = script->prompt_tokens >= 0 ? (size_t)script->prompt_tokens
                                               : play->request.prompt_tokens;
    size_t completion = script->tokens >= 0 ? (size_t)script->tokens : play->written;
    if (script->usage == SCRIPT_USAGE_WRONG)
        completion *= 10;
    if (script->usage == SCRIPT_USAGE_ZERO)
        prompt = completion = 0;
    if (script->usage == SCRIPT_USAGE_ABSURD)
        prompt = SIZE_MAX / 4;
    return (struct play_usage){
        .prompt = prompt,
        .completion = completion,
        .sign = script->usage == SCRIPT_USAGE_NEGATIVE ? "-" : "",
        .quote = script->usage == SCRIPT_USAGE_TEXT ? "\"" : "",
    };
}

static void put_usage(const struct play *play, struct buf *out)
{
    const struct script *script = &play->request.script;
    const struct play_usage said = play_usage_of(play);
    buf_putf(out,
             "\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%s%s%zu%s,"
             "\"total_tokens\":%zu",
             said.prompt, said.quote, said.sign, said.completion, said.quote,
             said.prompt + said.completion);
    struct invoice truth = { .model = "" };
    if (script->cached + script->cache_write > 0 && play_bill(play, &truth))
        buf_putf(out,
                 ",\"prompt_tokens_details\":{\"cached_tokens\":%lld,"
                 "\"cache_write_tokens\":%lld}",
                 (long long)truth.cached_tokens, (long long)truth.cache_write_tokens);
    if (script->reasoning > 0)
        buf_putf(out, ",\"completion_tokens_details\":{\"reasoning_tokens\":%zu}",
                 play->reasoned);
    buf_put(out, "}");
}

/* The words of a script's chunk: "w17 ", filled up with "." to the length asked for. By
 * hand, because benchmarks have it written for every answer. */
static void put_script_words(const struct play *play, int chunk, struct buf *out)
{
    char word[16];
    size_t at = sizeof word;
    word[--at] = ' ';
    do {
        word[--at] = (char)('0' + chunk % 10);
        chunk /= 10;
    } while (chunk > 0);
    word[--at] = 'w';
    size_t n = sizeof word - at;
    buf_put_str(out, text_of(word + at, n));
    size_t wanted = (size_t)play->request.script.chunk_bytes;
    char *room = NULL;
    if (wanted > n && buf_room(out, wanted - n, &room) == ERR_OK) {
        memset(room, '.', wanted - n);
        buf_commit(out, wanted - n);
    }
}

static void put_tool_call(const struct play *play, struct buf *out)
{
    const char *name = play->request.tool[0] != 0 ? play->request.tool : "none";
    buf_putf(out,
             "[{\"index\":0,\"id\":\"call_%llx\",\"type\":\"function\",\"function\":{"
             "\"name\":",
             (unsigned long long)play->number);
    buf_put_json(out, str_of(name));
    buf_put(out, ",\"arguments\":\"{\\\"n\\\": 1}\"}}]");
}

/* -- streams --------------------------------------------------------------------- */

static bool completes(const struct play *play)
{
    return play->request.api == REQUEST_COMPLETIONS;
}

static void open_event(const struct play *play, struct buf *out)
{
    const char *line = play->request.script.crlf != 0 ? "\r\n" : "\n";
    if (play->request.script.comments != 0)
        buf_putf(out, ": still here%s%s", line, line);
    buf_putf(
        out, "data: {\"id\":\"%s-%llx\",\"object\":\"%s\",\"created\":%lld,\"model\":",
        completes(play) ? "cmpl" : "chatcmpl", (unsigned long long)play->number,
        completes(play) ? "text_completion" : "chat.completion.chunk", play->created);
    buf_put_json(out, str_of(play->request.model));
}

static void close_event(const struct play *play, struct buf *out)
{
    buf_put(out, play->request.script.crlf != 0 ? "}\r\n\r\n" : "}\n\n");
}

static void open_delta(const struct play *play, struct buf *out)
{
    open_event(play, out);
    buf_putf(out, ",\"choices\":[{\"index\":%d,%s", play->choice,
             completes(play) ? "" : "\"delta\":{");
}

static void close_delta(const struct play *play, const char *finish, struct buf *out)
{
    if (completes(play) && finish != NULL)
        buf_put(out, "\"text\":\"\"");
    buf_put(out, completes(play) ? "" : "}");
    if (finish != NULL)
        buf_putf(out, ",\"logprobs\":null,\"finish_reason\":\"%s\"}]", finish);
    else
        buf_put(out, ",\"logprobs\":null,\"finish_reason\":null}]");
    enum script_usage usage = (enum script_usage)play->request.script.usage;
    bool rides = usage == SCRIPT_USAGE_RUNNING ||
                 (finish != NULL && play->choice == play->request.choices - 1 &&
                  usage == SCRIPT_USAGE_WITH_CHOICES);
    if (rides) {
        buf_put(out, ",");
        put_usage(play, out);
    }
    close_event(play, out);
}

enum play_step play_interrupted(const struct play *play)
{
    const struct script *script = &play->request.script;
    if (play->chunk == script->cut_after)
        return PLAY_CUT;
    if (play->chunk == script->stall_after)
        return PLAY_STALL;
    return play->chunk == script->error_event_at ? PLAY_END : PLAY_MORE;
}

static void put_error_event(const struct play *play, struct buf *out)
{
    const char *line = play->request.script.crlf != 0 ? "\r\n" : "\n";
    buf_putf(out,
             "data: {\"error\":{\"message\":\"the model fell over\",\"type\":"
             "\"server_error\",\"param\":null,\"code\":null}}%s%s",
             line, line);
}

bool play_content_left(const struct play *play)
{
    if (play->text != NULL)
        return play->at < play->text_bytes;
    return play->chunk < (int)play->tokens;
}

void play_put_piece(struct play *play, struct buf *out)
{
    if (play->text != NULL) {
        size_t n = tokens_next(play->text + play->at, play->text_bytes - play->at);
        buf_put_json(out, text_of(play->text + play->at, n));
        play->at += n;
    } else {
        buf_put(out, "\"");
        put_script_words(play, play->chunk, out);
        buf_put(out, "\"");
    }
    play->chunk++;
    play->written++;
}

static void put_content(struct play *play, struct buf *out)
{
    if (play->chunk == play->request.script.malformed_at) {
        buf_put(out, "data: {\"id\":\"chatcmpl-broken\",\"choices\":[{\"delta\":{]\n\n");
        play->chunk++;
        play->written++;
        return;
    }
    open_delta(play, out);
    if (play->request.script.tool_calls != 0) {
        buf_put(out, "\"tool_calls\":");
        put_tool_call(play, out);
        play->chunk = (int)play->tokens;
        play->written++;
    } else {
        buf_put(out, completes(play) ? "\"text\":" : "\"content\":");
        play_put_piece(play, out);
    }
    close_delta(play, NULL, out);
}

static int pace_ms(const struct play *play)
{
    return play->request.script.chunk_ms;
}

static enum play_step next_choice(struct play *play)
{
    play->choice++;
    play->chunk = 0;
    play->at = 0;
    play->phase = play->choice < play->request.choices ? ROLE : USAGE;
    if (play->phase == USAGE)
        play->choice = play->request.choices - 1;
    return PLAY_MORE;
}

static enum play_step say(struct play *play, struct buf *out, int *ret_wait_ms)
{
    const struct script *script = &play->request.script;
    enum play_step step = PLAY_MORE;
    switch (play->phase) {
    case ROLE:
        play->phase = script->reasoning > 0 ? REASONING : CONTENT;
        if (completes(play))
            return PLAY_MORE;
        open_delta(play, out);
        buf_put(out, "\"role\":\"assistant\",\"content\":\"\"");
        close_delta(play, NULL, out);
        return PLAY_MORE;
    case REASONING:
        open_delta(play, out);
        buf_putf(out, "\"reasoning_content\":\"r%d \"", play->chunk);
        close_delta(play, NULL, out);
        play->written++;
        play->reasoned++;
        play->chunk++;
        if (play->chunk >= script->reasoning) {
            play->chunk = 0;
            play->phase = CONTENT;
        }
        *ret_wait_ms = pace_ms(play);
        return PLAY_MORE;
    case CONTENT:
        step = play_interrupted(play);
        if (step == PLAY_END)
            put_error_event(play, out);
        if (step != PLAY_MORE)
            return step;
        if (play_content_left(play)) {
            put_content(play, out);
            *ret_wait_ms = pace_ms(play);
        } else {
            play->phase = FINISH;
        }
        return PLAY_MORE;
    case FINISH:
        open_delta(play, out);
        close_delta(play, finish_reason(play), out);
        if (script->usage == SCRIPT_USAGE_LATE)
            *ret_wait_ms = 50;
        return next_choice(play);
    case USAGE:
        play->phase = DONE;
        if (!play->request.include_usage || script->usage == SCRIPT_USAGE_NONE ||
            script->usage == SCRIPT_USAGE_WITH_CHOICES)
            return PLAY_MORE;
        open_event(play, out);
        buf_put(out, ",\"choices\":[],");
        put_usage(play, out);
        close_event(play, out);
        return PLAY_MORE;
    case DONE:
        break;
    }
    if (script->no_done == 0)
        buf_put(out, script->crlf != 0 ? "data: [DONE]\r\n\r\n" : "data: [DONE]\n\n");
    return PLAY_END;
}

enum play_step play_next(struct play *play, struct buf *out, int *ret_wait_ms)
{
    *ret_wait_ms = 0;
    if (play->request.script.empty != 0)
        play->phase = DONE;
    enum play_step step = play_is_native(play) ? play_native_next(play, out, ret_wait_ms)
                                               : say(play, out, ret_wait_ms);
    return out->failed ? PLAY_CUT : step;
}

/* -- bodies ---------------------------------------------------------------------- */

void play_put_text(const struct play *play, struct buf *out)
{
    if (play->text != NULL) {
        buf_put_json(out, text_of(play->text, play->text_bytes));
        return;
    }
    buf_put(out, "\"");
    for (int i = 0; i < (int)play->tokens && !out->failed; i++)
        put_script_words(play, i, out);
    buf_put(out, "\"");
}

void play_put_reasoning(const struct play *play, struct buf *out)
{
    buf_put(out, "\"");
    for (int i = 0; i < play->request.script.reasoning && !out->failed; i++)
        buf_putf(out, "r%d ", i);
    buf_put(out, "\"");
}

static void put_message(struct play *play, struct buf *out)
{
    play->written += play->tokens;
    if (completes(play)) {
        play_put_text(play, out);
        return;
    }
    buf_put(out, "{\"role\":\"assistant\",\"content\":");
    if (play->request.script.tool_calls != 0) {
        buf_put(out, "null,\"tool_calls\":");
        put_tool_call(play, out);
    } else {
        play_put_text(play, out);
    }
    if (play->request.script.reasoning > 0) {
        buf_put(out, ",\"reasoning_content\":");
        play_put_reasoning(play, out);
        play->written += (size_t)play->request.script.reasoning;
        play->reasoned += (size_t)play->request.script.reasoning;
    }
    buf_put(out, "}");
}

enum play_step play_body(struct play *play, struct buf *out)
{
    if (play->request.api == REQUEST_EMBEDDINGS)
        return vectors_body(&play->request, out);
    const struct script *script = &play->request.script;
    if (script->empty != 0)
        return PLAY_END;
    if (play_is_native(play))
        return play_native_body(play, out);
    buf_putf(out, "{\"id\":\"%s-%llx\",\"object\":\"%s\",\"created\":%lld,\"model\":",
             completes(play) ? "cmpl" : "chatcmpl", (unsigned long long)play->number,
             completes(play) ? "text_completion" : "chat.completion", play->created);
    buf_put_json(out, str_of(play->request.model));
    buf_put(out, ",\"choices\":[");
    if (script->malformed_at >= 0) {
        buf_put(out, "{]");
        return PLAY_END;
    }
    for (int c = 0; c < play->request.choices; c++) {
        buf_putf(out, "%s{\"index\":%d,\"%s\":", c > 0 ? "," : "", c,
                 completes(play) ? "text" : "message");
        put_message(play, out);
        buf_putf(out, ",\"logprobs\":null,\"finish_reason\":\"%s\"}",
                 finish_reason(play));
    }
    buf_put(out, "]");
    if (script->usage != SCRIPT_USAGE_NONE) {
        buf_put(out, ",");
        put_usage(play, out);
    }
    buf_put(out, "}");
    return script->cut_after >= 0 || out->failed ? PLAY_CUT : PLAY_END;
}

void play_error(const struct request_error *error, enum request_api api, struct buf *out)
{
    if (api == REQUEST_MESSAGES) {
        buf_putf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":",
                 error->status == 429  ? "rate_limit_error"
                 : error->status < 500 ? "invalid_request_error"
                                       : "api_error");
        buf_put_json(out, str_of(error->message));
        buf_put(out, "}}");
        return;
    }
    buf_put(out, "{\"error\":{\"message\":");
    buf_put_json(out, str_of(error->message));
    buf_putf(out, ",\"type\":\"%s\",\"param\":",
             error->status == 429  ? "rate_limit_exceeded"
             : error->status < 500 ? "invalid_request_error"
                                   : "server_error");
    if (error->param != NULL)
        buf_putf(out, "\"%s\",\"code\":", error->param);
    else
        buf_put(out, "null,\"code\":");
    if (error->code != NULL)
        buf_putf(out, "\"%s\"}}", error->code);
    else
        buf_put(out, "null}}");
}
