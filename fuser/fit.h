/* fit.h - what every fitted fuser learns from: features and targets.
 *
 * A target is a number in [0,1] (a quality, or the 0/1 of a class), or NAN: not known. Rows whose target is not
 * known do not count for that column; they are never taken for 0.
 *
 * Threads: pure functions over the caller's memory. Deterministic for one machine type: the same input and seed
 * give the same weights as long as BLAS runs on one thread.
 */
#ifndef FUSER_FIT_H
#define FUSER_FIT_H

#include <stddef.h>

#include "fuser/fuser.h"

struct fit_data {
    const float *x; /* [n][d] borrowed */
    const float *y; /* [n][c] borrowed; NAN: not known */
    size_t n, d, c;
};

/* A linear map with intercept: score_c = b_c + sum_d x_d w[d][c]. */
struct fit_linear {
    size_t d, c;
    float *w; /* [d + 1][c], owned; the last row is the intercept */
};

void fit_linear_release(struct fit_linear *linear);
/* Scores of n rows: [n][c]. */
void fit_linear_apply(const struct fit_linear *linear, const float *x, size_t n,
                      float *ret_scores);

/* Brings each row of scores to probabilities that sum to 1, without overflow. */
void fit_softmax(float *scores, size_t n, size_t c);
void fit_sigmoid(float *scores, size_t n, size_t c);

#endif
