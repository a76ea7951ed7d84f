/* decision_parts.h - what decision.c (the walk, the purchase of evidence) and plan.c (who is
 * asked in which order) share. For them alone. Each of the two ends the decision: its state
 * becomes READY. */
#ifndef GATEWAY_FLOW_DECISION_PARTS_H
#define GATEWAY_FLOW_DECISION_PARTS_H

#include "gateway/flow/decision.h"

/* By the verdict as it stands with what was told so far. */
void decision_conclude(struct decision *decision);
/* Without one: the policy's default expert first. */
void decision_default(struct decision *decision, enum reason reason);

#endif
