/* fuser.h - the method: which expert should answer, and is more evidence worth its price?
 *
 * The fuser is pure: no HTTP, JSON, threads, clock, environment or logging, and this and
 * fuser_classes.h are the only headers of the library that others include. It implements "Fusing Models with
 * Complementary Expertise" (ICLR 2024): a fuser over calibration rows chooses one of
 * several experts (section 3), and FrugalFoE buys evidence step by step while it is worth
 * its price (section 4).
 *
 *   offline    rows -> build -> bundle -> file
 *
 *   online     bundle + names of the configuration = struct fuser (a snapshot)
 *
 *              session = fuser_session_new(fuser, ask)
 *              loop:   fuser_next(sessions, n)      QUERY embedder j        ANSWER
 *                      fuser_tell(session, j, vector) or fuser_fail          |
 *              fuser_verdict(session, remaining)   <-------------------------+
 *
 * An *embedder* turns a prompt into a vector (evidence). A *generator* answers it. They
 * are distinct sets. Money is in integer pico-USD (1e-12 USD); an input price of 0.06 USD
 * per million tokens is 60,000 pico-USD per token.
 *
 * Threads: a bundle and a fuser are immutable and shared by reference count. A session
 * belongs to one thread at a time. Rows belong to one thread. Errors: enum fuser_err, 0
 * is success; details go to the caller's struct fuser_error (may be NULL, first one
 * wins). Outputs are named ret_x and untouched on failure.
 */
#ifndef FUSER_FUSER_H
#define FUSER_FUSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FUSER_NODISCARD      __attribute__((warn_unused_result))

#define FUSER_MAX_EMBEDDERS  6 /* 2^6 subsets in the tables */
#define FUSER_MAX_GENERATORS 64
#define FUSER_MAX_NAME       128 /* bytes, with the final 0 */
#define FUSER_MAX_DIM        8192
#define FUSER_MAX_NEIGHBOURS 32    /* shown in a verdict; the estimate may use more */
#define FUSER_TABLE_ROWS     20000 /* rows in the leave-one-out tables; beyond: a sample */
#define FUSER_PROBES         3     /* probe texts per embedder in a bundle */

/* -- errors -- */

#define FUSER_ERRORS(X)                                                                  \
    X(OK, "success")                                                                     \
    X(NOMEM, "out of memory")                                                            \
    X(IO, "cannot read or write the file")                                               \
    X(FOREIGN, "not a bundle")                                                           \
    X(VERSION, "made by another version")                                                \
    X(TRUNCATED, "the file is truncated")                                                \
    X(CORRUPT, "a checksum does not match")                                              \
    X(MISMATCH, "made with another embedder")                                            \
    X(INVALID, "invalid value")                                                          \
    X(DUPLICATE, "duplicate name or id")                                                 \
    X(TOO_LARGE, "over a limit")

enum fuser_err {
#define X(name, text) FUSER_##name,
    FUSER_ERRORS(X)
#undef X
};

struct fuser_error {
    enum fuser_err code;
    char text[256]; /* lower case, no full stop, subject in single quotes, cause last */
};

const char *fuser_err_text(enum fuser_err code); /* a static string */

/* -- embedders -- */

enum fuser_embedder_kind {
    FUSER_REMOTE,  /* somebody else's vectors, told to the session */
    FUSER_SURFACE, /* built in: 18 features of form; free */
    FUSER_LEXICAL, /* built in: hashed word and character n-grams, projected; free */
};

struct fuser_embedder_info {
    char name[FUSER_MAX_NAME];  /* "surface", "lexical", or the expert configured */
    char model[FUSER_MAX_NAME]; /* what made the vectors: "lexical@2", or the upstream
                                   model's name; empty for the newest of a built-in one */
    enum fuser_embedder_kind kind;
    uint32_t dim; /* floats in a vector; 0 for a built-in one until it is fitted */
};

/* -- rows: what is known of the experts -- */

/* One cell: how one generator did on one prompt. NAN: not known, which is never 0. */
struct fuser_cell {
    float quality; /* 0..1 */
    float input_tokens, output_tokens;
    float latency_ms;
};

