/* decision_parts.h - what decision.c (the walk), evidence.c (the purchase of evidence),
 * evidence_kept.c (vectors that are kept) and plan.c (who is asked in which order) share. For them alone. */
#ifndef GATEWAY_FLOW_DECISION_PARTS_H
#define GATEWAY_FLOW_DECISION_PARTS_H

#include "gateway/flow/decision.h"

/* decision.c: the fuser is asked for the next step. */
void decision_go_on(struct decision *decision);

/* evidence.c */
/* Of a remote embedder. */
const struct config_embedding *evidence_embedding(const struct decision *decision,
                                                  size_t embedder);
/* The embedder that was asked last gave nothing: the fuser goes on without it. */
void evidence_not_delivered(struct decision *decision, const char *error);
/* One line: the embedder that was asked last did not deliver. */
void evidence_log(const struct decision *decision, const char *why);
bool evidence_under_way(const struct decision *decision);
/* What is under way is given up; its fate is unknown. */
void evidence_give_up(struct decision *decision, enum metric_attempt how);
/* What is reserved for a call that is not made after all. */
void evidence_take_back(struct decision *decision);

/* evidence_kept.c */
/* Is its vector kept from before? Then told[embedder] has it, and it costs nothing. */
bool evidence_recall(struct decision *decision, size_t embedder);
/* Such a vector is told to the fuser. */
void evidence_tell_kept(struct decision *decision);
/* What the embedder that was asked last told, for the record and for others. */
void evidence_keep(struct decision *decision, const struct embedder_answer *answer);

/* plan.c: each of the two ends the decision: its state becomes READY. */
/* By the verdict as it stands with what was told so far. */
void decision_conclude(struct decision *decision);
/* Nobody may answer: an empty plan. */
void decision_deny(struct decision *decision);
/* Without one: the policy's default expert first. */
void decision_default(struct decision *decision, enum reason reason);

#endif
