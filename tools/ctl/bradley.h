/* bradley.h - strengths from a few comparisons: Bradley and Terry's model with a prior.
 *
 * The chance that i is preferred to j is g_i / (g_i + g_j) (Bradley and Terry 1952). A tie
 * counts as half a win for each. Besides what was compared, everybody has played `prior`
 * games of strength 1 that ended in a tie: so strengths exist, are finite and are comparable
 * where few pairs were compared, or one won them all (without it the estimate exists only
 * where the graph of wins is strongly connected: Hunter 2004, "MM algorithms for generalized
 * Bradley-Terry models", Assumption 1). The estimate is the fixed point of Hunter's iteration
 * (his equation 3) with the prior's games among the others:
 *
 *     g_i  <-  (W_i + prior / 2) / (sum_j n_ij / (g_i + g_j)  +  prior / (g_i + 1))
 *
 * Quality is g_i / (g_i + 1): the chance to be preferred to an average opponent.
 */
#ifndef TOOLS_CTL_BRADLEY_H
#define TOOLS_CTL_BRADLEY_H

#include <stddef.h>
#include <stdint.h>

#define BRADLEY_PRIOR 0.5 /* games */

struct bradley_pair {
    size_t first, second; /* first < second */
};

/* wins[i * n + j]: of i over j, ties half. ret_quality: n of them; NAN for those that nobody
 * was compared with. prior > 0. */
void bradley_fit(size_t n, const double *wins, double prior, double *ret_quality);

/* Who is compared with whom: each but the first meets at most `opponents` of those before it,
 * drawn by seed, its number and theirs; so everybody is connected, and one more at the end
 * changes nothing among the others. ret_pairs: room for n * opponents; returns how many. */
size_t bradley_pairs(size_t n, size_t opponents, uint64_t seed,
                     struct bradley_pair *ret_pairs);
/* Their number without making them. */
size_t bradley_count(size_t n, size_t opponents);

#endif