struct fuser_rows; /* owned by one thread; released by fuser_rows_free */

/* Copies all names, each unique; at most FUSER_MAX_GENERATORS, FUSER_MAX_EMBEDDERS. */
FUSER_NODISCARD enum fuser_err
fuser_rows_new(const char *const *generators, size_t n_generators,
               const struct fuser_embedder_info *embedders, size_t n_embedders,
               struct fuser_rows **ret_rows, struct fuser_error *error);
void fuser_rows_free(struct fuser_rows *rows);

/* id: unique. domain: NULL or a label. text: the routing text, copied; needed by built-in
 * embedders. */
FUSER_NODISCARD enum fuser_err fuser_rows_add(struct fuser_rows *rows, const char *id,
                                              const char *domain, const char *text,
                                              size_t text_bytes, size_t *ret_row,
                                              struct fuser_error *error);
/* Quality outside [0,1], negative tokens and infinities are INVALID. */
FUSER_NODISCARD enum fuser_err fuser_rows_set_cell(struct fuser_rows *rows, size_t row,
                                                   size_t generator,
                                                   const struct fuser_cell *cell,
                                                   struct fuser_error *error);
/* vector: dim floats, copied, finite and not all zero; brought to unit length here. */
FUSER_NODISCARD enum fuser_err fuser_rows_set_vector(struct fuser_rows *rows, size_t row,
                                                     size_t embedder, const float *vector,
                                                     size_t dim,
                                                     struct fuser_error *error);
size_t fuser_rows_count(const struct fuser_rows *rows);

/* -- the bundle: what was built -- */

/* On the building thread, with the fraction done, 0..1; false: give up (INVALID). */
typedef bool (*fuser_progress_fn)(void *context, const char *stage, double done);

/* What cross-validation chose of the settings that a request brings (frugalctl tune): defaults for
 * a caller whose configuration is silent. The fuser itself uses what is asked. */
#define FUSER_TUNED_EVIDENCE_MAX 65536 /* bytes */
#define FUSER_TUNED_LAMBDA_MAX   1e15
struct fuser_tuned {
    double switch_z, gain_se; /* 0..100; NAN: not tuned */
    double lambda;            /* loss per USD; NAN: not tuned */
    const char *evidence;     /* what was tried and how it did, as the tuner wrote it */
};

#define FUSER_ORIGIN_MAX     65536 /* bytes */
#define FUSER_TEXT_EXTRA_MAX 65536 /* bytes */
struct fuser_build {
    const char *head;  /* knn, ridge, logistic, mlp, domain, metric, blend; NULL: blend */
    uint32_t k;        /* neighbours of an estimate; 0: the default, 80 */
    uint32_t walk_m;   /* M: neighbours whose losses are averaged in a purchase; 0: 40 */
    double prior_rows; /* m: pseudo-counts of the domain prior; < 0: the default */
    uint64_t seed;     /* every random choice follows from it */
    size_t flat_rows;  /* bundles of fewer rows are searched row by row; 0: 30,000 */
    /* A steady clock to choose an index by; NULL: the first that finds enough is taken. */
    double (*now_us)(void);
    const char *text_version; /* of the extractor of routing texts; kept in the bundle */
    /* Opaque, kept in the bundle and part of its id; copied; NULL: none. `origin` says who made it, as a
     * JSON text; text_extra is what the extractor's rule needs beside its version. */
    const char *origin;
    const void *text_extra;
    size_t text_extra_bytes;
    const struct fuser_tuned *tuned; /* copied; NULL: nothing was tuned */
    fuser_progress_fn progress;
    void *progress_context;
};

struct fuser_bundle; /* immutable, reference counted */

FUSER_NODISCARD enum fuser_err fuser_bundle_build(const struct fuser_rows *rows,
                                                  const struct fuser_build *how,
                                                  struct fuser_bundle **ret_bundle,
                                                  struct fuser_error *error);
