/* config_read.c - one value of the configuration at a time: found, checked, copied, or an
 * error that says where.
 *
 * A secret's value passes through here on its way into the arena and appears in no message.
 */
#include "gateway/domain/config_read.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/domain/jread.h"

/* -- where a node stands -- */

static struct jread_value locate(const struct config_node *node)
{
    struct jread_value parent, value = { JREAD_NOTHING, { NULL, 0 } };
    struct jread_iter it;

    if (!node->parent) {
        if (!jread_parse(node->reader->text, JREAD_MAX_DEPTH, &value))
            value.type = JREAD_NOTHING;
        return value;
    }
    parent = locate(node->parent);
    if (node->key)
        return jread_get(parent, node->key);
    it = jread_iter(parent);
    for (size_t i = 0; i <= node->index; i++)
        if (!jread_next_element(&it, &value))
            return (struct jread_value){ JREAD_NOTHING, { NULL, 0 } };
    return value;
}

static void find_line(const struct config_node *node, struct config_error *error)
{
    const char *p = node->reader->text.p;
    struct jread_value value = locate(node);

    /* What is absent is shown at the object that lacks it. */
    while (value.type == JREAD_NOTHING && node->parent) {
        node = node->parent;
        value = locate(node);
    }
    if (value.type == JREAD_NOTHING)
        return;
    error->line = 1;
    error->column = 1;
    for (; p < value.raw.p; p++) {
        error->column = *p == '\n' ? 1 : error->column + 1;
        error->line += *p == '\n';
    }
}

static void put_pointer(const struct config_node *node, struct buf *out)
{
    if (!node->parent)
        return;
    put_pointer(node->parent, out);
    if (!node->key) {
        buf_putf(out, "/%zu", node->index);
        return;
    }
    buf_put(out, "/");
    for (const char *p = node->key; *p != '\0'; p++) {
        if (*p == '~')
            buf_put(out, "~0");
        else if (*p == '/')
            buf_put(out, "~1");
        else
            buf_putf(out, "%c", *p);
    }
}

enum err config_fail(const struct config_node *node, const char *format, ...)
{
    struct config_error *error = node->reader->error;
    struct buf pointer;
    va_list arguments;

    if (error->set)
        return ERR_INVALID;
    error->set = true;
    buf_init(&pointer, sizeof(error->pointer) - 1);
    put_pointer(node, &pointer);
    (void)snprintf(error->pointer, sizeof(error->pointer), STR_FMT,
                   STR_ARG(buf_str(&pointer)));
    buf_release(&pointer);
    find_line(node, error);
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    return ERR_INVALID;
}

enum err config_fail_nomem(const struct config_node *node)
{
    (void)config_fail(node, "out of memory");
    return ERR_NOMEM;
}

struct config_node config_child(const struct config_node *object, const char *key)
{
    return (struct config_node){ object->reader, object, key, 0,
                                 json_object_get(object->json, key) };
}

struct config_node config_element(const struct config_node *list, size_t index)
{
    return (struct config_node){ list->reader, list, NULL, index,
                                 json_array_get(list->json, index) };
}

enum err config_want_object(const struct config_node *node)
{
    return json_is_object(node->json) ? ERR_OK : config_fail(node, "must be an object");
}

/* -- texts, names, paths -- */

const char *config_keep(const struct config_node *node, struct str text)
{
    struct str copy;

    if (arena_copy(&node->reader->config->arena, text, &copy) != ERR_OK) {
        (void)config_fail_nomem(node);
        return NULL;
    }
    return copy.p;
}

enum err config_text(const struct config_node *node, const char **ret_text)
{
    const char *kept;

    if (json_string_length(node->json) == 0) {
        (void)config_fail(node, json_is_string(node->json) ? "must not be empty"
                                                           : "must be a string");
        return ERR_INVALID;
    }
    kept = config_keep(node, str_of(json_string_value(node->json)));
    if (!kept)
        return ERR_NOMEM;
    *ret_text = kept;
    return ERR_OK;
}

enum err config_name(const struct config_node *node, const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789-_./:@+";
    size_t n = strlen(name);

    if (n == 0 || n > CONFIG_MAX_NAME)
        return config_fail(node, "a name has 1 to %d bytes", CONFIG_MAX_NAME);
    if (strspn(name, letters) != n)
        return config_fail(node, "a name has letters, digits and -_./:@+ only");
    return ERR_OK;
}

