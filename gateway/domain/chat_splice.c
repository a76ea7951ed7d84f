/* chat_splice.c - the few changes with which a request goes on to an expert.
 *
 * A change is a range of the body and what stands there instead. Changes are made in the
 * order of the body and never overlap: each concerns one top-level member, but for the
 * insertion behind the opening bracket, which comes before all of them.
 */
#include "gateway/domain/chat.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/domain/jread.h"
#include "gateway/domain/native.h"

struct change {
    size_t begin, end; /* of the body, replaced; end == begin: an insertion */
    struct str with;
};

#define OUR_CHANGES 6 /* insertion, model, stream_options, two limits, frugal */
#define MAX_CHANGES (OUR_CHANGES + ADAPT_MAX_CHANGES)

struct changes {
    size_t n;
    struct change list[MAX_CHANGES];
};

static_assert(2 * OUR_CHANGES + 1 <= CHAT_MAX_PIECES,
              "a piece before each and one behind");

size_t chat_max_pieces(const struct chat_edit *edit)
{
    return CHAT_MAX_PIECES + (edit->adapt != NULL ? 2 * ADAPT_MAX_CHANGES : 0);
}

/* The members that go, in the order of the body. */
struct removals {
    size_t n;
    struct removal {
        size_t begin, end; /* from the key to behind the value */
    } list[2 + ADAPT_MAX_CHANGES];
};

