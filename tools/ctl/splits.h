/* splits.h - which prompts of a store a command means when nobody says.
 *
 * One rule for all: what was named; else the command's own split, 'calib' to learn from and
 * 'dev' to measure on, where the store has any such prompt; else every prompt. So what was
 * held out at the import stays so without another word. */
#ifndef TOOLS_CTL_SPLITS_H
#define TOOLS_CTL_SPLITS_H

#include "tools/ctl/calib.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/options.h"

#define SPLIT_CALIB "calib"
#define SPLIT_DEV   "dev"

struct splits {
    struct option_list list; /* empty: every prompt; borrowed from `named`, or of own */
    char *own[1];
};

/* usual: a literal. The splits stay where they are: the list points into them. */
NODISCARD enum fault_err splits_find(struct splits *splits, struct calib *store,
                                     const struct option_list *named, const char *usual,
                                     struct fault *fault);

#endif
