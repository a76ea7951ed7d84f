/* label_pairs.h - which pairs of answers a person is shown: few, and from everywhere.
 *
 *   label_pairs_read(&pairs, store, config, seed, n, fault)
 *   pairs.all[i]           in the order in which they are shown
 *   label_pairs_release(&pairs)
 *
 * Of each prompt at most two pairs stand for choice, one whose qualities are close (below
 * AGREEMENT_CLOSE) and one whose are not, each drawn by the seed among those of the prompt.
 * They are dealt from strata, domain x (close, sure), in turn, so that rare domains and close
 * calls are seen although most pairs are neither. Only pairs whose texts differ and whose
 * qualities come from one grader are taken. What was labelled or skipped before stands first
 * and counts; the rest follows from seed and store alone, so a run that was left goes on.
 */
#ifndef TOOLS_CTL_LABEL_PAIRS_H
#define TOOLS_CTL_LABEL_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/domain/config.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/fault.h"

struct label_pair {
    int64_t prompt, first, second; /* rows; first < second */
    bool swapped;                  /* the second is shown as A */
    char said;                     /* of an earlier run; 0: not yet */
};

struct label_pairs {
    struct label_pair *all;
    size_t n;
    size_t before;     /* labelled or skipped in earlier runs; they stand first */
    size_t candidates; /* there were to choose from */
};

/* config: only answers of experts that it has; NULL: of all. */
NODISCARD enum fault_err label_pairs_read(struct label_pairs *ret_pairs,
                                          struct calib *store,
                                          const struct config *config, uint64_t seed,
                                          size_t most, struct fault *fault);
void label_pairs_release(struct label_pairs *pairs); /* takes a zeroed one */

#endif
