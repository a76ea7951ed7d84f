/* record_row.h - a stored decision as JSON: what GET /v1/decisions answers and what
 * frugalctl prints with --json.
 *
 * A row's `record` was rendered when the exchange was settled (record.h). What became known
 * in the store is added here: the state, the charges of the ledger, scores. A decision that
 * a crash left has no record; its columns stand in. Pure; any thread.
 */
#ifndef GATEWAY_FLOW_RECORD_ROW_H
#define GATEWAY_FLOW_RECORD_ROW_H

#include "gateway/base/jput.h"
#include "gateway/io/store_query.h"

/* The columns, as an element of a list. */
void record_row_summary(struct jput *j, const struct store_decision *decision);

/* The whole story with its charges and scores. Errors are those of reading the scores. */
NODISCARD enum store_err record_row_whole(struct store_view *view,
                                          const struct store_decision *decision,
                                          struct buf *out, struct store_error *error);

#endif
