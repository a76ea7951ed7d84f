/* fuser_classes.h - FoE-classification: fusing class outputs (section 3.1 of the paper).
 *
 * Every expert names a class and its confidence, or a whole probability vector; a fuser turns the
 * outputs of the experts that were asked into one class. The feature of an expert is
 * one-hot(label) * confidence (or 100 * the probability vector), distances are squared and add up
 * over the experts asked, so that with labels and confidences they are exact integers.
 * Subsets of experts are bit masks.
 *
 * Beside fuser.h, which has the routing of prompts, the other public header of the library. Threads: one
 * at a time for struct fuser_classes, which keeps a memo; the rest is pure. Errors and outputs as in fuser.h.
 */
#ifndef FUSER_FUSER_CLASSES_H
#define FUSER_FUSER_CLASSES_H

#include "fuser/fuser.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FUSER_MAX_CLASS_EXPERTS 32
#define FUSER_MAX_CLASSES       256
#define FUSER_MAX_KAPPA         126

struct fuser_class_set { /* borrowed arrays, row-major */
    size_t n_items, n_experts, n_classes;
    const uint8_t *label;      /* [item][expert] predicted class */
    const uint8_t *confidence; /* [item][expert] hundredths, 0..100 */
    const float
        *probability; /* NULL, or [item][expert][class] 0..1: then features are these */
    const uint8_t *truth;  /* [item] */
    const uint8_t *domain; /* [item] whose domain it is from, or NULL */
};

struct
    fuser_classes; /* the calibration rows, prepared; immutable but for its memo of losses */

/* Copies what it needs of `fit`. INVALID: a label or truth >= n_classes, a confidence over 100, a
 * probability that is not in 0..1, no items. kappa: votes of the fuser, 1..FUSER_MAX_KAPPA. */
FUSER_NODISCARD enum fuser_err fuser_classes_new(const struct fuser_class_set *fit,
                                                 uint32_t kappa,
                                                 struct fuser_classes **ret_classes,
                                                 struct fuser_error *error);
void fuser_classes_free(struct fuser_classes *classes); /* takes NULL */

/* The k calibration rows nearest to an item by the experts in `mask`, by (distance, row). k is
 * clipped to the rows; returns how many. Both outputs hold k. */
size_t fuser_classes_neighbours(const struct fuser_classes *classes,
                                const struct fuser_class_set *set, size_t item,
                                uint32_t mask, size_t k, uint32_t *ret_rows,
                                float *ret_distances);
/* Most votes among the first `kappa` rows; ties: the smallest class. */
uint8_t fuser_classes_vote(const struct fuser_classes *classes, const uint32_t *rows,
                           size_t kappa);
/* The expert that is right on most of the rows; ties: larger calibration accuracy, lower expert. */
size_t fuser_classes_route(const struct fuser_classes *classes, const uint32_t *rows,
                           size_t kappa);
double fuser_classes_accuracy(const struct fuser_classes *classes, size_t expert);
/* Mean leave-one-out loss over all calibration rows of the kNN fuser on `mask`: 0/1, or with `soft`
 * the share of kappa votes that miss the truth. Needs memory for the memo: INFINITY without. */
double fuser_classes_loss(struct fuser_classes *classes, uint32_t mask, bool soft);

/* FrugalFoE, section 4: the sequential purchase of experts' outputs. */
struct fuser_class_walk {
    bool soft;            /* graded loss; otherwise 0 or 1 */
    uint32_t m;           /* M: neighbours whose losses are averaged */
    uint32_t max_experts; /* the walk goes no further */
    uint32_t
        min_experts; /* ... and goes on at least so far even where the stop rule would end it */
    double
        lambda; /* price of cost in units of loss: steers the order when costs differ */
    const double *cost; /* [expert], NULL: all 1 */
    double gain_se; /* subtract so many standard errors from a gain: 0 as in the paper */
    double
        stop_lambda; /* the walk ends where a gain no longer pays at this lambda, beyond min_experts */
};

struct fuser_class_path {
    size_t n; /* experts bought, in order */
    uint8_t expert[FUSER_MAX_CLASS_EXPERTS];
    uint8_t answer[FUSER_MAX_CLASS_EXPERTS]; /* the fuser's class after each purchase */
    double gain
        [FUSER_MAX_CLASS_EXPERTS]; /* kappa * M * (loss before - loss after), gain[0] unused; integers unless gain_se */
};

/* Deterministic: ties go to the lowest expert. One path serves every lambda when costs are equal: with
 * stop lambda l the walk takes purchase i only while gain[i] > l * kappa * M * cost. */
FUSER_NODISCARD enum fuser_err
fuser_classes_walk(struct fuser_classes *classes, const struct fuser_class_walk *how,
                   const struct fuser_class_set *set, size_t item,
                   struct fuser_class_path *ret_path, struct fuser_error *error);
/* How many purchases of `path` are made at `lambda` (>= 1). */
size_t fuser_class_path_stop(const struct fuser_classes *classes,
                             const struct fuser_class_walk *how,
                             const struct fuser_class_path *path, double lambda);

/* The static subset: adds to `mask` the expert with the least leave-one-out 0/1 loss; SIZE_MAX: none left. */
size_t fuser_classes_greedy(struct fuser_classes *classes, uint32_t mask);

/* Baselines that need no calibration rows. Ties as the paper's tables count them: see the .c. */
uint8_t fuser_class_majority(const struct fuser_class_set *set, size_t item,
                             uint32_t mask);
uint8_t fuser_class_weighted(const struct fuser_class_set *set, size_t item,
                             uint32_t mask);
uint8_t fuser_class_mean(const struct fuser_class_set *set, size_t item, uint32_t mask);
uint8_t fuser_class_confident(const struct fuser_class_set *set, size_t item,
                              uint32_t mask);

/* FrugalML (NeurIPS 2020), re-implemented: a base expert, and per predicted class a confidence below which one
 * add-on expert is asked, whose answer then counts. Fitted to accuracy - lambda * calls on calibration rows. */
struct fuser_frugalml {
    uint8_t base;
    uint8_t addon[FUSER_MAX_CLASSES]; /* 255: none */
    uint8_t below[FUSER_MAX_CLASSES]; /* ask the add-on when confidence < below */
};
FUSER_NODISCARD enum fuser_err fuser_frugalml_fit(const struct fuser_class_set *fit,
                                                  double lambda,
                                                  struct fuser_frugalml *ret_rule,
                                                  struct fuser_error *error);
uint8_t fuser_frugalml_answer(const struct fuser_frugalml *rule,
                              const struct fuser_class_set *set, size_t item,
                              uint32_t *ret_calls);

/* Fitted fusers on the concatenated features. */
enum fuser_class_head { FUSER_CLASS_RIDGE, FUSER_CLASS_LOGISTIC, FUSER_CLASS_MLP };
struct fuser_class_model;
FUSER_NODISCARD enum fuser_err
fuser_class_model_fit(const struct fuser_class_set *fit, uint32_t mask,
                      enum fuser_class_head head, uint64_t seed,
                      fuser_progress_fn progress, void *progress_context,
                      struct fuser_class_model **ret_model, struct fuser_error *error);
void fuser_class_model_free(struct fuser_class_model *model); /* takes NULL */
/* Answers for all items of `set`: n_items bytes. */
FUSER_NODISCARD enum fuser_err
fuser_class_model_answer(const struct fuser_class_model *model,
                         const struct fuser_class_set *set, uint8_t *ret_answers,
                         struct fuser_error *error);

#ifdef __cplusplus
}
#endif
#endif
