/* fill.c - one common factor of the generators' qualities, and what it says of missing cells. */
#include "fuser/fill.h"

#include <stdbool.h>
#include <stdlib.h>

#define ROUNDS    100  /* of the fit, which settles in some twenty */
#define LOAD_MOST 0.95 /* one cell never tells all of another */
#define PAIR_PULL 20.0 /* rows' worth of no correlation in that of a pair */
#define LEAST     1e-6 /* variance */

/* Sums over the rows that know both of two generators, then what follows from them. */
struct pairs {
    double n[FUSER_MAX_GENERATORS][FUSER_MAX_GENERATORS];
    double correlation[FUSER_MAX_GENERATORS][FUSER_MAX_GENERATORS];
};

/* What is expected of each generator in the row's domain. */
static void expect(const struct prior *prior, size_t row, double *ret_mean)
{
    struct prior_vote vote = { prior->domain_of[row], 1 };
    size_t votes = vote.domain != PRIOR_NO_DOMAIN;

    for (size_t g = 0; g < prior->n_generators; g++)
        ret_mean[g] = prior_expect(prior, &vote, votes, g, KERNEL_NO_ROW).quality;
}

static void add_pairs(struct pairs *pairs, const float *quality, const double *mean,
                      size_t n)
{
    double off[FUSER_MAX_GENERATORS];

    for (size_t g = 0; g < n; g++)
        off[g] = (double)quality[g] - mean[g];
    for (size_t g = 0; g < n; g++)
        for (size_t h = 0; h <= g; h++)
            if (!isnan(off[g]) && !isnan(off[h])) {
                pairs->n[g][h] += 1;
                pairs->correlation[g][h] += off[g] * off[h];
            }
}

static void correlate(struct pairs *pairs, struct fill *fill)
{
    for (size_t g = 0; g < fill->n; g++)
        fill->deviation[g] =
            sqrt(fmax(pairs->correlation[g][g] / fmax(pairs->n[g][g], 1), LEAST));
    for (size_t g = 0; g < fill->n; g++)
        for (size_t h = 0; h < g; h++) {
            double covariance = pairs->correlation[g][h] / (pairs->n[g][h] + PAIR_PULL);
            double r = covariance / fill->deviation[g] / fill->deviation[h];

            r = fmin(fmax(r, -LOAD_MOST), LOAD_MOST);
            pairs->correlation[g][h] = pairs->correlation[h][g] = r;
            pairs->n[h][g] = pairs->n[g][h];
        }
}

/* Least squares of the correlations by load * load, each pair in the weight of its rows; one load after the other. */
static void fit_loads(const struct pairs *pairs, struct fill *fill)
{
    for (size_t g = 0; g < fill->n; g++)
        fill->load[g] = 0.5;
    for (int round = 0; round < ROUNDS; round++)
        for (size_t g = 0; g < fill->n; g++) {
            double sum = 0, squares = 0;

            for (size_t h = 0; h < fill->n; h++) {
                double weight = h == g ? 0 : pairs->n[g][h] * fill->load[h];

                sum += weight * pairs->correlation[g][h];
                squares += weight * fill->load[h];
            }
            fill->load[g] = squares > 0 ? fmin(fmax(sum / squares, 0), LOAD_MOST) : 0;
        }
}

void fill_row(const struct fill *fill, const float *quality, const double *mean,
              float *ret_likely, float *ret_worth)
{
    double information = 0, easy = 0;

    for (size_t g = 0; g < fill->n; g++) {
        double load = fill->load[g], alone = 1 - load * load;

        if (isnan(quality[g]))
            continue;
        information += load * load / alone;
        easy += load / alone * ((double)quality[g] - mean[g]) / fill->deviation[g];
    }
    easy /= 1 + information;
    for (size_t g = 0; g < fill->n; g++) {
        double load = fill->load[g],
               worth = load * load * information / (1 + information);
        double likely = mean[g] + fill->deviation[g] * load * easy;
        bool known = !isnan(quality[g]);

        ret_likely[g] = known       ? quality[g]
                        : worth > 0 ? (float)fmin(fmax(likely, 0), 1)
                                    : NAN;
        if (ret_worth)
            ret_worth[g] = known ? 1 : (float)worth;
    }
}

static bool all_known(const struct cells *cells)
{
    for (size_t i = 0; i < cells->n * cells->n_generators; i++)
        if (isnan(cells->quality[i]))
            return false;
    return true;
}

/* The rows, once the factor is known. */
static void fill_rows(struct fill *fill, struct cells *cells, const struct prior *prior)
{
    size_t n = cells->n_generators;
    double mean[FUSER_MAX_GENERATORS], sum = 0;

    for (size_t row = 0; row < cells->n; row++) {
        size_t cell = row * n;

        expect(prior, row, mean);
        fill_row(fill, cells->quality + cell, mean, cells->likely + cell,
                 cells->worth + cell);
        for (size_t g = 0; g < n; g++)
            sum += (double)cells->worth[cell + g];
    }
    fill->fullness = sum / (double)(cells->n * n);
}

enum fuser_err fill_cells(struct cells *cells, const struct prior *prior,
                          struct fill **ret_fill)
{
    size_t n = cells->n * cells->n_generators;
    double mean[FUSER_MAX_GENERATORS];
    struct pairs *pairs;
    struct fill *fill;

    if (all_known(cells))
        return FUSER_OK;
    pairs = calloc(1, sizeof *pairs);
    fill = calloc(1, sizeof *fill);
    *ret_fill = fill;
    cells->likely = malloc(n * sizeof(float));
    cells->worth = malloc(n * sizeof(float));
    if (!pairs || !fill || !cells->likely || !cells->worth) {
        free(pairs);
        return FUSER_NOMEM;
    }
    fill->n = cells->n_generators;
    for (size_t row = 0; row < cells->n; row++) {
        expect(prior, row, mean);
        add_pairs(pairs, cells->quality + row * fill->n, mean, fill->n);
    }
    correlate(pairs, fill);
    fit_loads(pairs, fill);
    fill_rows(fill, cells, prior);
    free(pairs);
    return FUSER_OK;
}
