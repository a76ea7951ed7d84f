/* http_conn.c - one connection: the request out, the answer in
 *
 *      call: head text, body pieces --sendmsg--> socket        nothing is copied
 *      socket --recv--> one buffer of the client --answer.h--> head and body events
 *                                              payload moved together in place
 *
 * What must always hold:
 *   - Once connected a socket is watched for EPOLLIN|EPOLLRDHUP|EPOLLET for all of its life:
 *     no system call a request. So a reader reads until the socket is drained, and an idle
 *     connection with anything to tell (EOF, bytes nobody asked for) is closed.
 *   - A request whose kept connection dies before a byte of answer is sent once more, on a
 *     fresh one, unless that was forbidden; all of the body is still lent to us.
 *   - After an event the connection may have lost its call: every path looks.
 */
#include "gateway/io/http_conn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_TURN_BYTES (256U * 1024) /* of one connection in one turn */
#define PIECES_MAX      64            /* of a request in one sendmsg */
#define NEXT_ADDRESS_MS 1000          /* the next address gets its turn */
#define WATCHED_EVENTS  (EPOLLIN | EPOLLRDHUP | EPOLLET)

static void connect_next(struct http_conn *conn, int last_errno);

/* -- leaving ----------------------------------------------------------------------------- */

static void close_fd(struct http_conn *conn)
{
    if (conn->fd < 0)
        return;
    loop_unwatch(conn->loop, &conn->watch);
    (void)close(conn->fd);
    conn->fd = -1;
}

/* The connection is done with; its call, if any, has been taken off. */
void http_conn_close(struct http_conn *conn)
{
    assert(conn->call == NULL);
    close_fd(conn);
    loop_timer_clear(conn->loop, &conn->timer);
    conn->closed = true;
    if (!conn->busy)
        free(conn);
}

static struct http_call *detach(struct http_conn *conn)
{
    struct http_call *call = conn->call;
    conn->call = NULL;
    call->conn = NULL;
    return call;
}

/* Also the end of a connection that was only to be opened: OK. */
static void fail(struct http_conn *conn, enum http_result_code code, const char *detail)
{
    struct http_call *call = detach(conn);
    http_conn_close(conn);
    http_end(call, code, detail);
}

/* -- the answer -------------------------------------------------------------------------- */

static void finish(struct http_conn *conn, bool leftover)
{
    struct http_call *call = detach(conn);
    if (conn->answer.keeps && conn->sent && conn->drained && !leftover && !conn->hung_up)
        http_plain_keep(conn);
    else
        http_conn_close(conn);
    http_end(call, HTTP_OK, NULL);
}

/* The whole head is at head[0..n): it is read in place. False: the call is over. */
static bool take_head(struct http_conn *conn, char *head, size_t n)
{
    struct http_call *call = conn->call;
    struct answer_field fields[ANSWER_FIELDS_MAX];
    struct http_header headers[ANSWER_FIELDS_MAX];
    size_t n_fields;
    if (!answer_head(&conn->answer, head, n, fields, &n_fields) ||
        conn->answer.status == 101) {
        fail(conn, HTTP_PROTOCOL, "the head of the answer is malformed");
        return false;
    }
    if (conn->answer.status < 200)
        return true;
    for (size_t i = 0; i < n_fields; i++)
        headers[i] = (struct http_header){ fields[i].name, fields[i].value };
    conn->in_body = true;
    call->result.status = conn->answer.status;
    return http_call_give_head(call, headers, n_fields);
}

/* Takes a head off bytes; *used says how many went. False: the call is over. */
static bool read_head(struct http_conn *conn, char *bytes, size_t n, size_t *used)
{
    struct http_call *call = conn->call;
    struct http_scratch *head = &call->head;
    size_t end;
    *used = n;
    if (head->n == 0) { /* mostly it comes whole */
        end = answer_head_end(bytes, n, 0);
        if (end > 0 && end <= HTTP_HEAD_BYTES) {
            *used = end;
            return take_head(conn, bytes, end);
        }
        if (!answer_may_begin(bytes, n)) {
            fail(conn, HTTP_PROTOCOL, "what came back is not HTTP");
            return false;
        }
    }
    const size_t before = head->n;
    if (!http_scratch_reserve(head, before + n)) {
        fail(conn, HTTP_NOMEM, NULL);
        return false;
    }
    (void)http_scratch_add(head, bytes, n);
    end = answer_head_end(head->p, head->n, before);
    if (end > HTTP_HEAD_BYTES || (end == 0 && head->n > HTTP_HEAD_BYTES)) {
        fail(conn, HTTP_TOO_LARGE, "the head of the answer is over the limit");
        return false;
    }
    if (!answer_may_begin(head->p, head->n)) {
        fail(conn, HTTP_PROTOCOL, "what came back is not HTTP");
        return false;
    }
    if (end == 0)
        return true;
    *used = end - before;
    head->n = 0;
    return take_head(conn, head->p, end);
}

