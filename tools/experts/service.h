/* service.h - the experts behind OpenAI's API on a socket.
 *
 *     service_new("127.0.0.1:0", threads, invoices, &service, error, sizeof error)
 *     service_address(service)                     with the real port
 *     ... until it should end ...
 *     service_free(service)                        cuts what is in flight
 *
 * Each thread is a lane: its own event loop, SO_REUSEPORT socket and libmicrohttpd daemon
 * in external mode. A lane knows nothing of the others but for the counters.
 *
 *     POST /v1/chat/completions   POST /v1/embeddings   GET /v1/models
 *     GET /healthz                GET /stats                 GET /invoices?after=N
 */
#ifndef TOOLS_EXPERTS_SERVICE_H
#define TOOLS_EXPERTS_SERVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/err.h"

#define SERVICE_THREADS_MAX     64
#define SERVICE_BODY_BYTES      (64u << 20)
#define SERVICE_CONNECTIONS_MAX 16384 /* per lane */

struct service;

struct aliases;

/* invoices: whether they are written. aliases: borrowed while the service lives; NULL: none. */
NODISCARD enum err service_new(const char *listen, int threads, bool invoices,
                               const struct aliases *aliases,
                               struct service **ret_service, char *error,
                               size_t error_bytes);
const char *service_address(const struct service *service); /* "127.0.0.1:43121" */
void service_free(struct service *service);                 /* takes NULL */

#endif
