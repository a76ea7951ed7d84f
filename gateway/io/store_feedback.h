/* store_feedback.h - questions about scores of answers; as in store_query.h, never on a
 * loop.
 */
#ifndef GATEWAY_IO_STORE_FEEDBACK_H
#define GATEWAY_IO_STORE_FEEDBACK_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/io/store_query.h"

typedef bool (*store_feedback_fn)(void *context, const struct store_feedback *feedback);

/* Those of one decision; false from `each` ends the list. */
NODISCARD enum store_err store_feedback_of(struct store_view *view, struct str decision,
                                           store_feedback_fn each, void *context,
                                           struct store_error *error);
/* How many scores a key has given since then. */
NODISCARD enum store_err store_feedback_count(struct store_view *view, struct str key,
                                              int64_t since_us, int64_t *ret_n,
                                              struct store_error *error);
/* How many there are and when the newest came; another pair tells that some came or were replaced. */
NODISCARD enum store_err store_feedback_stamp(struct store_view *view, int64_t *ret_n,
                                              int64_t *ret_newest_us,
                                              struct store_error *error);
/* All of them, the newest first. */
NODISCARD enum store_err store_feedback_each(struct store_view *view,
                                             store_feedback_fn each, void *context,
                                             struct store_error *error);

#endif
