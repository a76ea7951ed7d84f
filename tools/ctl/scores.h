/* scores.h - scores that clients gave as rows of a build; which and how, says lessons.h.
 */
#ifndef TOOLS_CTL_SCORES_H
#define TOOLS_CTL_SCORES_H

#include <stddef.h>

#include "fuser/fuser.h"
#include "gateway/flow/lessons.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/rowset.h"

struct scores_wish {
    const char *store; /* the gateway's database */
    const char *key;   /* scores that teach this key alone are taken too; NULL: none */
    double share;      /* of one key in the calibration rows, 0..1 */
};

/* Adds to the rows of the set. */
NODISCARD enum fault_err scores_add(const struct scores_wish *wish,
                                    const struct rowset *set, struct fuser_rows *rows,
                                    struct lessons_taken *ret_taken, struct fault *fault);

#endif
