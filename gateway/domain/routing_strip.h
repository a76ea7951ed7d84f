/* routing_strip.h - templates that many prompts begin with, taken off before a text is embedded.
 *
 *     "Translate into French. Keep the names. Text: " | "Where is the station?"
 *      template, the same thousand times                what tells this prompt from another
 *
 * A list is for one place: what a turn of the user begins with, or what the system prompt does. Of
 * several templates the longest that fits is taken off; where a list has more than one, four letters
 * that stand for it are left in its place, so that two kinds of work stay two kinds. A turn that is
 * nothing but a template stays as it is; a system prompt may vanish.
 *
 * As bytes: {"turn":["..",..],"system":["..",..]}, at most ROUTING_STRIP_BYTES.
 *
 * Immutable once made; any thread. Matching is one memcmp per template, and allocates nothing.
 */
#ifndef GATEWAY_DOMAIN_ROUTING_STRIP_H
#define GATEWAY_DOMAIN_ROUTING_STRIP_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"

#define ROUTING_STRIP_MOST  16    /* templates of one place */
#define ROUTING_STRIP_LONG  8192  /* bytes of a template */
#define ROUTING_STRIP_BYTES 65536 /* of all, as written */
#define ROUTING_STRIP_MARK  5     /* bytes that are left of one of several: "kgpa " */

struct routing_templates {
    struct str at[ROUTING_STRIP_MOST]; /* the longest first; not empty */
    size_t n;
    size_t longest; /* bytes */
};

struct routing_strip {
    struct routing_templates turn, system;
    char *memory; /* owned: what they point into */
};

/* Copies; in any order, without duplicates. NOMEM; INVALID: too many, too long, or an empty one. */
NODISCARD enum err routing_strip_new(const struct str *turn, size_t n_turn,
                                     const struct str *system, size_t n_system,
                                     struct routing_strip **ret_strip);
/* What routing_strip_write wrote. INVALID: something else. */
NODISCARD enum err routing_strip_read(struct str bytes, struct routing_strip **ret_strip);
void routing_strip_free(struct routing_strip *strip); /* takes NULL */
/* The same templates give the same bytes. TOO_LARGE, NOMEM. */
NODISCARD enum err routing_strip_write(const struct routing_strip *strip,
                                       struct buf *out);

/* Takes off the template that `text` begins with, and the white space behind it. text may be the
 * beginning of something longer, if it has `longest` bytes. mark: room for ROUTING_STRIP_MARK bytes;
 * *ret_mark: how many of them are to stand in front. whole: text may not become empty. */
struct str routing_strip_cut(const struct routing_templates *templates, struct str text,
                             bool whole, char *mark, size_t *ret_mark);

#endif
