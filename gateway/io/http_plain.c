/* http_plain.c - http:// on our own: the connections of one client, kept by origin
 *
 *      origin (host:port) --- idle connections, the warmest first
 *      call ------------------ its connection (http_conn.c) --- back to the origin, or closed
 *
 * libcurl costs as much as all the rest of a request (measured, docs/internals/http.md); the
 * experts of a gateway are mostly on plain http nearby, and what is needed is little.
 *
 * What must always hold: a connection is in its origin's list exactly while it is idle.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/io/http_conn.h"

struct origin {
    char host[256];
    uint16_t port;
    struct origin *next;
    struct http_conn *first, *last; /* idle, the warmest first */
};

struct http_plain {
    struct http *http;
    struct loop *loop;
    struct origin *origins;
    unsigned n_idle;
    struct loop_timer sweep;
    char buffer[HTTP_READ_BYTES];
};

/* -- connections ------------------------------------------------------------------------- */

void http_plain_unlink(struct http_conn *conn)
{
    struct origin *origin = conn->origin;
    *(conn->prev != NULL ? &conn->prev->next : &origin->first) = conn->next;
    *(conn->next != NULL ? &conn->next->prev : &origin->last) = conn->prev;
    conn->prev = conn->next = NULL;
    conn->plain->n_idle--;
}

static void set_sweep(struct http_plain *plain)
{
    if (plain->sweep.slot != 0 || plain->n_idle == 0)
        return;
    const uint64_t due = loop_now_us(plain->loop) +
                         (uint64_t)http_settings_of(plain->http)->idle_max_s * 1000000;
    /* Without the timer connections stay until their server closes them. */
    if (loop_timer_set(plain->loop, &plain->sweep, due) != LOOP_OK)
        return;
}

static bool is_stale(const struct http_conn *conn)
{
    const struct http_plain *plain = conn->plain;
    return loop_now_us(plain->loop) - conn->idle_since_us >=
           (uint64_t)http_settings_of(plain->http)->idle_max_s * 1000000;
}

static void on_sweep(void *arg)
{
    struct http_plain *plain = arg;
    for (struct origin *origin = plain->origins; origin != NULL; origin = origin->next) {
        while (origin->last != NULL && is_stale(origin->last)) {
            struct http_conn *conn = origin->last;
            http_plain_unlink(conn);
            http_conn_close(conn);
        }
    }
    set_sweep(plain);
}

void http_plain_keep(struct http_conn *conn)
{
    struct http_plain *plain = conn->plain;
    struct origin *origin = conn->origin;
    if (plain->n_idle >= http_settings_of(plain->http)->connections_max) {
        http_conn_close(conn);
        return;
    }
    loop_timer_clear(plain->loop, &conn->timer);
    conn->idle_since_us = loop_now_us(plain->loop);
    conn->prev = NULL;
    conn->next = origin->first;
    *(origin->first != NULL ? &origin->first->prev : &origin->last) = conn;
    origin->first = conn;
    plain->n_idle++;
    set_sweep(plain);
}

/* -- the transport ----------------------------------------------------------------------- */

static void add(struct http_scratch *to, const char *text)
{
    (void)http_scratch_add(to, text, strlen(text));
}

/* By hand: printf costs as much as all the rest of the head. */
static void add_number(struct http_scratch *to, size_t number)
{
    char digits[24];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    (void)http_scratch_add(to, digits + at, sizeof digits - at);
}

/* The request's head, whole. */
static bool fill(struct http_call *call, const struct http_spec *spec)
{
    struct http_scratch *to = &call->text;
    size_t bytes = 256 + strlen(spec->url) + strlen(call->host);
    bool accept = false;
    for (size_t i = 0; i < spec->n_headers; i++) {
        bytes += strlen(spec->headers[i].name) + strlen(spec->headers[i].value) + 4;
        accept = accept || strcasecmp(spec->headers[i].name, "accept") == 0;
    }
    if (spec->key != NULL)
        bytes += strlen(spec->key) + strlen(http_key_field(spec));
    if (!http_scratch_reserve(to, bytes))
        return false;
    add(to, spec->method);
    add(to, call->path[0] == '/' ? " " : " /");
    add(to, call->path);
    add(to, " HTTP/1.1\r\nHost: ");
    add(to, call->host);
    if (call->port != 80) {
        add(to, ":");
        add_number(to, call->port);
    }
    add(to, accept ? "\r\n" : "\r\nAccept: */*\r\n");
    if (spec->key != NULL && spec->key[0] != '\0') {
        add(to, http_key_field(spec));
        add(to, http_key_scheme(spec));
        add(to, spec->key);
        add(to, "\r\n");
    }
    for (size_t i = 0; i < spec->n_headers; i++) {
        add(to, spec->headers[i].name);
        add(to, ": ");
        add(to, spec->headers[i].value);
        add(to, "\r\n");
    }
    if (strcmp(spec->method, "GET") != 0) {
        add(to, "Content-Length: ");
        add_number(to, call->body_bytes);
        add(to, "\r\n");
    }
    add(to, "\r\n");
    return true;
}

static struct origin *find_origin(struct http_plain *plain, const struct http_call *call)
{
    struct origin *origin = plain->origins;
    while (origin != NULL &&
           (origin->port != call->port || strcmp(origin->host, call->host) != 0))
        origin = origin->next;
    if (origin != NULL)
        return origin;
    origin = calloc(1, sizeof *origin);
    if (origin == NULL)
        return NULL;
    memcpy(origin->host, call->host, sizeof origin->host);
    origin->port = call->port;
    origin->next = plain->origins;
    plain->origins = origin;
    return origin;
}

static bool begin(struct http_call *call)
{
    struct http_plain *plain = http_plain_of(call->http);
    struct origin *origin = find_origin(plain, call);
    if (origin == NULL)
        return false;
    while (origin->first != NULL && is_stale(origin->first)) {
        struct http_conn *stale = origin->first;
        http_plain_unlink(stale);
        http_conn_close(stale);
    }
    struct http_conn *conn = call->fresh ? NULL : origin->first;
    if (conn != NULL)
        http_plain_unlink(conn);
    else
        conn = http_conn_new(plain, origin, origin->port, plain->http, plain->buffer);
    if (conn == NULL)
        return false;
    http_conn_run(conn, call);
    return true;
}

/* From inside an event of the call: who gave it still looks at the call when it returns. */
static bool drop(struct http_call *call)
{
    struct http_conn *conn = call->conn;
    if (conn == NULL)
        return true;
    const bool on_stack = conn->busy;
    http_conn_drop(conn);
    return !on_stack;
}

static void resume(struct http_call *call)
{
    if (call->conn != NULL)
        http_conn_resume(call->conn);
}

const struct http_transport http_plain_transport = { fill, begin, drop, resume };

struct http_plain *http_plain_new(struct http *http)
{
    struct http_plain *plain = calloc(1, sizeof *plain);
    if (plain == NULL)
        return NULL;
    plain->http = http;
    plain->loop = http_loop(http);
    plain->sweep.fn = on_sweep;
    plain->sweep.arg = plain;
    return plain;
}

void http_plain_free(struct http_plain *plain)
{
    if (plain == NULL)
        return;
    while (plain->origins != NULL) {
        struct origin *origin = plain->origins;
        while (origin->first != NULL) {
            struct http_conn *conn = origin->first;
            http_plain_unlink(conn);
            http_conn_close(conn);
        }
        plain->origins = origin->next;
        free(origin);
    }
    loop_timer_clear(plain->loop, &plain->sweep);
    free(plain);
}
