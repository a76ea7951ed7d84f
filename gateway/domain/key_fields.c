/* key_fields.c - the fields of a key in the mounted file: read, written, explained by one
 * table; see key_fields.h. */
#include "gateway/domain/key_fields.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"

#define SHOWN_MAX 60 /* bytes of an unknown name in an error */

/* X(name, kind, member, most bytes of a text, help) */
#define FIELDS(X)                                                                        \
    X("id", ID, id, KEY_ID_MAX,                                                          \
      "what it is called in reports: letters, digits, - _ . :")                          \
    X("hash", HASH, hashes, 0,                                                           \
      "BLAKE2b-256 of the secret, 64 hexadecimal digits; two while it is rotated")       \
    X("name", TEXT, name, KEY_NAME_MAX, "for people")                                    \
    X("experts", LIST, experts, 0, "who may be asked, also for embeddings; absent: all") \
    X("policies", LIST, policies, 0, "which policies may be used; absent: all")          \
    X("day_usd", USD, limits.budget_pico[KEY_DAY], 0, "budget of each UTC day")          \
    X("month_usd", USD, limits.budget_pico[KEY_MONTH], 0, "budget of each UTC month")    \
    X("total_usd", USD, limits.budget_pico[KEY_TOTAL], 0, "budget in all")               \
    X("requests_per_minute", RATE, limits.requests_per_minute, 0, "429 beyond")          \
    X("tokens_per_minute", RATE, limits.tokens_per_minute, 0, "429 beyond")              \
    X("expires", TIME, expires_us, 0,                                                    \
      "2026-12-31 or 2026-12-31T12:00:00Z; refused then")                                \
    X("revoked", TIME, revoked_us, 0, "when it was taken back; refused")                 \
    X("feedback", FEEDBACK, feedback, 0, "off, own or shared: whom its scores teach")    \
    X("tags", TEXT, tags, KEY_TAGS_MAX, "of all its requests, for spend reports")

static const struct key_field fields[] = {
#define X(name, kind, member, most, help)                                                \
    { name, KIND_##kind, offsetof(struct key, member), most, help },
    FIELDS(X)
#undef X
};

/* -- errors ------------------------------------------------------------------------------ */

enum err key_fail(struct key_reader *r, enum err err, const char *at, const char *format,
                  ...)
{
    struct key_file_error *error = r->error;
    va_list args;

    if (error == NULL || error->text[0] != '\0')
        return err;
    va_start(args, format);
    (void)vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    if (at == NULL)
        return err;
    error->line = error->column = 1;
    for (const char *p = r->text.p; p < at; p++) {
        error->column++;
        if (*p == '\n') {
            error->line++;
            error->column = 1;
        }
    }
    return err;
}

enum err key_no_memory(struct key_reader *r)
{
    return key_fail(r, ERR_NOMEM, NULL, "out of memory");
}

/* -- fields ------------------------------------------------------------------------------ */

static const struct key_field *field_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (str_is(name, fields[i].name))
            return &fields[i];
    }
    return NULL;
}

enum err key_open(struct key_reader *r, struct str name, const char *at,
                  const struct key_field **ret_field)
{
    const struct key_field *field = field_find(name);
    struct str shown = str_clip_utf8(name, SHOWN_MAX);
    uint32_t bit;

    if (field == NULL)
        return key_fail(r, ERR_INVALID, at, "unknown field '" STR_FMT "'",
                        STR_ARG(shown));
    bit = UINT32_C(1) << (field - fields);
    if ((r->seen & bit) != 0)
        return key_fail(r, ERR_INVALID, at, "'%s' is given twice", field->name);
    r->seen |= bit;
    *ret_field = field;
    return ERR_OK;
}

static enum err take_text(struct key_reader *r, const struct key_field *field,
                          struct str value, const char *at)
{
    const char **member = (const char **)(void *)((char *)&r->key + field->offset);
    struct str copy;

    if (value.n > field->most)
        return key_fail(r, ERR_INVALID, at, "'%s' is longer than %zu bytes", field->name,
                        field->most);
    if (memchr(value.p != NULL ? value.p : "", '\0', value.n) != NULL ||
        !str_is_utf8(value))
        return key_fail(r, ERR_INVALID, at, "'%s' is not a text", field->name);
    if (field->kind == KIND_ID && !key_id_ok(value))
        return key_fail(r, ERR_INVALID, at,
                        "'id' must be letters, digits, - _ . or : and not '%s'",
                        KEY_BOOTSTRAP_ID);
    if (arena_copy(&r->scratch, value, &copy) != ERR_OK)
        return key_no_memory(r);
    *member = copy.p;
    return ERR_OK;
}

