/* index.h - the door to FAISS: the vectors of one embedder, and approximate searches.
 *
 *     index_new(dim) -> index_add(n, vectors) -> index_vectors() for our own loops
 *
 *     index_cluster() -> index_lists()                 what approx.c keeps in a bundle
 *     index_graph_new() -> index_graph_tune() -> index_graph_find()
 *
 * The vectors live once, in the flat index's own storage. index_search() is FAISS's own
 * exact search, the oracle in tests. A graph names candidates, fast and not all of them: who
 * asks looks again at their vectors. index.c is the only C file that includes FAISS.
 *
 * Threads: immutable after the last index_add or index_graph_tune. A search runs on the
 * caller's thread alone; making an index takes all that OpenMP has. Errors: NOMEM or INVALID
 * with FAISS's text.
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

/* FAISS's k-means over n vectors of dim floats; ret_centroids: k x dim. n >= k >= 1. rounds: 0
 * is FAISS's own number. */
FUSER_NODISCARD enum fuser_err index_cluster(const float *vectors, size_t n, size_t dim,
                                             size_t k, int rounds, float *ret_centroids,
                                             struct fuser_error *error);

/* ret_list[i]: which of k centroids is nearest to vector i of n. */
FUSER_NODISCARD enum fuser_err index_lists(const float *centroids, size_t k, size_t dim,
                                           const float *vectors, size_t n,
                                           uint32_t *ret_list, struct fuser_error *error);

struct index_graph; /* HNSW; owned by one struct approx */

/* A graph over n vectors of dim floats, which it copies. */
FUSER_NODISCARD enum fuser_err index_graph_new(const float *vectors, size_t n, size_t dim,
                                               struct index_graph **ret_graph,
                                               struct fuser_error *error);
void index_graph_free(struct index_graph *graph); /* takes NULL */

/* effort: length of the list of candidates that a search keeps. */
FUSER_NODISCARD enum fuser_err
index_graph_tune(struct index_graph *graph, uint32_t effort, struct fuser_error *error);

#define INDEX_FIND_MAX 1024

/* Places (0..n-1) of at most k <= INDEX_FIND_MAX vectors near the query, each once. Returns how
 * many: none when there is no memory to search. */
size_t index_graph_find(const struct index_graph *graph, const float *query, size_t k,
                        uint32_t *ret_places);

#endif
