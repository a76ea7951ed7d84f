/* http.c - the client: libcurl's multi handle on the loop
 *
 *      loop: fd event ---> on_event ---> socket_action(fd) ---+
 *      loop: timer ------> on_timer ---> socket_action(TIMEOUT)+--> collect --> done events
 *      loop: FLUSH ------> flush: removals, additions, resumes +
 *
 * What must always hold:
 *   - `busy` is true while libcurl is on the stack; nothing then calls curl_multi_*: starts,
 *     cancels and resumes are noted and done in LOOP_FLUSH of the same turn.
 *   - Events are made with libcurl off the stack (done) or from its callbacks (head, body).
 *
 * Sockets. After each request libcurl says "remove", and "read" again at the next one on the
 * same connection. Telling the kernel would be two system calls a request, so what the
 * kernel watches lags behind what libcurl wants: an event that nobody wants takes the
 * socket off. The close callback tells of most closed sockets; the others are found when
 * their number comes back.
 */
#include "gateway/io/http.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/io/http_private.h"

#define CONNECTIONS_MAX 256
#define IDLE_MAX_S      50  /* below the usual 60 s and more of servers */
#define FREE_CALLS_MAX  256 /* easy handles kept for reuse */

/* A socket of libcurl's. It outlives the requests on its connection. */
struct sock {
    struct loop_watch watch;
    struct http *http;
    uint32_t wanted; /* EPOLLIN, EPOLLOUT; 0 = libcurl is not interested */
};

/* A name whose addresses this multi handle's cache has been told. */
struct pin {
    char host[256];
    uint16_t port;
    uint64_t generation;
};

struct list {
    struct http_call *first, *last;
};

struct http {
    struct loop *loop;
    CURLM *multi;
    struct http_settings settings;
    struct list lists[HTTP_CALL_STATES];
    unsigned n_free, in_flight;
    bool busy;
    struct loop_timer timer;
    struct loop_task flush;
    struct sock **socks; /* by descriptor; NULL = not one of ours */
    size_t n_socks;
    struct pin *pins;
    size_t n_pins;
};

unsigned http_in_flight(const struct http *http)
{
    return http->in_flight;
}

/* -- the state of a call ----------------------------------------------------------------- */

/* The one place where a call changes its state. */
static void move(struct http_call *call, enum http_call_state state)
{
    struct list *from = &call->http->lists[call->state];
    struct list *to = &call->http->lists[state];
    *(call->prev != NULL ? &call->prev->next : &from->first) = call->next;
    *(call->next != NULL ? &call->next->prev : &from->last) = call->prev;
    call->state = state;
    call->prev = to->last;
    call->next = NULL;
    *(to->last != NULL ? &to->last->next : &to->first) = call;
    to->last = call;
}

static void destroy(struct http_call *call)
{
    struct list *from = &call->http->lists[call->state];
    *(call->prev != NULL ? &call->prev->next : &from->first) = call->next;
    *(call->next != NULL ? &call->next->prev : &from->last) = call->prev;
    http_call_release(call);
    free(call);
}

static void recycle(struct http_call *call)
{
    struct http *http = call->http;
    loop_timer_clear(http->loop, &call->timer);
    loop_undefer(http->loop, &call->resume);
    call->dead = true;
    move(call, HTTP_IDLE);
    if (http->n_free < FREE_CALLS_MAX)
        http->n_free++;
    else
        destroy(call);
}

static void end(struct http_call *call, enum http_result_code code, const char *detail)
{
    struct http *http = call->http;
    loop_timer_clear(http->loop, &call->timer);
    loop_undefer(http->loop, &call->resume);
    call->result.code = code;
    call->result.detail = detail;
    const uint64_t us = loop_now_us(http->loop) - call->started_us;
    call->result.timings.done_us = us > 0 ? us : 1;
    move(call, HTTP_ENDED);
    loop_defer(http->loop, &http->flush, LOOP_FLUSH);
}

static void deliver(struct http *http)
{
    while (http->lists[HTTP_ENDED].first != NULL) {
        struct http_call *call = http->lists[HTTP_ENDED].first;
        /* Off the list before the event: in it, cancel and resume find nothing to do. */
        call->dead = true;
        move(call, HTTP_TELLING);
        http->in_flight--;
        call->events->done(call->arg, &call->result);
        recycle(call);
    }
}

