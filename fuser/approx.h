/* approx.h - an approximate search over rows of one embedder: it names candidates.
 *
 *     fit     rows --PCA--> narrow vectors --k-means--> lists, or a graph    (build)
 *     load    what of it lies in a file --> the same, without training       (start)
 *     find    query --narrow--> nearest lists, or a walk of the graph
 *                   --> a few hundred rows, for an exact look                (decision)
 *
 * For bundles of so many rows that reading each of them takes too long. FAISS clusters and
 * assigns, and grows graphs. Lists we read ourselves, at a byte a float (coarse.h) and eight
 * times as fast as Debian's FAISS, which has no vector instructions. What is kept is the
 * projection, the centroids and each row's list, numbers that can be checked one by one. A
 * graph cannot be checked, so it is grown again at a load, which takes seconds at 50,000 rows
 * and is one reason why larger bundles have lists.
 *
 * The candidates carry no distances: bundle_order() gives them exact ones.
 *
 * Threads: immutable once fitted or derived.
 */
#ifndef FUSER_APPROX_H
#define FUSER_APPROX_H

#include "fuser/coarse.h"
#include "fuser/index.h"
#include "fuser/kernel.h"
#include "fuser/wire.h"

#define APPROX_OVER      400 /* candidates wanted: more than any head looks at */
#define APPROX_TABLE     120 /* the same among the rows of the tables: a walk looks at 40 */
#define APPROX_ROOM(k)   (2 * (k)) /* at most so many are given */
#define APPROX_LISTS_MAX 8192

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
    /* Derived. */
    struct index_graph *graph; /* owned, or NULL */
    uint32_t *start;     /* n_lists + 1: where each list begins in `listed` and `codes` */
    uint32_t *listed;    /* n: rows by list, ascending within one; owned */
    struct coarse codes; /* their narrowed vectors */
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

/* About k rows near the query (dim floats), and no more than APPROX_ROOM(k): each once, in no
 * order, at distance 0. */
size_t approx_find(const struct approx *approx, const float *query, size_t k,
                   struct near *ret);

/* The most effort that there may be. */
uint32_t approx_effort_max(const struct approx *approx);

void approx_save(const struct approx *approx, struct sink *sink);
/* Rows and vectors are those that it was saved with. CORRUPT: a number out of range. */
FUSER_NODISCARD enum fuser_err approx_load(struct source *source,
                                           const struct approx_data *data,
                                           struct approx **ret_approx,
                                           struct fuser_error *error);

#endif
