/* prior.h - what is known of a generator before looking closely: means per domain.
 *
 * routing.md, point 2 (empirical Bayes): an estimate from neighbours is drawn towards
 *
 *     sum over domains d of p(d|x) * mean of the generator in d
 *
 * where p(d|x) is the vote of the nearest PRIOR_VOTERS rows that have a domain. Domains
 * are the labels of the rows, or clusters of the vectors where there are no labels. The
 * mean of a thin domain is itself drawn towards the mean over all rows, and that towards
 * 1/2.
 *
 * Threads: immutable once made.
 */
#ifndef FUSER_PRIOR_H
#define FUSER_PRIOR_H

#include <math.h>

#include "fuser/fuser.h"
#include "fuser/kernel.h"

#define PRIOR_VOTERS    20
#define PRIOR_NO_DOMAIN UINT32_MAX

/* Outcomes of all rows, as they lie in a bundle; each n x n_generators, row-major. NAN:
 * not known, but input is always known. */
struct cells {
    size_t n, n_generators;
    float *quality, *input, *output, *latency;
    /* Derived, NULL where every quality is known (fill.h): what the qualities are or may be expected to be, and
     * what each counts beside a known one, 0..1. */
    float *likely, *worth;
};

/* What a cell's quality is or may be expected to be, and what that counts: 0 where nothing is known. */
static inline double cells_quality(const struct cells *cells, size_t cell,
                                   double *ret_worth)
{
    if (!cells->worth) {
        *ret_worth = isnan(cells->quality[cell]) ? 0 : 1;
        return (double)cells->quality[cell];
    }
    *ret_worth = (double)cells->worth[cell];
    return (double)cells->likely[cell];
}

/* A prompt's length is known before any answer: where one of a row's n cells lacks it, the mean of
 * the others, or the text's length, or `rest` stands in. */
void cells_fill_input(float *line, size_t n, size_t text_bytes, bool text, float rest);

/* Sums over the known cells of one generator in one domain. */
struct prior_sum {
    double n, quality, squares;
    double worth,
        likely; /* of all cells: what they count, and their qualities in that weight */
    double n_output, output;
    double n_latency, latency;
};

struct prior {
    size_t n_domains, n_generators;
    struct prior_sum
        *sums;      /* (n_domains + 1) x n_generators; the last block is all rows */
    double *output; /* n_generators: mean output tokens, never NAN */
    const uint32_t *domain_of; /* borrowed: per row, or PRIOR_NO_DOMAIN */
    const struct cells *cells; /* borrowed */
};

/* domain_of: n entries below n_domains or PRIOR_NO_DOMAIN; it and cells outlive the
 * prior. */
FUSER_NODISCARD enum fuser_err prior_init(struct prior *prior, const struct cells *cells,
                                          const uint32_t *domain_of, size_t n_domains);
void prior_release(struct prior *prior);

struct prior_vote {
    uint32_t domain;
    float share; /* all shares add up to 1 */
};

/* Votes of the nearest rows, the largest share first, ties to the lower domain. ret: room
 * for PRIOR_VOTERS. Returns how many domains got one. */
size_t prior_vote(const struct prior *prior, const struct near *near, size_t n_near,
                  struct prior_vote *ret);

struct prior_mean {
    double quality, variance; /* of one row's quality */
    double output_tokens;     /* never NAN */
    double latency_ms;        /* NAN where no row knows it */
};

/* What to expect of generator g. `except`: a row that must not count, or KERNEL_NO_ROW.
 */
struct prior_mean prior_expect(const struct prior *prior, const struct prior_vote *votes,
                               size_t n_votes, size_t g, uint32_t except);

#endif
