/* index.h - the vectors of one embedder, in FAISS.
 *
 *     index_new(dim) -> index_add(n, vectors) -> index_vectors() for our own loops
 *
 * The vectors live once, in the flat index's own storage. index_search() is FAISS's own
 * exact search: the oracle in tests and the door through which approximate indexes come
 * later. index.c is the only C file that includes FAISS.
 *
 * Threads: immutable after the last index_add. Errors: NOMEM or INVALID with FAISS's
 * text.
 */
#ifndef FUSER_INDEX_H
#define FUSER_INDEX_H

#include "fuser/fuser.h"

struct index; /* owned by one bundle */

FUSER_NODISCARD enum fuser_err index_new(size_t dim, struct index **ret_index,
                                         struct fuser_error *error);
void index_free(struct index *index); /* takes NULL */

/* vectors: n x dim, copied. Rows count from 0 in the order of addition. */
FUSER_NODISCARD enum fuser_err index_add(struct index *index, size_t n,
                                         const float *vectors, struct fuser_error *error);
size_t index_count(const struct index *index);
size_t index_dim(const struct index *index);

/* count x dim, row-major; borrowed until the next index_add or index_free. */
const float *index_vectors(const struct index *index);

/* FAISS's exact search: for each of n queries (n x dim) the k nearest by squared L2.
 * ret_distances, ret_rows: n x k; where fewer are there, rows are -1. */
FUSER_NODISCARD enum fuser_err index_search(const struct index *index, size_t n,
                                            const float *queries, size_t k,
                                            float *ret_distances, int64_t *ret_rows,
                                            struct fuser_error *error);

/* FAISS's k-means over n vectors of dim floats; ret_centroids: k x dim. n >= k >= 1. */
FUSER_NODISCARD enum fuser_err index_cluster(const float *vectors, size_t n, size_t dim,
                                             size_t k, float *ret_centroids,
                                             struct fuser_error *error);

#endif
