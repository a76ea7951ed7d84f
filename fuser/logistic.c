/* logistic.c - the objective of logistic regression, minimised by liblbfgs. */
#include "fuser/logistic.h"

#include <cblas.h>
#include <lbfgs.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/err.h"

struct problem {
    const struct fit_data *data;
    enum logistic_link link;
    double penalty; /* 1 / C */
    double *x;      /* [n][d] */
    double *scores; /* [n][c], then the residuals */
};

static double softmax_row(double *row, const float *y, size_t c)
{
    double high = row[0], sum = 0.0, loss = 0.0;
    for (size_t k = 1; k < c; k++)
        high = row[k] > high ? row[k] : high;
    for (size_t k = 0; k < c; k++)
        sum += exp(row[k] - high);
    double log_sum = high + log(sum);
    for (size_t k = 0; k < c; k++) {
        loss += (double)y[k] * (log_sum - row[k]);
        row[k] = exp(row[k] - log_sum) - (double)y[k];
    }
    return loss;
}

static double sigmoid_row(double *row, const float *y, size_t c)
{
    double loss = 0.0;
    for (size_t k = 0; k < c; k++) {
        double s = row[k], e = exp(-fabs(s));
        if (isnan(y[k])) {
            row[k] = 0.0;
            continue;
        }
        loss += log1p(e) + (s > 0 ? s : 0) - (double)y[k] * s;
        row[k] = (s >= 0 ? 1.0 / (1.0 + e) : e / (1.0 + e)) - (double)y[k];
    }
    return loss;
}

/* Scores, residuals, gradient: the objective and its gradient as liblbfgs wants them. */
static lbfgsfloatval_t evaluate(void *instance, const lbfgsfloatval_t *w,
                                lbfgsfloatval_t *g, int n_weights, lbfgsfloatval_t step)
{
    struct problem *p = instance;
    size_t n = p->data->n, d = p->data->d, c = p->data->c;
    double loss = 0.0;
    (void)step;
    for (size_t i = 0; i < n; i++)
        memcpy(p->scores + i * c, w + d * c, c * sizeof(double));
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)c, (int)d, 1.0,
                p->x, (int)d, w, (int)c, 1.0, p->scores, (int)c);
    memset(g, 0, (size_t)n_weights * sizeof(*g));
    for (size_t i = 0; i < n; i++) {
        double *row = p->scores + i * c;
        loss += p->link == LOGISTIC_SOFTMAX ? softmax_row(row, p->data->y + i * c, c)
                                            : sigmoid_row(row, p->data->y + i * c, c);
        for (size_t k = 0; k < c; k++)
            g[d * c + k] += row[k];
    }
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)d, (int)c, (int)n, 1.0,
                p->x, (int)d, p->scores, (int)c, 0.0, g, (int)c);
    for (size_t k = 0; k < d * c; k++) {
        loss += 0.5 * p->penalty * w[k] * w[k];
        g[k] += p->penalty * w[k];
    }
    return loss;
}

static enum fuser_err minimise(struct problem *p, int iterations, double *weights)
{
    lbfgs_parameter_t how;
    lbfgs_parameter_init(&how);
    how.max_iterations = iterations > 0 ? iterations : 300;
    how.epsilon = 1e-4;
    how.m = 10;
    int status = lbfgs((int)((p->data->d + 1) * p->data->c), weights, NULL, evaluate,
                       NULL, p, &how);
    if (status == LBFGSERR_OUTOFMEMORY)
        return FUSER_NOMEM;
    /* The other codes end at the best point found: enough steps, or no further progress. */
    return FUSER_OK;
}

enum fuser_err logistic_fit(const struct fit_data *data, enum logistic_link link,
                            double strength, int iterations,
                            struct fit_linear *ret_linear, struct fuser_error *error)
{
    struct problem p = { .data = data, .link = link, .penalty = 1.0 / strength };
    struct fit_linear linear = { .d = data->d, .c = data->c };
    size_t n_weights = (data->d + 1) * data->c;
    double *weights = NULL;
    enum fuser_err err = FUSER_NOMEM;

    if (data->n == 0 || data->d == 0 || data->c == 0 || !(strength > 0.0))
        return ferr_set(
            error, FUSER_INVALID,
            "cannot fit a logistic model without rows, features and a strength");
    p.x = malloc(data->n * data->d * sizeof(double));
    p.scores = malloc(data->n * data->c * sizeof(double));
    linear.w = malloc(n_weights * sizeof(float));
    weights = lbfgs_malloc((int)n_weights);
    if (p.x == NULL || p.scores == NULL || linear.w == NULL || weights == NULL)
        goto out;
    memset(weights, 0, n_weights * sizeof(*weights));
    for (size_t i = 0; i < data->n * data->d; i++)
        p.x[i] = (double)data->x[i];
    err = minimise(&p, iterations, weights);
    for (size_t i = 0; err == FUSER_OK && i < n_weights; i++)
        linear.w[i] = (float)weights[i];
out:
    lbfgs_free(weights);
    free(p.x);
    free(p.scores);
    if (err != FUSER_OK) {
        fit_linear_release(&linear);
        return ferr_set(error, err, "cannot fit a logistic model: %s",
                        fuser_err_text(err));
    }
    *ret_linear = linear;
    return FUSER_OK;
}
