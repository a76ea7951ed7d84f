/* trial.h - lets a fuser decide on prompts with known outcomes: one build, all prompts, all lambdas.
 *
 *   trials_new(measure, how)            room for the decisions on all prompts to measure
 *   trials_run(trials, fit, rows, ...)  builds on the given rows of `fit` and decides on those of `measure`
 *   measures_of(&trials->trial, ...)
 *
 * Every decision is a session of the fuser, as in the gateway: nothing here knows how one is made.
 */
#ifndef TOOLS_CTL_TRIAL_H
#define TOOLS_CTL_TRIAL_H

#include "tools/ctl/measures.h"
#include "tools/ctl/outcomes.h"
#include "tools/ctl/progress.h"

#define TRIAL_LAMBDAS 49

/* Vectors of a remote embedder, read from a file: `id,v0,v1,..`. */
struct trial_vectors {
    size_t dim;
    float *
        vectors; /* [row][dim] of the outcomes they were read for; a missing row is NAN */
};

struct trial_how {
    const char *head; /* "blend", "knn:80" without the number */
    uint32_t k, walk_m;
    double prior_rows, switch_z, gain_se;
    const struct fuser_tuned *tuned; /* kept in what is built; NULL: none */
    uint64_t seed;
    uint32_t threads;
    size_t n_embedders;
    struct fuser_embedder_info embedders[FUSER_MAX_EMBEDDERS];
    int64_t price_pico[FUSER_MAX_EMBEDDERS];
    const struct trial_vectors *fit_vectors[FUSER_MAX_EMBEDDERS]; /* NULL: built in */
    const struct trial_vectors *measure_vectors[FUSER_MAX_EMBEDDERS];
    size_t n_lambdas;
    double lambdas[MEASURES_POINTS]; /* ascending, 0 first */
    /* As a gateway does: where the evidence is poor the default answers, per lambda. NULL: whoever the
     * verdict ranks first. */
    const uint8_t *fallback;
};

struct trials {
    const struct outcomes *measure;
    const struct trial_how *how;
    struct trial trial;
    double *predicted;
    uint8_t *chosen;
    double *paid;
    uint8_t *bought; /* (l, i): bit e: embedder e was bought */
};

struct trials *trials_new(const struct outcomes *measure, const struct trial_how *how);
void trials_free(struct trials *trials); /* takes NULL */

/* fit_rows, rows: which rows to build on and to decide on. `fit` and the outcomes to measure have the same
 * models in the same order. bar: a share of it from `from` to `to` is this run's. */
NODISCARD enum fault_err trials_run(struct trials *trials, const struct outcomes *fit,
                                    const uint32_t *fit_rows, size_t n_fit,
                                    const uint32_t *rows, size_t n_rows,
                                    struct progress *bar, double from, double to,
                                    struct fault *fault);

/* The two halves of trials_run: one fuser serves trials whose `how` differs in what a request
 * brings. */
NODISCARD enum fault_err trials_build(const struct trials *trials,
                                      const struct outcomes *fit,
                                      const uint32_t *fit_rows, size_t n_fit,
                                      struct fuser **ret_fuser, struct fault *fault);
NODISCARD enum fault_err trials_walk(struct trials *trials, struct fuser *fuser,
                                     const uint32_t *rows, size_t n_rows,
                                     struct progress *bar, double from, double to,
                                     struct fault *fault);

/* Prices of quality: 0, then evenly on a logarithmic scale around what a model costs on
 * average. */
void trial_lambdas(const struct outcomes *fit, struct trial_how *how);
/* A random order of n rows that follows from the seed. ret_order: n. */
void trial_order(size_t n, uint64_t seed, uint32_t *ret_order);
/* Equal parts in a random order that follows from the seed. ret_part: n. */
void trial_folds(size_t n, size_t folds, uint64_t seed, uint32_t *ret_part);

NODISCARD enum fault_err trial_vectors_read(const char *path,
                                            const struct outcomes *outcomes,
                                            struct trial_vectors *ret_vectors,
                                            struct fault *fault);

#endif
