/* key_file.c - reads the mounted file of keys in both of its forms; see key_file.h.
 *
 * Both end in the same place: key_take() with a field, a text and where it stands.
 * Positions are found by counting lines up to the byte that was complained about.
 */
#include "gateway/domain/key_file.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "gateway/domain/jread.h"
#include "gateway/domain/key_fields.h"

#define DEPTH   8
#define ROOM    4096
#define SCRATCH (1u << 20) /* texts of one key */

const char *key_file_error_text(const char *path, const struct key_file_error *error,
                                char *text, size_t bytes)
{
    if (error->line > 0)
        (void)snprintf(text, bytes, "%s:%d:%d: %s", path, error->line, error->column,
                       error->text);
    else
        (void)snprintf(text, bytes, "%s: %s", path, error->text);
    return text;
}

/* -- a key on each line ------------------------------------------------------------------ */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct str skip_blanks(struct str line)
{
    while (line.n > 0 && is_blank(line.p[0]))
        line = str_skip(line, 1);
    return line;
}

/* `value` up to a blank, or "in quotes"; *line is what follows. */
static enum err line_value(struct key_reader *r, struct str *line, struct str *ret_value)
{
    bool quoted = line->n > 0 && line->p[0] == '"';
    struct str rest = quoted ? str_skip(*line, 1) : *line;
    size_t n = 0;

    while (n < rest.n && (quoted ? rest.p[n] != '"' : !is_blank(rest.p[n])))
        n++;
    if (quoted && n == rest.n)
        return key_fail(r, ERR_INVALID, line->p, "a quote is not closed");
    *ret_value = str_first(rest, n);
    *line = str_skip(rest, quoted ? n + 1 : n);
    if (quoted && line->n > 0 && !is_blank(line->p[0]))
        return key_fail(r, ERR_INVALID, line->p, "a blank must follow a closing quote");
    return ERR_OK;
}

static enum err line_field(struct key_reader *r, struct str *line)
{
    const struct key_field *field = NULL;
    struct str value, item;
    const char *at = line->p;
    size_t n = 0;
    enum err err;

    while (n < line->n && line->p[n] != '=' && !is_blank(line->p[n]))
        n++;
    if (n == line->n || line->p[n] != '=')
        return key_fail(r, ERR_INVALID, at, "must be name=value");
    err = key_open(r, str_first(*line, n), at, &field);
    if (err != ERR_OK)
        return err;
    *line = str_skip(*line, n + 1);
    err = line_value(r, line, &value);
    if (err != ERR_OK)
        return err;
    if (field->kind != KIND_LIST && field->kind != KIND_HASH)
        return key_take(r, field, value, value.p);
    while (err == ERR_OK && value.n > 0 && str_cut(&value, ',', &item))
        err = key_take(r, field, item, item.p);
    return err;
}

static enum err read_line(struct key_reader *r, struct str line)
{
    const char *at;
    enum err err = ERR_OK;

    line = skip_blanks(line);
    at = line.p;
    if (line.n == 0 || line.p[0] == '#')
        return ERR_OK;
    key_begin(r);
    while (err == ERR_OK && line.n > 0) {
        err = line_field(r, &line);
        line = skip_blanks(line);
    }
    return err == ERR_OK ? key_end(r, at) : err;
}

static enum err read_lines(struct key_reader *r)
{
    struct str text = r->text, line;
    enum err err = ERR_OK;

    while (err == ERR_OK && text.p != NULL && str_cut(&text, '\n', &line))
        err = read_line(r, line);
    return err;
}

/* -- JSON -------------------------------------------------------------------------------- */

/* A text, or a number as it is written. */
static enum err json_scalar(struct key_reader *r, const struct key_field *field,
                            struct jread_value value)
{
    bool number = field->kind == KIND_USD || field->kind == KIND_RATE;
    struct str text = value.raw;

    if (value.type != (number ? JREAD_NUMBER : JREAD_TEXT))
        return key_fail(r, ERR_INVALID, value.raw.p, "'%s' must be %s, not %s",
                        field->name, number ? "a number" : "a string",
                        jread_type_name(value.type));
    if (!number && jread_string(value, &r->scratch, &text) != ERR_OK)
        return key_no_memory(r);
    return key_take(r, field, text, value.raw.p);
}

static enum err json_field(struct key_reader *r, struct jread_value key,
                           struct jread_value value)
{
    const struct key_field *field = NULL;
    struct jread_iter it = jread_iter(value);
    struct jread_value item;
    struct str name;
    enum err err;

    if (jread_string(key, &r->scratch, &name) != ERR_OK)
        return key_no_memory(r);
    err = key_open(r, name, key.raw.p, &field);
    if (err != ERR_OK)
        return err;
    if (value.type != JREAD_LIST && field->kind == KIND_LIST)
        return key_fail(r, ERR_INVALID, value.raw.p, "'%s' must be a list of names",
                        field->name);
    if (value.type != JREAD_LIST ||
        (field->kind != KIND_LIST && field->kind != KIND_HASH))
        return json_scalar(r, field, value);
    while (err == ERR_OK && jread_next_element(&it, &item))
        err = json_scalar(r, field, item);
    return err;
}

static enum err json_key(struct key_reader *r, struct jread_value map)
{
    struct jread_iter it = jread_iter(map);
    struct jread_value key, value;
    enum err err = ERR_OK;

