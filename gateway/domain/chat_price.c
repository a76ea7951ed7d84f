/* chat_price.c - what of a request may cost more than its tokens at the usual price.
 *
 * A ceiling is kept by a worst case that is computed from bytes and an output limit. Here is
 * what would slip past that: fields with a price of their own, other names of an output
 * limit, another model or provider chosen upstream, content that is only referred to. The
 * list names what servers in use understand; an unknown field is let through, and whoever
 * charges more for it is noticed by what he reports.
 *
 * Readers differ in which of two members with one name they take, so where a member must have
 * a certain value, all of that name must.
 */
#include "gateway/domain/chat.h"

#include "gateway/domain/jread.h"
#include "gateway/domain/native.h"

static struct jread_value field(const struct chat_request *chat, enum scan_field name)
{
    return jread_trusted(scan_raw(chat->scan, name, chat->body));
}

static bool is_set(struct jread_value value)
{
    return value.type != JREAD_NOTHING && value.type != JREAD_NULLS;
}

static bool is_one_of(struct jread_value text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (jread_string_is(text, *words))
            return true;
    return false;
}

/* -- tools ------------------------------------------------------------------------------- */

static bool mentions(struct jread_value map, const char *name)
{
    return jread_get(map, name).type != JREAD_NOTHING;
}

static bool is_function(struct jread_value tool)
{
    struct jread_iter it = jread_iter(tool);
    struct jread_value key, value;
    bool function = false;

    while (jread_next_member(&it, &key, &value)) {
        if (!jread_string_is(key, "type"))
            continue;
        if (!jread_string_is(value, "function"))
            return false;
        function = true;
    }
    return function;
}

static bool all_functions(struct jread_value tools, struct chat_extras *extras)
{
    struct jread_iter it = jread_iter(tools);
    struct jread_value tool;

    while (jread_next_element(&it, &tool)) {
        if (!is_function(tool))
            return false;
        extras->cache_marks |= mentions(tool, "cache_control");
    }
    return true;
}

/* -- messages ---------------------------------------------------------------------------- */

/* Content that stands in the request itself, and images, which have a bound of their own. */
static const char *const known_parts[] = { "text",       "refusal",
                                           "image_url",  "thinking",
                                           "reasoning",  "redacted_thinking",
                                           "input_text", "output_text",
                                           NULL };
/* Of a message: content by reference, which is not among its bytes. */
static const char *const references[] = { "audio",  "images", "image", "video",
                                          "videos", "file",   "files", NULL };

static bool part_is_plain(struct jread_value part, struct chat_extras *extras)
{
    struct jread_iter it = jread_iter(part);
    struct jread_value key, value;
    bool typed = false;

    while (jread_next_member(&it, &key, &value)) {
        extras->cache_marks |= jread_string_is(key, "cache_control");
        if (!jread_string_is(key, "type"))
            continue;
        if (!is_one_of(value, known_parts))
            return false;
        typed = true;
    }
    return typed;
}

static bool content_is_plain(struct jread_value content, struct chat_extras *extras)
{
    struct jread_iter it = jread_iter(content);
    struct jread_value part;

    if (content.type == JREAD_MAP)
        return false;
    while (jread_next_element(&it, &part))
        if (part.type != JREAD_TEXT && !part_is_plain(part, extras))
            return false;
    return true;
}

static bool messages_are_plain(struct jread_value messages, struct chat_extras *extras)
{
    struct jread_iter it = jread_iter(messages), members;
    struct jread_value message, key, value;

    while (jread_next_element(&it, &message)) {
        members = jread_iter(message);
        while (jread_next_member(&members, &key, &value)) {
            extras->cache_marks |= jread_string_is(key, "cache_control");
            if (is_one_of(key, references) && is_set(value))
                return false;
            if (jread_string_is(key, "content") && !content_is_plain(value, extras))
                return false;
        }
    }
    return true;
}

/* -- the whole --------------------------------------------------------------------------- */