/* Takes from libcurl what is finished. */
static void collect(struct http *http)
{
    int left;
    assert(!http->busy);
    for (;;) {
        CURLMsg *msg = curl_multi_info_read(http->multi, &left);
        struct http_call *call = NULL;
        if (msg == NULL)
            break;
        if (msg->msg != CURLMSG_DONE)
            continue;
        const CURLcode code = msg->data.result; /* gone with the handle */
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        long connects = 0;
        (void)curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connects);
        (void)curl_multi_remove_handle(http->multi, call->easy);
        if (call->dead) {
            recycle(call);
            continue;
        }
        call->result.reused = call->result.sent && connects == 0;
        const enum http_result_code result = http_call_classify(call, code);
        end(call, result, http_call_detail(call, result));
    }
    deliver(http);
}

static void drive(struct http *http, curl_socket_t fd, int flags)
{
    int running;
    assert(!http->busy);
    http->busy = true;
    (void)curl_multi_socket_action(http->multi, fd, flags, &running);
    http->busy = false;
    collect(http);
}

/* -- sockets ----------------------------------------------------------------------------- */

static void on_event(void *arg, uint32_t events)
{
    struct sock *sock = arg;
    const uint32_t fatal = events & (EPOLLERR | EPOLLHUP);
    int flags = 0;
    if (sock->wanted == 0) {
        loop_unwatch(sock->http->loop, &sock->watch);
        return;
    }
    if ((events & sock->wanted) == 0 && fatal == 0) {
        if (loop_watch(sock->http->loop, &sock->watch, sock->watch.fd, sock->wanted) !=
            LOOP_OK)
            loop_unwatch(sock->http->loop, &sock->watch);
        return;
    }
    if ((events & EPOLLIN) != 0)
        flags |= CURL_CSELECT_IN;
    if ((events & EPOLLOUT) != 0)
        flags |= CURL_CSELECT_OUT;
    if (fatal != 0)
        flags |= CURL_CSELECT_ERR;
    drive(sock->http, sock->watch.fd, flags);
}

static struct sock *sock_make(struct http *http, curl_socket_t fd)
{
    if ((size_t)fd >= http->n_socks) {
        size_t n = (size_t)fd * 2 + 64;
        struct sock **socks = reallocarray(http->socks, n, sizeof(struct sock *));
        if (socks == NULL)
            return NULL;
        memset(socks + http->n_socks, 0, (n - http->n_socks) * sizeof(struct sock *));
        http->socks = socks;
        http->n_socks = n;
    }
    struct sock *sock = http->socks[fd];
    if (sock != NULL) {
        /* libcurl closes a socket that never connected (TLS included) without telling: the
         * number is new, the kernel has forgotten the old socket. */
        loop_unwatch(http->loop, &sock->watch);
        sock->wanted = 0;
        return sock;
    }
    sock = calloc(1, sizeof *sock);
    if (sock == NULL)
        return NULL;
    sock->http = http;
    sock->watch.fn = on_event;
    sock->watch.arg = sock;
    http->socks[fd] = sock;
    return sock;
}

curl_socket_t http_open_socket(struct http *http, struct curl_sockaddr *address)
{
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    if (sock_make(http, fd) == NULL) {
        (void)close(fd);
        return CURL_SOCKET_BAD;
    }
    return fd;
}

int http_close_socket(void *arg, curl_socket_t fd)
{
    struct http *http = arg;
    struct sock *sock = (size_t)fd < http->n_socks ? http->socks[fd] : NULL;
    if (sock != NULL) {
        loop_unwatch(http->loop, &sock->watch);
        http->socks[fd] = NULL;
        free(sock);
    }
    return close(fd);
}

/* libcurl wants to hear of fd, or not any more. */
static int on_interest(CURL *easy, curl_socket_t fd, int what, void *userp, void *socketp)
{
    struct http *http = userp;
    struct sock *sock = (size_t)fd < http->n_socks ? http->socks[fd] : NULL;
    (void)easy, (void)socketp;
    if (sock == NULL)
        return 0;
    sock->wanted =
        (what == CURL_POLL_IN || what == CURL_POLL_INOUT ? (uint32_t)EPOLLIN : 0) |
        (what == CURL_POLL_OUT || what == CURL_POLL_INOUT ? (uint32_t)EPOLLOUT : 0);
    /* The kernel refuses only when it is out of memory: the call's limits end it then. */
    if ((sock->wanted & ~sock->watch.events) != 0 &&
        loop_watch(http->loop, &sock->watch, fd, sock->wanted) != LOOP_OK)
        sock->wanted = 0;
    return 0;
}

