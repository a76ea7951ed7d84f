/* http.c - the front of the client: the life of a call
 *
 * What must always hold: a call is in the list of its state, and move() is the one place that
 * changes it; the done event is made once, with the call off every other list; nothing that
 * a caller may do in an event is done to a transport that is on the stack. */
#include "gateway/io/http.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/io/http_private.h"

#define CONNECTIONS_MAX 256
#define IDLE_MAX_S      50  /* below the usual 60 s and more of servers */
#define FREE_CALLS_MAX  256 /* kept for reuse */

struct list {
    struct http_call *first, *last;
};

struct http {
    struct loop *loop;
    struct http_settings settings;
    struct http_plain *plain;
    struct http_curl *curl;
    struct list lists[HTTP_CALL_STATES];
    unsigned n_free, in_flight;
    struct loop_task flush;
};

bool http_global_init(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

unsigned http_in_flight(const struct http *http)
{
    return http->in_flight;
}

struct loop *http_loop(const struct http *http)
{
    return http->loop;
}

const struct http_settings *http_settings_of(const struct http *http)
{
    return &http->settings;
}

struct http_plain *http_plain_of(const struct http *http)
{
    return http->plain;
}

struct http_curl *http_curl_of(const struct http *http)
{
    return http->curl;
}

/* -- the state of a call ----------------------------------------------------------------- */

static void leave_list(struct http_call *call)
{
    struct list *from = &call->http->lists[call->state];
    *(call->prev != NULL ? &call->prev->next : &from->first) = call->next;
    *(call->next != NULL ? &call->next->prev : &from->last) = call->prev;
}

static void enter_list(struct http_call *call, enum http_call_state state)
{
    struct list *to = &call->http->lists[state];
    call->state = state;
    call->prev = to->last;
    call->next = NULL;
    *(to->last != NULL ? &to->last->next : &to->first) = call;
    to->last = call;
}

/* The one place where a call changes its state. */
static void move(struct http_call *call, enum http_call_state state)
{
    leave_list(call);
    enter_list(call, state);
}

static void destroy(struct http_call *call)
{
    leave_list(call);
    http_call_release(call);
    free(call);
}

static void recycle(struct http_call *call)
{
    struct http *http = call->http;
    loop_timer_clear(http->loop, &call->timer);
    loop_undefer(http->loop, &call->resume);
    http_call_wipe(call);
    call->dead = true;
    move(call, HTTP_IDLE);
    if (http->n_free < FREE_CALLS_MAX)
        http->n_free++;
    else
        destroy(call);
}

void http_reaped(struct http_call *call)
{
    recycle(call);
}

void http_want_flush(struct http *http)
{
    loop_defer(http->loop, &http->flush, LOOP_FLUSH);
}

void http_end(struct http_call *call, enum http_result_code code, const char *detail)
{
    struct http *http = call->http;
    loop_timer_clear(http->loop, &call->timer);
    loop_undefer(http->loop, &call->resume);
    call->result.code = code;
    call->result.detail = detail != NULL ? detail : http_result_text(code);
    const uint64_t us = loop_now_us(http->loop) - call->started_us;
    call->result.timings.done_us = us > 0 ? us : 1;
    move(call, HTTP_ENDED);
    http_want_flush(http);
}

void http_deliver(struct http *http)
{
    while (http->lists[HTTP_ENDED].first != NULL) {
        struct http_call *call = http->lists[HTTP_ENDED].first;
        call->dead = true; /* in the event, cancel and resume find nothing to do */
        move(call, HTTP_TELLING);
        http->in_flight--;
        call->events->done(call->arg, &call->result);
        recycle(call);
    }
}

static void begin(struct http_call *call)
{
    move(call, HTTP_RUNNING);
    if (!call->transport->begin(call))
        http_end(call, HTTP_NOMEM, NULL);
}

static void flush(void *arg)
{
    struct http *http = arg;
    while (http->lists[HTTP_QUEUED].first != NULL)
        begin(http->lists[HTTP_QUEUED].first);
    while (http->lists[HTTP_DYING].first != NULL) {
        struct http_call *call = http->lists[HTTP_DYING].first;
        (void)call->transport->drop(call);
        recycle(call);
    }
    if (http->curl != NULL)
        http_curl_flush(http->curl);
    http_deliver(http);
}

/* -- names and limits -------------------------------------------------------------------- */

/* libcurl must not be entered from its own callbacks: its calls begin with the flush. Ours
 * begin at once, since in a burst of requests the first would wait until the last is read. */
static void enqueue(struct http_call *call)
{
    move(call, HTTP_QUEUED);
    if (call->transport == &http_plain_transport)
        begin(call);
    else
        http_want_flush(call->http);
}

static void find_address(struct http_call *call)
{
    struct resolve *resolve = call->http->settings.resolve;
    const char *why = "no resolver";
    enum resolve_state state = RESOLVE_FAILED;
    if (resolve_is_numeric(call->host)) {
        call->pin_text[0] = '\0';
        enqueue(call);
        return;
    }
    if (resolve != NULL)
        state = resolve_ask(resolve, call->host, call->port, &call->waiter,
                            call->pin_text, &call->pin_generation, &why);
    if (state == RESOLVE_PENDING) {
        call->waits = true;
    } else if (state == RESOLVE_PINNED) {
        enqueue(call);
    } else {
        (void)snprintf(call->detail, sizeof call->detail,
                       "cannot resolve '%.100s': %.100s", call->host, why);
        http_end(call, HTTP_DNS, call->detail);
    }
}

static void on_name(void *arg)
{
    struct http_call *call = arg;
    call->waits = false;
    if (call->http == NULL) {
        http_call_release(call);
        free(call);
    } else if (call->dead) {
        recycle(call);
    } else {
        find_address(call);
    }
}

static void on_limit(void *arg)
{
    struct http_call *call = arg;
    enum http_result_code code = http_call_overdue(call);
    if (code == HTTP_OK && http_call_arm(call))
        return;
    if (code == HTTP_OK)
        code = HTTP_NOMEM;
    if (call->waits) {
        if (!resolve_forget(call->http->settings.resolve, &call->waiter) &&
            loop_timer_set(call->loop, &call->timer, 0) == LOOP_OK)
            return; /* its mail comes this turn and decides */
        call->waits = false;
    }
    if (call->state == HTTP_RUNNING) {
        const bool gone = call->transport->drop(call);
        assert(gone); /* timers run with no transport on the stack */
        (void)gone;
    }
    http_end(call, code, NULL);
}

static void on_resume(void *arg)
{
    struct http_call *call = arg;
    call->transport->resume(call);
}

/* -- calls ------------------------------------------------------------------------------- */

static struct http_call *call_new(struct http *http)
{
    struct http_call *call = http->lists[HTTP_IDLE].last; /* the warmest */
    if (call != NULL) {
        http->n_free--;
        return call;
    }
    call = calloc(1, sizeof *call);
    if (call == NULL)
        return NULL;
    call->http = http;
    call->loop = http->loop;
    call->timer.fn = on_limit;
    call->timer.arg = call;
    call->resume.fn = on_resume;
    call->resume.arg = call;
    call->waiter.loop = http->loop;
    call->waiter.mail.fn = on_name;
    call->waiter.mail.arg = call;
    enter_list(call, HTTP_IDLE);
    return call;
}

static bool is_clean(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' && *text != '\t')
            return false;
    return true;
}

static void check(const struct http_spec *spec)
{
    assert(strcmp(spec->method, "GET") == 0 || strcmp(spec->method, "POST") == 0);
    assert(spec->n_headers <= HTTP_CALLER_HEADERS_MAX);
    assert(spec->key == NULL || is_clean(spec->key));
    assert(spec->key_header == NULL || is_clean(spec->key_header));
    for (size_t i = 0; i < spec->n_headers; i++)
        assert(is_clean(spec->headers[i].name) && is_clean(spec->headers[i].value));
}

struct http_call *http_start(struct http *http, const struct http_spec *spec,
                             const struct http_events *events, void *arg)
{
    check(spec);
    struct http_call *call = call_new(http);
    if (call == NULL)
        return NULL;
    http_call_reset(call, spec);
    const bool readable = http_call_parse_url(call, spec->url);
    const bool by_curl =
        readable && !spec->connect_only && (call->tls || http->settings.libcurl_only);
    call->transport = by_curl ? &http_curl_transport : &http_plain_transport;
    if (by_curl && http->curl == NULL)
        http->curl = http_curl_new(http);
    if ((by_curl && http->curl == NULL) || !http_call_arm(call) ||
        (readable && !call->transport->fill(call, spec))) {
        loop_timer_clear(http->loop, &call->timer);
        destroy(call);
        return NULL;
    }
    call->events = events;
    call->arg = arg;
    http->in_flight++;
    move(call, HTTP_NAMING);
    if (readable)
        find_address(call);
    else
        http_end(call, HTTP_PROTOCOL, "cannot read the url");
    return call;
}

void http_resume(struct http_call *call)
{
    if (call->dead || !call->paused)
        return;
    call->paused = false;
    call->last_byte_us = loop_now_us(call->loop);
    const bool armed = http_call_arm(call);
    assert(armed);
    (void)armed;
    if (call->state == HTTP_RUNNING)
        loop_defer(call->loop, &call->resume, LOOP_FLUSH);
}

void http_cancel(struct http_call *call)
{
    if (call == NULL || call->dead)
        return;
    struct http *http = call->http;
    call->dead = true;
    http->in_flight--;
    loop_timer_clear(http->loop, &call->timer);
    loop_undefer(http->loop, &call->resume);
    if (call->state == HTTP_RUNNING && !call->transport->drop(call)) {
        move(call, HTTP_DYING);
        http_want_flush(http);
        return;
    }
    if (call->waits && !resolve_forget(http->settings.resolve, &call->waiter))
        return; /* on_name() recycles it */
    call->waits = false;
    if (call->in_event)
        move(call, HTTP_TELLING); /* http_call.c recycles it after the event */
    else
        recycle(call);
}

/* -- life cycle -------------------------------------------------------------------------- */

struct http *http_new(struct loop *loop, const struct http_settings *settings)
{
    struct http *http = calloc(1, sizeof *http);
    if (http == NULL)
        return NULL;
    http->loop = loop;
    if (settings != NULL)
        http->settings = *settings;
    if (http->settings.connections_max == 0)
        http->settings.connections_max = CONNECTIONS_MAX;
    if (http->settings.idle_max_s == 0)
        http->settings.idle_max_s = IDLE_MAX_S;
    http->flush.fn = flush;
    http->flush.arg = http;
    http->plain = http_plain_new(http);
    if (http->plain == NULL) {
        http_free(http);
        return NULL;
    }
    return http;
}

void http_free(struct http *http)
{
    if (http == NULL)
        return;
    for (int state = 0; state < HTTP_CALL_STATES; state++) {
        while (http->lists[state].first != NULL) {
            struct http_call *call = http->lists[state].first;
            assert(state != HTTP_TELLING); /* not from inside a done event */
            if (state == HTTP_RUNNING || state == HTTP_DYING)
                (void)call->transport->drop(call);
            loop_timer_clear(http->loop, &call->timer);
            loop_undefer(http->loop, &call->resume);
            if (call->waits && !resolve_forget(http->settings.resolve, &call->waiter)) {
                leave_list(call); /* left to its mail */
                call->http = NULL;
            } else {
                destroy(call);
            }
        }
    }
    http_curl_free(http->curl);
    http_plain_free(http->plain);
    loop_undefer(http->loop, &http->flush);
    free(http);
}
