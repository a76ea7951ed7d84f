/* keyring.h - all keys in force, found by their secrets: one immutable table.
 *
 *   main      keyring_new(sources) --> worker_offer_new        at start, reload and change
 *   worker    keyring_ref at accept; keyring_find(secret); keyring_unref when settled
 *
 * A request keeps the ring it was accepted on, so a key that is revoked meanwhile lets what
 * was begun come to its end and nothing new in.
 *
 * A secret is hashed (BLAKE2b-256), its place computed from the hash under a key of this
 * process (SipHash), and compared in constant time: neither the time nor the answer of a
 * look-up tells anything about a secret that is not known.
 *
 * `open`: nobody is asked for a key. Only where none is configured and the listener is on
 * loopback; the rule is main's.
 *
 * Threads: any; the last unref frees.
 */
#ifndef GATEWAY_FLOW_KEYRING_H
#define GATEWAY_FLOW_KEYRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/key.h"
#include "gateway/domain/metrics.h"
#include "gateway/flow/account.h"

struct keyring;

/* Makes a ring of copies. Of keys with the same id, or secrets with the same hash, that of
 * the earlier set counts; *ret_ignored of the others were left out. Opens the accounts and
 * sets their limits. NOMEM, TOO_LARGE. */
NODISCARD enum err keyring_new(const struct key_set *const *sets, size_t n_sets,
                               struct accounts *accounts, bool open,
                               struct keyring **ret_ring, size_t *ret_ignored);
struct keyring *keyring_ref(struct keyring *ring);
void keyring_unref(struct keyring *ring); /* takes NULL */

bool keyring_open(const struct keyring *ring);
size_t keyring_count(const struct keyring *ring);
/* The i-th key, for lists and logs. */
const struct key *keyring_key(const struct keyring *ring, size_t i);

/* Whose secret it is; *ret_key and *ret_account live as long as the ring and the book. They
 * are also set for a key that is EXPIRED or REVOKED. Otherwise UNKNOWN. */
NODISCARD enum metric_refusal keyring_find(const struct keyring *ring, struct str secret,
                                           int64_t wall_us, const struct key **ret_key,
                                           struct account **ret_account);

#endif
