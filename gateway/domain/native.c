/* native.c - what experts say that speak Responses or Messages themselves. */
#include "gateway/domain/native.h"

#include <assert.h>
#include <string.h>

#include "gateway/domain/jread.h"

bool native_is(enum chat_shape shape)
{
    return shape == CHAT_NATIVE_RESPONSES || shape == CHAT_NATIVE_MESSAGES;
}

/* Whatever of the body may become tokens is in its bytes; images have their own bound. */
void native_request(struct chat_request *native, enum chat_shape shape,
                    const struct chat_request *chat, const struct scan *scan,
                    struct str body)
{
    size_t media = chat->scan->media_bytes < body.n ? chat->scan->media_bytes : body.n;

    assert(native_is(shape));
    *native = *chat;
    native->shape = shape;
    native->body = body;
    native->scan = scan;
    native->translated = false;
    native->native = NULL;
    native->message_bytes = 0;
    if (native->prompt_bytes < body.n - media)
        native->prompt_bytes = body.n - media;
}

/* -- what the two have in common --------------------------------------------------------- */

static bool is_set(struct jread_value value)
{
    return value.type != JREAD_NOTHING && value.type != JREAD_NULLS;
}

static void take_names(struct usage_names *names, struct jread_value whole)
{
    struct jread_iter it = jread_iter(whole);
    struct jread_value key, value;

    while (whole.type == JREAD_MAP && jread_next_member(&it, &key, &value))
        (void)usage_names_take(names, key, value);
}

static bool ends_with(struct jread_value type, const char *end)
{
    const size_t n = strlen(end);

    return type.type == JREAD_TEXT && type.raw.n >= n + 2 &&
           memcmp(type.raw.p + type.raw.n - 1 - n, end, n) == 0;
}

struct error_status {
    const char *word;
    int status;
};

static int status_of(struct jread_value word, const struct error_status *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (jread_string_is(word, list[i].word))
            return list[i].status;
    return 0;
}

/* -- Messages ---------------------------------------------------------------------------- */

static void take_count(struct jread_value usage, const char *name, int64_t *count,
                       bool *given, bool *absurd)
{
    struct jread_value value = jread_get(usage, name);
    int64_t number;

    if (!is_set(value))
        return;
    if (!jread_integer(value, &number) || number < 0 || number > USAGE_MAX_TOKENS) {
        *absurd = true;
        return;
    }
    *count = number;
    *given = true;
}

/* Counts are of the whole message: a later event replaces what it names. The output is only
 * believed at the end: at the beginning the expert has not counted it yet. */
static void take_usage(struct native_tally *tally, struct jread_value usage, bool end)
{
    bool ignored = false;

    take_count(usage, "input_tokens", &tally->input, &tally->has_input, &tally->absurd);
    take_count(usage, "cache_read_input_tokens", &tally->cache_read, &ignored,
               &tally->absurd);
    take_count(usage, "cache_creation_input_tokens", &tally->cache_written, &ignored,
               &tally->absurd);
    if (end)
        take_count(usage, "output_tokens", &tally->output, &tally->has_output,
                   &tally->absurd);
}

static struct usage usage_of(const struct native_tally *tally)
{
    if (tally->absurd)
        return (struct usage){ .absurd = true };
    if (!tally->has_input || !tally->has_output)
        return (struct usage){ .known = false };
    return (struct usage){
        .known = true,
        .input_tokens = tally->input + tally->cache_read + tally->cache_written,
        .cached_tokens = tally->cache_read,
        .cache_write_tokens = tally->cache_written,
        .output_tokens = tally->output,
    };
}

static int messages_error_status(struct jread_value error)
{
    static const struct error_status known[] = {
        { "invalid_request_error", 400 }, { "authentication_error", 401 },
        { "billing_error", 402 },         { "permission_error", 403 },
        { "not_found_error", 404 },       { "request_too_large", 413 },
        { "rate_limit_error", 429 },      { "api_error", 500 },
        { "timeout_error", 504 },         { "overloaded_error", 529 },
    };

    return status_of(jread_get(error, "type"), known, ARRAY_LEN(known));
}

/* A block of text or thinking begins empty; of any other its beginning says something. */
static bool block_says(struct jread_value block)
{
    struct jread_value type = jread_get(block, "type"), text;

    if (jread_string_is(type, "text"))
        text = jread_get(block, "text");
    else if (jread_string_is(type, "thinking"))
        text = jread_get(block, "thinking");
    else
        return true;
    return text.type == JREAD_TEXT && text.raw.n > 2;
}

static void read_messages(struct jread_value root, struct jread_value type,
                          struct native_tally *tally, struct delta *delta)
{
    struct jread_value usage = jread_get(root, "usage");

    if (jread_string_is(type, "message_start")) {
        struct jread_value message = jread_get(root, "message");

        take_names(&delta->names, message);
        take_usage(tally, jread_get(message, "usage"), false);
    } else if (jread_string_is(type, "content_block_start")) {
        delta->content = block_says(jread_get(root, "content_block"));
        delta->output_bytes = usage_text_bytes(jread_get(root, "content_block"));
    } else if (jread_string_is(type, "content_block_delta")) {
        delta->content = true;
        delta->output_bytes = usage_text_bytes(jread_get(root, "delta"));
    } else if (jread_string_is(type, "message_delta")) {
        delta->finished = is_set(jread_get(jread_get(root, "delta"), "stop_reason"));
        delta->content = delta->finished;
        delta->has_usage = usage.type == JREAD_MAP;
        take_usage(tally, usage, true);
        delta->usage = usage_of(tally);
        delta->usage_raw = delta->has_usage ? usage.raw : STR("");
    } else if (jread_string_is(type, "message_stop")) {
        delta->done = true;
    } else if (jread_string_is(type, "error")) {
        delta->is_error = true;
        delta->error = jread_get(root, "error").raw;
        delta->error_status = messages_error_status(jread_get(root, "error"));
    } else if (!jread_string_is(type, "ping") &&
               !jread_string_is(type, "content_block_stop")) {
        delta->content = true;
    }
}

