/* mlp.c - forward, backward and Adam of the two-layer perceptron, on BLAS. */
#include "fuser/mlp.h"

#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/err.h"
#include "fuser/random.h"

#define BATCH     200
#define RATE      1e-3
#define BETA1     0.9
#define BETA2     0.999
#define PATIENCE  10 /* epochs without the loss falling by TOLERANCE */
#define TOLERANCE 1e-4

/* What training needs beside the weights. */
struct trainer {
    struct mlp *net;
    const struct fit_data *data;
    double penalty;
    uint32_t *order;            /* [n] */
    float *act[MLP_LAYERS + 1]; /* [BATCH][width] inputs of each layer, then the output */
    float *delta[MLP_LAYERS + 1]; /* [BATCH][width], [0] unused */
    float *target;                /* [BATCH][c] */
    float *grad[MLP_LAYERS], *m1[MLP_LAYERS], *m2[MLP_LAYERS];
    long steps;
};

static size_t weights_of(const struct mlp *net, int layer)
{
    return (net->width[layer] + 1) * net->width[layer + 1];
}

void mlp_release(struct mlp *mlp)
{
    for (int l = 0; l < MLP_LAYERS; l++)
        free(mlp->w[l]);
    *mlp = (struct mlp){ 0 };
}

static void layer_forward(const struct mlp *net, int l, const float *in, size_t n,
                          float *out)
{
    size_t from = net->width[l], to = net->width[l + 1];
    const float *bias = net->w[l] + from * to;
    for (size_t i = 0; i < n; i++)
        memcpy(out + i * to, bias, to * sizeof(float));
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)to, (int)from,
                1.0f, in, (int)from, net->w[l], (int)to, 1.0f, out, (int)to);
    if (l == MLP_LAYERS - 1) {
        if (net->link == LOGISTIC_SOFTMAX)
            fit_softmax(out, n, to);
        else
            fit_sigmoid(out, n, to);
        return;
    }
    for (size_t i = 0; i < n * to; i++)
        out[i] = out[i] > 0.0f ? out[i] : 0.0f;
}

void mlp_apply(const struct mlp *mlp, const float *x, size_t n, float *scratch,
               float *ret_y)
{
    float *first = scratch, *second = scratch + n * mlp->width[1];
    layer_forward(mlp, 0, x, n, first);
    layer_forward(mlp, 1, first, n, second);
    layer_forward(mlp, 2, second, n, ret_y);
}

/* Glorot's uniform start, as the reference implementations have it. */
static bool start(struct mlp *net, struct rng *rng)
{
    for (int l = 0; l < MLP_LAYERS; l++) {
        size_t n = weights_of(net, l);
        double bound = sqrt(6.0 / (double)(net->width[l] + net->width[l + 1]));
        net->w[l] = malloc(n * sizeof(float));
        if (net->w[l] == NULL)
            return false;
        for (size_t i = 0; i < n; i++) {
            double unit = (double)(rng_next(rng) >> 11) * 0x1p-53;
            net->w[l][i] = (float)((2.0 * unit - 1.0) * bound);
        }
    }
    return true;
}

static bool trainer_init(struct trainer *t)
{
    bool ok = true;
    t->order = malloc(t->data->n * sizeof(*t->order));
    t->target = malloc(BATCH * t->data->c * sizeof(float));
    for (int l = 0; l <= MLP_LAYERS; l++) {
        t->act[l] = malloc(BATCH * t->net->width[l] * sizeof(float));
        t->delta[l] = malloc(BATCH * t->net->width[l] * sizeof(float));
        ok = ok && t->act[l] != NULL && t->delta[l] != NULL;
    }
    for (int l = 0; l < MLP_LAYERS; l++) {
        size_t n = weights_of(t->net, l);
        t->grad[l] = malloc(n * sizeof(float));
        t->m1[l] = calloc(n, sizeof(float));
        t->m2[l] = calloc(n, sizeof(float));
        ok = ok && t->grad[l] != NULL && t->m1[l] != NULL && t->m2[l] != NULL;
    }
    for (size_t i = 0; t->order != NULL && i < t->data->n; i++)
        t->order[i] = (uint32_t)i;
    return ok && t->order != NULL && t->target != NULL;
}

static void trainer_release(struct trainer *t)
{
    free(t->order);
    free(t->target);
    for (int l = 0; l <= MLP_LAYERS; l++) {
        free(t->act[l]);
        free(t->delta[l]);
    }
    for (int l = 0; l < MLP_LAYERS; l++) {
        free(t->grad[l]);
        free(t->m1[l]);
        free(t->m2[l]);
    }
}

/* Loss of the batch, and the output's delta: (p - y) / n for both links. */
static double output_delta(struct trainer *t, size_t n)
{
    size_t c = t->data->c;
    double loss = 0.0;
    for (size_t i = 0; i < n * c; i++) {
        double p = (double)t->act[MLP_LAYERS][i], y = (double)t->target[i];
        if (isnan(y)) {
            t->delta[MLP_LAYERS][i] = 0.0f;
            continue;
        }
        double q = p < 1e-10 ? 1e-10 : p > 1 - 1e-10 ? 1 - 1e-10 : p;
        loss -= y * log(q);
        if (t->net->link == LOGISTIC_SIGMOID)
            loss -= (1.0 - y) * log(1.0 - q);
        t->delta[MLP_LAYERS][i] = (float)((p - y) / (double)n);
    }
    return loss / (double)n;
}

