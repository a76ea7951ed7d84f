/* exchange.h - one request's life, from its first header to its settled cost.
 *
 * The edge (HTTP server) makes one exchange per request and feeds it; the exchange asks
 * the domain to read the request, the fuser to choose, io to fetch, and answers through
 * the client_ops that the edge gave it.
 *
 *      edge                                   exchange                        experts
 *      exchange_new(headers)     ---------->  accept
 *      exchange_body(bytes)*     ---------->  parse (while bytes arrive)
 *      exchange_complete()       ---------->  admit, embed <-> decide  -----> /embeddings
 *                                             forward                  -----> /chat/...
 *      ops->head, body*          <----------  respond (relay)         <-----
 *      exchange_writable()       ---------->  (upstream is read on)
 *      ops->end or ops->abort    <----------  settle
 *      exchange_gone()           ---------->  memory is freed when both sides are done
 *
 * Calling order, seen from the edge: exchange_new, exchange_body*, exchange_complete at
 * most once, exchange_writable*, exchange_gone exactly once. exchange_gone may come at
 * any time after exchange_new: it is how a client that left is told. After it the
 * exchange calls no op any more and the edge may forget both sides.
 *
 * Calling order, seen from the client: head once, body*, then exactly one of end or
 * abort, unless exchange_gone came first. An abort without a head closes the connection
 * without a word: for a client that never finishes its request, to whom nothing can be
 * said before its body is over. The ops may be called from inside any
 * exchange_* function except exchange_gone, and from the worker's loop. An op must not
 * call back into the exchange (not even exchange_writable): it notes and returns.
 *
 * The answer may be given before the request's body is complete (a refusal: 400, 413,
 * 503...). Then exchange_body returns false: further bytes are of no interest and
 * exchange_complete need not be called. How the edge gets rid of them (reading on within
 * a limit, or closing) is its own affair.
 *
 * Ownership: headers, path and body bytes are *borrowed for the call*. The client pointer
 * is *borrowed until exchange_gone*. Threads: an exchange lives and dies on the thread of
 * its worker. Limits: the body, the number in flight and what is queued for a client are
 * bounded by the configuration's limits and by the two constants below.
 */
#ifndef GATEWAY_FLOW_EXCHANGE_H
#define GATEWAY_FLOW_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/str.h"

struct exchange;
struct worker;

/* Back-pressure towards the client. When op body returns more than limits.queue_bytes (at
 * least EXCHANGE_HIGH_BYTES) the exchange stops reading its expert. The edge calls
 * exchange_writable when what is queued has fallen to EXCHANGE_LOW_BYTES or less after
 * having been above EXCHANGE_HIGH_BYTES; a call too many is harmless. What one client can
 * make us queue is below queue_bytes + hold_bytes + one read of the HTTP client for a
 * stream, and answer_bytes otherwise. */
#define EXCHANGE_HIGH_BYTES (64u << 10)
#define EXCHANGE_LOW_BYTES  (16u << 10)

/* What the path and method of a request mean. The edge's table of routes maps to these;
 * the last two are answers as well, so that every request gets its id and its line. */
