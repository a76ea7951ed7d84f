/* keeper.h - where the keys come from, and who is told when they change.
 *
 *   FRUGAL_BOOTSTRAP_KEY  ---+
 *   the mounted file      ---+--> keyring --> every worker
 *   the store's table     ---+
 *
 *   main   keeper_new                            at start, from the environment
 *          keeper_file(path)                     at start and reload
 *          keeper_store(set)                     when the store's table has changed
 *          keeper_publish                        after each of them
 *
 * Of the same id in several places the first of the drawing counts. All or nothing: a
 * source that cannot be read leaves everything as it was.
 *
 * Without any key requests are let in without one, but only while the public listener is on
 * loopback (keeper_closed); elsewhere the start is refused, and a gateway whose last key
 * goes away while it runs lets nobody in.
 *
 * Threads: main's.
 */
#ifndef GATEWAY_FLOW_KEEPER_H
#define GATEWAY_FLOW_KEEPER_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/clock.h"
#include "gateway/base/err.h"
#include "gateway/flow/account.h"
#include "gateway/flow/keyring.h"
#include "gateway/flow/worker.h"

#define KEEPER_BOOTSTRAP "FRUGAL_BOOTSTRAP_KEY"

struct keeper;

struct keeper_error {
    char text[700];
};

/* Takes the bootstrap key out of the environment: it is hashed and wiped. INVALID: it is
 * too short or not printable; NOMEM; IO: no randomness. error may be NULL. */
NODISCARD enum err keeper_new(const struct clock *clock, struct keeper **ret_keeper,
                              struct keeper_error *error);
void keeper_free(struct keeper *keeper); /* takes NULL; no request may be under way */

struct accounts *keeper_accounts(struct keeper *keeper);

/* path: of the mounted file, NULL: there is none (any more). On failure the keys stay as
 * they were. */
NODISCARD enum err keeper_file(struct keeper *keeper, const char *path,
                               struct keeper_error *error);
/* Takes the content of *set, which is empty afterwards. */
void keeper_store(struct keeper *keeper, struct key_set *set);
/* A key is asked for even if there is none. */
void keeper_closed(struct keeper *keeper);
/* Number of keys in all sources. */
size_t keeper_count(const struct keeper *keeper);

/* Makes the ring of the sources as they are and gives it to every worker; metrics and log
 * say so. On failure workers keep what they have. */
NODISCARD enum err keeper_publish(struct keeper *keeper, struct worker *const *workers,
                                  unsigned n_workers, struct metrics_block *metrics);

#endif
