/* http_curl.c - https:// by libcurl's multi interface on the loop
 *
 *      loop: fd event ---> on_event ---> socket_action(fd) ----+
 *      loop: timer ------> on_timer ---> socket_action(TIMEOUT)-+-> collect -> done events
 *      loop: FLUSH ------> http_curl_flush: begin --------------+
 *      loop: FLUSH ------> resume: easy_pause(CONT) ------------+
 *
 * What must always hold:
 *   - `busy` is true while libcurl is on the stack; nothing then calls curl_multi_*: starts,
 *     cancels and resumes are noted and done in LOOP_FLUSH of the same turn.
 *
 * Sockets. After each request libcurl says "remove", and "read" again at the next one on the
 * same connection. Telling the kernel would be two system calls a request, so what the
 * kernel watches lags behind what libcurl wants: an event that nobody wants takes the
 * socket off. The close callback tells of most closed sockets; the others are found when
 * their number comes back.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/io/http_private.h"

/* A socket of libcurl's. It outlives the requests on its connection. */
struct sock {
    struct loop_watch watch;
    struct http_curl *curl;
    uint32_t wanted; /* EPOLLIN, EPOLLOUT; 0 = libcurl is not interested */
};

/* A name whose addresses the multi handle's cache has been told. */
struct pin {
    char host[256];
    uint16_t port;
    uint64_t generation;
};

struct http_curl {
    struct http *http;
    struct loop *loop;
    CURLM *multi;
    bool busy, kick;
    struct loop_timer timer;
    struct sock **socks; /* by descriptor; NULL = not one of ours */
    size_t n_socks;
    struct pin *pins;
    size_t n_pins;
};

/* -- driving libcurl --------------------------------------------------------------------- */

/* Takes from libcurl what is finished. */
static void collect(struct http_curl *curl)
{
    int left;
    assert(!curl->busy);
    for (;;) {
        CURLMsg *msg = curl_multi_info_read(curl->multi, &left);
        struct http_call *call = NULL;
        if (msg == NULL)
            break;
        if (msg->msg != CURLMSG_DONE)
            continue;
        const CURLcode code = msg->data.result; /* gone with the handle */
        long connects = 0;
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        (void)curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connects);
        (void)curl_multi_remove_handle(curl->multi, call->easy);
        if (call->dead) {
            http_reaped(call);
            continue;
        }
        call->result.reused = call->result.sent && connects == 0;
        const bool ours = call->failed != HTTP_OK || call->detail[0] == '\0';
        http_end(call, http_curl_classify(call, code), ours ? NULL : call->detail);
    }
    http_deliver(curl->http);
}

static void drive(struct http_curl *curl, curl_socket_t fd, int flags)
{
    int running;
    assert(!curl->busy);
    curl->busy = true;
    (void)curl_multi_socket_action(curl->multi, fd, flags, &running);
    curl->busy = false;
    collect(curl);
}

void http_curl_flush(struct http_curl *curl)
{
    if (curl->kick) {
        curl->kick = false;
        drive(curl, CURL_SOCKET_TIMEOUT, 0);
    }
}

static void on_event(void *arg, uint32_t events)
{
    struct sock *sock = arg;
    const uint32_t fatal = events & (EPOLLERR | EPOLLHUP);
    int flags = 0;
    if (sock->wanted == 0) {
        loop_unwatch(sock->curl->loop, &sock->watch);
        return;
    }
    if ((events & sock->wanted) == 0 && fatal == 0) {
        if (loop_watch(sock->curl->loop, &sock->watch, sock->watch.fd, sock->wanted) !=
            LOOP_OK)
            loop_unwatch(sock->curl->loop, &sock->watch);
        return;
    }
    if ((events & EPOLLIN) != 0)
        flags |= CURL_CSELECT_IN;
    if ((events & EPOLLOUT) != 0)
        flags |= CURL_CSELECT_OUT;
    if (fatal != 0)
        flags |= CURL_CSELECT_ERR;
    drive(sock->curl, sock->watch.fd, flags);
}

static struct sock *sock_make(struct http_curl *curl, curl_socket_t fd)
{
    if ((size_t)fd >= curl->n_socks) {
        const size_t n = (size_t)fd * 2 + 64;
        struct sock **socks = reallocarray(curl->socks, n, sizeof(struct sock *));
        if (socks == NULL)
            return NULL;
        memset(socks + curl->n_socks, 0, (n - curl->n_socks) * sizeof(struct sock *));
        curl->socks = socks;
        curl->n_socks = n;
    }
    struct sock *sock = curl->socks[fd];
    if (sock != NULL) {
        /* libcurl closes a socket that never connected (TLS included) without telling: the
         * number is new, the kernel has forgotten the old socket. */
        loop_unwatch(curl->loop, &sock->watch);
        sock->wanted = 0;
        return sock;
    }
    sock = calloc(1, sizeof *sock);
    if (sock == NULL)
        return NULL;
    sock->curl = curl;
    sock->watch.fn = on_event;
    sock->watch.arg = sock;
    curl->socks[fd] = sock;
    return sock;
}

curl_socket_t http_curl_open_socket(void *clientp, curlsocktype purpose,
                                    struct curl_sockaddr *address)
{
    struct http_call *call = clientp;
    (void)purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    if (sock_make(http_curl_of(call->http), fd) == NULL) {
        (void)close(fd);
        return CURL_SOCKET_BAD;
    }
    http_call_connecting(call);
    return fd;
}

int http_curl_close_socket(void *clientp, curl_socket_t fd)
{
    struct http_curl *curl = clientp;
    struct sock *sock = (size_t)fd < curl->n_socks ? curl->socks[fd] : NULL;
    if (sock != NULL) {
        loop_unwatch(curl->loop, &sock->watch);
        curl->socks[fd] = NULL;
        free(sock);
    }
    return close(fd);
}

