/* index.c - the vectors of one embedder, and approximate searches, in FAISS through its C API.
 *
 * The only C file that knows FAISS, and it uses nothing of it but functions of the headers in
 * <faiss/c_api>: a real libfaiss_c does as well as our thin one. What must always hold: `vectors` points at the flat
 * index's own storage and is refreshed after every addition, which may move it.
 */
#include "fuser/index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <faiss/c_api/AutoTune_c.h>
#include <faiss/c_api/Clustering_c.h>
#include <faiss/c_api/IndexFlat_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>

#include "fuser/err.h"

/* Of gcc's OpenMP, which FAISS runs on; its header is not where other compilers look. */
int omp_get_max_threads(void);
void omp_set_num_threads(int n);

struct index {
    FaissIndexFlat *flat; /* owned */
    float *vectors;       /* borrowed from flat */
    size_t n, dim;
};

static enum fuser_err faiss_failed(struct fuser_error *error, const char *what)
{
    return ferr_set(error, FUSER_INVALID, "faiss cannot %s: %s", what,
                    faiss_get_last_error());
}

enum fuser_err index_new(size_t dim, struct index **ret_index, struct fuser_error *error)
{
    struct index *index;

    if (dim == 0 || dim > FUSER_MAX_DIM)
        return ferr_set(error, FUSER_TOO_LARGE, "a vector has 1 to %d floats, not %zu",
                        FUSER_MAX_DIM, dim);
    index = calloc(1, sizeof *index);
    if (!index)
        return ferr_nomem(error);
    index->dim = dim;
    if (faiss_IndexFlat_new_with(&index->flat, (idx_t)dim, METRIC_L2) != 0) {
        free(index);
        return faiss_failed(error, "make an index");
    }
    *ret_index = index;
    return FUSER_OK;
}

void index_free(struct index *index)
{
    if (!index)
        return;
    faiss_Index_free(index->flat);
    free(index);
}

enum fuser_err index_add(struct index *index, size_t n, const float *vectors,
                         struct fuser_error *error)
{
    size_t floats;

    if (n > 0 && faiss_Index_add(index->flat, (idx_t)n, vectors) != 0)
        return faiss_failed(error, "add vectors");
    faiss_IndexFlat_xb(index->flat, &index->vectors, &floats);
    index->n = (size_t)faiss_Index_ntotal(index->flat);
    return FUSER_OK;
}

size_t index_count(const struct index *index)
{
    return index->n;
}

size_t index_dim(const struct index *index)
{
    return index->dim;
}

const float *index_vectors(const struct index *index)
{
    return index->vectors;
}

enum fuser_err index_search(const struct index *index, size_t n, const float *queries,
                            size_t k, float *ret_distances, int64_t *ret_rows,
                            struct fuser_error *error)
{
    if (faiss_Index_search(index->flat, (idx_t)n, queries, (idx_t)k, ret_distances,
                           ret_rows) != 0)
        return faiss_failed(error, "search");
    return FUSER_OK;
}

static enum fuser_err cluster(FaissClustering *clustering, const float *vectors, size_t n,
                              size_t dim, size_t k, float *ret_centroids,
                              struct fuser_error *error)
{
    FaissIndexFlat *flat = NULL;
    enum fuser_err err = FUSER_OK;
    float *centroids;
    size_t floats;

    if (faiss_IndexFlat_new_with(&flat, (idx_t)dim, METRIC_L2) != 0)
        return faiss_failed(error, "make an index");
    if (faiss_Clustering_train(clustering, (idx_t)n, vectors, flat) != 0) {
        err = faiss_failed(error, "cluster");
    } else {
        faiss_Clustering_centroids(clustering, &centroids, &floats);
        assert(floats == k * dim);
        memcpy(ret_centroids, centroids, floats * sizeof *centroids);
    }
    faiss_Index_free(flat);
    return err;
}

enum fuser_err index_cluster(const float *vectors, size_t n, size_t dim, size_t k,
                             int rounds, float *ret_centroids, struct fuser_error *error)
{
    FaissClusteringParameters parameters;
    FaissClustering *clustering = NULL;
    enum fuser_err err;

    faiss_ClusteringParameters_init(&parameters);
    parameters.min_points_per_centroid = 1; /* the caller knows; no warning on stderr */
    if (rounds > 0)
        parameters.niter = rounds;
    if (faiss_Clustering_new_with_params(&clustering, (int)dim, (int)k, &parameters) != 0)
        return faiss_failed(error, "cluster");
    err = cluster(clustering, vectors, n, dim, k, ret_centroids, error);
    faiss_Clustering_free(clustering);
    return err;
}

