/* loo.c - building the leave-one-out tables.
 *
 *   for a block of table rows, per embedder   distances to all rows       B x n floats
 *   for each row and each subset              sum, nearest, estimate  ->  one table line
 *
 * Where the search is approximate, candidates stand for the distances, as in a walk.
 *
 * What must always hold: a row is never its own neighbour and never part of its own
 * prior, or every loss is optimistic (frugalfoe.md, pitfall 1). The losses are in
 * loo_loss.c.
 */
#include "fuser/loo.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/bundle.h"
#include "fuser/err.h"
#include "fuser/nearest.h"
#include "fuser/random.h"

#define BLOCK 16  /* table rows whose distances are computed together */
#define TILE  128 /* rows that stay in the cache while all of a block look at them */

size_t loo_pick_rows(size_t n, size_t n_generators, size_t n_embedders, uint64_t seed,
                     uint32_t *ret_rows)
{
    size_t line = ((size_t)1 << n_embedders) * n_generators * 2 * sizeof(float);
    size_t m = n < FUSER_TABLE_ROWS ? n : FUSER_TABLE_ROWS;
    struct rng rng = rng_seeded(seed ^ 0x6C6F6F);

    m = m < LOO_BYTES_MAX / line ? m : LOO_BYTES_MAX / line;
    rng_sample(&rng, n, m, ret_rows);
    return m;
}

void loo_release(struct loo *loo)
{
    free(loo->rows);
    free(loo->slot_of);
    free(loo->quality);
    free(loo->tokens);
    free(loo->far);
    free(loo->start.quality);
    free(loo->start.tokens);
    free(loo->start.truth);
    free(loo->start.input);
    free(loo->start.output);
    memset(loo, 0, sizeof *loo);
}

float loo_distance(const struct near *near, size_t n_near)
{
    size_t n = n_near < LOO_FAR_NEAR ? n_near : LOO_FAR_NEAR;
    float sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += near[i].distance;
    return n ? sum / (float)n : INFINITY;
}

/* Squared errors of the simpler head less those of the head, over rows left out. */
struct contest {
    double n, sum, squares;
};

/* What a build needs beside the tables. */
struct work {
    const struct fuser_bundle *bundle;
    struct loo *loo;
    float *distance; /* n_embedders x BLOCK x n */
    float *sum;      /* n */
    float *scratch;  /* of the heads */
    struct near *near;
    struct near
        *candidates; /* n_embedders x APPROX_ROOM, of one row, where approximate */
    size_t n_candidates[FUSER_MAX_EMBEDDERS];
    float *reached; /* n_subsets x n_rows: loo_distance of each */
    struct contest contest[(1u << FUSER_MAX_EMBEDDERS) - 1]; /* per subset */
    struct head_view view;
    struct head_estimate estimates[FUSER_MAX_GENERATORS];
};

static void measure_block(struct work *work, size_t first, size_t block)
{
    const struct fuser_bundle *bundle = work->bundle;
    size_t n = bundle->cells.n;

    memset(work->distance, 0, bundle->n_embedders * BLOCK * n * sizeof(float));
    for (size_t e = 0; e < bundle->n_embedders; e++) {
        size_t dim = index_dim(bundle->index[e]);
        const float *vectors = index_vectors(bundle->index[e]);

        for (size_t tile = 0; tile < n; tile += TILE)
            for (size_t b = 0; b < block; b++)
                bundle_distances(bundle, e, tile, n - tile < TILE ? n - tile : TILE,
                                 vectors + work->loo->rows[first + b] * dim,
                                 work->distance + (e * BLOCK + b) * n + tile);
    }
}

/* Candidates for the row in `slot` by every embedder whose vector it has. */
static void find_candidates(struct work *work, size_t slot)
{
    const struct fuser_bundle *bundle = work->bundle;
    uint32_t row = work->loo->rows[slot];

    for (size_t e = 0; e < bundle->n_embedders; e++)
        work->n_candidates[e] =
            bundle_has_vector(bundle, e, row)
                ? approx_find(
                      bundle->approx[e],
                      index_vectors(bundle->index[e]) + row * index_dim(bundle->index[e]),
                      APPROX_OVER, work->candidates + e * APPROX_ROOM(APPROX_OVER))
                : 0;
}