/* -- libcurl's timer --------------------------------------------------------------------- */

static void on_timer(void *arg)
{
    drive(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer_wish(CURLM *multi, long timeout_ms, void *userp)
{
    struct http *http = userp;
    (void)multi;
    if (timeout_ms <= 0) {
        loop_timer_clear(http->loop, &http->timer);
        if (timeout_ms == 0)
            loop_defer(http->loop, &http->flush, LOOP_FLUSH);
        return 0;
    }
    return loop_timer_set(http->loop, &http->timer,
                          loop_now_us(http->loop) + (uint64_t)timeout_ms * 1000) ==
                   LOOP_OK
               ? 0
               : -1;
}

/* -- what was noted while libcurl or its callers were on the stack ------------------------ */

static struct pin *find_pin(struct http *http, const struct http_call *call)
{
    for (size_t i = 0; i < http->n_pins; i++)
        if (http->pins[i].port == call->port &&
            strcmp(http->pins[i].host, call->host) == 0)
            return &http->pins[i];
    return NULL;
}

/* A pin stays in the multi handle's cache, so the next calls need not carry it. When it
 * cannot be remembered they carry it too. */
static void remember_pin(struct http *http, const struct http_call *call)
{
    struct pin *pin = find_pin(http, call);
    if (pin == NULL) {
        struct pin *pins = reallocarray(http->pins, http->n_pins + 1, sizeof *pins);
        if (pins == NULL)
            return;
        http->pins = pins;
        pin = &pins[http->n_pins++];
        memcpy(pin->host, call->host, sizeof pin->host);
        pin->port = call->port;
    }
    pin->generation = call->pin_generation;
}

static void flush(void *arg)
{
    struct http *http = arg;
    while (http->lists[HTTP_DYING].first != NULL) {
        struct http_call *call = http->lists[HTTP_DYING].first;
        (void)curl_multi_remove_handle(http->multi, call->easy);
        recycle(call);
    }
    while (http->lists[HTTP_QUEUED].first != NULL) {
        struct http_call *call = http->lists[HTTP_QUEUED].first;
        if (curl_multi_add_handle(http->multi, call->easy) != CURLM_OK) {
            end(call, HTTP_NOMEM, http_result_text(HTTP_NOMEM));
            continue;
        }
        move(call, HTTP_RUNNING);
        if (call->pin_generation != 0)
            remember_pin(http, call);
    }
    drive(http, CURL_SOCKET_TIMEOUT, 0);
}

static void on_resume(void *arg)
{
    struct http_call *call = arg;
    struct http *http = call->http;
    if (!call->curl_paused)
        return;
    call->curl_paused = false;
    http->busy = true; /* bytes that libcurl holds back are given at once */
    (void)curl_easy_pause(call->easy, CURLPAUSE_CONT);
    http->busy = false;
    collect(http);
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

/* -- names and limits -------------------------------------------------------------------- */

static void find_address(struct http_call *call)
{
    struct http *http = call->http;
    const char *why = "no resolver";
    uint64_t generation = 0;
    enum resolve_state state = RESOLVE_FAILED;
    if (http->settings.resolve != NULL)
        state = resolve_ask(http->settings.resolve, call->host, call->port, &call->waiter,
                            call->pin_text, &generation, &why);
    if (state == RESOLVE_PENDING) {
        call->waits = true;
        return;
    }
    if (state == RESOLVE_FAILED) {
        (void)snprintf(call->detail, sizeof call->detail,
                       "cannot resolve '%.100s': %.100s", call->host, why);
        end(call, HTTP_DNS, call->detail);
        return;
    }
    const struct pin *pin = find_pin(http, call);
    if (pin == NULL || pin->generation != generation) {
        call->pin.data = call->pin_text;
        call->pin.next = NULL;
        call->pin_generation = generation;
        if (curl_easy_setopt(call->easy, CURLOPT_RESOLVE, &call->pin) != CURLE_OK) {
            end(call, HTTP_NOMEM, http_result_text(HTTP_NOMEM));
            return;
        }
    }
    move(call, HTTP_QUEUED);
    loop_defer(http->loop, &http->flush, LOOP_FLUSH);
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
    struct http *http = call->http;
    enum http_result_code code = http_call_overdue(call);
    if (code == HTTP_OK && http_call_arm(call))
        return;
    if (code == HTTP_OK)
        code = HTTP_NOMEM;
    if (call->waits) {
        if (!resolve_forget(http->settings.resolve, &call->waiter)) {
            /* Its mail comes this turn and decides. */
            if (loop_timer_set(http->loop, &call->timer, 0) == LOOP_OK)
                return;
        }
        call->waits = false;
    }
    if (call->state == HTTP_RUNNING)
        (void)curl_multi_remove_handle(http->multi, call->easy);
    end(call, code, http_result_text(code));
}

/* -- calls ------------------------------------------------------------------------------- */

static struct http_call *call_new(struct http *http)
{
    struct http_call *call = http->lists[HTTP_IDLE].first;
    if (call != NULL) {
        http->n_free--;
        return call;
    }
    call = calloc(1, sizeof *call);
    if (call == NULL)
        return NULL;
    call->http = http;
    call->loop = http->loop;
    call->idle_max_s = http->settings.idle_max_s;
    call->timer.fn = on_limit;
    call->timer.arg = call;
    call->resume.fn = on_resume;
    call->resume.arg = call;
    call->waiter.loop = http->loop;
    call->waiter.mail.fn = on_name;
    call->waiter.mail.arg = call;
    if (!http_call_setup(call)) {
        http_call_release(call);
        free(call);
        return NULL;
    }
    struct list *list = &http->lists[HTTP_IDLE];
    call->next = list->first;
    *(list->first != NULL ? &list->first->prev : &list->last) = call;
    list->first = call;
    return call;
}

struct http_call *http_start(struct http *http, const struct http_spec *spec,
                             const struct http_events *events, void *arg)
{
    struct http_call *call = call_new(http);
    if (call == NULL)
        return NULL;
    if (!http_call_fill(call, spec) || !http_call_arm(call)) {
        destroy(call);
        return NULL;
    }
    call->events = events;
    call->arg = arg;
    http->in_flight++;
    move(call, HTTP_NAMING);
    if (!http_call_parse_url(call, spec->url)) {
        end(call, HTTP_PROTOCOL, "cannot read the url");
    } else if (resolve_is_numeric(call->host)) {
        move(call, HTTP_QUEUED);
        loop_defer(http->loop, &http->flush, LOOP_FLUSH);
    } else {
        find_address(call);
    }
    return call;
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
    if (call->state == HTTP_RUNNING) {
        if (http->busy) {
            move(call, HTTP_DYING);
            loop_defer(http->loop, &http->flush, LOOP_FLUSH);
            return;
        }
        (void)curl_multi_remove_handle(http->multi, call->easy);
    } else if (call->waits && !resolve_forget(http->settings.resolve, &call->waiter)) {
        return; /* on_name() recycles it */
    }
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
    http->timer.fn = on_timer;
    http->flush.fn = flush;
    http->timer.arg = http->flush.arg = http;
    http->multi = curl_multi_init();
    if (http->multi == NULL ||
        curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_interest) !=
            CURLM_OK ||
        curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http) != CURLM_OK ||
        curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer_wish) !=
            CURLM_OK ||
        curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http) != CURLM_OK ||
        curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS,
                          (long)http->settings.connections_max) != CURLM_OK) {
        http_free(http);
        return NULL;
    }
    return http;
}