/* -- approximate -- */

#define LINKS "HNSW32"
#define LOT   4096 /* vectors given to FAISS at once, with their 64-bit labels */

/* Centroids in an index of their own. */
static enum fuser_err quantizer_new(const float *centroids, size_t k, size_t dim,
                                    FaissIndexFlat **ret, struct fuser_error *error)
{
    FaissIndexFlat *flat = NULL;

    if (faiss_IndexFlat_new_with(&flat, (idx_t)dim, METRIC_L2) != 0)
        return faiss_failed(error, "make an index");
    if (faiss_Index_add(flat, (idx_t)k, centroids) != 0) {
        faiss_Index_free(flat);
        return faiss_failed(error, "add vectors");
    }
    *ret = flat;
    return FUSER_OK;
}

enum fuser_err index_lists(const float *centroids, size_t k, size_t dim,
                           const float *vectors, size_t n, uint32_t *ret_list,
                           struct fuser_error *error)
{
    FaissIndexFlat *quantizer = NULL;
    enum fuser_err err = quantizer_new(centroids, k, dim, &quantizer, error);
    idx_t label[LOT];

    for (size_t first = 0; !err && first < n; first += LOT) {
        size_t lot = n - first < LOT ? n - first : LOT;

        if (faiss_Index_assign(quantizer, (idx_t)lot, vectors + first * dim, label, 1) !=
            0)
            err = faiss_failed(error, "assign vectors");
        for (size_t i = 0; !err && i < lot; i++)
            ret_list[first + i] = label[i] < 0 ? 0 : (uint32_t)label[i];
    }
    faiss_Index_free(quantizer);
    return err;
}

struct index_graph {
    FaissIndex *index; /* owned */
};

enum fuser_err index_graph_new(const float *vectors, size_t n, size_t dim,
                               struct index_graph **ret_graph, struct fuser_error *error)
{
    struct index_graph *graph = calloc(1, sizeof *graph);
    enum fuser_err err = FUSER_OK;

    if (!graph)
        return ferr_nomem(error);
    if (faiss_index_factory(&graph->index, (int)dim, LINKS, METRIC_L2) != 0)
        err = faiss_failed(error, "make an index");
    else if (faiss_Index_add(graph->index, (idx_t)n, vectors) != 0)
        err = faiss_failed(error, "add vectors");
    if (err) {
        index_graph_free(graph);
        return err;
    }
    *ret_graph = graph;
    return FUSER_OK;
}

void index_graph_free(struct index_graph *graph)
{
    if (!graph)
        return;
    faiss_Index_free(graph->index);
    free(graph);
}

enum fuser_err index_graph_tune(struct index_graph *graph, uint32_t effort,
                                struct fuser_error *error)
{
    FaissParameterSpace *space = NULL;
    int failed;

    if (faiss_ParameterSpace_new(&space) != 0)
        return faiss_failed(error, "tune an index");
    failed =
        faiss_ParameterSpace_set_index_parameter(space, graph->index, "efSearch", effort);
    faiss_ParameterSpace_free(space);
    return failed ? faiss_failed(error, "tune an index") : FUSER_OK;
}

size_t index_graph_find(const struct index_graph *graph, const float *query, size_t k,
                        uint32_t *ret_places)
{
    float distance[INDEX_FIND_MAX];
    idx_t label[INDEX_FIND_MAX];
    int threads = omp_get_max_threads(), failed;
    size_t found = 0;

    assert(k <= INDEX_FIND_MAX);
    /* Of this thread: a team costs one query more than it gives. */
    omp_set_num_threads(1);
    failed = faiss_Index_search(graph->index, 1, query, (idx_t)k, distance, label);
    omp_set_num_threads(threads);
    for (size_t i = 0; !failed && i < k; i++)
        if (label[i] >= 0)
            ret_places[found++] = (uint32_t)label[i];
    return found;
}
