/* add.c - rows for a bundle that is in use: fresh evidence without a build.
 *
 *   old bundle + rows --merge by id--> which row is from where
 *       names, domains, cells, vectors     of both
 *       embedders, head, metric, index     as they were fitted: frozen
 *       prior, means, coarse vectors       derived again of all rows
 *       tables                             kept, or made again
 *
 * What must always hold: the old bundle is only read, for others decide by it meanwhile; and
 * rows stay sorted by id, so that a bundle with rows added is the bundle of a build with all
 * of them and the same fitted parts.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/bundle.h"
#include "fuser/err.h"
#include "fuser/rows.h"

#define NONE UINT32_MAX

struct add {
    const struct fuser_bundle *old;
    const struct fuser_rows *rows;
    const struct fuser_add *how;
    struct fuser_bundle *bundle;
    struct fuser_error *error;
    int generator[FUSER_MAX_GENERATORS]; /* of the bundle: in `rows`, or -1 */
    int embedder[FUSER_MAX_EMBEDDERS];
    size_t n;
    uint32_t *from;  /* per row: the old row, or NONE */
    uint32_t *entry; /* per row: the entry of `rows` that adds or changes it, or NONE */
    uint32_t *to;    /* per old row: the row */
};

/* -- which is which -- */

static enum fuser_err match_generators(struct add *add)
{
    const struct fuser_bundle *old = add->old;
    size_t matched = 0;

    for (size_t g = 0; g < old->cells.n_generators; g++) {
        add->generator[g] = -1;
        for (size_t r = 0; r < add->rows->n_generators; r++)
            if (strcmp(old->generators[g], add->rows->generators[r]) == 0) {
                add->generator[g] = (int)r;
                matched++;
            }
    }
    return matched == add->rows->n_generators
               ? FUSER_OK
               : ferr_set(add->error, FUSER_MISMATCH,
                          "a generator of the rows is not in the bundle: build it again");
}

static enum fuser_err match_embedders(struct add *add)
{
    const struct fuser_bundle *old = add->old;
    size_t matched = 0;

    for (size_t e = 0; e < old->n_embedders; e++) {
        const struct fuser_embedder_info *own = &old->embedders[e];

        add->embedder[e] = -1;
        for (size_t r = 0; r < add->rows->n_embedders; r++) {
            const struct fuser_embedder_info *info = &add->rows->embedders[r];

            if (strcmp(own->name, info->name) != 0)
                continue;
            if (own->kind != info->kind || strcmp(own->model, info->model) != 0 ||
                (info->dim && info->dim != own->dim && info->kind == FUSER_REMOTE))
                return ferr_set(
                    add->error, FUSER_MISMATCH,
                    "embedder '%s' is not the one that the bundle was built with",
                    own->name);
            add->embedder[e] = (int)r;
            matched++;
        }
    }
    return matched == add->rows->n_embedders
               ? FUSER_OK
               : ferr_set(add->error, FUSER_MISMATCH,
                          "an embedder of the rows is not in the bundle: build it again");
}

static int by_id(const void *a, const void *b, void *context)
{
    const struct rows_entry *entries = context;

    return strcmp(entries[*(const uint32_t *)a].id, entries[*(const uint32_t *)b].id);
}

/* Walks both in the order of their ids. */
static void merge(struct add *add, const uint32_t *order)
{
    const struct bundle_names *ids = &add->old->ids;
    size_t old = 0, next = 0;

    while (old < ids->n || next < add->rows->n) {
        int which = old == ids->n          ? 1
                    : next == add->rows->n ? -1
                                           : strcmp(bundle_name(ids, old),
                                                    add->rows->entries[order[next]].id);

        add->from[add->n] = which <= 0 ? (uint32_t)old : NONE;
        add->entry[add->n] = which >= 0 ? order[next] : NONE;
        if (which <= 0)
            add->to[old++] = (uint32_t)add->n;
        if (which >= 0)
            next++;
        add->n++;
    }
}

static enum fuser_err match_rows(struct add *add)
{
    size_t most = add->old->cells.n + add->rows->n;
    uint32_t *order;

