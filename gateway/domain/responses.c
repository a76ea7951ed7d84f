/* responses.c - a request of the Responses API becomes a chat completion request.
 *
 *   instructions                 the first message, role system
 *   input: a string              one user message
 *   input: messages              messages, parts in their order
 *   input: function_call         a call of an assistant's message, neighbours together
 *   input: function_call_output  a message of role tool
 *   input: reasoning             dropped: only the expert that thought it could use it
 */
#include "gateway/domain/responses.h"

#include "gateway/domain/retell.h"

static struct str inside(struct jread_value text)
{
    return (struct str){ text.raw.p + 1, text.raw.n - 2 };
}

static bool is_kind(struct jread_value item, const char *kind)
{
    return jread_string_is(jread_get(item, "type"), kind);
}

/* -- small members -- */

static void stream(struct retell *r, struct jread_value value)
{
    retell_raw(r, "stream", value);
    if (jread_is_true(value))
        jput_raw(&r->j, "stream_options", STR("{\"include_usage\":true}"));
}

static void max_output_tokens(struct retell *r, struct jread_value value)
{
    retell_raw(r, "max_tokens", value);
}

static void text(struct retell *r, struct jread_value value)
{
    struct jread_value format = jread_get(value, "format");

    retell_raw(r, "verbosity", jread_get(value, "verbosity"));
    if (!retell_set(format) || is_kind(format, "text"))
        return;
    if (is_kind(format, "json_schema"))
        retell_schema(r, jread_get(format, "name"), jread_get(format, "schema"),
                      jread_get(format, "strict"));
    else if (is_kind(format, "json_object"))
        jput_raw(&r->j, "response_format", STR("{\"type\":\"json_object\"}"));
    else
        retell_refuse_kind(r, "text.format", jread_get(format, "type"));
}

static void reasoning(struct retell *r, struct jread_value value)
{
    retell_raw(r, "reasoning_effort", jread_get(value, "effort"));
}

/* Encrypted reasoning is asked for by clients that keep no state; there is none to give. */
static void include(struct retell *r, struct jread_value value)
{
    struct jread_iter it = jread_iter(value);
    struct jread_value item;

    if (!retell_want(r, "include", value, JREAD_LIST))
        return;
    while (r->error->code == API_OK && jread_next_element(&it, &item)) {
        if (jread_string_is(item, "message.output_text.logprobs"))
            jput_bool(&r->j, "logprobs", true);
        else if (!jread_string_is(item, "reasoning.encrypted_content"))
            retell_refuse_kind(r, "include", item);
    }
}

static void top_logprobs(struct retell *r, struct jread_value value)
{
    retell_raw(r, "top_logprobs", value);
}

static void background(struct retell *r, struct jread_value value)
{
    if (jread_is_true(value))
        (void)api_error_set(r->error, API_UNSUPPORTED, "background",
                            "'background': answers are not kept, so none can be fetched");
}

static void stateful(struct retell *r, const char *param)
{
    if (r->gap != NULL)
        r->gap->stateful = true;
    retell_refuse(r, param,
                  "responses are not stored here: send the whole conversation in "
                  "'input', or name as 'model' an expert that speaks this API itself");
}

static void previous_response_id(struct retell *r, struct jread_value value)
{
    (void)value;
    stateful(r, "previous_response_id");
}

static void conversation(struct retell *r, struct jread_value value)
{
    (void)value;
    stateful(r, "conversation");
}

static void tools(struct retell *r, struct jread_value value)
{
    struct jread_iter it = jread_iter(value);
    struct jread_value tool;

    if (!retell_want(r, "tools", value, JREAD_LIST))
        return;
    jput_open(&r->j, "tools", '[');
    while (r->error->code == API_OK && jread_next_element(&it, &tool)) {
        if (is_kind(tool, "function"))
            retell_tool(r, tool, "parameters");
        else
            retell_refuse_kind(r, "tools", jread_get(tool, "type"));
    }
    jput_close(&r->j, ']');
}

static void tool_choice(struct retell *r, struct jread_value value)
{
    struct jread_value name = jread_get(value, "name");

    if (value.type == JREAD_TEXT) {
        retell_raw(r, "tool_choice", value);
    } else if (is_kind(value, "function") && name.type == JREAD_TEXT) {
        jput_open(&r->j, "tool_choice", '{');
        jput_text(&r->j, "type", "function");
        jput_open(&r->j, "function", '{');
        jput_raw(&r->j, "name", name.raw);
        jput_close(&r->j, '}');
        jput_close(&r->j, '}');
    } else {
        retell_refuse_kind(r, "tool_choice", jread_get(value, "type"));
    }
}

static void parallel_tool_calls(struct retell *r, struct jread_value value)
{
    retell_raw(r, "parallel_tool_calls", value);
}

static void user(struct retell *r, struct jread_value value)
{
    retell_raw(r, "user", value);
}

static void keep_input(struct retell *r, struct jread_value value)
{
    r->said = value;
}

static void keep_instructions(struct retell *r, struct jread_value value)
{
    r->before = value;
}