static enum err take_hash(struct key_reader *r, struct str value, const char *at)
{
    if (r->key.n_hashes == KEY_SECRETS)
        return key_fail(r, ERR_INVALID, at, "a key has at most %d secrets", KEY_SECRETS);
    if (key_hash_parse(value, r->key.hashes[r->key.n_hashes]) != ERR_OK)
        return key_fail(
            r, ERR_INVALID, at,
            "'hash' must be 64 hexadecimal digits: BLAKE2b-256 of the secret, see "
            "`frugalctl keys hash`");
    r->key.n_hashes++;
    return ERR_OK;
}

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= 0x20 || s.p[i] == 0x7f || s.p[i] == '"' ||
            s.p[i] == ',')
            return false;
    }
    return s.n > 0 && s.n <= KEY_ENTRY_MAX && str_is_utf8(s);
}

static enum err take_item(struct key_reader *r, const struct key_field *field,
                          struct str value, const char *at)
{
    struct key_list *list = (struct key_list *)(void *)((char *)&r->key + field->offset);
    const char **names = r->names[list == &r->key.policies];
    struct str copy;

    if (!is_name(value))
        return key_fail(r, ERR_INVALID, at,
                        "'%s' must name experts or policies, of 1 to %d bytes without "
                        "blanks, quotes and commas",
                        field->name, KEY_ENTRY_MAX);
    if (list->n == KEY_LIST_MAX)
        return key_fail(r, ERR_INVALID, at, "'%s' has more than %d names", field->name,
                        KEY_LIST_MAX);
    if (arena_copy(&r->scratch, value, &copy) != ERR_OK)
        return key_no_memory(r);
    names[list->n++] = copy.p;
    list->names = names;
    return ERR_OK;
}

static enum err take_number(struct key_reader *r, const struct key_field *field,
                            struct str value, const char *at)
{
    int64_t *member = (int64_t *)(void *)((char *)&r->key + field->offset);
    uint64_t rate;

    switch (field->kind) {
    case KIND_USD:
        if (money_parse(value, member) != ERR_OK)
            return key_fail(r, ERR_INVALID, at, "'%s' must be an amount in USD",
                            field->name);
        break;
    case KIND_RATE:
        if (str_to_u64(value, &rate) != ERR_OK || rate == 0 || rate > KEY_RATE_MAX)
            return key_fail(r, ERR_INVALID, at, "'%s' must be an integer from 1 to %lld",
                            field->name, (long long)KEY_RATE_MAX);
        *member = (int64_t)rate;
        break;
    default:
        if (clock_parse(value, member) != ERR_OK || *member == 0)
            return key_fail(r, ERR_INVALID, at,
                            "'%s' must be a day or a time in UTC, as 2026-12-31 or "
                            "2026-12-31T12:00:00Z",
                            field->name);
        break;
    }
    return ERR_OK;
}

enum err key_take(struct key_reader *r, const struct key_field *field, struct str value,
                  const char *at)
{
    switch (field->kind) {
    case KIND_ID:
    case KIND_TEXT:
        return take_text(r, field, value, at);
    case KIND_HASH:
        return take_hash(r, value, at);
    case KIND_LIST:
        return take_item(r, field, value, at);
    case KIND_FEEDBACK:
        if (key_feedback_parse(value, &r->key.feedback) != ERR_OK)
            return key_fail(r, ERR_INVALID, at, "'feedback' must be off, own or shared");
        return ERR_OK;
    default:
        return take_number(r, field, value, at);
    }
}

static void clear(struct key_reader *r, const struct key_field *field)
{
    void *member = (char *)&r->key + field->offset;

    switch (field->kind) {
    case KIND_ID:
    case KIND_TEXT:
        *(const char **)member = "";
        break;
    case KIND_HASH:
        r->key.n_hashes = 0;
        break;
    case KIND_LIST:
        *(struct key_list *)member = (struct key_list){ .given = false };
        break;
    case KIND_USD:
        *(int64_t *)member = MONEY_NONE;
        break;
    case KIND_FEEDBACK:
        r->key.feedback = KEY_FEEDBACK_OFF;
        break;
    default:
        *(int64_t *)member = 0;
        break;
    }
}

