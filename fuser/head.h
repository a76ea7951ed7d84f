/* head.h - how quality is predicted: one small interface, chosen in the bundle.
 *
 *     view = { bundle, subset, neighbours, vectors, row }; head_look(&view)
 *     head_estimate(&view, estimates)
 *
 * The walk, the tables and the verdict know only this. A new head is one file and one
 * line in HEADS: it may fit a state when a bundle is built, keep it in a section of the
 * file, and answer for the subsets of embedders that it covers; for others the kNN head
 * answers. Tokens and latency are always estimated from the neighbours, whatever the
 * head.
 *
 * Threads: estimating writes only to the view and the result.
 */
#ifndef FUSER_HEAD_H
#define FUSER_HEAD_H

#include "fuser/prior.h"
#include "fuser/wire.h"

/* name in the bundle's file, the head's functions */
#define HEADS(X)                                                                         \
    X(KNN, "knn", head_knn)                                                              \
    X(RIDGE, "ridge", head_ridge)                                                        \
    X(LOGISTIC, "logistic", head_logistic)                                               \
    X(MLP, "mlp", head_mlp)                                                              \
    X(DOMAIN, "domain", head_domain)                                                     \
    X(METRIC, "metric", head_metric)                                                     \
    X(BLEND, "blend", head_blend)

#define HEAD_SCRATCH 1024 /* floats beyond rows and inputs */

/* What the nearest rows say of one generator: its first k known cells. */
struct head_local {
    uint32_t known, known_output, known_latency;
    double worth, quality, squares; /* sums, each cell by its worth (fill.h) */
    double output, latency;
};

/* Everything that may be looked at for one prompt and one subset of the embedders. */
struct head_view {
    const struct fuser_bundle *bundle;
    uint32_t subset;         /* bit e: embedder e was queried; never 0 */
    const struct near *near; /* nearest first, under the subset's mean distance */
    size_t n_near;           /* may be 0 */
    size_t n_listed; /* rows in `near`: the neighbours, and more where distance is NULL */
    const float *distance; /* per row: sum over the subset's embedders; NULL: only
                                    those of `near` are known */
    double error;          /* no `distance` is farther off than this; 0: they are exact */
    float *
        scratch; /* the caller's, head_scratch() floats: one a row where distance is given,
                       then the dims of all embedders and HEAD_SCRATCH */
    const float *const *vectors; /* per embedder: unit length, NULL outside the subset */
    uint32_t row;       /* the calibration row that the prompt is, and that must not
                           count; KERNEL_NO_ROW for a request */
    float output_limit; /* clips output tokens; INFINITY: none */

    /* Filled by head_look(). */
    struct prior_vote votes[PRIOR_VOTERS];
    size_t n_votes;
    struct head_local local[FUSER_MAX_GENERATORS];
    struct prior_mean prior[FUSER_MAX_GENERATORS];
};

struct head_estimate {
    double quality, quality_se; /* 0..1; > 0 */
    double rows;                /* how many rows' mean would be as certain; > 0 */
    double output_tokens;       /* never NAN */
    double latency_ms;          /* NAN: not known */
    uint32_t known;             /* known cells among the nearest */
};

struct head {
    const char *name;
    /* Fits a state to the bundle, whose rows, vectors and prior are complete; NULL: the
     * head has none. */
    enum fuser_err (*fit)(const struct fuser_bundle *bundle, void **ret_state,
                          struct fuser_error *error);
    bool (*covers)(const void *state, uint32_t subset);
    /* A simpler head, without a state, which says how generators differ in this one's stead under the subsets
     * of loo.plain: where rows left out do not tell that this one is better at that. NULL: there is none. */
    const struct head *plain;
    /* quality and quality_se of all generators, others are filled already. */
    void (*estimate)(const void *state, const struct head_view *view,
                     struct head_estimate *estimates);
    /* The same state over a bundle with rows added: what was fitted is frozen. from[row]: the row's
     * number in the bundle that it was fitted to, or KERNEL_NO_ROW. NULL with `fit`. NOMEM. */
    enum fuser_err (*grow)(const void *state, const struct fuser_bundle *bundle,
                           const uint32_t *from, void **ret_state);
    void (*save)(const void *state, struct sink *sink);
    enum fuser_err (*load)(const struct fuser_bundle *bundle, struct source *source,
                           void **ret_state);
    void (*free)(void *state); /* takes NULL */
};

/* NULL: there is no head of that name. */
const struct head *head_named(const char *name);

/* Floats of scratch that a view of this bundle needs. */
size_t head_scratch(const struct fuser_bundle *bundle);
/* The part of it behind the floats of the rows, for inputs. */
float *head_inputs(const struct head_view *view);

/* Gathers votes, local sums and priors for the caller's part of the view. */
void head_look(struct head_view *view);

/* For all generators of the bundle; ret: n_generators. The view has been looked at. */
void head_estimate(const struct head_view *view, struct head_estimate *ret);

/* The estimates without any evidence: means over all rows. */
void head_estimate_blind(const struct fuser_bundle *bundle, float output_limit,
                         struct head_estimate *ret);

#define X(id, name, symbol) extern const struct head symbol;
HEADS(X)
#undef X

#endif
