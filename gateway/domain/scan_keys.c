/* scan_keys.c - whether a key of a body is one of ours, and what stands behind it. */
#include "gateway/domain/scan.h"

#include <assert.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/domain/scan_parts.h"

static const struct str field_keys[] = {
#define X(name, key) STR_INIT(key),
    SCAN_FIELDS(X)
#undef X
};
static const struct str media_keys[] = {
#define X(name, key) [SCAN_MEDIA_##name] = STR_INIT(key),
    SCAN_MEDIA(X)
#undef X
};

const char *scan_field_key(enum scan_field field)
{
    assert(field < SCAN_FIELD_COUNT);
    return field_keys[field].p;
}

enum scan_field scan_field_find(struct str key)
{
    size_t i = 0;

    while (i < SCAN_FIELD_COUNT && !str_eq_nocase(key, field_keys[i]))
        i++;
    return (enum scan_field)i;
}

/* A content part is an object in a list in a message. */
static bool in_part(const struct scan *scan)
{
    return scan->depth == PART_LEVEL && scan->in_messages &&
           (scan->is_object[0] >> (PART_LEVEL - 2) & 1) == 0;
}

/* A message's `content` that is one part and not a list of them. */
static bool in_lone_part(const struct scan *scan)
{
    return scan->depth == PART_LEVEL - 1 && scan->in_messages && scan->in_content &&
           (scan->is_object[0] >> (PART_LEVEL - 2) & 1) != 0;
}

static bool in_message(const struct scan *scan)
{
    return scan->depth == MESSAGE_LEVEL + 1 && scan->in_messages;
}

static bool in_format(const struct scan *scan)
{
    return scan->depth == 2 && scan->in_field == SCAN_RESPONSE_FORMAT;
}

bool scan_key_matters(const struct scan *scan)
{
    return scan->depth == 1 || in_format(scan) || in_part(scan) || in_lone_part(scan) ||
           in_message(scan);
}

bool scan_value_matters(const struct scan *scan)
{
    return scan->in_type && (in_format(scan) || in_part(scan) || in_lone_part(scan));
}

/* What a part holds by its `type` alone. */
static const struct {
    const char *word;
    enum scan_media media;
} kinds[] = {
    { "image", SCAN_MEDIA_IMAGE },       { "image_url", SCAN_MEDIA_IMAGE },
    { "input_image", SCAN_MEDIA_IMAGE }, { "image_embeds", SCAN_MEDIA_IMAGE },
    { "audio", SCAN_MEDIA_AUDIO },       { "audio_url", SCAN_MEDIA_AUDIO },
    { "input_audio", SCAN_MEDIA_AUDIO }, { "audio_embeds", SCAN_MEDIA_AUDIO },
    { "video", SCAN_MEDIA_VIDEO },       { "video_url", SCAN_MEDIA_VIDEO },
    { "document", SCAN_MEDIA_FILE },     { "file", SCAN_MEDIA_FILE },
    { "input_file", SCAN_MEDIA_FILE },
};

static void end_kind(struct scan *scan, struct str word)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_is(word, kinds[i].word))
            scan->media_kinds |= 1u << kinds[i].media;
}

/* Of several all count, since readers differ in which they take. */
void scan_value_end(struct scan *scan)
{
    const struct str word = { scan->key, scan->key_n };

    if (scan->key_foreign)
        return;
    if (!in_format(scan)) {
        end_kind(scan, word);
        return;
    }
    scan->json_object |= str_is(word, "json_object");
    scan->json_schema |= str_is(word, "json_schema");
}

void scan_key_add(struct scan *scan, const char *p, size_t n)
{
    if (n > sizeof(scan->key) - scan->key_n) {
        scan->key_foreign = true;
        return;
    }
    memcpy(scan->key + scan->key_n, p, n);
    scan->key_n = (uint8_t)(scan->key_n + n);
}

static enum scan_media media_of(struct str key)
{
    size_t kind = SCAN_MEDIA_NONE + 1;

    while (kind < ARRAY_LEN(media_keys) && !str_eq(key, media_keys[kind]))
        kind++;
    return kind < ARRAY_LEN(media_keys) ? (enum scan_media)kind : SCAN_MEDIA_NONE;
}

static void note_odd_key(struct scan *scan, size_t end)
{
    if (scan->has_odd_key)
        return;
    scan->has_odd_key = true;
    scan->odd_begin = scan->string_begin + 1;
    scan->odd_end = end;
}

/* False: it came before. */
static bool end_top_key(struct scan *scan, struct str key, size_t end)
{
    for (size_t i = 0; i < SCAN_FIELD_COUNT; i++) {
        /* Most differ in length, which costs no call. */
        if (key.n != field_keys[i].n || !str_eq_nocase(key, field_keys[i]))
            continue;
        if (!str_eq(key, field_keys[i])) {
            note_odd_key(scan, end);
            scan->has_odd_frugal |= i == SCAN_FRUGAL;
            break;
        }
        if (scan->fields[i].type != JREAD_NOTHING) {
            scan->error_field = (enum scan_field)i;
            return false;
        }
        scan->in_field = (uint8_t)i;
        scan->fields[i].key_begin = scan->string_begin;
        break;
    }
    return true;
}

static void end_part_key(struct scan *scan, struct str key)
{
    const enum scan_media media = media_of(key);

    scan->in_type = str_is(key, "type");
    if (scan->depth == PART_LEVEL)
        scan->media = (uint8_t)media;
    else if (media != SCAN_MEDIA_NONE)
        scan->media_kinds |= 1u << media;
}

bool scan_key_end(struct scan *scan, size_t end)
{
    const struct str key = { scan->key, scan->key_n };

    scan->in_type = false;
    if (in_message(scan))
        scan->in_content = scan->in_images = false;
    if (scan->key_wide && scan->depth == 1)
        note_odd_key(scan, end);
    if (scan->key_foreign)
        return true;
    if (scan->depth == 1)
        return end_top_key(scan, key, end);
    if (in_format(scan)) {
        scan->in_type = str_is(key, "type");
    } else if (in_message(scan)) {
        scan->in_content = str_is(key, "content");
        scan->in_images = str_is(key, "images");
    } else {
        end_part_key(scan, key);
    }
    return true;
}
