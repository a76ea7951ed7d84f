/* approx.c - an approximate search over rows of one embedder.
 *
 * A narrowed vector is the projection on the leading principal directions of a sample: that
 * never makes a distance longer, and the exact look afterwards mends what it makes shorter.
 * What must always hold: every list is below n_lists, or FAISS would write beyond its arrays.
 */
#include "fuser/approx.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/err.h"
#include "fuser/nearest.h"
#include "fuser/random.h"
#include "fuser/svd.h"

#define NARROW_SAMPLE  4096 /* rows that the projection is fitted to */
#define LISTS_PER_ROOT 4    /* lists: four times the root of the rows, as FAISS advises */
#define ROWS_PER_LIST  39   /* rows that k-means wants to see for each */
#define ROUNDS         10   /* of k-means: more moves hardly any row */
#define LISTS_SHARE    4    /* reading more than a quarter of the lists is a scan */
#define READ_MAX       32768 /* rows read for one query, whatever the lists are like */

void approx_free(struct approx *approx)
{
    if (!approx)
        return;
    index_graph_free(approx->graph);
    coarse_release(&approx->codes);
    free(approx->start);
    free(approx->listed);
    free(approx->rows);
    free(approx->projection);
    free(approx->centroids);
    free(approx->list);
    free(approx);
}

static struct approx *approx_new(const struct approx_data *data, enum approx_kind kind,
                                 size_t width)
{
    struct approx *approx = calloc(1, sizeof *approx);

    if (!approx)
        return NULL;
    approx->kind = kind;
    approx->n = data->n;
    approx->dim = data->dim;
    approx->width = width;
    approx->effort = 1;
    approx->rows = calloc(data->n, sizeof *approx->rows);
    if (!approx->rows) {
        approx_free(approx);
        return NULL;
    }
    memcpy(approx->rows, data->rows, data->n * sizeof *approx->rows);
    return approx;
}

static void narrow(const struct approx *approx, const float *vector, float *ret)
{
    if (approx->projection)
        kernel_project(approx->projection, approx->width, approx->dim, vector, ret);
    else
        memcpy(ret, vector, approx->dim * sizeof *ret);
}

/* All rows, narrowed: n x width, owned by the caller. */
static float *narrow_all(const struct approx *approx, const struct approx_data *data)
{
    float *all = malloc(data->n * approx->width * sizeof *all);

    for (size_t i = 0; all && i < data->n; i++)
        narrow(approx, data->vectors + data->rows[i] * data->dim,
               all + i * approx->width);
    return all;
}

/* A sample of the vectors about their mean, as the decomposition wants them. */
struct sample {
    struct svd_sparse matrix;
    size_t *start;
    uint32_t *rows, *column;
    float *value, *mean;
};

static void sample_release(struct sample *sample)
{
    free(sample->start);
    free(sample->rows);
    free(sample->column);
    free(sample->value);
    free(sample->mean);
}

static bool sample_take(struct sample *sample, const struct approx_data *data,
                        uint64_t seed)
{
    size_t m = data->n < NARROW_SAMPLE ? data->n : NARROW_SAMPLE, dim = data->dim;
    struct rng rng = rng_seeded(seed);

    memset(sample, 0, sizeof *sample);
    sample->start = calloc(m + 1, sizeof *sample->start);
    sample->rows = calloc(m, sizeof *sample->rows);
    sample->column = calloc(m * dim, sizeof *sample->column);
    sample->value = calloc(m * dim, sizeof *sample->value);
    sample->mean = calloc(dim, sizeof *sample->mean);
    if (!sample->start || !sample->rows || !sample->column || !sample->value ||
        !sample->mean)
        return false;
    rng_sample(&rng, data->n, m, sample->rows);
    for (size_t i = 0; i < m; i++)
        kernel_axpy(data->vectors + data->rows[sample->rows[i]] * dim, dim,
                    1.0f / (float)m, sample->mean);
    for (size_t i = 0; i < m; i++) {
        const float *vector = data->vectors + data->rows[sample->rows[i]] * dim;

        sample->start[i + 1] = (i + 1) * dim;
        for (size_t d = 0; d < dim; d++) {
            sample->column[i * dim + d] = (uint32_t)d;
            sample->value[i * dim + d] = vector[d] - sample->mean[d];
        }
    }
    sample->matrix =
        (struct svd_sparse){ m, dim, sample->start, sample->column, sample->value };
    return true;
}

