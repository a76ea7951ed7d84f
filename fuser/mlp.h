/* mlp.h - the small multi-layer perceptron of the paper: two hidden layers of rectified units.
 *
 * Trained by Adam (Kingma, Ba 2015; rate 1e-3, beta .9 and .999) on cross-entropy in mini-batches of 200, with an L2
 * penalty of 1e-4, until the loss no longer falls or `epochs` are done. Deterministic by seed.
 */
#ifndef FUSER_MLP_H
#define FUSER_MLP_H

#include "fuser/fit.h"
#include "fuser/logistic.h"

#define MLP_LAYERS 3 /* two hidden, one output */

struct mlp {
    size_t width[MLP_LAYERS + 1]; /* d, hidden, hidden, c */
    float *
        w[MLP_LAYERS]; /* [width[l] + 1][width[l + 1]], owned; the last row is the bias */
    enum logistic_link link;
};

struct mlp_how {
    size_t hidden;  /* units in each hidden layer, 0 for 512 */
    int epochs;     /* at most, 0 for 100 */
    double penalty; /* < 0 for 1e-4 */
    uint64_t seed;
    fuser_progress_fn progress;
    void *progress_context;
};

FUSER_NODISCARD enum fuser_err mlp_fit(const struct fit_data *data,
                                       enum logistic_link link, const struct mlp_how *how,
                                       struct mlp *ret_mlp, struct fuser_error *error);
void mlp_release(struct mlp *mlp);
/* Probabilities of n rows: [n][c]. `scratch`: n * (width[1] + width[2]) floats. */
void mlp_apply(const struct mlp *mlp, const float *x, size_t n, float *scratch,
               float *ret_y);

#endif