    if (most > ROWS_MAX)
        return ferr_set(add->error, FUSER_TOO_LARGE, "over %u rows", ROWS_MAX);
    order = calloc(add->rows->n, sizeof *order);
    add->from = calloc(most, sizeof *add->from);
    add->entry = calloc(most, sizeof *add->entry);
    add->to = calloc(add->old->cells.n, sizeof *add->to);
    if (!order || !add->from || !add->entry || !add->to) {
        free(order);
        return ferr_nomem(add->error);
    }
    for (size_t i = 0; i < add->rows->n; i++)
        order[i] = (uint32_t)i;
    qsort_r(order, add->rows->n, sizeof *order, by_id, add->rows->entries);
    merge(add, order);
    free(order);
    return FUSER_OK;
}

/* -- what is frozen -- */

static enum fuser_err take_frozen(struct add *add)
{
    const struct fuser_bundle *old = add->old;
    struct fuser_bundle *bundle = add->bundle;
    size_t centroids;

    memcpy(bundle->text_version, old->text_version, sizeof bundle->text_version);
    bundle->settings = old->settings;
    bundle->n_embedders = old->n_embedders;
    memcpy(bundle->embedders, old->embedders, sizeof bundle->embedders);
    bundle->surface = old->surface;
    bundle->lexical = old->lexical ? lexical_ref(old->lexical) : NULL;
    bundle->labelled = old->labelled;
    bundle->approximate = old->approximate;
    memcpy(bundle->measured, old->measured, sizeof bundle->measured);
    bundle->head = old->head;
    bundle->generators = calloc(old->cells.n_generators, sizeof *bundle->generators);
    if (!bundle->generators ||
        attached_set(&bundle->attached, old->attached.origin, old->attached.text_extra,
                     old->attached.text_extra_bytes, add->error) ||
        (old->tuned && tuned_new(old->tuned, &bundle->tuned, add->error)))
        return ferr_nomem(add->error);
    memcpy(bundle->generators, old->generators,
           old->cells.n_generators * sizeof *bundle->generators);
    if (!old->centroids)
        return FUSER_OK;
    centroids =
        old->domains.n * old->embedders[old->cluster_embedder].dim * sizeof(float);
    bundle->cluster_embedder = old->cluster_embedder;
    bundle->centroids = malloc(centroids);
    if (!bundle->centroids)
        return ferr_nomem(add->error);
    memcpy(bundle->centroids, old->centroids, centroids);
    return FUSER_OK;
}

/* -- names and domains -- */

static const char *id_of(const struct add *add, size_t row)
{
    return add->from[row] != NONE ? bundle_name(&add->old->ids, add->from[row])
                                  : add->rows->entries[add->entry[row]].id;
}

/* n names one after the other, each with its 0. */
static enum fuser_err take_block(struct add *add, struct bundle_names *names,
                                 const char *const *name, size_t n)
{
    size_t bytes = 0, at = 0;
    char *block;

    for (size_t i = 0; i < n; i++)
        bytes += strlen(name[i]) + 1;
    if (bytes > UINT32_MAX)
        return ferr_set(add->error, FUSER_TOO_LARGE,
                        "the names of all rows are over 4 GB");
    block = malloc(bytes ? bytes : 1);
    if (!block)
        return ferr_nomem(add->error);
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(name[i]) + 1;

        memcpy(block + at, name[i], length);
        at += length;
    }
    return bundle_names_take(names, block, bytes, n) ? ferr_nomem(add->error) : FUSER_OK;
}

static enum fuser_err take_ids(struct add *add)
{
    const char **name = calloc(add->n, sizeof *name);
    enum fuser_err err;

    if (!name)
        return ferr_nomem(add->error);
    for (size_t row = 0; row < add->n; row++)
        name[row] = id_of(add, row);
    err = take_block(add, &add->bundle->ids, name, add->n);
    free(name);
    return err;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The label of a row, or NULL. What a row is labelled with when it is first seen stays. */
static const char *label_of(const struct add *add, size_t row)
{
    uint32_t from = add->from[row], domain;

    if (from == NONE)
        return add->rows->entries[add->entry[row]].domain;
    domain = add->old->domain_of[from];
    return domain != PRIOR_NO_DOMAIN ? bundle_name(&add->old->domains, domain) : NULL;
}

static enum fuser_err number_labels(struct add *add, const char **name)
{
    struct fuser_bundle *bundle = add->bundle;
    size_t n = 0, kept = 0;
    enum fuser_err err;

