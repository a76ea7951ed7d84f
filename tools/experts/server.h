/* server.h - the experts behind OpenAI's API on a socket.
 *
 *     server_new("127.0.0.1:0", threads, &server, error, sizeof error)
 *     server_address(server)                     with the real port
 *     ... until it should end ...
 *     server_free(server)                        cuts what is in flight
 *
 * Each thread is a lane: its own event loop, SO_REUSEPORT socket and libmicrohttpd daemon
 * in external mode. A lane knows nothing of the others but for the counters.
 *
 *     POST /v1/chat/completions   POST /v1/embeddings   GET /v1/models
 *     GET /healthz                GET /stats
 */
#ifndef TOOLS_EXPERTS_SERVER_H
#define TOOLS_EXPERTS_SERVER_H

#include <stddef.h>

#include "gateway/base/err.h"

#define SERVER_THREADS_MAX     64
#define SERVER_BODY_BYTES      (64u << 20)
#define SERVER_CONNECTIONS_MAX 16384 /* per lane */

struct server;

NODISCARD enum err server_new(const char *listen, int threads, struct server **ret_server,
                              char *error, size_t error_bytes);
const char *server_address(const struct server *server); /* "127.0.0.1:43121" */
void server_free(struct server *server);                 /* takes NULL */

#endif
