/* bundle.c - the life of a bundle and what callers may ask of it.
 *
 * What must always hold: after the build or the load nothing in it changes but the
 * reference count, so that any number of threads may read it.
 */
#include "fuser/bundle.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/err.h"

#define ADD_AT_ONCE 1024 /* vectors copied into an index in one go */

struct fuser_bundle *bundle_new(void)
{
    struct fuser_bundle *bundle = calloc(1, sizeof *bundle);

    if (bundle)
        atomic_init(&bundle->references, 1);
    return bundle;
}

struct fuser_bundle *fuser_bundle_ref(struct fuser_bundle *bundle)
{
    unsigned before =
        atomic_fetch_add_explicit(&bundle->references, 1, memory_order_relaxed);

    assert(before > 0);
    (void)before;
    return bundle;
}

static void names_release(struct bundle_names *names)
{
    free(names->block);
    free(names->at);
}

void fuser_bundle_unref(struct fuser_bundle *bundle)
{
    if (!bundle ||
        atomic_fetch_sub_explicit(&bundle->references, 1, memory_order_acq_rel) != 1)
        return;
    if (bundle->head && bundle->head->free)
        bundle->head->free(bundle->head_state);
    loo_release(&bundle->loo);
    prior_release(&bundle->prior);
    for (size_t e = 0; e < FUSER_MAX_EMBEDDERS; e++) {
        index_free(bundle->index[e]);
        coarse_release(&bundle->coarse[e]);
        approx_free(bundle->approx[e]);
        approx_free(bundle->approx_table[e]);
        free(bundle->missing[e]);
        for (size_t p = 0; p < FUSER_PROBES; p++)
            free(bundle->probes[e][p].text);
    }
    lexical_free(bundle->lexical);
    free(bundle->cells.quality);
    free(bundle->cells.input);
    free(bundle->cells.output);
    free(bundle->cells.latency);
    free(bundle->cells.likely);
    free(bundle->cells.worth);
    free(bundle->fill);
    names_release(&bundle->ids);
    names_release(&bundle->domains);
    free(bundle->domain_of);
    free(bundle->centroids);
    free(bundle->generators);
    free(bundle->tuned);
    attached_release(&bundle->attached);
    free(bundle);
}

enum fuser_err bundle_names_take(struct bundle_names *names, char *block, size_t bytes,
                                 size_t n)
{
    size_t at = 0, i = 0;

    names->block = block;
    names->bytes = bytes;
    names->n = n;
    if (bytes > UINT32_MAX)
        return FUSER_CORRUPT;
    names->at = calloc(n ? n : 1, sizeof *names->at);
    if (!names->at)
        return FUSER_NOMEM;
    for (; i < n && at < bytes; i++) {
        const char *end = memchr(block + at, '\0', bytes - at);

        if (!end || end == block + at)
            return FUSER_CORRUPT;
        names->at[i] = (uint32_t)at;
        at = (size_t)(end - block) + 1;
    }
    return i == n && at == bytes ? FUSER_OK : FUSER_CORRUPT;
}

enum fuser_err bundle_name_clusters(struct bundle_names *names, size_t k)
{
    size_t room = k * 16, bytes = 0;
    char *block = malloc(room + 1);

    if (!block)
        return FUSER_NOMEM;
    for (size_t i = 0; i < k; i++)
        bytes += (size_t)snprintf(block + bytes, room - bytes, "c%zu", i) + 1;
    names_release(names);
    return bundle_names_take(names, block, bytes, k);
}

const char *bundle_name(const struct bundle_names *names, size_t i)
{
    return names->block + names->at[i];
}

/* Where some cells are missing, k known ones are to be found farther out. */
static uint32_t reach_of(const struct fuser_bundle *bundle)
{
    const struct cells *cells = &bundle->cells;
    const struct prior *prior = &bundle->prior;
    const struct prior_sum *all = prior->sums + prior->n_domains * prior->n_generators;
    double k = (double)bundle->settings.k, reach = k;

    for (size_t g = 0; g < cells->n_generators; g++)
        if (all[g].n > 0)
            reach = fmax(reach, ceil(k * (double)cells->n / all[g].n));
    reach = fmin(reach, BUNDLE_REACH_FACTOR * k);
    return (uint32_t)fmin(reach, (double)cells->n);
}

