/* server.h - one worker's HTTP/1.1 server: libmicrohttpd on the worker's event loop
 *
 *      main      listen_open()                     one socket per worker
 *                server_new(worker, settings)      takes its socket
 *                worker_attach(worker, &server_listener_ops, server)
 *      worker    loop -> MHD_run -> handler -> exchange_new, exchange_body, exchange_complete
 *                exchange -> client_ops -> queued -> resumed at the end of the turn
 *                quiesce, hang_up, close           by the worker
 *
 *      bytes:    socket > MHD's pool > exchange_body              (nothing is kept here)
 *                client_ops.body > queue of the connection > MHD > socket
 *                                  | more than EXCHANGE_HIGH_BYTES: the exchange pauses
 *                                  | fallen to EXCHANGE_LOW_BYTES: exchange_writable()
 *
 * A connection whose exchange works on is *suspended*: out of libmicrohttpd's sight, which
 * then sees neither a client that leaves nor a time limit. So each client socket is watched
 * in our own epoll set for EPOLLRDHUP as well; a client that closes its sending side has
 * left, and exchange_gone() is called in the same turn.
 *
 * An answer known before the body has arrived (a refusal) waits until the body has been read
 * and dropped, up to drain_bytes, as most clients do not read while they send; beyond that,
 * or when the client asked with Expect: 100-continue, it is sent at once and the connection
 * closed.
 *
 * A request whose head is ambiguous (repeated Content-Length, Content-Length with
 * Transfer-Encoding, no or several Hosts...) becomes EXCHANGE_BAD_REQUEST and its connection
 * is closed after the answer. What libmicrohttpd refuses or mends before our handler sees it
 * is listed in docs/internals/http.md.
 *
 * Threads: server_new() and, when the worker never ran, server_free() on any one thread; all
 * else on the worker's.
 */
#ifndef GATEWAY_EDGE_SERVER_H
#define GATEWAY_EDGE_SERVER_H

#include <stddef.h>

#include "gateway/edge/routes.h"
#include "gateway/edge/tls.h"
#include "gateway/flow/worker.h"

struct server;

struct server_settings {
    enum route_surface surface;
    int listen_fd;            /* taken, also on failure */
    unsigned connections_max; /* 0: 4096. Beyond: left in the backlog */
    size_t head_bytes; /* of a request's head, 64 more for each header (431); 0: 12 KiB */
    size_t drain_bytes; /* of a refused body that are read and dropped; 0: 64 MiB */
    unsigned idle_s;    /* a client that neither sends nor reads is closed after; 0: 75 */
    struct tls *tls;    /* borrowed; NULL: in clear */
};

/* NULL: libmicrohttpd cannot start (memory, descriptors). */
struct server *server_new(struct worker *worker, const struct server_settings *settings);

/* Stops accepting; connections are closed after their next answer. False: there are none,
 * else worker_listener_empty() is called when there are none any more. */
bool server_quiesce(struct server *server);
/* Closes those that have no request. */
void server_hang_up(struct server *server);

/* Tells exchange_gone() for what is left, closes every connection. NULL is fine. */
void server_free(struct server *server);

/* For worker_attach(): the functions above. */
extern const struct listener_ops server_listener_ops;

#endif