/* A call whose mail is on the way is left to its mail. */
static void abandon(struct http *http)
{
    struct http_call *next;
    for (struct http_call *call = http->lists[HTTP_NAMING].first; call != NULL;
         call = next) {
        next = call->next;
        loop_timer_clear(http->loop, &call->timer);
        if (call->waits && !resolve_forget(http->settings.resolve, &call->waiter))
            call->http = NULL;
        else
            destroy(call);
    }
    http->lists[HTTP_NAMING] = (struct list){ NULL, NULL };
}

void http_free(struct http *http)
{
    if (http == NULL)
        return;
    assert(!http->busy);
    abandon(http);
    for (int state = 0; state < HTTP_CALL_STATES; state++) {
        while (http->lists[state].first != NULL) {
            struct http_call *call = http->lists[state].first;
            if (state == HTTP_RUNNING || state == HTTP_DYING)
                (void)curl_multi_remove_handle(http->multi, call->easy);
            loop_timer_clear(http->loop, &call->timer);
            loop_undefer(http->loop, &call->resume);
            destroy(call);
        }
    }
    if (http->multi != NULL)
        (void)curl_multi_cleanup(http->multi);
    loop_timer_clear(http->loop, &http->timer);
    loop_undefer(http->loop, &http->flush);
    for (size_t i = 0; i < http->n_socks; i++)
        free(http->socks[i]);
    free(http->socks);
    free(http->pins);
    free(http);
}