/* The leading principal directions; fewer than wanted where the vectors span no more. */
static enum fuser_err fit_projection(struct approx *approx,
                                     const struct approx_data *data, uint64_t seed,
                                     struct fuser_error *error)
{
    size_t dim = data->dim, width = approx->width, rank = 0;
    float *directions = calloc(dim * width, sizeof *directions);
    struct sample sample;
    enum fuser_err err = FUSER_NOMEM;

    if (sample_take(&sample, data, seed) && directions)
        err = svd_right(&sample.matrix, width, seed, directions, &rank, error);
    if (!err && rank > 0) {
        approx->projection = calloc(rank * dim, sizeof *approx->projection);
        if (!approx->projection)
            err = FUSER_NOMEM;
        for (size_t w = 0; !err && w < rank; w++)
            for (size_t d = 0; d < dim; d++)
                approx->projection[w * dim + d] = directions[d * width + w];
    }
    approx->width = rank > 0 ? rank : dim;
    sample_release(&sample);
    free(directions);
    return err == FUSER_NOMEM ? ferr_nomem(error) : err;
}

static size_t lists_for(size_t n)
{
    size_t lists = 1;

    while (lists < APPROX_LISTS_MAX &&
           lists * lists * 2 <= LISTS_PER_ROOT * LISTS_PER_ROOT * n)
        lists *= 2;
    while (lists > 1 && lists * ROWS_PER_LIST > n)
        lists /= 2;
    return lists;
}

static enum fuser_err fit_lists(struct approx *approx, const float *vectors,
                                uint64_t seed, struct fuser_error *error)
{
    size_t lists = lists_for(approx->n), width = approx->width;
    size_t m = lists * ROWS_PER_LIST < approx->n ? lists * ROWS_PER_LIST : approx->n;
    struct rng rng = rng_seeded(seed);
    uint32_t *rows = calloc(m, sizeof *rows);
    float *sample = calloc(m * width, sizeof *sample);
    enum fuser_err err = FUSER_NOMEM;

    approx->n_lists = lists;
    approx->centroids = calloc(lists * width, sizeof *approx->centroids);
    approx->list = calloc(approx->n, sizeof *approx->list);
    if (!rows || !sample || !approx->centroids || !approx->list) {
        (void)ferr_nomem(error);
        goto done;
    }
    rng_sample(&rng, approx->n, m, rows);
    for (size_t i = 0; i < m; i++)
        memcpy(sample + i * width, vectors + rows[i] * width, width * sizeof *sample);
    err = index_cluster(sample, m, width, lists, ROUNDS, approx->centroids, error);
    if (!err)
        err = index_lists(approx->centroids, lists, width, vectors, approx->n,
                          approx->list, error);
done:
    free(rows);
    free(sample);
    return err;
}

/* Rows and codes by list. */
static enum fuser_err derive_lists(struct approx *approx, const float *vectors,
                                   struct fuser_error *error)
{
    size_t width = approx->width, n = approx->n;
    float *ordered = malloc(n * width * sizeof *ordered);
    enum fuser_err err = FUSER_NOMEM;