static bool only_text(struct jread_value modalities)
{
    struct jread_iter it = jread_iter(modalities);
    struct jread_value word;

    if (!is_set(modalities))
        return true;
    while (jread_next_element(&it, &word))
        if (!jread_string_is(word, "text"))
            return false;
    return modalities.type == JREAD_LIST;
}

/* False says no more than its absence would. */
static bool asks(struct jread_value value)
{
    return is_set(value) && !str_is(value.raw, "false");
}

/* What the Responses API calls its output limit, which chat completions do not know. */
static bool is_own_limit(const struct chat_request *chat, enum scan_field name)
{
    return chat->shape == CHAT_NATIVE_RESPONSES && name == SCAN_MAX_OUTPUT_TOKENS;
}

/* Whatever they ask for. */
static const enum scan_field never[] = {
    SCAN_AUDIO,
    SCAN_WEB_SEARCH_OPTIONS,
    SCAN_PREDICTION,
    SCAN_N_PREDICT,
    SCAN_NUM_PREDICT,
    SCAN_MAX_NEW_TOKENS,
    SCAN_MAX_OUTPUT_TOKENS,
    SCAN_THINKING_BUDGET,
    SCAN_USE_BEAM_SEARCH,
    SCAN_CHAT_TEMPLATE,
    SCAN_PROMPT_EMBEDS,
    SCAN_MM_PROCESSOR,
    SCAN_MODELS,
    SCAN_FALLBACKS,
    SCAN_PROVIDER,
    SCAN_ROUTE,
    SCAN_PRESET,
    SCAN_PLUGINS,
    SCAN_WEB_SEARCH,
    SCAN_ENABLE_SEARCH,
    SCAN_SEARCH_PARAMETERS,
    SCAN_MCP_SERVERS,
    SCAN_CONTAINER,
    SCAN_SPEED,
    SCAN_INFERENCE_GEO,
    SCAN_DATA_SOURCES,
    SCAN_API_BASE,
    SCAN_BASE_URL,
    SCAN_DEPLOYMENT_ID,
    SCAN_OPTIONS,
    SCAN_MAX_LENGTH,
    SCAN_BETAS,
    SCAN_ANTHROPIC_BETA,
    SCAN_EXTRA_BODY,
};

static const char *unpriced(const struct chat_request *chat, struct chat_extras *extras)
{
    struct jread_value tier = field(chat, SCAN_SERVICE_TIER);
    struct jread_value best_of = field(chat, SCAN_BEST_OF);

    for (size_t i = 0; i < ARRAY_LEN(never); i++)
        if (asks(field(chat, never[i])) && !is_own_limit(chat, never[i]))
            return scan_field_key(never[i]);
    if (chat->scan->has_odd_key) {
        extras->odd_key = (struct str){ chat->body.p + chat->scan->odd_begin,
                                        chat->scan->odd_end - chat->scan->odd_begin };
        return "a key in other letters";
    }
    if (is_set(tier) &&
        !jread_string_is(tier, chat->shape == CHAT_NATIVE_MESSAGES ? "standard_only"
                                                                   : "default"))
        return "service_tier";
    if (is_set(best_of) && !str_is(best_of.raw, "1"))
        return "best_of";
    if (!only_text(field(chat, SCAN_MODALITIES)))
        return "modalities";
    if (native_is(chat->shape))
        return native_unpriced(chat->body, &extras->cache_marks);
    if (!all_functions(field(chat, SCAN_TOOLS), extras))
        return "tools"; /* hosted ones: search, code, files */
    if (chat->n_other_media > 0 ||
        !messages_are_plain(field(chat, SCAN_MESSAGES), extras))
        return "messages";
    return NULL;
}

struct chat_extras chat_extras(const struct chat_request *chat)
{
    struct chat_extras extras = { .cache_marks =
                                      is_set(field(chat, SCAN_CACHE_CONTROL)) };

    extras.unpriced = unpriced(chat, &extras);
    return extras;
}
