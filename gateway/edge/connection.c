/* connection.c - one client: its requests become exchanges, their answers go out
 *
 * What must always hold:
 *   - A response is queued only in the handler's last call (empty upload after the body), or
 *     in the first when the connection is to be closed after it: MHD allows no other place.
 *   - While the exchange works, the connection is suspended; a content reader that has
 *     nothing to give suspends it too. Whoever appends to the answer calls server_resume().
 *   - The ops only note: MHD is never entered from them.
 *   - After connection_drop() the exchange is not touched.
 *
 * libmicrohttpd hands the path over decoded and without the query.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "gateway/edge/idle.h"
#include "gateway/edge/request_head.h"
#include "gateway/edge/server_private.h"

/* -- the client leaves ------------------------------------------------------------------- */

void connection_drop(struct connection *c)
{
    struct exchange *exchange = c->exchange;
    if (exchange == NULL)
        return;
    c->exchange = NULL;
    c->gone = true;
    exchange_gone(exchange);
}

/* EPOLLRDHUP, EPOLLHUP or EPOLLERR on the client's socket. While the request comes in MHD is
 * to see it: MHD takes a short read for the last one, and misses an end that came together
 * with bytes. Closing our reading side gives it a new edge; what has arrived stays readable.
 * That is an edge for us too, hence only once. When all of the answer is known it is still
 * sent. */
static void on_left(void *arg, uint32_t events)
{
    struct connection *c = arg;
    const bool again = c->left;
    (void)events;
    c->left = true;
    if (!c->active || !c->complete) {
        if (!again)
            (void)shutdown(c->watch.fd, SHUT_RD);
        return;
    }
    if (c->ended || c->aborted)
        return;
    connection_drop(c);
    if (c->suspended)
        server_resume(c);
    else
        (void)shutdown(c->watch.fd, SHUT_RDWR); /* MHD sees it in its next round */
}

/* -- the answer, as the exchange gives it: ops only note ---------------------------------- */

static void op_head(void *client, unsigned status, const struct exchange_field *fields,
                    size_t n_fields, int64_t content_length)
{
    struct connection *c = client;
    assert(!c->headed && n_fields <= SERVER_FIELDS_MAX);
    c->headed = true;
    c->status = status;
    c->content_length = content_length;
    for (size_t i = 0; i < n_fields; i++) {
        buf_put_str(&c->fields, fields[i].name);
        buf_put_str(&c->fields, (struct str){ "", 1 });
        buf_put_str(&c->fields, fields[i].value);
        buf_put_str(&c->fields, (struct str){ "", 1 });
    }
    if (content_length < 0)
        server_resume(c);
}

static size_t op_body(void *client, const void *bytes, size_t n)
{
    struct connection *c = client;
    assert(c->headed && !c->ended && !c->aborted);
    if (buf_add(&c->out, bytes, n) != ERR_OK)
        c->must_close = true; /* out.failed: see answer_is_lost() */
    if (c->content_length < 0) {
        if (c->out.n > EXCHANGE_HIGH_BYTES)
            c->above = true;
        server_resume(c);
    }
    return c->out.n;
}

static void op_end(void *client)
{
    struct connection *c = client;
    assert(c->headed && !c->ended && !c->aborted);
    assert(c->content_length < 0 || c->out.failed ||
           c->out.n == (size_t)c->content_length);
    c->ended = true;
    /* Nothing more is coming, so that MHD has no place for an answer: it closes. */
    if (c->status == MHD_HTTP_REQUEST_TIMEOUT && !c->complete)
        (void)shutdown(c->watch.fd, SHUT_RD);
    server_resume(c);
}

static void op_abort(void *client)
{
    struct connection *c = client;
    assert(!c->ended && !c->aborted);
    c->aborted = true;
    if (!c->complete) /* nothing can be said inside a request: MHD sees the end of it */
        (void)shutdown(c->watch.fd, SHUT_RDWR);
    else
        server_resume(c);
}

static const struct client_ops ops = {
    .head = op_head,
    .body = op_body,
    .end = op_end,
    .abort = op_abort,
};

/* Nothing true can be said any more: the connection is closed. */
static bool answer_is_lost(const struct connection *c)
{
    if (c->gone || c->fields.failed || c->out.failed)
        return true;
    return c->aborted && (!c->headed || c->content_length >= 0);
}

