/* templates.h - finds what many prompts begin with.
 *
 *     struct templates found = { 0 };
 *     templates_add(&found, messages)           for each prompt
 *     templates_strip(&found, with_system, &strip)
 *     templates_release(&found)
 *
 * A template is a beginning of TEMPLATES_LEAST bytes or more that a twentieth of the prompts (and ten
 * of them) share and that goes no further: behind it fewer than nine in ten go on alike. It ends
 * behind white space, so that no word is cut. Found by sorting: n log n comparisons.
 */
#ifndef TOOLS_CTL_TEMPLATES_H
#define TOOLS_CTL_TEMPLATES_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/domain/routing_strip.h"
#include "tools/ctl/fault.h"

#define TEMPLATES_LEAST 32   /* bytes */
#define TEMPLATES_SHARE 0.05 /* of the prompts */
#define TEMPLATES_FEW   10   /* prompts: fewer share by chance */

struct templates_texts {
    char **at; /* owned: their first ROUTING_STRIP_LONG bytes */
    size_t n, room;
};

struct templates {
    struct templates_texts turns, systems;
};

/* messages: a JSON array as in a request. */
void templates_add(struct templates *templates, const char *messages);
/* *ret_strip: NULL where nothing is shared. with_system: system prompts, too. */
NODISCARD enum fault_err templates_strip(struct templates *templates, bool with_system,
                                         struct routing_strip **ret_strip,
                                         struct fault *fault);
void templates_release(struct templates *templates);

#endif