    for (size_t d = 0; d < add->old->domains.n; d++)
        name[n++] = bundle_name(&add->old->domains, d);
    for (size_t row = 0; row < add->n; row++)
        if (add->from[row] == NONE && label_of(add, row))
            name[n++] = label_of(add, row);
    qsort(name, n, sizeof *name, by_name);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || strcmp(name[kept - 1], name[i]) != 0)
            name[kept++] = name[i];
    if (kept > BUNDLE_DOMAINS_MAX)
        return ferr_set(add->error, FUSER_TOO_LARGE, "%zu domains: the limit is %d", kept,
                        BUNDLE_DOMAINS_MAX);
    err = take_block(add, &bundle->domains, name, kept);
    for (size_t row = 0; !err && row < add->n; row++) {
        const char *label = label_of(add, row);
        const char **found =
            label ? bsearch(&label, name, kept, sizeof *name, by_name) : NULL;

        bundle->domain_of[row] = found ? (uint32_t)(found - name) : PRIOR_NO_DOMAIN;
    }
    return err;
}

/* Clusters of the rows that come are the nearest ones: labels begin with a build. */
static enum fuser_err keep_clusters(struct add *add)
{
    struct fuser_bundle *bundle = add->bundle;
    uint32_t e = bundle->cluster_embedder;

    if (bundle_name_clusters(&bundle->domains, add->old->domains.n))
        return ferr_nomem(add->error);
    for (size_t row = 0; row < add->n; row++) {
        const float *vector =
            index_vectors(bundle->index[e]) + row * bundle->embedders[e].dim;

        if (add->from[row] != NONE)
            bundle->domain_of[row] = add->old->domain_of[add->from[row]];
        else if (bundle->centroids && bundle_has_vector(bundle, e, (uint32_t)row))
            bundle->domain_of[row] = bundle_cluster_of(bundle, vector);
        else
            bundle->domain_of[row] = PRIOR_NO_DOMAIN;
    }
    return FUSER_OK;
}

static enum fuser_err take_domains(struct add *add)
{
    const char **name = calloc(add->old->domains.n + add->rows->n + 1, sizeof *name);
    enum fuser_err err;

    add->bundle->domain_of = calloc(add->n, sizeof *add->bundle->domain_of);
    if (!name || !add->bundle->domain_of)
        err = ferr_nomem(add->error);
    else
        err = add->bundle->labelled ? number_labels(add, name) : keep_clusters(add);
    free(name);
    return err;
}

/* -- outcomes -- */

static void replace(float *cell, float value)
{
    if (!isnan(value))
        *cell = value;
}

/* What is known replaces what was known; what is not leaves it. */
static void take_entry(const struct add *add, size_t row)
{
    struct cells *cells = &add->bundle->cells;
    size_t cell = row * cells->n_generators;

    for (size_t g = 0; g < cells->n_generators; g++, cell++) {
        const struct fuser_cell *from;

        if (add->generator[g] < 0)
            continue;
        from = &add->rows->cells[add->entry[row] * add->rows->n_generators +
                                 (size_t)add->generator[g]];
        replace(&cells->quality[cell], from->quality);
        replace(&cells->input[cell], from->input_tokens);
        replace(&cells->output[cell], from->output_tokens);
        replace(&cells->latency[cell], from->latency_ms);
    }
}

/* A row that is new: nothing is known but the length of its prompt, one way or other. */
static void fill_input(const struct add *add, size_t row)
{
    const struct rows_entry *entry = &add->rows->entries[add->entry[row]];
    struct cells *cells = &add->bundle->cells;
    float *line = cells->input + row * cells->n_generators;
    double all = 0;

    for (size_t g = 0; g < cells->n_generators; g++)
        all += add->old->mean_input[g] / (double)cells->n_generators;
    cells_fill_input(line, cells->n_generators, entry->text ? entry->text_bytes : 0,
                     entry->text != NULL, (float)all);
}

static enum fuser_err take_cells(struct add *add)
{
    const struct cells *old = &add->old->cells;
    struct cells *cells = &add->bundle->cells;
    size_t n_generators = old->n_generators, line = n_generators * sizeof(float);