enum exchange_route {
    EXCHANGE_CHAT,        /* POST /v1/chat/completions */
    EXCHANGE_COMPLETIONS, /* POST /v1/completions */
    EXCHANGE_EMBEDDINGS,  /* POST /v1/embeddings */
    EXCHANGE_RESPONSES,   /* POST /v1/responses */
    EXCHANGE_MESSAGES,    /* POST /v1/messages */
    EXCHANGE_DECISION,    /* POST /v1/route */
    EXCHANGE_MODELS,      /* GET /v1/models */
    EXCHANGE_MODEL,       /* GET /v1/models/{id}; request.argument is the id, decoded */
    EXCHANGE_HEALTHZ,     /* GET /healthz: no log line unless it fails */
    EXCHANGE_READYZ,      /* GET /readyz: the same */
    EXCHANGE_METRICS,     /* GET /metrics, on the admin listener: the same */
    EXCHANGE_EXPERTS,     /* GET /admin/experts, on the admin listener */
    EXCHANGE_RECORDS,     /* GET /v1/decisions; request.query has the filters */
    EXCHANGE_RECORD,      /* GET /v1/decisions/{id}; request.argument is the id */
    EXCHANGE_FEEDBACK,    /* POST /v1/decisions/{id}/feedback; the same */
    EXCHANGE_RELOAD,      /* POST /admin/reload, on the admin listener */
    EXCHANGE_NOT_FOUND,   /* no such path: 404 */
    EXCHANGE_OPTIONS,     /* OPTIONS: what a path takes; request.argument as in 405 */
    EXCHANGE_BAD_METHOD, /* 405; request.argument is the value for Allow, "GET, HEAD, OPTIONS" */
    EXCHANGE_BAD_REQUEST, /* 400: ambiguous head (two Hosts...); request.argument says why */
    EXCHANGE_LARGE_HEAD, /* 431: the same */
};

/* A header of the request; name in any case, value without surrounding blanks. */
struct exchange_header {
    struct str name, value;
};

struct exchange_request {
    enum exchange_route route;
    struct str method, path; /* for the log line; path without the query */
    struct str argument;     /* see enum exchange_route */
    const struct exchange_header *headers;
    size_t n_headers;
    int64_t content_length; /* -1: unknown (chunked) */
    struct str peer;        /* address of the client for the log, may be empty */
    bool admin;             /* came in on the admin listener: no key is asked for */
    const struct exchange_header *query; /* decoded parameters; a value may be empty */
    size_t n_query;
};

/* A header of the answer; name in lower case, both without CR and LF. */
struct exchange_field {
    struct str name, value;
};

/* What the edge does for a client. All bytes are *borrowed for the call*: the edge copies
 * what it cannot write at once. None of them can fail from the exchange's point of view:
 * a client that cannot be served is told by exchange_gone, out of the loop's next turn.
 */
struct client_ops {
    /* Status line and headers. content_length >= 0: exactly as many body bytes follow;
     * -1: chunked, each op body is flushed at once. `content-type` is among the fields.
     * For HEAD requests the edge drops the body. */
    void (*head)(void *client, unsigned status, const struct exchange_field *fields,
                 size_t n_fields, int64_t content_length);
    /* Appends to the body and returns the bytes now queued and not yet written. */
    size_t (*body)(void *client, const void *bytes, size_t n);
    /* The answer is complete; the connection may be kept. */
    void (*end)(void *client);
    /* The answer broke off: what is queued is still delivered, then the connection is
     * closed without the final chunk, so that the client sees that it was cut. */
    void (*abort)(void *client);
};

/* Makes an exchange on this worker; must be called on the worker's thread. NULL: out of
 * memory, the edge closes the connection. Too many in flight, a Content-Length above the
 * limit and the like are answered through the ops, inside this call. */
struct exchange *exchange_new(struct worker *worker,
                              const struct exchange_request *request,
                              const struct client_ops *ops, void *client);

/* Bytes of the request's body, in any slicing. False: already answered, send no more. */
bool exchange_body(struct exchange *x, const void *bytes, size_t n);

/* The body is complete (also when there is none). */
void exchange_complete(struct exchange *x);

/* The client's queue has room again. */
void exchange_writable(struct exchange *x);

/* The client's side is over: the answer was delivered after end or abort, or the client
 * left before. Whatever is still running for it is cancelled at once, also before the
 * expert's first byte. The edge must not touch the exchange after this call. */
void exchange_gone(struct exchange *x);

/* The client broke the HTTP protocol in the body (bad chunk): counts as a 400 if nothing
 * has been answered. Otherwise nothing happens and exchange_gone is to follow. */
void exchange_bad_body(struct exchange *x);

#endif