    approx->start = calloc(approx->n_lists + 2, sizeof *approx->start);
    approx->listed = calloc(n, sizeof *approx->listed);
    if (!ordered || !approx->start || !approx->listed)
        goto done;
    for (size_t i = 0; i < n; i++)
        approx->start[approx->list[i] + 2]++;
    for (size_t l = 2; l < approx->n_lists + 2; l++)
        approx->start[l] += approx->start[l - 1];
    /* start[l + 1] is where the next row of list l goes, and in the end where the list ends. */
    for (size_t i = 0; i < n; i++) {
        uint32_t place = approx->start[approx->list[i] + 1]++;

        approx->listed[place] = approx->rows[i];
        memcpy(ordered + place * width, vectors + i * width, width * sizeof *ordered);
    }
    err = coarse_init(&approx->codes, ordered, n, width);
done:
    free(ordered);
    return err ? ferr_nomem(error) : FUSER_OK;
}

/* Makes of what is fitted what is searched; vectors: n x width. */
static enum fuser_err derive(struct approx *approx, const float *vectors,
                             struct fuser_error *error)
{
    enum fuser_err err;

    if (approx->kind == APPROX_LISTS)
        return derive_lists(approx, vectors, error);
    err = index_graph_new(vectors, approx->n, approx->width, &approx->graph, error);
    return err ? err : index_graph_tune(approx->graph, approx->effort, error);
}

enum fuser_err approx_fit(const struct approx_data *data, enum approx_kind kind,
                          size_t width, uint64_t seed, struct approx **ret_approx,
                          struct fuser_error *error)
{
    struct approx *approx = approx_new(data, kind, width);
    float *vectors = NULL;
    enum fuser_err err = FUSER_OK;

    assert(data->n > 0 && width > 0 && width <= data->dim);
    if (!approx)
        return ferr_nomem(error);
    if (width < data->dim)
        err = fit_projection(approx, data, seed, error);
    if (!err) {
        vectors = narrow_all(approx, data);
        err = vectors ? FUSER_OK : ferr_nomem(error);
    }
    if (!err && kind == APPROX_LISTS)
        err = fit_lists(approx, vectors, seed, error);
    if (!err)
        err = derive(approx, vectors, error);
    free(vectors);
    if (err) {
        approx_free(approx);
        return err;
    }
    *ret_approx = approx;
    return FUSER_OK;
}

/* The frozen part of `old`. */
static bool copy_trained(struct approx *approx, const struct approx *old)
{
    size_t projection = old->width * old->dim * sizeof *old->projection;
    size_t centroids = old->n_lists * old->width * sizeof *old->centroids;

    approx->n_lists = old->n_lists;
    approx->effort = old->effort;
    if (old->projection) {
        approx->projection = malloc(projection);
        if (!approx->projection)
            return false;
        memcpy(approx->projection, old->projection, projection);
    }
    if (old->n_lists == 0)
        return true;
    approx->centroids = malloc(centroids);
    approx->list = calloc(approx->n, sizeof *approx->list);
    if (!approx->centroids || !approx->list)
        return false;
    memcpy(approx->centroids, old->centroids, centroids);
    return true;
}

/* Rows that `old` knew keep their lists, the others get the nearest centroid's. */
static enum fuser_err grow_lists(struct approx *approx, const struct approx *old,
                                 const uint32_t *from, const float *vectors,
                                 struct fuser_error *error)
{
    size_t width = approx->width, n_fresh = 0, at = 0;
    uint32_t *fresh = calloc(approx->n, sizeof *fresh);
    uint32_t *list = calloc(approx->n, sizeof *list);
    float *block = NULL;
    enum fuser_err err = FUSER_OK;

    if (!fresh || !list) {
        err = ferr_nomem(error);
        goto done;
    }
    for (size_t i = 0; i < approx->n; i++) {
        uint32_t row = from[approx->rows[i]];

        while (row != KERNEL_NO_ROW && at < old->n && old->rows[at] < row)
            at++;
        if (row != KERNEL_NO_ROW && at < old->n && old->rows[at] == row)
            approx->list[i] = old->list[at];
        else
            fresh[n_fresh++] = (uint32_t)i;
    }
    block = malloc((n_fresh ? n_fresh : 1) * width * sizeof *block);
    if (!block) {
        err = ferr_nomem(error);
        goto done;
    }
    for (size_t i = 0; i < n_fresh; i++)
        memcpy(block + i * width, vectors + fresh[i] * width, width * sizeof *block);
    err = index_lists(approx->centroids, approx->n_lists, width, block, n_fresh, list,
                      error);
    for (size_t i = 0; !err && i < n_fresh; i++)
        approx->list[fresh[i]] = list[i];
done:
    free(fresh);
    free(list);
    free(block);
    return err;
}