static const struct retell_rule rules[] = {
    { "model", RETELL_PASS, NULL },
    { "input", RETELL_DO, keep_input },
    { "instructions", RETELL_DO, keep_instructions },
    { "stream", RETELL_DO, stream },
    { "max_output_tokens", RETELL_DO, max_output_tokens },
    { "temperature", RETELL_PASS, NULL },
    { "top_p", RETELL_PASS, NULL },
    { "text", RETELL_DO, text },
    { "reasoning", RETELL_DO, reasoning },
    { "tools", RETELL_DO, tools },
    { "tool_choice", RETELL_DO, tool_choice },
    { "parallel_tool_calls", RETELL_DO, parallel_tool_calls },
    { "include", RETELL_DO, include },
    { "top_logprobs", RETELL_DO, top_logprobs },
    { "user", RETELL_DO, user },
    { "service_tier", RETELL_PASS, NULL },
    { "prompt_cache_key", RETELL_PASS, NULL },
    { "safety_identifier", RETELL_PASS, NULL },
    { "metadata", RETELL_DROP, NULL },
    { "store", RETELL_DROP, NULL },
    { "stream_options", RETELL_DROP, NULL },
    { "truncation", RETELL_DROP, NULL },
    { "max_tool_calls", RETELL_DROP, NULL },
    { "background", RETELL_DO, background },
    { "previous_response_id", RETELL_DO, previous_response_id },
    { "conversation", RETELL_DO, conversation },
    { "prompt", RETELL_REFUSE, NULL },
    { "context_management", RETELL_REFUSE, NULL },
    { "moderation", RETELL_REFUSE, NULL },
    { "frugal", RETELL_PASS, NULL },
};

/* -- what is said -- */

static void put_file(struct retell *r, struct jread_value part)
{
    struct jread_value data = jread_get(part, "file_data");
    struct jread_value name = jread_get(part, "filename");

    if (data.type != JREAD_TEXT) {
        retell_refuse(r, "input.content",
                      "a file must carry its bytes in 'file_data': experts have no "
                      "files of this gateway");
        return;
    }
    jput_open(&r->j, NULL, '{');
    jput_text(&r->j, "type", "file");
    jput_open(&r->j, "file", '{');
    retell_raw(r, "filename", name);
    jput_raw(&r->j, "file_data", data.raw);
    jput_close(&r->j, '}');
    jput_close(&r->j, '}');
}

static void put_part(struct retell *r, struct jread_value part)
{
    struct jread_value said = jread_get(part, "text");
    struct jread_value url = jread_get(part, "image_url");

    if (is_kind(part, "input_text") || is_kind(part, "output_text") ||
        is_kind(part, "text")) {
        if (retell_want(r, "input.content.text", said, JREAD_TEXT))
            retell_text_part(r, said);
    } else if (is_kind(part, "input_image")) {
        if (url.type == JREAD_TEXT)
            retell_image(r, inside(url), jread_get(part, "detail"));
        else
            retell_refuse(r, "input.content",
                          "an image must carry its 'image_url': experts have no files "
                          "of this gateway");
    } else if (is_kind(part, "input_file")) {
        put_file(r, part);
    } else if (is_kind(part, "input_audio")) {
        jput_raw(&r->j, NULL, part.raw);
    } else {
        retell_refuse_kind(r, "input.content", jread_get(part, "type"));
    }
}

/* An assistant's parts are texts and become one. */
static void put_said(struct retell *r, struct jread_value content)
{
    struct jread_iter it = jread_iter(content);
    struct retell_join join;
    struct jread_value part;

    retell_join_begin(r, "content", &join);
    while (r->error->code == API_OK && jread_next_element(&it, &part)) {
        struct jread_value said = jread_get(part, "text");

        if (is_kind(part, "refusal"))
            said = jread_get(part, "refusal");
        if (said.type == JREAD_TEXT)
            retell_join_add(r, &join, said);
        else
            retell_refuse_kind(r, "input.content", jread_get(part, "type"));
    }
    retell_join_end(r);
}

static void put_message(struct retell *r, struct jread_value item)
{
    struct jread_value role = jread_get(item, "role");
    struct jread_value content = jread_get(item, "content"), part;
    struct jread_iter it = jread_iter(content);

    if (!retell_want(r, "input.role", role, JREAD_TEXT))
        return;
    jput_open(&r->j, NULL, '{');
    jput_raw(&r->j, "role",
             jread_string_is(role, "developer") ? STR("\"system\"") : role.raw);
    if (content.type == JREAD_TEXT) {
        jput_raw(&r->j, "content", content.raw);
    } else if (retell_want(r, "input.content", content, JREAD_LIST)) {
        if (jread_string_is(role, "assistant")) {
            put_said(r, content);
        } else {
            jput_open(&r->j, "content", '[');
            while (r->error->code == API_OK && jread_next_element(&it, &part))
                put_part(r, part);
            jput_close(&r->j, ']');
        }
    }
    jput_close(&r->j, '}');
}

