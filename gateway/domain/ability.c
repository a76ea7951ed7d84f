/* ability.c - what a request needs, out of what the scan noted; see ability.h. */
#include "gateway/domain/ability.h"

#include <assert.h>
#include <stdio.h>

#include "gateway/base/err.h"
#include "gateway/domain/chat.h"
#include "gateway/domain/jread.h"

static const char *const words[] = {
#define X(name, word, param, text) word,
    ABILITIES(X)
#undef X
};
static_assert(ARRAY_LEN(words) <= 32, "a bit each");

const char *ability_word(enum ability ability)
{
    assert(ability < ABILITY_COUNT);
    return words[ability];
}

const char *ability_param(enum ability ability)
{
    static const char *const params[] = {
#define X(name, word, param, text) param,
        ABILITIES(X)
#undef X
    };

    assert(ability < ABILITY_COUNT);
    return params[ability];
}

enum ability ability_find(struct str word)
{
    size_t i = 0;

    while (i < ABILITY_COUNT && !str_is(word, words[i]))
        i++;
    return (enum ability)i;
}

const char *ability_words(uint32_t abilities, char text[ABILITY_TEXT_BYTES])
{
    size_t n = 0;

    text[0] = '\0';
    for (size_t i = 0; i < ABILITY_COUNT; i++) {
        const bool last = abilities >> i == 1;
        int wrote;

        if ((abilities >> i & 1) == 0)
            continue;
        wrote = snprintf(text + n, ABILITY_TEXT_BYTES - n, "%s%s",
                         n == 0 ? ""
                         : last ? " and "
                                : ", ",
                         words[i]);
        n += (size_t)wrote;
        assert(n < ABILITY_TEXT_BYTES);
    }
    return text;
}

/* -- needs ------------------------------------------------------------------------------- */

static struct jread_value field(const struct chat_request *chat, enum scan_field name)
{
    return jread_trusted(scan_raw(chat->scan, name, chat->body));
}

static bool above(const struct chat_request *chat, enum scan_field name, int64_t least)
{
    int64_t value;

    return jread_integer(field(chat, name), &value) && value > least;
}

/* However it is written: servers differ in what they take for true. */
static bool asks(struct jread_value value)
{
    return value.type != JREAD_NOTHING && value.type != JREAD_NULLS &&
           !str_is(value.raw, "false");
}

/* A number, however it is written; none of at most 0. */
static bool counts(struct jread_value value)
{
    int64_t number;

    return asks(value) && !(jread_integer(value, &number) && number <= 0);
}

/* An empty list asks for nothing. */
static bool has_elements(struct jread_value list)
{
    struct str raw = list.raw;

    if (list.type != JREAD_LIST)
        return false;
    do {
        raw = str_skip(raw, 1);
    } while (raw.p[0] == ' ' || raw.p[0] == '\t' || raw.p[0] == '\r' || raw.p[0] == '\n');
    return raw.p[0] != ']';
}

static uint32_t modalities(const struct chat_request *chat)
{
    struct jread_iter it = jread_iter(field(chat, SCAN_MODALITIES));
    struct jread_value word;
    uint32_t needs = 0;

    while (jread_next_element(&it, &word)) {
        if (jread_string_is(word, "audio"))
            needs |= ABILITY_BIT(AUDIO_OUTPUT);
        if (jread_string_is(word, "image"))
            needs |= ABILITY_BIT(IMAGE_OUTPUT);
    }
    return needs;
}

static uint32_t media(const struct scan *scan)
{
    static const uint32_t bits[] = {
        [SCAN_MEDIA_IMAGE] = ABILITY_BIT(IMAGES),
        [SCAN_MEDIA_AUDIO] = ABILITY_BIT(AUDIO),
        [SCAN_MEDIA_AUDIO_URL] = ABILITY_BIT(AUDIO),
        [SCAN_MEDIA_VIDEO] = ABILITY_BIT(VIDEO),
        [SCAN_MEDIA_FILE] = ABILITY_BIT(FILES),
    };
    uint32_t needs = 0;

    for (size_t i = 0; scan->media_kinds >> i != 0; i++)
        if ((scan->media_kinds >> i & 1) != 0)
            needs |= bits[i];
    return needs;
}

static uint32_t of_messages(const struct chat_request *chat)
{
    uint32_t needs = media(chat->scan) | modalities(chat);

    if (has_elements(field(chat, SCAN_TOOLS)) ||
        has_elements(field(chat, SCAN_FUNCTIONS)))
        needs |= ABILITY_BIT(TOOLS);
    if (asks(field(chat, SCAN_LOGPROBS)) || counts(field(chat, SCAN_TOP_LOGPROBS)))
        needs |= ABILITY_BIT(LOGPROBS);
    return needs;
}

/* There `logprobs` is a number, and 0 asks for those of the chosen tokens. */
static uint32_t of_prompt(const struct chat_request *chat)
{
    struct jread_value suffix = field(chat, SCAN_SUFFIX);
    uint32_t needs = 0;

    if (asks(field(chat, SCAN_LOGPROBS)))
        needs |= ABILITY_BIT(LOGPROBS);
    if (suffix.type == JREAD_TEXT && suffix.raw.n > 2)
        needs |= ABILITY_BIT(SUFFIX);
    return needs;
}

/* -- in the client's own words ------------------------------------------------------------ */

/* The translation is looked at, too: here is what it may leave out. Of members that are repeated
 * all count, since readers differ in which they take. */

