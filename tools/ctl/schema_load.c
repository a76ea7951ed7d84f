/* schema_load.c - a schema file is read, and refused whole where it asks for what is not
 * checked. */
#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/schema_private.h"

static const char *const types[] = { "null",   "boolean", "object", "array",
                                     "number", "string",  "integer" };
static const char *const dialects[] = {
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
};

static enum fault_err read_node(struct schema *schema, const json_t *node,
                                const char *place, unsigned depth, struct fault *fault);

static enum fault_err wrong(const struct schema *schema, const char *place,
                            const char *what, struct fault *fault)
{
    return fault_set(fault, FAULT_INPUT, "%s: '#%s' %s", schema->path, place, what);
}

static bool known_type(const json_t *value)
{
    for (size_t i = 0; json_is_string(value) && i < ARRAY_LEN(types); i++) {
        if (strcmp(types[i], json_string_value(value)) == 0)
            return true;
    }
    return false;
}

static bool known_types(const json_t *value)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (!known_type(json_array_get(value, i)))
            return false;
    }
    return known_type(value) || json_array_size(value) > 0;
}

static bool all_strings(const json_t *value)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (!json_is_string(json_array_get(value, i)))
            return false;
    }
    return json_is_array(value);
}

static bool all_lists_of_strings(const json_t *value)
{
    const char *name;
    json_t *names;

    json_object_foreach((json_t *)value, name, names)
    {
        if (!all_strings(names))
            return false;
    }
    return json_is_object(value);
}

static enum fault_err read_pattern(struct schema *schema, const char *text,
                                   const char *place, struct fault *fault)
{
    struct pattern_error error = { .text = "" };
    struct pattern *pattern;

    if (schema_pattern(schema, text) != NULL)
        return FAULT_OK;
    if (strlen(text) > PATTERN_MAX_BYTES)
        return wrong(schema, place, "is too long for a regular expression", fault);
    if (pattern_new(str_of(text), &pattern, &error) != ERR_OK)
        return fault_set(fault, FAULT_INPUT,
                         "%s: '#%s' is no regular expression that can be used: %s",
                         schema->path, place, error.text);
    schema->patterns = memory_resize(schema->patterns, schema->n_patterns + 1,
                                     sizeof(*schema->patterns));
    schema->patterns[schema->n_patterns++] = (struct schema_pattern){ text, pattern };
    return FAULT_OK;
}

static enum fault_err read_list(struct schema *schema, const json_t *list,
                                const char *place, unsigned depth, struct fault *fault)
{
    enum fault_err err = FAULT_OK;

    if (json_array_size(list) == 0)
        return wrong(schema, place, "must be a list of schemas, not empty", fault);
    for (size_t i = 0; err == FAULT_OK && i < json_array_size(list); i++) {
        char *below = memory_format("%s/%zu", place, i);
        err = read_node(schema, json_array_get(list, i), below, depth + 1, fault);
        free(below);
    }
    return err;
}

static enum fault_err read_map(struct schema *schema, const json_t *map, bool patterns,
                               const char *place, unsigned depth, struct fault *fault)
{
    enum fault_err err = FAULT_OK;
    const char *name;
    json_t *node;

    if (!json_is_object(map))
        return wrong(schema, place, "must be an object of schemas", fault);
    json_object_foreach((json_t *)map, name, node)
    {
        char *below = memory_format("%s/%s", place, name);
        if (patterns)
            err = read_pattern(schema, name, below, fault);
        if (err == FAULT_OK)
            err = read_node(schema, node, below, depth + 1, fault);
        free(below);
        if (err != FAULT_OK)
            break;
    }
    return err;
}

static enum fault_err need(const struct schema *schema, bool sound, const char *place,
                           const char *what, struct fault *fault)
{
    return sound ? FAULT_OK : wrong(schema, place, what, fault);
}

static enum fault_err read_value(struct schema *schema, enum shape shape,
                                 const json_t *value, const char *place, unsigned depth,
                                 struct fault *fault)
{
    double number = json_is_number(value) ? json_number_value(value) : -1;

