/* text_rule.h - the rule of the routing texts that a command builds by, from its options.
 *
 * --routing-text says the rule; --strip-common-prefix adds the templates that the store's prompts
 * share. Released by routing_rule_release.
 */
#ifndef TOOLS_CTL_TEXT_RULE_H
#define TOOLS_CTL_TEXT_RULE_H

#include <stdbool.h>

#include "gateway/domain/routing_text.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/options.h"

#define TEXT_RULE_STRIP_HELP                                                             \
    "what a twentieth of the prompts or more begin with, 32 bytes or more, is taken "    \
    "off "                                                                               \
    "before a text is embedded, so that a template does not drown the question; kept "   \
    "in "                                                                                \
    "the bundle, and the gateway takes it off likewise"

/* text: of --routing-text, or NULL. splits: whose prompts are looked at; none: all. */
NODISCARD enum fault_err
text_rule_make(struct calib *store, const struct option_list *splits, const char *text,
               bool strip, struct routing_rule *ret_rule, struct fault *fault);

#endif