    cells->n = add->n;
    cells->n_generators = n_generators;
    cells->quality = calloc(add->n, line);
    cells->input = calloc(add->n, line);
    cells->output = calloc(add->n, line);
    cells->latency = calloc(add->n, line);
    if (!cells->quality || !cells->input || !cells->output || !cells->latency)
        return ferr_nomem(add->error);
    for (size_t row = 0; row < add->n; row++) {
        size_t cell = row * n_generators, from = (size_t)add->from[row] * n_generators;

        if (add->from[row] == NONE) {
            for (size_t g = 0; g < n_generators; g++)
                cells->quality[cell + g] = cells->input[cell + g] =
                    cells->output[cell + g] = cells->latency[cell + g] = NAN;
        } else {
            memcpy(cells->quality + cell, old->quality + from, line);
            memcpy(cells->input + cell, old->input + from, line);
            memcpy(cells->output + cell, old->output + from, line);
            memcpy(cells->latency + cell, old->latency + from, line);
        }
        if (add->entry[row] != NONE)
            take_entry(add, row);
        if (add->from[row] == NONE)
            fill_input(add, row);
    }
    return FUSER_OK;
}

/* -- vectors -- */

/* One row's vector into `to`; false: it has none, and `to` is zero. */
static bool row_vector(const void *context, size_t e, size_t row, float *to)
{
    const struct add *add = context;
    size_t dim = add->bundle->embedders[e].dim;
    const struct rows_entry *entry;
    struct glyphs glyphs;

    if (add->from[row] != NONE) {
        memcpy(to, index_vectors(add->old->index[e]) + add->from[row] * dim,
               dim * sizeof *to);
        return bundle_has_vector(add->old, e, add->from[row]);
    }
    memset(to, 0, dim * sizeof *to);
    entry = &add->rows->entries[add->entry[row]];
    if (add->bundle->embedders[e].kind == FUSER_REMOTE) {
        size_t r = (size_t)add->embedder[e];

        if (add->embedder[e] < 0 || !add->rows->vectors[r] ||
            !add->rows->present[r][add->entry[row]])
            return false;
        memcpy(to, add->rows->vectors[r] + add->entry[row] * dim, dim * sizeof *to);
        return true;
    }
    if (!entry->text)
        return false;
    glyphs_read(&glyphs, entry->text, entry->text_bytes);
    return bundle_embed(add->bundle, e, &glyphs, to);
}

static enum fuser_err take_vectors(struct add *add)
{
    enum fuser_err err = FUSER_OK;

    for (size_t e = 0; !err && e < add->bundle->n_embedders; e++)
        err = bundle_fill_index(add->bundle, e, row_vector, add, add->error);
    return err;
}

/* -- what rests on them -- */

static enum fuser_err take_table_rows(struct add *add)
{
    struct fuser_bundle *bundle = add->bundle;
    struct loo *loo = &bundle->loo;
    const struct loo *old = &add->old->loo;

    loo->rows = calloc(add->n, sizeof *loo->rows);
    if (!loo->rows)
        return ferr_nomem(add->error);
    if (add->how->tables) {
        loo->n_rows =
            loo_pick_rows(add->n, bundle->cells.n_generators, bundle->n_embedders,
                          bundle->settings.seed, loo->rows);
        return FUSER_OK;
    }
    loo->n_rows = old->n_rows;
    for (size_t i = 0; i < old->n_rows; i++)
        loo->rows[i] = add->to[old->rows[i]];
    return FUSER_OK;
}

/* One of embedder e's approximate indexes, grown. */
static enum fuser_err grow_index(struct add *add, size_t e, const struct approx *old,
                                 const uint32_t *among, size_t n, struct approx **ret)
{
    struct fuser_bundle *bundle = add->bundle;
    uint32_t *rows = calloc(n, sizeof *rows);
    struct approx_data data = { index_vectors(bundle->index[e]), bundle->embedders[e].dim,
                                rows, 0 };
    enum fuser_err err;

    if (!rows)
        return ferr_nomem(add->error);
    data.n = bundle_rows_with(bundle, e, among, n, rows);
    err = data.n > 0
              ? approx_grow(old, &data, add->from, ret, add->error)
              : ferr_set(add->error, FUSER_INVALID, "embedder '%s': no row has a vector",
                         bundle->embedders[e].name);
    free(rows);
    return err;
}

