/* server_private.h - what server.c (the daemon) and connection.c (one client) share */
#ifndef GATEWAY_EDGE_SERVER_PRIVATE_H
#define GATEWAY_EDGE_SERVER_PRIVATE_H

#include <microhttpd.h>
#include <sys/queue.h>

#include "gateway/base/buf.h"
#include "gateway/edge/server.h"
#include "gateway/flow/exchange.h"
#include "gateway/io/loop.h"

#define SERVER_FIELDS_MAX     64 /* headers of an answer */
#define SERVER_PARAMETERS_MAX 32 /* behind the path of a request */
/* Of a connection's pool, beside the request's head: room for the head of an answer. Without
 * it the library would close the connection instead of answering. */
#define SERVER_POOL_MORE        (4U << 10)
#define SERVER_FIELD_BYTES      (64U << 10)
#define SERVER_KEEP_BYTES       (64U << 10) /* a connection keeps at most so much memory */
#define SERVER_ANSWER_BYTES_MAX (1U << 30) /* backstop: the exchange has the real limit */

/* One client connection, and the request on it while there is one. */
struct connection {
    struct server *server;
    struct MHD_Connection *mhd; /* borrowed until it is closed */
    struct connection *prev, *next;
    struct connection *next_resumed;
    struct loop_watch watch; /* EPOLLRDHUP, edge-triggered: trap 3 */
    TAILQ_ENTRY(connection) in_idle;
    uint64_t idle_since_us; /* without a request: idle.c's; 0: not in its list */
    bool told_to_leave;     /* by idle.c */
    struct loop_timer head_timer;
    uint64_t head_due_us; /* while no request is under way: its head must be in by then */
    char peer[64];
    struct tls_identity *identity; /* that it shows; owned reference; NULL: in clear */
    bool left;                     /* the client has closed its sending side */
    bool suspended;                /* by us; MHD does not see it */
    bool resume_due;               /* in the server's list */

    /* The request under way. */
    struct exchange *exchange; /* owned: exchange_gone() gives it up */
    bool active;
    bool complete; /* the body is in */
    bool refused;  /* answered before the body was in: the rest is dropped */
    bool gone;     /* the exchange was told to go: nothing more is answered */
    bool expects;  /* Expect: 100-continue */
    bool must_close;
    uint64_t dropped_bytes;

    /* The answer. */
    bool headed, ended, aborted, queued;
    unsigned status;
    int64_t content_length; /* -1: a stream */
    struct buf fields;      /* name\0value\0... */
    struct buf out;         /* the body, or what of it is not yet taken */
    bool above;             /* out went above the high mark: tell when it has fallen */
};

struct server {
    struct worker *worker;
    struct loop *loop;
    struct server_settings settings;
    struct MHD_Daemon *daemon;
    struct loop_watch watch; /* MHD's epoll descriptor, nested in ours */
    struct loop_timer timer; /* MHD's next time limit */
    struct loop_task flush;  /* resumes, then runs MHD */
    struct connection *connections, *resumed;
    unsigned n_connections;
    TAILQ_HEAD(, connection) idle; /* without a request, the longest first: idle.c's */
    unsigned n_leaving;            /* that were told to go, and are not gone */
    struct loop_timer crowd_timer;
    bool quiesced;
};

/* server.c */
void server_resume(
    struct connection *connection); /* in the next flush; only if suspended */

/* connection.c: MHD's callbacks */
void connection_started(struct server *server, struct MHD_Connection *mhd,
                        void **socket_context);
void connection_closed(struct connection *connection);
enum MHD_Result connection_request(void *server, struct MHD_Connection *mhd,
                                   const char *url, const char *method,
                                   const char *version, const char *upload,
                                   size_t *upload_bytes, void **request);
void connection_completed(void *server, struct MHD_Connection *mhd, void **request,
                          enum MHD_RequestTerminationCode code);
size_t connection_unescape(void *server, struct MHD_Connection *mhd, char *text);
/* The exchange is told to go; nothing more is answered. */
void connection_drop(struct connection *connection);

#endif
