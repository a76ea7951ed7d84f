/* messages.c - a request of the Messages API becomes a chat completion request.
 *
 *   system                      the first message, role system
 *   user: tool_result           a message of role tool, before what the user says
 *   user: text, image           one user message, parts in their order
 *   assistant: text, tool_use   one assistant message
 *   assistant: thinking         dropped: only the expert that thought it could use it
 */
#include "gateway/domain/messages.h"

#include "gateway/domain/retell.h"

static struct str inside(struct jread_value text)
{
    return (struct str){ text.raw.p + 1, text.raw.n - 2 };
}

static bool is_kind(struct jread_value block, const char *kind)
{
    return jread_string_is(jread_get(block, "type"), kind);
}

/* -- small members -- */

static void stop_sequences(struct retell *r, struct jread_value value)
{
    retell_raw(r, "stop", value);
}

static void metadata(struct retell *r, struct jread_value value)
{
    retell_raw(r, "user", jread_get(value, "user_id"));
}

static void stream(struct retell *r, struct jread_value value)
{
    retell_raw(r, "stream", value);
    if (jread_is_true(value))
        jput_raw(&r->j, "stream_options", STR("{\"include_usage\":true}"));
}

static void max_tokens(struct retell *r, struct jread_value value)
{
    r->limited = true;
    retell_raw(r, "max_tokens", value);
}

static void thinking(struct retell *r, struct jread_value value)
{
    if (!is_kind(value, "disabled"))
        retell_raw(r, "thinking", value);
}

static void output_config(struct retell *r, struct jread_value value)
{
    struct jread_iter it = jread_iter(value);
    struct jread_value key, item;

    while (jread_next_member(&it, &key, &item)) {
        if (!retell_set(item))
            continue;
        if (jread_string_is(key, "effort"))
            retell_raw(r, "reasoning_effort", item);
        else if (jread_string_is(key, "format") && is_kind(item, "json_schema"))
            retell_schema(r, jread_get(item, "name"), jread_get(item, "schema"),
                          jread_get(item, "strict"));
        else
            retell_refuse_kind(r, "output_config", key);
    }
}

static void tools(struct retell *r, struct jread_value value)
{
    struct jread_iter it = jread_iter(value);
    struct jread_value tool;

    if (!retell_want(r, "tools", value, JREAD_LIST))
        return;
    jput_open(&r->j, "tools", '[');
    while (r->error->code == API_OK && jread_next_element(&it, &tool)) {
        struct jread_value kind = jread_get(tool, "type");

        if (retell_set(kind) && !jread_string_is(kind, "custom"))
            retell_refuse_kind(r, "tools", kind);
        else
            retell_tool(r, tool, "input_schema");
    }
    jput_close(&r->j, ']');
}

static void tool_choice(struct retell *r, struct jread_value value)
{
    struct jread_value name = jread_get(value, "name");

    if (!retell_want(r, "tool_choice", value, JREAD_MAP))
        return;
    if (is_kind(value, "tool")) {
        if (!retell_want(r, "tool_choice.name", name, JREAD_TEXT))
            return;
        jput_open(&r->j, "tool_choice", '{');
        jput_text(&r->j, "type", "function");
        jput_open(&r->j, "function", '{');
        jput_raw(&r->j, "name", name.raw);
        jput_close(&r->j, '}');
        jput_close(&r->j, '}');
    } else if (is_kind(value, "any")) {
        jput_text(&r->j, "tool_choice", "required");
    } else if (is_kind(value, "auto")) {
        jput_text(&r->j, "tool_choice", "auto");
    } else if (is_kind(value, "none")) {
        jput_text(&r->j, "tool_choice", "none");
    } else {
        retell_refuse_kind(r, "tool_choice", jread_get(value, "type"));
    }
    if (jread_is_true(jread_get(value, "disable_parallel_tool_use")))
        jput_bool(&r->j, "parallel_tool_calls", false);
}

