/* head_domain.c - the domain mix: means per domain, mixed by the vote of the nearest rows.
 *
 *     q = sum over domains d of p(d|x) * mean of the generator in d
 *
 * routing.md, point 2; prior.h has the formula. Domains are labels, or clusters where there are none.
 */
#include <math.h>

#include "fuser/bundle.h"
#include "fuser/head.h"

static bool covers(const void *state, uint32_t subset)
{
    (void)state;
    (void)subset;
    return true;
}

/* Rows behind the mixture: those of the domains voted for, by their shares. */
static double rows_behind(const struct head_view *view, size_t g)
{
    const struct prior *prior = &view->bundle->prior;
    double rows = 0;
    for (size_t v = 0; v < view->n_votes; v++)
        rows += (double)view->votes[v].share *
                prior->sums[view->votes[v].domain * prior->n_generators + g].worth;
    return view->n_votes > 0
               ? rows
               : prior->sums[prior->n_domains * prior->n_generators + g].worth;
}

static void estimate(const void *state, const struct head_view *view,
                     struct head_estimate *estimates)
{
    (void)state;
    for (size_t g = 0; g < view->bundle->cells.n_generators; g++) {
        const struct prior_mean *prior = &view->prior[g];
        double rows = rows_behind(view, g);
        estimates[g].quality = prior->quality;
        estimates[g].rows = rows + 1;
        estimates[g].quality_se =
            sqrt((prior->variance + 0.25 / (rows + 1)) / (rows + 1));
    }
}

const struct head head_domain = { .name = "domain",
                                  .covers = covers,
                                  .estimate = estimate };
