/* head.c - the registry of heads, and what all of them share.
 */
#include "fuser/head.h"

#include <math.h>
#include <string.h>

#include "fuser/bundle.h"

static const struct head *const heads[] = {
#define X(name, word, head) &head,
    HEADS(X)
#undef X
};

const struct head *head_named(const char *name)
{
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (strcmp(heads[i]->name, name) == 0)
            return heads[i];
    return NULL;
}

static void look_at_row(struct head_view *view, uint32_t row, uint32_t k)
{
    const struct cells *cells = &view->bundle->cells;
    size_t cell = row * cells->n_generators;

    for (size_t g = 0; g < cells->n_generators; g++, cell++) {
        struct head_local *local = &view->local[g];
        double worth, quality = cells_quality(cells, cell, &worth);
        double latency = (double)cells->latency[cell];
        float output = cells->output[cell];

        if (local->worth >= k || worth <= 0)
            continue;
        local->worth += worth;
        local->quality += worth * quality;
        local->squares += worth * quality * quality;
        if (isnan(cells->quality[cell]))
            continue;
        local->known++;
        if (!isnan(output)) {
            local->known_output++;
            local->output += (double)fminf(output, view->output_limit);
        }
        if (!isnan(latency)) {
            local->known_latency++;
            local->latency += latency;
        }
    }
}

/* Where candidates stand for the rows no distances of all of them are ever summed. */
static size_t row_scratch(const struct fuser_bundle *bundle)
{
    return bundle->approximate ? 0 : bundle->cells.n;
}

float *head_inputs(const struct head_view *view)
{
    return view->scratch + row_scratch(view->bundle);
}

size_t head_scratch(const struct fuser_bundle *bundle)
{
    size_t floats = row_scratch(bundle) + HEAD_SCRATCH;

    for (size_t e = 0; e < bundle->n_embedders; e++)
        floats += bundle->embedders[e].dim;
    return floats;
}

void head_look(struct head_view *view)
{
    const struct fuser_bundle *bundle = view->bundle;
    size_t n_generators = bundle->cells.n_generators;

    memset(view->local, 0, n_generators * sizeof *view->local);
    for (size_t i = 0; i < view->n_near; i++)
        look_at_row(view, view->near[i].row, bundle->settings.k);
    view->n_votes = prior_vote(&bundle->prior, view->near, view->n_near, view->votes);
    for (size_t g = 0; g < n_generators; g++)
        view->prior[g] =
            prior_expect(&bundle->prior, view->votes, view->n_votes, g, view->row);
}

static double mean_quality(const struct head_estimate *estimates, size_t n)
{
    double sum = 0;

    for (size_t g = 0; g < n; g++)
        sum += estimates[g].quality;
    return sum / (double)n;
}

/* Differences between generators by the simpler head, the level of all of them, how hard the prompt is, by the head
 * itself: rows left out tell that one very well. Never so far that a difference is lost at 0 or 1. */
static void estimate_plainly(const struct head_view *view, struct head_estimate *ret)
{
    const struct fuser_bundle *bundle = view->bundle;
    struct head_estimate whole[FUSER_MAX_GENERATORS];
    size_t n = bundle->cells.n_generators;
    double least = 1, most = 0, shift;

    memcpy(whole, ret, n * sizeof *ret);
    bundle->head->estimate(bundle->head_state, view, whole);
    bundle->head->plain->estimate(NULL, view, ret);
    for (size_t g = 0; g < n; g++) {
        least = fmin(least, ret[g].quality);
        most = fmax(most, ret[g].quality);
    }
    shift = mean_quality(whole, n) - mean_quality(ret, n);
    shift = fmin(fmax(shift, -least), 1 - most);
    for (size_t g = 0; g < n; g++)
        ret[g].quality = fmin(fmax(ret[g].quality + shift, 0), 1);
}

void head_estimate(const struct head_view *view, struct head_estimate *ret)
{
    const struct fuser_bundle *bundle = view->bundle;
    double m = bundle->settings.prior_rows;

    for (size_t g = 0; g < bundle->cells.n_generators; g++) {
        const struct head_local *local = &view->local[g];
        const struct prior_mean *prior = &view->prior[g];
        double expected = fmin(prior->output_tokens, (double)view->output_limit);
        double slow = isnan(prior->latency_ms) ? 0 : prior->latency_ms;
        /* Without any pull a generator that no neighbour knows still needs a number. */
        double pull = local->known_output ? m : fmax(m, 1);

        ret[g].known = local->known;
        ret[g].output_tokens =
            (local->output + pull * expected) / (local->known_output + pull);
        pull = local->known_latency ? m : fmax(m, 1);
        ret[g].latency_ms = isnan(prior->latency_ms) ? NAN
                                                     : (local->latency + pull * slow) /
                                                           (local->known_latency + pull);
    }
    if (!bundle->head->covers(bundle->head_state, view->subset))
        head_knn.estimate(NULL, view, ret);
    else if (bundle->head->plain && (bundle->loo.plain >> (view->subset - 1) & 1))
        estimate_plainly(view, ret);
    else
        bundle->head->estimate(bundle->head_state, view, ret);
}

void head_estimate_blind(const struct fuser_bundle *bundle, float output_limit,
                         struct head_estimate *ret)
{
    const struct prior_sum *all =
        bundle->prior.sums + bundle->prior.n_domains * bundle->prior.n_generators;

    for (size_t g = 0; g < bundle->cells.n_generators; g++) {
        struct prior_mean mean = prior_expect(&bundle->prior, NULL, 0, g, KERNEL_NO_ROW);

        ret[g].quality = mean.quality;
        ret[g].rows = all[g].worth + 1;
        ret[g].quality_se = sqrt((mean.variance + 1e-4) / (all[g].worth + 1));
        ret[g].output_tokens = fmin(mean.output_tokens, (double)output_limit);
        ret[g].latency_ms = mean.latency_ms;
        ret[g].known = 0;
    }
}