static void keep_messages(struct retell *r, struct jread_value value)
{
    r->said = value;
}

static void keep_system(struct retell *r, struct jread_value value)
{
    r->before = value;
}

static const struct retell_rule rules[] = {
    { "model", RETELL_PASS, NULL },
    { "max_tokens", RETELL_DO, max_tokens },
    { "messages", RETELL_DO, keep_messages },
    { "system", RETELL_DO, keep_system },
    { "stream", RETELL_DO, stream },
    { "stop_sequences", RETELL_DO, stop_sequences },
    { "metadata", RETELL_DO, metadata },
    { "temperature", RETELL_PASS, NULL },
    { "top_p", RETELL_PASS, NULL },
    { "top_k", RETELL_PASS, NULL },
    { "tools", RETELL_DO, tools },
    { "tool_choice", RETELL_DO, tool_choice },
    { "thinking", RETELL_DO, thinking },
    { "output_config", RETELL_DO, output_config },
    { "cache_control", RETELL_DROP, NULL },
    { "service_tier", RETELL_DROP, NULL },
    { "inference_geo", RETELL_REFUSE, NULL },
    { "speed", RETELL_REFUSE, NULL },
    { "container", RETELL_REFUSE, NULL },
    { "mcp_servers", RETELL_REFUSE, NULL },
    { "context_management", RETELL_REFUSE, NULL },
    { "diagnostics", RETELL_REFUSE, NULL },
    { "frugal", RETELL_PASS, NULL },
};

/* -- what is said -- */

/* Text blocks as one string; anything else is refused. */
static void put_texts(struct retell *r, const char *param, struct jread_value content)
{
    struct jread_iter it = jread_iter(content);
    struct retell_join join;
    struct jread_value block;

    if (content.type == JREAD_TEXT) {
        jput_raw(&r->j, "content", content.raw);
        return;
    }
    if (retell_set(content) && !retell_want(r, param, content, JREAD_LIST))
        return;
    retell_join_begin(r, "content", &join);
    while (r->error->code == API_OK && jread_next_element(&it, &block)) {
        struct jread_value text = jread_get(block, "text");

        if (!is_kind(block, "text"))
            retell_refuse_kind(r, param, jread_get(block, "type"));
        else if (retell_want(r, param, text, JREAD_TEXT))
            retell_join_add(r, &join, text);
    }
    retell_join_end(r);
}

static void put_system(struct retell *r, struct jread_value system)
{
    if (!retell_set(system))
        return;
    jput_open(&r->j, NULL, '{');
    jput_text(&r->j, "role", "system");
    put_texts(r, "system", system);
    jput_close(&r->j, '}');
}

static void put_image(struct retell *r, struct jread_value block)
{
    struct jread_value source = jread_get(block, "source");
    struct jread_value type = jread_get(source, "media_type");
    struct jread_value data = jread_get(source, "data"), url = jread_get(source, "url");
    struct jput *j = &r->j;

    if (is_kind(source, "url") && url.type == JREAD_TEXT) {
        retell_image(r, inside(url), (struct jread_value){ 0 });
    } else if (is_kind(source, "base64") && type.type == JREAD_TEXT &&
               data.type == JREAD_TEXT) {
        jput_open(j, NULL, '{');
        jput_text(j, "type", "image_url");
        jput_open(j, "image_url", '{');
        buf_put(j->out, "\"url\":\"data:");
        buf_put_str(j->out, inside(type));
        buf_put(j->out, ";base64,");
        buf_put_str(j->out, inside(data));
        buf_put(j->out, "\"}}");
        j->comma = true;
    } else {
        retell_refuse_kind(r, "messages.content.source", jread_get(source, "type"));
    }
}

