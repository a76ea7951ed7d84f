/* http_conn.h - one connection of the plain transport
 *
 *      conn = http_conn_new(plain, origin)
 *      http_conn_run(conn, call)            connect (a fresh one), send, read
 *           http_end(call)                  by the connection, when the answer is over; then
 *           http_plain_keep(conn)           it is idle, or closed
 *      http_conn_resume(conn)               the call's pause is over
 *      http_conn_drop(conn)                 the call goes, the connection is closed
 *
 * A connection is on the stack (`busy`) while it makes events: it is then freed by who put
 * it there, whoever closes it.
 */
#ifndef GATEWAY_IO_HTTP_CONN_H
#define GATEWAY_IO_HTTP_CONN_H

#include "gateway/io/http_private.h"

#define HTTP_READ_BYTES (16U * 1024) /* one read */

struct origin;

struct http_conn {
    struct http_plain *plain;
    struct http *http;
    struct loop *loop;
    char *buffer;          /* borrowed */
    struct origin *origin; /* whom it talks to; borrowed */
    uint16_t port;
    struct http_conn *prev, *next; /* in the origin's idle list */
    struct http_call *call;        /* NULL: idle, or given up */
    struct loop_watch watch;
    struct loop_timer timer; /* connecting: the next address; reading: the next turn */
    int fd;                  /* -1: none (closed) */
    bool busy, closed;
    bool connected, reused;
    bool hung_up;   /* the peer has sent its FIN: read to the end */
    bool got_bytes; /* of this answer */
    bool drained;   /* nothing more was there at the last look */
    bool in_body;
    size_t head_sent;
    bool sent; /* the whole request */
    struct answer answer;
    const char *address; /* connecting: the next one in the call's pin */
    uint64_t idle_since_us;
};

/* NULL: out of memory. `buffer` (HTTP_READ_BYTES) is shared by all connections of a client. */
struct http_conn *http_conn_new(struct http_plain *plain, struct origin *origin,
                                uint16_t port, struct http *http, char *buffer);

/* Takes the call through the connection: fresh, or idle and off its list. */
void http_conn_run(struct http_conn *conn, struct http_call *call);
void http_conn_resume(struct http_conn *conn);
void http_conn_drop(struct http_conn *conn);

/* No call is on it. */
void http_conn_close(struct http_conn *conn);

/* http_plain.c: puts the connection, which has no call, among the idle ones, or closes it. */
void http_plain_keep(struct http_conn *conn);
/* http_plain.c: takes it off the idle ones. */
void http_plain_unlink(struct http_conn *conn);

#endif
