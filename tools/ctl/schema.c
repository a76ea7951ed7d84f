/* schema.c - the keywords: a table, and a check for each that asserts something. */
#include "tools/ctl/schema.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/memory.h"
#include "tools/ctl/schema_private.h"

#define CHECK(name)                                                                      \
    static bool check_##name(struct walk *walk, const json_t *node, const json_t *given, \
                             const json_t *value, unsigned depth)
/* Parameters of every check: the schema it stands in, the keyword's value, what is checked.
 */
#define UNUSED (void)walk, (void)node, (void)given, (void)value, (void)depth

/* -- values -- */

static bool same(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *member;

    if (json_is_number(a) && json_is_number(b)) {
        if (json_is_integer(a) && json_is_integer(b))
            return json_integer_value(a) == json_integer_value(b);
        return json_number_value(a) == json_number_value(b);
    }
    if (json_typeof(a) != json_typeof(b))
        return false;
    if (json_is_array(a)) {
        if (json_array_size(a) != json_array_size(b))
            return false;
        for (size_t i = 0; i < json_array_size(a); i++) {
            if (!same(json_array_get(a, i), json_array_get(b, i)))
                return false;
        }
        return true;
    }
    if (!json_is_object(a))
        return json_equal(a, b) == 1;
    if (json_object_size(a) != json_object_size(b))
        return false;
    json_object_foreach((json_t *)a, key, member)
    {
        const json_t *other = json_object_get(b, key);
        if (other == NULL || !same(member, other))
            return false;
    }
    return true;
}

static bool of_type(const json_t *value, const char *type)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return strcmp(type, "object") == 0;
    case JSON_ARRAY:
        return strcmp(type, "array") == 0;
    case JSON_STRING:
        return strcmp(type, "string") == 0;
    case JSON_INTEGER:
        return strcmp(type, "integer") == 0 || strcmp(type, "number") == 0;
    case JSON_REAL:
        return strcmp(type, "number") == 0 ||
               (strcmp(type, "integer") == 0 &&
                floor(json_real_value(value)) == json_real_value(value));
    case JSON_TRUE:
    case JSON_FALSE:
        return strcmp(type, "boolean") == 0;
    case JSON_NULL:
        return strcmp(type, "null") == 0;
    }
    return false;
}

static double code_points(const json_t *text)
{
    const char *p = json_string_value(text);
    size_t n = json_string_length(text), count = 0;

    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)p[i] & 0xC0) != 0x80;
    return (double)count;
}

const struct pattern *schema_pattern(const struct schema *schema, const char *text)
{
    for (size_t i = 0; i < schema->n_patterns; i++) {
        if (strcmp(schema->patterns[i].text, text) == 0)
            return schema->patterns[i].pattern;
    }
    return NULL;
}

static bool matches(struct walk *walk, const struct pattern *pattern, const char *text,
                    size_t n)
{
    enum pattern_found found = pattern_find(pattern, (struct str){ text, n });

    walk->unknown = walk->unknown || found == PATTERN_TOO_HARD;
    return found == PATTERN_FOUND;
}

/* -- assertions about one value -- */

CHECK(type)
{
    UNUSED;
    if (json_is_string(given))
        return of_type(value, json_string_value(given));
    for (size_t i = 0; i < json_array_size(given); i++) {
        if (of_type(value, json_string_value(json_array_get(given, i))))
            return true;
    }
    return false;
}

CHECK(const)
{
    UNUSED;
    return same(given, value);
}

CHECK(enum)
{
    UNUSED;
    for (size_t i = 0; i < json_array_size(given); i++) {
        if (same(json_array_get(given, i), value))
            return true;
    }
    return false;
}

#define CHECK_NUMBER(name, condition)                                                    \
    CHECK(name)                                                                          \
    {                                                                                    \
        UNUSED;                                                                          \
        double x = json_number_value(value), bound = json_number_value(given);           \
        return !json_is_number(value) || (condition);                                    \
    }
