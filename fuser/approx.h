/* approx.h - an approximate search over rows of one embedder: it names candidates.
 *
 *     fit     rows --PCA--> narrow vectors --k-means--> lists, or a graph      (build)
 *     derive  what of it lies in a file --> the same, without training         (load)
 *     find    query --narrow--> FAISS --> APPROX_OVER rows, for an exact look  (decision)
 *
 * For bundles of so many rows that reading each of them takes too long. What is kept is the
 * projection, the centroids and each row's list, numbers that can be checked one by one;
 * FAISS's own structures are made of them again at a load. A graph cannot be checked, so it
 * is grown again, which takes seconds at 100,000 rows and is why larger bundles have lists.
 *
 * The candidates carry no distances: bundle_order() gives them exact ones.
 *
 * Threads: immutable once fitted or derived.
 */
#ifndef FUSER_APPROX_H
#define FUSER_APPROX_H

#include "fuser/index.h"
#include "fuser/kernel.h"
#include "fuser/wire.h"

#define APPROX_OVER      640 /* candidates fetched: several times what any head looks at */
#define APPROX_TABLE     160 /* the same among the rows of the tables: a walk looks at 40 */
#define APPROX_LISTS_MAX 65536

enum approx_kind { APPROX_LISTS, APPROX_GRAPH };

struct approx {
    enum approx_kind kind;
    size_t n, dim, width; /* rows; floats of a vector, and of a narrowed one */
    uint32_t *rows;       /* n, ascending; owned */
    float *projection;    /* width x dim, orthonormal lines; owned. NULL: width is dim */
    size_t n_lists;       /* 0 for a graph */
    float *centroids;     /* n_lists x width; owned */
    uint32_t *list;       /* n: each row's; owned */
    uint32_t effort;      /* lists looked through, or the graph's search list */
    struct index_finder *finder; /* owned; derived */
};

/* The vectors that are searched: of all rows of the bundle, each `dim` floats. Borrowed. */
struct approx_data {
    const float *vectors;
    size_t dim;
    const uint32_t *rows; /* n, ascending: those that have a vector and are wanted */
    size_t n;
};

/* width: narrowed to so many floats, or dim. effort is 1 at first: approx_tune. */
FUSER_NODISCARD enum fuser_err approx_fit(const struct approx_data *data,
                                          enum approx_kind kind, size_t width,
                                          uint64_t seed, struct approx **ret_approx,
                                          struct fuser_error *error);
/* Projection and centroids of `old`, frozen; rows that it knew keep their lists. from[row]: the
 * row's number when `old` was made, or KERNEL_NO_ROW. */
FUSER_NODISCARD enum fuser_err
approx_grow(const struct approx *old, const struct approx_data *data,
            const uint32_t *from, struct approx **ret_approx, struct fuser_error *error);
void approx_free(struct approx *approx); /* takes NULL */

FUSER_NODISCARD enum fuser_err approx_tune(struct approx *approx, uint32_t effort,
                                           struct fuser_error *error);

/* At most k rows near the query (dim floats), each once, in no order, at distance 0. */
size_t approx_find(const struct approx *approx, const float *query, size_t k,
                   struct near *ret);

void approx_save(const struct approx *approx, struct sink *sink);
/* Rows and vectors are those that it was saved with. CORRUPT: a number out of range. */
FUSER_NODISCARD enum fuser_err approx_load(struct source *source,
                                           const struct approx_data *data,
                                           struct approx **ret_approx,
                                           struct fuser_error *error);

#endif
