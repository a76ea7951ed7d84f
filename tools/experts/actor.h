/* actor.h - scripts that understand what they are asked: an expert of known skill, a judge
 * with known faults.
 *
 * A judge reads the prompt that frugalctl writes (tools/ctl/judge.h): blocks between lines
 * <<<NAME nonce>>>, of which QUESTION, REFERENCE, ANSWER, ANSWER A and ANSWER B matter. An
 * answer is right when it ends on the reference's number, or holds its text. Right is SCORE
 * 10, wrong 1; of two the right one wins, otherwise they tie.
 *
 * Every draw follows from the texts and the model's name: the same question always gets the
 * same answer. Those about a pair do not depend on its order. Pure.
 */
#ifndef TOOLS_EXPERTS_ACTOR_H
#define TOOLS_EXPERTS_ACTOR_H

#include <stdbool.h>

#include "gateway/base/str.h"
#include "tools/experts/reply.h"
#include "tools/experts/script.h"

bool actor_speaks(const struct script *script);
void actor_say(const struct script *script, const char *model, struct str prompt,
               struct reply *ret_reply);

#endif