/* libcurl wants to hear of fd, or not any more. */
static int on_interest(CURL *easy, curl_socket_t fd, int what, void *userp, void *socketp)
{
    struct http_curl *curl = userp;
    struct sock *sock = (size_t)fd < curl->n_socks ? curl->socks[fd] : NULL;
    uint32_t wanted = 0;
    (void)easy, (void)socketp;
    if (sock == NULL)
        return 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        wanted |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        wanted |= EPOLLOUT;
    sock->wanted = wanted;
    /* The kernel refuses only when it is out of memory: the call's limits end it then. */
    if ((wanted & ~sock->watch.events) != 0 &&
        loop_watch(curl->loop, &sock->watch, fd, wanted) != LOOP_OK)
        sock->wanted = 0;
    return 0;
}

static void on_timer(void *arg)
{
    drive(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer_wish(CURLM *multi, long timeout_ms, void *userp)
{
    struct http_curl *curl = userp;
    (void)multi;
    if (timeout_ms <= 0) {
        loop_timer_clear(curl->loop, &curl->timer);
        if (timeout_ms == 0) {
            curl->kick = true;
            http_want_flush(curl->http);
        }
        return 0;
    }
    return loop_timer_set(curl->loop, &curl->timer,
                          loop_now_us(curl->loop) + (uint64_t)timeout_ms * 1000) ==
                   LOOP_OK
               ? 0
               : -1;
}

/* -- the transport ----------------------------------------------------------------------- */

/* A pin stays in the multi handle's cache, so the next calls need not carry it. */
static bool set_pin(struct http_curl *curl, struct http_call *call)
{
    struct pin *pin = NULL;
    if (curl_easy_setopt(call->easy, CURLOPT_RESOLVE, NULL) != CURLE_OK)
        return false;
    for (size_t i = 0; i < curl->n_pins && pin == NULL; i++)
        if (curl->pins[i].port == call->port &&
            strcmp(curl->pins[i].host, call->host) == 0)
            pin = &curl->pins[i];
    if (call->pin_generation == 0 ||
        (pin != NULL && pin->generation == call->pin_generation))
        return true;
    if (pin == NULL) {
        struct pin *pins = reallocarray(curl->pins, curl->n_pins + 1, sizeof *pins);
        if (pins == NULL)
            return false;
        curl->pins = pins;
        pin = &pins[curl->n_pins++];
        memcpy(pin->host, call->host, sizeof pin->host);
        pin->port = call->port;
    }
    pin->generation = call->pin_generation;
    call->pin = (struct curl_slist){ .data = call->pin_text };
    return curl_easy_setopt(call->easy, CURLOPT_RESOLVE, &call->pin) == CURLE_OK;
}

static bool begin(struct http_call *call)
{
    struct http_curl *curl = http_curl_of(call->http);
    if (!set_pin(curl, call) ||
        curl_multi_add_handle(curl->multi, call->easy) != CURLM_OK)
        return false;
    curl->kick = true;
    return true;
}

static bool drop(struct http_call *call)
{
    struct http_curl *curl = http_curl_of(call->http);
    if (curl->busy)
        return false;
    /* libcurl 7.88 keeps an HTTP/2 connection whose stream is given up and does not reset the
     * stream: the expert would go on, and be paid. */
    (void)curl_easy_setopt(call->easy, CURLOPT_FORBID_REUSE, 1L);
    (void)curl_multi_remove_handle(curl->multi, call->easy);
    return true;
}

static void resume(struct http_call *call)
{
    struct http_curl *curl = http_curl_of(call->http);
    if (!call->curl_paused)
        return;
    call->curl_paused = false;
    curl->busy = true; /* bytes that libcurl holds back are given at once */
    (void)curl_easy_pause(call->easy, CURLPAUSE_CONT);
    curl->busy = false;
    collect(curl);
}

const struct http_transport http_curl_transport = { http_curl_fill, begin, drop, resume };

struct http_curl *http_curl_new(struct http *http)
{
    struct http_curl *curl = calloc(1, sizeof *curl);
    if (curl == NULL)
        return NULL;
    curl->http = http;
    curl->loop = http_loop(http);
    curl->timer.fn = on_timer;
    curl->timer.arg = curl;
    curl->multi = curl_multi_init();
    if (curl->multi == NULL ||
        curl_multi_setopt(curl->multi, CURLMOPT_SOCKETFUNCTION, on_interest) !=
            CURLM_OK ||
        curl_multi_setopt(curl->multi, CURLMOPT_SOCKETDATA, curl) != CURLM_OK ||
        curl_multi_setopt(curl->multi, CURLMOPT_TIMERFUNCTION, on_timer_wish) !=
            CURLM_OK ||
        curl_multi_setopt(curl->multi, CURLMOPT_TIMERDATA, curl) != CURLM_OK ||
        curl_multi_setopt(curl->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) !=
            CURLM_OK ||
        curl_multi_setopt(curl->multi, CURLMOPT_MAXCONNECTS,
                          (long)http_settings_of(http)->connections_max) != CURLM_OK) {
        http_curl_free(curl);
        return NULL;
    }
    return curl;
}

void http_curl_free(struct http_curl *curl)
{
    if (curl == NULL)
        return;
    if (curl->multi != NULL)
        (void)curl_multi_cleanup(curl->multi);
    loop_timer_clear(curl->loop, &curl->timer);
    for (size_t i = 0; i < curl->n_socks; i++)
        free(curl->socks[i]);
    free(curl->socks);
    free(curl->pins);
    free(curl);
}
