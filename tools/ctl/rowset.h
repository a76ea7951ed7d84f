/* rowset.h - what the store knows, as the fuser's rows.
 *
 *      rowset_open(&set, wish)      experts, embedders and prompts are chosen and checked;
 *                                   vectors that the store lacks are fetched into it
 *      rowset_rows(&set, &rows)     prompts, cells and vectors
 *      rowset_release(&set)
 */
#ifndef TOOLS_CTL_ROWSET_H
#define TOOLS_CTL_ROWSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuser/fuser.h"
#include "gateway/base/err.h"
#include "gateway/domain/config.h"
#include "gateway/domain/routing_text.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/network.h"
#include "tools/ctl/options.h"
#include "tools/ctl/vectors.h"

/* All borrowed until rowset_release. */
struct rowset_wish {
    struct calib *store;
    const char *calib_path;      /* for messages */
    const struct config *config; /* where remote embedders are; NULL: none can be asked */
    const struct option_list *embedders;
    const struct option_list *experts; /* empty: every one with a known quality */
    const struct option_list *splits;  /* empty: every prompt */
    const struct routing_rule *rule;   /* by which texts are made of what was asked */
};

struct rowset_prompt {
    int64_t row; /* in the store; ascending */
    size_t fuser_row;
    char *text;
    bool has_vector; /* of the embedder that is being looked at */
};

struct rowset {
    struct rowset_wish wish;
    struct network network;
    bool online; /* network is set up */
    struct rowset_prompt *prompts;
    size_t n_prompts, room;
    size_t n_recut; /* prompts whose text was made again */
    struct rowset_expert {
        int64_t row; /* in the store */
        char *name;
    } experts[FUSER_MAX_GENERATORS];
    size_t n_experts;
    struct fuser_embedder_info embedders[FUSER_MAX_EMBEDDERS];
    const struct config_expert *remotes[FUSER_MAX_EMBEDDERS]; /* NULL: built in */
    size_t n_embedders, embedder; /* embedder: that is being looked at */
    struct fuser_rows *filling;   /* while rowset_rows runs */
    struct vectors_fetched fetched;
};

NODISCARD enum fault_err rowset_open(struct rowset *set, const struct rowset_wish *wish,
                                     struct fault *fault);
/* To be freed by fuser_rows_free. */
NODISCARD enum fault_err rowset_rows(struct rowset *set, struct fuser_rows **ret_rows,
                                     struct fault *fault);
void rowset_release(struct rowset *set); /* takes a zeroed one */

/* The fuser's error as a fault; returns FAULT_FUSER. */
enum fault_err rowset_fuser_fault(enum fuser_err code, const struct fuser_error *error,
                                  struct fault *fault);

#endif
