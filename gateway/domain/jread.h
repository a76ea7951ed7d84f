/* jread.h - reads single values out of a JSON text that lies in memory, without a tree.
 *
 *   struct jread_value root, value;
 *   if (!jread_parse(text, JREAD_MAX_DEPTH, &root)) ...                not JSON
 *   struct jread_iter it = jread_iter(root);
 *   while (jread_next_member(&it, &key, &value))
 *       if (jread_string_is(key, "usage")) ...
 *
 * jread_parse checks the whole text once (grammar, depth); afterwards iterating cannot
 * fail. Values are borrowed runs of the text. Cost: one pass for jread_parse, and one pass
 * over the members that an iterator walks over. UTF-8 is not checked here. Pure, any
 * thread.
 */
#ifndef GATEWAY_DOMAIN_JREAD_H
#define GATEWAY_DOMAIN_JREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"

#define JREAD_MAX_DEPTH 512

enum jread_type {
    JREAD_NOTHING, /* absent */
    JREAD_NULLS,
    JREAD_BOOL,
    JREAD_NUMBER,
    JREAD_TEXT,
    JREAD_LIST,
    JREAD_MAP,
};

const char *
jread_type_name(enum jread_type type); /* "null", "a string", "an object", ... */

struct jread_value {
    enum jread_type type;
    struct str raw; /* from its first byte to its last: strings with their quotes */
};

struct jread_iter {
    const char *p, *end; /* private */
};

/* The only value in text, white space around it allowed. False: not JSON, or deeper than
 * depth (<= JREAD_MAX_DEPTH). */
NODISCARD bool jread_parse(struct str text, unsigned depth,
                           struct jread_value *ret_value);
/* A value known to be well-formed (out of a scanned body): its type from its first byte.
 */
struct jread_value jread_trusted(struct str raw);

struct jread_iter
jread_iter(struct jread_value map_or_list); /* of another type: no items */
bool jread_next_member(struct jread_iter *it, struct jread_value *ret_key,
                       struct jread_value *ret_value);
bool jread_next_element(struct jread_iter *it, struct jread_value *ret_value);
/* A member's key alone. Its value is the next element, or is jumped over by who knows where it
 * ends. */
bool jread_next_key(struct jread_iter *it, struct jread_value *ret_key);
void jread_jump(struct jread_iter *it, const char *behind);
/* The last member with that name (unescaped), as common readers take it; NOTHING when
 * absent or when `map` is none. */
struct jread_value jread_get(struct jread_value map, const char *name);

bool jread_string_is(struct jread_value text, const char *name); /* compared unescaped */
bool jread_is_true(struct jread_value value);
/* An integer in the range, written without fraction ("3" and "3.0" and "3e0" are 3). */
NODISCARD bool jread_integer(struct jread_value value, int64_t *ret_value);
NODISCARD bool jread_double(struct jread_value value, double *ret_value);
/* Unescaped, copied into the arena. A lone surrogate becomes U+FFFD. NOMEM; INVALID when
 * not a string. */
NODISCARD enum err jread_string(struct jread_value value, struct arena *arena,
                                struct str *ret_text);
/* Unescaped bytes added to out, at most max of them, never half a character; returns the
 * bytes added. Test out->failed. */
size_t jread_put_string(struct jread_value value, size_t max_bytes, struct buf *out);
/* The same for a run out of the inside of a checked string, which must not begin or end
 * within an escape. */
size_t jread_put_inside(struct str run, size_t max_bytes, struct buf *out);
/* A checked value without the white space between its tokens: on one line. */
void jread_put_compact(struct str raw, struct buf *out);

#endif