/* Bytes of the answer, in the client's buffer. */
static void feed(struct http_conn *conn, char *bytes, size_t n)
{
    size_t used = 0, payload = 0;
    conn->got_bytes = true;
    while (!conn->in_body && n > 0) {
        if (!read_head(conn, bytes, n, &used))
            return;
        bytes += used;
        n -= used;
    }
    if (!conn->in_body)
        return;
    const enum answer_state state = answer_body(&conn->answer, bytes, n, &payload, &used);
    if (payload > 0 && !http_call_give_body(conn->call, bytes, payload)) {
        if (conn->call != NULL) /* not cancelled: over the limit */
            fail(conn, conn->call->failed, NULL);
        return;
    }
    if (state == ANSWER_BAD)
        fail(conn, HTTP_PROTOCOL, "the chunks of the answer are malformed");
    else if (state == ANSWER_END)
        finish(conn, used < n);
}

/* The peer is gone: the end of the answer, a cut, or a kept connection that was stale. */
static void hang_up(struct http_conn *conn, int error)
{
    struct http_call *call = conn->call;
    conn->hung_up = true;
    if (conn->in_body && error == 0 && answer_close(&conn->answer) == ANSWER_END) {
        finish(conn, false);
        return;
    }
    if (conn->reused && !conn->got_bytes && call->once) {
        call->result.stale = true;
        fail(conn, HTTP_CUT, "a kept connection was closed");
        return;
    }
    if (conn->reused && !conn->got_bytes && !call->retried) {
        call->retried = true;
        call->result.reused = false;
        close_fd(conn);
        conn->reused = conn->hung_up = conn->connected = false;
        connect_next(conn, 0);
        return;
    }
    if (error == 0 || error == ECONNRESET || error == EPIPE) {
        fail(conn, HTTP_CUT,
             error == 0 ? "the expert closed the connection"
                        : "the expert reset the connection");
        return;
    }
    (void)snprintf(call->detail, sizeof call->detail, "cannot read the answer: %.100s",
                   strerror(error));
    fail(conn, HTTP_CUT, call->detail);
}

/* Reads until the socket is drained, the call is paused or over, or the turn's share is
 * used up. */
static void read_answer(struct http_conn *conn)
{
    size_t left = READ_TURN_BYTES;
    while (conn->call != NULL && conn->connected && !conn->call->paused) {
        if (left < HTTP_READ_BYTES) {
            if (loop_timer_set(conn->loop, &conn->timer, 0) != LOOP_OK)
                fail(conn, HTTP_NOMEM, NULL);
            return;
        }
        const ssize_t n = recv(conn->fd, conn->buffer, HTTP_READ_BYTES, 0);
        if (n > 0) {
            left -= (size_t)n;
            /* Less than there was room for: drained. More makes a new event. */
            conn->drained = (size_t)n < HTTP_READ_BYTES;
            feed(conn, conn->buffer, (size_t)n);
            if (conn->drained && !conn->hung_up)
                return;
        } else if (n == 0) {
            hang_up(conn, 0);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno != EINTR) {
            hang_up(conn, errno);
        }
    }
}

/* -- the request ------------------------------------------------------------------------- */

static size_t gather(const struct http_conn *conn, struct iovec pieces[PIECES_MAX])
{
    const struct http_call *call = conn->call;
    size_t n = 0;
    if (conn->head_sent < call->text.n)
        pieces[n++] = (struct iovec){ call->text.p + conn->head_sent,
                                      call->text.n - conn->head_sent };
    for (size_t i = call->piece; i < call->n_body && n < PIECES_MAX; i++) {
        const size_t offset = i == call->piece ? call->piece_offset : 0;
        if (call->body[i].iov_len > offset)
            pieces[n++] = (struct iovec){ (char *)call->body[i].iov_base + offset,
                                          call->body[i].iov_len - offset };
    }
    return n;
}

