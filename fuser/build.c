/* build.c - from rows to a bundle.
 *
 *   rows --sort by name--> names, cells, domains --> built-in embedders fitted
 *        --> vectors --> clusters where there are no labels --> prior --> head
 *        --> tables --> probes, id
 *
 * What must always hold: the same rows in any order, with the same settings, give the
 * same bundle byte for byte, and so the same id.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/bundle.h"
#include "fuser/err.h"
#include "fuser/random.h"
#include "fuser/rows.h"

#define CLUSTERS_MAX    16
#define CLUSTER_ROWS    40    /* rows a cluster needs on average (FAISS asks for 39) */
#define CLUSTER_SAMPLE  16384 /* rows that k-means looks at */
#define PROBE_BYTES_MAX 2000

struct build {
    const struct fuser_rows *rows;
    const struct fuser_build *how;
    struct fuser_bundle *bundle;
    struct fuser_error *error;
    uint32_t *row_order;                            /* bundle's row -> the caller's row */
    uint32_t generator_order[FUSER_MAX_GENERATORS]; /* bundle's -> the caller's */
    uint32_t embedder_order[FUSER_MAX_EMBEDDERS];
};

static bool progress(const struct build *build, const char *stage, double done)
{
    return !build->how->progress ||
           build->how->progress(build->how->progress_context, stage, done);
}

/* -- order -- */

static int by_id(const void *a, const void *b, void *context)
{
    const struct rows_entry *entries = context;

    return strcmp(entries[*(const uint32_t *)a].id, entries[*(const uint32_t *)b].id);
}

static int by_generator(const void *a, const void *b, void *context)
{
    const struct fuser_rows *rows = context;

    return strcmp(rows->generators[*(const uint32_t *)a],
                  rows->generators[*(const uint32_t *)b]);
}

static int by_embedder(const void *a, const void *b, void *context)
{
    const struct fuser_rows *rows = context;

    return strcmp(rows->embedders[*(const uint32_t *)a].name,
                  rows->embedders[*(const uint32_t *)b].name);
}

static void count_up(uint32_t *order, size_t n)
{
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
}

static enum fuser_err set_order(struct build *build)
{
    const struct fuser_rows *rows = build->rows;

    build->row_order = calloc(rows->n, sizeof *build->row_order);
    if (!build->row_order)
        return ferr_nomem(build->error);
    count_up(build->row_order, rows->n);
    count_up(build->generator_order, rows->n_generators);
    count_up(build->embedder_order, rows->n_embedders);
    qsort_r(build->row_order, rows->n, sizeof(uint32_t), by_id, rows->entries);
    qsort_r(build->generator_order, rows->n_generators, sizeof(uint32_t), by_generator,
            (void *)rows);
    qsort_r(build->embedder_order, rows->n_embedders, sizeof(uint32_t), by_embedder,
            (void *)rows);
    return FUSER_OK;
}

static const struct rows_entry *entry_of(const struct build *build, size_t row)
{
    return &build->rows->entries[build->row_order[row]];
}

/* -- names and domains -- */

/* n names one after the other, each with its 0, given by a function. */
static enum fuser_err take_names(const struct build *build, struct bundle_names *names,
                                 size_t n,
                                 const char *(*name)(const struct build *, size_t))
{
    size_t bytes = 0, at = 0;
    char *block;

    for (size_t i = 0; i < n; i++)
        bytes += strlen(name(build, i)) + 1;
    block = malloc(bytes ? bytes : 1);
    if (!block)
        return ferr_nomem(build->error);
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(name(build, i)) + 1;

        memcpy(block + at, name(build, i), length);
        at += length;
    }
    if (bytes > UINT32_MAX) {
        free(block);
        return ferr_set(build->error, FUSER_TOO_LARGE,
                        "the names of all rows are over 4 GB");
    }
    return bundle_names_take(names, block, bytes, n) ? ferr_nomem(build->error)
                                                     : FUSER_OK;
}

static const char *id_of(const struct build *build, size_t row)
{
    return entry_of(build, row)->id;
}

