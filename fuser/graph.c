/* graph.c - FrugalFoE as a graph around one prompt: how far is the greedy walk from the best?
 *
 *        {} --price a--> {a} --price b--> {a,b}          nodes: subsets of the embedders
 *         |               |                 |            edges: price of one more, in loss
 *         +----- L({}) ---+---- L({a}) -----+--> answer  terminal edges: loss of answering
 *
 * The walk goes down this graph without back-tracking and without seeing what it has not
 * bought. Here every vector is there, so every terminal edge is measured among the prompt's
 * neighbours under that very subset. Prices add up whatever the order: the shortest path to the
 * answer is the subset whose prices and loss are least, and all of 2^6 are looked at.
 *
 * What must always hold: on the nodes that the walk saw, the terminal edge is what the walk saw
 * there, to the bit, wherever its search is exact.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/err.h"
#include "fuser/session.h"

_Static_assert(sizeof((struct fuser_graph *)0)->loss / sizeof(double) ==
                   (size_t)1 << FUSER_MAX_EMBEDDERS,
               "a terminal edge for every subset");

struct work {
    const struct fuser_session *session;
    uint32_t members; /* as the bundle counts */
    float *distance;  /* n_embedders x n */
    float *sum;       /* n */
    struct near *near;
    struct loo_losses *losses;
};

/* The prompt's vector by embedder e of the bundle into `to`, at unit length; false: it has none. */
static bool vector_of(const struct fuser_session *session, const float *const *vectors,
                      size_t e, float *to)
{
    const struct fuser_bundle *bundle = session->fuser->bundle;
    const struct session_embedder *embedder = &session->embedders[e];
    size_t dim = bundle->embedders[e].dim;
    struct glyphs glyphs;

    if (session->subset >> e & 1) {
        memcpy(to, session->vectors[e], dim * sizeof *to);
        return true;
    }
    if (embedder->named < 0 || !embedder->open)
        return false;
    if (bundle->embedders[e].kind != FUSER_REMOTE) {
        glyphs_read(&glyphs, session->text, session->text_bytes);
        return bundle_embed(bundle, e, &glyphs, to);
    }
    if (!vectors || !vectors[embedder->named])
        return false;
    memcpy(to, vectors[embedder->named], dim * sizeof *to);
    return kernel_unit(to, dim);
}

static enum fuser_err measure(struct work *work, const float *const *vectors,
                              struct fuser_error *error)
{
    const struct fuser_bundle *bundle = work->session->fuser->bundle;
    size_t n = bundle->cells.n;

    for (size_t e = 0; e < bundle->n_embedders; e++) {
        float *vector = malloc(bundle->embedders[e].dim * sizeof *vector);

        if (!vector)
            return ferr_nomem(error);
        if (vector_of(work->session, vectors, e, vector)) {
            work->members |= 1u << e;
            bundle_distances(bundle, e, 0, n, vector, work->distance + e * n);
        }
        free(vector);
    }
    return FUSER_OK;
}

/* What remains below the ceiling once a subset of the bundle's embedders is paid for, or -1. */
static int64_t remaining_after(const struct fuser_session *session, uint32_t subset)
{
    int64_t remaining = session->ceiling_pico;
    struct loo_choice choice;

    if (remaining == INT64_MAX)
        return remaining;
    for (size_t e = 0; e < FUSER_MAX_EMBEDDERS; e++)
        if (subset >> e & 1) {
            if (session->embedders[e].price_pico > remaining)
                return -1;
            remaining -= session->embedders[e].price_pico;
        }
    session_affordable(session, remaining, &choice);
    return choice.n > 0 || remaining == session->ceiling_pico ? remaining : -1;
}

/* The terminal edge from a subset of the bundle's embedders. */
static double terminal(struct work *work, uint32_t subset)
{
    const struct fuser_session *session = work->session;
    const struct fuser_bundle *bundle = session->fuser->bundle;
    int64_t remaining = remaining_after(session, subset);
    size_t n = bundle->cells.n, n_near = 0;

    if (remaining < 0)
        return INFINITY;
    if (subset) {
        memset(work->sum, 0, n * sizeof *work->sum);
        for (size_t e = 0; e < bundle->n_embedders; e++)
            if (subset >> e & 1)
                kernel_axpy(work->distance + e * n, n, 1.0f, work->sum);
        n_near = kernel_nearest_of(work->sum, bundle->loo.rows, bundle->loo.n_rows,
                                   bundle->settings.walk_m, work->near);
    }
    session_losses(session, subset, work->near, n_near, remaining, work->losses);
    return work->losses->mean;
}

/* A subset in the other way of counting: the configuration's. */
static uint32_t named_mask(const struct fuser_session *session, uint32_t subset)
{
    uint32_t mask = 0;

    for (size_t e = 0; e < FUSER_MAX_EMBEDDERS; e++)
        if (subset >> e & 1)
            mask |= 1u << session->embedders[e].named;
    return mask;
}

double fuser_graph_length(const struct fuser_graph *graph, uint32_t subset)
{
    double sum = 0;

    assert(subset < (uint32_t)1 << FUSER_MAX_EMBEDDERS);
    for (size_t j = 0; j < FUSER_MAX_EMBEDDERS; j++)
        if (subset >> j & 1)
            sum += graph->price[j];
    return sum + graph->loss[subset];
}

static void fill(struct work *work, struct fuser_graph *graph)
{
    const struct fuser_session *session = work->session;

    memset(graph, 0, sizeof *graph);
    for (size_t s = 0; s < (size_t)1 << FUSER_MAX_EMBEDDERS; s++)
        graph->loss[s] = INFINITY;
    graph->members = named_mask(session, work->members);
    graph->walked = session->looked ? 0 : named_mask(session, session->subset);
    for (size_t e = 0; e < FUSER_MAX_EMBEDDERS; e++)
        if (work->members >> e & 1)
            graph->price[session->embedders[e].named] = session->embedders[e].loss;
    for (uint32_t s = 0; s < (uint32_t)1 << FUSER_MAX_EMBEDDERS; s++)
        if ((s & ~work->members) == 0)
            graph->loss[named_mask(session, s)] = terminal(work, s);
    for (uint32_t s = 1; s < (uint32_t)1 << FUSER_MAX_EMBEDDERS; s++) {
        double gain =
            fuser_graph_length(graph, graph->best) - fuser_graph_length(graph, s);

        if (gain > 0 ||
            (gain == 0 && __builtin_popcount(s) < __builtin_popcount(graph->best)))
            graph->best = s;
    }
}

enum fuser_err fuser_graph(const struct fuser_session *session,
                           const float *const *vectors, struct fuser_graph *ret_graph,
                           struct fuser_error *error)
{
    const struct fuser_bundle *bundle = session->fuser->bundle;
    size_t n = bundle->cells.n;
    struct work work = { .session = session };
    enum fuser_err err;

    ferr_clear(error);
    if (session->choice.n == 0)
        return ferr_set(error, FUSER_INVALID, "no generator with rows is allowed");
    work.distance = calloc(bundle->n_embedders * n, sizeof *work.distance);
    work.sum = calloc(n, sizeof *work.sum);
    work.near = calloc(bundle->settings.walk_m, sizeof *work.near);
    work.losses = malloc(sizeof *work.losses);
    err = work.distance && work.sum && work.near && work.losses
              ? measure(&work, vectors, error)
              : ferr_nomem(error);
    if (!err)
        fill(&work, ret_graph);
    free(work.distance);
    free(work.sum);
    free(work.near);
    free(work.losses);
    return err;
}
