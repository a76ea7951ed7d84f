/* head_knn.c - the mean over the k nearest rows, drawn towards the domain prior.
 *
 *     q  = (sum of the k known qualities + m * prior) / (known + m)
 *     s2 = (sum of squares about q + m * prior variance + 1/4) / (known + m + 1)
 *     se = sqrt(s2 / (known + m))
 *
 * routing.md, points 1 and 2. The lone 1/4 is the variance of a fair coin, worth one row:
 * eighty neighbours that agree do not make an estimate certain.
 */
#include <math.h>

#include "fuser/bundle.h"
#include "fuser/head.h"

static bool knn_covers(const void *state, uint32_t subset)
{
    (void)state;
    (void)subset;
    return true;
}

static void knn_estimate(const void *state, const struct head_view *view,
                         struct head_estimate *estimates)
{
    double m = view->bundle->settings.prior_rows;

    (void)state;
    for (size_t g = 0; g < view->bundle->cells.n_generators; g++) {
        const struct head_local *local = &view->local[g];
        const struct prior_mean *prior = &view->prior[g];
        double known = local->worth, pull = known > 0 ? m : fmax(m, 1);
        double q = (local->quality + pull * prior->quality) / (known + pull);
        double about = local->squares - 2 * q * local->quality + known * q * q;
        double off = prior->quality - q;

        about += pull * (prior->variance + off * off) + 0.25;
        estimates[g].quality = fmin(fmax(q, 0), 1);
        estimates[g].rows = known + pull;
        estimates[g].quality_se =
            sqrt(fmax(about, 0) / (known + pull + 1) / (known + pull));
    }
}

const struct head head_knn = {
    .name = "knn",
    .covers = knn_covers,
    .estimate = knn_estimate,
};
