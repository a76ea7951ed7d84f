/* stay.h - a request's conversation: where it is, and whether it stays there. For the files
 * of the exchange alone (exchange_parts.h).
 *
 *   count     stay_look      which expert has it, and what leaving loses: order.sticky
 *   decide    plan.c         weighs it: internals/exchange.md, "Conversations"
 *   settle    stay_settle    who answered is remembered, what became of it is counted
 *
 * Leaving an expert loses the beginning of the prompt that it has in its cache:
 *
 *     cached  = hit * min(tokens of the last prompt and its answer, tokens of this prompt)
 *     saved   = cached * (input price - cached input price)     0 when it was idle too long
 *
 * So the conversation's expert is that much cheaper than its list price, lambda weighs it like
 * any other money, and whoever takes over has the same advantage from then on. In a tool loop
 * nothing is weighed: an expert that asked for results gets them, as long as it may answer.
 *
 * Threads: the worker's own; what is remembered is shared (sticky.h).
 */
#ifndef GATEWAY_FLOW_STAY_H
#define GATEWAY_FLOW_STAY_H

#include <stdint.h>

#include "gateway/domain/conversation.h"
#include "gateway/flow/exchange.h"
#include "gateway/flow/sticky.h"

/* What is known of the conversation when it is decided: X(name, word). */
#define STAY_STATES(X)                                                                   \
    X(NONE, "none")           /* no conversation, or nobody remembers any */             \
    X(FIRST, "first")         /* its first question: to be remembered */                 \
    X(NEW, "new")             /* nothing is remembered of it */                          \
    X(OTHER, "other")         /* one with the same beginning is: it has not grown */     \
    X(UNABLE, "unable")       /* its expert may not answer this request, or is gone */   \
    X(WEIGHED, "weighed")     /* its expert stays unless leaving pays */                 \
    X(TOOL_LOOP, "tool_loop") /* its expert stays */

enum stay_state {
#define X(name, word) STAY_##name,
    STAY_STATES(X)
#undef X
};
const char *stay_state_word(enum stay_state state);

struct stay {
    enum stay_state state;
    struct conversation conversation;
    struct sticky_place place; /* but in states NONE, FIRST and NEW */
    int expert;                /* of the configuration, that has it; -1: none does */
    int64_t cached_tokens,
        saved_pico; /* what it loses by leaving; 0 where it is not held */
};

/* Writes stay and order.sticky; the order is made, the purse is open. */
void stay_look(struct exchange *x);
/* Once, when the request is over. */
void stay_settle(struct exchange *x);

#endif
