/* rules.h - what an operator says beforehand: who may answer which requests, whatever the
 * router thinks. How one bad answer is mended today.
 *
 *   "rules": [ { "name": "patients", "when": { "tag": "data=health" }, "allow": ["local"] },
 *              { "name": "sql", "when": { "regex": "(?i)\\bselect\\b" }, "pin": "coder" } ]
 *
 *   rules_look(config, &facts, &result)              by tags and text, before anything is bought
 *   if (result.open) rules_domain(config, label, &result)      once the domain is known
 *
 * A rule matches when all that stands in its `when` does. All rules are looked at, in their
 * order: `allow` and `deny` narrow who may answer, each further; of the pins that match the
 * last one counts. A pin says who is asked first, and nothing about who may answer: an expert
 * that is excluded, by a rule or otherwise, is not pinned. A text that takes too long for a
 * regex matches `allow` and `deny`, and does not match `pin`.
 *
 * A regex sees the routing text and nothing else of a request: with the default rule the last
 * user turn, of a long one its head and tail; never the input of /v1/embeddings. So it mends
 * routing and is no fence: what must never reach an expert is kept away by the `experts` of
 * keys or a rule with a tag. It may take about 2 ms of the loop, each rule's.
 *
 * The domain of a prompt is the label that the free evidence gives it (record's `domain`). It is
 * known only where the request is routed and there is a bundle with labels; elsewhere such a
 * rule does not match. Rules with `policies` bind the requests of those alone; others bind all
 * requests, also those that name their expert, but for pins and rules with a domain, which
 * are for routed ones.
 *
 * Pure; any thread; everything is borrowed.
 */
#ifndef GATEWAY_DOMAIN_RULES_H
#define GATEWAY_DOMAIN_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/base/str.h"
#include "gateway/domain/config.h"
#include "gateway/domain/frugal_headers.h"

struct rules_facts {
    int policy; /* of the configuration; -1: the request names its expert */
    const struct frugal_options *options; /* its tags, the key's among them */
    struct str text;                      /* routing text; empty: there is none */
};

/* Bit r is rules[r] everywhere. */
struct rules_result {
    uint64_t matched;
    uint64_t open;     /* all but their domain matches */
    uint64_t too_hard; /* the text took its regex too long: only a pin passes it over */
    uint64_t allowed;  /* bit i: no rule keeps experts[i] away */
    int pin;           /* the rule whose expert is asked first; -1: none */
};

/* Has any rule for that policy a regex? */
bool rules_want_text(const struct config *config, int policy);
void rules_look(const struct config *config, const struct rules_facts *facts,
                struct rules_result *ret_result);
/* Adds what the open rules say of that domain (NULL: not known), and closes them. */
void rules_domain(const struct config *config, const char *domain,
                  struct rules_result *result);

#endif
