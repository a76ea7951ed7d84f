/* ridge.c - ridge regression by one eigendecomposition for all columns with the same known rows.
 *
 * Columns are grouped by which rows they know; a dense table has one group. Per group, with the rows centred:
 *
 *     X'X = V diag(l) V'      Z = X V (n x d)      A = Z' y
 *     w = V diag(1 / (l + alpha)) A       h_ii = 1/n + sum_j Z_ij^2 / (l_j + alpha)
 */
#include "fuser/ridge.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/err.h"

static const double alphas[] = {
    0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000
};
#define N_ALPHAS (sizeof(alphas) / sizeof(alphas[0]))

/* The rows that one group of columns knows, and what is computed of them once. */
struct group {
    size_t n, d;
    uint32_t *rows;  /* [n] */
    double *mean;    /* [d] of x */
    double *x;       /* [n][d] centred, then Z */
    double *vectors; /* [d][d] columns are eigenvectors: vectors[i][j] = V_ij */
    double *values;  /* [d] */
    double *a, *w, *fit, *leverage; /* [d] [d] [n] [n] scratch of one column */
};

static void group_release(struct group *g)
{
    free(g->rows);
    free(g->mean);
    free(g->x);
    free(g->vectors);
    free(g->values);
    free(g->a);
    free(g->w);
    free(g->fit);
    free(g->leverage);
}

static bool same_rows(const struct fit_data *data, size_t a, size_t b)
{
    for (size_t i = 0; i < data->n; i++)
        if (isnan(data->y[i * data->c + a]) != isnan(data->y[i * data->c + b]))
            return false;
    return true;
}

static enum fuser_err group_init(struct group *g, const struct fit_data *data,
                                 size_t column)
{
    size_t d = data->d;
    *g = (struct group){ .d = d };
    g->rows = malloc(data->n * sizeof(*g->rows));
    if (g->rows == NULL)
        return FUSER_NOMEM;
    for (size_t i = 0; i < data->n; i++)
        if (!isnan(data->y[i * data->c + column]))
            g->rows[g->n++] = (uint32_t)i;
    size_t n = g->n > 0 ? g->n : 1;
    g->mean = calloc(d, sizeof(double));
    g->x = malloc(n * d * sizeof(double));
    g->vectors = malloc(d * d * sizeof(double));
    g->values = malloc(d * sizeof(double));
    g->a = malloc(d * sizeof(double));
    g->w = malloc(d * sizeof(double));
    g->fit = malloc(n * sizeof(double));
    g->leverage = malloc(n * sizeof(double));
    if (g->mean == NULL || g->x == NULL || g->vectors == NULL || g->values == NULL ||
        g->a == NULL || g->w == NULL || g->fit == NULL || g->leverage == NULL)
        return FUSER_NOMEM;
    for (size_t i = 0; i < g->n; i++)
        for (size_t j = 0; j < d; j++)
            g->mean[j] += (double)data->x[g->rows[i] * d + j] / (double)g->n;
    for (size_t i = 0; i < g->n; i++)
        for (size_t j = 0; j < d; j++)
            g->x[i * d + j] = (double)data->x[g->rows[i] * d + j] - g->mean[j];
    return FUSER_OK;
}

/* X'X = V diag(l) V', and X becomes Z = X V. */
static enum fuser_err group_decompose(struct group *g)
{
    int n = (int)g->n, d = (int)g->d;
    double *z = malloc(g->n * g->d * sizeof(double));
    if (z == NULL)
        return FUSER_NOMEM;
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, d, n, 1.0, g->x, d, 0.0,
                g->vectors, d);
    if (LAPACKE_dsyevd(LAPACK_ROW_MAJOR, 'V', 'U', d, g->vectors, d, g->values) != 0) {
        free(z);
        return FUSER_INVALID;
    }
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, d, d, 1.0, g->x, d,
                g->vectors, d, 0.0, z, d);
    free(g->x);
    g->x = z;
    return FUSER_OK;
}

/* Fitted values (of the centred target) and leverages at one alpha. */
static void group_fit(struct group *g, double alpha)
{
    size_t n = g->n, d = g->d;
    for (size_t j = 0; j < d; j++)
        g->w[j] = g->a[j] / ((g->values[j] > 0 ? g->values[j] : 0) + alpha);
    cblas_dgemv(CblasRowMajor, CblasNoTrans, (int)n, (int)d, 1.0, g->x, (int)d, g->w, 1,
                0.0, g->fit, 1);
    for (size_t i = 0; i < n; i++) {
        double h = 1.0 / (double)n;
        for (size_t j = 0; j < d; j++)
            h += g->x[i * d + j] * g->x[i * d + j] /
                 ((g->values[j] > 0 ? g->values[j] : 0) + alpha);
        g->leverage[i] = h < 0.999 ? h : 0.999;
    }
}