CHECK_NUMBER(minimum, x >= bound)
CHECK_NUMBER(maximum, x <= bound)
CHECK_NUMBER(exclusiveMinimum, x > bound)
CHECK_NUMBER(exclusiveMaximum, x < bound)
/* By the nearest multiple, since 0.3 / 0.1 is not a whole number in binary. */
CHECK_NUMBER(multipleOf,
             fabs(x / bound - round(x / bound)) <= 1e-9 * fmax(1, fabs(x / bound)))

#define CHECK_SIZE(name, is, size, sign)                                                 \
    CHECK(name)                                                                          \
    {                                                                                    \
        UNUSED;                                                                          \
        return !is(value) || (double)size(value) sign json_number_value(given);          \
    }
CHECK_SIZE(minLength, json_is_string, code_points, >=)
CHECK_SIZE(maxLength, json_is_string, code_points, <=)
CHECK_SIZE(minItems, json_is_array, json_array_size, >=)
CHECK_SIZE(maxItems, json_is_array, json_array_size, <=)
CHECK_SIZE(minProperties, json_is_object, json_object_size, >=)
CHECK_SIZE(maxProperties, json_is_object, json_object_size, <=)

CHECK(pattern)
{
    UNUSED;
    return !json_is_string(value) ||
           matches(walk, schema_pattern(walk->schema, json_string_value(given)),
                   json_string_value(value), json_string_length(value));
}

/* -- arrays -- */

CHECK(uniqueItems)
{
    UNUSED;
    for (size_t i = 0; json_is_true(given) && i < json_array_size(value); i++) {
        for (size_t j = i + 1; j < json_array_size(value); j++) {
            if (++walk->steps > SCHEMA_STEPS)
                walk->unknown = true;
            if (walk->unknown || same(json_array_get(value, i), json_array_get(value, j)))
                return false;
        }
    }
    return true;
}

CHECK(prefixItems)
{
    UNUSED;
    for (size_t i = 0; i < json_array_size(value) && i < json_array_size(given); i++) {
        if (!schema_walk(walk, json_array_get(given, i), json_array_get(value, i),
                         depth + 1))
            return false;
    }
    return true;
}

CHECK(items)
{
    UNUSED;
    size_t from = json_array_size(json_object_get(node, "prefixItems"));

    for (size_t i = from; i < json_array_size(value); i++) {
        if (!schema_walk(walk, given, json_array_get(value, i), depth + 1))
            return false;
    }
    return true;
}

CHECK(contains)
{
    UNUSED;
    const json_t *least = json_object_get(node, "minContains");
    const json_t *most = json_object_get(node, "maxContains");
    double count = 0;

    for (size_t i = 0; i < json_array_size(value); i++)
        count += schema_walk(walk, given, json_array_get(value, i), depth + 1) ? 1 : 0;
    return !json_is_array(value) ||
           (count >= (least != NULL ? json_number_value(least) : 1) &&
            (most == NULL || count <= json_number_value(most)));
}

/* -- objects -- */

CHECK(required)
{
    UNUSED;
    for (size_t i = 0; json_is_object(value) && i < json_array_size(given); i++) {
        if (json_object_get(value, json_string_value(json_array_get(given, i))) == NULL)
            return false;
    }
    return true;
}

CHECK(dependentRequired)
{
    UNUSED;
    const char *name;
    json_t *names;

    json_object_foreach((json_t *)given, name, names)
    {
        if (json_object_get(value, name) != NULL &&
            !check_required(walk, node, names, value, depth))
            return false;
    }
    return true;
}

CHECK(properties)
{
    UNUSED;
    const char *name;
    json_t *below;

    json_object_foreach((json_t *)given, name, below)
    {
        const json_t *member = json_object_get(value, name);
        if (member != NULL && !schema_walk(walk, below, member, depth + 1))
            return false;
    }
    return true;
}

