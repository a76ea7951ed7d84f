/* review.c - what a bundle is worth, by its own leave-one-out tables.
 *
 * The estimates of a row never saw that row, so the choice made by them is an honest one;
 * what is counted is the known outcome, never the estimate.
 */
#include <math.h>

#include "fuser/bundle.h"
#include "fuser/fuser.h"

double fuser_bundle_mean_quality(const struct fuser_bundle *bundle, size_t generator)
{
    const struct cells *cells = &bundle->cells;
    double sum = 0, n = 0;

    for (size_t i = 0; i < cells->n; i++) {
        float quality = cells->quality[i * cells->n_generators + generator];

        if (isnan(quality))
            continue;
        sum += (double)quality;
        n++;
    }
    return n > 0 ? sum / n : NAN;
}

/* The generator with the highest mean of its known qualities; ties to the lower number. */
static size_t best_on_average(const struct fuser_bundle *bundle)
{
    double best_mean = -INFINITY;
    size_t best = 0;

    for (size_t g = 0; g < bundle->cells.n_generators; g++) {
        double mean = fuser_bundle_mean_quality(bundle, g);

        if (mean > best_mean) {
            best_mean = mean;
            best = g;
        }
    }
    return best;
}

/* The generator that the row's estimates favour, all embedders bought. */
static size_t chosen_for(const struct loo *loo, size_t slot)
{
    size_t line = ((loo->n_subsets - 1) * loo->n_rows + slot) * loo->n_generators;
    size_t chosen = 0;

    for (size_t g = 1; g < loo->n_generators; g++)
        if (loo->quality[line + g] > loo->quality[line + chosen])
            chosen = g;
    return chosen;
}

void fuser_bundle_review(const struct fuser_bundle *bundle,
                         struct fuser_review *ret_review)
{
    const struct loo *loo = &bundle->loo;
    double router = 0, fixed = 0, squares = 0, n = 0;
    size_t best = best_on_average(bundle);

    for (size_t slot = 0; slot < loo->n_rows; slot++) {
        const float *known = bundle->cells.quality + loo->rows[slot] * loo->n_generators;
        double ours = (double)known[chosen_for(loo, slot)], theirs = (double)known[best];

        if (isnan(ours) || isnan(theirs))
            continue;
        router += ours;
        fixed += theirs;
        squares += (ours - theirs) * (ours - theirs);
        n++;
    }
    double gain = n > 0 ? (router - fixed) / n : 0;
    *ret_review = (struct fuser_review){
        .rows = (size_t)n,
        .best = best,
        .best_quality = n > 0 ? fixed / n : NAN,
        .router_quality = n > 0 ? router / n : NAN,
        .gain_se = n > 1 ? sqrt(fmax(squares / n - gain * gain, 0) / (n - 1)) : NAN,
    };
}