static double loo_error(const struct group *g, const double *y)
{
    double sum = 0.0;
    for (size_t i = 0; i < g->n; i++) {
        double r = (y[i] - g->fit[i]) / (1.0 - g->leverage[i]);
        sum += r * r;
    }
    return sum;
}

static void write_column(const struct group *g, const struct fit_data *data,
                         size_t column, double mean_y, const double *y,
                         struct fit_linear *linear, float *loo)
{
    double intercept = mean_y;
    for (size_t i = 0; i < g->d; i++) {
        double w = cblas_ddot((int)g->d, g->vectors + i * g->d, 1, g->w, 1);
        linear->w[i * data->c + column] = (float)w;
        intercept -= w * g->mean[i];
    }
    linear->w[g->d * data->c + column] = (float)intercept;
    for (size_t i = 0; loo != NULL && i < g->n; i++)
        loo[g->rows[i] * data->c + column] =
            (float)(mean_y + y[i] - (y[i] - g->fit[i]) / (1.0 - g->leverage[i]));
}

static float standard_error(const struct group *g, const double *y)
{
    double leverage = 0.0;
    for (size_t i = 0; i < g->n; i++)
        leverage += g->leverage[i] / (double)g->n;
    return (float)sqrt(loo_error(g, y) / (double)g->n * leverage);
}

static enum fuser_err fit_column(struct group *g, const struct fit_data *data,
                                 size_t column, struct fit_linear *linear, float *loo,
                                 float *se)
{
    double *y = calloc(g->n + 1, sizeof(double));
    double mean = 0.0, best_error = INFINITY, best = alphas[N_ALPHAS - 1];
    if (y == NULL)
        return FUSER_NOMEM;
    for (size_t i = 0; i < g->n; i++)
        mean += (double)data->y[g->rows[i] * data->c + column] / (double)g->n;
    for (size_t i = 0; i < g->n; i++)
        y[i] = (double)data->y[g->rows[i] * data->c + column] - mean;
    cblas_dgemv(CblasRowMajor, CblasTrans, (int)g->n, (int)g->d, 1.0, g->x, (int)g->d, y,
                1, 0.0, g->a, 1);
    for (size_t k = 0; k < N_ALPHAS; k++) {
        group_fit(g, alphas[k]);
        double error = loo_error(g, y);
        if (error < best_error) {
            best_error = error;
            best = alphas[k];
        }
    }
    group_fit(g, best);
    write_column(g, data, column, mean, y, linear, loo);
    if (se != NULL)
        se[column] = standard_error(g, y);
    free(y);
    return FUSER_OK;
}

static enum fuser_err fit_group(const struct fit_data *data, size_t first, bool *done,
                                struct fit_linear *linear, float *loo, float *se)
{
    struct group g;
    enum fuser_err err = group_init(&g, data, first);
    if (err == FUSER_OK && g.n > 0)
        err = group_decompose(&g);
    for (size_t c = first; err == FUSER_OK && c < data->c; c++) {
        if (done[c] || !same_rows(data, first, c))
            continue;
        done[c] = true;
        if (g.n == 0)
            linear->w[data->d * data->c + c] = 0.5f;
        else
            err = fit_column(&g, data, c, linear, loo, se);
    }
    group_release(&g);
    return err;
}

enum fuser_err ridge_fit(const struct fit_data *data, struct fit_linear *ret_linear,
                         float *ret_loo, float *ret_se, struct fuser_error *error)
{
    struct fit_linear linear = { .d = data->d, .c = data->c };
    enum fuser_err err = FUSER_OK;
    bool *done = NULL;

    if (data->n == 0 || data->d == 0 || data->c == 0)
        return ferr_set(error, FUSER_INVALID,
                        "cannot fit a ridge without rows and features");
    linear.w = calloc((data->d + 1) * data->c, sizeof(float));
    done = calloc(data->c, sizeof(*done));
    if (linear.w == NULL || done == NULL)
        err = FUSER_NOMEM;
    for (size_t i = 0; ret_loo != NULL && i < data->n * data->c; i++)
        ret_loo[i] = NAN;
    for (size_t c = 0; ret_se != NULL && c < data->c; c++)
        ret_se[c] = 0.5f;
    for (size_t c = 0; err == FUSER_OK && c < data->c; c++)
        if (!done[c])
            err = fit_group(data, c, done, &linear, ret_loo, ret_se);
    free(done);
    if (err != FUSER_OK) {
        fit_linear_release(&linear);
        return ferr_set(error, err, "cannot fit a ridge: %s", fuser_err_text(err));
    }
    *ret_linear = linear;
    return FUSER_OK;
}
