/* metric.c - the supervised metric: one more sweep over the rows, and a weighted mean of the nearest. */
#include "fuser/metric.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/bundle.h"

enum fuser_err metric_init(struct metric *metric, const struct profile *profile)
{
    size_t n = profile->n, c = profile->c;
    struct metric m = { .profile = profile, .width = PROFILE_WIDTH(c) };
    m.lines = calloc(n * m.width, sizeof(float));
    if (m.lines == NULL)
        return FUSER_NOMEM;
    for (size_t k = 0; k < c; k++) {
        double sum = 0, squares = 0, variance;
        for (size_t i = 0; i < n; i++) {
            double q = (double)profile->loo[i * c + k];
            sum += q;
            squares += q * q;
        }
        variance = squares / (double)n - sum / (double)n * (sum / (double)n);
        m.mean[k] = (float)(sum / (double)n);
        m.scale[k] =
            variance > 1e-10 ? (float)(METRIC_SHARE / sqrt(variance * (double)c)) : 0.0f;
        for (size_t i = 0; i < n; i++)
            m.lines[i * m.width + k] = (profile->loo[i * c + k] - m.mean[k]) * m.scale[k];
    }
    *metric = m;
    return FUSER_OK;
}

void metric_release(struct metric *metric)
{
    free(metric->lines);
    metric->lines = NULL;
}

/* The nearest rows under the metric: among all when their distances are known, else among the nearest. */
static size_t find(const struct metric *metric, const struct head_view *view,
                   const float *line, struct near *ret)
{
    size_t n = metric->profile->n;
    float *sums = view->scratch;
    if (view->distance != NULL) {
        memset(sums, 0, n * sizeof(float));
        kernel_axpy(view->distance, n, 1.0f / (float)__builtin_popcount(view->subset),
                    sums);
        kernel_l2_add(metric->lines, n, metric->width, line, sums);
        return kernel_nearest(sums, n, METRIC_K, view->row, ret);
    }
    for (size_t i = 0; i < view->n_near; i++) {
        sums[i] = view->near[i].distance;
        kernel_l2_add(metric->lines + view->near[i].row * metric->width, 1, metric->width,
                      line, sums + i);
    }
    size_t found = kernel_nearest(sums, view->n_near, METRIC_K, KERNEL_NO_ROW, ret);
    for (size_t i = 0; i < found; i++)
        ret[i].row = view->near[ret[i].row].row;
    return found;
}

/* Weighted mean and its standard error over the known cells; a prior's worth of one row where few are. */
static void weigh(const struct head_view *view, const struct near *near,
                  const double *weight, size_t n, size_t g, struct head_estimate *ret)
{
    const struct cells *cells = &view->bundle->cells;
    const struct prior_mean *prior = &view->prior[g];
    double sum = 1, squares = 1, quality = prior->quality, about = 0;
    for (size_t i = 0; i < n; i++) {
        double q = (double)cells->quality[near[i].row * cells->n_generators + g];
        if (isnan(q))
            continue;
        sum += weight[i];
        squares += weight[i] * weight[i];
        quality += weight[i] * q;
    }
    quality /= sum;
    for (size_t i = 0; i < n; i++) {
        double q = (double)cells->quality[near[i].row * cells->n_generators + g];
        if (!isnan(q))
            about += weight[i] * (q - quality) * (q - quality);
    }
    about = (about + prior->variance +
             (prior->quality - quality) * (prior->quality - quality)) /
            sum;
    ret->quality = fmin(fmax(quality, 0), 1);
    ret->quality_se = sqrt((about + 0.25 / sum) * squares) / sum;
}

void metric_estimate(const struct metric *metric, const struct head_view *view,
                     const float *profile, struct head_estimate *ret)
{
    size_t c = metric->profile->c;
    float line[PROFILE_WIDTH(FUSER_MAX_GENERATORS)] = { 0 };
    struct near near[METRIC_K];
    double weight[METRIC_K];
    for (size_t k = 0; k < c; k++)
        line[k] = (profile[k] - metric->mean[k]) * metric->scale[k];
    size_t n = find(metric, view, line, near);
    for (size_t i = 0; i < n; i++)
        weight[i] =
            exp(-(double)(near[i].distance - near[0].distance) / (2 * METRIC_WIDTH));
    for (size_t g = 0; g < c; g++)
        weigh(view, near, weight, n, g, &ret[g]);
}