static bool has_vectors(const struct fuser_bundle *bundle, uint32_t subset, uint32_t row)
{
    for (size_t e = 0; e < bundle->n_embedders; e++)
        if ((subset >> e & 1) && !bundle_has_vector(bundle, e, row))
            return false;
    return true;
}

/* The nearest of all rows to one of a block, by the distances of the subset's embedders. */
static size_t nearest_of_all(struct work *work, uint32_t subset, uint32_t row,
                             size_t in_block)
{
    const struct fuser_bundle *bundle = work->bundle;
    size_t n = bundle->cells.n, n_near;
    float share = 1.0f / (float)__builtin_popcount(subset);

    memset(work->sum, 0, n * sizeof *work->sum);
    for (size_t e = 0; e < bundle->n_embedders; e++)
        if (subset >> e & 1)
            kernel_axpy(work->distance + (e * BLOCK + in_block) * n, n, 1.0f, work->sum);
    n_near = nearest_exact(work->sum, n, bundle->settings.reach, row, work->near);
    for (size_t i = 0; i < n_near; i++)
        work->near[i].distance *= share;
    return n_near;
}

/* The candidates of the subset's embedders, nearest first. */
static size_t nearest_of_candidates(struct work *work, uint32_t subset, uint32_t row,
                                    const float *const *vectors)
{
    const struct fuser_bundle *bundle = work->bundle;
    size_t n = 0;

    for (size_t e = 0; e < bundle->n_embedders; e++) {
        if ((subset >> e & 1) == 0)
            continue;
        memcpy(work->near + n, work->candidates + e * APPROX_ROOM(APPROX_OVER),
               work->n_candidates[e] * sizeof *work->near);
        n += work->n_candidates[e];
    }
    n = bundle_unite(work->near, n);
    return bundle_order(bundle, subset, vectors, row, work->near, n);
}

/* Mean squared error of the known qualities about their mean error: how hard the prompt is does not
 * count, for no decision rests on it. NAN from fewer than two. */
static double centred_error(const struct head_estimate *estimates, const float *quality,
                            size_t n)
{
    double known = 0, sum = 0, squares = 0;

    for (size_t g = 0; g < n; g++) {
        double off = estimates[g].quality - (double)quality[g];

        if (isnan(off))
            continue;
        known += 1;
        sum += off;
        squares += off * off;
    }
    return known < 2 ? NAN : squares / known - sum / known * (sum / known);
}

/* The head against its simpler one on the row of the view, if it has one. */
static void contend(struct work *work)
{
    const struct fuser_bundle *bundle = work->bundle;
    const struct head_view *view = &work->view;
    struct contest *contest = &work->contest[view->subset - 1];
    struct head_estimate plain[FUSER_MAX_GENERATORS];
    size_t n = bundle->cells.n_generators;
    const float *quality = bundle->cells.quality + view->row * n;
    double off;

    if (!bundle->head->plain || view->n_near == 0 ||
        !bundle->head->covers(bundle->head_state, view->subset))
        return;
    bundle->head->plain->estimate(NULL, view, plain);
    off = centred_error(plain, quality, n) - centred_error(work->estimates, quality, n);
    if (isnan(off))
        return;
    contest->n += 1;
    contest->sum += off;
    contest->squares += off * off;
}

/* The subsets under which the head does not win by one standard error, if it does not with all
 * the evidence there is: a poor embedder alone says little of the set of rows. */
static uint64_t find_plain(const struct work *work)
{
    uint64_t plain = 0;

    for (size_t s = 0; s < work->loo->n_subsets; s++) {
        const struct contest *contest = &work->contest[s];
        double n = contest->n, mean = contest->sum / n;

        if (n >= LOO_PLAIN_ROWS &&
            mean <= sqrt(fmax(contest->squares / n - mean * mean, 0) / n))
            plain |= UINT64_C(1) << s;
    }
    return plain >> (work->loo->n_subsets - 1) & 1 ? plain : 0;
}

