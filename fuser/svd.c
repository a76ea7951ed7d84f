/* svd.c - truncated singular value decomposition for the lexical embedder.
 *
 * The products with the sparse matrix are loops of our own, in a fixed order; only the
 * tall orthonormalisations and the small exact decomposition go to LAPACK.
 */
#include "fuser/svd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <lapacke.h>

#include "fuser/err.h"
#include "fuser/kernel.h"
#include "fuser/random.h"

#define OVERSAMPLE                                                                       \
    16               /* columns beyond the rank: what the literature advises is 5 to 20 */
#define ITERATIONS 3 /* powers of A'A: word counts decay slowly */
#define NEGLIGIBLE 1e-5 /* of the largest singular value: numerical noise */

/* out (n x l) = A x (f x l) */
static void multiply(const struct svd_sparse *a, const float *x, size_t l, float *out)
{
    memset(out, 0, a->n * l * sizeof *out);
    for (size_t i = 0; i < a->n; i++)
        for (size_t e = a->start[i]; e < a->start[i + 1]; e++)
            kernel_axpy(x + a->column[e] * l, l, a->value[e], out + i * l);
}

/* out (f x l) = A' y (n x l) */
static void multiply_transposed(const struct svd_sparse *a, const float *y, size_t l,
                                float *out)
{
    memset(out, 0, a->f * l * sizeof *out);
    for (size_t i = 0; i < a->n; i++)
        for (size_t e = a->start[i]; e < a->start[i + 1]; e++)
            kernel_axpy(y + i * l, l, a->value[e], out + a->column[e] * l);
}

/* Replaces m (rows x l, rows >= l) by an orthonormal basis of its columns. */
static enum fuser_err orthonormalise(float *m, size_t rows, size_t l, float *tau,
                                     struct fuser_error *error)
{
    lapack_int r = (lapack_int)rows, c = (lapack_int)l;
    lapack_int info = LAPACKE_sgeqrf(LAPACK_ROW_MAJOR, r, c, m, c, tau);

    if (info == 0)
        info = LAPACKE_sorgqr(LAPACK_ROW_MAJOR, r, c, c, m, c, tau);
    if (info == 0)
        return FUSER_OK;
    return info == LAPACK_WORK_MEMORY_ERROR || info == LAPACK_TRANSPOSE_MEMORY_ERROR
               ? ferr_nomem(error)
               : ferr_set(error, FUSER_INVALID, "lapack cannot orthonormalise: %d",
                          (int)info);
}

/* Columns of u (f x l), with a fixed sign, into ret_v (f x rank). */
static size_t keep_columns(const float *u, const float *s, size_t f, size_t l,
                           size_t rank, float *ret_v)
{
    size_t kept = 0;

    while (kept < rank && kept < l && s[kept] > 0 && s[kept] > s[0] * (float)NEGLIGIBLE)
        kept++;
    for (size_t c = 0; c < kept; c++) {
        float largest = 0;

        for (size_t i = 0; i < f; i++)
            if (fabsf(u[i * l + c]) > fabsf(largest))
                largest = u[i * l + c];
        for (size_t i = 0; i < f; i++)
            ret_v[i * rank + c] = largest < 0 ? -u[i * l + c] : u[i * l + c];
    }
    return kept;
}

enum fuser_err svd_right(const struct svd_sparse *a, size_t rank, uint64_t seed,
                         float *ret_v, size_t *ret_rank, struct fuser_error *error)
{
    enum fuser_err err = FUSER_NOMEM;
    size_t l = rank + OVERSAMPLE;
    float *y = NULL, *z = NULL, *u = NULL, *s = NULL, *vt = NULL;
    struct rng rng = rng_seeded(seed);
    lapack_int info;

    l = l < a->n ? l : a->n;
    l = l < a->f ? l : a->f;
    y = calloc(a->n * l, sizeof *y);
    z = calloc(a->f * l, sizeof *z);
    u = calloc(a->f * l, sizeof *u);
    s = calloc(2 * l, sizeof *s);
    vt = calloc(l * l, sizeof *vt);
    if (!y || !z || !u || !s || !vt) {
        (void)ferr_nomem(error);
        goto done;
    }
    for (size_t i = 0; i < a->f * l; i++)
        z[i] = rng_next(&rng) >> 63 ? 1.0f : -1.0f;
    for (int i = 0; i <= ITERATIONS; i++) {
        multiply(a, z, l, y);
        err = orthonormalise(y, a->n, l, s, error);
        if (err)
            goto done;
        multiply_transposed(a, y, l, z);
        if (i == ITERATIONS)
            break;
        err = orthonormalise(z, a->f, l, s, error);
        if (err)
            goto done;
    }
    /* A is close to Q Z' where Z = A'Q, so the left singular vectors of Z are wanted. */
    info = LAPACKE_sgesdd(LAPACK_ROW_MAJOR, 'S', (lapack_int)a->f, (lapack_int)l, z,
                          (lapack_int)l, s, u, (lapack_int)l, vt, (lapack_int)l);
    if (info != 0) {
        err = ferr_set(error, FUSER_INVALID, "lapack cannot decompose: %d", (int)info);
        goto done;
    }
    *ret_rank = keep_columns(u, s, a->f, l, rank, ret_v);
    err = FUSER_OK;
done:
    free(y);
    free(z);
    free(u);
    free(s);
    free(vt);
    return err;
}
