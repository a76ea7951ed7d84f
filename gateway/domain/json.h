/* json.h - reads single values out of a JSON text that lies in memory, without a tree.
 *
 *   struct json_value root, value;
 *   if (!json_parse(text, JSON_MAX_DEPTH, &root)) ...                not JSON
 *   struct json_iter it = json_iter(root);
 *   while (json_next_member(&it, &key, &value))
 *       if (json_string_is(key, "usage")) ...
 *
 * json_parse checks the whole text once (grammar, depth); afterwards iterating cannot
 * fail. Values are borrowed runs of the text. Cost: one pass for json_parse, and one pass
 * over the members that an iterator walks over. UTF-8 is not checked here. Pure, any
 * thread.
 */
#ifndef GATEWAY_DOMAIN_JSON_H
#define GATEWAY_DOMAIN_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"

#define JSON_MAX_DEPTH 512

enum json_type {
    JSON_NOTHING, /* absent */
    JSON_NULLS,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_TEXT,
    JSON_LIST,
    JSON_MAP,
};

const char *
json_type_name(enum json_type type); /* "null", "a string", "an object", ... */

struct json_value {
    enum json_type type;
    struct str raw; /* from its first byte to its last: strings with their quotes */
};

struct json_iter {
    const char *p, *end; /* private */
};

/* The only value in text, white space around it allowed. False: not JSON, or deeper than
 * depth (<= JSON_MAX_DEPTH). */
NODISCARD bool json_parse(struct str text, unsigned depth, struct json_value *ret_value);
/* A value known to be well-formed (out of a scanned body): its type from its first byte.
 */
struct json_value json_trusted(struct str raw);

struct json_iter json_iter(struct json_value map_or_list); /* of another type: no items */
bool json_next_member(struct json_iter *it, struct json_value *ret_key,
                      struct json_value *ret_value);
bool json_next_element(struct json_iter *it, struct json_value *ret_value);
/* The last member with that name (unescaped), as common readers take it; NOTHING when
 * absent or when `map` is none. */
struct json_value json_get(struct json_value map, const char *name);

bool json_string_is(struct json_value text, const char *name); /* compared unescaped */
bool json_is_true(struct json_value value);
/* An integer in the range, written without fraction ("3" and "3.0" and "3e0" are 3). */
NODISCARD bool json_integer(struct json_value value, int64_t *ret_value);
NODISCARD bool json_double(struct json_value value, double *ret_value);
/* Unescaped, copied into the arena. A lone surrogate becomes U+FFFD. NOMEM; INVALID when
 * not a string. */
NODISCARD enum err json_string(struct json_value value, struct arena *arena,
                               struct str *ret_text);
/* Unescaped bytes added to out, at most max of them, never half a character; returns the
 * bytes added. Test out->failed. */
size_t json_put_string(struct json_value value, size_t max_bytes, struct buf *out);

#endif
