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
    if (jread_is_true(field(chat, SCAN_LOGPROBS)) || above(chat, SCAN_TOP_LOGPROBS, 0))
        needs |= ABILITY_BIT(LOGPROBS);
    return needs;
}

/* There `logprobs` is a number, and 0 asks for those of the chosen tokens. */
static uint32_t of_prompt(const struct chat_request *chat)
{
    struct jread_value suffix = field(chat, SCAN_SUFFIX);
    uint32_t needs = 0;

    if (above(chat, SCAN_LOGPROBS, -1) || jread_is_true(field(chat, SCAN_LOGPROBS)))
        needs |= ABILITY_BIT(LOGPROBS);
    if (suffix.type == JREAD_TEXT && suffix.raw.n > 2)
        needs |= ABILITY_BIT(SUFFIX);
    return needs;
}

uint32_t ability_needs(const struct chat_request *chat)
{
    uint32_t needs = 0;

    switch (chat->shape) {
    case CHAT_INPUT:
        return 0;
    case CHAT_NATIVE_RESPONSES: /* its translation is looked at, and may leave out tools */
    case CHAT_NATIVE_MESSAGES:
        return has_elements(field(chat, SCAN_TOOLS)) ? ABILITY_BIT(TOOLS) : 0;
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
    if (chat->scan->json_schema)
        needs |= ABILITY_BIT(JSON_SCHEMA);
    return needs;
}
