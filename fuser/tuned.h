/* tuned.h - what cross-validation chose for a bundle, and the record of what it tried.
 *
 * The choices that shape the bundle itself (k, prior) are in its settings; these are the ones
 * that a request brings, for callers whose configuration is silent.
 */
#ifndef FUSER_TUNED_H
#define FUSER_TUNED_H

#include "fuser/wire.h"

/* A copy with its text in one allocation, released by free(). INVALID: a number that is neither
 * NAN nor in range; TOO_LARGE: the evidence. */
FUSER_NODISCARD enum fuser_err tuned_new(const struct fuser_tuned *from,
                                         struct fuser_tuned **ret_tuned,
                                         struct fuser_error *error);
void tuned_save(const struct fuser_tuned *tuned, struct sink *sink);
FUSER_NODISCARD enum fuser_err tuned_load(struct source *source,
                                          struct fuser_tuned **ret_tuned);

#endif