/* A document of text is text; a file is passed to experts that take files. */
static void put_document(struct retell *r, struct jread_value block)
{
    struct jread_value source = jread_get(block, "source");
    struct jread_value data = jread_get(source, "data");
    struct jread_value type = jread_get(source, "media_type");
    struct jread_value title = jread_get(block, "title");
    struct jput *j = &r->j;

    if (is_kind(source, "text") && data.type == JREAD_TEXT) {
        retell_text_part(r, data);
    } else if (is_kind(source, "base64") && type.type == JREAD_TEXT &&
               data.type == JREAD_TEXT) {
        jput_open(j, NULL, '{');
        jput_text(j, "type", "file");
        jput_open(j, "file", '{');
        jput_raw(j, "filename",
                 title.type == JREAD_TEXT ? title.raw : STR("\"document\""));
        buf_put(j->out, ",\"file_data\":\"data:");
        buf_put_str(j->out, inside(type));
        buf_put(j->out, ";base64,");
        buf_put_str(j->out, inside(data));
        buf_put(j->out, "\"}}");
        j->comma = true;
    } else {
        retell_refuse_kind(r, "messages.content.source", jread_get(source, "type"));
    }
}

static void put_part(struct retell *r, struct jread_value block)
{
    struct jread_value text = jread_get(block, "text");

    if (is_kind(block, "text")) {
        if (retell_want(r, "messages.content.text", text, JREAD_TEXT))
            retell_text_part(r, text);
    } else if (is_kind(block, "image")) {
        put_image(r, block);
    } else if (is_kind(block, "document")) {
        put_document(r, block);
    } else {
        retell_refuse_kind(r, "messages.content", jread_get(block, "type"));
    }
}

/* A tool's message can only be text: its pictures follow in the user's. */
static void put_tool_result(struct retell *r, struct jread_value block)
{
    struct jread_value content = jread_get(block, "content"), part;
    struct jread_value id = jread_get(block, "tool_use_id");
    struct jread_iter it = jread_iter(content);
    struct retell_join join;

    if (!retell_want(r, "messages.content.tool_use_id", id, JREAD_TEXT))
        return;
    jput_open(&r->j, NULL, '{');
    jput_text(&r->j, "role", "tool");
    jput_raw(&r->j, "tool_call_id", id.raw);
    retell_join_begin(r, "content", &join);
    if (jread_is_true(jread_get(block, "is_error")))
        buf_put(r->j.out, "error: ");
    if (content.type == JREAD_TEXT)
        retell_join_add(r, &join, content);
    while (content.type == JREAD_LIST && r->error->code == API_OK &&
           jread_next_element(&it, &part)) {
        struct jread_value text = jread_get(part, "text");

        if (is_kind(part, "text") && text.type == JREAD_TEXT)
            retell_join_add(r, &join, text);
        else if (!is_kind(part, "image"))
            retell_refuse_kind(r, "messages.content.content", jread_get(part, "type"));
    }
    retell_join_end(r);
    jput_close(&r->j, '}');
}

static void put_images_of(struct retell *r, struct jread_value block)
{
    struct jread_value content = jread_get(block, "content"), part;
    struct jread_iter it = jread_iter(content);

    while (content.type == JREAD_LIST && r->error->code == API_OK &&
           jread_next_element(&it, &part))
        if (is_kind(part, "image"))
            put_image(r, part);
}

static bool has_image(struct jread_value block)
{
    struct jread_value content = jread_get(block, "content"), part;
    struct jread_iter it = jread_iter(content);

    while (content.type == JREAD_LIST && jread_next_element(&it, &part))
        if (is_kind(part, "image"))
            return true;
    return false;
}

static void put_user(struct retell *r, struct jread_value content)
{
    struct jread_iter it = jread_iter(content);
    struct jread_value block;
    bool says = false;

    while (r->error->code == API_OK && jread_next_element(&it, &block)) {
        if (is_kind(block, "tool_result"))
            put_tool_result(r, block);
        says = says || !is_kind(block, "tool_result") || has_image(block);
    }
    if (!says)
        return;
    jput_open(&r->j, NULL, '{');
    jput_text(&r->j, "role", "user");
    jput_open(&r->j, "content", '[');
    it = jread_iter(content);
    while (r->error->code == API_OK && jread_next_element(&it, &block)) {
        if (is_kind(block, "tool_result"))
            put_images_of(r, block);
        else
            put_part(r, block);
    }
    jput_close(&r->j, ']');
    jput_close(&r->j, '}');
}

