/* tune_policies.h - the three policies that tune found, for the configuration and for people. */
#ifndef TOOLS_CTL_TUNE_POLICIES_H
#define TOOLS_CTL_TUNE_POLICIES_H

#include <jansson.h>

#include "tools/ctl/outcomes.h"
#include "tools/ctl/target.h"
#include "tools/ctl/trial.h"

/* All borrowed. */
struct tune_policies {
    const struct target_choice *choice;
    const struct trial_how *how; /* by which the curve was decided */
    const struct outcomes *outcomes;
    const uint8_t
        *fixed; /* per lambda of the curve: who answers where the evidence is poor */
    const char *bundle; /* id of what was built, or NULL */
};

/* What stands under "policies" of a configuration. */
json_t *tune_policies_json(const struct tune_policies *policies);
/* target: in words, or NULL; rows: prompts. */
void tune_policies_print(const struct target_choice *choice, const char *target,
                         size_t rows);

#endif
