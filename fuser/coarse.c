/* coarse.c - quantised vectors and their scan.
 *
 * What must always hold: the error that is promised is an upper bound, rounding of the
 * floats included; and no sum of products overflows 32 bits.
 */
#include "fuser/coarse.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/clones.h"

#define STEP      64 /* a row's codes fill whole cache lines */
#define ROW_MAX   127
#define QUERY_MAX 2047 /* 127 * 2047 * FUSER_MAX_DIM is below 2^31 */
#define ROUNDING  1e-5 /* what the floats of either computation may be off */

_Static_assert((int64_t)ROW_MAX *QUERY_MAX *FUSER_MAX_DIM < INT32_MAX,
               "a sum of products fits");

size_t coarse_width(size_t dim)
{
    return (dim + STEP - 1) / STEP * STEP;
}

/* Codes of one vector, at most `limit` in size; how far off they are, as a length. */
static double quantise(const float *v, size_t dim, int limit, int16_t *code,
                       float *ret_scale)
{
    float largest = 0;
    double square = 0;

    for (size_t d = 0; d < dim; d++)
        largest = fmaxf(largest, fabsf(v[d]));
    *ret_scale = largest / (float)limit;
    for (size_t d = 0; d < dim; d++) {
        float value = largest > 0 ? roundf(v[d] / largest * (float)limit) : 0.0f;
        double off;

        code[d] = (int16_t)value;
        off = (double)v[d] - (double)code[d] * (double)*ret_scale;
        square += off * off;
    }
    return sqrt(square);
}

enum fuser_err coarse_init(struct coarse *coarse, const float *vectors, size_t n,
                           size_t dim)
{
    size_t width = coarse_width(dim);
    int16_t *code = calloc(width, sizeof *code);

    memset(coarse, 0, sizeof *coarse);
    coarse->n = n;
    coarse->dim = dim;
    coarse->width = width;
    coarse->code = calloc(n, width);
    coarse->scale = calloc(n, sizeof *coarse->scale);
    if (!code || !coarse->code || !coarse->scale) {
        free(code);
        coarse_release(coarse);
        return FUSER_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        double off = quantise(vectors + i * dim, dim, ROW_MAX, code, &coarse->scale[i]);

        coarse->error = fmax(coarse->error, off);
        for (size_t d = 0; d < dim; d++)
            coarse->code[i * width + d] = (int8_t)code[d];
    }
    free(code);
    return FUSER_OK;
}

void coarse_release(struct coarse *coarse)
{
    free(coarse->code);
    free(coarse->scale);
    memset(coarse, 0, sizeof *coarse);
}

void coarse_ask(const struct coarse *coarse, const float *query, int16_t *code,
                struct coarse_query *ret_query)
{
    double off;

    memset(code, 0, coarse->width * sizeof *code);
    off = quantise(query, coarse->dim, QUERY_MAX, code, &ret_query->scale);
    ret_query->code = code;
    ret_query->error = 2 * (coarse->error + (1 + coarse->error) * off) + ROUNDING;
}

FUSER_CLONES_BYTES void coarse_add(const struct coarse *coarse, size_t first, size_t n,
                                   const struct coarse_query *query, float *acc)
{
    size_t width =
        coarse->width / STEP * STEP; /* no rest: the compiler need not see to it */
    const int16_t *q = query->code;

    assert(first + n <= coarse->n);
    for (size_t i = 0; i < n; i++) {
        const int8_t *x = coarse->code + (first + i) * width;
        int32_t dot = 0;

        for (size_t d = 0; d < width; d++)
            dot += (int32_t)x[d] * (int32_t)q[d];
        acc[i] += 2.0f - 2.0f * coarse->scale[first + i] * query->scale * (float)dot;
    }
}