static void advance(struct http_conn *conn, size_t n)
{
    struct http_call *call = conn->call;
    const size_t head = call->text.n - conn->head_sent;
    const size_t of_head = n < head ? n : head;
    conn->head_sent += of_head;
    n -= of_head;
    while (call->piece < call->n_body) {
        const size_t left = call->body[call->piece].iov_len - call->piece_offset;
        if (n < left) {
            call->piece_offset += n;
            return;
        }
        n -= left;
        call->piece++;
        call->piece_offset = 0;
    }
    assert(n == 0);
}

/* Sends what the socket takes. An error is left for the reader to find: an expert may have
 * answered before it had the whole request. */
static void send_request(struct http_conn *conn)
{
    struct loop *loop = conn->loop;
    struct iovec pieces[PIECES_MAX];
    while (!conn->sent) {
        struct msghdr msg = { .msg_iov = pieces, .msg_iovlen = gather(conn, pieces) };
        if (msg.msg_iovlen == 0) {
            conn->sent = true;
            break;
        }
        const ssize_t n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL);
        if (n > 0) {
            advance(conn, (size_t)n);
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            if (loop_watch(loop, &conn->watch, conn->fd, WATCHED_EVENTS | EPOLLOUT) !=
                LOOP_OK)
                fail(conn, HTTP_NOMEM, NULL);
            return;
        } else if (n < 0 && errno != EINTR) {
            const int error = errno;
            conn->hung_up = true;
            read_answer(conn);
            if (conn->call != NULL && conn->connected && !conn->got_bytes)
                hang_up(conn, error);
            return;
        }
    }
    if ((conn->watch.events & EPOLLOUT) != 0 &&
        loop_watch(loop, &conn->watch, conn->fd, WATCHED_EVENTS) != LOOP_OK)
        fail(conn, HTTP_NOMEM, NULL);
}

/* -- connecting -------------------------------------------------------------------------- */

static void start_request(struct http_conn *conn)
{
    struct http_call *call = conn->call;
    conn->connected = true;
    conn->sent = conn->got_bytes = conn->in_body = conn->hung_up = false;
    conn->head_sent = 0;
    call->piece = call->piece_offset = 0;
    call->head.n = 0;
    http_call_connected(call);
    send_request(conn);
}

/* The next address of the call's pin; false: there is none. */
static bool next_address(struct http_conn *conn, struct sockaddr_storage *ret_address,
                         socklen_t *ret_size)
{
    char text[64];
    const char *unix_path = http_settings_of(conn->http)->unix_path;
    if (unix_path != NULL && *conn->address != '\0') {
        struct sockaddr_un *local = (struct sockaddr_un *)ret_address;
        memset(ret_address, 0, sizeof *ret_address);
        local->sun_family = AF_UNIX;
        (void)snprintf(local->sun_path, sizeof local->sun_path, "%s", unix_path);
        *ret_size = sizeof *local;
        conn->address += strlen(conn->address);
        return true;
    }
    while (*conn->address != '\0') {
        const size_t n = strcspn(conn->address, ",");
        const char *from = conn->address;
        struct sockaddr_in *v4 = (struct sockaddr_in *)ret_address;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_address;
        conn->address += n + (conn->address[n] == ',');
        size_t bare = n;
        if (bare > 2 && from[0] == '[') { /* of a URL */
            from++;
            bare -= 2;
        }
        if (bare >= sizeof text)
            continue;
        memcpy(text, from, bare);
        text[bare] = '\0';
        memset(ret_address, 0, sizeof *ret_address);
        if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
            v4->sin_family = AF_INET;
            v4->sin_port = htons(conn->port);
            *ret_size = sizeof *v4;
            return true;
        }
        if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
            v6->sin6_family = AF_INET6;
            v6->sin6_port = htons(conn->port);
            *ret_size = sizeof *v6;
            return true;
        }
    }
    return false;
}

