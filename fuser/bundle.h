/* bundle.h - what a bundle holds in memory. The functions for callers are in fuser.h.
 *
 * Rows are sorted by id, generators and embedders by name, domains by label: the same
 * rows in any order make the same bundle, and ties decided by the lower number are
 * decided by name.
 *
 *   build.c        rows -> bundle         bundle_write.c, bundle_read.c   bundle <-> file
 *   bundle.c       life and questions     loo.c           its tables
 *   choose.c       which index            add.c           more rows
 */
#ifndef FUSER_BUNDLE_H
#define FUSER_BUNDLE_H

#include <stdatomic.h>

#include "fuser/approx.h"
#include "fuser/attached.h"
#include "fuser/coarse.h"
#include "fuser/fill.h"
#include "fuser/head.h"
#include "fuser/index.h"
#include "fuser/lexical.h"
#include "fuser/loo.h"
#include "fuser/prior.h"
#include "fuser/surface.h"
#include "fuser/tuned.h"

#define BUNDLE_K_DEFAULT      80
#define BUNDLE_WALK_M_DEFAULT 40
#define BUNDLE_PRIOR_DEFAULT  30.0
#define BUNDLE_PRIOR_MAX      1e6
#define BUNDLE_K_MAX          4096
#define BUNDLE_REACH_FACTOR   4 /* how many times k is searched where cells are missing */
#define BUNDLE_PROBE_COSINE   0.98
#define BUNDLE_DOMAINS_MAX    65536
#define BUNDLE_FLAT_ROWS      30000 /* fewer rows are searched one by one */
#define BUNDLE_NEAR_WIDE                                                                 \
    240 /* rows that heads look at where nothing is known of the rest */

struct bundle_settings {
    uint32_t k;      /* neighbours of an estimate */
    uint32_t walk_m; /* neighbours whose losses are averaged in a purchase */
    uint32_t reach;  /* neighbours searched: k, or more where cells are missing */
    double prior_rows;
    uint64_t seed;
};

/* The texts and where their vectors are, per remote embedder. */
struct bundle_probe {
    char *text; /* owned, or NULL */
    uint32_t row;
};

/* What was seen of an embedder's index at the build. It differs from run to run, so that it
 * is no part of the bundle's id. */
struct bundle_measured {
    double recall;             /* 1 where all rows are read */
    double search_us, flat_us; /* NAN: not measured */
};

/* Names in one block, each ended by 0. */
struct bundle_names {
    char *block;  /* owned */
    uint32_t *at; /* n offsets, owned */
    size_t n, bytes;
};

struct fuser_bundle {
    atomic_uint references;
    char id[17];
    char text_version[FUSER_MAX_NAME];
    struct bundle_settings settings;
    struct fuser_tuned *tuned; /* owned; NULL: nothing was tuned */
    struct attached attached;

    size_t n_embedders;
    char (*generators)[FUSER_MAX_NAME];
    struct fuser_embedder_info embedders[FUSER_MAX_EMBEDDERS];
    struct bundle_names ids, domains;
    uint32_t *domain_of;       /* per row, or PRIOR_NO_DOMAIN */
    bool labelled;             /* domains are labels of the rows, not clusters */
    uint32_t cluster_embedder; /* whose vectors the clusters are of, where not labelled */
    float *centroids;          /* domains.n x its dim, owned; NULL where labelled */

    struct cells cells;
    struct index *index[FUSER_MAX_EMBEDDERS];
    struct coarse coarse[FUSER_MAX_EMBEDDERS]; /* derived from the index */
    uint32_t *missing[FUSER_MAX_EMBEDDERS];    /* rows without that vector, ascending */
    uint32_t n_missing[FUSER_MAX_EMBEDDERS];
    bool approximate; /* searched by `approx`, and then there is no `coarse` */
    struct approx *approx[FUSER_MAX_EMBEDDERS];       /* among all rows */
    struct approx *approx_table[FUSER_MAX_EMBEDDERS]; /* among those of the tables */
    struct bundle_measured measured[FUSER_MAX_EMBEDDERS];
    struct surface surface;
    struct lexical *lexical; /* NULL: no such embedder */
    struct bundle_probe probes[FUSER_MAX_EMBEDDERS][FUSER_PROBES];

