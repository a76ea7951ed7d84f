/* fill.h - what is to be expected of cells that nobody recorded, by the others of their rows.
 *
 * Where cells are missing, two generators' means are taken over different prompts, and one that happened to get
 * the hard ones looks worse than it is. A row's known cells tell how hard its prompt is; so a missing one is
 *
 *     quality = mean + deviation * load * t        t: how easy the row is, in standard deviations
 *
 * with what is expected of the generator, how far it strays from that, and its correlation with t (load). t is one
 * common factor of a priori variance 1, and its value the posterior mean given the row's known cells (Spearman 1904;
 * Thomson's regression scores, 1939):
 *
 *     information I = sum over known g of load^2 / (1 - load^2)
 *     t = sum over known g of load / (1 - load^2) * (quality - mean) / deviation  /  (1 + I)
 *
 * The share of a cell's variance that is explained so is its *worth*, load^2 * I / (1 + I): what it counts beside a
 * known cell, which counts 1. Of a generator that is not known together with others, or in a row of which nothing is
 * known, the worth is 0 and the quality NAN: nothing is made up. Loads are fitted to the correlations of all pairs of
 * generators, each over the rows that know both and drawn towards 0 where these are few.
 *
 * Here the mean is that of the generator in the row's domain; profile.c fills its targets again about what it
 * predicts. Bundles without missing cells have no fill and are what they would be without this file.
 *
 * Threads: immutable once made.
 */
#ifndef FUSER_FILL_H
#define FUSER_FILL_H

#include "fuser/prior.h"

struct fill {
    size_t n;                               /* generators */
    double deviation[FUSER_MAX_GENERATORS]; /* of a quality from its mean; > 0 */
    double load[FUSER_MAX_GENERATORS];      /* 0..1 */
    double fullness;                        /* mean worth of a cell, 0..1 */
};

/* Fits a fill, and with it cells->likely and cells->worth, unless every quality is known: then all three stay NULL.
 * prior: the means of the known cells. What is made belongs to the caller, also on failure. NOMEM. */
FUSER_NODISCARD enum fuser_err fill_cells(struct cells *cells, const struct prior *prior,
                                          struct fill **ret_fill);

/* One row: `quality` and `mean` are of n generators, NAN where quality is not known. ret_worth may be NULL. */
void fill_row(const struct fill *fill, const float *quality, const double *mean,
              float *ret_likely, float *ret_worth);

#endif
