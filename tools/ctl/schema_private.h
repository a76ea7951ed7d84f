/* schema_private.h - a schema that was read, between its reader and its checks. */
#ifndef TOOLS_CTL_SCHEMA_PRIVATE_H
#define TOOLS_CTL_SCHEMA_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "gateway/domain/pattern.h"
#include "tools/ctl/schema.h"

struct schema_pattern {
    const char *text; /* borrowed from the schema */
    struct pattern *pattern;
};

struct schema {
    json_t *root;
    char *path;
    struct schema_pattern *patterns; /* regular expressions each text once */
    size_t n_patterns;
};

/* One check. */
struct walk {
    const struct schema *schema;
    size_t steps;
    bool unknown; /* a bound was met: what is returned does not count */
};

/* What a keyword's value must be; the schema below it is read, too. */
enum shape {
    SHAPE_NOTE,      /* anything: for people */
    SHAPE_ANY,       /* anything: compared with */
    SHAPE_TYPE,      /* a type, or a list of them */
    SHAPE_COUNT,     /* a whole number from 0 */
    SHAPE_NUMBER,    /* */
    SHAPE_FACTOR,    /* a number above 0 */
    SHAPE_FLAG,      /* true or false */
    SHAPE_LIST,      /* a list, not empty */
    SHAPE_NAMES,     /* a list of strings */
    SHAPE_NAMES_OF,  /* an object of such lists */
    SHAPE_REGEX,     /* a regular expression */
    SHAPE_REF,       /* "#" or "#/a/pointer" */
    SHAPE_SCHEMA,    /* a schema */
    SHAPE_SCHEMAS,   /* a list of schemas, not empty */
    SHAPE_MAP,       /* an object of schemas */
    SHAPE_REGEX_MAP, /* the same, by regular expression */
};

struct schema_keyword {
    const char *name;
    enum shape shape;
    /* The schema it stands in, its own value, what is checked. NULL: others look at it, or
     * nobody needs to. */
    bool (*check)(struct walk *walk, const json_t *node, const json_t *given,
                  const json_t *value, unsigned depth);
};

/* NULL: there is no such keyword. */
const struct schema_keyword *schema_keyword(const char *name);
bool schema_walk(struct walk *walk, const json_t *node, const json_t *value,
                 unsigned depth);
/* The node that a local reference names, or NULL. */
const json_t *schema_resolve(const json_t *root, const char *ref);
/* NULL: no such text was met. */
const struct pattern *schema_pattern(const struct schema *schema, const char *text);

#endif