enum err config_path(const struct config_node *node, const char **ret_path)
{
    struct config *config = node->reader->config;
    const char *path = NULL, *resolved;
    enum err err = config_text(node, &path);

    if (err != ERR_OK)
        return err;
    assert(path != NULL);
    resolved = path;
    if (path[0] != '/')
        resolved = arena_printf(&config->arena, "%s/%s", config->folder, path);
    if (!resolved)
        return config_fail_nomem(node);
    *ret_path = resolved;
    return ERR_OK;
}

/* -- secrets -- */

static enum err keep_secret(const struct config_node *node, struct str secret,
                            const char **ret_secret)
{
    const char *kept;

    secret = str_trim(secret);
    if (secret.n == 0)
        return config_fail(node, "the secret is empty");
    for (size_t i = 0; i < secret.n; i++)
        if (secret.p[i] < '!' || secret.p[i] > '~')
            return config_fail(node, "the secret has bytes that a header cannot carry");
    kept = config_keep(node, secret);
    if (!kept)
        return ERR_NOMEM;
    *ret_secret = kept;
    return ERR_OK;
}

static enum err secret_of_file(const struct config_node *node, bool optional,
                               const char **ret_secret)
{
    char secret[CONFIG_MAX_SECRET + 1];
    const char *path;
    FILE *file;
    size_t n;
    bool broken;
    enum err err = config_path(node, &path);

    if (err != ERR_OK)
        return err;
    file = fopen(path, "re");
    if (!file && errno == ENOENT && optional)
        return ERR_OK;
    if (!file) {
        (void)config_fail(node, "cannot open '%s': %s", path, strerror(errno));
        return ERR_IO;
    }
    n = fread(secret, 1, sizeof(secret), file);
    broken = ferror(file) != 0;
    (void)fclose(file);
    if (broken)
        err = config_fail(node, "cannot read '%s'", path);
    else if (n > CONFIG_MAX_SECRET)
        err = config_fail(node, "'%s' is longer than %d bytes", path, CONFIG_MAX_SECRET);
    else
        err = keep_secret(node, (struct str){ secret, n }, ret_secret);
    explicit_bzero(secret, sizeof(secret));
    return err;
}

enum err config_secret(const struct config_node *node, const char **ret_secret)
{
    static const struct setting known[] = {
        { "env", SETTING_OTHER, .help = "name of an environment variable" },
        { "file", SETTING_OTHER, .help = "path of a file" },
        { "optional", SETTING_BOOL, .offset = 0, .help = "absence is no error" },
    };
    struct config_node env, file;
    const char *secret = NULL, *name = NULL, *value;
    bool optional = false;
    enum err err;

    if (!json_is_object(node->json))
        return config_fail(node, "must be {\"env\": NAME} or {\"file\": PATH}: a secret "
                                 "does not stand in a configuration");
    err = config_settings(node, known, ARRAY_LEN(known), &optional);
    if (err != ERR_OK)
        return err;
    env = config_child(node, "env");
    file = config_child(node, "file");
    if (!env.json == !file.json)
        return config_fail(node, "must have one of 'env' and 'file'");
    if (file.json) {
        err = secret_of_file(&file, optional, &secret);
    } else {
        err = config_text(&env, &name);
        if (err != ERR_OK)
            return err;
        assert(name != NULL);
        value = getenv(name);
        if (value)
            err = keep_secret(&env, str_of(value), &secret);
        else if (!optional)
            err = config_fail(&env, "the environment variable '%s' is not set", name);
    }
    if (err != ERR_OK)
        return err;
    *ret_secret = secret;
    return ERR_OK;
}

/* -- tables -- */

#define NEAR 2 /* edits within which an unknown key is taken for a mistyped one */

static enum err check_keys(const struct config_node *object, const struct setting *table,
                           size_t n)
{
    const char *key;
    json_t *value;

    json_object_foreach(object->json, key, value)
    {
        struct config_node child = config_child(object, key);
        const char *nearest = NULL;
        unsigned best = NEAR + 1;
        bool known = false;

        for (size_t i = 0; i < n && !known; i++) {
            unsigned distance = str_distance(str_of(key), str_of(table[i].key), NEAR);

            known = strcmp(key, table[i].key) == 0;
            if (distance < best)
                best = distance, nearest = table[i].key;
        }
        /* Keys that begin with '$' or '_' are remarks ("$schema", "_comment"). */
        if (known || key[0] == '$' || key[0] == '_')
            continue;
        if (nearest)
            return config_fail(&child, "unknown key: did you mean '%s'?", nearest);
        return config_fail(&child, "unknown key");
    }
    return ERR_OK;
}

