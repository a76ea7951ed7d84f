/* measures.h - how good a router is on recorded outcomes: the numbers of eval routing.
 *
 * Costs are USD per request, qualities 0..1, all means over the same prompts.
 *
 *   gap_closed  share of the way from the best single model to the oracle, at lambda 0; NAN: there is no way
 *   aiq_b       area under the non-decreasing concave hull of (cost, quality) between the cheapest model's and
 *               the best single model's cost, divided by that range
 *   zero_aiq_b  the same for random mixing on the hull of the single models
 *   match, p99, p95   cost, as a share of always-best-single, at which the hull reaches 100, 99, 95 % of its
 *               quality; NAN: not reached
 *   ece         expected calibration error of the chosen model's predicted quality at lambda 0, ten bins of equal mass
 *   cpt50, cpt80, apgr   of two models (RouteLLM): share of strong calls, in %, that recovers 50 and 80 % of
 *               the gap; mean recovered gap over the share of strong calls; NAN for other than two
 */
#ifndef TOOLS_CTL_MEASURES_H
#define TOOLS_CTL_MEASURES_H

#include <stddef.h>
#include <stdint.h>

#include "tools/ctl/progress.h"

#define MEASURES_POINTS 64 /* prices of quality on the curve, at most */

#define MEASURES(X)                                                                      \
    X(best_single)                                                                       \
    X(oracle)                                                                            \
    X(accuracy)                                                                          \
    X(gap_closed)                                                                        \
    X(aiq_b) X(zero_aiq_b) X(match) X(p99) X(p95) X(ece) X(cpt50) X(cpt80) X(apgr)

struct measures {
#define X(name) double name;
    MEASURES(X)
#undef X
};

struct measures_point {
    double cost, quality;
};

/* What was decided and what came of it. All arrays owned by who fills them. Cell (i, j): prompt i, model j;
 * decision (l, i): lambda l, prompt i. */
struct trial {
    size_t n, n_models, n_lambdas;
    const double *quality,
        *cost; /* recorded; NAN: not known, and the prompt does not count where that model is chosen */
    const double *predicted; /* at lambda 0 */
    const uint8_t *chosen;   /* (l, i): model; lambda 0 first */
    const double *paid;      /* (l, i): USD for evidence */
};

/* picks: n prompts (with repetition), or NULL for each once. */
void measures_of(const struct trial *trial, const uint32_t *picks, struct measures *ret);
/* 95 % intervals from so many paired resamples of the prompts; NAN where fewer than half of them have the
 * number. */
void measures_intervals(const struct trial *trial, size_t times, uint64_t seed,
                        struct progress *bar, struct measures *ret_low,
                        struct measures *ret_high);
/* The curve itself, by descending lambda: room for MEASURES_POINTS. Returns how many. */
size_t measures_curve(const struct trial *trial, const uint32_t *picks,
                      struct measures_point *ret);
/* The non-decreasing concave hull of n points, from the left; in place. Returns how many remain. */
size_t measures_hull(struct measures_point *points, size_t n);
/* Mean of each model's cost and quality: room for n_models. */
void measures_singles(const struct trial *trial, const uint32_t *picks,
                      struct measures_point *ret);

#endif
