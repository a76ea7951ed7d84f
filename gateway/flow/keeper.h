/* keeper.h - where the keys come from, and who is told when they change.
 *
 *   FRUGAL_BOOTSTRAP_KEY  ---+
 *   the mounted file      ---+--> keyring --> every worker
 *   the store's table     ---+
 *
 *   main   keeper_new                  at start: takes the key of the environment
 *          keeper_file(config)         at start and reload
 *          keeper_store(store)         at start: keys of the table, spend of the ledger
 *          keeper_serve(workers)       before they start
 *          keeper_watch(loop)          looks at the table every KEEPER_LOOK_MS
 *          keeper_publish              after keeper_file
 *
 * Of the same id in several places the first of the drawing counts. All or nothing: a
 * source that cannot be read leaves everything as it was.
 *
 * Without any key requests are let in without one, but only while the public listener is on
 * loopback (keeper_closed); elsewhere the start is refused, and a gateway whose last key
 * goes away while it runs lets nobody in.
 *
 * Threads: main's; the table is read on the store's reader.
 */
#ifndef GATEWAY_FLOW_KEEPER_H
#define GATEWAY_FLOW_KEEPER_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/clock.h"
#include "gateway/base/err.h"
#include "gateway/domain/config.h"
#include "gateway/domain/metrics.h"
#include "gateway/flow/worker.h"
#include "gateway/io/loop.h"
#include "gateway/io/store.h"

#define KEEPER_BOOTSTRAP "FRUGAL_BOOTSTRAP_KEY"
#define KEEPER_LOOK_MS   500

struct keeper;

struct keeper_error {
    char text[700];
};

/* Takes the bootstrap key out of the environment: it is hashed and wiped. The clock is
 * borrowed. INVALID: it is too short or not printable; NOMEM; IO: no randomness. error may
 * be NULL. */
NODISCARD enum err keeper_new(const struct clock *clock, struct keeper **ret_keeper,
                              struct keeper_error *error);
/* Takes NULL. No request is under way, the store is closed, and mail of the loop that was
 * watched on is done. */
void keeper_free(struct keeper *keeper);

/* Reads the mounted file that the configuration names, if any, and takes a reference on the
 * configuration, by whose names lists are checked. On failure all stays as it was. */
NODISCARD enum err keeper_file(struct keeper *keeper, struct config *config,
                               struct keeper_error *error);
/* The store is borrowed; NULL: there is none. Blocks on the file. */
NODISCARD enum err keeper_store(struct keeper *keeper, struct store *store,
                                struct keeper_error *error);
/* A key is asked for even if there is none. */
void keeper_closed(struct keeper *keeper);
/* Number of keys in all sources. */
size_t keeper_count(const struct keeper *keeper);

/* Whom the keys are for; borrowed. Publishes. metrics: main's block. */
NODISCARD enum err keeper_serve(struct keeper *keeper, struct worker *const *workers,
                                unsigned n_workers, struct metrics_block *metrics);
/* From now on changes of the store's table are published by themselves. */
void keeper_watch(struct keeper *keeper, struct loop *loop);
/* No more looking; a look that is under way comes to its end on the loop. */
void keeper_rest(struct keeper *keeper);
/* Makes the ring of the sources as they are and offers it to every worker, in one with the
 * snapshot where it is not NULL; metrics and log say so. On failure all workers keep what
 * they have; else the publication (NULL: nobody's) is told when the last one has taken it. */
NODISCARD enum err keeper_publish(struct keeper *keeper, struct snapshot *snapshot,
                                  struct worker_publication *publication);

#endif
