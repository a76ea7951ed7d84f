/* retell.c - what the translations of requests have in common. */
#include "gateway/domain/retell.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void retell_init(struct retell *r, const char *api, struct str body, struct buf *out,
                 struct retell_gap *gap, struct api_error *error)
{
    char *room;

    *r = (struct retell){
        .root = jread_trusted(str_trim(body)), .error = error, .gap = gap, .api = api
    };
    /* All at once: a body of megabytes is mostly copied. Without it the copy grows. */
    (void)!buf_room(out, body.n + body.n / 8, &room);
    jput_init(&r->j, out);
    jput_open(&r->j, NULL, '{');
}

bool retell_set(struct jread_value value)
{
    return value.type != JREAD_NOTHING && value.type != JREAD_NULLS;
}

bool retell_want(struct retell *r, const char *param, struct jread_value value,
                 enum jread_type type)
{
    static const char *const wanted[] = {
        [JREAD_BOOL] = "a boolean", [JREAD_NUMBER] = "a number",
        [JREAD_TEXT] = "a string",  [JREAD_LIST] = "an array",
        [JREAD_MAP] = "an object",
    };

    if (value.type == type)
        return true;
    if (value.type == JREAD_NOTHING)
        (void)api_error_set(r->error, API_MISSING, param, "'%s' is missing", param);
    else
        (void)api_error_set(r->error, API_BAD_TYPE, param, "'%s' must be %s, not %s",
                            param, wanted[type], jread_type_name(value.type));
    return false;
}

void retell_refuse(struct retell *r, const char *param, const char *format, ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)api_error_set(r->gap != NULL ? &r->gap->error : r->error, API_UNSUPPORTED,
                        param, "'%s': %s", param, text);
}

void retell_refuse_kind(struct retell *r, const char *param, struct jread_value kind)
{
    struct str name = kind.raw;

    if (kind.type == JREAD_TEXT)
        name = str_clip_utf8((struct str){ name.p + 1, name.n - 2 }, 60);
    else
        name = str_of(jread_type_name(kind.type));
    retell_refuse(r, param,
                  "'" STR_FMT "' cannot be translated for experts that speak chat "
                  "completions",
                  STR_ARG(name));
}

/* -- fields -- */

