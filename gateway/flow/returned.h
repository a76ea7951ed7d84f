/* returned.h - which headers of an expert's answer its client gets back, under a prefix.
 *
 *      x-ratelimit-remaining-tokens: 1000      of the expert
 *      x-frugal-expert-x-ratelimit-remaining-tokens: 1000       for the client
 *
 * What the configuration lists (`expert_headers`, names that may end in '*'), never what
 * belongs to the expert's connection or says how its body is framed or written, nor what the
 * answer names in `connection`; no cookies. The prefix keeps them apart from what the gateway
 * says itself. Bounded in number and bytes: what comes beyond is left out.
 *
 * Pure but for the arena, where the copies live; any thread.
 */
#ifndef GATEWAY_FLOW_RETURNED_H
#define GATEWAY_FLOW_RETURNED_H

#include <stddef.h>

#include "gateway/base/arena.h"
#include "gateway/base/str.h"
#include "gateway/domain/config.h"
#include "gateway/io/http.h"

#define RETURNED_MAX   16   /* headers */
#define RETURNED_BYTES 1024 /* of all names and values */

struct returned {
    const char *name; /* with the prefix, in lower case */
    struct str value;
    const struct returned *next;
};

/* NULL: none, or no memory for them. */
const struct returned *returned_of(const struct config *config,
                                   const struct http_header *headers, size_t n,
                                   struct arena *arena);

#endif