enum err key_change(struct key_reader *r, struct str name, struct str text)
{
    const struct key_field *field = NULL;
    enum err err = key_open(r, name, NULL, &field);
    struct str item;

    if (err != ERR_OK)
        return err;
    assert(field != NULL);
    clear(r, field);
    if (str_is(text, "none"))
        return ERR_OK;
    if (field->kind != KIND_LIST && field->kind != KIND_HASH)
        return key_take(r, field, text, NULL);
    while (err == ERR_OK && str_cut(&text, ',', &item))
        err = key_take(r, field, item, NULL);
    if (field->kind == KIND_LIST)
        ((struct key_list *)(void *)((char *)&r->key + field->offset))->given = true;
    return err;
}

void key_begin(struct key_reader *r)
{
    arena_clear(&r->scratch);
    key_init(&r->key);
    r->seen = 0;
}

enum err key_end(struct key_reader *r, const char *at)
{
    enum err err;

    r->key.experts.given = (r->seen >> (field_find(STR("experts")) - fields) & 1) != 0;
    r->key.policies.given = (r->seen >> (field_find(STR("policies")) - fields) & 1) != 0;
    if (r->key.id[0] == '\0')
        return key_fail(r, ERR_INVALID, at, "'id' is missing");
    if (r->key.n_hashes == 0)
        return key_fail(r, ERR_INVALID, at, "'hash' is missing");
    if (r->began != NULL && r->set->n < KEYS_MAX)
        r->began[r->set->n] = at;
    err = key_set_add(r->set, &r->key);
    if (err == ERR_TOO_LARGE)
        return key_fail(r, err, at, "more than %d keys", KEYS_MAX);
    return err == ERR_OK ? ERR_OK : key_no_memory(r);
}

/* -- writing ----------------------------------------------------------------------------- */

static bool needs_quotes(const char *text)
{
    return text[0] == '\0' || strpbrk(text, " \t") != NULL;
}

static void put_list(struct buf *out, const struct key_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        buf_putf(out, "%s%s", i > 0 ? "," : "", list->names[i]);
}

static void put_hashes(struct buf *out, const struct key *key)
{
    char text[KEY_HASH_TEXT];

    for (size_t i = 0; i < key->n_hashes; i++)
        buf_putf(out, "%s%s", i > 0 ? "," : "", key_hash_format(key->hashes[i], text));
}

/* Is the field at its default, so that it need not be written? */
static bool is_default(const struct key_field *field, const struct key *key)
{
    const void *member = (const char *)key + field->offset;

    switch (field->kind) {
    case KIND_ID:
    case KIND_TEXT:
        return (*(const char *const *)member)[0] == '\0';
    case KIND_HASH:
        return false;
    case KIND_LIST:
        return !((const struct key_list *)member)->given;
    case KIND_USD:
        return *(const int64_t *)member == MONEY_NONE;
    case KIND_FEEDBACK:
        return key->feedback == KEY_FEEDBACK_OFF;
    default:
        return *(const int64_t *)member == 0;
    }
}

static_assert(MONEY_TEXT_BYTES <= CLOCK_TEXT_BYTES, "put_value has one text for both");

static void put_value(struct buf *out, const struct key_field *field,
                      const struct key *key)
{
    const void *member = (const char *)key + field->offset;
    char text[CLOCK_TEXT_BYTES];
    const char *s;

    switch (field->kind) {
    case KIND_ID:
    case KIND_TEXT:
        s = *(const char *const *)member;
        buf_putf(out, needs_quotes(s) ? "\"%s\"" : "%s", s);
        break;
    case KIND_HASH:
        put_hashes(out, key);
        break;
    case KIND_LIST:
        put_list(out, member);
        break;
    case KIND_USD:
        buf_put(out, money_format(*(const int64_t *)member, text));
        break;
    case KIND_RATE:
        buf_putf(out, "%lld", (long long)*(const int64_t *)member);
        break;
    case KIND_TIME:
        buf_put(out, clock_format(*(const int64_t *)member, text));
        break;
    case KIND_FEEDBACK:
        buf_put(out, key_feedback_word(key->feedback));
        break;
    }
}

void key_file_put(const struct key *key, struct buf *out)
{
    bool first = true;

    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (is_default(&fields[i], key))
            continue;
        buf_putf(out, "%s%s=", first ? "" : " ", fields[i].name);
        put_value(out, &fields[i], key);
        first = false;
    }
}

void key_file_help(struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        buf_putf(out, "  %-20s %s\n", fields[i].name, fields[i].help);
}
