/* choose.c - which index a bundle is searched by: what finds enough, in the least time.
 *
 *   for each embedder    some of its rows as queries, their 32 nearest by a whole scan
 *     for each plan      fit, then look harder and harder until enough of them are found
 *
 * A plan is taken when it finds APPROX_ENOUGH of them in less than half the time of reading
 * all rows; of several the fastest. One embedder without such a plan leaves the bundle flat:
 * heads see the distances of all rows or of a few, never a mixture.
 *
 * What must always hold: without a clock the choice follows from rows and seed alone.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/bundle.h"
#include "fuser/err.h"
#include "fuser/random.h"

#define QUERIES      128
#define NEAREST      32
#define ENOUGH       0.97  /* of the 32: measured on 128 queries it holds .95 elsewhere */
#define GRAPH_ROWS   50000 /* beyond, a graph takes a minute to grow, at every load */
#define NARROW       64
#define LESS_NARROW  128
#define PLANS        3
#define LOT          256 /* rows that stay in the cache while all queries look at them */
#define FLAT_SAMPLE  32768 /* rows that are read to time a scan */
#define TIMES_FASTER 2

bool bundle_may_approximate(const struct fuser_bundle *bundle)
{
    return bundle->settings.k * BUNDLE_REACH_FACTOR <= APPROX_OVER &&
           bundle->settings.walk_m * 2 <= APPROX_TABLE;
}

/* Queries and what is nearest to them. */
struct truth {
    const struct fuser_bundle *bundle;
    size_t e, n_queries;
    uint32_t query[QUERIES]; /* rows */
    struct near near[QUERIES][NEAREST];
    float within[QUERIES]; /* distance of the 32nearest */
    struct approx_data data;
};

struct plan {
    enum approx_kind kind;
    size_t width;
};

static const float *vector_of(const struct truth *truth, size_t q)
{
    return truth->data.vectors + truth->query[q] * truth->data.dim;
}