/* Is the member allowed by all patterns that its name matches? *ret_any: there is one. */
static bool by_patterns(struct walk *walk, const json_t *patterns, const char *name,
                        const json_t *member, unsigned depth, bool *ret_any)
{
    const char *text;
    json_t *below;

    *ret_any = false;
    json_object_foreach((json_t *)patterns, text, below)
    {
        if (!matches(walk, schema_pattern(walk->schema, text), name, strlen(name)))
            continue;
        *ret_any = true;
        if (member != NULL && !schema_walk(walk, below, member, depth + 1))
            return false;
    }
    return true;
}

CHECK(patternProperties)
{
    UNUSED;
    const char *name;
    json_t *member;
    bool any;

    json_object_foreach((json_t *)value, name, member)
    {
        if (!by_patterns(walk, given, name, member, depth, &any))
            return false;
    }
    return true;
}

CHECK(additionalProperties)
{
    UNUSED;
    const json_t *named = json_object_get(node, "properties");
    const json_t *patterns = json_object_get(node, "patternProperties");
    const char *name;
    json_t *member;
    bool any;

    json_object_foreach((json_t *)value, name, member)
    {
        if (json_object_get(named, name) != NULL)
            continue;
        if (!by_patterns(walk, patterns, name, NULL, depth, &any) || any)
            continue;
        if (!schema_walk(walk, given, member, depth + 1))
            return false;
    }
    return true;
}

CHECK(propertyNames)
{
    UNUSED;
    const char *name;
    json_t *member;

    json_object_foreach((json_t *)value, name, member)
    {
        json_t *text = json_string(name);
        bool fine = text != NULL && schema_walk(walk, given, text, depth + 1);
        json_decref(text);
        if (!fine)
            return false;
    }
    return true;
}

CHECK(dependentSchemas)
{
    UNUSED;
    const char *name;
    json_t *below;

    json_object_foreach((json_t *)given, name, below)
    {
        if (json_object_get(value, name) != NULL &&
            !schema_walk(walk, below, value, depth + 1))
            return false;
    }
    return true;
}

/* -- schemas together -- */

static size_t count_allowing(struct walk *walk, const json_t *list, const json_t *value,
                             unsigned depth)
{
    size_t count = 0;

    for (size_t i = 0; i < json_array_size(list); i++)
        count += schema_walk(walk, json_array_get(list, i), value, depth + 1);
    return count;
}

CHECK(allOf)
{
    UNUSED;
    return count_allowing(walk, given, value, depth) == json_array_size(given);
}

CHECK(anyOf)
{
    UNUSED;
    return count_allowing(walk, given, value, depth) > 0;
}

CHECK(oneOf)
{
    UNUSED;
    return count_allowing(walk, given, value, depth) == 1;
}

CHECK(not )
{
    UNUSED;
    return !schema_walk(walk, given, value, depth + 1);
}

CHECK(if)
{
    UNUSED;
    const json_t *next = json_object_get(
        node, schema_walk(walk, given, value, depth + 1) ? "then" : "else");

    return next == NULL || schema_walk(walk, next, value, depth + 1);
}

/* The node that a local reference names, or NULL. */
const json_t *schema_resolve(const json_t *root, const char *ref)
{
    const json_t *node = root;

    if (ref[0] != '#' || (ref[1] != '\0' && ref[1] != '/'))
        return NULL;
    for (const char *p = ref + 1; *p == '/' && node != NULL;) {
        size_t n = strcspn(++p, "/"), out = 0;
        char *name = memory_text_n(p, n);
        for (size_t i = 0; i < n; i++) {
            bool escaped = name[i] == '~' && (name[i + 1] == '0' || name[i + 1] == '1');
            name[out++] = !escaped ? name[i] : name[i + 1] == '0' ? '~' : '/';
            i += escaped;
        }
        name[out] = '\0';
        if (json_is_array(node))
            node = json_array_get(node, strtoul(name, NULL, 10));
        else
            node = json_object_get(node, name);
        free(name);
        p += n;
    }
    return node;
}

CHECK(ref)
{
    UNUSED;
    return schema_walk(walk, schema_resolve(walk->schema->root, json_string_value(given)),
                       value, depth + 1);
}

/* -- keywords -- */

