/* fit.c - what the fitted fusers share: a linear map and the two link functions. */
#include "fuser/fit.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>

void fit_linear_release(struct fit_linear *linear)
{
    free(linear->w);
    *linear = (struct fit_linear){ 0 };
}

void fit_linear_apply(const struct fit_linear *linear, const float *x, size_t n,
                      float *ret_scores)
{
    const float *intercept = linear->w + linear->d * linear->c;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < linear->c; c++)
            ret_scores[i * linear->c + c] = intercept[c];
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)linear->c,
                (int)linear->d, 1.0f, x, (int)linear->d, linear->w, (int)linear->c, 1.0f,
                ret_scores, (int)linear->c);
}

void fit_softmax(float *scores, size_t n, size_t c)
{
    for (size_t i = 0; i < n; i++) {
        float *row = scores + i * c, high = row[0], sum = 0.0f;
        for (size_t k = 1; k < c; k++)
            high = row[k] > high ? row[k] : high;
        for (size_t k = 0; k < c; k++) {
            row[k] = expf(row[k] - high);
            sum += row[k];
        }
        for (size_t k = 0; k < c; k++)
            row[k] /= sum;
    }
}

void fit_sigmoid(float *scores, size_t n, size_t c)
{
    for (size_t i = 0; i < n * c; i++) {
        float e = expf(-fabsf(scores[i]));
        scores[i] = scores[i] >= 0.0f ? 1.0f / (1.0f + e) : e / (1.0f + e);
    }
}
