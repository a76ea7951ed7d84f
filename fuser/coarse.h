/* coarse.h - the vectors of one embedder at a byte a float, for a first look at all of them.
 *
 *     coarse_init(vectors) -> coarse_ask(query) -> coarse_add(...) for tiles of rows
 *
 * A scan runs at the speed of memory, so a quarter of the bytes is a quarter of the time. What
 * it gives is not the distance but within coarse_error() of it, by Cauchy's inequality:
 *
 *     x = x' + dx, q = q' + dq, all of unit length:  |x.q - x'.q'| <= |dx| + |x'| |dq|
 *
 * Whoever looks again, exactly, at all rows whose coarse distance is within twice the error
 * of the k-th smallest finds the same k nearest as an exact scan: walk.c does. The sums are of
 * integers, so every machine has the same ones.
 *
 * Threads: immutable after coarse_init.
 */
#ifndef FUSER_COARSE_H
#define FUSER_COARSE_H

#include "fuser/fuser.h"

struct coarse {
    size_t n, dim, width; /* width: dim, rounded up to whole vectors */
    int8_t *code;         /* n x width; owned */
    float *scale;         /* n: a code's worth; 0 for a row of zeros */
    int32_t *sum;         /* n: of a row's codes */
    double error;         /* the largest |dx| */
};

/* vectors: n x dim, each of unit length or zero. */
FUSER_NODISCARD enum fuser_err coarse_init(struct coarse *coarse, const float *vectors,
                                           size_t n, size_t dim);
void coarse_release(struct coarse *coarse);

/* Room for a query's code, in elements. */
size_t coarse_width(size_t dim);

/* One query as the scan wants it. */
struct coarse_query {
    int16_t *code; /* coarse_width(dim) elements, borrowed */
    float scale;
    double error; /* no distance is farther off than this */
};

/* query: dim floats of unit length. code: room for coarse_width(dim), borrowed while used. */
void coarse_ask(const struct coarse *coarse, const float *query, int16_t *code,
                struct coarse_query *ret_query);

/* acc[i] += squared distance of row first + i, nearly, for n rows. */
void coarse_add(const struct coarse *coarse, size_t first, size_t n,
                const struct coarse_query *query, float *acc);
/* The same numbers on any machine, without the instructions that were made for it. */
void coarse_add_plain(const struct coarse *coarse, size_t first, size_t n,
                      const struct coarse_query *query, float *acc);

#endif
