/* reply.h - what an engine says, and how well it believes it understood the question.
 *
 * An engine always answers. Grasp is its own honest view, not whether it is right: an
 * expert with a weakness grasps the question and computes a wrong answer.
 */
#ifndef TOOLS_EXPERTS_REPLY_H
#define TOOLS_EXPERTS_REPLY_H

#include <stddef.h>

#include "tools/experts/prompt.h"

#define REPLY_BYTES (PROMPT_BYTES + 64)

enum grasp {
    GRASP_GUESS, /* nothing in the prompt is known: an answer from habit */
    GRASP_WEAK,  /* some words are known */
    GRASP_FULL,  /* the form of the question is known and its parts were found */
};

struct reply {
    char text[REPLY_BYTES]; /* terminated; longer answers are cut */
    enum grasp grasp;
};

__attribute__((format(printf, 3, 4))) void
reply_say(struct reply *reply, enum grasp grasp, const char *form, ...);
void reply_bytes(struct reply *reply, enum grasp grasp, const char *p, size_t n);
/* An integer without a fraction, anything else with at most `decimals` of them, zeros at
 * the end dropped. */
void reply_number(struct reply *reply, enum grasp grasp, double value, int decimals);

#endif