enum fuser_err approx_grow(const struct approx *old, const struct approx_data *data,
                           const uint32_t *from, struct approx **ret_approx,
                           struct fuser_error *error)
{
    struct approx *approx = approx_new(data, old->kind, old->width);
    float *vectors = NULL;
    enum fuser_err err = FUSER_OK;

    if (!approx || !copy_trained(approx, old))
        err = ferr_nomem(error);
    if (!err) {
        vectors = narrow_all(approx, data);
        err = vectors ? FUSER_OK : ferr_nomem(error);
    }
    if (!err && approx->n_lists > 0)
        err = grow_lists(approx, old, from, vectors, error);
    if (!err)
        err = derive(approx, vectors, error);
    free(vectors);
    if (err) {
        approx_free(approx);
        return err;
    }
    *ret_approx = approx;
    return FUSER_OK;
}

enum fuser_err approx_tune(struct approx *approx, uint32_t effort,
                           struct fuser_error *error)
{
    enum fuser_err err =
        approx->graph ? index_graph_tune(approx->graph, effort, error) : FUSER_OK;

    if (!err)
        approx->effort = effort;
    return err;
}

static size_t find_in_graph(const struct approx *approx, const float *narrowed, size_t k,
                            struct near *ret)
{
    uint32_t place[INDEX_FIND_MAX];
    size_t found;

    /* A graph's search list is its candidates: more of them would be more effort. */
    k = k < approx->effort ? k : approx->effort;
    found = index_graph_find(approx->graph, narrowed, k, place);
    for (size_t i = 0; i < found; i++)
        ret[i] = (struct near){ 0, approx->rows[place[i]] };
    return found;
}

/* The lists that are nearest to the query, up to so many rows as there is room for. */
struct reading {
    float distance[READ_MAX];
    uint32_t row[READ_MAX];
    size_t n;
};

static void read_list(const struct approx *approx, uint32_t list,
                      const struct coarse_query *query, struct reading *reading)
{
    size_t first = approx->start[list], n = approx->start[list + 1] - first;

    if (n > READ_MAX - reading->n)
        n = READ_MAX - reading->n;
    memset(reading->distance + reading->n, 0, n * sizeof *reading->distance);
    coarse_add(&approx->codes, first, n, query, reading->distance + reading->n);
    memcpy(reading->row + reading->n, approx->listed + first, n * sizeof *reading->row);
    reading->n += n;
}

/* The k nearest of what was read, by their narrowed vectors, and half as many again: whoever asks looks at
 * the whole ones. */
static size_t pick(const struct reading *reading, size_t k, struct near *ret)
{
    struct kernel_sample sample;
    size_t found = 0;
    float bound;

    if (reading->n == 0)
        return 0;
    kernel_sample(reading->distance, reading->n, &sample);
    bound = kernel_bound(&sample, k + k / 2);
    for (size_t i = 0; i < reading->n && found < APPROX_ROOM(k); i++) {
        ret[found] = (struct near){ 0, reading->row[i] };
        found += reading->distance[i] <= bound;
    }
    return found;
}

static size_t find_in_lists(const struct approx *approx, const float *narrowed, size_t k,
                            struct near *ret)
{
    float distance[APPROX_LISTS_MAX];
    struct near nearest[APPROX_LISTS_MAX / LISTS_SHARE];
    int16_t code[FUSER_MAX_DIM];
    struct coarse_query query;
    struct reading reading;
    size_t n;

