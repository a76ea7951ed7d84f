/* str.h - a borrowed run of bytes with its length; not terminated, may hold zero bytes.
 *
 * A struct str never owns: it lives as long as what it points into. {NULL, 0} is the
 * empty string and legal everywhere. Pass it by value.
 *
 *   struct str s = STR("a, b");
 *   struct str part;
 *   while (str_cut(&s, ',', &part))
 *       printf(STR_FMT "\n", STR_ARG(str_trim(part)));
 */
#ifndef GATEWAY_BASE_STR_H
#define GATEWAY_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"

struct str {
    const char *p; /* borrowed */
    size_t n;      /* bytes */
};

/* A str of a string literal; usable in static initialisers as STR_INIT. */
#define STR_INIT(literal)                                                                \
    {                                                                                    \
        "" literal, sizeof(literal) - 1                                                  \
    }
#define STR(literal) ((struct str)STR_INIT(literal))
#define STR_FMT      "%.*s"
#define STR_ARG(s)   (int)(s).n, (s).p ? (s).p : ""

struct str str_of(const char *text); /* text may be NULL: empty */
bool str_eq(struct str a, struct str b);
bool str_is(struct str a, const char *text);
bool str_eq_nocase(struct str a, struct str b); /* ASCII letters only */
bool str_starts(struct str s, const char *prefix);
bool str_starts_nocase(struct str s, const char *prefix);
struct str str_trim(struct str s); /* without spaces, tabs, CR, LF at both ends */
struct str str_skip(struct str s, size_t n);  /* without the first n bytes */
struct str str_first(struct str s, size_t n); /* at most the first n bytes */

/* Takes the part up to `separator` (or the end) off the front of *s. False when *s is
 * used up: after the last part s->p is NULL. An empty but non-NULL string has one empty
 * part. */
bool str_cut(struct str *s, char separator, struct str *ret_part);

/* Decimal digits only, the whole of s. INVALID or OVERFLOW. */
NODISCARD enum err str_to_u64(struct str s, uint64_t *ret_value);

/* The longest prefix of s of at most n bytes that does not cut a UTF-8 sequence. */
struct str str_clip_utf8(struct str s, size_t n);
/* The longest suffix of s of at most n bytes that does not begin inside a sequence. */
struct str str_tail_utf8(struct str s, size_t n);

/* Length of the well-formed UTF-8 sequence that s begins with, 1 to 4; 0: there is none. */
size_t str_utf8_sequence(struct str s);

/* Is s well-formed UTF-8 (no overlong forms, no surrogates, at most U+10FFFF)? */
bool str_is_utf8(struct str s);

/* Edits (insert, delete, replace, swap) that turn a into b, at most `max` + 1: for "did
 * you mean". Names longer than 64 bytes are never near: max + 1. */
unsigned str_distance(struct str a, struct str b, unsigned max);

#endif
