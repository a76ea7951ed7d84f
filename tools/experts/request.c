/* request.c - reads a request body; see request.h. */
#include "tools/experts/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/domain/jread.h"
#include "tools/experts/embed.h"
#include "tools/experts/tokens.h"

enum { TOKENS_PER_MESSAGE = 3, TOKENS_OF_FRAME = 3 };

void request_init(struct request *request)
{
    memset(request, 0, sizeof *request);
    script_init(&request->script);
    request->max_tokens = -1;
    request->choices = 1;
}

void request_release(struct request *request)
{
    for (size_t t = 0; t < request->n_texts; t++)
        buf_release(&request->texts[t]);
    free(request->texts);
    request->texts = NULL;
    request->n_texts = 0;
}

__attribute__((format(printf, 5, 6))) static int refuse(struct request_error *error,
                                                        int status, const char *code,
                                                        const char *param,
                                                        const char *form, ...)
{
    error->status = status;
    error->code = code;
    error->param = param;
    va_list args;
    va_start(args, form);
    (void)vsnprintf(error->message, sizeof error->message, form, args);
    va_end(args);
    return status;
}

static int out_of_memory(struct request_error *error)
{
    return refuse(error, 500, NULL, NULL, "out of memory");
}

/* The members that matter, of all APIs alike. */
#define FIELDS(X)                                                                        \
    X(model)                                                                             \
    X(messages)                                                                          \
    X(stream)                                                                            \
    X(stream_options)                                                                    \
    X(temperature)                                                                       \
    X(max_tokens)                                                                        \
    X(max_completion_tokens)                                                             \
    X(max_output_tokens)                                                                 \
    X(n)                                                                                 \
    X(tools)                                                                             \
    X(input)                                                                             \
    X(prompt)                                                                            \
    X(system)                                                                            \
    X(instructions)                                                                      \
    X(encoding_format)

static const struct jread_value nothing = { JREAD_NOTHING, { NULL, 0 } };

struct fields {
#define X(name) struct jread_value name;
    FIELDS(X)
#undef X
};

static const struct fields no_fields; /* all of them JREAD_NOTHING */

