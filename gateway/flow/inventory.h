/* inventory.h - what a snapshot holds, as lines of the log, at the start and at each reload.
 *
 * Threads: main's.
 */
#ifndef GATEWAY_FLOW_INVENTORY_H
#define GATEWAY_FLOW_INVENTORY_H

#include "gateway/flow/snapshot.h"

/* Told of each name that bundle and configuration do not both know: an event's name for the
 * log, and a sentence, both borrowed for the call. */
typedef void (*inventory_told)(void *context, const char *event, const char *text);
void inventory_each_stranger(const struct snapshot *snapshot, inventory_told fn,
                             void *context);

/* One line `event` with the numbers; before it, a warning for each name that bundle and
 * configuration do not both know. */
void inventory_log(const struct snapshot *snapshot, const char *event);

#endif