    switch (shape) {
    case SHAPE_NOTE:
    case SHAPE_ANY:
        return FAULT_OK;
    case SHAPE_TYPE:
        return need(schema, known_types(value), place,
                    "must be a type of JSON, or a list of them", fault);
    case SHAPE_COUNT:
        return need(schema, number >= 0 && number == (double)(long long)number, place,
                    "must be a whole number from 0 on", fault);
    case SHAPE_NUMBER:
        return need(schema, json_is_number(value), place, "must be a number", fault);
    case SHAPE_FACTOR:
        return need(schema, number > 0, place, "must be a number above 0", fault);
    case SHAPE_FLAG:
        return need(schema, json_is_boolean(value), place, "must be true or false",
                    fault);
    case SHAPE_LIST:
        return need(schema, json_array_size(value) > 0, place,
                    "must be a list, not empty", fault);
    case SHAPE_NAMES:
        return need(schema, all_strings(value), place, "must be a list of strings",
                    fault);
    case SHAPE_NAMES_OF:
        return need(schema, all_lists_of_strings(value), place,
                    "must be an object of lists of strings", fault);
    case SHAPE_REGEX:
        if (!json_is_string(value))
            return wrong(schema, place, "must be a string", fault);
        return read_pattern(schema, json_string_value(value), place, fault);
    case SHAPE_REF:
        return need(schema,
                    json_is_string(value) &&
                        schema_resolve(schema->root, json_string_value(value)) != NULL,
                    place, "must name a place in this file, as '#/$defs/name' does",
                    fault);
    case SHAPE_SCHEMA:
        return read_node(schema, value, place, depth + 1, fault);
    case SHAPE_SCHEMAS:
        return read_list(schema, value, place, depth, fault);
    case SHAPE_MAP:
    case SHAPE_REGEX_MAP:
        return read_map(schema, value, shape == SHAPE_REGEX_MAP, place, depth, fault);
    }
    return FAULT_OK;
}

static enum fault_err read_node(struct schema *schema, const json_t *node,
                                const char *place, unsigned depth, struct fault *fault)
{
    enum fault_err err = FAULT_OK;
    const char *name;
    json_t *value;

    if (depth > SCHEMA_DEPTH)
        return wrong(schema, "", "is nested too deeply", fault);
    if (json_is_array(node))
        return wrong(schema, place,
                     "is a list of schemas: write 'prefixItems' for it, and 'items' for "
                     "what follows",
                     fault);
    if (!json_is_object(node))
        return need(schema, json_is_boolean(node), place,
                    "must be a schema: an object, true or false", fault);
    json_object_foreach((json_t *)node, name, value)
    {
        const struct schema_keyword *keyword = schema_keyword(name);
        char *below = memory_format("%s/%s", place, name);
        if (keyword == NULL)
            err = wrong(schema, below, "is a keyword that is not checked here", fault);
        else
            err = read_value(schema, keyword->shape, value, below, depth, fault);
        free(below);
        if (err != FAULT_OK)
            break;
    }
    return err;
}

/* A draft whose keywords mean something else would be read wrongly. */
static enum fault_err check_dialect(const struct schema *schema, struct fault *fault)
{
    const json_t *given = json_object_get(schema->root, "$schema");
    const char *name = json_string_value(given);

    if (given == NULL)
        return FAULT_OK;
    for (size_t i = 0; name != NULL && i < ARRAY_LEN(dialects); i++) {
        size_t n = strlen(dialects[i]);
        if (strncmp(name, dialects[i], n) == 0 &&
            (name[n] == '\0' || strcmp(name + n, "#") == 0))
            return FAULT_OK;
    }
    return wrong(schema, "/$schema", "names no draft from 07 to 2020-12", fault);
}

enum fault_err schema_load(const char *path, struct schema **ret_schema,
                           struct fault *fault)
{
    struct schema *schema = memory_new(1, sizeof(*schema));
    json_error_t error;
    enum fault_err err;

    schema->path = memory_text(path);
    schema->root = json_load_file(path, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    if (schema->root == NULL && json_error_code(&error) == json_error_cannot_open_file)
        err = fault_set(fault, FAULT_IO, "cannot open '%s': %s", path, error.text);
    else if (schema->root == NULL)
        err = fault_at(fault, FAULT_INPUT, path, (size_t)error.line,
                       "not valid JSON: %s (column %d)", error.text, error.column);
    else
        err = check_dialect(schema, fault);
    if (err == FAULT_OK)
        err = read_node(schema, schema->root, "", 0, fault);
    if (err != FAULT_OK) {
        schema_free(schema);
        return err;
    }
    *ret_schema = schema;
    return FAULT_OK;
}

void schema_free(struct schema *schema)
{
    if (schema == NULL)
        return;
    for (size_t i = 0; i < schema->n_patterns; i++)
        pattern_free(schema->patterns[i].pattern);
    free(schema->patterns);
    json_decref(schema->root);
    free(schema->path);
    free(schema);
}

enum schema_answer schema_allows(const struct schema *schema, const char *text,
                                 size_t bytes)
{
    struct walk walk = { .schema = schema };
    json_error_t error;
    json_t *value = json_loadb(text, bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);

    if (value == NULL && json_error_code(&error) == json_error_numeric_overflow)
        value = json_loadb(text, bytes,
                           JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL,
                           &error);
    if (value == NULL)
        return SCHEMA_NO;
    bool allowed = schema_walk(&walk, schema->root, value, 0);
    json_decref(value);
    if (walk.unknown)
        return SCHEMA_UNKNOWN;
    return allowed ? SCHEMA_YES : SCHEMA_NO;
}