static int read_fields(struct str body, struct fields *ret_fields,
                       struct request_error *error)
{
    struct jread_value root = nothing, key = nothing, value = nothing;
    if (!str_is_utf8(body) || !jread_parse(body, JREAD_MAX_DEPTH, &root) ||
        root.type != JREAD_MAP)
        return refuse(error, 400, NULL, NULL, "the body is not a JSON object");
    struct jread_iter it = jread_iter(root);
    while (jread_next_member(&it, &key, &value)) {
#define X(name)                                                                          \
    if (jread_string_is(key, #name))                                                     \
        ret_fields->name = value;
        FIELDS(X)
#undef X
    }
    return 0;
}

/* Unescaped and terminated; false when it is no string or does not fit. */
static bool read_name(struct jread_value value, char *ret_name, size_t bytes)
{
    struct buf name;
    buf_init(&name, bytes);
    bool fits = false;
    if (value.type == JREAD_TEXT) {
        (void)jread_put_string(value, bytes, &name);
        fits = !name.failed && name.n < bytes;
    }
    if (fits && name.n > 0)
        memcpy(ret_name, name.p, name.n);
    if (fits)
        ret_name[name.n] = 0;
    buf_release(&name);
    return fits;
}

static int read_model(struct request *request, const struct fields *fields,
                      struct request_error *error)
{
    char *model = request->model;
    if (!read_name(fields->model, model, sizeof request->model))
        return refuse(error, 400, NULL, "model",
                      "'model' must be a string of less than %d "
                      "bytes",
                      REQUEST_MODEL_BYTES);
    const char *known = aliases_find(request->aliases, model);
    if (script_named(known)) {
        char text[REQUEST_MODEL_BYTES + 64];
        if (script_parse(known, &request->script, text, sizeof text) != NULL)
            return refuse(error, 400, NULL, "model", "%s", text);
        return 0;
    }
    const bool embeddings = request->api == REQUEST_EMBEDDINGS;
    if (embeddings && strcmp(known, EMBED_MODEL) == 0)
        return 0;
    if (!embeddings)
        request->expert = expert_find(known, strlen(known));
    if (request->expert != NULL)
        return 0;
    return refuse(error, 404, "model_not_found", "model", "no model '%s' here", model);
}

static int make_texts(struct request *request, size_t n, size_t most_bytes,
                      struct request_error *error)
{
    request->texts = calloc(n, sizeof *request->texts);
    if (request->texts == NULL)
        return out_of_memory(error);
    request->n_texts = n;
    for (size_t t = 0; t < n; t++)
        buf_init(&request->texts[t], most_bytes);
    return 0;
}

static int add_text(struct request *request, struct buf *text, struct jread_value value,
                    struct request_error *error)
{
    size_t before = text->n;
    (void)jread_put_string(value, SIZE_MAX, text);
    if (text->failed)
        return out_of_memory(error);
    if (text->n > before)
        request->prompt_tokens += tokens_count(text->p + before, text->n - before);
    return 0;
}

/* A message's content is a string, or parts of which the text ones count. */
static int add_content(struct request *request, struct buf *text,
                       struct jread_value content, struct request_error *error)
{
    if (content.type == JREAD_TEXT)
        return add_text(request, text, content, error);
    struct jread_iter it = jread_iter(content);
    struct jread_value part = nothing;
    int failed = 0;
    while (failed == 0 && content.type == JREAD_LIST && jread_next_element(&it, &part)) {
        struct jread_value words = jread_get(part, "text");
        if (words.type == JREAD_TEXT)
            failed = add_text(request, text, words, error);
    }
    return failed;
}

/* What is said to the model beside the messages: counted, and answered by nobody. */
static int count_text(struct request *request, struct jread_value said, size_t most_bytes,
                      struct request_error *error)
{
    struct buf other;
    buf_init(&other, most_bytes);
    int failed = add_content(request, &other, said, error);
    buf_release(&other);
    return failed;
}

/* All messages are counted, the last one of the user is kept; without one, the last. */
static int read_messages(struct request *request, struct jread_value messages,
                         const char *name, size_t most_bytes, struct request_error *error)
{
    int failed = make_texts(request, 1, most_bytes, error);
    struct jread_iter it = jread_iter(messages);
    struct jread_value message = nothing;
    bool asked = false;
    size_t n = 0;
    while (failed == 0 && messages.type == JREAD_LIST &&
           jread_next_element(&it, &message)) {
        bool user = jread_string_is(jread_get(message, "role"), "user");
        bool keep = user || !asked;
        struct jread_value content = jread_get(message, "content");
        asked = asked || user;
        n++;
        request->prompt_tokens += TOKENS_PER_MESSAGE;
        if (keep)
            buf_clear(&request->texts[0]);
        failed = keep ? add_content(request, &request->texts[0], content, error)
                      : count_text(request, content, most_bytes, error);
    }
    if (failed == 0 && n == 0)
        failed = refuse(error, 400, NULL, name, "'%s' must be a list of messages", name);
    return failed;
}

/* One text, or several of which scripts answer each and experts the first. */
static int read_prompts(struct request *request, struct jread_value prompt,
                        size_t most_bytes, struct request_error *error)
{
    int failed = make_texts(request, 1, most_bytes, error);
    struct jread_iter it = jread_iter(prompt);
    struct jread_value text = nothing;
    int n = 0;
    if (prompt.type == JREAD_TEXT)
        return failed != 0 ? failed
                           : add_text(request, &request->texts[0], prompt, error);
    while (failed == 0 && prompt.type == JREAD_LIST && jread_next_element(&it, &text)) {
        if (text.type != JREAD_TEXT)
            return refuse(error, 400, NULL, "prompt", "'prompt' must hold strings");
        failed = n++ == 0 ? add_text(request, &request->texts[0], text, error)
                          : count_text(request, text, most_bytes, error);
    }
    if (failed == 0 && (n == 0 || (n > 1 && request->expert != NULL)))
        failed = refuse(error, 400, NULL, "prompt",
                        "'prompt' must be a string, or a list of one");
    request->choices *= n;
    return failed;
}

static int read_asked(struct request *request, const struct fields *fields,
                      size_t most_bytes, struct request_error *error)
{
    struct jread_value beside = nothing;
    int failed = 0;
    if (request->api == REQUEST_COMPLETIONS)
        return read_prompts(request, fields->prompt, most_bytes, error);
    request->prompt_tokens = TOKENS_OF_FRAME;
    if (request->api == REQUEST_MESSAGES)
        beside = fields->system;
    if (request->api == REQUEST_RESPONSES)
        beside = fields->instructions;
    failed = count_text(request, beside, most_bytes, error);
    if (failed != 0)
        return failed;
    if (request->api != REQUEST_RESPONSES)
        return read_messages(request, fields->messages, "messages", most_bytes, error);
    if (fields->input.type != JREAD_TEXT)
        return read_messages(request, fields->input, "input", most_bytes, error);
    failed = make_texts(request, 1, most_bytes, error);
    return failed != 0 ? failed
                       : add_text(request, &request->texts[0], fields->input, error);
}

static int read_whole(struct jread_value value, const char *name, int64_t most,
                      int64_t *ret_value, struct request_error *error)
{
    int64_t whole = 0;
    if (value.type == JREAD_NOTHING || value.type == JREAD_NULLS)
        return 0;
    if (!jread_integer(value, &whole) || whole < 1 || whole > most)
        return refuse(error, 400, NULL, name,
                      "'%s' must be a whole number from 1 to %lld", name,
                      (long long)most);
    *ret_value = whole;
    return 0;
}

/* What OpenAI's reasoning models say of members that they do not take. */
static int refuse_member(const struct fields *fields, struct request_error *error)
{
    double temperature = 1;
    if (fields->max_tokens.type != JREAD_NOTHING)
        return refuse(error, 400, "unsupported_parameter", "max_tokens",
                      "Unsupported parameter: 'max_tokens' is not supported with this "
                      "model. Use 'max_completion_tokens' instead.");
    if (jread_double(fields->temperature, &temperature) && temperature != 1)
        return refuse(error, 400, "unsupported_value", "temperature",
                      "Unsupported value: 'temperature' does not support %g with this "
                      "model. Only the default (1) value is supported.",
                      temperature);
    return 0;
}

static int read_limits(struct request *request, const struct fields *fields,
                       struct request_error *error)
{
    int64_t old_limit = INT64_MAX, limit = INT64_MAX, choices = 1;
    if (request->api == REQUEST_RESPONSES || request->api == REQUEST_MESSAGES) {
        const bool responses = request->api == REQUEST_RESPONSES;
        request->choices = 1;
        return read_whole(responses ? fields->max_output_tokens : fields->max_tokens,
                          responses ? "max_output_tokens" : "max_tokens", INT64_MAX,
                          &request->max_tokens, error);
    }
    int failed =
        read_whole(fields->max_tokens, "max_tokens", INT64_MAX, &old_limit, error);
    if (failed == 0)
        failed = read_whole(fields->max_completion_tokens, "max_completion_tokens",
                            INT64_MAX, &limit, error);
    if (failed == 0)
        failed = read_whole(fields->n, "n", REQUEST_CHOICES, &choices, error);
    if (failed != 0)
        return failed;
    limit = old_limit < limit ? old_limit : limit;
    request->max_tokens = limit < INT64_MAX ? limit : -1;
    request->choices = (int)choices;
    return 0;
}

static void read_tool(struct request *request, struct jread_value tools)
{
    struct jread_value tool = nothing;
    struct jread_iter it = jread_iter(tools);
    bool has_tool = tools.type == JREAD_LIST && jread_next_element(&it, &tool);
    if (request->api == REQUEST_CHAT)
        tool = jread_get(tool, "function");
    if (!has_tool ||
        !read_name(jread_get(tool, "name"), request->tool, sizeof request->tool))
        request->tool[0] = 0;
}

static int read_generation(struct request *request, const struct fields *fields,
                           size_t bytes, struct request_error *error)
{
    int failed = request->script.reasoner != 0 && request->api == REQUEST_CHAT
                     ? refuse_member(fields, error)
                     : 0;
    if (failed == 0)
        failed = read_limits(request, fields, error);
    if (failed == 0)
        failed = read_asked(request, fields, bytes, error);
    if (failed != 0)
        return failed;
    request->stream = jread_is_true(fields->stream);
    request->include_usage =
        jread_is_true(jread_get(fields->stream_options, "include_usage"));
    read_tool(request, fields->tools);
    if (request->api == REQUEST_COMPLETIONS)
        request->script.reasoning = request->script.tool_calls = 0;
    return 0;
}

static size_t count_inputs(struct jread_value input)
{
    struct jread_value each = nothing;
    struct jread_iter it = jread_iter(input);
    size_t n = input.type == JREAD_TEXT ? 1 : 0;
    while (input.type == JREAD_LIST && jread_next_element(&it, &each))
        n++;
    return n;
}

static int read_inputs(struct request *request, const struct fields *fields, size_t bytes,
                       struct request_error *error)
{
    size_t n = count_inputs(fields->input);
    if (n == 0 || n > REQUEST_TEXTS)
        return refuse(error, 400, NULL, "input",
                      "'input' must be a string or 1 to %d strings", REQUEST_TEXTS);
    int failed = make_texts(request, n, bytes, error);
    struct jread_value text = fields->input;
    struct jread_iter it = jread_iter(fields->input);
    for (size_t i = 0; i < n && failed == 0; i++) {
        bool next = fields->input.type == JREAD_TEXT || jread_next_element(&it, &text);
        if (!next || text.type != JREAD_TEXT)
            return refuse(error, 400, NULL, "input", "'input' must hold strings");
        failed = add_text(request, &request->texts[i], text, error);
    }
    request->base64 = jread_string_is(fields->encoding_format, "base64");
    return failed;
}

int request_read(struct request *request, enum request_api api, const char *body,
                 size_t bytes, struct request_error *ret_error)
{
    struct fields fields = no_fields;
    request->api = api;
    int failed = read_fields((struct str){ body, bytes }, &fields, ret_error);
    if (failed == 0)
        failed = read_model(request, &fields, ret_error);
    if (failed != 0)
        return failed;
    return api == REQUEST_EMBEDDINGS
               ? read_inputs(request, &fields, bytes, ret_error)
               : read_generation(request, &fields, bytes, ret_error);
}
