/* recut.h - routing texts of a store's prompts, made again by another rule.
 *
 * The store keeps what was asked (messages) beside the text that was made of it, so a rule can be
 * changed without asking anybody anything. Vectors of remote embedders belong to a text and go with
 * it: a build fetches those that it needs. The store keeps the texts of the last rule.
 */
#ifndef TOOLS_CTL_RECUT_H
#define TOOLS_CTL_RECUT_H

#include <stddef.h>

#include "gateway/domain/routing_text.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/options.h"

/* Of prompts of these splits (none: all) whose text was made by another rule; *ret_n of them.
 * All or none of them are changed. */
NODISCARD enum fault_err recut_prompts(struct calib *store,
                                       const struct option_list *splits,
                                       const struct routing_rule *rule, size_t *ret_n,
                                       struct fault *fault);

#endif