static void put_assistant(struct retell *r, struct jread_value content)
{
    struct jread_iter it = jread_iter(content);
    struct retell_join join;
    struct jread_value block, text;
    bool calls = false;

    jput_open(&r->j, NULL, '{');
    jput_text(&r->j, "role", "assistant");
    retell_join_begin(r, "content", &join);
    while (r->error->code == API_OK && jread_next_element(&it, &block)) {
        text = jread_get(block, "text");
        if (is_kind(block, "text") && text.type == JREAD_TEXT)
            retell_join_add(r, &join, text);
        else if (is_kind(block, "tool_use"))
            calls = true;
        else if (!is_kind(block, "thinking") && !is_kind(block, "redacted_thinking"))
            retell_refuse_kind(r, "messages.content", jread_get(block, "type"));
    }
    retell_join_end(r);
    if (calls) {
        jput_open(&r->j, "tool_calls", '[');
        r->in_calls = true; /* the list is this message's own */
        it = jread_iter(content);
        while (r->error->code == API_OK && jread_next_element(&it, &block)) {
            struct jread_value id = jread_get(block, "id"),
                               name = jread_get(block, "name");

            if (is_kind(block, "tool_use") &&
                retell_want(r, "messages.content.id", id, JREAD_TEXT) &&
                retell_want(r, "messages.content.name", name, JREAD_TEXT))
                retell_call(r, id, name, jread_get(block, "input"));
        }
        retell_calls_end(r);
        return;
    }
    jput_close(&r->j, '}');
}

static void put_message(struct retell *r, struct jread_value message)
{
    struct jread_value role = jread_get(message, "role");
    struct jread_value content = jread_get(message, "content");
    bool known = jread_string_is(role, "user") || jread_string_is(role, "assistant") ||
                 jread_string_is(role, "system");

    if (!retell_want(r, "messages", message, JREAD_MAP) ||
        !retell_want(r, "messages.role", role, JREAD_TEXT))
        return;
    if (!known) {
        retell_refuse_kind(r, "messages.role", role);
    } else if (content.type == JREAD_TEXT || jread_string_is(role, "system")) {
        jput_open(&r->j, NULL, '{');
        jput_raw(&r->j, "role", role.raw);
        put_texts(r, "messages.content", content);
        jput_close(&r->j, '}');
    } else if (retell_want(r, "messages.content", content, JREAD_LIST)) {
        if (jread_string_is(role, "user"))
            put_user(r, content);
        else
            put_assistant(r, content);
    }
}

enum api_err messages_request(struct str body, struct buf *out, struct retell_gap *gap,
                              struct api_error *error)
{
    struct jread_value message;
    struct jread_iter it;
    struct retell r;
    bool any = false;

    retell_init(&r, "Messages", body, out, gap, error);
    retell_fields(&r, rules, ARRAY_LEN(rules));
    if (error->code == API_OK && !r.limited)
        (void)api_error_set(error, API_MISSING, "max_tokens", "'max_tokens' is missing");
    if (error->code == API_OK && retell_want(&r, "messages", r.said, JREAD_LIST)) {
        jput_open(&r.j, "messages", '[');
        r.in_messages = true;
        put_system(&r, r.before);
        it = jread_iter(r.said);
        while (error->code == API_OK && jread_next_element(&it, &message)) {
            put_message(&r, message);
            any = true;
        }
        if (!any)
            (void)api_error_set(error, API_BAD_VALUE, "messages",
                                "'messages' must not be empty");
    }
    return retell_end(&r);
}
