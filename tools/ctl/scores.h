/* scores.h - scores that clients gave, out of the gateway's database, as calibration rows.
 *
 * A score becomes a sparse row: the prompt's text (and its vectors, where they were kept and
 * come from the model in use), and one cell, that of the expert which answered:
 *
 *     quality = weight * score + (1 - weight) * predicted quality
 *
 * so that a score that is half sure moves the estimate half as far. Where nothing was
 * predicted the score stands alone.
 *
 * Bounds against poisoning: scores that are to teach their own key alone are left out unless
 * the build is for that key; one key gives no more than `share` of the calibration rows, its
 * newest.
 */
#ifndef TOOLS_CTL_SCORES_H
#define TOOLS_CTL_SCORES_H

#include <stddef.h>

#include "fuser/fuser.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/rowset.h"

struct scores_wish {
    const char *store; /* the gateway's database */
    const char *key;   /* scores that teach this key alone are taken too; NULL: none */
    double share;      /* of one key in the calibration rows, 0..1 */
};

struct scores_taken {
    size_t given;    /* in the database */
    size_t taken;    /* became rows */
    size_t foreign;  /* teach another key alone */
    size_t unknown;  /* of experts that are not built in */
    size_t textless; /* neither text nor a usable vector was kept */
    size_t crowded;  /* beyond their key's share */
};

/* Adds to the rows of the set. */
NODISCARD enum fault_err scores_add(const struct scores_wish *wish,
                                    const struct rowset *set, struct fuser_rows *rows,
                                    struct scores_taken *ret_taken, struct fault *fault);

#endif
