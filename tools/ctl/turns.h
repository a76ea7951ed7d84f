/* turns.h - the messages of a recorded request, checked and written the one way.
 *
 * They are written without white space between tokens, so that the same conversation has the same
 * bytes (and so the same id) in every log. Roles are those of a chat: system, developer, user,
 * assistant, tool, function. A request of /v1/completions is one user turn; one of /v1/responses is
 * translated as the gateway translates it.
 */
#ifndef TOOLS_CTL_TURNS_H
#define TOOLS_CTL_TURNS_H

#include <stdbool.h>

#include "gateway/base/arena.h"
#include "gateway/domain/jread.h"
#include "tools/ctl/fault.h"

struct turns {
    struct jread_value request;  /* a checked object */
    struct jread_value messages; /* of it; NOTHING: there is a `prompt` or an `input` */
    const char *text;            /* out: the JSON array, in the arena */
    const char *reference;       /* out: what the last turn said, or NULL */
};

/* with_answer: an assistant's turn at the end is no part of the prompt but the reference.
 * FAULT_INPUT: a role that nobody knows, no turn of a user, ... */
NODISCARD enum fault_err turns_read(struct turns *turns, bool with_answer,
                                    struct arena *arena, struct fault *fault);

#endif
