/* logistic.h - logistic regression by L-BFGS, with an L2 penalty on all but the intercepts.
 *
 *     min_w  sum_i cross_entropy(y_i, link(b + x_i w)) + |w|^2 / (2 C)
 *
 * LOGISTIC_SOFTMAX: the columns are classes and rows of y sum to 1. LOGISTIC_SIGMOID: each column is a yes
 * or no of its own (a quality in [0,1] is a share of yes), and NAN leaves a cell out.
 */
#ifndef FUSER_LOGISTIC_H
#define FUSER_LOGISTIC_H

#include "fuser/fit.h"

enum logistic_link { LOGISTIC_SOFTMAX, LOGISTIC_SIGMOID };

/* strength: C > 0. iterations: at most so many, 0 for 300. */
FUSER_NODISCARD enum fuser_err logistic_fit(const struct fit_data *data,
                                            enum logistic_link link, double strength,
                                            int iterations, struct fit_linear *ret_linear,
                                            struct fuser_error *error);

#endif
