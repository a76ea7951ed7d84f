/* chat.c - checks what we read of a request, and writes down the few changes it needs.
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
    case CHAT_MESSAGES:
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
    read.has_tools = is_set(tools) && tools.raw.n > 2;
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

/* -- splicing -- */

struct change {
    size_t begin, end; /* of the body, replaced; end == begin: an insertion */
    struct str with;
};

#define MAX_CHANGES 6 /* insertion, model, stream_options, two limits, frugal */

struct changes {
    size_t n;
    struct change list[MAX_CHANGES];
};

static_assert(2 * MAX_CHANGES + 1 <= CHAT_MAX_PIECES,
              "a piece before each and one behind");

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
                          const struct scan_place *place)
{
    size_t begin = place->key_begin, end = place->end;
    ptrdiff_t taken;

    while (end < body.n && is_space(body.p[end]))
        end++;
    if (body.p[end] == ',') {
        replace(changes, begin, end + 1, (struct str){ NULL, 0 });
        return;
    }
    begin = comma_before(body, begin);
    taken = take_back(changes, begin);
    if (taken >= 0)
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

    if (!chat->stream || chat->include_usage)
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

/* Our own object goes, and the limit under a name that the expert would not understand or
 * refuse; in the order of the body. */
static void remove_members(const struct chat_request *chat, const struct chat_edit *edit,
                           struct changes *changes)
{
    const struct scan_place *fields = chat->scan->fields;
    const struct scan_place *ours = &fields[SCAN_FRUGAL], *other = NULL;

    if (edit->output_limit > 0 && edit->limit_field == CONFIG_LIMIT_MAX_TOKENS)
        other = &fields[SCAN_MAX_COMPLETION_TOKENS];
    if (edit->output_limit > 0 && edit->limit_field == CONFIG_LIMIT_MAX_COMPLETION_TOKENS)
        other = &fields[SCAN_MAX_TOKENS];
    if (other != NULL && other->type == JREAD_NOTHING)
        other = NULL;
    if (ours->type == JREAD_NOTHING)
        ours = NULL;
    if (other != NULL && (ours == NULL || other->key_begin < ours->key_begin))
        remove_member(changes, chat->body, other);
    if (ours != NULL)
        remove_member(changes, chat->body, ours);
    if (other != NULL && ours != NULL && other->key_begin > ours->key_begin)
        remove_member(changes, chat->body, other);
}

static enum err collect(const struct chat_request *chat, const struct chat_edit *edit,
                        struct arena *arena, struct changes *changes)
{
    const char *stream, *limit = "", *front;
    size_t open = 0;
    enum err err = change_model(chat, edit->model, arena, changes);

    if (err != ERR_OK)
        return err;
    stream = change_stream(chat, changes);
    if (edit->output_limit > 0) {
        bool moved = edit->limit_field != CONFIG_LIMIT_ANY && chat->output_limit > 0 &&
                     chat->output_limit < edit->output_limit;
        const char *text = arena_printf(arena, "%" PRId64,
                                        moved ? chat->output_limit : edit->output_limit);
        enum scan_field to = edit->limit_field == CONFIG_LIMIT_MAX_COMPLETION_TOKENS
                                 ? SCAN_MAX_COMPLETION_TOKENS
                                 : SCAN_MAX_TOKENS;

        if (!text)
            return ERR_NOMEM;
        if (edit->limit_field == CONFIG_LIMIT_ANY
                ? change_limits(chat, edit->output_limit, str_of(text), changes)
                : move_limit(chat, to, edit->output_limit, str_of(text), changes))
            limit = arena_printf(arena, "\"%s\":%s,", scan_field_key(to), text);
        if (!limit)
            return ERR_NOMEM;
    }
    if (stream[0] != '\0' || limit[0] != '\0') {
        front = arena_printf(arena, "%s%s", stream, limit);
        if (!front)
            return ERR_NOMEM;
        while (chat->body.p[open] != '{')
            open++;
        replace(changes, open + 1, open + 1, str_of(front));
    }
    /* After the insertion: all may stand at the same byte, and the insertion comes first. */
    remove_members(chat, edit, changes);
    return ERR_OK;
}

static void add_piece(struct iovec *pieces, size_t *n, struct str s)
{
    if (s.n == 0)
        return;
    assert(*n < CHAT_MAX_PIECES);
    pieces[(*n)++] = (struct iovec){ (void *)(uintptr_t)s.p, s.n };
}

enum err chat_splice(const struct chat_request *chat, const struct chat_edit *edit,
                     struct arena *arena, struct iovec *ret_pieces, size_t *ret_n,
                     size_t *ret_bytes)
{
    struct changes changes = { .n = 0 };
    size_t at = 0, n = 0, bytes = 0;
    enum err err = collect(chat, edit, arena, &changes);

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
    for (size_t i = 0; i < n; i++)
        bytes += ret_pieces[i].iov_len;
    *ret_n = n;
    *ret_bytes = bytes;
    return ERR_OK;
}