/* Fresh evidence: a new bundle with these rows as well, the old one untouched and in use. A row
 * whose id is there already has its known cells replaced and keeps the rest. Embedders, head,
 * metric and index stay as they were fitted, and so do domains that are clusters; everything
 * else is that of a build with all rows, so that answers are. What only a build can take in is a
 * MISMATCH: generators and embedders that the bundle does not know. Remote embedders may lack
 * vectors, as in a build. Takes memory and time for a copy of the bundle: not for an event loop. */
struct fuser_add {
    /* Make the leave-one-out tables again, which takes as long as in a build, so that purchases
     * too are those of a build; otherwise they stay those of the old rows. */
    bool tables;
    fuser_progress_fn progress;
    void *progress_context;
};
FUSER_NODISCARD enum fuser_err fuser_bundle_add(const struct fuser_bundle *bundle,
                                                const struct fuser_rows *rows,
                                                const struct fuser_add *how,
                                                struct fuser_bundle **ret_bundle,
                                                struct fuser_error *error);
/* Written aside (path + ".new"), synced, renamed. */
FUSER_NODISCARD enum fuser_err fuser_bundle_save(const struct fuser_bundle *bundle,
                                                 const char *path,
                                                 struct fuser_error *error);
/* Read into memory whole and checked; FOREIGN, VERSION, TRUNCATED and CORRUPT are told
 * apart. */
FUSER_NODISCARD enum fuser_err fuser_bundle_load(const char *path,
                                                 struct fuser_bundle **ret_bundle,
                                                 struct fuser_error *error);
struct fuser_bundle *fuser_bundle_ref(struct fuser_bundle *bundle);
void fuser_bundle_unref(struct fuser_bundle *bundle); /* takes NULL */

/* All strings are borrowed from the bundle. The id: 16 hex digits, of the content. */
const char *fuser_bundle_id(const struct fuser_bundle *bundle);
const char *fuser_bundle_text_version(const struct fuser_bundle *bundle);
/* NULL: none. */
const char *fuser_bundle_origin(const struct fuser_bundle *bundle);
/* NULL, and 0 bytes: none. A 0 stands behind the bytes. */
const void *fuser_bundle_text_extra(const struct fuser_bundle *bundle, size_t *ret_bytes);
size_t fuser_bundle_rows(const struct fuser_bundle *bundle);
bool fuser_bundle_has_row(const struct fuser_bundle *bundle, const char *id);
size_t fuser_bundle_generators(const struct fuser_bundle *bundle);
const char *fuser_bundle_generator(const struct fuser_bundle *bundle, size_t generator);
size_t fuser_bundle_known_rows(const struct fuser_bundle *bundle, size_t generator);
size_t fuser_bundle_embedders(const struct fuser_bundle *bundle);
const struct fuser_embedder_info *fuser_bundle_embedder(const struct fuser_bundle *bundle,
                                                        size_t embedder);
/* The text of probe p (0..FUSER_PROBES-1), to be sent to a live remote embedder. */
const char *fuser_bundle_probe(const struct fuser_bundle *bundle, size_t embedder,
                               size_t p);
/* MISMATCH when the live embedder's vector for that probe differs: cosine below 0.98, or
 * other dim. `embedder` counts as in the bundle. A bundle whose rows lacked text has no
 * probes: OK. */
FUSER_NODISCARD enum fuser_err fuser_bundle_check_probe(const struct fuser_bundle *bundle,
                                                        size_t embedder, size_t p,
                                                        const float *vector, size_t dim,
                                                        struct fuser_error *error);

/* How a decision searches the rows under one embedder. A search row by row is exact. An
 * approximate one is chosen at the build where it is at least twice as fast and finds enough; it
 * names candidates, which are then ordered by their exact distances, ties by id. All embedders
 * of a bundle are searched the same way: row by row unless each has an index that will do. */
struct fuser_index_info {
    const char *kind; /* "flat", "ivf", "hnsw": a static string */
    uint32_t width;   /* floats to which vectors are narrowed for the search */
    uint32_t lists;   /* ivf: inverted lists, 0 otherwise */
    uint32_t effort;  /* lists looked through, or the length of hnsw's search list */
    double recall;    /* measured share of the 32 nearest rows that are found; flat: 1 */
    double search_us; /* measured median of one search; NAN where nothing was measured */
    double flat_us;   /* of reading all rows, likewise */
};
void fuser_bundle_index(const struct fuser_bundle *bundle, size_t embedder,
                        struct fuser_index_info *ret_info);

