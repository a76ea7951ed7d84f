/* alike.h - drops prompts that say nearly what another one says.
 *
 * Two prompts are alike when the sets of their runs of three words, in lower case and without shared
 * templates, have a Jaccard similarity of at least so much: the part of all runs that both have. In a
 * short question one other word or number makes most runs other ones; in a long text it is nothing.
 *
 *     text --> runs of words --> 64 minima of hashes --> 16 bands of 4 --> who shares a band is compared
 *
 * Minima of hashes and bands (Broder 1997; Leskovec, Rajaraman, Ullman: Mining of Massive Datasets,
 * ch. 3): two texts of similarity s share a band with probability 1 - (1 - s^4)^16, which is 0.99 for
 * 0.7 and 0.9999 for 0.8; who does is compared exactly. A text is compared with at most ALIKE_LOOKS
 * others, so the work grows with the number of prompts, never with its square.
 */
#ifndef TOOLS_CTL_ALIKE_H
#define TOOLS_CTL_ALIKE_H

#include "tools/ctl/haul.h"
#include "tools/ctl/plain.h"

#define ALIKE_HASHES 64
#define ALIKE_BANDS  16
#define ALIKE_LOOKS  64
#define ALIKE_STEPS  256 /* along one list */
#define ALIKE_LEAST  0.7 /* of the similarity: below, bands miss too many */

/* Of prompts that are alike the first stays (HAUL_KEPT), the others become HAUL_ALIKE; answers to the
 * very same messages go over to it. */
void alike_drop(struct haul *haul, const struct plain *plain, double similarity);

#endif
