/* cluster.h - domains for prompts that have none: groups of like words, named by their most telling ones.
 *
 *     texts (plain.h) --> vectors of the lexical embedder --> spherical k-means --> names
 *
 * Vectors are the fuser's own ("lexical", fuser.h), fitted on a sample of CLUSTER_SAMPLE prompts, chosen
 * by the hash of what they say. k-means on the sphere (Dhillon, Modha 2001) from far-apart beginnings
 * (k-means++, Arthur, Vassilvitskii 2007), all from a fixed seed. How many: as asked for, or of 2 to
 * CLUSTER_MOST the smallest number whose mean silhouette, by distances to centres, is nearly the best.
 *
 * A word tells the more of a group, the more of its prompts have it that would not outside: difference
 * of the shares. "haiku-poem-autumn".
 */
#ifndef TOOLS_CTL_CLUSTER_H
#define TOOLS_CTL_CLUSTER_H

#include <stddef.h>

#include "tools/ctl/fault.h"
#include "tools/ctl/haul.h"
#include "tools/ctl/plain.h"

#define CLUSTER_MOST   12   /* groups, where the number is not given */
#define CLUSTER_LIMIT  64   /* ... and where it is */
#define CLUSTER_SAMPLE 4096 /* prompts that decide */
#define CLUSTER_WORDS  3    /* in a name */

/* Gives every kept prompt without a domain one. k 0: as many as there seem to be. Fewer than sixteen
 * prompts are one group. */
NODISCARD enum fault_err cluster_domains(struct haul *haul, const struct plain *plain,
                                         size_t k, struct fault *fault);

#endif