/* NULL: it was not tuned. */
const struct fuser_tuned *fuser_bundle_tuned(const struct fuser_bundle *bundle);
/* What it was built with: k, walk_m and prior_rows. */
void fuser_bundle_settings(const struct fuser_bundle *bundle, uint32_t *ret_k,
                           uint32_t *ret_walk_m, double *ret_prior_rows);

/* How the bundle would have served its own rows, each judged by the others
 * (leave-one-out): all embedders bought, cost no matter; beside the generator that is best
 * on average. Over the rows of the tables where both outcomes are known. */
struct fuser_review {
    size_t rows; /* compared */
    size_t best; /* generator of the bundle with the highest mean quality */
    double best_quality, router_quality; /* means; NAN without rows */
    double gain_se;                      /* standard error of their difference */
};
void fuser_bundle_review(const struct fuser_bundle *bundle,
                         struct fuser_review *ret_review);
/* Mean of a generator's known qualities over all rows; NAN without any. Reads every row. */
double fuser_bundle_mean_quality(const struct fuser_bundle *bundle, size_t generator);

/* -- the fuser: a bundle under the names of one configuration -- */

struct fuser_names {
    const char *const *generators; /* the configuration's experts, in its order */
    size_t n_generators;
    const char *const *embedders; /* the configuration's embedders, in its order */
    size_t n_embedders;
    /* Per generator one of the bundle that it is expected to be like while few or no rows know it, or NULL;
     * the whole NULL: none is. A name that the bundle has no rows of lends nothing. */
    const char *const *prior_like;
};

struct fuser; /* immutable, reference counted; holds a reference on its bundle */

/* Names on one side only are legal: a generator without rows is never ranked, an embedder
 * that the bundle does not know is never queried, and the bundle's others are ignored. */
FUSER_NODISCARD enum fuser_err fuser_new(struct fuser_bundle *bundle,
                                         const struct fuser_names *names,
                                         struct fuser **ret_fuser,
                                         struct fuser_error *error);
struct fuser *fuser_ref(struct fuser *fuser);
void fuser_unref(struct fuser *fuser); /* takes NULL */
const struct fuser_bundle *fuser_bundle_of(const struct fuser *fuser);
bool fuser_knows_generator(const struct fuser *fuser, size_t generator);
/* Whether another's outcomes are lent to it. */
bool fuser_lends_to(const struct fuser *fuser, size_t generator);
/* The vector of a text under a built-in embedder that the bundle has: as many floats as its
 * dim. Zeros where the text leaves nothing to go by. Tens of microseconds. */
void fuser_embed(const struct fuser *fuser, size_t embedder, const char *text,
                 size_t bytes, float *ret_vector);
/* Index of the configuration's embedder in the bundle, or -1. */
int fuser_embedder_in_bundle(const struct fuser *fuser, size_t embedder);

/* -- a session: one prompt's walk -- */

/* All arrays count as in struct fuser_names. What is asked is copied. */
struct fuser_ask {
    double lambda;      /* loss per USD: 1 / value_usd; >= 0 */
    double wait;        /* loss per second of waiting; >= 0 */
    double min_quality; /* 0: none */
    /* Standard errors by which the gain over the best fixed generator must exceed 0 for another
     * to stand first: of the paired differences among the neighbours; 0: none. The best fixed one is
     * that of the mean over domains: a prompt that nothing like it is known of may be of any. */
    double switch_z;
    /* The same for the purchase of evidence that costs anything; 0: as in the paper. */
    double gain_se;
    /* Query one free embedder even where no evidence pays: predictions are then this prompt's
     * own, and the best fixed generator still stands first. */
    bool look;
    int64_t ceiling_pico; /* for all that is bought from here on; INT64_MAX: none */
    const char *text;     /* for built-in embedders; borrowed while the session lives */
    size_t text_bytes;
    uint32_t max_output_tokens; /* clips the expected output; 0: no limit */
    struct fuser_ask_generator {
        bool allowed, held;   /* held: it stands in for the best fixed one */
        int64_t prompt_pico;  /* expected price of this prompt's tokens plus the fee per
                                 request */
        int64_t input_pico;   /* price of one input token: prices calibration rows */
        int64_t output_pico;  /* price of one output token */
        int64_t request_pico; /* fee per request */
        int64_t worst_pico;   /* upper bound for this request, or INT64_MAX when there is
                                 none */
    } const *generators;
    struct fuser_ask_embedder {
        bool allowed;
        int64_t price_pico; /* for this prompt */
        double wait_ms;     /* what a call is expected to take */
    } const *embedders;
};