static void fill_line(struct work *work, uint32_t subset, size_t slot, size_t in_block)
{
    const struct fuser_bundle *bundle = work->bundle;
    size_t n_generators = bundle->cells.n_generators;
    uint32_t row = work->loo->rows[slot];
    const float *vectors[FUSER_MAX_EMBEDDERS] = { NULL };
    size_t n_listed = 0, n_near,
           line = ((subset - 1) * work->loo->n_rows + slot) * n_generators;

    if (has_vectors(bundle, subset, row)) {
        for (size_t e = 0; e < bundle->n_embedders; e++)
            if (subset >> e & 1)
                vectors[e] =
                    index_vectors(bundle->index[e]) + row * index_dim(bundle->index[e]);
        n_listed = bundle->approximate ? nearest_of_candidates(work, subset, row, vectors)
                                       : nearest_of_all(work, subset, row, in_block);
    }
    n_near = n_listed < bundle->settings.reach ? n_listed : bundle->settings.reach;
    work->reached[(subset - 1) * work->loo->n_rows + slot] =
        loo_distance(work->near, n_near);
    work->view.bundle = bundle;
    work->view.subset = subset;
    work->view.near = work->near;
    work->view.n_near = n_near;
    work->view.n_listed = n_listed;
    work->view.vectors = vectors;
    work->view.distance = n_near > 0 && !bundle->approximate ? work->sum : NULL;
    work->view.error = 0;
    work->view.scratch = work->scratch;
    work->view.row = row;
    work->view.output_limit = INFINITY;
    head_look(&work->view);
    head_estimate(&work->view, work->estimates);
    for (size_t g = 0; g < n_generators; g++) {
        work->loo->quality[line + g] = (float)work->estimates[g].quality;
        work->loo->tokens[line + g] = (float)work->estimates[g].output_tokens;
    }
    contend(work);
}

static int by_value(const void *a, const void *b)
{
    float left = *(const float *)a, right = *(const float *)b;

    return left < right ? -1 : left > right;
}

/* The distance that all but one in a thousand rows stay within. */
static void find_far(struct work *work)
{
    size_t n = work->loo->n_rows;

    for (size_t s = 0; s < work->loo->n_subsets; s++) {
        float *reached = work->reached + s * n;
        size_t known = n, at;

        qsort(reached, n, sizeof *reached, by_value);
        while (known > 0 && !(reached[known - 1] < INFINITY))
            known--;
        at = (size_t)ceil(LOO_FAR_SHARE * (double)known);
        work->loo->far[s] = known ? reached[at - 1] : 0.0f;
    }
}

static enum fuser_err make_room(struct work *work, struct fuser_error *error)
{
    const struct fuser_bundle *bundle = work->bundle;
    struct loo *loo = work->loo;
    size_t cells = loo->n_subsets * loo->n_rows * loo->n_generators;
    size_t n = bundle->approximate ? 0 : bundle->cells.n; /* distances to all of them */
    size_t over =
        bundle->approximate ? bundle->n_embedders * APPROX_ROOM(APPROX_OVER) : 0;

    loo->quality = calloc(cells, sizeof *loo->quality);
    loo->tokens = calloc(cells, sizeof *loo->tokens);
    loo->far = calloc(loo->n_subsets, sizeof *loo->far);
    work->distance = calloc(bundle->n_embedders * BLOCK * n + 1, sizeof *work->distance);
    work->sum = calloc(n + 1, sizeof *work->sum);
    work->candidates = calloc(over + 1, sizeof *work->candidates);
    work->scratch = calloc(head_scratch(bundle), sizeof *work->scratch);
    work->near = calloc(bundle->settings.reach + over + 1, sizeof *work->near);
    work->reached = calloc(loo->n_subsets * loo->n_rows, sizeof *work->reached);
    return loo->quality && loo->tokens && loo->far && work->distance && work->sum &&
                   work->scratch && work->near && work->candidates && work->reached
               ? FUSER_OK
               : ferr_nomem(error);
}

/* The lines of the subsets whose bits are set. */
static enum fuser_err fill(struct work *work, uint64_t subsets,
                           fuser_progress_fn progress, void *context,
                           struct fuser_error *error)
{
    const struct fuser_bundle *bundle = work->bundle;
    const struct loo *loo = work->loo;