static int by_domain(const void *a, const void *b, void *context)
{
    const struct rows_entry *entries = context;
    const char *left = entries[*(const uint32_t *)a].domain;
    const char *right = entries[*(const uint32_t *)b].domain;

    if (!left || !right)
        return !left - !right;
    return strcmp(left, right);
}

/* Numbers the labels in the order of their names; rows without one keep none. */
static enum fuser_err take_domains(struct build *build)
{
    struct fuser_bundle *bundle = build->bundle;
    const struct rows_entry *entries = build->rows->entries;
    size_t n = build->rows->n, bytes = 0, domains = 0;
    uint32_t *order = calloc(n, sizeof *order), *of = calloc(n, sizeof *of);
    const char *last = NULL;
    char *block = NULL;
    enum fuser_err err = FUSER_NOMEM;

    bundle->domain_of = calloc(n, sizeof *bundle->domain_of);
    if (!order || !of || !bundle->domain_of)
        goto done;
    count_up(order, n);
    qsort_r(order, n, sizeof *order, by_domain, (void *)entries);
    for (size_t i = 0; i < n; i++)
        bytes += entries[i].domain ? strlen(entries[i].domain) + 1 : 0;
    block = malloc(bytes ? bytes : 1);
    if (!block)
        goto done;
    bytes = 0;
    for (size_t i = 0; i < n; i++) {
        const char *domain = entries[order[i]].domain;

        of[order[i]] = PRIOR_NO_DOMAIN;
        if (!domain)
            continue;
        if (!last || strcmp(last, domain) != 0) {
            memcpy(block + bytes, domain, strlen(domain) + 1);
            bytes += strlen(domain) + 1;
            domains++;
        }
        last = domain;
        of[order[i]] = (uint32_t)domains - 1;
    }
    if (domains > BUNDLE_DOMAINS_MAX) {
        err = ferr_set(build->error, FUSER_TOO_LARGE, "%zu domains: the limit is %d",
                       domains, BUNDLE_DOMAINS_MAX);
        goto done;
    }
    for (size_t row = 0; row < n; row++)
        bundle->domain_of[row] = of[build->row_order[row]];
    bundle->labelled = domains > 0;
    err = bundle_names_take(&bundle->domains, block, bytes, domains);
    block = NULL; /* taken, whether it was well or not */
done:
    free(order);
    free(of);
    free(block);
    if (err)
        (void)ferr_nomem(build->error);
    return err;
}

/* -- outcomes -- */

static void fill_inputs(struct build *build)
{
    struct cells *cells = &build->bundle->cells;
    size_t n_generators = cells->n_generators;
    double all = 0, n_all = 0;

    for (size_t i = 0; i < cells->n * n_generators; i++)
        if (!isnan(cells->input[i])) {
            all += (double)cells->input[i];
            n_all += 1;
        }
    for (size_t row = 0; row < cells->n; row++) {
        const struct rows_entry *entry = entry_of(build, row);

        cells_fill_input(cells->input + row * n_generators, n_generators,
                         entry->text_bytes, entry->text != NULL,
                         n_all > 0 ? (float)(all / n_all) : 0.0f);
    }
}

static enum fuser_err take_cells(struct build *build)
{
    const struct fuser_rows *rows = build->rows;
    struct cells *cells = &build->bundle->cells;
    size_t n_generators = rows->n_generators, n = rows->n * n_generators;

    cells->n = rows->n;
    cells->n_generators = n_generators;
    cells->quality = calloc(n, sizeof(float));
    cells->input = calloc(n, sizeof(float));
    cells->output = calloc(n, sizeof(float));
    cells->latency = calloc(n, sizeof(float));
    build->bundle->generators = calloc(n_generators, sizeof *build->bundle->generators);
    if (!cells->quality || !cells->input || !cells->output || !cells->latency ||
        !build->bundle->generators)
        return ferr_nomem(build->error);
    for (size_t g = 0; g < n_generators; g++)
        memcpy(build->bundle->generators[g], rows->generators[build->generator_order[g]],
               FUSER_MAX_NAME);
    for (size_t row = 0, to = 0; row < rows->n; row++)
        for (size_t g = 0; g < n_generators; g++, to++) {
            const struct fuser_cell *cell =
                &rows->cells[build->row_order[row] * n_generators +
                             build->generator_order[g]];

            cells->quality[to] = cell->quality;
            cells->input[to] = cell->input_tokens;
            cells->output[to] = cell->output_tokens;
            cells->latency[to] = cell->latency_ms;
        }
    fill_inputs(build);
    return FUSER_OK;
}