enum fuser_action {
    FUSER_QUERY,  /* get the vector of `embedder`, then fuser_tell or fuser_fail */
    FUSER_ANSWER, /* nothing more is worth its price: fuser_verdict */
};

struct fuser_step {
    enum fuser_action action;
    size_t embedder; /* when QUERY */
};

/* Why the walk ended. The word is what records and headers show. */
#define FUSER_STOPS(X)                                                                   \
    X(RUNNING, "running")                                                                \
    X(NO_GAIN, "no_gain")       /* the next piece would not pay */                       \
    X(ALL_BOUGHT, "all_bought") /* every allowed embedder was queried */                 \
    X(NOT_WORTH,                                                                         \
      "not_worth")        /* the best fixed generator is as good as any first step */    \
    X(CEILING, "ceiling") /* what would pay does not fit below the ceiling */            \
    X(NO_EVIDENCE, "no_evidence") /* no embedder is allowed, known or alive */

enum fuser_stop {
#define X(name, word) FUSER_STOP_##name,
    FUSER_STOPS(X)
#undef X
};
const char *fuser_stop_word(enum fuser_stop stop);

/* What the neighbours are worth. */
#define FUSER_EVIDENCE(X)                                                                \
    X(GOOD, "good")                                                                      \
    X(NONE, "none")       /* no vector at all */                                         \
    X(TOO_FEW, "too_few") /* too few known cells near */                                 \
    X(TOO_FAR,                                                                           \
      "too_far") /* farther than all but 1 in 1000 calibration rows are from theirs */

enum fuser_evidence {
#define X(name, word) FUSER_EVIDENCE_##name,
    FUSER_EVIDENCE(X)
#undef X
};
const char *fuser_evidence_word(enum fuser_evidence evidence);

struct fuser_session;

/* Takes a reference on the fuser. NAN, infinities and negative prices are INVALID. */
FUSER_NODISCARD enum fuser_err fuser_session_new(struct fuser *fuser,
                                                 const struct fuser_ask *ask,
                                                 struct fuser_session **ret_session,
                                                 struct fuser_error *error);
void fuser_session_free(struct fuser_session *session); /* takes NULL */

/* One step for n sessions of one fuser; those that are due are searched in one batch.
 * Built-in embedders are queried inside, so a caller only ever sees QUERY for a remote
 * one. ret_steps: n. */
void fuser_next(struct fuser_session *const *sessions, size_t n,
                struct fuser_step *ret_steps);

/* The vector of the embedder asked for, what was paid and waited. INVALID or MISMATCH
 * (dim, NAN, zero) leaves the session as it was: call fuser_fail then. */
FUSER_NODISCARD enum fuser_err fuser_tell(struct fuser_session *session, size_t embedder,
                                          const float *vector, size_t dim,
                                          int64_t paid_pico, double waited_ms,
                                          struct fuser_error *error);
/* The embedder did not deliver: it is banned for this session. What it may have cost
 * counts. */
void fuser_fail(struct fuser_session *session, size_t embedder, int64_t paid_pico);

