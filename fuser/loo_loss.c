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
    double best_utility = -INFINITY, quality, output;

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
    quality = (double)cells->quality[cell + best];
    if (isnan(quality))
        quality = (double)loo->quality[line + best];
    output = (double)cells->output[cell + best];
    if (isnan(output))
        output = (double)loo->tokens[line + best];
    return 1 - quality + cost_of(terms, best, (double)cells->input[cell + best], output);
}

double loo_mean_loss(const struct fuser_bundle *bundle, uint32_t subset,
                     const struct near *near, size_t m, const struct loo_terms *terms,
                     const struct loo_choice *choice)
{
    double sum = 0;

    assert(m > 0 && choice->n > 0);
    for (size_t i = 0; i < m; i++) {
        uint32_t slot = bundle->loo.slot_of[near[i].row];

        assert(slot != KERNEL_NO_ROW);
        sum += row_loss(bundle, subset, slot, terms, choice);
    }
    return sum / (double)m;
}

double loo_first_loss(const struct fuser_bundle *bundle, size_t e,
                      const struct loo_terms *terms, const struct loo_choice *choice)
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
    for (size_t i = 0; i < start->n; i++)
        sum += (double)loss[i];
    return sum / (double)start->n;
}

double loo_blind_loss(const struct fuser_bundle *bundle, const struct loo_terms *terms,
                      const struct loo_choice *choice)
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
    for (size_t i = 0; i < start->n; i++)
        sum += 1 - (double)truth[best * start->n + i] +
               cost_of(terms, best, (double)start->input[best * start->n + i],
                       (double)start->output[best * start->n + i]);
    return sum / (double)start->n;
}