/* -- embedders -- */

static enum fuser_err fit_surface(struct build *build)
{
    size_t n = 0;
    float *features = calloc(build->rows->n, SURFACE_DIM * sizeof *features);
    struct glyphs glyphs;

    if (!features)
        return ferr_nomem(build->error);
    for (size_t row = 0; row < build->rows->n; row++) {
        const struct rows_entry *entry = entry_of(build, row);

        if (!entry->text)
            continue;
        glyphs_read(&glyphs, entry->text, entry->text_bytes);
        surface_features(&glyphs, features + n++ * SURFACE_DIM);
    }
    surface_fit(&build->bundle->surface, features, n);
    free(features);
    return FUSER_OK;
}

static enum fuser_err fit_lexical(struct build *build, struct fuser_embedder_info *info)
{
    size_t n = 0;
    struct lexical_text *texts = calloc(build->rows->n, sizeof *texts);
    enum fuser_err err;

    if (!texts)
        return ferr_nomem(build->error);
    for (size_t row = 0; row < build->rows->n; row++) {
        const struct rows_entry *entry = entry_of(build, row);

        if (entry->text)
            texts[n++] = (struct lexical_text){ entry->text, entry->text_bytes };
    }
    err = lexical_fit(texts, n, lexical_version(info->model),
                      info->dim ? info->dim : LEXICAL_DIM, build->how->seed,
                      &build->bundle->lexical, build->error);
    if (!err)
        info->dim = (uint32_t)lexical_dim(build->bundle->lexical);
    free(texts);
    return err;
}

/* One row's vector into `to`; false: it has none, and `to` is zero. */
static bool row_vector(const void *context, size_t e, size_t row, float *to)
{
    const struct build *build = context;
    const struct fuser_embedder_info *info = &build->bundle->embedders[e];
    size_t from = build->row_order[row], embedder = build->embedder_order[e];
    const struct rows_entry *entry = &build->rows->entries[from];
    struct glyphs glyphs;

    memset(to, 0, info->dim * sizeof *to);
    if (info->kind == FUSER_REMOTE) {
        if (!build->rows->vectors[embedder] || !build->rows->present[embedder][from])
            return false;
        memcpy(to, build->rows->vectors[embedder] + from * info->dim,
               info->dim * sizeof *to);
        return true;
    }
    if (!entry->text)
        return false;
    glyphs_read(&glyphs, entry->text, entry->text_bytes);
    return bundle_embed(build->bundle, e, &glyphs, to);
}

static enum fuser_err fill_index(struct build *build, size_t e)
{
    struct fuser_bundle *bundle = build->bundle;
    enum fuser_err err;

    err = bundle_fill_index(bundle, e, row_vector, build, build->error);
    /* A built-in one may find all prompts alike; the others then decide without it. */
    if (!err && bundle->n_missing[e] == build->rows->n &&
        bundle->embedders[e].kind == FUSER_REMOTE)
        err = ferr_set(build->error, FUSER_INVALID, "embedder '%s': no row has a vector",
                       bundle->embedders[e].name);
    return err;
}

static enum fuser_err take_embedders(struct build *build)
{
    struct fuser_bundle *bundle = build->bundle;
    enum fuser_err err = FUSER_OK;

    for (size_t e = 0; !err && e < build->rows->n_embedders; e++) {
        struct fuser_embedder_info *info = &bundle->embedders[e];

        *info = build->rows->embedders[build->embedder_order[e]];
        bundle->n_embedders = e + 1;
        if (!progress(build, info->name, 0))
            return ferr_set(build->error, FUSER_INVALID, "given up");
        if (info->kind == FUSER_SURFACE) {
            info->dim = SURFACE_DIM;
            err = fit_surface(build);
        } else if (info->kind == FUSER_LEXICAL) {
            err = fit_lexical(build, info);
        } else if (info->dim == 0) {
            err = ferr_set(build->error, FUSER_INVALID,
                           "embedder '%s': no row has a vector", info->name);
        }
        if (!err)
            err = fill_index(build, e);
    }
    return err;
}

