/* prior.c - means per domain and generator, and a prompt's mixture of them.
 *
 * What must always hold: no division by zero and no NAN in quality and tokens, however
 * few cells are known; a row that is excluded leaves every mean that it is part of.
 */
#include "fuser/prior.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DOMAIN_PULL     5.0  /* rows' worth of the overall mean in the mean of a domain */
#define EVEN_PULL       1.0  /* rows' worth of 1/2 in the overall mean */
#define BYTES_PER_TOKEN 4.0f /* where nobody counted the input tokens */
#define TOKENS_UNHEARD  256.0 /* output tokens where not a single cell tells any */

void cells_fill_input(float *line, size_t n, size_t text_bytes, bool text, float rest)
{
    double sum = 0, known = 0;

    for (size_t g = 0; g < n; g++)
        if (!isnan(line[g])) {
            sum += (double)line[g];
            known += 1;
        }
    if (known > 0)
        rest = (float)(sum / known);
    else if (text)
        rest = (float)text_bytes / BYTES_PER_TOKEN;
    for (size_t g = 0; g < n; g++)
        if (isnan(line[g]))
            line[g] = rest;
}

static void sum_cell(struct prior_sum *sum, const struct cells *cells, size_t cell,
                     double sign)
{
    double quality = (double)cells->quality[cell], output = (double)cells->output[cell];
    double latency = (double)cells->latency[cell], worth;
    double likely = cells_quality(cells, cell, &worth);

    if (worth > 0) {
        sum->worth += sign * worth;
        sum->likely += sign * worth * likely;
    }
    if (!isnan(quality)) {
        sum->n += sign;
        sum->quality += sign * quality;
        sum->squares += sign * quality * quality;
    }
    if (!isnan(output)) {
        sum->n_output += sign;
        sum->output += sign * output;
    }
    if (!isnan(latency)) {
        sum->n_latency += sign;
        sum->latency += sign * latency;
    }
}

static void mean_outputs(struct prior *prior)
{
    const struct prior_sum *all = prior->sums + prior->n_domains * prior->n_generators;
    double n = 0, total = 0;

    for (size_t g = 0; g < prior->n_generators; g++) {
        n += all[g].n_output;
        total += all[g].output;
    }
    for (size_t g = 0; g < prior->n_generators; g++)
        prior->output[g] = all[g].n_output > 0 ? all[g].output / all[g].n_output
                           : n > 0             ? total / n
                                               : TOKENS_UNHEARD;
}

enum fuser_err prior_init(struct prior *prior, const struct cells *cells,
                          const uint32_t *domain_of, size_t n_domains)
{
    size_t n_generators = cells->n_generators;
    struct prior_sum *all;

    memset(prior, 0, sizeof *prior);
    prior->n_domains = n_domains;
    prior->n_generators = n_generators;
    prior->domain_of = domain_of;
    prior->cells = cells;
    prior->sums = calloc((n_domains + 1) * n_generators, sizeof *prior->sums);
    prior->output = calloc(n_generators, sizeof *prior->output);
    if (!prior->sums || !prior->output) {
        prior_release(prior);
        return FUSER_NOMEM;
    }
    all = prior->sums + n_domains * n_generators;
    for (size_t i = 0; i < cells->n; i++)
        for (size_t g = 0; g < n_generators; g++) {
            size_t cell = i * n_generators + g;

            sum_cell(&all[g], cells, cell, 1);
            if (domain_of[i] != PRIOR_NO_DOMAIN)
                sum_cell(&prior->sums[domain_of[i] * n_generators + g], cells, cell, 1);
        }
    mean_outputs(prior);
    return FUSER_OK;
}

void prior_release(struct prior *prior)
{
    free(prior->sums);
    free(prior->output);
    prior->sums = NULL;
    prior->output = NULL;
}

static int by_share(const void *a, const void *b)
{
    const struct prior_vote *left = a, *right = b;

    if (left->share != right->share)
        return left->share > right->share ? -1 : 1;
    return left->domain < right->domain ? -1 : left->domain > right->domain;
}

size_t prior_vote(const struct prior *prior, const struct near *near, size_t n_near,
                  struct prior_vote *ret)
{
    size_t n = 0, voters = 0;

    for (size_t i = 0; i < n_near && voters < PRIOR_VOTERS; i++) {
        uint32_t domain = prior->domain_of[near[i].row];
        size_t v = 0;

        if (domain == PRIOR_NO_DOMAIN)
            continue;
        while (v < n && ret[v].domain != domain)
            v++;
        if (v == n)
            ret[n++] = (struct prior_vote){ domain, 0 };
        ret[v].share += 1;
        voters++;
    }
    for (size_t v = 0; v < n; v++)
        ret[v].share /= (float)voters;
    qsort(ret, n, sizeof *ret, by_share);
    return n;
}

struct prior_mean prior_expect(const struct prior *prior, const struct prior_vote *votes,
                               size_t n_votes, size_t g, uint32_t except)
{
    struct prior_sum all = prior->sums[prior->n_domains * prior->n_generators + g];
    struct prior_mean overall, mix = { 0, 0, 0, NAN };
    double squares, known, mixed_squares = 0, mixed_known = 0, latency = 0, heard = 0;
    size_t cell = except == KERNEL_NO_ROW ? 0 : except * prior->n_generators + g;

    if (except != KERNEL_NO_ROW)
        sum_cell(&all, prior->cells, cell, -1);
    overall.quality = (all.likely + EVEN_PULL * 0.5) / (all.worth + EVEN_PULL);
    known = (all.quality + EVEN_PULL * 0.5) / (all.n + EVEN_PULL);
    squares = (all.squares + EVEN_PULL * 0.5) / (all.n + EVEN_PULL);
    overall.variance = fmax(squares - known * known, 0);
    overall.output_tokens =
        all.n_output > 0 ? fmax(all.output / all.n_output, 0) : prior->output[g];
    overall.latency_ms = all.n_latency > 0 ? fmax(all.latency / all.n_latency, 0) : NAN;
    if (n_votes == 0)
        return overall;

    for (size_t v = 0; v < n_votes; v++) {
        struct prior_sum sum = prior->sums[votes[v].domain * prior->n_generators + g];
        double share = (double)votes[v].share;

        if (except != KERNEL_NO_ROW && prior->domain_of[except] == votes[v].domain)
            sum_cell(&sum, prior->cells, cell, -1);
        mix.quality += share * (sum.likely + DOMAIN_PULL * overall.quality) /
                       (sum.worth + DOMAIN_PULL);
        mixed_known +=
            share * (sum.quality + DOMAIN_PULL * known) / (sum.n + DOMAIN_PULL);
        mixed_squares +=
            share * (sum.squares + DOMAIN_PULL * squares) / (sum.n + DOMAIN_PULL);
        mix.output_tokens += share * (sum.output + DOMAIN_PULL * overall.output_tokens) /
                             (sum.n_output + DOMAIN_PULL);
        if (!isnan(overall.latency_ms)) {
            latency += share * (sum.latency + DOMAIN_PULL * overall.latency_ms) /
                       (sum.n_latency + DOMAIN_PULL);
            heard += share;
        }
    }
    mix.variance = fmax(mixed_squares - mixed_known * mixed_known, 0);
    mix.latency_ms = heard > 0 ? fmax(latency / heard, 0) : NAN;
    mix.quality = fmin(fmax(mix.quality, 0), 1);
    mix.output_tokens = fmax(mix.output_tokens, 0);
    return mix;
}