/* Means over domains: what a generator may be expected to do where none of them is met. A mean over rows
 * leans on the domains that happen to have many. */
static enum fuser_err expect_evenly(struct fuser_bundle *bundle)
{
    size_t n = bundle->domains.n;
    struct prior_vote *votes = calloc(n ? n : 1, sizeof *votes);

    if (!votes)
        return FUSER_NOMEM;
    for (size_t d = 0; d < n; d++)
        votes[d] = (struct prior_vote){ (uint32_t)d, 1.0f / (float)n };
    for (size_t g = 0; g < bundle->cells.n_generators; g++)
        bundle->even[g] = prior_expect(&bundle->prior, votes, n, g, KERNEL_NO_ROW);
    free(votes);
    return FUSER_OK;
}

enum fuser_err bundle_derive(struct fuser_bundle *bundle)
{
    enum fuser_err err =
        prior_init(&bundle->prior, &bundle->cells, bundle->domain_of, bundle->domains.n);

    const struct cells *cells = &bundle->cells;

    if (err)
        return err;
    for (size_t g = 0; g < cells->n_generators; g++) {
        double sum = 0;

        for (size_t i = 0; i < cells->n; i++)
            sum += (double)cells->input[i * cells->n_generators + g];
        bundle->mean_input[g] = sum / (double)cells->n;
    }
    /* The means are needed to fill what is missing, and what is filled moves them. */
    err = fill_cells(&bundle->cells, &bundle->prior, &bundle->fill);
    if (!err && bundle->fill) {
        prior_release(&bundle->prior);
        err = prior_init(&bundle->prior, cells, bundle->domain_of, bundle->domains.n);
    }
    if (err)
        return err;
    head_estimate_blind(bundle, INFINITY, bundle->blind);
    err = expect_evenly(bundle);
    bundle->settings.reach = reach_of(bundle);
    for (size_t e = 0; !err && !bundle->approximate && e < bundle->n_embedders; e++)
        err = coarse_init(&bundle->coarse[e], index_vectors(bundle->index[e]), cells->n,
                          bundle->embedders[e].dim);
    return err;
}

uint32_t bundle_cluster_of(const struct fuser_bundle *bundle, const float *vector)
{
    size_t k = bundle->domains.n, dim = bundle->embedders[bundle->cluster_embedder].dim;
    uint32_t best = 0;
    float least = INFINITY;

    for (size_t c = 0; c < k; c++) {
        float distance = 0;

        kernel_l2_add(bundle->centroids + c * dim, 1, dim, vector, &distance);
        if (distance < least) {
            least = distance;
            best = (uint32_t)c;
        }
    }
    return best;
}

bool bundle_embed(const struct fuser_bundle *bundle, size_t e,
                  const struct glyphs *glyphs, float *ret_vector)
{
    switch (bundle->embedders[e].kind) {
    case FUSER_SURFACE:
        return surface_embed(&bundle->surface, glyphs, ret_vector);
    case FUSER_LEXICAL:
        return lexical_embed(bundle->lexical, glyphs, ret_vector);
    case FUSER_REMOTE:
        break;
    }
    return false;
}

enum fuser_err bundle_fill_index(struct fuser_bundle *bundle, size_t e,
                                 bundle_vector_fn vector, const void *context,
                                 struct fuser_error *error)
{
    size_t n = bundle->cells.n, dim = bundle->embedders[e].dim;
    float *block = calloc(ADD_AT_ONCE, dim * sizeof *block);
    enum fuser_err err = index_new(dim, &bundle->index[e], error);

    bundle->missing[e] = calloc(n, sizeof *bundle->missing[e]);
    if (!err && (!block || !bundle->missing[e]))
        err = ferr_nomem(error);
    for (size_t first = 0; !err && first < n; first += ADD_AT_ONCE) {
        size_t count = n - first < ADD_AT_ONCE ? n - first : ADD_AT_ONCE;

        assert(block && bundle->missing[e]);
        for (size_t i = 0; i < count; i++)
            if (!vector(context, e, first + i, block + i * dim))
                bundle->missing[e][bundle->n_missing[e]++] = (uint32_t)(first + i);
        err = index_add(bundle->index[e], count, block, error);
    }
    free(block);
    return err;
}