struct fuser_ranked {
    size_t generator;
    double quality, quality_se; /* predicted, and its standard error */
    double utility;             /* quality - lambda * expected cost - wait * latency */
    double output_tokens;       /* expected */
    double latency_ms;          /* expected; NAN where the rows carry none */
    int64_t expected_pico, worst_pico;
    double lent;      /* share of the estimate that another generator lent, 0..1 */
    uint32_t known;   /* neighbours with a known cell */
    bool affordable;  /* worst_pico fits into what remains */
    bool good_enough; /* quality reaches min_quality */
};

struct fuser_neighbour {
    const char *id;     /* calibration row, borrowed from the bundle */
    const char *domain; /* or NULL */
    float distance;     /* squared, mean over the embedders queried: 0..4 */
    float weight;
};

struct fuser_walked {
    int embedder;       /* bought in this step, or -1 for the last one, in which the walk
                           stopped */
    double loss_before; /* L(x, S, S): expected loss of answering at once */
    int64_t price_pico; /* asked */
    struct fuser_candidate {
        bool open;   /* was a candidate in this step */
        double loss; /* L(x, S u j, S), its price included */
        double
            gain_se; /* standard error of loss_before - loss, over the rows that both are
                           means of; INFINITY from fewer than two */
    } candidates[FUSER_MAX_EMBEDDERS]; /* counts as in fuser_names.embedders */
};

struct fuser_verdict {
    size_t n_ranked; /* affordable and good enough first, then by utility; masked ones are
                        absent */
    /* Behind these in `ranked`: those that another lends to and too few neighbours know. They are not chosen but to
     * explore: affordable and good enough first, then by utility and one standard error, the most promising first. */
    size_t n_lent;
    struct fuser_ranked ranked[FUSER_MAX_GENERATORS];
    size_t n_neighbours;
    struct fuser_neighbour
        neighbours[FUSER_MAX_NEIGHBOURS]; /* nearest first, ties by row */
    size_t n_steps;
    struct fuser_walked steps[FUSER_MAX_EMBEDDERS + 1];
    enum fuser_stop stop;
    enum fuser_evidence evidence;
    const char *domain; /* likeliest, or NULL */
    bool
        kept_default; /* the best fixed generator stands first although others promise more: their gain was
                           within switch_z standard errors */
    int64_t paid_pico; /* for evidence */
};

/* remaining_pico: what may still be spent on a generator. May be called again, after a
 * failed attempt, with less. Strings in the verdict live as long as the session's fuser.
 */
void fuser_verdict(const struct fuser_session *session, int64_t remaining_pico,
                   struct fuser_verdict *ret_verdict);

/* -- the graph reading (section 4 of the paper) --------------------------------------------------
 *
 * Nodes are the subsets of the embedders, an edge adds one at its price, and a terminal edge
 * from each subset costs the loss expected of answering there. The walk is greedy and does not
 * go back; the shortest path to an answer says what that may have cost. Subsets are bit masks
 * that count as in struct fuser_names.
 */
struct fuser_graph {
    uint32_t members;                  /* embedders whose vector of the prompt is known */
    double price[FUSER_MAX_EMBEDDERS]; /* of an edge, in units of loss; 0 of others */
    double loss
        [1 << FUSER_MAX_EMBEDDERS]; /* terminal edges: mean over the table rows nearest
                                              under that subset; INFINITY where a vector is not
                                              known or the ceiling does not reach */
    uint32_t walked; /* where the session's walk answers, as far as it has come */
    uint32_t
        best; /* end of the shortest path; ties: fewer members, then the lower mask */
};

/* Exact scans of all rows, once per embedder. vectors: NULL, or per embedder of the names NULL or
 * the dim floats of a remote one that the session was not told (and may be asked); of the
 * others the session knows or makes them. The session is not changed. INVALID: no generator with
 * rows is allowed. */
FUSER_NODISCARD enum fuser_err fuser_graph(const struct fuser_session *session,
                                           const float *const *vectors,
                                           struct fuser_graph *ret_graph,
                                           struct fuser_error *error);
/* Prices and loss of answering at a subset: the length of every path through it. */
double fuser_graph_length(const struct fuser_graph *graph, uint32_t subset);

#ifdef __cplusplus
}
#endif
#endif
