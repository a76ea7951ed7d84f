/* outcomes.h - recorded outcomes of one or several folders, side by side, for eval routing.
 *
 *   outcomes_read({"A:calib,dev", "B:calib"}, models, &outcomes)
 *
 * Folders are joined by the models' names; a model that a folder lacks is not known there. Ids of a second
 * folder are told apart by its name. Costs are the recorded ones, tokens follow from them (dataset.h).
 */
#ifndef TOOLS_CTL_OUTCOMES_H
#define TOOLS_CTL_OUTCOMES_H

#include <stddef.h>
#include <stdint.h>

#include "fuser/fuser.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/options.h"

struct outcomes_row {
    char *id, *domain, *text; /* domain: NULL for none */
    char *messages;           /* what the text was cut out of: a JSON array */
    double input_tokens;
};

/* Cell (i, j) of row i and model j is at i * n_models + j. NAN: not known. */
struct outcomes {
    size_t n, n_models;
    char *models[FUSER_MAX_GENERATORS];
    int64_t input_pico[FUSER_MAX_GENERATORS],
        output_pico[FUSER_MAX_GENERATORS]; /* a token */
    int64_t
        request_pico[FUSER_MAX_GENERATORS]; /* a request; 0 where it is not recorded */
    struct outcomes_row *rows;
    double *quality, *cost_usd, *input, *output; /* output: tokens */
};

/* specs: "DIR" or "DIR:split", where an item without ':' that is no folder is one more split of the folder
 * before it. models: those only, in that order; empty: all of the first spec's folder and then the others'. */
NODISCARD enum fault_err outcomes_read(const struct option_list *specs,
                                       const struct option_list *models,
                                       struct outcomes **ret_outcomes,
                                       struct fault *fault);
/* The same from a calibration store, at the prices in it. splits, models: those only; empty: all. Prompts come
 * in the order of the store, and their rows there in *ret_prompts, ascending, to be freed. */
NODISCARD enum fault_err outcomes_of_store(struct calib *store,
                                           const struct option_list *splits,
                                           const struct option_list *models,
                                           struct outcomes **ret_outcomes,
                                           int64_t **ret_prompts, struct fault *fault);
void outcomes_free(struct outcomes *outcomes); /* takes NULL */

#endif
