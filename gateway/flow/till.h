/* till.h - what each policy has spent since midnight, and how that steers it.
 *
 *   admit    till_factor(snapshot, policy, ..)        lambda is multiplied by it
 *   settle   till_add(snapshot, policy, spent, ..)    once for every request
 *   start    till_restore(snapshot, store, ..)        goes on from the ledger
 *
 * A till belongs to its policy's name: it outlives reloads, also those that add or remove
 * the target. Days are UTC. Each has one mutex, held for a few additions, which guards all of
 * it; nothing else is taken under it. Any thread.
 */
#ifndef GATEWAY_FLOW_TILL_H
#define GATEWAY_FLOW_TILL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/domain/config.h"
#include "gateway/domain/metrics.h"

struct till { /* members are till.c's */
    atomic_uint refs;
    pthread_mutex_t lock;
    int64_t day; /* since 1970 */
    int64_t spent_pico;
    int64_t shown_spent, shown_factor; /* in the gauges */
    char name[CONFIG_MAX_NAME + 1];
};

/* NULL: out of memory. One reference. */
struct till *till_new(const char *name);
struct till *till_ref(struct till *till);
void till_unref(struct till *till); /* takes NULL */

/* slot: the policy's in the metrics; block: the thread's own. */
void till_add(struct till *till, int64_t now_s, int64_t spent_pico, size_t slot,
              struct metrics_block *block);
/* 1 for a policy without a target. */
double till_factor(struct till *till, const struct config_policy *policy, int64_t now_s,
                   size_t slot, struct metrics_block *block);
int64_t till_spent(struct till *till, int64_t now_s);

/* What the ledger has of today, by policy; path: of the store. A store that cannot be read is
 * said in the log, and the tills begin empty. Before the workers start. */
void till_restore(struct till *const *tills, size_t n, const char *path, int64_t now_s);

#endif
