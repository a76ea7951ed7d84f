/* routing.h - one decision about a prompt, made by the gateway's own code: what `route` and
 * `explain-graph` have in common.
 *
 *   prompt --> question --> order_make --> decision_begin .. decision_buy --> plan
 *              (chat)       (policy,       (fuser, embedders over HTTP)
 *                            options)
 *
 *   routing_open(&routing, options, prompt)     the decision is READY
 *   routing_release(&routing)
 *
 * Nothing is generated; remote embedders are asked, and paid for, as the gateway would.
 */
#ifndef TOOLS_CTL_ROUTING_H
#define TOOLS_CTL_ROUTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/arena.h"
#include "gateway/domain/frugal_headers.h"
#include "gateway/domain/metrics.h"
#include "gateway/flow/decider.h"
#include "gateway/flow/decision.h"
#include "gateway/flow/order.h"
#include "gateway/flow/purse.h"
#include "gateway/flow/snapshot.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/network.h"
#include "tools/ctl/options.h"
#include "tools/ctl/question.h"

struct routing_options {
    const char *config, *policy;
    const char *value_usd, *lambda, *budget_usd, *on_budget, *min_quality, *experts;
    const char *tags;
    int64_t output_tokens;
};

/* What a request may ask for, as lines of a command's table whose struct has its struct
 * routing_options `at` bytes from its beginning. */
/* clang-format off */
#define ROUTING_OPTIONS(at) \
    { .name = "policy", \
      .kind = OPTION_TEXT, \
      .value = "NAME", \
      .help = "a policy or an expert, as `model` of a request; the first policy when " \
              "absent", \
      .offset = (at) + offsetof(struct routing_options, policy) }, \
    { .name = "value-usd", \
      .kind = OPTION_TEXT, \
      .value = "USD", \
      .help = "what one right answer is worth", \
      .offset = (at) + offsetof(struct routing_options, value_usd) }, \
    { .name = "lambda", \
      .kind = OPTION_TEXT, \
      .value = "X", \
      .help = "quality per USD: 1 / value", \
      .offset = (at) + offsetof(struct routing_options, lambda) }, \
    { .name = "budget-usd", \
      .kind = OPTION_TEXT, \
      .value = "USD", \
      .help = "ceiling of all that the request may cost", \
      .offset = (at) + offsetof(struct routing_options, budget_usd) }, \
    { .name = "on-budget", \
      .kind = OPTION_TEXT, \
      .value = "HOW", \
      .help = "trim, downgrade or reject when the ceiling cannot be met", \
      .offset = (at) + offsetof(struct routing_options, on_budget) }, \
    { .name = "min-quality", \
      .kind = OPTION_TEXT, \
      .value = "Q", \
      .help = "least predicted quality, 0 to 1", \
      .offset = (at) + offsetof(struct routing_options, min_quality) }, \
    { .name = "experts", \
      .kind = OPTION_TEXT, \
      .value = "NAMES", \
      .help = "allowed experts, separated by commas", \
      .offset = (at) + offsetof(struct routing_options, experts) }, \
    { .name = "tags", \
      .kind = OPTION_TEXT, \
      .value = "TAGS", \
      .help = "name=value, separated by commas: for rules", \
      .offset = (at) + offsetof(struct routing_options, tags) }, \
    { .name = "max-output-tokens", \
      .kind = OPTION_COUNT, \
      .value = "N", \
      .help = "output limit of the request; 0: it has none", \
      .fallback = "0", \
      .max = 1000000, \
      .offset = (at) + offsetof(struct routing_options, output_tokens) }
/* clang-format on */

/* Opened by routing_open, borrowed by whoever shows it. */
struct routing {
    const struct routing_options *options;
    struct metrics *metrics;
    struct snapshot *snapshot;
    struct network network;
    bool online; /* network is set up */
    struct question *question;
    struct arena arena;
    struct frugal_options wishes;
    struct order order;
    struct purse purse;
    struct decider decider;
    struct decision decision;
};

/* The option of a configuration is set. Whatever comes of it: routing_release. */
NODISCARD enum fault_err routing_open(struct routing *routing,
                                      const struct routing_options *options,
                                      const char *prompt, struct fault *fault);
void routing_release(struct routing *routing);

/* The options of a request, through the parser of the headers that they stand for; what is kept
 * lives in the arena. */
NODISCARD enum fault_err routing_wishes(const struct routing_options *options,
                                        struct arena *arena,
                                        struct frugal_options *ret_wishes,
                                        struct fault *fault);
/* The operand, or all of standard input for "-"; to be freed. */
NODISCARD enum fault_err routing_prompt(const char *operand, char **ret_prompt,
                                        struct fault *fault);

#endif
