/* informative.h - which prompts a new expert should answer first.
 *
 *      informative_plan(work, expert, fault)      after worklist_open, before worklist_phase
 *
 * A row teaches much where the new column would decide: where the experts that are known
 * disagree, or where none of them is right. And it teaches little beside one that says nearly
 * the same. So prompts are picked one by one, the one with the largest
 *
 *      weight x distance to the nearest prompt that is picked, or known of this expert
 *      weight   = 0.25 + max(4 x variance of the known qualities, 1 - the best of them);
 *                 0.75 where less than two qualities are known
 *      distance = 1 - cosine of the counts of hashed words (INFORMATIVE_DIM)
 *
 * which is farthest-first traversal (Gonzalez 1985, a 2-approximation of the k centres) with
 * weights: even where all experts are right some prompts are asked of each region, since a
 * column of hard prompts alone would make the new expert look worse than it is.
 *
 * The order is the same in every run as long as the other columns are. After
 * INFORMATIVE_PICKS picks the rest follows by weight.
 */
#ifndef TOOLS_CTL_INFORMATIVE_H
#define TOOLS_CTL_INFORMATIVE_H

#include "tools/ctl/worklist.h"

#define INFORMATIVE_DIM   128
#define INFORMATIVE_PICKS 1000

NODISCARD enum fault_err informative_plan(struct worklist *work, size_t expert,
                                          struct fault *fault);

/* The order itself: n prompts; weights > 0; known: taken as picked, and first in the order;
 * picks: how many are sought by distance. ret_order: room for n. */
void informative_order(const char *const *texts, const double *weights, const bool *known,
                       size_t n, size_t picks, size_t *ret_order);
/* Of the known qualities of a prompt. */
double informative_weight(size_t n, double sum, double squares, double best);

#endif
