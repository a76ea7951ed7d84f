/* svd.h - right singular vectors of a sparse matrix, by a randomised range finder.
 *
 * Halko, Martinsson, Tropp, "Finding structure with randomness" (2011), algorithms 4.4
 * and 5.1: multiply by a random matrix, orthonormalise, a few power iterations, and an
 * exact decomposition (LAPACK) of the small rest. Deterministic by seed.
 */
#ifndef FUSER_SVD_H
#define FUSER_SVD_H

#include "fuser/fuser.h"

/* n rows and f columns; row i has entries [start[i], start[i + 1]). Borrowed. */
struct svd_sparse {
    size_t n, f;
    const size_t *start;
    const uint32_t *column;
    const float *value;
};

/* ret_v: f x rank, row-major, zeroed by the caller: the right singular vectors are its
 * columns, the largest first; each has its largest entry positive. ret_rank: how many are
 * there (the others stay zero), 0 for a matrix of zeros. */
FUSER_NODISCARD enum fuser_err svd_right(const struct svd_sparse *a, size_t rank,
                                         uint64_t seed, float *ret_v, size_t *ret_rank,
                                         struct fuser_error *error);

#endif