static enum fuser_err grow_indexes(struct add *add)
{
    struct fuser_bundle *bundle = add->bundle;
    enum fuser_err err = FUSER_OK;

    for (size_t e = 0; !err && bundle->approximate && e < bundle->n_embedders; e++) {
        err = grow_index(add, e, add->old->approx[e], NULL, add->n, &bundle->approx[e]);
        if (!err)
            err = grow_index(add, e, add->old->approx_table[e], bundle->loo.rows,
                             bundle->loo.n_rows, &bundle->approx_table[e]);
    }
    return err;
}

static enum fuser_err derive(struct add *add)
{
    return bundle_derive(add->bundle) ? ferr_nomem(add->error) : FUSER_OK;
}

static enum fuser_err grow_head(struct add *add)
{
    struct fuser_bundle *bundle = add->bundle;

    if (!bundle->head->grow)
        return FUSER_OK;
    return bundle->head->grow(add->old->head_state, bundle, add->from,
                              &bundle->head_state)
               ? ferr_nomem(add->error)
               : FUSER_OK;
}

static float *copied(const float *values, size_t n)
{
    float *copy = malloc(n * sizeof *copy);

    if (copy)
        memcpy(copy, values, n * sizeof *copy);
    return copy;
}

static enum fuser_err take_tables(struct add *add)
{
    struct fuser_bundle *bundle = add->bundle;
    struct loo *loo = &bundle->loo;
    const struct loo *old = &add->old->loo;
    size_t cells = old->n_subsets * old->n_rows * old->n_generators;
    enum fuser_err err = FUSER_OK;

    loo->plain = old->plain;
    if (add->how->tables) {
        err = loo_build(bundle, loo, false, add->how->progress,
                        add->how->progress_context, add->error);
    } else {
        loo->n_subsets = old->n_subsets;
        loo->n_generators = old->n_generators;
        loo->quality = copied(old->quality, cells);
        loo->tokens = copied(old->tokens, cells);
        loo->far = copied(old->far, old->n_subsets);
        if (!loo->quality || !loo->tokens || !loo->far)
            err = ferr_nomem(add->error);
    }
    if (!err && loo_derive(bundle, loo))
        err = ferr_nomem(add->error);
    return err;
}

static enum fuser_err take_probes(struct add *add)
{
    for (size_t e = 0; e < add->bundle->n_embedders; e++)
        for (size_t p = 0; p < FUSER_PROBES; p++) {
            const struct bundle_probe *old = &add->old->probes[e][p];
            struct bundle_probe *probe = &add->bundle->probes[e][p];

            if (!old->text)
                continue;
            probe->row = add->to[old->row];
            probe->text = strdup(old->text);
            if (!probe->text)
                return ferr_nomem(add->error);
        }
    return FUSER_OK;
}

static enum fuser_err identify(struct add *add)
{
    return bundle_set_id(add->bundle) ? ferr_nomem(add->error) : FUSER_OK;
}

/* Each needs what those before it made. */
static enum fuser_err (*const steps[])(struct add *) = {
    match_generators, match_embedders, match_rows,   take_frozen,     take_ids,
    take_cells,       take_vectors,    take_domains, take_table_rows, grow_indexes,
    derive,           grow_head,       take_tables,  take_probes,     identify,
};

enum fuser_err fuser_bundle_add(const struct fuser_bundle *bundle,
                                const struct fuser_rows *rows,
                                const struct fuser_add *how,
                                struct fuser_bundle **ret_bundle,
                                struct fuser_error *error)
{
    struct add add = { .old = bundle, .rows = rows, .how = how, .error = error };
    enum fuser_err err = FUSER_OK;

    ferr_clear(error);
    if (rows->n == 0)
        return ferr_set(error, FUSER_INVALID, "no rows");
    add.bundle = bundle_new();
    if (!add.bundle)
        return ferr_nomem(error);
    for (size_t i = 0; !err && i < sizeof steps / sizeof *steps; i++)
        err = steps[i](&add);
    free(add.from);
    free(add.entry);
    free(add.to);
    if (err) {
        fuser_bundle_unref(add.bundle);
        return err;
    }
    *ret_bundle = add.bundle;
    return FUSER_OK;
}
