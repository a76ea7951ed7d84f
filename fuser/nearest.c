/* nearest.c - candidates by coarse distances, measured a lot at a time. */
#include "fuser/nearest.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define LOT      512   /* candidates measured together */
#define ROUNDING 1e-6f /* of a distance: what the floats of a sum may be off */

/* The search on its way through the rows. */
struct search {
    const struct nearest *of;
    size_t k, found;
    float bound;      /* rows that look farther away are not among the k nearest */
    struct near *ret; /* a heap of those found */
};

/* What rows that are as near as `distance` look to be within. */
static float widened(const struct nearest *of, float distance, double error)
{
    if (of->measure == NULL || !(distance < FLT_MAX))
        return distance;
    return distance + (float)error + ROUNDING * distance;
}

/* Measures n candidates and drops those that are no neighbours. Returns how many are left. */
static size_t measure_lot(const struct nearest *of, struct near *lot, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; of->rows != NULL && i < n; i++)
        lot[i].row = of->rows[lot[i].row];
    if (of->measure != NULL)
        of->measure(of->context, lot, n);
    for (size_t i = 0; i < n; i++) {
        lot[kept] = lot[i];
        kept += lot[i].distance < INFINITY && lot[i].row != of->except;
    }
    return kept;
}

/* Who is nearer than the farthest of k found takes its place. */
static void offer_lot(struct search *search, const struct near *lot, size_t n)
{
    for (size_t i = 0; i < n; i++)
        kernel_offer(search->ret, &search->found, search->k, lot[i]);
    if (search->found == search->k)
        search->bound = fminf(search->bound, widened(search->of, search->ret[0].distance,
                                                     search->of->error));
}

size_t nearest_find(const struct nearest *nearest, size_t k, struct near *ret)
{
    struct search search = { nearest, k, 0, 0, ret };
    struct kernel_sample sample;
    struct near lot[LOT];
    size_t n;
    /* The excepted row may be one of those that make the bound. */
    size_t within = nearest->except == KERNEL_NO_ROW ? k : k + 1;

    if (k == 0 || nearest->n == 0)
        return 0;
    kernel_sample(nearest->distance, nearest->n, &sample);
    search.bound = widened(nearest, kernel_bound(&sample, within), 2 * nearest->error);
    for (;;) {
        n = kernel_within(nearest->distance, nearest->n, &sample, search.bound, lot, LOT);
        n = measure_lot(nearest, lot, n);
        if (sample.at == sample.stride)
            break;
        offer_lot(&search, lot, n);
    }
    if (search.found == 0) { /* the first lot was the last, as a rule */
        kernel_sort(lot, n);
        n = n < k ? n : k;
        memcpy(ret, lot, n * sizeof *ret);
        return n;
    }
    offer_lot(&search, lot, n);
    kernel_sort(ret, search.found);
    return search.found;
}

size_t nearest_exact(const float *distance, size_t n, size_t k, uint32_t except,
                     struct near *ret)
{
    struct nearest nearest = { .distance = distance, .n = n, .except = except };

    return nearest_find(&nearest, k, ret);
}