static void put_call(struct retell *r, struct jread_value item)
{
    struct jread_value id = jread_get(item, "call_id"), name = jread_get(item, "name");
    struct jread_value arguments = jread_get(item, "arguments");

    if (retell_want(r, "input.call_id", id, JREAD_TEXT) &&
        retell_want(r, "input.name", name, JREAD_TEXT) &&
        retell_want(r, "input.arguments", arguments, JREAD_TEXT))
        retell_call(r, id, name, arguments);
}

static void put_output(struct retell *r, struct jread_value item)
{
    struct jread_value id = jread_get(item, "call_id");
    struct jread_value output = jread_get(item, "output"), part;
    struct jread_iter it = jread_iter(output);
    struct retell_join join;

    if (!retell_want(r, "input.call_id", id, JREAD_TEXT))
        return;
    jput_open(&r->j, NULL, '{');
    jput_text(&r->j, "role", "tool");
    jput_raw(&r->j, "tool_call_id", id.raw);
    if (output.type == JREAD_TEXT) {
        jput_raw(&r->j, "content", output.raw);
    } else if (retell_want(r, "input.output", output, JREAD_LIST)) {
        retell_join_begin(r, "content", &join);
        while (r->error->code == API_OK && jread_next_element(&it, &part)) {
            struct jread_value said = jread_get(part, "text");

            if (said.type == JREAD_TEXT)
                retell_join_add(r, &join, said);
            else
                retell_refuse_kind(r, "input.output", jread_get(part, "type"));
        }
        retell_join_end(r);
    }
    jput_close(&r->j, '}');
}

static void put_item(struct retell *r, struct jread_value item)
{
    struct jread_value kind = jread_get(item, "type");

    if (!retell_want(r, "input", item, JREAD_MAP))
        return;
    if (jread_string_is(kind, "function_call")) {
        put_call(r, item);
        return;
    }
    if (jread_string_is(kind, "reasoning"))
        return;
    retell_calls_end(r);
    if (!retell_set(kind) || jread_string_is(kind, "message"))
        put_message(r, item);
    else if (jread_string_is(kind, "function_call_output"))
        put_output(r, item);
    else
        retell_refuse_kind(r, "input", kind);
}

static void put_spoken(struct retell *r, const char *role, struct jread_value said)
{
    jput_open(&r->j, NULL, '{');
    jput_text(&r->j, "role", role);
    jput_raw(&r->j, "content", said.raw);
    jput_close(&r->j, '}');
}

enum api_err responses_request(struct str body, struct buf *out, struct retell_gap *gap,
                               struct api_error *error)
{
    struct jread_value item;
    struct jread_iter it;
    struct retell r;
    bool any = false;

    retell_init(&r, "Responses", body, out, gap, error);
    retell_fields(&r, rules, ARRAY_LEN(rules));
    if (error->code != API_OK)
        return retell_end(&r);
    jput_open(&r.j, "messages", '[');
    r.in_messages = true;
    if (retell_set(r.before) && retell_want(&r, "instructions", r.before, JREAD_TEXT))
        put_spoken(&r, "system", r.before);
    if (r.said.type == JREAD_TEXT) {
        put_spoken(&r, "user", r.said);
    } else if (retell_want(&r, "input", r.said, JREAD_LIST)) {
        it = jread_iter(r.said);
        while (error->code == API_OK && jread_next_element(&it, &item)) {
            put_item(&r, item);
            any = true;
        }
        if (!any)
            (void)api_error_set(error, API_BAD_VALUE, "input",
                                "'input' must not be empty");
    }
    return retell_end(&r);
}

/* -- what is repeated -- */

void responses_echo(struct str body, struct buf *echo)
{
    static const struct {
        const char *key, *otherwise;
    } echoed[] = {
        { "instructions", "null" },
        { "max_output_tokens", "null" },
        { "metadata", "{}" },
        { "parallel_tool_calls", "true" },
        { "reasoning", "{\"effort\":null,\"summary\":null}" },
        { "temperature", "null" },
        { "text", "{\"format\":{\"type\":\"text\"}}" },
        { "tool_choice", "\"auto\"" },
        { "tools", "[]" },
        { "top_logprobs", "null" },
        { "top_p", "null" },
        { "user", "null" },
    };
    struct str values[ARRAY_LEN(echoed)] = { { 0 } };
    struct jread_iter it = jread_iter(jread_trusted(str_trim(body)));
    struct jread_value key, value;

    while (jread_next_member(&it, &key, &value))
        for (size_t i = 0; i < ARRAY_LEN(echoed); i++)
            if (value.type != JREAD_NULLS && jread_string_is(key, echoed[i].key))
                values[i] = value.raw;
    for (size_t i = 0; i < ARRAY_LEN(echoed); i++) {
        buf_put(echo, ",\"");
        buf_put(echo, echoed[i].key);
        buf_put(echo, "\":");
        jread_put_compact(values[i].n > 0 ? values[i] : str_of(echoed[i].otherwise),
                          echo);
    }
}
