/* bars.h - experts that broke a ceiling's promise, and are not asked under one any more.
 *
 * A ceiling holds for experts that honour their output limit and report what they charge. One
 * that charged more than its worst case, or reports far more output than was allowed, is
 * barred: no request with a ceiling or a budget reaches it, as generator or embedder, until an
 * operator lifts the bar; other requests do.
 *
 *   bars_set            when an answer shows it
 *   bars_restore        at start, from the charges of the ledger
 *   bars_lift           at start and reload: `trusted_from` of an expert lifts what is older
 *
 * A bar belongs to the expert's name: it outlives reloads and, where there is a store, restarts.
 * Any thread, but for restore and lift: main's.
 */
#ifndef GATEWAY_FLOW_BARS_H
#define GATEWAY_FLOW_BARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/domain/metrics.h"
#include "gateway/flow/snapshot.h"

enum bars_why {
    BARS_OVER_WORST, /* it charged more than was reserved */
    BARS_OVER_LIMIT, /* it reported far more output than it was allowed */
};

/* Counted, logged, barred. block: the thread's own. */
void bars_set(struct snapshot *snapshot, size_t expert, enum bars_why why,
              struct metrics_block *block);
bool bars_has(const struct snapshot *snapshot, size_t expert);
/* Bit i: experts[i] is barred. */
uint64_t bars_mask(const struct snapshot *snapshot);

/* path: of the store. What cannot be read is said in the log. */
void bars_restore(struct snapshot *snapshot, const char *path,
                  struct metrics_block *block);
void bars_lift(struct snapshot *snapshot, struct metrics_block *block);

#endif
