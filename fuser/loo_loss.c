/* loo_loss.c - losses of one request from the leave-one-out tables.
 *
 * A request brings its own prices, lambda, mask and limits; the tables bring what would
 * have been chosen and how that went. What must always hold: equal tables give equal
 * losses, bit for bit, because the walk stops on equality.
 */
#include <assert.h>
#include <math.h>

#include "fuser/bundle.h"
#include "fuser/kernel.h"
#include "fuser/loo.h"

/* A generator below the wanted quality is chosen only when none reaches it. */
#define UNWANTED 1e9

static double cost_of(const struct loo_terms *terms, size_t g, double input,
                      double output)
{
    return terms->fixed[g] + terms->input[g] * input +
           terms->output[g] * fmin(output, terms->output_limit);
}

static double row_loss(const struct fuser_bundle *bundle, uint32_t subset, size_t slot,
                       const struct loo_terms *terms, const struct loo_choice *choice)
{
    const struct loo *loo = &bundle->loo;
    const struct cells *cells = &bundle->cells;
    size_t line = ((subset - 1) * loo->n_rows + slot) * loo->n_generators;
    size_t cell = loo->rows[slot] * loo->n_generators;
    size_t best = choice->order[0];
    double best_utility = -INFINITY, quality, output, worth;

    for (size_t i = 0; i < choice->n; i++) {
        size_t g = choice->order[i];
        double q = (double)loo->quality[line + g];
        double utility = q - cost_of(terms, g, (double)cells->input[cell + g],
                                     (double)loo->tokens[line + g]);

        if (q < terms->min_quality)
            utility -= UNWANTED;
        if (utility > best_utility) {
            best_utility = utility;
            best = g;
        }
    }
    quality = cells_quality(cells, cell + best, &worth);
    if (worth <= 0)
        quality = (double)loo->quality[line + best];
    output = (double)cells->output[cell + best];
    if (isnan(output))
        output = (double)loo->tokens[line + best];
    return 1 - quality + cost_of(terms, best, (double)cells->input[cell + best], output);
}

_Static_assert(BUNDLE_K_MAX <= LOO_LOSSES_MAX && LOO_START_ROWS <= LOO_LOSSES_MAX,
               "every mean has room for its rows");

void loo_near_losses(const struct fuser_bundle *bundle, uint32_t subset,
                     const struct near *near, size_t m, const struct loo_terms *terms,
                     const struct loo_choice *choice, struct loo_losses *ret)
{
    double sum = 0;

    assert(m > 0 && m <= LOO_LOSSES_MAX && choice->n > 0);
    for (size_t i = 0; i < m; i++) {
        uint32_t slot = bundle->loo.slot_of[near[i].row];

        assert(slot != KERNEL_NO_ROW);
        ret->row[i] = row_loss(bundle, subset, slot, terms, choice);
        sum += ret->row[i];
    }
    ret->n = m;
    ret->mean = sum / (double)m;
}

void loo_first_losses(const struct fuser_bundle *bundle, size_t e,
                      const struct loo_terms *terms, const struct loo_choice *choice,
                      struct loo_losses *ret)
{
    const struct loo_start *start = &bundle->loo.start;
    float utility[LOO_START_ROWS], loss[LOO_START_ROWS];
    double sum = 0;

    assert(choice->n > 0 && start->n <= LOO_START_ROWS);
    for (size_t i = 0; i < start->n; i++)
        utility[i] = -INFINITY;
    for (size_t c = 0; c < choice->n; c++) {
        size_t g = choice->order[c];
        size_t at = (e * bundle->loo.n_generators + g) * start->n;

        kernel_first(start->n,
                     &(struct kernel_first){ .quality = start->quality + at,
                                             .tokens = start->tokens + at,
                                             .truth = start->truth + at,
                                             .input = start->input + g * start->n,
                                             .output = start->output + g * start->n,
                                             .fixed = (float)terms->fixed[g],
                                             .per_input = (float)terms->input[g],
                                             .per_output = (float)terms->output[g],
                                             .limit = (float)terms->output_limit,
                                             .wanted = (float)terms->min_quality },
                     utility, loss);
    }
    for (size_t i = 0; i < start->n; i++) {
        ret->row[i] = (double)loss[i];
        sum += ret->row[i];
    }
    ret->n = start->n;
    ret->mean = sum / (double)start->n;
}

void loo_blind_losses(const struct fuser_bundle *bundle, const struct loo_terms *terms,
                      const struct loo_choice *choice, struct loo_losses *ret)
{
    const struct loo_start *start = &bundle->loo.start;
    size_t n_generators = bundle->loo.n_generators, best = choice->order[0];
    const float *truth = start->truth + bundle->n_embedders * n_generators * start->n;
    double best_utility = -INFINITY, sum = 0;

    assert(choice->n > 0);
    for (size_t c = 0; c < choice->n; c++) {
        size_t g = choice->order[c];
        const struct head_estimate *blind = &bundle->blind[g];
        double utility = blind->quality -
                         cost_of(terms, g, bundle->mean_input[g], blind->output_tokens);

        if (blind->quality < terms->min_quality)
            utility -= UNWANTED;
        if (utility > best_utility) {
            best_utility = utility;
            best = g;
        }
    }
    for (size_t i = 0; i < start->n; i++) {
        ret->row[i] = 1 - (double)truth[best * start->n + i] +
                      cost_of(terms, best, (double)start->input[best * start->n + i],
                              (double)start->output[best * start->n + i]);
        sum += ret->row[i];
    }
    ret->n = start->n;
    ret->mean = sum / (double)start->n;
}

double loo_paired_error(const struct loo_losses *a, const struct loo_losses *b)
{
    double n = (double)a->n, mean = a->mean - b->mean, squares = 0;

    assert(a->n == b->n);
    if (a->n < 2)
        return INFINITY;
    for (size_t i = 0; i < a->n; i++) {
        double off = a->row[i] - b->row[i] - mean;

        squares += off * off;
    }
    return sqrt(squares / (n - 1) / n);
}