    memset(distance, 0, approx->n_lists * sizeof *distance);
    kernel_l2_add(approx->centroids, approx->n_lists, approx->width, narrowed, distance);
    n = nearest_exact(distance, approx->n_lists, approx->effort, KERNEL_NO_ROW, nearest);
    coarse_ask(&approx->codes, narrowed, code, &query);
    reading.n = 0;
    for (size_t i = 0; i < n; i++)
        read_list(approx, nearest[i].row, &query, &reading);
    return pick(&reading, k, ret);
}

size_t approx_find(const struct approx *approx, const float *query, size_t k,
                   struct near *ret)
{
    float narrowed[FUSER_MAX_DIM];

    narrow(approx, query, narrowed);
    return approx->graph ? find_in_graph(approx, narrowed, k, ret)
                         : find_in_lists(approx, narrowed, k, ret);
}

uint32_t approx_effort_max(const struct approx *approx)
{
    size_t lists = approx->n_lists / LISTS_SHARE;

    return approx->kind == APPROX_GRAPH ? INDEX_FIND_MAX
           : lists > 0                  ? (uint32_t)lists
                                        : 1;
}

/* -- in the file -- */

void approx_save(const struct approx *approx, struct sink *sink)
{
    sink_u32(sink, approx->kind);
    sink_u32(sink, (uint32_t)approx->n);
    sink_u32(sink, (uint32_t)approx->width);
    sink_u32(sink, approx->projection != NULL);
    sink_u32(sink, (uint32_t)approx->n_lists);
    sink_u32(sink, approx->effort);
    if (approx->projection)
        sink_bytes(sink, approx->projection, approx->width * approx->dim * sizeof(float));
    sink_bytes(sink, approx->centroids, approx->n_lists * approx->width * sizeof(float));
    if (approx->n_lists)
        sink_bytes(sink, approx->list, approx->n * sizeof *approx->list);
}

static bool load_lists(struct approx *approx, struct source *source)
{
    size_t floats = approx->n_lists * approx->width;

    approx->centroids = source_array(source, floats, sizeof(float));
    approx->list = source_array(source, approx->n, sizeof *approx->list);
    if (source->failed || !wire_floats_within(approx->centroids, floats, -4, 4, false))
        return false;
    for (size_t i = 0; i < approx->n; i++)
        if (approx->list[i] >= approx->n_lists)
            return false;
    return true;
}

static bool load_numbers(struct approx *approx, struct source *source, bool narrowed)
{
    size_t floats = approx->width * approx->dim;

    if (narrowed) {
        approx->projection = source_array(source, floats, sizeof(float));
        if (source->failed ||
            !wire_floats_within(approx->projection, floats, -1.001f, 1.001f, false))
            return false;
    }
    return approx->n_lists == 0 || load_lists(approx, source);
}

enum fuser_err approx_load(struct source *source, const struct approx_data *data,
                           struct approx **ret_approx, struct fuser_error *error)
{
    uint32_t kind = source_u32(source), n = source_u32(source),
             width = source_u32(source);
    uint32_t narrowed = source_u32(source), n_lists = source_u32(source);
    uint32_t effort = source_u32(source);
    struct approx *approx = NULL;
    float *vectors = NULL;
    enum fuser_err err = FUSER_CORRUPT;

    if (source->failed || kind > APPROX_GRAPH || n != data->n || n == 0 || width == 0 ||
        width > data->dim || narrowed > 1 || (!narrowed && width != data->dim) ||
        n_lists > APPROX_LISTS_MAX || (n_lists == 0) != (kind == APPROX_GRAPH) ||
        effort == 0)
        return FUSER_CORRUPT;
    approx = approx_new(data, (enum approx_kind)kind, width);
    if (!approx)
        return FUSER_NOMEM;
    approx->n_lists = n_lists;
    approx->effort = effort;
    if (effort <= approx_effort_max(approx) && load_numbers(approx, source, narrowed)) {
        vectors = narrow_all(approx, data);
        err = vectors ? derive(approx, vectors, error) : FUSER_NOMEM;
    }
    free(vectors);
    if (err) {
        approx_free(approx);
        return err;
    }
    *ret_approx = approx;
    return FUSER_OK;
}