/* MHD closes the connection in its next run only, and its time limit does not ask for one. */
static ssize_t cut_off(struct connection *c)
{
    loop_defer(c->server->loop, &c->server->flush, LOOP_FLUSH);
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

/* MHD wants bytes of a stream. */
static ssize_t read_stream(void *arg, uint64_t position, char *to, size_t room)
{
    struct connection *c = arg;
    (void)position;
    if (c->gone || c->out.failed)
        return cut_off(c);
    if (c->out.n == 0) {
        if (c->ended)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (c->aborted)
            return cut_off(c);
        MHD_suspend_connection(c->mhd);
        c->suspended = true;
        if (c->left) {
            connection_drop(c);
            server_resume(c);
        }
        return 0;
    }
    const size_t n = c->out.n < room ? c->out.n : room;
    memcpy(to, c->out.p, n);
    buf_consume(&c->out, n);
    if (c->above && c->out.n <= EXCHANGE_LOW_BYTES) {
        c->above = false;
        if (c->exchange != NULL)
            exchange_writable(c->exchange);
    }
    return (ssize_t)n;
}

static bool add_fields(struct connection *c, struct MHD_Response *response)
{
    const char *at = c->fields.p, *end = c->fields.p + c->fields.n;
    while (at < end) {
        const char *name = at, *value = name + strlen(name) + 1;
        at = value + strlen(value) + 1;
        if (MHD_add_response_header(response, name, value) != MHD_YES)
            return false;
    }
    return !c->must_close || MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION,
                                                     "close") == MHD_YES;
}

/* Hands the answer to MHD. The buffer of a whole answer stays ours and is not touched until
 * the request has completed. */
static enum MHD_Result queue(struct connection *c)
{
    enum MHD_Result result = MHD_NO;
    if (atomic_load_explicit(&worker_service(c->server->worker)->draining,
                             memory_order_relaxed))
        c->must_close = true;
    struct MHD_Response *response =
        c->content_length < 0
            ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_stream, c,
                                                NULL)
            : MHD_create_response_from_buffer(c->out.n, c->out.p, MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    if (add_fields(c, response)) {
        result = MHD_queue_response(c->mhd, c->status, response);
        c->queued = result == MHD_YES;
    }
    MHD_destroy_response(response);
    return result;
}

static bool is_ready(const struct connection *c)
{
    return c->headed && (c->content_length < 0 || c->ended);
}

/* -- the request ------------------------------------------------------------------------- */

/* What is asked for behind the path, decoded by the library. */
struct query {
    struct exchange_header parameters[SERVER_PARAMETERS_MAX];
    size_t n;
};

static enum MHD_Result on_parameter(void *arg, enum MHD_ValueKind kind, const char *name,
                                    size_t name_bytes, const char *value,
                                    size_t value_bytes)
{
    struct query *query = arg;
    (void)kind;
    if (query->n < SERVER_PARAMETERS_MAX)
        query->parameters[query->n++] = (struct exchange_header){
            .name = { name != NULL ? name : "", name_bytes },
            .value = { value != NULL ? value : "", value_bytes },
        };
    return MHD_YES;
}

static void reset(struct connection *c)
{
    c->active = c->complete = c->refused = c->gone = c->expects = c->must_close = false;
    c->headed = c->ended = c->aborted = c->queued = c->above = false;
    c->dropped_bytes = 0;
    c->content_length = 0;
    struct buf *const kept[] = { &c->fields, &c->out };
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        if (kept[i]->capacity > SERVER_KEEP_BYTES) {
            const size_t most = kept[i]->max_bytes;
            buf_release(kept[i]);
            buf_init(kept[i], most);
        } else {
            buf_clear(kept[i]);
        }
    }
}

/* "http://host/path", which only proxies are sent, names the path too. */
static const char *path_of(const char *url)
{
    if (strncasecmp(url, "http://", 7) != 0)
        return url;
    const char *path = strchr(url + 7, '/');
    return path != NULL ? path : "/";
}

