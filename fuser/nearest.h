/* nearest.h - the k nearest rows, exactly, when all distances are known nearly.
 *
 *     coarse distances of all n --kernel_bound--> what k of them are within
 *         --> rows within that and twice the error --measure()--> the k nearest, in order
 *
 * k rows are within the bound plus the error, so those that belong to the k nearest look to be within that
 * plus the error once more: the result is that of measuring every row.
 *
 * Threads: pure.
 */
#ifndef FUSER_NEAREST_H
#define FUSER_NEAREST_H

#include "fuser/kernel.h"

/* What is searched. All borrowed. */
struct nearest {
    const float *distance; /* n: at least 0 but for the error; INFINITY: no neighbour */
    size_t n;
    double error;         /* none is farther from its exact distance than this */
    const uint32_t *rows; /* n, ascending: which row each is of; NULL: row i */
    uint32_t except;      /* a row that is no neighbour, or KERNEL_NO_ROW */
    /* Gives n rows their exact distances; what lies in `near` there is arbitrary. NULL: the
     * distances are exact, and the error is 0. */
    void (*measure)(const void *context, struct near *near, size_t n);
    const void *context;
};

/* The k nearest, ordered by (distance, row). ret: room for k. Returns how many: all that are not
 * infinitely far, where those are fewer. */
size_t nearest_find(const struct nearest *nearest, size_t k, struct near *ret);

/* The same where all n distances are exact. */
size_t nearest_exact(const float *distance, size_t n, size_t k, uint32_t except,
                     struct near *ret);

#endif