/* -- domains without labels -- */

/* Clusters of the widest embedder's vectors take the place of labels where there are none. */
static enum fuser_err cluster(struct build *build)
{
    struct fuser_bundle *bundle = build->bundle;
    size_t n = bundle->cells.n, widest = 0, dim, k,
           m = n < CLUSTER_SAMPLE ? n : CLUSTER_SAMPLE;
    struct rng rng = rng_seeded(build->how->seed);
    uint32_t *sample = NULL;
    float *vectors = NULL;
    enum fuser_err err = FUSER_NOMEM;

    for (size_t e = 1; e < bundle->n_embedders; e++)
        if (bundle->embedders[e].dim > bundle->embedders[widest].dim)
            widest = e;
    dim = bundle->embedders[widest].dim;
    k = m / CLUSTER_ROWS < CLUSTERS_MAX ? m / CLUSTER_ROWS : CLUSTERS_MAX;
    if (bundle->labelled || k < 2)
        return FUSER_OK;
    sample = calloc(m, sizeof *sample);
    vectors = calloc(m, dim * sizeof *vectors);
    bundle->cluster_embedder = (uint32_t)widest;
    bundle->centroids = calloc(k, dim * sizeof *bundle->centroids);
    if (!sample || !vectors || !bundle->centroids)
        goto done;
    rng_sample(&rng, n, m, sample);
    for (size_t i = 0; i < m; i++)
        memcpy(vectors + i * dim, index_vectors(bundle->index[widest]) + sample[i] * dim,
               dim * sizeof *vectors);
    err = index_cluster(vectors, m, dim, k, 0, bundle->centroids, build->error);
    if (!err)
        err = bundle_name_clusters(&bundle->domains, k);
    for (size_t row = 0; !err && row < n; row++)
        if (bundle_has_vector(bundle, widest, (uint32_t)row))
            bundle->domain_of[row] = bundle_cluster_of(
                bundle, index_vectors(bundle->index[widest]) + row * dim);
done:
    free(sample);
    free(vectors);
    return err == FUSER_NOMEM ? ferr_nomem(build->error) : err;
}

/* -- the rest -- */

static enum fuser_err take_settings(struct build *build)
{
    const struct fuser_build *how = build->how;
    struct bundle_settings *settings = &build->bundle->settings;
    const char *version = how->text_version ? how->text_version : "";

    settings->k = how->k ? how->k : BUNDLE_K_DEFAULT;
    settings->walk_m = how->walk_m ? how->walk_m : BUNDLE_WALK_M_DEFAULT;
    settings->prior_rows = how->prior_rows < 0 ? BUNDLE_PRIOR_DEFAULT : how->prior_rows;
    settings->seed = how->seed;
    if (settings->k > BUNDLE_K_MAX || settings->walk_m > BUNDLE_K_MAX)
        return ferr_set(build->error, FUSER_TOO_LARGE, "k and walk_m are at most %d",
                        BUNDLE_K_MAX);
    if (!(settings->prior_rows <= BUNDLE_PRIOR_MAX))
        return ferr_set(build->error, FUSER_INVALID,
                        "prior_rows %g is not within 0 and %g", settings->prior_rows,
                        BUNDLE_PRIOR_MAX);
    if (strlen(version) >= FUSER_MAX_NAME)
        return ferr_set(build->error, FUSER_TOO_LARGE, "the text version is too long");
    build->bundle->head = head_named(how->head ? how->head : "blend");
    if (!build->bundle->head)
        return ferr_set(build->error, FUSER_INVALID, "there is no head '%s'", how->head);
    memcpy(build->bundle->text_version, version, strlen(version) + 1);
    return how->tuned ? tuned_new(how->tuned, &build->bundle->tuned, build->error)
                      : FUSER_OK;
}

static enum fuser_err attach(struct build *build)
{
    return attached_set(&build->bundle->attached, build->how->origin,
                        build->how->text_extra, build->how->text_extra_bytes,
                        build->error);
}

/* Spread over the rows; short texts, for they are sent to a live service at every start.
 */
