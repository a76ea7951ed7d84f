/* target.h - a trade-off in words becomes a price of quality, with an honest word on what it gives.
 *
 *   target_parse("quality=0.98x:best", &target, fault)
 *   target_choose(&target, &curve, &choice)       three points of one curve of lambdas
 *
 * The curve is what cross-validation decided: for every lambda and prompt the quality and the
 * cost of who was chosen without that prompt. From it come three points:
 *
 *   auto        the target: the thriftiest lambda that reaches a quality; the best quality that
 *               a cost allows; the lambda of a value
 *   auto-best   the thriftiest lambda whose quality is within one standard error (of the paired
 *               difference) of the best on the curve, or auto where that is dearer
 *   auto-cheap  the thriftiest lambda that keeps TARGET_CHEAP of auto's quality
 *
 * Parts of the prompts were decided by bundles built of the others. Where a small change of the
 * estimates moves a whole kind of prompts to another expert, the bundle built of all of them stands
 * on one side of that cliff, and their mean on neither: the curve is shifted to its side.
 *
 * Whoever picks the best of many noisy numbers and repeats it promises too much. So the whole
 * choice is made again on TARGET_RESAMPLES bootstrap samples of the prompts, and each time what it
 * would have promised is compared with what that lambda gives on all prompts (Efron 1983; for
 * the choice among cross-validated settings Tsamardinos et al. 2018). The mean of these errors is
 * taken off the promise. Its standard error is their spread and, apart from it, how far bundles built of other
 * prompts would differ (the jackknife over the parts). A quality target is raised by
 * the same mean, so that the promise reaches it. Pure; all randomness follows from the seed.
 */
#ifndef TOOLS_CTL_TARGET_H
#define TOOLS_CTL_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/ctl/fault.h"

#define TARGET_RESAMPLES 400
#define TARGET_CHEAP     0.95

#define TARGETS(X)                                                                       \
    X(NEAR_BEST) /* no word was said: auto is auto-best */                               \
    X(QUALITY)   /* quality=0.93 */                                                      \
    X(SHARE)     /* quality=0.98x:best, or of an expert by name */                       \
    X(COST)      /* usd_per_1k=2.50 */                                                   \
    X(VALUE)     /* value_usd=0.02 */

enum target_kind {
#define X(name) TARGET_##name,
    TARGETS(X)
#undef X
};

struct target {
    enum target_kind kind;
    double value; /* quality 0..1; share; USD per 1000 requests; USD */
    const char
        *of; /* SHARE: an expert, or NULL: the best of them; borrowed from the text */
};

/* FAULT_USAGE says what a target looks like. */
NODISCARD enum fault_err target_parse(const char *text, struct target *ret_target,
                                      struct fault *fault);

/* All borrowed. Cell (l, i): lambda l, prompt i; NAN: not known, and the prompt does not
 * count there. */
struct target_curve {
    size_t n, n_lambdas, n_models;
    const double *lambdas; /* ascending, all above 0 */
    const double *quality; /* (l, i) */
    const double *usd;     /* (l, i), evidence included */
    /* Per lambda, to be added to the means: how the bundle that is built of all prompts differs from those
     * that decided. NULL: it does not. */
    const double *quality_shift, *usd_shift;
    /* Per lambda: how far bundles differ that were built of other prompts, a standard error of its own;
     * NULL: not known. */
    const double *quality_spread, *usd_spread;
    const double *single; /* prompt i, model j at i * n_models + j: quality */
    size_t model;         /* SHARE of one model; n_models: of the best */
    uint64_t seed;
};

/* What is expected at one lambda, over prompts: means, standard errors, 95 % intervals. */
struct target_point {
    size_t at; /* of the curve */
    double lambda;
    double quality, quality_se, quality_low, quality_high;
    double usd, usd_se, usd_low, usd_high; /* of one request */
    double too_good; /* what was taken off the quality that the curve shows */
};

/* In the order in which they are shown. */
#define TARGET_POINTS(X) X(CHEAP, "auto-cheap") X(AUTO, "auto") X(BEST, "auto-best")

enum target_name {
#define X(name, word) TARGET_AT_##name,
    TARGET_POINTS(X)
#undef X
        TARGET_N_POINTS
};

struct target_choice {
    bool reached; /* otherwise auto is the nearest to it that there is */
    double goal;  /* the quality or the cost of a request that was asked for; NAN: none */
    struct target_point points[TARGET_N_POINTS];
};

void target_choose(const struct target *target, const struct target_curve *curve,
                   struct target_choice *ret_choice);
/* Where the curve would be cut, uncorrected: to look closer there. */
void target_look(const struct target *target, const struct target_curve *curve,
                 size_t ret_at[TARGET_N_POINTS]);
const char *target_name(enum target_name point);

#endif
