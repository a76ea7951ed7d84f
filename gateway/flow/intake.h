/* intake.h - reads the head of a request: its id, its options, what travels on.
 *
 * Threads: the worker's own. Everything kept is copied into the arena.
 */
#ifndef GATEWAY_FLOW_INTAKE_H
#define GATEWAY_FLOW_INTAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/arena.h"
#include "gateway/domain/api_error.h"
#include "gateway/domain/frugal_headers.h"
#include "gateway/flow/exchange.h"
#include "gateway/io/http.h"

#define INTAKE_ID_MAX 128 /* bytes of a client's own x-request-id */

/* What of the head outlives the call: id, method, path, argument, peer, and the versions that
 * Anthropic's API has in headers. NOMEM. */
NODISCARD enum err intake_head(struct exchange *x);

/* The client's x-request-id where it is fit to be logged and sent on; else empty. In the
 * arena, ends in a 0. */
struct str intake_request_id(const struct exchange_request *request, struct arena *arena);

/* The secret of a key: `Authorization: Bearer SECRET` or `x-api-key: SECRET`. Borrowed from
 * the request. BAD: given in another form, more than once, or differently in the two. */
enum intake_secret { INTAKE_SECRET_NONE, INTAKE_SECRET_GIVEN, INTAKE_SECRET_BAD };
NODISCARD enum intake_secret intake_secret(const struct exchange_request *request,
                                           struct str *ret_secret);

/* Options of x-frugal-*, and the headers that travel on to experts: traceparent,
 * tracestate, and x-frugal-fwd-NAME as NAME. At most max of them; more are BAD_OPTION, as
 * are those that would forge what is ours (authorization, host, framing). */
NODISCARD enum api_err intake_headers(const struct exchange_request *request,
                                      struct frugal_options *options, struct arena *arena,
                                      struct http_header *ret_forwarded, size_t max,
                                      size_t *ret_n, struct api_error *error);

#endif
