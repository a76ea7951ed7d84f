/* archive.h - the store as the configuration describes it, and what the operator hears of
 * it.
 *
 *   main   archive_open(config, metrics, &service.store, &error)     before the workers
 *          store_close(service.store)                                after the drain
 *
 * What the store notices (a disk that is full, rows that are lost, what a crash left open)
 * becomes a line of the log, once each.
 */
#ifndef GATEWAY_FLOW_ARCHIVE_H
#define GATEWAY_FLOW_ARCHIVE_H

#include "gateway/base/err.h"
#include "gateway/domain/config.h"
#include "gateway/domain/metrics.h"
#include "gateway/io/store.h"

/* *ret_store is NULL where the configuration has no store. On main, before threads that
 * write to it. */
NODISCARD enum store_err archive_open(const struct config *config,
                                      struct metrics *metrics, struct store **ret_store,
                                      struct store_error *error);
/* Could it be opened? Makes and changes nothing; one that is not there yet can. */
NODISCARD enum store_err archive_check(const struct config *config,
                                       struct store_error *error);

#endif
