/* material.h - recorded outcomes to decide on, from folders or the store: what tune and eval compare
 * have in common.
 *
 *   material_open(&material, wish, fault)
 *   material_embedder(&material, info, &price, &vectors, fault)      once per embedder that is used
 *   material_release(&material)
 *
 * With a configuration, prices are today's in it and not those at which the answers were bought, and only
 * experts count that it has: so that what is found out holds for the gateway that runs by it.
 */
#ifndef TOOLS_CTL_MATERIAL_H
#define TOOLS_CTL_MATERIAL_H

#include <stdbool.h>

#include "fuser/fuser.h"
#include "gateway/domain/config.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/options.h"
#include "tools/ctl/outcomes.h"
#include "tools/ctl/splits.h"
#include "tools/ctl/trial.h"

/* All borrowed. */
struct material_wish {
    const char *store, *config;        /* each NULL: none */
    const struct option_list *folders; /* as for outcomes_read, instead of a store */
    const struct option_list
        *splits; /* of the store; empty: `split` where it has any such
                                          prompts, or all */
    const char *split;
    const struct option_list *models; /* empty: all that are configured, or all */
    /* Of a store: its texts are cut anew by this rule, where they are not by it already. rule NULL:
     * they are taken as they are. strip: text_rule.h. */
    const char *rule;
    bool strip;
};

struct material {
    struct material_wish wish;
    struct config *config; /* NULL: none */
    struct calib *store;   /* NULL: a folder */
    struct outcomes *outcomes;
    int64_t *prompts;     /* rows of the store, ascending; NULL: a folder */
    struct splits splits; /* that were taken, of the store */
    size_t n_vectors;
    struct trial_vectors vectors[2 * FUSER_MAX_EMBEDDERS];
};

NODISCARD enum fault_err material_open(struct material *material,
                                       const struct material_wish *wish,
                                       struct fault *fault);
/* By info->name: built in, or an expert of the configuration whose vectors are in the store. Fills
 * kind, model and dim; *ret_vectors is NULL where it is built in. *ret_pico: what a vector costs
 * on average. */
NODISCARD enum fault_err material_embedder(struct material *material,
                                           struct fuser_embedder_info *info,
                                           int64_t *ret_pico,
                                           const struct trial_vectors **ret_vectors,
                                           struct fault *fault);
/* Makes the texts again by the bundle's rule, in memory: whoever decides by a bundle reads prompts as it
 * does. FAULT_INPUT: it has remote embedders, and their vectors in the store are of other texts. */
NODISCARD enum fault_err material_cut(struct material *material,
                                      const struct fuser_bundle *bundle,
                                      struct fault *fault);
void material_release(struct material *material); /* takes a zeroed one */

#endif
