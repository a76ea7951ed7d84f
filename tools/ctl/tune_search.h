/* tune_search.h - which settings would have served recorded outcomes best, cross-validated.
 *
 *   tune_begin(&tune, outcomes, how, ...)       the settings that stand at first are in `how`
 *   tune_stage(&tune, "k", values, n, set)      once per setting: all parts are built and walked
 *   tune_curve(&tune, target, ...)              decides once more by what stands, at many lambdas, and
 *                                               chooses among them (target.h)
 *   tune_release(&tune)
 *
 * One setting is varied at a time, the others as they stand. Another value takes the place of
 * the one that stands only if its score is better by more than one standard error of their
 * paired difference (the same bootstrap resamples for both): the simpler setting wins ties
 * that the data cannot tell apart. Of several the best does.
 */
#ifndef TOOLS_CTL_TUNE_SEARCH_H
#define TOOLS_CTL_TUNE_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/ctl/outcomes.h"
#include "tools/ctl/progress.h"
#include "tools/ctl/target.h"
#include "tools/ctl/trial.h"

#define TUNE_ATTEMPTS  32
#define TUNE_RESAMPLES 200
#define TUNE_SEEN                                                                        \
    400 /* prompts by which the bundle of all is compared with those of parts */
#define TUNE_FINE 11 /* lambdas between two of the coarse ones, where one is chosen */

struct tune_attempt {
    struct trial_how how;
    struct trials *trials; /* owned */
    double *resampled;     /* TUNE_RESAMPLES scores, owned */
    double score, score_se;
    double gain, gain_se; /* over what stood when it was tried; 0 for the first */
};

/* One price of quality on the curve of what stands. */
struct tune_point {
    double lambda, usd, quality;
    double loss, loss_se; /* quality below the best of the curve, paired */
};

struct tune {
    const struct outcomes *outcomes; /* borrowed */
    bool by_accuracy;                /* otherwise by aiq_b */
    size_t folds;
    uint32_t *part; /* of each row; owned */
    struct progress bar;
    double todo, done; /* attempts, for the bar */
    size_t n_attempts, stands;
    struct tune_attempt attempts[TUNE_ATTEMPTS];
    size_t n_points; /* 0: no curve was made */
    struct tune_point points[MEASURES_POINTS];
    uint8_t fixed[MEASURES_POINTS]; /* the best fixed expert at each lambda */
    struct trial_how curve_how;
    struct trials *curve; /* owned, or NULL */
    double quality_shift[MEASURES_POINTS], usd_shift[MEASURES_POINTS];   /* target.h */
    double quality_spread[MEASURES_POINTS], usd_spread[MEASURES_POINTS]; /* likewise */
    struct target_choice choice;
};

/* Scores the settings that stand at first; todo: how many attempts there will be. */
NODISCARD enum fault_err tune_begin(struct tune *tune, const struct outcomes *outcomes,
                                    const struct trial_how *how, bool by_accuracy,
                                    size_t folds, size_t todo, struct fault *fault);
/* Tries each value but the one that stands; set: writes a value into a how. */
NODISCARD enum fault_err tune_stage(struct tune *tune, const double *values, size_t n,
                                    void (*set)(struct trial_how *how, double value),
                                    struct fault *fault);
/* The curve of what stands and the target's points on it. Needs a score by aiq_b. model: of
 * TARGET_SHARE. */
NODISCARD enum fault_err tune_curve(struct tune *tune, const struct target *target,
                                    size_t model, struct fault *fault);
void tune_release(struct tune *tune);

#endif
