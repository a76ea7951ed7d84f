/* expert.h - the experts of the house: four specialists and a generalist.
 *
 * An expert is an engine (or all of them) with a skill, a price and a pace. All answer
 * every question: a specialist outside its field guesses. The prices are what the demo's
 * configuration charges; a server has no price list of its own.
 */
#ifndef TOOLS_EXPERTS_EXPERT_H
#define TOOLS_EXPERTS_EXPERT_H

#include <stddef.h>

#include "tools/experts/prompt.h"
#include "tools/experts/reply.h"

/* name, function, milliseconds until the first token */
#define EXPERTS(X)                                                                       \
    X("arithmetic", arithmetic_expert, 1)                                                \
    X("calendar", calendar_expert, 1)                                                    \
    X("units", units_expert, 1)                                                          \
    X("text", text_expert, 1)                                                            \
    X("generalist", generalist_expert, 5)

struct expert {
    const char *name;
    void (*answer)(const struct prompt *prompt, struct reply *ret_reply);
    int first_ms;
};

extern const struct expert experts[];
extern const size_t n_experts;

const struct expert *expert_find(const char *name, size_t bytes); /* or NULL */

/* The answer to a prompt, which is cut at PROMPT_BYTES. */
void expert_answer(const struct expert *expert, const char *text, size_t bytes,
                   struct reply *ret_reply);

/* What somebody without gaps would answer; who grasps nothing still guesses. */
void expert_truth(const char *text, size_t bytes, struct reply *ret_reply);

#endif
