/* kernel.h - the inner loops: distances, the k smallest of them, weighted sums of rows.
 *
 * They are compiled for several instruction sets and chosen once, at load. Every sum is
 * taken in sixteen lanes and a fixed tree, without fused multiply-add, so that a distance
 * is the same number on every x86-64 machine: a bundle built here decides the same there.
 *
 * Pure functions over the caller's memory; nothing needs alignment; no argument may be
 * NULL unless its count is 0.
 */
#ifndef FUSER_KERNEL_H
#define FUSER_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_NO_ROW UINT32_MAX

/* A calibration row and its squared distance. */
struct near {
    float distance;
    uint32_t row;
};

/* acc[i] += ||rows[i] - query||^2 for n rows of dim floats, row-major. */
void kernel_l2_add(const float *rows, size_t n, size_t dim, const float *query,
                   float *acc);

/* near[i].distance += ||rows[near[i].row] - query||^2 for n rows that lie anywhere: the same
 * numbers as kernel_l2_add's. */
void kernel_l2_near(const float *rows, size_t dim, const float *query, struct near *near,
                    size_t n);

/* n rows of few numbers each: row i's in column c is value[i * row + c * column]. */
struct kernel_columns {
    const float *value;
    size_t n, n_columns;
    size_t row,
        column; /* floats from one row to the next, and from one column to the next */
};

/* ret[i] = share * distance[i] + ||row i - query||^2, for all rows; they lie side by side in each
 * column (row is 1). The columns are added in their order. */
void kernel_columns(const struct kernel_columns *of, const float *query,
                    const float *distance, float share, float *ret);
/* near[i].distance += ||row near[i].row - query||^2: the same numbers. */
void kernel_columns_near(const struct kernel_columns *of, const float *query,
                         struct near *near, size_t n);

/* ret[w] = matrix[w] . v for width lines of dim floats. */
void kernel_project(const float *matrix, size_t width, size_t dim, const float *v,
                    float *ret);

/* out = sum over i < n of weight[i] * rows[which[i]]; rows and out are dim wide. */
void kernel_weighted_sum(const float *rows, size_t dim, const uint16_t *which,
                         const float *weight, size_t n, float *out);

/* out[d] += weight * row[d]. */
void kernel_axpy(const float *row, size_t dim, float weight, float *out);

/* The k nearest of the m rows listed in `of`, ascending, ordered by (distance, row); rows at an
 * infinite distance are left out. ret: room for k. Returns how many. */
size_t kernel_nearest_of(const float *distance, const uint32_t *of, size_t m, size_t k,
                         struct near *ret);

#define KERNEL_SAMPLE 2048

/* The rows l, l + stride, l + 2 stride... are a class. */
struct kernel_sample {
    size_t stride; /* classes, at most KERNEL_SAMPLE */
    int32_t
        least[KERNEL_SAMPLE]; /* the least distance of each: a float that is taken for an
                                   integer, which orders alike; below 0 counts as 0 */
    size_t at, row;           /* where kernel_within goes on: a class, and a row of it */
};

/* For a caller that has its own way to the candidates: first this. n > 0. */
void kernel_sample(const float *distance, size_t n, struct kernel_sample *ret);

/* A distance of at least 0 that at least k are within, little above the k-th smallest. FLT_MAX: fewer
 * are finite, or k is large. k > 0. */
float kernel_bound(const struct kernel_sample *sample, size_t k);

/* Then the rows within a limit of at least 0, in no order, at most `room` at a time; that was all when
 * sample->at is sample->stride. Returns how many. */
size_t kernel_within(const float *distance, size_t n, struct kernel_sample *sample,
                     float limit, struct near *ret, size_t room);

/* And offer each candidate, and sort. heap: room for k; *n: how many it holds, at first 0. */
void kernel_offer(struct near *heap, size_t *n, size_t k, struct near it);
/* Into ascending order of (distance, row). */
void kernel_sort(struct near *near, size_t n);

/* One generator's columns over n rows, and its prices in units of loss. */
struct kernel_first {
    const float *quality, *tokens; /* estimates */
    const float *truth, *output;   /* what came of it */
    const float *input;
    float fixed, per_input, per_output;
    float limit;  /* clips tokens */
    float wanted; /* quality below this counts only where nothing reaches it */
};

/* Where this generator's utility beats utility[i], notes it there and its loss in
 * loss[i]. */
void kernel_first(size_t n, const struct kernel_first *of, float *utility, float *loss);

/* Brings v to unit length. False when it has none (all zero, or not finite): v is
 * untouched. */
bool kernel_unit(float *v, size_t dim);

#endif
