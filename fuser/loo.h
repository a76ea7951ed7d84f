/* loo.h - leave-one-out tables: how well each subset of embedders would have served each
 * row.
 *
 * frugalfoe.md section 2.1. For every non-empty subset S of the embedders and every row
 * of the table, the estimated quality and output tokens of every generator, made from the
 * row's neighbours under S without the row itself. They hold no price, lambda or mask:
 * the loss of any request is computed from them on the spot:
 *
 *     route(S, m) = argmax_k  q[S][m][k] - cost_k(tokens[S][m][k])
 *     loss(S, m)  = 1 - Q[m][r] + cost_r(T[m][r])                      r = route(S, m)
 *
 * where cost is in units of loss (struct loo_terms). Where Q[m][r] is not known, what
 * the row's known cells say of it stands in (fill.h), or the estimate where they say nothing.
 *
 * Shapes: (n_subsets) x n_rows x n_generators floats, subset S at S - 1. At most
 * FUSER_TABLE_ROWS rows and LOO_BYTES_MAX: beyond, the rows are a sample.
 *
 * Threads: immutable once built.
 */
#ifndef FUSER_LOO_H
#define FUSER_LOO_H

#include "fuser/head.h"

#define LOO_BYTES_MAX ((size_t)512 << 20)
#define LOO_START_ROWS                                                                   \
    1024 /* rows behind the first step: a paired mean within about .01 */
#define LOO_LOSSES_MAX 4096 /* rows that a mean loss is taken over, at most */
#define LOO_PLAIN_ROWS 1000 /* fewer could not tell anything */
#define LOO_FAR_NEAR   10 /* nearest rows whose mean distance tells how far a prompt is */
#define LOO_FAR_SHARE  0.999

struct fuser_bundle;

/* Rows spread over the table, turned so that one generator's values lie side by side. */
struct loo_start {
    size_t n;
    float *
        quality; /* n_embedders x n_generators x n: estimates under that embedder alone */
    float *tokens;
    float *truth;  /* known quality, or the estimate; blind: n_generators x n follows */
    float *input;  /* n_generators x n */
    float *output; /* n_generators x n: known tokens, or their mean */
};

struct loo {
    size_t n_rows, n_subsets, n_generators;
    uint32_t *rows;    /* n_rows, ascending: which rows of the bundle */
    uint32_t *slot_of; /* per row of the bundle its place, or KERNEL_NO_ROW */
    float *quality, *tokens;
    float *far; /* n_subsets: mean distances beyond this are too far */
    uint64_t
        plain; /* bit S - 1: under subset S the head's simpler one decides, see loo_build */
    struct loo_start start;
};

/* A request's prices in units of loss. Arrays count generators of the bundle. */
struct loo_terms {
    double fixed[FUSER_MAX_GENERATORS];  /* fee and waiting */
    double input[FUSER_MAX_GENERATORS];  /* per token */
    double output[FUSER_MAX_GENERATORS]; /* per token */
    double output_limit;                 /* tokens; INFINITY: none */
    double min_quality;
};

/* Generators that may be chosen, in the order in which ties are decided. */
struct loo_choice {
    size_t n;
    uint8_t order[FUSER_MAX_GENERATORS];
};

/* Which rows a bundle of that shape has in its table. ret_rows: room for n. */
size_t loo_pick_rows(size_t n, size_t n_generators, size_t n_embedders, uint64_t seed,
                     uint32_t *ret_rows);

/* Builds the tables of a bundle that is complete but for them; loo->rows is filled, and loo is the bundle's.
 * choose: where a head has a simpler one, and LOO_PLAIN_ROWS rows or more, left out, do not tell by one standard
 * error that it errs less in what a decision rests on, differences between generators, neither under a subset of the embedders
 * nor under all of them, the simpler one answers under that subset from now on, and the tables are made by it. Otherwise loo->plain stays as it is. */
FUSER_NODISCARD enum fuser_err loo_build(const struct fuser_bundle *bundle,
                                         struct loo *loo, bool choose,
                                         fuser_progress_fn progress, void *context,
                                         struct fuser_error *error);
/* Derives slot_of and start; quality, tokens and rows are filled. */
FUSER_NODISCARD enum fuser_err loo_derive(const struct fuser_bundle *bundle,
                                          struct loo *loo);
void loo_release(struct loo *loo);

/* The losses of one way to answer, row by row, so that two ways can be compared on the same
 * rows. Only the first n are set. */
struct loo_losses {
    size_t n;
    double mean;
    double row[LOO_LOSSES_MAX];
};

/* Losses of answering under `subset` on m table rows (bundle's row numbers).
 * 0 < m <= LOO_LOSSES_MAX, choice->n > 0. */
void loo_near_losses(const struct fuser_bundle *bundle, uint32_t subset,
                     const struct near *near, size_t m, const struct loo_terms *terms,
                     const struct loo_choice *choice, struct loo_losses *ret);

/* The same on the start rows, for embedder e alone: what a first purchase is worth when
 * nothing is known of the prompt. */
void loo_first_losses(const struct fuser_bundle *bundle, size_t e,
                      const struct loo_terms *terms, const struct loo_choice *choice,
                      struct loo_losses *ret);

/* The same for the best fixed generator, no embedding bought. */
void loo_blind_losses(const struct fuser_bundle *bundle, const struct loo_terms *terms,
                      const struct loo_choice *choice, struct loo_losses *ret);

/* Standard error of the difference of two means over the same rows; INFINITY from fewer
 * than two. */
double loo_paired_error(const struct loo_losses *a, const struct loo_losses *b);

/* Mean distance of the nearest few: what `far` is compared with. INFINITY without any. */
float loo_distance(const struct near *near, size_t n_near);

#endif