static enum err read_int(const struct config_node *node, const struct setting *s,
                         int64_t *ret_value)
{
    json_int_t value;

    if (!json_is_integer(node->json))
        return config_fail(node, "must be an integer");
    value = json_integer_value(node->json);
    if ((double)value < s->low || (double)value > s->high)
        return config_fail(node, "must be from %.0f to %.0f", s->low, s->high);
    *ret_value = value;
    return ERR_OK;
}

static enum err read_number(const struct config_node *node, const struct setting *s,
                            double *ret_value)
{
    double value;

    if (!json_is_number(node->json))
        return config_fail(node, "must be a number");
    value = json_number_value(node->json);
    if (!(value >= s->low && value <= s->high))
        return config_fail(node, "must be from %g to %g", s->low, s->high);
    *ret_value = value;
    return ERR_OK;
}

/* From the text of the file: jansson's double would not be exact. */
static enum err read_money(const struct config_node *node, const struct setting *s,
                           int64_t *ret_pico)
{
    bool per_million = s->type == SETTING_PER_MILLION;
    struct str raw = locate(node).raw;
    enum err err;

    if (!json_is_number(node->json))
        return config_fail(node, "must be a number of USD%s",
                           per_million ? " per million tokens" : "");
    if (str_starts(raw, "-"))
        return config_fail(node, "must not be negative");
    err =
        per_million ? money_parse_per_million(raw, ret_pico) : money_parse(raw, ret_pico);
    if (err == ERR_OVERFLOW)
        return config_fail(node, "is more money than there is");
    if (err != ERR_OK)
        return config_fail(node, "is finer than %s USD%s", per_million ? "1e-6" : "1e-12",
                           per_million ? " per million tokens" : "");
    return ERR_OK;
}

enum err config_per_million(const struct config_node *node, int64_t *ret_pico)
{
    static const struct setting price = { .type = SETTING_PER_MILLION };

    return read_money(node, &price, ret_pico);
}

static enum err read_word(const struct config_node *node, const struct setting *s,
                          int *ret_value)
{
    char all[200] = "";
    size_t n = 0;

    for (int i = 0; s->words[i]; i++) {
        if (json_is_string(node->json) &&
            strcmp(json_string_value(node->json), s->words[i]) == 0) {
            *ret_value = i;
            return ERR_OK;
        }
        n += (size_t)snprintf(all + n, sizeof(all) - n, "%s'%s'", i > 0 ? ", " : "",
                              s->words[i]);
        assert(n < sizeof(all));
    }
    return config_fail(node, "must be one of %s", all);
}

static enum err read_setting(const struct config_node *node, const struct setting *s,
                             void *target)
{
    void *member = (char *)target + s->offset;
    const char *text = NULL;
    enum err err = ERR_OK;
    int word = 0;

    switch (s->type) {
    case SETTING_INT:
        return read_int(node, s, member);
    case SETTING_NUMBER:
        return read_number(node, s, member);
    case SETTING_BOOL:
        if (!json_is_boolean(node->json))
            return config_fail(node, "must be true or false");
        *(bool *)member = json_is_true(node->json);
        return ERR_OK;
    case SETTING_TEXT:
    case SETTING_PATH:
        err =
            s->type == SETTING_TEXT ? config_text(node, &text) : config_path(node, &text);
        if (err == ERR_OK)
            memcpy(member, &text, sizeof(text));
        return err;
    case SETTING_WORD:
        err = read_word(node, s, &word);
        if (err == ERR_OK)
            memcpy(member, &word, sizeof(word)); /* an enum is an int here */
        return err;
    case SETTING_USD:
    case SETTING_PER_MILLION:
        return read_money(node, s, member);
    case SETTING_OTHER:
        break;
    }
    return ERR_OK;
}

static_assert(sizeof(enum setting_type) == sizeof(int), "words are written as int");