/* Whole scan for all queries at once. */
static void find_truth(struct truth *truth)
{
    size_t found[QUERIES] = { 0 };
    struct near lot[LOT];

    for (size_t first = 0; first < truth->data.n; first += LOT) {
        size_t n = truth->data.n - first < LOT ? truth->data.n - first : LOT;

        for (size_t q = 0; q < truth->n_queries; q++) {
            for (size_t i = 0; i < n; i++)
                lot[i] = (struct near){ 0, truth->data.rows[first + i] };
            kernel_l2_near(truth->data.vectors, truth->data.dim, vector_of(truth, q), lot,
                           n);
            for (size_t i = 0; i < n; i++)
                if (lot[i].row != truth->query[q])
                    kernel_offer(truth->near[q], &found[q], NEAREST, lot[i]);
        }
    }
    for (size_t q = 0; q < truth->n_queries; q++) {
        assert(found[q] == NEAREST);
        kernel_sort(truth->near[q], NEAREST);
        truth->within[q] = truth->near[q][NEAREST - 1].distance;
    }
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

/* Recall of the nearest 32 at the present effort, rows at equal distances being as good as each
 * other, and the median time of a search. */
static void try_effort(const struct truth *truth, const struct approx *approx,
                       size_t over, double (*now_us)(void), struct bundle_measured *ret)
{
    const float *vectors[FUSER_MAX_EMBEDDERS] = { NULL };
    struct near near[APPROX_ROOM(APPROX_OVER)];
    double us[QUERIES], hits = 0;

    for (size_t q = 0; q < truth->n_queries; q++) {
        double begin = now_us ? now_us() : NAN;
        size_t n = approx_find(approx, vector_of(truth, q), over, near), at = 0;

        vectors[truth->e] = vector_of(truth, q);
        n = bundle_order(truth->bundle, 1u << truth->e, vectors, truth->query[q], near,
                         n);
        us[q] = now_us ? now_us() - begin : NAN;
        while (at < n && at < NEAREST && near[at].distance <= truth->within[q])
            at++;
        hits += (double)at;
    }
    qsort(us, truth->n_queries, sizeof *us, by_value);
    ret->recall = hits / (double)(truth->n_queries * NEAREST);
    ret->search_us = us[truth->n_queries / 2];
}

static uint32_t effort_after(const struct approx *approx, uint32_t effort)
{
    if (approx->kind == APPROX_GRAPH)
        return effort == 0 ? BUNDLE_NEAR_WIDE : effort * 4 / 3;
    return effort < 4 ? effort + 1 : effort * 4 / 3;
}

/* Looks harder and harder until enough is found, or it takes too long. False: it never does. */
static enum fuser_err tune(const struct truth *truth, struct approx *approx, size_t over,
                           double flat_us, double (*now_us)(void),
                           struct bundle_measured *ret, bool *ret_enough,
                           struct fuser_error *error)
{
    struct bundle_measured seen = { 0, NAN, flat_us };
    uint32_t limit = approx_effort_max(approx);

    *ret_enough = false;
    for (uint32_t effort = effort_after(approx, 0); effort <= limit;
         effort = effort_after(approx, effort)) {
        enum fuser_err err = approx_tune(approx, effort, error);

        if (err)
            return err;
        try_effort(truth, approx, over, now_us, &seen);
        *ret = seen;
        *ret_enough = seen.recall >= ENOUGH;
        if (*ret_enough || seen.search_us * TIMES_FASTER > flat_us)
            break;
    }
    *ret_enough = *ret_enough && !(seen.search_us * TIMES_FASTER > flat_us);
    return FUSER_OK;
}

/* What reading all rows takes, from reading some. NAN without a clock. */
static enum fuser_err time_flat(const struct truth *truth, double (*now_us)(void),
                                double *ret_us, struct fuser_error *error)
{
    size_t n =
        truth->bundle->cells.n < FLAT_SAMPLE ? truth->bundle->cells.n : FLAT_SAMPLE;
    struct coarse coarse;
    float *acc;
    int16_t code[FUSER_MAX_DIM];
    struct coarse_query query;
    double us[5];

    *ret_us = NAN;
    if (!now_us)
        return FUSER_OK;
    if (coarse_init(&coarse, truth->data.vectors, n, truth->data.dim))
        return ferr_nomem(error);
    acc = calloc(n, sizeof *acc);
    if (!acc) {
        coarse_release(&coarse);
        return ferr_nomem(error);
    }
    for (size_t i = 0; i < sizeof us / sizeof *us; i++) {
        double begin = now_us();

        coarse_ask(&coarse, vector_of(truth, i % truth->n_queries), code, &query);
        coarse_add(&coarse, 0, n, &query, acc);
        us[i] = now_us() - begin;
    }
    qsort(us, sizeof us / sizeof *us, sizeof *us, by_value);
    *ret_us = us[2] * (double)truth->bundle->cells.n / (double)n;
    free(acc);
    coarse_release(&coarse);
    return FUSER_OK;
}

static size_t plans_for(size_t n, size_t dim, struct plan plans[PLANS])
{
    size_t count = 0, narrow = dim < NARROW ? dim : NARROW;

    plans[count++] = (struct plan){ APPROX_LISTS, narrow };
    if (dim > NARROW)
        plans[count++] =
            (struct plan){ APPROX_LISTS, dim < LESS_NARROW ? dim : LESS_NARROW };
    if (n <= GRAPH_ROWS)
        plans[count++] = (struct plan){ APPROX_GRAPH, narrow };
    return count;
}

/* Rows and vectors of embedder e, of all or `among`; data.rows is owned by the caller. */
static enum fuser_err truth_init(struct truth *truth, const struct fuser_bundle *bundle,
                                 size_t e, const uint32_t *among, size_t n,
                                 struct fuser_error *error)
{
    struct rng rng = rng_seeded(bundle->settings.seed ^ 0x696E6465);
    uint32_t *rows = calloc(n, sizeof *rows);

    if (!rows)
        return ferr_nomem(error);
    memset(truth, 0, sizeof *truth);
    truth->bundle = bundle;
    truth->e = e;
    truth->data =
        (struct approx_data){ index_vectors(bundle->index[e]), bundle->embedders[e].dim,
                              rows, bundle_rows_with(bundle, e, among, n, rows) };
    if (truth->data.n <= NEAREST)
        return FUSER_OK; /* no queries: nothing will do */
    truth->n_queries = truth->data.n < QUERIES ? truth->data.n : QUERIES;
    rng_sample(&rng, truth->data.n, truth->n_queries, truth->query);
    for (size_t q = 0; q < truth->n_queries; q++)
        truth->query[q] = rows[truth->query[q]];
    find_truth(truth);
    return FUSER_OK;
}

/* The fastest plan that finds enough among all rows, or NULL. */
static enum fuser_err choose_main(struct fuser_bundle *bundle, const struct truth *truth,
                                  double (*now_us)(void), struct fuser_error *error)
{
    struct bundle_measured *best = &bundle->measured[truth->e];
    struct plan plans[PLANS];
    size_t n_plans = plans_for(truth->data.n, truth->data.dim, plans);
    enum fuser_err err = time_flat(truth, now_us, &best->flat_us, error);

    for (size_t p = 0; !err && p < n_plans; p++) {
        struct bundle_measured seen = { 0 };
        struct approx *approx = NULL;
        bool enough = false;

        err = approx_fit(&truth->data, plans[p].kind, plans[p].width,
                         bundle->settings.seed, &approx, error);
        if (!err)
            err = tune(truth, approx, APPROX_OVER, best->flat_us, now_us, &seen, &enough,
                       error);
        if (!err && enough &&
            (!bundle->approx[truth->e] || seen.search_us < best->search_us)) {
            approx_free(bundle->approx[truth->e]);
            bundle->approx[truth->e] = approx;
            *best = seen;
            approx = NULL;
        }
        approx_free(approx);
        if (bundle->approx[truth->e] && !now_us)
            break;
    }
    return err;
}

/* Lists over the rows of the tables, as narrow as those over all rows. */
static enum fuser_err choose_table(struct fuser_bundle *bundle, const struct truth *truth,
                                   struct fuser_error *error)
{
    struct bundle_measured seen = { 0 };
    size_t width = bundle->approx[truth->e]->width;
    bool enough = false;
    enum fuser_err err =
        approx_fit(&truth->data, APPROX_LISTS, width, bundle->settings.seed,
                   &bundle->approx_table[truth->e], error);

    /* Where it never is enough the hardest look has to do: its candidates weigh losses. */
    return err ? err
               : tune(truth, bundle->approx_table[truth->e], APPROX_TABLE, NAN, NULL,
                      &seen, &enough, error);
}

static enum fuser_err choose_one(struct fuser_bundle *bundle, size_t e,
                                 double (*now_us)(void), struct fuser_error *error)
{
    struct truth *truth = calloc(1, sizeof *truth);
    const struct loo *loo = &bundle->loo;
    enum fuser_err err;

    if (!truth)
        return ferr_nomem(error);
    err = truth_init(truth, bundle, e, NULL, bundle->cells.n, error);
    if (!err && truth->n_queries > 0)
        err = choose_main(bundle, truth, now_us, error);
    if (!err && bundle->approx[e]) {
        free((void *)truth->data.rows);
        truth->data.rows = NULL;
        err = truth_init(truth, bundle, e, loo->rows, loo->n_rows, error);
        if (!err && truth->n_queries > 0)
            err = choose_table(bundle, truth, error);
    }
    free((void *)truth->data.rows);
    free(truth);
    return err;
}

static void stay_flat(struct fuser_bundle *bundle)
{
    bundle->approximate = false;
    for (size_t e = 0; e < bundle->n_embedders; e++) {
        approx_free(bundle->approx[e]);
        approx_free(bundle->approx_table[e]);
        bundle->approx[e] = bundle->approx_table[e] = NULL;
        bundle->measured[e].recall = 1;
        bundle->measured[e].search_us = NAN;
    }
}

enum fuser_err bundle_choose_index(struct fuser_bundle *bundle,
                                   const struct fuser_build *how,
                                   struct fuser_error *error)
{
    size_t flat_rows = how->flat_rows ? how->flat_rows : BUNDLE_FLAT_ROWS;
    enum fuser_err err = FUSER_OK;

    for (size_t e = 0; e < bundle->n_embedders; e++)
        bundle->measured[e] = (struct bundle_measured){ 1, NAN, NAN };
    /* A search for more neighbours than candidates are fetched would not be one. */
    if (bundle->cells.n < flat_rows || !bundle_may_approximate(bundle))
        return FUSER_OK;
    bundle->approximate = true;
    for (size_t e = 0; !err && bundle->approximate && e < bundle->n_embedders; e++) {
        if (how->progress && !how->progress(how->progress_context, "index",
                                            (double)e / (double)bundle->n_embedders))
            return ferr_set(error, FUSER_INVALID, "given up");
        err = choose_one(bundle, e, how->now_us, error);
        bundle->approximate = bundle->approx[e] && bundle->approx_table[e];
    }
    if (!bundle->approximate)
        stay_flat(bundle);
    return err;
}