/* The first place in `missing` that is not below `row`. */
static size_t first_missing(const struct fuser_bundle *bundle, size_t e, size_t row)
{
    size_t low = 0, high = bundle->n_missing[e];

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (bundle->missing[e][middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool bundle_has_vector(const struct fuser_bundle *bundle, size_t e, uint32_t row)
{
    size_t at = first_missing(bundle, e, row);

    return at == bundle->n_missing[e] || bundle->missing[e][at] != row;
}

static void push_away_missing(const struct fuser_bundle *bundle, size_t e, size_t first,
                              size_t n, float *acc)
{
    for (size_t i = first_missing(bundle, e, first);
         i < bundle->n_missing[e] && bundle->missing[e][i] < first + n; i++)
        acc[bundle->missing[e][i] - first] = INFINITY;
}

void bundle_distances(const struct fuser_bundle *bundle, size_t e, size_t first, size_t n,
                      const float *query, float *acc)
{
    const struct index *index = bundle->index[e];
    size_t dim = index_dim(index);

    kernel_l2_add(index_vectors(index) + first * dim, n, dim, query, acc);
    push_away_missing(bundle, e, first, n, acc);
}

void bundle_scan(const struct fuser_bundle *bundle, size_t e, size_t first, size_t n,
                 const struct coarse_query *query, float *acc)
{
    coarse_add(&bundle->coarse[e], first, n, query, acc);
    push_away_missing(bundle, e, first, n, acc);
}

void bundle_measure(const struct fuser_bundle *bundle, uint32_t subset,
                    const float *const *vectors, struct near *near, size_t n)
{
    for (size_t i = 0; i < n; i++)
        near[i].distance = 0;
    for (size_t e = 0; e < bundle->n_embedders; e++) {
        if ((subset >> e & 1) == 0)
            continue;
        kernel_l2_near(index_vectors(bundle->index[e]), bundle->embedders[e].dim,
                       vectors[e], near, n);
        for (size_t i = 0; bundle->n_missing[e] > 0 && i < n; i++)
            if (!bundle_has_vector(bundle, e, near[i].row))
                near[i].distance = INFINITY;
    }
}

size_t bundle_order(const struct fuser_bundle *bundle, uint32_t subset,
                    const float *const *vectors, uint32_t except, struct near *near,
                    size_t n)
{
    float share = 1.0f / (float)__builtin_popcount(subset);
    size_t kept = 0;

    bundle_measure(bundle, subset, vectors, near, n);
    for (size_t i = 0; i < n; i++)
        if (near[i].distance < INFINITY && near[i].row != except)
            near[kept++] = near[i];
    kernel_sort(near, kept);
    for (size_t i = 0; i < kept; i++)
        near[i].distance *= share;
    return kept;
}

size_t bundle_unite(struct near *near, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        near[i].distance = 0; /* sorts by row alone */
    kernel_sort(near, n);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || near[kept - 1].row != near[i].row)
            near[kept++] = near[i];
    return kept;
}

size_t bundle_rows_with(const struct fuser_bundle *bundle, size_t e,
                        const uint32_t *among, size_t n, uint32_t *ret_rows)
{
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t row = among ? among[i] : (uint32_t)i;

        if (bundle_has_vector(bundle, e, row))
            ret_rows[found++] = row;
    }
    return found;
}

void fuser_bundle_index(const struct fuser_bundle *bundle, size_t embedder,
                        struct fuser_index_info *ret_info)
{
    const struct approx *approx = bundle->approx[embedder];
    const struct bundle_measured *measured = &bundle->measured[embedder];

    assert(embedder < bundle->n_embedders);
    *ret_info = (struct fuser_index_info){
        .kind = !approx                        ? "flat"
                : approx->kind == APPROX_LISTS ? "ivf"
                                               : "hnsw",
        .width = approx ? (uint32_t)approx->width : bundle->embedders[embedder].dim,
        .lists = approx ? (uint32_t)approx->n_lists : 0,
        .effort = approx ? approx->effort : 0,
        .recall = measured->recall,
        .search_us = measured->search_us,
        .flat_us = measured->flat_us,
    };
}

const char *fuser_bundle_id(const struct fuser_bundle *bundle)
{
    return bundle->id;
}

const char *fuser_bundle_text_version(const struct fuser_bundle *bundle)
{
    return bundle->text_version;
}

const char *fuser_bundle_origin(const struct fuser_bundle *bundle)
{
    return bundle->attached.origin;
}

const void *fuser_bundle_text_extra(const struct fuser_bundle *bundle, size_t *ret_bytes)
{
    *ret_bytes = bundle->attached.text_extra_bytes;
    return bundle->attached.text_extra;
}

size_t fuser_bundle_rows(const struct fuser_bundle *bundle)
{
    return bundle->cells.n;
}

bool fuser_bundle_has_row(const struct fuser_bundle *bundle, const char *id)
{
    size_t low = 0, high = bundle->ids.n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int off = strcmp(bundle_name(&bundle->ids, middle), id);

        if (off == 0)
            return true;
        if (off < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

size_t fuser_bundle_generators(const struct fuser_bundle *bundle)
{
    return bundle->cells.n_generators;
}

const char *fuser_bundle_generator(const struct fuser_bundle *bundle, size_t generator)
{
    assert(generator < bundle->cells.n_generators);
    return bundle->generators[generator];
}

size_t fuser_bundle_known_rows(const struct fuser_bundle *bundle, size_t generator)
{
    const struct prior *prior = &bundle->prior;

    assert(generator < bundle->cells.n_generators);
    return (size_t)prior->sums[prior->n_domains * prior->n_generators + generator].n;
}

size_t fuser_bundle_embedders(const struct fuser_bundle *bundle)
{
    return bundle->n_embedders;
}

const struct fuser_embedder_info *fuser_bundle_embedder(const struct fuser_bundle *bundle,
                                                        size_t embedder)
{
    assert(embedder < bundle->n_embedders);
    return &bundle->embedders[embedder];
}

const char *fuser_bundle_probe(const struct fuser_bundle *bundle, size_t embedder,
                               size_t p)
{
    assert(embedder < bundle->n_embedders && p < FUSER_PROBES);
    return bundle->probes[embedder][p].text;
}

enum fuser_err fuser_bundle_check_probe(const struct fuser_bundle *bundle,
                                        size_t embedder, size_t p, const float *vector,
                                        size_t dim, struct fuser_error *error)
{
    const struct fuser_embedder_info *info = fuser_bundle_embedder(bundle, embedder);
    const struct bundle_probe *probe = &bundle->probes[embedder][p];
    const float *own;
    double dot = 0, square = 0;

    ferr_clear(error);
    assert(p < FUSER_PROBES);
    if (!probe->text)
        return FUSER_OK;
    if (dim != info->dim)
        return ferr_set(error, FUSER_MISMATCH,
                        "embedder '%s' gives %zu floats, the bundle was built with %u",
                        info->name, dim, info->dim);
    own = index_vectors(bundle->index[embedder]) + probe->row * dim;
    for (size_t d = 0; d < dim; d++) {
        dot += (double)own[d] * (double)vector[d];
        square += (double)vector[d] * (double)vector[d];
    }
    if (!(dot / sqrt(square) >= BUNDLE_PROBE_COSINE)) /* a NAN is a mismatch too */
        return ferr_set(
            error, FUSER_MISMATCH,
            "embedder '%s' is not '%s', which the bundle was built with: probe "
            "%zu has cosine %.3f",
            info->name, info->model, p + 1, dot / sqrt(square));
    return FUSER_OK;
}

const struct fuser_tuned *fuser_bundle_tuned(const struct fuser_bundle *bundle)
{
    return bundle->tuned;
}

void fuser_bundle_settings(const struct fuser_bundle *bundle, uint32_t *ret_k,
                           uint32_t *ret_walk_m, double *ret_prior_rows)
{
    *ret_k = bundle->settings.k;
    *ret_walk_m = bundle->settings.walk_m;
    *ret_prior_rows = bundle->settings.prior_rows;
}