/* What translations write: an unknown member of that name would be there twice. */
static bool is_written(struct jread_value key)
{
    static const char *const names[] = {
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "stream_options",
        "user",
        "tools",
        "tool_choice",
        "functions",
        "function_call",
        "parallel_tool_calls",
        "reasoning_effort",
        "response_format",
        "logprobs",
        "top_logprobs",
        "n",
        "best_of",
        "verbosity",
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (jread_string_is(key, names[i]))
            return true;
    return false;
}

static void refuse_member(struct retell *r, struct jread_value key, const char *why)
{
    char param[64];
    struct str name =
        str_clip_utf8((struct str){ key.raw.p + 1, key.raw.n - 2 }, sizeof param - 1);

    memcpy(param, name.p, name.n);
    param[name.n] = '\0';
    retell_refuse(r, param, "%s", why);
}

static void pass(struct retell *r, struct jread_value key, struct jread_value value)
{
    struct buf *out = r->j.out;

    buf_put(out, r->j.comma ? "," : "");
    buf_put_str(out, key.raw);
    buf_put(out, ":");
    buf_put_str(out, value.raw);
    r->j.comma = true;
}

static void apply(struct retell *r, const struct retell_rule *rule,
                  struct jread_value key, struct jread_value value)
{
    if (rule == NULL && is_written(key)) {
        refuse_member(r, key, "this API has no such parameter");
        return;
    }
    switch (rule != NULL ? rule->way : RETELL_PASS) {
    case RETELL_PASS:
        pass(r, key, value);
        break;
    case RETELL_DROP:
        break;
    case RETELL_REFUSE:
        refuse_member(r, key,
                      "it cannot be translated for experts that speak chat completions");
        break;
    case RETELL_DO:
        rule->translate(r, value);
        break;
    }
}

/* A member that occurs twice would be told twice. Ours are few and the scan has refused those
 * it knows; here every name of the rules counts. */
void retell_fields(struct retell *r, const struct retell_rule *rules, size_t n)
{
    struct jread_iter it = jread_iter(r->root);
    struct jread_value key, value;
    uint64_t seen = 0;

    assert(n <= 64);
    while (r->error->code == API_OK && jread_next_member(&it, &key, &value)) {
        const struct retell_rule *rule = NULL;

        for (size_t i = 0; i < n && rule == NULL; i++) {
            if (!jread_string_is(key, rules[i].key))
                continue;
            rule = &rules[i];
            if ((seen >> i & 1) != 0)
                (void)api_error_set(r->error, API_DUPLICATE_KEY, rule->key,
                                    "the key '%s' occurs twice", rule->key);
            seen |= UINT64_C(1) << i;
        }
        if (value.type != JREAD_NULLS)
            apply(r, rule, key, value);
    }
}

enum api_err retell_end(struct retell *r)
{
    retell_calls_end(r);
    if (r->in_messages) {
        if (r->gap != NULL && !r->j.comma) /* all that was said is left out */
            buf_put(r->j.out, "{\"role\":\"user\",\"content\":\"\"}");
        jput_close(&r->j, ']');
    }
    jput_close(&r->j, '}');
    if (r->error->code == API_OK && r->j.out->failed)
        (void)api_error_set(r->error, API_TOO_LARGE, NULL,
                            "the body is too large when written as a chat completion");
    return r->error->code;
}

/* -- pieces -- */

void retell_raw(struct retell *r, const char *key, struct jread_value value)
{
    if (retell_set(value))
        jput_raw(&r->j, key, value.raw);
}

void retell_tool(struct retell *r, struct jread_value tool, const char *parameters)
{
    struct jread_value name = jread_get(tool, "name");

    if (!retell_want(r, "tools.name", name, JREAD_TEXT))
        return;
    jput_open(&r->j, NULL, '{');
    jput_text(&r->j, "type", "function");
    jput_open(&r->j, "function", '{');
    retell_raw(r, "name", name);
    retell_raw(r, "description", jread_get(tool, "description"));
    retell_raw(r, "parameters", jread_get(tool, parameters));
    retell_raw(r, "strict", jread_get(tool, "strict"));
    jput_close(&r->j, '}');
    jput_close(&r->j, '}');
}

void retell_schema(struct retell *r, struct jread_value name, struct jread_value schema,
                   struct jread_value strict)
{
    jput_open(&r->j, "response_format", '{');
    jput_text(&r->j, "type", "json_schema");
    jput_open(&r->j, "json_schema", '{');
    if (retell_set(name))
        retell_raw(r, "name", name);
    else
        jput_text(&r->j, "name", "answer");
    retell_raw(r, "schema", schema);
    if (retell_set(strict))
        retell_raw(r, "strict", strict);
    else
        jput_bool(&r->j, "strict", true);
    jput_close(&r->j, '}');
    jput_close(&r->j, '}');
}

void retell_call(struct retell *r, struct jread_value id, struct jread_value name,
                 struct jread_value arguments)
{
    struct jput *j = &r->j;

    if (!r->in_calls) {
        jput_open(j, NULL, '{');
        jput_text(j, "role", "assistant");
        jput_open(j, "tool_calls", '[');
        r->in_calls = true;
    }
    jput_open(j, NULL, '{');
    jput_raw(j, "id", id.raw);
    jput_text(j, "type", "function");
    jput_open(j, "function", '{');
    jput_raw(j, "name", name.raw);
    if (arguments.type == JREAD_TEXT)
        jput_raw(j, "arguments", arguments.raw);
    else
        jput_str(j, "arguments",
                 arguments.type == JREAD_NOTHING ? STR("{}") : arguments.raw);
    jput_close(j, '}');
    jput_close(j, '}');
}

void retell_calls_end(struct retell *r)
{
    if (!r->in_calls)
        return;
    jput_close(&r->j, ']');
    jput_close(&r->j, '}');
    r->in_calls = false;
}

void retell_image(struct retell *r, struct str url_inside, struct jread_value detail)
{
    struct jput *j = &r->j;

    jput_open(j, NULL, '{');
    jput_text(j, "type", "image_url");
    jput_open(j, "image_url", '{');
    buf_put(j->out, "\"url\":\"");
    buf_put_str(j->out, url_inside);
    buf_put(j->out, "\"");
    j->comma = true;
    retell_raw(r, "detail", detail);
    jput_close(j, '}');
    jput_close(j, '}');
}

void retell_text_part(struct retell *r, struct jread_value text)
{
    jput_open(&r->j, NULL, '{');
    jput_text(&r->j, "type", "text");
    jput_raw(&r->j, "text", text.raw);
    jput_close(&r->j, '}');
}

void retell_join_begin(struct retell *r, const char *key, struct retell_join *join)
{
    join->n = 0;
    jput_raw(&r->j, key, STR("\""));
}

void retell_join_add(struct retell *r, struct retell_join *join, struct jread_value text)
{
    if (join->n++ > 0)
        buf_put(r->j.out, "\\n");
    buf_put_str(r->j.out, (struct str){ text.raw.p + 1, text.raw.n - 2 });
}

void retell_join_end(struct retell *r)
{
    buf_put(r->j.out, "\"");
}
