/* chat.c - checks what we read of a request; chat_splice.c writes it down for an expert. */
#include "gateway/domain/chat.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "gateway/domain/ability.h"
#include "gateway/domain/jread.h"

const char *chat_path(enum chat_shape shape)
{
    static const char *const paths[] = {
#define X(name, path) path,
        CHAT_SHAPES(X)
#undef X
    };

    return paths[shape];
}

const struct config_generator *chat_generator(const struct chat_request *chat,
                                              const struct config_expert *expert)
{
    return chat->shape == CHAT_INPUT ? &expert->embedder : &expert->generator;
}

/* -- who may be asked, and how -- */

static bool has_api(const struct config_expert *expert, enum config_api api)
{
    return expert->has_generator && (expert->generator.apis >> api & 1) != 0;
}

static bool speaks_natively(const struct chat_request *chat,
                            const struct config_expert *expert)
{
    if (chat->native == NULL)
        return false;
    return has_api(expert, chat->native->shape == CHAT_NATIVE_RESPONSES
                               ? CONFIG_API_RESPONSES
                               : CONFIG_API_MESSAGES);
}

bool chat_is_told(const struct chat_request *chat, const struct config_expert *expert)
{
    return chat->untold == NULL && has_api(expert, CONFIG_API_CHAT);
}

bool chat_speaks(const struct chat_request *chat, const struct config_expert *expert)
{
    switch (chat->shape) {
    case CHAT_INPUT:
        return expert->has_embedding;
    case CHAT_PROMPT:
        return has_api(expert, CONFIG_API_COMPLETIONS);
    case CHAT_MESSAGES:
        return speaks_natively(chat, expert) || chat_is_told(chat, expert);
    case CHAT_NATIVE_RESPONSES:
    case CHAT_NATIVE_MESSAGES:
        break;
    }
    return false;
}

const struct chat_request *chat_form(const struct chat_request *chat,
                                     const struct config_expert *expert)
{
    return speaks_natively(chat, expert) ? chat->native : chat;
}

/* -- reading -- */

struct reader {
    const struct scan *scan;
    struct str body;
    struct api_error *error;
};

static struct jread_value field(const struct reader *r, enum scan_field name)
{
    return jread_trusted(scan_raw(r->scan, name, r->body));
}

static bool is_set(struct jread_value value)
{
    return value.type != JREAD_NOTHING && value.type != JREAD_NULLS;
}

static enum api_err bad_type(const struct reader *r, const char *param,
                             const char *wanted, struct jread_value value)
{
    return api_error_set(r->error, API_BAD_TYPE, param, "'%s' must be %s, not %s", param,
                         wanted, jread_type_name(value.type));
}

static enum api_err read_model(const struct reader *r, struct arena *arena,
                               struct str *ret_model)
{
    struct jread_value value = field(r, SCAN_MODEL);
    struct str model;

    if (!is_set(value))
        return api_error_set(r->error, API_MISSING, "model", "'model' is missing");
    if (value.type != JREAD_TEXT)
        return bad_type(r, "model", "a string", value);
    if (jread_string(value, arena, &model) != ERR_OK)
        return api_error_set(r->error, API_NOMEM, NULL, NULL);
    if (model.n == 0 || model.n > CHAT_MAX_MODEL)
        return api_error_set(r->error, API_BAD_VALUE, "model",
                             "'model' must have 1 to %d bytes", CHAT_MAX_MODEL);
    *ret_model = model;
    return API_OK;
}

static enum api_err read_bool(const struct reader *r, const char *param,
                              struct jread_value value, bool *ret_value)
{
    if (is_set(value) && value.type != JREAD_BOOL)
        return bad_type(r, param, "a boolean", value);
    *ret_value = jread_is_true(value);
    return API_OK;
}

/* An absent or null number leaves *value as it is. */
static enum api_err read_count(const struct reader *r, enum scan_field name, int64_t max,
                               int64_t *value)
{
    struct jread_value raw = field(r, name);
    const char *param = scan_field_key(name);
    int64_t number;

    if (!is_set(raw))
        return API_OK;
    if (raw.type != JREAD_NUMBER)
        return bad_type(r, param, "an integer", raw);
    if (!jread_integer(raw, &number) || number < 1 || number > max)
        return api_error_set(r->error, API_BAD_VALUE, param,
                             "'%s' must be an integer from 1 to %" PRId64, param, max);
    *value = number;
    return API_OK;
}