    for (size_t first = 0; first < loo->n_rows; first += BLOCK) {
        size_t block = loo->n_rows - first < BLOCK ? loo->n_rows - first : BLOCK;

        if (progress && !progress(context, "tables", (double)first / (double)loo->n_rows))
            return ferr_set(error, FUSER_INVALID, "given up");
        if (!bundle->approximate)
            measure_block(work, first, block);
        for (size_t b = 0; b < block; b++) {
            if (bundle->approximate)
                find_candidates(work, first + b);
            for (uint32_t subset = 1; subset <= loo->n_subsets; subset++)
                if (subsets >> (subset - 1) & 1)
                    fill_line(work, subset, first + b, b);
        }
    }
    return FUSER_OK;
}

enum fuser_err loo_build(const struct fuser_bundle *bundle, struct loo *loo, bool choose,
                         fuser_progress_fn progress, void *context,
                         struct fuser_error *error)
{
    struct work *work = calloc(1, sizeof *work);
    enum fuser_err err;

    if (!work)
        return ferr_nomem(error);
    loo->n_subsets = ((size_t)1 << bundle->n_embedders) - 1;
    loo->n_generators = bundle->cells.n_generators;
    work->bundle = bundle;
    work->loo = loo;
    err = make_room(work, error);
    if (!err)
        err = fill(work, UINT64_MAX, progress, context, error);
    if (!err && choose) {
        loo->plain = find_plain(work);
        if (loo->plain != 0)
            err = fill(work, loo->plain, progress, context, error);
    }
    if (!err)
        find_far(work);
    free(work->distance);
    free(work->sum);
    free(work->scratch);
    free(work->near);
    free(work->candidates);
    free(work->reached);
    free(work);
    return err;
}

static void fill_start(const struct fuser_bundle *bundle, struct loo *loo)
{
    struct loo_start *start = &loo->start;
    const struct cells *cells = &bundle->cells;
    size_t n_generators = loo->n_generators, n_embedders = bundle->n_embedders;

    for (size_t i = 0; i < start->n; i++) {
        size_t slot = i * loo->n_rows / start->n;

        for (size_t g = 0; g < n_generators; g++) {
            size_t cell = loo->rows[slot] * n_generators + g;
            double worth;
            float quality = (float)cells_quality(cells, cell, &worth);
            float output = cells->output[cell];
            const struct head_estimate *blind = &bundle->blind[g];

            for (size_t e = 0; e < n_embedders; e++) {
                size_t to = (e * n_generators + g) * start->n + i;
                size_t line =
                    ((((size_t)1 << e) - 1) * loo->n_rows + slot) * n_generators;

                start->quality[to] = loo->quality[line + g];
                start->tokens[to] = loo->tokens[line + g];
                start->truth[to] = worth > 0 ? quality : start->quality[to];
            }
            start->truth[(n_embedders * n_generators + g) * start->n + i] =
                worth > 0 ? quality : (float)blind->quality;
            start->input[g * start->n + i] = cells->input[cell];
            start->output[g * start->n + i] =
                isnan(output) ? (float)blind->output_tokens : output;
        }
    }
}

enum fuser_err loo_derive(const struct fuser_bundle *bundle, struct loo *loo)
{
    struct loo_start *start = &loo->start;
    size_t n_generators = loo->n_generators, n_embedders = bundle->n_embedders, floats;

    loo->slot_of = malloc(bundle->cells.n * sizeof *loo->slot_of);
    if (!loo->slot_of)
        return FUSER_NOMEM;
    memset(loo->slot_of, 0xFF, bundle->cells.n * sizeof *loo->slot_of);
    for (size_t i = 0; i < loo->n_rows; i++)
        loo->slot_of[loo->rows[i]] = (uint32_t)i;
    start->n = loo->n_rows < LOO_START_ROWS ? loo->n_rows : LOO_START_ROWS;
    floats = n_embedders * n_generators * start->n;
    start->quality = calloc(floats, sizeof(float));
    start->tokens = calloc(floats, sizeof(float));
    start->truth = calloc(floats + n_generators * start->n, sizeof(float));
    start->input = calloc(n_generators * start->n, sizeof(float));
    start->output = calloc(n_generators * start->n, sizeof(float));
    if (!start->quality || !start->tokens || !start->truth || !start->input ||
        !start->output)
        return FUSER_NOMEM;
    fill_start(bundle, loo);
    return FUSER_OK;
}