static void answer_messages(struct jread_value root, struct usage_answer *answer)
{
    struct jread_value content = jread_get(root, "content");
    struct jread_value usage = jread_get(root, "usage");
    struct native_tally tally = { .absurd = false };

    answer->has_error = is_set(jread_get(root, "error"));
    answer->has_choices =
        content.type == JREAD_LIST && jread_string_is(jread_get(root, "type"), "message");
    answer->output_bytes = usage_text_bytes(content);
    if (usage.type != JREAD_MAP)
        return;
    take_usage(&tally, usage, true);
    answer->usage = usage_of(&tally);
    answer->usage_raw = usage.raw;
}

/* -- Responses --------------------------------------------------------------------------- */

static int responses_error_status(struct jread_value error)
{
    static const struct error_status known[] = {
        { "rate_limit_exceeded", 429 },
        { "insufficient_quota", 429 },
        { "server_error", 500 },
    };
    int status = status_of(jread_get(error, "code"), known, ARRAY_LEN(known));

    return status != 0 ? status
                       : status_of(jread_get(error, "type"), known, ARRAY_LEN(known));
}

/* A message or a thought begins empty; a call says at once whom it calls. */
static bool item_says(struct jread_value item)
{
    struct jread_value type = jread_get(item, "type");

    return !jread_string_is(type, "message") && !jread_string_is(type, "reasoning");
}

static void read_end(struct jread_value response, struct delta *delta)
{
    struct jread_value usage = jread_get(response, "usage");

    take_names(&delta->names, response);
    delta->finished = delta->done = delta->content = true;
    if (usage.type != JREAD_MAP)
        return;
    delta->has_usage = true;
    delta->usage = usage_read(usage);
    delta->usage_raw = usage.raw;
}

static void read_responses(struct jread_value root, struct jread_value type,
                           struct delta *delta)
{
    struct jread_value response = jread_get(root, "response");

    if (jread_string_is(type, "response.completed") ||
        jread_string_is(type, "response.incomplete")) {
        read_end(response, delta);
    } else if (jread_string_is(type, "response.failed")) {
        delta->is_error = true;
        delta->error = jread_get(response, "error").raw;
        delta->error_status = responses_error_status(jread_get(response, "error"));
    } else if (jread_string_is(type, "error")) {
        delta->is_error = true;
        delta->error = root.raw;
        delta->error_status = responses_error_status(
            is_set(jread_get(root, "error")) ? jread_get(root, "error") : root);
    } else if (jread_string_is(type, "response.created") ||
               jread_string_is(type, "response.in_progress") ||
               jread_string_is(type, "response.queued")) {
        take_names(&delta->names, response);
    } else if (jread_string_is(type, "response.output_item.added")) {
        delta->content = item_says(jread_get(root, "item"));
    } else if (ends_with(type, ".delta")) {
        delta->content = true;
        delta->output_bytes = usage_text_bytes(jread_get(root, "delta"));
    } else if (!jread_string_is(type, "response.content_part.added") &&
               !jread_string_is(type, "response.reasoning_summary_part.added")) {
        delta->content = true;
    }
}

static void answer_responses(struct jread_value root, struct usage_answer *answer)
{
    struct jread_value output = jread_get(root, "output");
    struct jread_value usage = jread_get(root, "usage");

    answer->has_error = is_set(jread_get(root, "error")) ||
                        jread_string_is(jread_get(root, "status"), "failed");
    answer->has_choices = output.type == JREAD_LIST;
    answer->output_bytes = usage_text_bytes(output);
    if (usage.type != JREAD_MAP)
        return;
    answer->usage = usage_read(usage);
    answer->usage_raw = usage.raw;
}

/* -- either ------------------------------------------------------------------------------ */

struct delta native_read(enum chat_shape shape, struct str data,
                         struct native_tally *tally)
{
    struct delta delta = { .valid = false };
    struct jread_value root, type;
    int64_t sequence;

    if (str_is(str_trim(data), "[DONE]")) /* some say so behind the last event */
        return (struct delta){ .valid = true };
    if (!jread_parse(data, JREAD_MAX_DEPTH, &root) || root.type != JREAD_MAP)
        return delta;
    type = jread_get(root, "type");
    if (type.type != JREAD_TEXT && is_set(jread_get(root, "error"))) {
        delta.valid = delta.is_error = true; /* as a chat would say it */
        delta.error = jread_get(root, "error").raw;
        delta.error_status = responses_error_status(jread_get(root, "error"));
        return delta;
    }
    if (type.type != JREAD_TEXT)
        return delta;
    delta.valid = true;
    if (shape == CHAT_NATIVE_MESSAGES)
        read_messages(root, type, tally, &delta);
    else
        read_responses(root, type, &delta);
    if (jread_integer(jread_get(root, "sequence_number"), &sequence))
        delta.sequence = sequence + 1;
    return delta;
}

bool native_answer(enum chat_shape shape, struct str body,
                   struct usage_answer *ret_answer)
{
    struct usage_answer answer = { .has_choices = false };
    struct jread_value root;

    if (!jread_parse(body, JREAD_MAX_DEPTH, &root) || root.type != JREAD_MAP)
        return false;
    take_names(&answer.names, root);
    if (shape == CHAT_NATIVE_MESSAGES)
        answer_messages(root, &answer);
    else
        answer_responses(root, &answer);
    *ret_answer = answer;
    return true;
}
