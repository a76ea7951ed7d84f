/* ridge.h - linear regression of every column with an L2 penalty, in closed form.
 *
 *     min_w  sum_i (y_ic - b_c - x_i w_c)^2 + alpha |w_c|^2
 *
 * alpha is chosen per column from a fixed grid by the exact leave-one-out error, which the eigenvectors of the
 * centred Gram matrix give for all rows at once: r_i / (1 - h_ii) (Golub, Heath, Wahba 1979, section 2).
 */
#ifndef FUSER_RIDGE_H
#define FUSER_RIDGE_H

#include "fuser/fit.h"

/* ret_loo: NULL, or [n][c] leave-one-out predictions, NAN where the target is not known.
 * ret_se: NULL, or [c] standard errors of a typical prediction: the left-out residuals' deviation
 * times the root of the mean leverage; 0.5 where nothing is known.
 * A column without a known target gets the prediction 0.5. INVALID without rows or features. */
FUSER_NODISCARD enum fuser_err ridge_fit(const struct fit_data *data,
                                         struct fit_linear *ret_linear, float *ret_loo,
                                         float *ret_se, struct fuser_error *error);

#endif