static enum fuser_err take_probes(struct build *build)
{
    struct fuser_bundle *bundle = build->bundle;
    size_t n = bundle->cells.n;

    for (size_t e = 0; e < bundle->n_embedders; e++) {
        size_t found = 0, from = 0;

        if (bundle->embedders[e].kind != FUSER_REMOTE)
            continue;
        for (size_t row = 0; row < n && found < FUSER_PROBES; row++) {
            const struct rows_entry *entry = entry_of(build, row);
            struct bundle_probe *probe = &bundle->probes[e][found];

            if (row < from || !entry->text_bytes || entry->text_bytes > PROBE_BYTES_MAX ||
                memchr(entry->text, '\0', entry->text_bytes) ||
                !bundle_has_vector(bundle, e, (uint32_t)row))
                continue;
            probe->text = strdup(entry->text);
            if (!probe->text)
                return ferr_nomem(build->error);
            probe->row = (uint32_t)row;
            found++;
            from = found * n / FUSER_PROBES;
        }
    }
    return FUSER_OK;
}

/* Which rows the tables have; an approximate search needs to know them. */
static enum fuser_err pick_table_rows(struct build *build)
{
    struct fuser_bundle *bundle = build->bundle;
    struct loo *loo = &bundle->loo;

    loo->rows = calloc(bundle->cells.n, sizeof *loo->rows);
    if (!loo->rows)
        return ferr_nomem(build->error);
    loo->n_rows = loo_pick_rows(bundle->cells.n, bundle->cells.n_generators,
                                bundle->n_embedders, build->how->seed, loo->rows);
    return FUSER_OK;
}

static enum fuser_err make_tables(struct build *build)
{
    struct fuser_bundle *bundle = build->bundle;
    struct loo *loo = &bundle->loo;
    enum fuser_err err;

    err = loo_build(bundle, loo, true, build->how->progress, build->how->progress_context,
                    build->error);
    if (!err && loo_derive(bundle, loo))
        err = ferr_nomem(build->error);
    return err;
}

static enum fuser_err identify(struct build *build)
{
    return bundle_set_id(build->bundle) ? ferr_nomem(build->error) : FUSER_OK;
}

static enum fuser_err take_ids(struct build *build)
{
    return take_names(build, &build->bundle->ids, build->rows->n, id_of);
}

static enum fuser_err choose_index(struct build *build)
{
    return bundle_choose_index(build->bundle, build->how, build->error);
}

static enum fuser_err derive(struct build *build)
{
    return bundle_derive(build->bundle) ? ferr_nomem(build->error) : FUSER_OK;
}

static enum fuser_err fit_head(struct build *build)
{
    struct fuser_bundle *bundle = build->bundle;

    if (!progress(build, bundle->head->name, 0))
        return ferr_set(build->error, FUSER_INVALID, "given up");
    return bundle->head->fit
               ? bundle->head->fit(bundle, &bundle->head_state, build->error)
               : FUSER_OK;
}

/* Each needs what those before it made. */
static enum fuser_err (*const steps[])(struct build *) = {
    take_settings, attach,         set_order,   take_ids,        take_cells,
    take_domains,  take_embedders, cluster,     pick_table_rows, choose_index,
    derive,        fit_head,       make_tables, take_probes,     identify,
};

enum fuser_err fuser_bundle_build(const struct fuser_rows *rows,
                                  const struct fuser_build *how,
                                  struct fuser_bundle **ret_bundle,
                                  struct fuser_error *error)
{
    struct build build = { .rows = rows, .how = how, .error = error };
    enum fuser_err err = FUSER_OK;

    ferr_clear(error);
    if (rows->n == 0)
        return ferr_set(error, FUSER_INVALID, "no rows");
    build.bundle = bundle_new();
    if (!build.bundle)
        return ferr_nomem(error);
    for (size_t i = 0; !err && i < sizeof steps / sizeof *steps; i++)
        err = steps[i](&build);
    if (!err && !progress(&build, "done", 1))
        err = ferr_set(error, FUSER_INVALID, "given up");
    free(build.row_order);
    if (err) {
        fuser_bundle_unref(build.bundle);
        return err;
    }
    *ret_bundle = build.bundle;
    return FUSER_OK;
}