/* The first call of a request: the head is in. */
static enum MHD_Result begin(struct connection *c, const char *url, const char *method,
                             const char *version)
{
    struct request_head head;
    struct query query;
    struct route_match match;
    bool large;
    request_head_read(&head, c->mhd);

    const struct str path = str_of(path_of(url));
    route_find(c->server->settings.surface, str_of(method), path, &match);
    const char *fault =
        request_head_fault(&head, version, c->server->settings.head_bytes, &large);
    query.n = 0;
    if (match.route == EXCHANGE_RECORDS &&
        MHD_get_connection_values_n(c->mhd, MHD_GET_ARGUMENT_KIND, on_parameter, &query) >
            SERVER_PARAMETERS_MAX)
        fault = "too many parameters";
    if (fault != NULL) {
        match.route = large ? EXCHANGE_LARGE_HEAD : EXCHANGE_BAD_REQUEST;
        match.argument = str_of(fault);
    }
    const struct exchange_request request = {
        .route = match.route,
        .method = str_of(method),
        .path = path,
        .argument = match.argument,
        .headers = head.headers,
        .n_headers = head.n,
        .content_length = request_head_body_bytes(&head),
        .peer = str_of(c->peer),
        .admin = c->server->settings.surface == ROUTE_ADMIN,
        .query = query.parameters,
        .n_query = query.n,
    };
    reset(c);
    c->active = true;
    idle_leave(c);
    c->must_close = fault != NULL;
    c->expects = str_eq_nocase(head.expect, STR("100-continue"));
    c->exchange = exchange_new(c->server->worker, &request, &ops, c);
    if (c->exchange == NULL)
        return MHD_NO;
    c->refused = c->headed;
    const bool too_long =
        request.content_length > 0 &&
        (uint64_t)request.content_length > c->server->settings.drain_bytes;
    if (fault == NULL && !(c->refused && (c->expects || too_long)))
        return MHD_YES;
    /* The body is not read (or nobody knows where it ends): answer now and close. */
    c->must_close = true;
    c->complete = true;
    if (fault != NULL && !is_ready(c))
        exchange_complete(c->exchange);
    return is_ready(c) && !answer_is_lost(c) ? queue(c) : MHD_NO;
}

static enum MHD_Result take_body(struct connection *c, const char *upload, size_t *bytes)
{
    const size_t n = *bytes;
    *bytes = 0;
    if (c->gone)
        return MHD_NO;
    if (!c->refused) {
        c->refused = !exchange_body(c->exchange, upload, n);
        return MHD_YES;
    }
    c->dropped_bytes += n;
    return c->dropped_bytes <= c->server->settings.drain_bytes ? MHD_YES : MHD_NO;
}

/* The last call, perhaps several times: when the body is in, and after each resume. */
static enum MHD_Result answer(struct connection *c)
{
    if (!c->complete) {
        c->complete = true;
        if (!c->refused && c->exchange != NULL)
            exchange_complete(c->exchange);
    }
    if (answer_is_lost(c))
        return MHD_NO;
    if (is_ready(c))
        return queue(c);
    if (c->left) {
        connection_drop(c);
        return MHD_NO;
    }
    MHD_suspend_connection(c->mhd);
    c->suspended = true;
    return MHD_YES;
}

enum MHD_Result connection_request(void *arg, struct MHD_Connection *mhd, const char *url,
                                   const char *method, const char *version,
                                   const char *upload, size_t *upload_bytes,
                                   void **request)
{
    struct connection *c = *request;
    (void)arg;
    if (c == NULL) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        c = info != NULL ? info->socket_context : NULL;
        if (c == NULL)
            return MHD_NO; /* there was no memory for it */
        *request = c;
        return begin(c, url, method, version);
    }
    return *upload_bytes > 0 ? take_body(c, upload, upload_bytes) : answer(c);
}

/* -- the head must come in time ---------------------------------------------------------- */

/* MHD's own limit begins anew with every byte. */
static void head_is_late(void *arg)
{
    struct connection *c = arg;
    if (c->active)
        return;
    if (loop_now_us(c->server->loop) >= c->head_due_us)
        (void)shutdown(c->watch.fd, SHUT_RDWR);
    else if (loop_timer_set(c->server->loop, &c->head_timer, c->head_due_us) != LOOP_OK)
        (void)shutdown(c->watch.fd, SHUT_RDWR);
}

/* From now on a request is awaited, which may be idle for so long before it begins: its head
 * must be here in the time that a whole request may take. Only the time is moved: a timer
 * that comes too early is set again. */
static void expect_head(struct connection *c, uint64_t idle_us)
{
    const struct config *config = worker_snapshot(c->server->worker)->config;
    c->head_due_us = loop_now_us(c->server->loop) + idle_us +
                     (uint64_t)config->limits.request_timeout_ms * 1000;
    /* Without memory for the timer MHD's limit has to do. */
    if (c->head_timer.slot == 0)
        IGNORE(loop_timer_set(c->server->loop, &c->head_timer, c->head_due_us));
    idle_enter(c);
}