static void backward(struct trainer *t, size_t n)
{
    const struct mlp *net = t->net;
    for (int l = MLP_LAYERS - 1; l >= 0; l--) {
        int from = (int)net->width[l], to = (int)net->width[l + 1];
        float *bias = t->grad[l] + (size_t)from * (size_t)to;
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, from, to, (int)n, 1.0f,
                    t->act[l], from, t->delta[l + 1], to, 0.0f, t->grad[l], to);
        cblas_saxpy(from * to, (float)(t->penalty / (double)n), net->w[l], 1, t->grad[l],
                    1);
        memset(bias, 0, (size_t)to * sizeof(float));
        for (size_t i = 0; i < n; i++)
            cblas_saxpy(to, 1.0f, t->delta[l + 1] + i * (size_t)to, 1, bias, 1);
        if (l == 0)
            break;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, from, to, 1.0f,
                    t->delta[l + 1], to, net->w[l], to, 0.0f, t->delta[l], from);
        for (size_t i = 0; i < n * (size_t)from; i++)
            if (t->act[l][i] <= 0.0f)
                t->delta[l][i] = 0.0f;
    }
}

static void adam(struct trainer *t)
{
    t->steps++;
    double correct = RATE * sqrt(1.0 - pow(BETA2, (double)t->steps)) /
                     (1.0 - pow(BETA1, (double)t->steps));
    const float rate = (float)correct, b1 = (float)BETA1, b2 = (float)BETA2;
    for (int l = 0; l < MLP_LAYERS; l++) {
        float *restrict w = t->net->w[l], *restrict g = t->grad[l];
        float *restrict m1 = t->m1[l], *restrict m2 = t->m2[l];
        size_t n = weights_of(t->net, l);
        for (size_t i = 0; i < n; i++) {
            m1[i] = b1 * m1[i] + (1.0f - b1) * g[i];
            m2[i] = b2 * m2[i] + (1.0f - b2) * g[i] * g[i];
            w[i] -= rate * m1[i] / (sqrtf(m2[i]) + 1e-8f);
        }
    }
}

static double epoch(struct trainer *t, struct rng *rng)
{
    const struct fit_data *data = t->data;
    double loss = 0.0;
    for (size_t i = data->n - 1; i > 0; i--) {
        size_t j = rng_next(rng) % (i + 1);
        uint32_t swap = t->order[i];
        t->order[i] = t->order[j];
        t->order[j] = swap;
    }
    for (size_t at = 0; at < data->n; at += BATCH) {
        size_t n = data->n - at < BATCH ? data->n - at : BATCH;
        for (size_t i = 0; i < n; i++) {
            size_t row = t->order[at + i];
            memcpy(t->act[0] + i * data->d, data->x + row * data->d,
                   data->d * sizeof(float));
            memcpy(t->target + i * data->c, data->y + row * data->c,
                   data->c * sizeof(float));
        }
        for (int l = 0; l < MLP_LAYERS; l++)
            layer_forward(t->net, l, t->act[l], n, t->act[l + 1]);
        loss += output_delta(t, n) * (double)n;
        backward(t, n);
        adam(t);
    }
    return loss / (double)data->n;
}

static enum fuser_err train(struct trainer *t, const struct mlp_how *how, struct rng *rng)
{
    int epochs = how->epochs > 0 ? how->epochs : 100, idle = 0;
    double best = INFINITY;
    for (int e = 0; e < epochs && idle < PATIENCE; e++) {
        double loss = epoch(t, rng);
        if (how->progress != NULL &&
            !how->progress(how->progress_context, "mlp", (double)(e + 1) / epochs))
            return FUSER_INVALID;
        idle = loss > best - TOLERANCE ? idle + 1 : 0;
        best = loss < best ? loss : best;
    }
    return FUSER_OK;
}

enum fuser_err mlp_fit(const struct fit_data *data, enum logistic_link link,
                       const struct mlp_how *how, struct mlp *ret_mlp,
                       struct fuser_error *error)
{
    size_t hidden = how->hidden > 0 ? how->hidden : 512;
    struct mlp net = { .width = { data->d, hidden, hidden, data->c }, .link = link };
    struct trainer t = { .net = &net,
                         .data = data,
                         .penalty = how->penalty < 0 ? 1e-4 : how->penalty };
    struct rng rng = rng_seeded(how->seed);
    enum fuser_err err = FUSER_NOMEM;

    if (data->n == 0 || data->d == 0 || data->c == 0)
        return ferr_set(error, FUSER_INVALID, "cannot train without rows and features");
    if (start(&net, &rng) && trainer_init(&t))
        err = train(&t, how, &rng);
    trainer_release(&t);
    if (err != FUSER_OK) {
        mlp_release(&net);
        return ferr_set(error, err, "cannot train: %s", fuser_err_text(err));
    }
    *ret_mlp = net;
    return FUSER_OK;
}
