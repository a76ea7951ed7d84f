/* attached.h - what others attach to a bundle and the fuser itself never looks at.
 *
 *   origin       who made it: a JSON text of at most FUSER_ORIGIN_MAX bytes; a string without a 0
 *   text_extra   belongs to the rule of the routing texts (text_version): at most
 *                FUSER_TEXT_EXTRA_MAX bytes
 *
 * Both are part of the bundle's id. A program that does not know of an origin loses nothing and
 * reads the bundle; one that does not know of a text_extra would cut texts by another rule than the
 * rows', so that such a bundle has a version of its own (bundle_file.h).
 *
 * Ownership: an attached owns both, until attached_release. Threads: immutable once made.
 */
#ifndef FUSER_ATTACHED_H
#define FUSER_ATTACHED_H

#include "fuser/wire.h"

struct attached {
    char *origin;     /* owned; NULL: none */
    void *text_extra; /* owned; NULL: none */
    size_t origin_bytes, text_extra_bytes;
};

/* Copies; an empty one is none. Nothing is there yet. TOO_LARGE, NOMEM. */
FUSER_NODISCARD enum fuser_err attached_set(struct attached *attached, const char *origin,
                                            const void *text_extra,
                                            size_t text_extra_bytes,
                                            struct fuser_error *error);
void attached_release(struct attached *attached);

/* The bytes of one section each: all that is left in the source. CORRUPT: too many, none, or a 0 in
 * the origin. */
FUSER_NODISCARD enum fuser_err attached_load_origin(struct attached *attached,
                                                    struct source *source);
FUSER_NODISCARD enum fuser_err attached_load_text_extra(struct attached *attached,
                                                        struct source *source);

#endif