    if (map.type != JREAD_MAP)
        return key_fail(r, ERR_INVALID, map.raw.p, "a key must be an object, not %s",
                        jread_type_name(map.type));
    key_begin(r);
    while (err == ERR_OK && jread_next_member(&it, &key, &value))
        err = json_field(r, key, value);
    return err == ERR_OK ? key_end(r, map.raw.p) : err;
}

/* jansson knows where a syntax error is, and finds members that are given twice. */
static enum err json_syntax(struct key_reader *r)
{
    json_error_t syntax;
    json_t *tree = json_loadb(r->text.p, r->text.n, JSON_REJECT_DUPLICATES, &syntax);
    char *near;

    if (tree != NULL) {
        json_decref(tree);
        return ERR_OK;
    }
    near = strstr(syntax.text, " near ");
    if (near != NULL)
        *near = '\0'; /* what stands there may be a secret */
    (void)key_fail(r, ERR_INVALID, NULL, "%s", syntax.text);
    if (r->error != NULL && r->error->line == 0) {
        r->error->line = syntax.line;
        r->error->column = syntax.column;
    }
    return ERR_INVALID;
}

static enum err read_json(struct key_reader *r)
{
    struct jread_value root, key, list = { .type = JREAD_NOTHING }, value;
    struct jread_iter it;
    enum err err = json_syntax(r);

    if (err != ERR_OK)
        return err;
    if (!jread_parse(r->text, DEPTH, &root))
        return key_fail(r, ERR_INVALID, NULL, "nested too deeply");
    it = jread_iter(root);
    while (jread_next_member(&it, &key, &value)) {
        if (!jread_string_is(key, "keys"))
            return key_fail(r, ERR_INVALID, key.raw.p,
                            "unknown member, only 'keys' is known");
        list = value;
    }
    if (list.type != JREAD_LIST)
        return key_fail(r, ERR_INVALID, root.raw.p, "must be {\"keys\": [...]}");
    it = jread_iter(list);
    while (err == ERR_OK && jread_next_element(&it, &value))
        err = json_key(r, value);
    return err;
}

/* -- the whole --------------------------------------------------------------------------- */

static int compare_ids(const void *a, const void *b)
{
    const struct key *const *left = a, *const *right = b;

    return strcmp((*left)->id, (*right)->id);
}

/* The later of two with the same id is complained about. */
static enum err check_ids(struct key_reader *r)
{
    const struct key_set *set = r->set;
    const struct key **sorted = calloc(set->n + 1, sizeof(*sorted));
    enum err err = ERR_OK;

    if (sorted == NULL)
        return key_no_memory(r);
    for (size_t i = 0; i < set->n; i++)
        sorted[i] = &set->keys[i];
    qsort(sorted, set->n, sizeof(*sorted), compare_ids);
    for (size_t i = 1; i < set->n && err == ERR_OK; i++) {
        const struct key *a = sorted[i - 1], *b = sorted[i];

        if (strcmp(a->id, b->id) == 0)
            err = key_fail(r, ERR_INVALID, r->began[(a > b ? a : b) - set->keys],
                           "the id '%s' is given twice", b->id);
    }
    free(sorted);
    return err;
}

enum err key_file_parse(struct str text, struct key_set *set,
                        struct key_file_error *error)
{
    struct str trimmed = str_trim(text);
    struct key_reader *r = calloc(1, sizeof *r);
    enum err err;

    assert(set->n == 0);
    if (r != NULL)
        r->began = calloc(KEYS_MAX, sizeof(*r->began));
    if (r == NULL || r->began == NULL) {
        free(r);
        return ERR_NOMEM;
    }
    r->text = text;
    r->set = set;
    r->error = error;
    arena_init(&r->scratch, SCRATCH);
    if (trimmed.n > 0 && (trimmed.p[0] == '{' || trimmed.p[0] == '['))
        err = read_json(r);
    else
        err = read_lines(r);
    if (err == ERR_OK)
        err = check_ids(r);
    arena_release(&r->scratch);
    free(r->began);
    free(r);
    return err;
}

static enum err read_all(FILE *file, struct buf *text)
{
    enum err err = ERR_OK;
    size_t n = 1;
    char *room;

    while (err == ERR_OK && n > 0) {
        err = buf_room(text, ROOM, &room);
        if (err != ERR_OK)
            break;
        n = fread(room, 1, ROOM, file);
        buf_commit(text, n);
    }
    return err == ERR_OK && ferror(file) ? ERR_IO : err;
}

enum err key_file_read(const char *path, struct key_set *set,
                       struct key_file_error *error)
{
    struct key_reader whole = { .error = error };
    FILE *file = fopen(path, "re");
    struct buf text;
    enum err err;

    if (file == NULL)
        return key_fail(&whole, ERR_IO, NULL, "cannot open: %s", strerror(errno));
    buf_init(&text, KEY_FILE_MAX);
    err = read_all(file, &text);
    if (err != ERR_OK)
        err = key_fail(&whole, err, NULL, "cannot read: %s",
                       err == ERR_IO ? strerror(errno) : err_text(err));
    else
        err = key_file_parse(buf_str(&text), set, error);
    buf_release(&text);
    (void)fclose(file);
    return err;
}
