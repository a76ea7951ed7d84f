/* graders.h - the graders of a run, each spelling read once.
 *
 *   struct graders graders = { 0 };
 *   graders_get(&graders, "number", &grader, fault)     borrowed until graders_release
 *   graders_release(&graders)
 */
#ifndef TOOLS_CTL_GRADERS_H
#define TOOLS_CTL_GRADERS_H

#include <stddef.h>

#include "tools/ctl/fault.h"
#include "tools/ctl/grader.h"
#include "tools/ctl/names.h"

struct graders {
    struct names specs; /* spelling -> place in all */
    struct grader **all;
    size_t n;
};

NODISCARD enum fault_err graders_get(struct graders *graders, const char *spec,
                                     const struct grader **ret_grader,
                                     struct fault *fault);
void graders_release(struct graders *graders); /* takes a zeroed one */

#endif
