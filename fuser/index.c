/* index.c - the vectors of one embedder, in FAISS through its C API.
 *
 * The only C file that knows FAISS. What must always hold: `vectors` points at the flat
 * index's own storage and is refreshed after every addition, which may move it.
 */
#include "fuser/index.h"

#include <stdlib.h>

#include <faiss/c_api/Clustering_c.h>
#include <faiss/c_api/IndexFlat_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>

#include "fuser/err.h"

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

enum fuser_err index_cluster(const float *vectors, size_t n, size_t dim, size_t k,
                             float *ret_centroids, struct fuser_error *error)
{
    float quantization_error;

    if (faiss_kmeans_clustering(dim, n, k, vectors, ret_centroids, &quantization_error) !=
        0)
        return faiss_failed(error, "cluster");
    return FUSER_OK;
}
