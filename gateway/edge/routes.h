/* routes.h - what method and path mean: the one table of routes
 *
 * "{}" in a path matches one more, non-empty part, slashes included, which becomes the
 * request's argument; of two that match the first counts. HEAD goes where GET goes; the body is dropped on the way out.
 * A known path with another method is EXCHANGE_BAD_METHOD with the methods it has; OPTIONS,
 * which every path has, is EXCHANGE_OPTIONS with the same.
 */
#ifndef GATEWAY_EDGE_ROUTES_H
#define GATEWAY_EDGE_ROUTES_H

#include "gateway/base/str.h"
#include "gateway/flow/exchange.h"

/* surface, method, path, exchange route */
#define ROUTES(X)                                                                        \
    X(PUBLIC, "POST", "/v1/chat/completions", CHAT)                                      \
    X(PUBLIC, "POST", "/v1/completions", COMPLETIONS)                                    \
    X(PUBLIC, "POST", "/v1/embeddings", EMBEDDINGS)                                      \
    X(PUBLIC, "POST", "/v1/responses", RESPONSES)                                        \
    X(PUBLIC, "POST", "/v1/messages", MESSAGES)                                          \
    X(PUBLIC, "POST", "/v1/route", DECISION)                                             \
    X(PUBLIC, "GET", "/v1/models", MODELS)                                               \
    X(PUBLIC, "GET", "/v1/models/{}", MODEL)                                             \
    X(PUBLIC, "GET", "/v1/decisions", RECORDS)                                           \
    X(PUBLIC, "POST", "/v1/decisions/{}/feedback", FEEDBACK)                             \
    X(PUBLIC, "GET", "/v1/decisions/{}", RECORD)                                         \
    X(PUBLIC, "GET", "/healthz", HEALTHZ)                                                \
    X(PUBLIC, "GET", "/readyz", READYZ)                                                  \
    X(ADMIN, "GET", "/v1/decisions", RECORDS)                                            \
    X(ADMIN, "POST", "/v1/decisions/{}/feedback", FEEDBACK)                              \
    X(ADMIN, "GET", "/v1/decisions/{}", RECORD)                                          \
    X(ADMIN, "GET", "/healthz", HEALTHZ)                                                 \
    X(ADMIN, "GET", "/readyz", READYZ)                                                   \
    X(ADMIN, "GET", "/metrics", METRICS)                                                 \
    X(ADMIN, "POST", "/admin/reload", RELOAD)                                            \
    X(ADMIN, "GET", "/admin/experts", EXPERTS)

enum route_surface { ROUTE_PUBLIC, ROUTE_ADMIN };

#define ROUTE_ALLOW_BYTES 64

struct route_match {
    enum exchange_route route;
    struct str argument; /* points into path, or into allow */
    char allow[ROUTE_ALLOW_BYTES];
};

/* path: without the query, percent-decoded. Always gives an answer. ret_match->argument
 * is borrowed from path or from *ret_match itself. */
void route_find(enum route_surface surface, struct str method, struct str path,
                struct route_match *ret_match);

#endif
