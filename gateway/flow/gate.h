/* gate.h - who asks, may he, and has he money left: the key's part of an exchange. For the
 * files of the exchange alone (exchange_parts.h).
 *
 *   accept    gate_enter        the key: 401; one more request: 429
 *   admit     gate_key          what the key adds to the order: experts, policies, budget
 *             gate_admit        the budget is spent: 402; the tokens of this minute: 429
 *   forward   gate_too_dear     nobody can be asked for what is left: 402
 *   settle    gate_settle       tokens that were used
 *
 * Everything on the public listener but health asks for a key, unless the ring is open. The
 * answer to a bad one is the same whatever is wrong with it; the log and the metric say.
 *
 * Threads: the worker's own.
 */
#ifndef GATEWAY_FLOW_GATE_H
#define GATEWAY_FLOW_GATE_H

#include <stdbool.h>

#include "gateway/flow/exchange.h"
#include "gateway/flow/order.h"

/* False: x->error says why. Writes keyring, key, account, allow and rates. */
NODISCARD bool gate_enter(struct exchange *x);
/* False: x->error says why. Needs the order and the purse; writes rates. */
NODISCARD bool gate_admit(struct exchange *x);
/* Sets x->error: the request's ceiling or the key's budget, whichever is the lesser. */
void gate_too_dear(struct exchange *x);
/* Once, when the request is over. */
void gate_settle(struct exchange *x);
/* When the exchange goes. */
void gate_release(struct exchange *x);

#endif
