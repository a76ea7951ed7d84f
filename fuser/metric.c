/* metric.c - the supervised metric: one more sweep over the rows, and a weighted mean of the nearest. */
#include "fuser/metric.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/bundle.h"

/* Lines of a metric whose mean and scale are known. */
static enum fuser_err fill_lines(struct metric *metric)
{
    const struct profile *profile = metric->profile;
    size_t n = profile->n, c = profile->c;
    metric->width = PROFILE_WIDTH(c);
    metric->lines = calloc(n * metric->width, sizeof(float));
    if (metric->lines == NULL)
        return FUSER_NOMEM;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < c; k++)
            metric->lines[i * metric->width + k] =
                (profile->loo[i * c + k] - metric->mean[k]) * metric->scale[k];
    return FUSER_OK;
}

enum fuser_err metric_init(struct metric *metric, const struct profile *profile)
{
    size_t n = profile->n, c = profile->c;
    struct metric m = { .profile = profile };
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
    }
    return metric_init_as(metric, profile, &m);
}

enum fuser_err metric_init_as(struct metric *metric, const struct profile *profile,
                              const struct metric *old)
{
    struct metric m = { .profile = profile };
    memcpy(m.mean, old->mean, sizeof m.mean);
    memcpy(m.scale, old->scale, sizeof m.scale);
    enum fuser_err err = fill_lines(&m);
    if (err == FUSER_OK)
        *metric = m;
    return err;
}

void metric_save(const struct metric *metric, struct sink *sink)
{
    sink_bytes(sink, metric->mean, metric->profile->c * sizeof(float));
    sink_bytes(sink, metric->scale, metric->profile->c * sizeof(float));
}

enum fuser_err metric_load(struct metric *metric, const struct profile *profile,
                           struct source *source)
{
    struct metric m = { .profile = profile };
    for (size_t k = 0; k < profile->c; k++)
        m.mean[k] = source_f32(source);
    for (size_t k = 0; k < profile->c; k++)
        m.scale[k] = source_f32(source);
    if (source->failed || !wire_floats_within(m.mean, profile->c, 0, 1, false) ||
        !wire_floats_within(m.scale, profile->c, 0, METRIC_SCALE_MAX, false))
        return FUSER_CORRUPT;
    return metric_init_as(metric, profile, &m);
}

void metric_release(struct metric *metric)
{
    free(metric->lines);
    metric->lines = NULL;
}

/* Squared distance of two prompts under the subset's embedders, their mean. */
static float exact_distance(const struct head_view *view, uint32_t row)
{
    float sum = 0.0f;
    for (size_t e = 0; e < view->bundle->n_embedders; e++) {
        float one = 0.0f;
        if ((view->subset >> e & 1) == 0)
            continue;
        bundle_distances(view->bundle, e, row, 1, view->vectors[e], &one);
        sum += one;
    }
    return sum / (float)__builtin_popcount(view->subset);
}

/* The nearest among all rows, by all distances; coarse ones give candidates that are then looked at exactly. */
static size_t find_among_all(const struct metric *metric, const struct head_view *view,
                             const float *line, struct near *ret)
{
    size_t n = metric->profile->n, width = metric->width, found;
    float *sums = view->scratch;
    memset(sums, 0, n * sizeof(float));
    kernel_axpy(view->distance, n, 1.0f / (float)__builtin_popcount(view->subset), sums);
    kernel_l2_add(metric->lines, n, width, line, sums);
    if (view->exact)
        return kernel_nearest(sums, n, METRIC_K, view->row, ret);
    found = kernel_nearest(sums, n, METRIC_OVER, view->row, ret);
    for (size_t i = 0; i < found; i++) {
        ret[i].distance = exact_distance(view, ret[i].row);
        kernel_l2_add(metric->lines + ret[i].row * width, 1, width, line,
                      &ret[i].distance);
    }
    kernel_sort(ret, found);
    return found < METRIC_K ? found : METRIC_K;
}

/* The nearest under the metric: among all when their distances are known, else among the nearest. */
static size_t find(const struct metric *metric, const struct head_view *view,
                   const float *line, struct near *ret)
{
    size_t found = view->n_listed < METRIC_OVER ? view->n_listed : METRIC_OVER;
    if (view->distance != NULL)
        return find_among_all(metric, view, line, ret);
    for (size_t i = 0; i < found; i++) {
        ret[i] = view->near[i];
        kernel_l2_add(metric->lines + ret[i].row * metric->width, 1, metric->width, line,
                      &ret[i].distance);
    }
    kernel_sort(ret, found);
    return found < METRIC_K ? found : METRIC_K;
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
    ret->rows = sum * sum / squares;
    ret->quality_se = sqrt((about + 0.25 / sum) * squares) / sum;
}

void metric_estimate(const struct metric *metric, const struct head_view *view,
                     const float *profile, struct head_estimate *ret)
{
    size_t c = metric->profile->c;
    float line[PROFILE_WIDTH(FUSER_MAX_GENERATORS)] = { 0 };
    struct near near[METRIC_OVER];
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
