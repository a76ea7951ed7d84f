/* endpoints.h - the places where an expert is reached, each with its health.
 *
 * What is known of an endpoint outlives a reload: the next snapshot takes over the endpoint
 * of the expert with the same name that has the same URL and the same key. Another key is
 * another beginning, since that is how an operator mends one that was refused.
 *
 * Threads: made and released by whoever owns the snapshot; the health inside is atomic.
 */
#ifndef GATEWAY_FLOW_ENDPOINTS_H
#define GATEWAY_FLOW_ENDPOINTS_H

#include <stdatomic.h>
#include <stddef.h>

#include "gateway/base/err.h"
#include "gateway/domain/config.h"
#include "gateway/flow/health.h"

struct endpoint {
    atomic_uint refs;
    struct health health;
};

/* Of one expert of one snapshot. */
struct endpoints {
    struct health_rules rules;
    size_t n;
    struct endpoint *list[CONFIG_MAX_ENDPOINTS]; /* owned references */
};

/* before, expert_before: of the expert with the same name, or NULL. NOMEM: what was made is
 * there to be released. */
NODISCARD enum err endpoints_make(struct endpoints *endpoints,
                                  const struct config_expert *expert,
                                  const struct endpoints *before,
                                  const struct config_expert *expert_before);
void endpoints_release(struct endpoints *endpoints);

#endif