/* The answer was delivered, or the connection broke. */
void connection_completed(void *arg, struct MHD_Connection *mhd, void **request,
                          enum MHD_RequestTerminationCode code)
{
    struct connection *c = *request;
    (void)arg, (void)mhd;
    if (c == NULL)
        return;
    if (c->exchange != NULL && !c->complete && code == MHD_REQUEST_TERMINATED_WITH_ERROR)
        exchange_bad_body(c->exchange);
    connection_drop(c);
    c->active = false;
    expect_head(c, (uint64_t)c->server->settings.idle_s * 1000000);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %XX in place, but for %00, which would end the path for all that read it as C text,
 * and for what is not of that form. */
size_t connection_unescape(void *arg, struct MHD_Connection *mhd, char *text)
{
    char *to = text;
    (void)arg, (void)mhd;
    for (const char *from = text; *from != '\0';) {
        const int high = from[0] == '%' ? hex_value(from[1]) : -1;
        const int low = high >= 0 ? hex_value(from[2]) : -1;
        if (low >= 0 && (high | low) != 0) {
            *to++ = (char)(high * 16 + low);
            from += 3;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
    return (size_t)(to - text);
}

/* -- the connection ---------------------------------------------------------------------- */

static void describe_peer(struct MHD_Connection *mhd, char *ret_peer, size_t bytes)
{
    char host[INET6_ADDRSTRLEN];
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    ret_peer[0] = '\0';
    if (info == NULL || info->client_addr == NULL)
        return;
    if (info->client_addr->sa_family == AF_INET) {
        const struct sockaddr_in *a = (const struct sockaddr_in *)info->client_addr;
        if (inet_ntop(AF_INET, &a->sin_addr, host, sizeof host) != NULL)
            (void)snprintf(ret_peer, bytes, "%s:%u", host, ntohs(a->sin_port));
    } else if (info->client_addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)info->client_addr;
        if (inet_ntop(AF_INET6, &a->sin6_addr, host, sizeof host) != NULL)
            (void)snprintf(ret_peer, bytes, "[%s]:%u", host, ntohs(a->sin6_port));
    }
}

/* GnuTLS's session, whose handshake has not begun. */
static void *session_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    return info != NULL ? info->tls_session : NULL;
}

static bool show_identity(struct server *server, struct MHD_Connection *mhd,
                          struct connection *c)
{
    void *session = session_of(mhd);
    if (session == NULL)
        return false;
    if (c != NULL)
        c->identity = tls_current(server->settings.tls);
    tls_attach(c != NULL ? c->identity : NULL, session);
    return c != NULL;
}

static void hide_identity(struct MHD_Connection *mhd, struct connection *c)
{
    void *session = session_of(mhd);
    if (session != NULL)
        tls_attach(NULL, session);
    tls_identity_unref(c->identity);
}

void connection_started(struct server *server, struct MHD_Connection *mhd,
                        void **socket_context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct connection *c = calloc(1, sizeof *c);
    *socket_context = NULL; /* the first request is refused by closing */
    if (server->settings.tls != NULL && !show_identity(server, mhd, c))
        goto fail;
    if (c == NULL || info == NULL)
        goto fail;
    c->server = server;
    c->mhd = mhd;
    c->watch.fn = on_left;
    c->watch.arg = c;
    buf_init(&c->fields, SERVER_FIELD_BYTES);
    buf_init(&c->out, SERVER_ANSWER_BYTES_MAX);
    if (loop_watch(server->loop, &c->watch, info->connect_fd, EPOLLRDHUP | EPOLLET) !=
        LOOP_OK)
        goto fail;
    describe_peer(mhd, c->peer, sizeof c->peer);
    c->head_timer = (struct loop_timer){ .fn = head_is_late, .arg = c };
    expect_head(c, 0);
    c->next = server->connections;
    if (c->next != NULL)
        c->next->prev = c;
    server->connections = c;
    server->n_connections++;
    metrics_move(worker_metrics(server->worker), METRIC_CONNECTIONS, 0, 1);
    idle_crowd(server);
    *socket_context = c;
    return;

fail:
    if (server->settings.tls != NULL && c != NULL)
        hide_identity(mhd, c);
    free(c);
}

void connection_closed(struct connection *c)
{
    if (c == NULL)
        return;
    struct server *server = c->server;
    assert(c->exchange == NULL && !c->suspended);
    *(c->prev != NULL ? &c->prev->next : &server->connections) = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    idle_leave(c);
    server->n_connections--;
    server->n_leaving -= c->told_to_leave;
    metrics_move(worker_metrics(server->worker), METRIC_CONNECTIONS, 0, -1);
    loop_unwatch(server->loop, &c->watch);
    loop_timer_clear(server->loop, &c->head_timer);
    buf_release(&c->fields);
    buf_release(&c->out);
    tls_identity_unref(
        c->identity); /* its session is over, or soon is and asks no more */
    free(c);
    if (server->quiesced && server->connections == NULL)
        worker_listener_empty(server->worker);
    /* At its limit of connections (or descriptors) MHD listens again in its next run only,
     * and its time limit does not ask for one. */
    loop_defer(server->loop, &server->flush, LOOP_FLUSH);
}