/* Fallbacks are texts of the program, written as in a file: they cannot be wrong. */
static void set_fallback(const struct setting *s, void *target)
{
    void *member = (char *)target + s->offset;
    const char *text = s->fallback;
    int word = 0;

    switch (s->type) {
    case SETTING_INT:
        *(int64_t *)member = text ? strtoll(text, NULL, 10) : 0;
        break;
    case SETTING_NUMBER:
        *(double *)member = text ? strtod(text, NULL) : 0;
        break;
    case SETTING_BOOL:
        *(bool *)member = text && strcmp(text, "true") == 0;
        break;
    case SETTING_TEXT:
    case SETTING_PATH:
        memcpy(member, &text, sizeof(text));
        break;
    case SETTING_WORD:
        while (text && s->words[word] && strcmp(s->words[word], text) != 0)
            word++;
        memcpy(member, &word, sizeof(word));
        break;
    case SETTING_USD:
    case SETTING_PER_MILLION:
        *(int64_t *)member = MONEY_NONE;
        if (text)
            IGNORE(money_parse(str_of(text), member));
        break;
    case SETTING_OTHER:
        break;
    }
}

static enum err read_settings(const struct config_node *object,
                              const struct setting *table, size_t n, bool over,
                              void *target)
{
    enum err err = config_want_object(object);

    if (err == ERR_OK)
        err = check_keys(object, table, n);
    for (size_t i = 0; i < n && err == ERR_OK; i++) {
        struct config_node child = config_child(object, table[i].key);

        if (!child.json && table[i].required && !over)
            return config_fail(object, "'%s' is missing", table[i].key);
        if (child.json)
            err = read_setting(&child, &table[i], target);
    }
    return err;
}

enum err config_settings(const struct config_node *object, const struct setting *table,
                         size_t n, void *target)
{
    for (size_t i = 0; i < n; i++)
        if (table[i].type != SETTING_OTHER)
            set_fallback(&table[i], target);
    return object->json ? read_settings(object, table, n, false, target) : ERR_OK;
}

enum err config_settings_over(const struct config_node *object,
                              const struct setting *table, size_t n, void *target)
{
    return read_settings(object, table, n, true, target);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_setting(const struct setting *s, const void *before, const void *after)
{
    const void *a = (const char *)before + s->offset,
               *b = (const char *)after + s->offset;

    switch (s->type) {
    case SETTING_INT:
    case SETTING_USD:
    case SETTING_PER_MILLION:
        return memcmp(a, b, sizeof(int64_t)) == 0;
    case SETTING_NUMBER:
        return memcmp(a, b, sizeof(double)) == 0;
    case SETTING_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case SETTING_WORD:
        return memcmp(a, b, sizeof(int)) == 0;
    case SETTING_TEXT:
    case SETTING_PATH:
        return same_text(*(const char *const *)a, *(const char *const *)b);
    case SETTING_OTHER:
        break;
    }
    return true;
}

void config_settings_differ(const char *section, const struct setting *table, size_t n,
                            const void *before, const void *after, config_named fn,
                            void *context)
{
    char name[128];

    for (size_t i = 0; i < n; i++) {
        if (!table[i].restart || same_setting(&table[i], before, after))
            continue;
        (void)snprintf(name, sizeof name, "%s%s%s", section,
                       section[0] != '\0' ? "." : "", table[i].key);
        fn(context, name);
    }
}

void config_settings_help(const char *section, const struct setting *table, size_t n,
                          struct buf *out)
{
    static const char *const types[] = {
        "integer", "number", "boolean",         "string",   "path",
        "word",    "USD",    "USD per million", "structure"
    };

    for (size_t i = 0; i < n; i++) {
        const struct setting *s = &table[i];

        buf_putf(out, "%s%s%s  %s", section, section[0] != '\0' ? "." : "", s->key,
                 types[s->type]);
        for (size_t w = 0; s->words && s->words[w]; w++)
            buf_putf(out, "%s%s", w > 0 ? "|" : " ", s->words[w]);
        if (s->type == SETTING_INT || s->type == SETTING_NUMBER)
            buf_putf(out, ", %.10g to %.10g", s->low, s->high);
        if (s->fallback)
            buf_putf(out, ", default %s", s->fallback);
        buf_putf(out, "%s%s: %s\n", s->required ? ", required" : "",
                 s->restart ? ", needs a restart" : "", s->help);
    }
}
