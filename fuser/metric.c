/* metric.c - the supervised metric: the rows' lines on top of the distances, and a weighted mean of the nearest. */
#include "fuser/metric.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/bundle.h"
#include "fuser/nearest.h"

/* Lines of a metric whose mean and scale are known. */
static enum fuser_err fill_lines(struct metric *metric, bool by_row)
{
    const struct profile *profile = metric->profile;
    size_t n = profile->n, c = profile->c;
    struct kernel_columns *lines = &metric->lines;
    metric->value = malloc(n * c * sizeof(float));
    if (metric->value == NULL)
        return FUSER_NOMEM;
    *lines =
        (struct kernel_columns){ metric->value, n, c, by_row ? c : 1, by_row ? 1 : n };
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < c; k++)
            metric->value[i * lines->row + k * lines->column] =
                (profile->loo[i * c + k] - metric->mean[k]) * metric->scale[k];
    return FUSER_OK;
}

enum fuser_err metric_init(struct metric *metric, const struct profile *profile,
                           bool by_row)
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
    return metric_init_as(metric, profile, by_row, &m);
}

enum fuser_err metric_init_as(struct metric *metric, const struct profile *profile,
                              bool by_row, const struct metric *old)
{
    struct metric m = { .profile = profile };
    memcpy(m.mean, old->mean, sizeof m.mean);
    memcpy(m.scale, old->scale, sizeof m.scale);
    enum fuser_err err = fill_lines(&m, by_row);
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
                           bool by_row, struct source *source)
{
    struct metric m = { .profile = profile };
    for (size_t k = 0; k < profile->c; k++)
        m.mean[k] = source_f32(source);
    for (size_t k = 0; k < profile->c; k++)
        m.scale[k] = source_f32(source);
    if (source->failed || !wire_floats_within(m.mean, profile->c, 0, 1, false) ||
        !wire_floats_within(m.scale, profile->c, 0, METRIC_SCALE_MAX, false))
        return FUSER_CORRUPT;
    return metric_init_as(metric, profile, by_row, &m);
}

void metric_release(struct metric *metric)
{
    free(metric->value);
    metric->value = NULL;
}

/* A prompt on its way to its neighbours. */
struct sight {
    const struct metric *metric;
    const struct head_view *view;
    const float *line; /* the prompt's own */
};

static float share_of(const struct head_view *view)
{
    return 1.0f / (float)__builtin_popcount(view->subset);
}

/* The mean of the squared distances under the subset's embedders, and that of the lines. */
static void measure_exactly(const void *untyped, struct near *near, size_t n)
{
    const struct sight *sight = untyped;
    const struct head_view *view = sight->view;
    bundle_measure(view->bundle, view->subset, view->vectors, near, n);
    for (size_t i = 0; i < n; i++)
        near[i].distance *= share_of(view);
    kernel_columns_near(&sight->metric->lines, sight->line, near, n);
}

/* Where cells are missing, so many more neighbours that together they are worth the same. */
static size_t neighbours_of(const struct head_view *view)
{
    const struct fill *fill = view->bundle->fill;
    double fullness = fill != NULL ? fill->fullness : 1;
    return fullness * METRIC_OVER > METRIC_K ? (size_t)ceil(METRIC_K / fullness)
                                             : METRIC_OVER;
}

/* The nearest among all rows. */
static size_t find_among_all(const struct sight *sight, struct near *ret)
{
    const struct head_view *view = sight->view;
    struct nearest nearest = { .distance = view->scratch,
                               .n = sight->metric->lines.n,
                               .error = view->error * (double)share_of(view),
                               .except = view->row,
                               .measure = view->error > 0 ? measure_exactly : NULL,
                               .context = sight };
    kernel_columns(&sight->metric->lines, sight->line, view->distance, share_of(view),
                   view->scratch);
    return nearest_find(&nearest, neighbours_of(view), ret);
}

/* The nearest under the metric: among all when their distances are known, else among the nearest. */
static size_t find(const struct sight *sight, struct near *ret)
{
    const struct head_view *view = sight->view;
    size_t found = view->n_listed < METRIC_OVER ? view->n_listed : METRIC_OVER;
    if (view->distance != NULL)
        return find_among_all(sight, ret);
    memcpy(ret, view->near, found * sizeof *ret);
    kernel_columns_near(&sight->metric->lines, sight->line, ret, found);
    kernel_sort(ret, found);
    return found < neighbours_of(view) ? found : neighbours_of(view);
}

/* Weighted mean and its standard error over the cells, each by its worth; a prior's worth of one row where they are
 * worth little. */
static void weigh(const struct head_view *view, const struct near *near,
                  const double *weight, size_t n, size_t g, struct head_estimate *ret)
{
    const struct cells *cells = &view->bundle->cells;
    const struct prior_mean *prior = &view->prior[g];
    double sum = 1, squares = 1, quality = prior->quality, about = 0;
    for (size_t i = 0; i < n; i++) {
        size_t cell = near[i].row * cells->n_generators + g;
        double worth, q = cells_quality(cells, cell, &worth);
        if (worth <= 0)
            continue;
        sum += worth * weight[i];
        squares += worth * weight[i] * weight[i];
        quality += worth * weight[i] * q;
    }
    quality /= sum;
    for (size_t i = 0; i < n; i++) {
        size_t cell = near[i].row * cells->n_generators + g;
        double worth, q = cells_quality(cells, cell, &worth);
        if (worth > 0)
            about += worth * weight[i] * (q - quality) * (q - quality);
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
    float line[FUSER_MAX_GENERATORS];
    struct sight sight = { metric, view, line };
    struct near near[METRIC_OVER];
    double weight[METRIC_OVER];
    for (size_t k = 0; k < c; k++)
        line[k] = (profile[k] - metric->mean[k]) * metric->scale[k];
    size_t n = find(&sight, near);
    for (size_t i = 0; i < n; i++)
        weight[i] =
            exp(-(double)(near[i].distance - near[0].distance) / (2 * METRIC_WIDTH));
    for (size_t g = 0; g < c; g++)
        weigh(view, near, weight, n, g, &ret[g]);
}