static void replace(struct changes *changes, size_t begin, size_t end, struct str with)
{
    size_t at = changes->n;

    assert(at < MAX_CHANGES);
    for (; at > 0 && changes->list[at - 1].begin > begin; at--)
        changes->list[at] = changes->list[at - 1];
    changes->list[at] = (struct change){ begin, end, with };
    changes->n++;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The change that covers that byte is taken out of the list; -1: there is none. */
static ptrdiff_t take_back(struct changes *changes, size_t at)
{
    for (size_t i = 0; i < changes->n; i++) {
        size_t begin = changes->list[i].begin;

        if (begin > at || changes->list[i].end <= at)
            continue;
        changes->n--;
        memmove(&changes->list[i], &changes->list[i + 1],
                (changes->n - i) * sizeof(*changes->list));
        return (ptrdiff_t)begin;
    }
    return -1;
}

static size_t comma_before(struct str body, size_t at)
{
    do {
        at--;
    } while (is_space(body.p[at]));
    assert(body.p[at] == ',');
    return at;
}

/* The member with one of the commas beside it. It is never the only one: there is `model`.
 * Of several, those before it went first; the comma that one of them took along stands for
 * the one before both. */
static void remove_member(struct changes *changes, struct str body,
                          const struct removal *place)
{
    size_t begin = place->begin, end = place->end;
    ptrdiff_t taken;

    while (end < body.n && is_space(body.p[end]))
        end++;
    if (body.p[end] == ',') {
        replace(changes, begin, end + 1, (struct str){ NULL, 0 });
        return;
    }
    begin = comma_before(body, begin);
    for (taken = take_back(changes, begin); taken >= 0; taken = take_back(changes, begin))
        begin = comma_before(body, (size_t)taken);
    replace(changes, begin, place->end, (struct str){ NULL, 0 });
}

static enum err change_model(const struct chat_request *chat, struct str model,
                             struct arena *arena, struct changes *changes)
{
    const struct scan_place *place = &chat->scan->fields[SCAN_MODEL];
    struct buf quoted;
    struct str kept;
    enum err err = ERR_NOMEM;

    buf_init(&quoted, 8 * model.n + 16);
    buf_put_json(&quoted, model);
    if (!quoted.failed)
        err = arena_copy(arena, buf_str(&quoted), &kept);
    buf_release(&quoted);
    if (err == ERR_OK)
        replace(changes, place->begin, place->end, kept);
    return err;
}

/* What must be inserted at the front of the body, or "". */
static const char *change_stream(const struct chat_request *chat, struct changes *changes)
{
    const struct scan_place *place = &chat->scan->fields[SCAN_STREAM_OPTIONS];
    struct jread_value options, usage;
    size_t at;

    if (!chat->stream || chat->include_usage || native_is(chat->shape))
        return "";
    if (place->type == JREAD_NOTHING)
        return "\"stream_options\":{\"include_usage\":true},";
    if (place->type == JREAD_NULLS) {
        replace(changes, place->begin, place->end, STR("{\"include_usage\":true}"));
        return "";
    }
    options = jread_trusted(scan_raw(chat->scan, SCAN_STREAM_OPTIONS, chat->body));
    usage = jread_get(options, "include_usage");
    if (usage.type != JREAD_NOTHING) {
        at = (size_t)(usage.raw.p - chat->body.p);
        replace(changes, at, at + usage.raw.n, STR("true"));
    } else {
        struct jread_iter it = jread_iter(options);
        struct jread_value key, value;
        bool empty = !jread_next_member(&it, &key, &value);

        at = place->begin + 1;
        replace(changes, at, at,
                empty ? STR("\"include_usage\":true") : STR("\"include_usage\":true,"));
    }
    return "";
}

static const enum scan_field limit_names[] = { SCAN_MAX_TOKENS,
                                               SCAN_MAX_COMPLETION_TOKENS };

/* Lowers the limits that are higher. Returns whether one must be inserted. */
static bool change_limits(const struct chat_request *chat, int64_t limit,
                          struct str limit_text, struct changes *changes)
{
    const struct scan_place *null = NULL;
    bool has_limit = false;

    for (size_t i = 0; i < ARRAY_LEN(limit_names); i++) {
        const struct scan_place *place = &chat->scan->fields[limit_names[i]];
        int64_t value = 0;

        if (place->type == JREAD_NULLS)
            null = place;
        if (place->type != JREAD_NUMBER)
            continue;
        has_limit = true;
        if (!jread_integer(
                jread_trusted(scan_raw(chat->scan, limit_names[i], chat->body)),
                &value) ||
            value > limit)
            replace(changes, place->begin, place->end, limit_text);
    }
    if (has_limit || !null)
        return !has_limit;
    replace(changes, null->begin, null->end, limit_text);
    return false;
}

/* For an expert that knows one of the two names only. Returns whether the limit must be
 * inserted under it. */
static bool move_limit(const struct chat_request *chat, enum scan_field to, int64_t limit,
                       struct str limit_text, struct changes *changes)
{
    const struct scan_place *place = &chat->scan->fields[to];
    int64_t value = 0;

    if (place->type == JREAD_NOTHING)
        return true;
    if (place->type == JREAD_NULLS ||
        !jread_integer(jread_trusted(scan_raw(chat->scan, to, chat->body)), &value) ||
        value > limit)
        replace(changes, place->begin, place->end, limit_text);
    return false;
}

static void add_removal(struct removals *removals, size_t begin, size_t end)
{
    size_t at = removals->n++;

    for (; at > 0 && removals->list[at - 1].begin > begin; at--)
        removals->list[at] = removals->list[at - 1];
    removals->list[at] = (struct removal){ begin, end };
}

/* The limit under a name that the expert would not understand or refuse; or NULL. */
static const struct scan_place *other_limit(const struct chat_request *chat,
                                            const struct chat_edit *edit)
{
    const struct scan_place *other = NULL;

    if (edit->output_limit > 0 && edit->limit_field == CONFIG_LIMIT_MAX_TOKENS)
        other = &chat->scan->fields[SCAN_MAX_COMPLETION_TOKENS];
    if (edit->output_limit > 0 && edit->limit_field == CONFIG_LIMIT_MAX_COMPLETION_TOKENS)
        other = &chat->scan->fields[SCAN_MAX_TOKENS];
    return other != NULL && other->type != JREAD_NOTHING ? other : NULL;
}

/* What the expert's dialect changes. */
static enum err adapt(const struct chat_request *chat, const struct chat_edit *edit,
                      struct changes *changes, struct removals *removals)
{
    struct adapt_found found;
    enum err err = adapt_find(edit->adapt, chat->body, chat->scan, &found);

    if (err != ERR_OK)
        return err;
    for (size_t i = 0; i < found.n; i++) {
        const struct adapt_change *change = &found.list[i];

        if (change->key.n > 0)
            replace(changes, change->key_begin, change->key_end, change->key);
        else
            add_removal(removals, change->key_begin, change->end);
    }
    for (size_t i = 0; i < edit->adapt->n; i++)
        if (edit->adapt->rules[i].limit && other_limit(chat, edit) != NULL)
            found.rules |= UINT32_C(1) << i;
    if (edit->adapted != NULL)
        *edit->adapted = found.rules;
    return ERR_OK;
}

/* After all else: what goes may stand where something is inserted, and that comes first. */
static enum err remove_members(const struct chat_request *chat,
                               const struct chat_edit *edit, struct changes *changes)
{
    const struct scan_place *ours = &chat->scan->fields[SCAN_FRUGAL];
    const struct scan_place *other = other_limit(chat, edit);
    struct removals removals;
    enum err err = ERR_OK;

    removals.n = 0;
    if (ours->type != JREAD_NOTHING)
        add_removal(&removals, ours->key_begin, ours->end);
    if (other != NULL)
        add_removal(&removals, other->key_begin, other->end);
    if (edit->adapt != NULL)
        err = adapt(chat, edit, changes, &removals);
    for (size_t i = 0; err == ERR_OK && i < removals.n; i++)
        remove_member(changes, chat->body, &removals.list[i]);
    return err;
}

static struct str set_members(const struct chat_edit *edit)
{
    return edit->adapt != NULL ? edit->adapt->set : (struct str){ NULL, 0 };
}

/* Behind the opening bracket. */
static enum err insert(const struct chat_request *chat, const char *stream,
                       const char *limit, struct str set, struct arena *arena,
                       struct changes *changes)
{
    size_t open = 0;
    const char *front;

    if (stream[0] == '\0' && limit[0] == '\0' && set.n == 0)
        return ERR_OK;
    front = arena_printf(arena, "%s%s" STR_FMT, stream, limit, STR_ARG(set));
    if (!front)
        return ERR_NOMEM;
    while (chat->body.p[open] != '{')
        open++;
    replace(changes, open + 1, open + 1, str_of(front));
    return ERR_OK;
}

static enum scan_field limit_name(enum chat_shape shape, enum config_limit_field field)
{
    if (shape == CHAT_NATIVE_RESPONSES)
        return SCAN_MAX_OUTPUT_TOKENS;
    return field == CONFIG_LIMIT_MAX_COMPLETION_TOKENS ? SCAN_MAX_COMPLETION_TOKENS
                                                       : SCAN_MAX_TOKENS;
}

static enum err collect(const struct chat_request *chat, const struct chat_edit *edit,
                        struct arena *arena, struct changes *changes)
{
    const char *stream = "", *limit = "";
    enum err err = change_model(chat, edit->model, arena, changes);

    if (err != ERR_OK)
        return err;
    if (edit->adapt == NULL || !edit->adapt->no_stream_options)
        stream = change_stream(chat, changes);
    if (edit->output_limit > 0) {
        bool moved = edit->limit_field != CONFIG_LIMIT_ANY && chat->output_limit > 0 &&
                     chat->output_limit < edit->output_limit;
        const char *text = arena_printf(arena, "%" PRId64,
                                        moved ? chat->output_limit : edit->output_limit);
        enum scan_field to = limit_name(chat->shape, edit->limit_field);

        if (!text)
            return ERR_NOMEM;
        if (edit->limit_field == CONFIG_LIMIT_ANY && !native_is(chat->shape)
                ? change_limits(chat, edit->output_limit, str_of(text), changes)
                : move_limit(chat, to, edit->output_limit, str_of(text), changes))
            limit = arena_printf(arena, "\"%s\":%s,", scan_field_key(to), text);
        if (!limit)
            return ERR_NOMEM;
    }
    err = insert(chat, stream, limit, set_members(edit), arena, changes);
    return err == ERR_OK ? remove_members(chat, edit, changes) : err;
}

static void add_piece(struct iovec *pieces, size_t *n, struct str s)
{
    if (s.n == 0)
        return;
    pieces[(*n)++] = (struct iovec){ (void *)(uintptr_t)s.p, s.n };
}

enum err chat_splice(const struct chat_request *chat, const struct chat_edit *edit,
                     struct arena *arena, struct iovec *ret_pieces, size_t *ret_n,
                     size_t *ret_bytes)
{
    struct changes changes; /* its list is long and mostly not used */
    size_t at = 0, n = 0, bytes = 0;
    enum err err;

    changes.n = 0;
    err = collect(chat, edit, arena, &changes);
    if (err != ERR_OK)
        return err;
    for (size_t i = 0; i < changes.n; i++) {
        const struct change *change = &changes.list[i];

        assert(change->begin >= at && change->end >= change->begin);
        add_piece(ret_pieces, &n, (struct str){ chat->body.p + at, change->begin - at });
        add_piece(ret_pieces, &n, change->with);
        at = change->end;
    }
    add_piece(ret_pieces, &n, (struct str){ chat->body.p + at, chat->body.n - at });
    assert(n <= chat_max_pieces(edit));
    for (size_t i = 0; i < n; i++)
        bytes += ret_pieces[i].iov_len;
    *ret_n = n;
    *ret_bytes = bytes;
    return ERR_OK;
}