    struct prior prior;
    struct fill *fill; /* of missing cells, derived, owned; NULL: none is missing */
    double mean_input[FUSER_MAX_GENERATORS];          /* tokens */
    struct head_estimate blind[FUSER_MAX_GENERATORS]; /* what is expected of any prompt */
    struct prior_mean even[FUSER_MAX_GENERATORS]; /* ... when any domain is as likely as
                                                      another: this chooses the default */
    const struct head *head;
    void *head_state;
    struct loo loo;
};

/* An empty bundle with one reference, or NULL. */
struct fuser_bundle *bundle_new(void);

/* Takes over a block of n names, whatever comes of it. CORRUPT: it does not hold exactly n. */
FUSER_NODISCARD enum fuser_err bundle_names_take(struct bundle_names *names, char *block,
                                                 size_t bytes, size_t n);
/* Names k clusters, which have no label: "c0", "c1", ... */
FUSER_NODISCARD enum fuser_err bundle_name_clusters(struct bundle_names *names, size_t k);
const char *bundle_name(const struct bundle_names *names, size_t i);

/* Derives what is not stored: prior, reach of the search, coarse vectors unless the search is
 * approximate. Cells, domains and vectors are there. */
FUSER_NODISCARD enum fuser_err bundle_derive(struct fuser_bundle *bundle);

/* The vector of a text by built-in embedder e; false when it leaves none. */
bool bundle_embed(const struct fuser_bundle *bundle, size_t e,
                  const struct glyphs *glyphs, float *ret_vector);

/* A row's vector under embedder e into ret_vector: dim floats. False: it has none, and they are 0. */
typedef bool (*bundle_vector_fn)(const void *context, size_t e, size_t row,
                                 float *ret_vector);
/* Fills embedder e's index, and which rows it lacks, with the vectors of all cells.n rows. */
FUSER_NODISCARD enum fuser_err bundle_fill_index(struct fuser_bundle *bundle, size_t e,
                                                 bundle_vector_fn vector,
                                                 const void *context,
                                                 struct fuser_error *error);

/* Whether the row has embedder e's vector. */
bool bundle_has_vector(const struct fuser_bundle *bundle, size_t e, uint32_t row);

/* acc[i] += squared distance of row first + i to the query under embedder e, for n rows; rows
 * without the vector become infinitely far. */
void bundle_distances(const struct fuser_bundle *bundle, size_t e, size_t first, size_t n,
                      const float *query, float *acc);

/* The same nearly, within query->error, and about four times as fast. */
void bundle_scan(const struct fuser_bundle *bundle, size_t e, size_t first, size_t n,
                 const struct coarse_query *query, float *acc);

/* Gives each of n candidates the sum of its squared distances under the subset, exactly; INFINITY
 * without one of the vectors. What stands there is overwritten. */
void bundle_measure(const struct fuser_bundle *bundle, uint32_t subset,
                    const float *const *vectors, struct near *near, size_t n);

/* Orders n candidates by (mean squared distance under the subset, row), exactly; `except` and
 * rows without one of the vectors are dropped. Returns how many are left. */
size_t bundle_order(const struct fuser_bundle *bundle, uint32_t subset,
                    const float *const *vectors, uint32_t except, struct near *near,
                    size_t n);
/* Drops what is there twice of n candidates. Returns how many are left. */
size_t bundle_unite(struct near *near, size_t n);

/* The rows that have embedder e's vector, of all rows or of the n `among`, ascending. ret_rows:
 * room for them. Returns how many. */
size_t bundle_rows_with(const struct fuser_bundle *bundle, size_t e,
                        const uint32_t *among, size_t n, uint32_t *ret_rows);

/* Whether k and walk_m leave room for candidates to be better than others. */
bool bundle_may_approximate(const struct fuser_bundle *bundle);

/* Measures indexes for a bundle whose vectors and table rows are there, and makes those that
 * are worth it: bundle->approximate. */
FUSER_NODISCARD enum fuser_err bundle_choose_index(struct fuser_bundle *bundle,
                                                   const struct fuser_build *how,
                                                   struct fuser_error *error);

/* Which cluster a vector of the cluster's embedder belongs to. */
uint32_t bundle_cluster_of(const struct fuser_bundle *bundle, const float *vector);

/* Writes all sections. The bundle's id is the hash of their checksums, but for that of what was
 * measured. */
void bundle_write(const struct fuser_bundle *bundle, struct sink *sink);
void bundle_identify(const struct wire_section *sections, size_t n, char ret_id[17]);
/* Gives a bundle that is complete its id. */
FUSER_NODISCARD enum fuser_err bundle_set_id(struct fuser_bundle *bundle);

#endif