static enum api_err read_stream(const struct reader *r, struct chat_request *chat)
{
    struct jread_value options = field(r, SCAN_STREAM_OPTIONS);
    enum api_err err = read_bool(r, "stream", field(r, SCAN_STREAM), &chat->stream);

    if (err != API_OK)
        return err;
    if (is_set(options) && options.type != JREAD_MAP)
        return bad_type(r, "stream_options", "an object", options);
    return read_bool(r, "stream_options.include_usage",
                     jread_get(options, "include_usage"), &chat->include_usage);
}

static enum api_err read_messages(const struct reader *r, struct chat_request *chat)
{
    struct jread_value messages = field(r, SCAN_MESSAGES);

    if (!is_set(messages))
        return api_error_set(r->error, API_MISSING, "messages", "'messages' is missing");
    if (messages.type != JREAD_LIST)
        return bad_type(r, "messages", "an array", messages);
    if (r->scan->n_messages == 0)
        return api_error_set(r->error, API_BAD_VALUE, "messages",
                             "'messages' must not be empty");
    if (r->scan->n_bad_messages > 0)
        return api_error_set(r->error, API_BAD_TYPE, "messages",
                             "every element of 'messages' must be an object");
    chat->n_messages = r->scan->n_messages;
    return API_OK;
}

/* Elements of a list that are prompts of their own: numbers are the tokens of one. */
static size_t count_prompts(struct jread_value value)
{
    struct jread_iter it = jread_iter(value);
    struct jread_value element;
    size_t n = 0;

    if (value.type != JREAD_LIST)
        return 1;
    while (jread_next_element(&it, &element)) {
        if (n == 0 && element.type == JREAD_NUMBER)
            return 1;
        n++;
    }
    return n;
}

static enum api_err read_prompt(const struct reader *r, enum scan_field name,
                                struct chat_request *chat)
{
    struct jread_value value = field(r, name);
    const char *param = scan_field_key(name);

    if (!is_set(value))
        return api_error_set(r->error, API_MISSING, param, "'%s' is missing", param);
    if (value.type != JREAD_TEXT && value.type != JREAD_LIST)
        return bad_type(r, param, "a string or an array", value);
    chat->n_messages = count_prompts(value);
    if (chat->n_messages == 0)
        return api_error_set(r->error, API_BAD_VALUE, param, "'%s' must not be empty",
                             param);
    return API_OK;
}

static enum api_err read_asked(const struct reader *r, struct chat_request *chat)
{
    switch (chat->shape) {
    case CHAT_PROMPT:
        return read_prompt(r, SCAN_PROMPT, chat);
    case CHAT_INPUT:
        return read_prompt(r, SCAN_INPUT, chat);
    default:
        break;
    }
    return read_messages(r, chat);
}

static enum api_err read_limits(const struct reader *r, struct chat_request *chat)
{
    static const enum scan_field names[] = { SCAN_MAX_TOKENS,
                                             SCAN_MAX_COMPLETION_TOKENS };
    enum api_err err = API_OK;

    chat->n = 1;
    err = read_count(r, SCAN_N, CHAT_MAX_N, &chat->n);
    for (size_t i = 0; i < ARRAY_LEN(names) && err == API_OK; i++) {
        int64_t limit = 0;

        err = read_count(r, names[i], INT32_MAX, &limit);
        if (limit > 0 && (chat->output_limit == 0 || limit < chat->output_limit))
            chat->output_limit = limit;
    }
    return err;
}

static size_t bytes_of(const struct reader *r, const enum scan_field *parts, size_t n)
{
    size_t bytes = 0;

    for (size_t i = 0; i < n; i++)
        bytes += field(r, parts[i]).raw.n;
    return bytes;
}