/* 0: connected or under way. */
static int try_address(struct http_conn *conn, const struct sockaddr_storage *address,
                       socklen_t size)
{
    struct loop *loop = conn->loop;
    const int on = 1;
    conn->fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        return errno;
    /* Refused options cost speed, not truth. */
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(conn->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (connect(conn->fd, (const struct sockaddr *)address, size) != 0 &&
        errno != EINPROGRESS)
        return errno;
    return loop_watch(loop, &conn->watch, conn->fd, EPOLLOUT) == LOOP_OK ? 0 : ENOMEM;
}

/* Behind "host:port:" of the pin; a numeric host is its own address. */
static const char *first_address(const struct http_call *call)
{
    if (call->pin_text[0] == '\0')
        return call->host;
    const char *colon = strchr(call->pin_text + strlen(call->host) + 1, ':');
    assert(colon != NULL);
    return colon + 1;
}

static void connect_next(struct http_conn *conn, int last_errno)
{
    struct http_call *call = conn->call;
    struct sockaddr_storage address;
    socklen_t size;
    http_call_connecting(call);
    loop_timer_clear(conn->loop, &conn->timer);
    if (last_errno == 0) /* from the first one on */
        conn->address = first_address(call);
    while (next_address(conn, &address, &size)) {
        close_fd(conn);
        last_errno = try_address(conn, &address, size);
        if (last_errno != 0)
            continue;
        /* Another address does not wait for ever behind a silent one. */
        if (*conn->address != '\0' &&
            loop_timer_set(conn->loop, &conn->timer,
                           loop_now_us(conn->loop) + NEXT_ADDRESS_MS * 1000) != LOOP_OK)
            fail(conn, HTTP_NOMEM, NULL);
        return;
    }
    (void)snprintf(call->detail, sizeof call->detail,
                   "cannot connect to '%.100s:%u': %.100s", call->host, call->port,
                   strerror(last_errno));
    fail(conn, HTTP_CONNECT, call->detail);
}

static void on_connecting(struct http_conn *conn)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    if (error != 0) {
        connect_next(conn, error);
        return;
    }
    loop_timer_clear(conn->loop, &conn->timer);
    if (conn->call->connect_only)
        fail(conn, HTTP_OK, NULL);
    else if (loop_watch(conn->loop, &conn->watch, conn->fd, WATCHED_EVENTS) != LOOP_OK)
        fail(conn, HTTP_NOMEM, NULL);
    else
        start_request(conn);
}

/* -- the loop's callbacks: the connection is on the stack --------------------------------- */

static void leave(struct http_conn *conn)
{
    struct http *http = conn->http;
    conn->busy = false;
    if (conn->closed)
        free(conn);
    http_deliver(http);
}

static void on_event(void *arg, uint32_t events)
{
    struct http_conn *conn = arg;
    if (conn->call == NULL) {
        if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
            http_plain_unlink(conn);
            http_conn_close(conn);
        }
        return;
    }
    conn->busy = true;
    if (!conn->connected) {
        on_connecting(conn);
    } else {
        if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
            conn->hung_up = true;
        if ((events & EPOLLOUT) != 0 && !conn->sent)
            send_request(conn);
        if ((events & ~(uint32_t)EPOLLOUT) != 0)
            read_answer(conn);
    }
    leave(conn);
}

static void on_timer(void *arg)
{
    struct http_conn *conn = arg;
    conn->busy = true;
    if (conn->connected)
        read_answer(conn);
    else
        connect_next(conn, ETIMEDOUT);
    leave(conn);
}

/* -- from outside ------------------------------------------------------------------------ */

struct http_conn *http_conn_new(struct http_plain *plain, struct origin *origin,
                                uint16_t port, struct http *http, char *buffer)
{
    struct http_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        return NULL;
    conn->plain = plain;
    conn->origin = origin;
    conn->port = port;
    conn->http = http;
    conn->loop = http_loop(http);
    conn->buffer = buffer;
    conn->fd = -1;
    conn->watch.fn = on_event;
    conn->timer.fn = on_timer;
    conn->watch.arg = conn->timer.arg = conn;
    return conn;
}

void http_conn_run(struct http_conn *conn, struct http_call *call)
{
    conn->call = call;
    call->conn = conn;
    conn->busy = true;
    conn->reused = call->result.reused = conn->connected;
    if (conn->connected)
        start_request(conn);
    else
        connect_next(conn, 0);
    conn->busy = false;
    if (conn->closed)
        free(conn);
}

void http_conn_resume(struct http_conn *conn)
{
    conn->busy = true;
    read_answer(conn);
    leave(conn);
}

void http_conn_drop(struct http_conn *conn)
{
    (void)detach(conn);
    http_conn_close(conn);
}