static const struct schema_keyword keywords[] = {
    { "$schema", SHAPE_NOTE, NULL },
    { "$id", SHAPE_NOTE, NULL },
    { "$comment", SHAPE_NOTE, NULL },
    { "title", SHAPE_NOTE, NULL },
    { "description", SHAPE_NOTE, NULL },
    { "default", SHAPE_NOTE, NULL },
    { "examples", SHAPE_NOTE, NULL },
    { "deprecated", SHAPE_NOTE, NULL },
    { "readOnly", SHAPE_NOTE, NULL },
    { "writeOnly", SHAPE_NOTE, NULL },
    { "format", SHAPE_NOTE, NULL },
    { "$ref", SHAPE_REF, check_ref },
    { "$defs", SHAPE_MAP, NULL },
    { "definitions", SHAPE_MAP, NULL },
    { "type", SHAPE_TYPE, check_type },
    { "const", SHAPE_ANY, check_const },
    { "enum", SHAPE_LIST, check_enum },
    { "minimum", SHAPE_NUMBER, check_minimum },
    { "maximum", SHAPE_NUMBER, check_maximum },
    { "exclusiveMinimum", SHAPE_NUMBER, check_exclusiveMinimum },
    { "exclusiveMaximum", SHAPE_NUMBER, check_exclusiveMaximum },
    { "multipleOf", SHAPE_FACTOR, check_multipleOf },
    { "minLength", SHAPE_COUNT, check_minLength },
    { "maxLength", SHAPE_COUNT, check_maxLength },
    { "pattern", SHAPE_REGEX, check_pattern },
    { "minItems", SHAPE_COUNT, check_minItems },
    { "maxItems", SHAPE_COUNT, check_maxItems },
    { "uniqueItems", SHAPE_FLAG, check_uniqueItems },
    { "prefixItems", SHAPE_SCHEMAS, check_prefixItems },
    { "items", SHAPE_SCHEMA, check_items },
    { "contains", SHAPE_SCHEMA, check_contains },
    { "minContains", SHAPE_COUNT, NULL },
    { "maxContains", SHAPE_COUNT, NULL },
    { "minProperties", SHAPE_COUNT, check_minProperties },
    { "maxProperties", SHAPE_COUNT, check_maxProperties },
    { "required", SHAPE_NAMES, check_required },
    { "dependentRequired", SHAPE_NAMES_OF, check_dependentRequired },
    { "properties", SHAPE_MAP, check_properties },
    { "patternProperties", SHAPE_REGEX_MAP, check_patternProperties },
    { "additionalProperties", SHAPE_SCHEMA, check_additionalProperties },
    { "propertyNames", SHAPE_SCHEMA, check_propertyNames },
    { "dependentSchemas", SHAPE_MAP, check_dependentSchemas },
    { "allOf", SHAPE_SCHEMAS, check_allOf },
    { "anyOf", SHAPE_SCHEMAS, check_anyOf },
    { "oneOf", SHAPE_SCHEMAS, check_oneOf },
    { "not", SHAPE_SCHEMA, check_not },
    { "if", SHAPE_SCHEMA, check_if },
    { "then", SHAPE_SCHEMA, NULL },
    { "else", SHAPE_SCHEMA, NULL },
};

const struct schema_keyword *schema_keyword(const char *name)
{
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
        if (strcmp(keywords[i].name, name) == 0)
            return &keywords[i];
    }
    return NULL;
}

bool schema_walk(struct walk *walk, const json_t *node, const json_t *value,
                 unsigned depth)
{
    const char *name;
    json_t *given;

    if (depth > SCHEMA_DEPTH || ++walk->steps > SCHEMA_STEPS)
        walk->unknown = true;
    if (walk->unknown)
        return false;
    if (!json_is_object(node))
        return json_is_true(node);
    json_object_foreach((json_t *)node, name, given)
    {
        const struct schema_keyword *keyword = schema_keyword(name);
        if (keyword->check != NULL && !keyword->check(walk, node, given, value, depth))
            return false;
    }
    return true;
}