#define PARTS_DEPTH 3

/* Beside needs: where there is more to look at. */
#define IN_SOURCE  (UINT32_C(1) << 30)
#define IN_CONTENT (UINT32_C(1) << 31)
static_assert(ABILITY_COUNT <= 30, "room for both");

/* Of a block, an item or a part of one, by its `type`. */
static uint32_t of_kind(struct jread_value kind, unsigned depth)
{
    static const struct {
        const char *word;
        uint32_t needs;
    } kinds[] = {
        { "image", ABILITY_BIT(IMAGES) },
        { "input_image", ABILITY_BIT(IMAGES) },
        { "computer_call_output", ABILITY_BIT(IMAGES) },
        { "input_audio", ABILITY_BIT(AUDIO) },
        { "input_file", ABILITY_BIT(FILES) },
        { "container_upload", ABILITY_BIT(FILES) },
        { "document", IN_SOURCE },
        { "tool_result", IN_CONTENT },
    };

    (void)depth;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (jread_string_is(kind, kinds[i].word))
            return kinds[i].needs;
    return 0;
}

static uint32_t of_members(struct jread_value map, const char *name,
                           uint32_t (*of)(struct jread_value value, unsigned depth),
                           unsigned depth)
{
    struct jread_iter it = jread_iter(map);
    struct jread_value key, value;
    uint32_t needs = 0;

    while (map.type == JREAD_MAP && jread_next_member(&it, &key, &value))
        if (jread_string_is(key, name))
            needs |= of(value, depth);
    return needs;
}

static uint32_t of_parts(struct jread_value parts, unsigned depth);

/* A document of text is text, and one of content is what that is. */
static uint32_t of_source_kind(struct jread_value kind, unsigned depth)
{
    (void)depth;
    if (jread_string_is(kind, "content"))
        return IN_CONTENT;
    return jread_string_is(kind, "text") ? 0 : ABILITY_BIT(FILES);
}

static uint32_t of_source(struct jread_value source, unsigned depth)
{
    uint32_t needs = of_members(source, "type", of_source_kind, depth);

    if ((needs & IN_CONTENT) != 0)
        needs |= of_members(source, "content", of_parts, depth);
    return needs & ~IN_CONTENT;
}

/* depth: of lists in lists, that are looked into. */
static uint32_t of_part(struct jread_value part, unsigned depth)
{
    uint32_t needs = of_members(part, "type", of_kind, depth);

    if ((needs & IN_SOURCE) != 0)
        needs |= of_members(part, "source", of_source, depth - 1);
    if ((needs & IN_CONTENT) != 0)
        needs |= of_members(part, "content", of_parts, depth - 1);
    return needs & ~(IN_SOURCE | IN_CONTENT);
}

static uint32_t of_parts(struct jread_value parts, unsigned depth)
{
    struct jread_iter it = jread_iter(parts);
    struct jread_value part;
    uint32_t needs = 0;

    if (depth == 0)
        return 0;
    if (parts.type == JREAD_MAP)
        return of_part(parts, depth);
    while (parts.type == JREAD_LIST && jread_next_element(&it, &part))
        needs |= of_part(part, depth);
    return needs;
}

static uint32_t of_blocks(struct jread_value messages)
{
    struct jread_iter it = jread_iter(messages);
    struct jread_value message;
    uint32_t needs = 0;

    while (messages.type == JREAD_LIST && jread_next_element(&it, &message))
        needs |= of_members(message, "content", of_parts, PARTS_DEPTH);
    return needs;
}

static uint32_t of_items(struct jread_value items)
{
    struct jread_iter it = jread_iter(items);
    struct jread_value item;
    uint32_t needs = 0;

    while (items.type == JREAD_LIST && jread_next_element(&it, &item))
        needs |= of_members(item, "type", of_kind, 1) |
                 of_members(item, "content", of_parts, 1) |
                 of_members(item, "output", of_parts, 1);
    return needs & ~(IN_SOURCE | IN_CONTENT);
}

static uint32_t of_tools(const struct chat_request *chat)
{
    const bool any = has_elements(field(chat, SCAN_TOOLS)) ||
                     has_elements(field(chat, SCAN_MCP_SERVERS));

    return any ? ABILITY_BIT(TOOLS) : 0;
}

uint32_t ability_needs(const struct chat_request *chat)
{
    uint32_t needs = 0;

    switch (chat->shape) {
    case CHAT_INPUT:
        return 0;
    case CHAT_NATIVE_RESPONSES:
        return of_tools(chat) | of_items(field(chat, SCAN_INPUT));
    case CHAT_NATIVE_MESSAGES:
        return of_tools(chat) | of_blocks(field(chat, SCAN_MESSAGES));
    case CHAT_PROMPT:
        needs = of_prompt(chat);
        break;
    case CHAT_MESSAGES:
        needs = of_messages(chat);
        break;
    }
    if (above(chat, SCAN_N, 1) || above(chat, SCAN_BEST_OF, 1))
        needs |= ABILITY_BIT(N);
    if (chat->scan->json_object)
        needs |= ABILITY_BIT(JSON_OBJECT);
    if (chat->scan->json_schema || asks(field(chat, SCAN_GUIDED_JSON)) ||
        asks(field(chat, SCAN_STRUCTURED_OUTPUTS)))
        needs |= ABILITY_BIT(JSON_SCHEMA);
    return needs;
}