static void count_prompt(const struct reader *r, struct chat_request *chat)
{
    static const enum scan_field plain[] = { SCAN_MESSAGES, SCAN_DOCUMENTS };
    static const enum scan_field tools[] = { SCAN_TOOLS, SCAN_FUNCTIONS, SCAN_TOOL_CHOICE,
                                             SCAN_RESPONSE_FORMAT };
    static const enum scan_field prompt[] = { SCAN_PROMPT, SCAN_SUFFIX,
                                              SCAN_RESPONSE_FORMAT };
    static const enum scan_field input[] = { SCAN_INPUT };

    if (chat->shape == CHAT_PROMPT) {
        chat->prompt_bytes = bytes_of(r, prompt, ARRAY_LEN(prompt));
        return;
    }
    if (chat->shape == CHAT_INPUT) {
        chat->prompt_bytes = bytes_of(r, input, ARRAY_LEN(input));
        return;
    }
    chat->message_bytes = field(r, SCAN_MESSAGES).raw.n;
    chat->tools_bytes = bytes_of(r, tools, ARRAY_LEN(tools));
    chat->prompt_bytes = chat->tools_bytes + bytes_of(r, plain, ARRAY_LEN(plain));
    assert(r->scan->media_bytes <= chat->prompt_bytes);
    chat->prompt_bytes -= r->scan->media_bytes;
    chat->n_images = r->scan->n_images;
    chat->n_other_media = r->scan->n_other_media;
}

/* An input is no more than that: the other members are the expert's alone. */
static enum api_err read_wishes(const struct reader *r, struct chat_request *chat)
{
    enum api_err err;

    chat->n = 1;
    if (chat->shape == CHAT_INPUT)
        return API_OK;
    err = read_stream(r, chat);
    if (err == API_OK)
        err = read_limits(r, chat);
    if (err == API_OK && chat->shape == CHAT_PROMPT)
        chat->n = (int64_t)chat->n_messages * chat->n; /* a choice for each prompt */
    return err;
}

enum api_err chat_parse(struct chat_request *chat, const struct scan *scan,
                        struct str body, struct arena *arena, struct api_error *error)
{
    return chat_parse_as(chat, CHAT_MESSAGES, scan, body, arena, error);
}

enum api_err chat_parse_as(struct chat_request *chat, enum chat_shape shape,
                           const struct scan *scan, struct str body, struct arena *arena,
                           struct api_error *error)
{
    struct reader r = { scan, body, error };
    struct chat_request read = { .shape = shape, .body = body, .scan = scan };
    struct jread_value frugal = field(&r, SCAN_FRUGAL);
    struct jread_value tools = field(&r, SCAN_TOOLS);
    enum api_err err;

    assert(scan->error == SCAN_OK && scan->bytes == body.n);
    err = read_model(&r, arena, &read.model);
    if (err == API_OK)
        err = read_asked(&r, &read);
    if (err == API_OK)
        err = read_wishes(&r, &read);
    if (err == API_OK && is_set(tools) && tools.type != JREAD_LIST)
        err = bad_type(&r, "tools", "an array", tools);
    if (err == API_OK && is_set(frugal) && frugal.type != JREAD_MAP)
        err = bad_type(&r, "frugal", "an object", frugal);
    if (err != API_OK)
        return err;
    if (is_set(frugal))
        read.frugal = frugal.raw;
    count_prompt(&r, &read);
    read.needs = ability_needs(&read);
    *chat = read;
    return API_OK;
}

enum api_err chat_scan_error(const struct scan *scan, struct api_error *error)
{
    const char *text = scan_err_text(scan->error);
    const char *key;

    switch (scan->error) {
    case SCAN_OK:
        return API_OK;
    case SCAN_NOT_UTF8:
        return api_error_set(error, API_BAD_UTF8, NULL, "the body is %s at byte %zu",
                             text, scan->error_offset);
    case SCAN_TOO_DEEP:
        return api_error_set(error, API_TOO_DEEP, NULL,
                             "the body is nested deeper than %d levels at byte %zu",
                             scan->max_depth, scan->error_offset);
    case SCAN_DUPLICATE:
        key = scan_field_key(scan->error_field);
        return api_error_set(error, API_DUPLICATE_KEY, key, "the key '%s' occurs twice",
                             key);
    case SCAN_NOT_OBJECT:
        return api_error_set(error, API_BAD_JSON, NULL, "%s", text);
    case SCAN_TRUNCATED:
        return api_error_set(error, API_BAD_JSON, NULL,
                             "the body is not valid JSON: it ends at byte %zu",
                             scan->error_offset);
    case SCAN_MALFORMED:
        break;
    }
    return api_error_set(error, API_BAD_JSON, NULL, "the body is %s at byte %zu", text,
                         scan->error_offset);
}
