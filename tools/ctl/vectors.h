/* vectors.h - fetches what an embedding expert says about many texts into the store.
 *
 * Texts go out in batches, a few at once; every batch is in the store before the next
 * takes its place, so that a run that is cut short goes on where it ended. A batch that
 * fails is tried again with growing pauses; when it fails for good, so does the fetch.
 */
#ifndef TOOLS_CTL_VECTORS_H
#define TOOLS_CTL_VECTORS_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/domain/config.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/network.h"

#define VECTORS_BATCH     32 /* texts in a call */
#define VECTORS_IN_FLIGHT 4 /* calls at once; max_in_flight of the expert holds as well */
#define VECTORS_ATTEMPTS  4 /* per batch */

struct vectors_text {
    int64_t prompt;   /* row in the store */
    const char *text; /* routing text, borrowed */
};

struct vectors_fetched {
    size_t texts;
    int64_t cost_pico; /* by reported tokens, or a quarter of the bytes */
};

/* The expert has an embedding; its name is the embedder's in the store. Shows a progress
 * bar on a terminal. */
NODISCARD enum fault_err
vectors_fetch(struct network *network, const struct config_expert *expert,
              struct calib *store, const struct vectors_text *texts, size_t n_texts,
              struct vectors_fetched *ret_fetched, struct fault *fault);

#endif
