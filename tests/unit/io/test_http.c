/* The HTTP client against scripted servers: answers, failures, limits, cancels, pauses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "gateway/io/http.h"
#include "tests/unit/io/script_server.h"

#define WATCHDOG_US 20000000

static struct loop *loop;
static struct http *http;

/* What a call told us. */
struct seen {
    struct http_call *call;
    unsigned heads, dones;
    unsigned status;
    char type[64];
    char *body;
    size_t n_body, size;
    bool pause_next, cancel_in_body, cancel_in_head;
    struct http_result result;
    char detail[HTTP_DETAIL_BYTES];
    struct seen *start_in_body, *start_in_done; /* a call that the event starts */
    struct seen *cancel_in_done;
    struct http_spec *spec;
};

static const struct http_events events;

static void on_head(void *arg, unsigned status, const struct http_header *headers,
                    size_t n)
{
    struct seen *seen = arg;
    seen->heads++;
    seen->status = status;
    for (size_t i = 0; i < n; i++)
        if (strcmp(headers[i].name, "content-type") == 0)
            (void)snprintf(seen->type, sizeof seen->type, "%s", headers[i].value);
    if (seen->cancel_in_head)
        http_cancel(seen->call);
}

static enum http_flow on_body(void *arg, const void *bytes, size_t n)
{
    struct seen *seen = arg;
    if (seen->n_body + n + 1 > seen->size) {
        seen->size = 2 * (seen->n_body + n + 1);
        seen->body = realloc(seen->body, seen->size);
        assert_non_null(seen->body);
    }
    memcpy(seen->body + seen->n_body, bytes, n);
    seen->n_body += n;
    seen->body[seen->n_body] = '\0';
    if (seen->cancel_in_body)
        http_cancel(seen->call);
    if (seen->start_in_body != NULL) {
        struct seen *other = seen->start_in_body;
        seen->start_in_body = NULL;
        other->call = http_start(http, seen->spec, &events, other);
        assert_non_null(other->call);
    }
    if (seen->pause_next) {
        seen->pause_next = false;
        return HTTP_PAUSE;
    }
    return HTTP_CONTINUE;
}

static void on_done(void *arg, const struct http_result *result)
{
    struct seen *seen = arg;
    seen->dones++;
    seen->result = *result;
    assert_non_null(result->detail);
    (void)snprintf(seen->detail, sizeof seen->detail, "%s", result->detail);
    if (seen->start_in_done != NULL) {
        seen->start_in_done->call =
            http_start(http, seen->spec, &events, seen->start_in_done);
        assert_non_null(seen->start_in_done->call);
    }
    if (seen->cancel_in_done != NULL)
        http_cancel(seen->cancel_in_done->call);
    http_cancel(seen->call); /* harmless in one's own done */
}

static const struct http_events events = { on_head, on_body, on_done };

static void run_until_done(struct seen *seen, unsigned dones)
{
    const uint64_t start = loop_now_us(loop);
    while (seen->dones < dones) {
        loop_turn(loop, 100);
        assert_true(loop_now_us(loop) - start < WATCHDOG_US);
    }
}

static void release(struct seen *seen)
{
    free(seen->body);
    seen->body = NULL;
}

static char url_text[128];

static struct http_spec get(const struct script_server *server)
{
    (void)snprintf(url_text, sizeof url_text, "http://127.0.0.1:%u/v1/x", server->port);
    return (struct http_spec){ .method = "GET", .url = url_text };
}

static void start(struct seen *seen, const struct http_spec *spec)
{
    seen->call = http_start(http, spec, &events, seen);
    assert_non_null(seen->call);
}

static bool libcurl_only;

static int setup(void **state)
{
    const struct http_settings settings = { .libcurl_only = libcurl_only };
    (void)state;
    assert_int_equal(loop_new(&loop), LOOP_OK);
    http = http_new(loop, &settings);
    assert_non_null(http);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_free(http);
    loop_free(loop);
    return 0;
}

/* -- answers ----------------------------------------------------------------------------- */

static void answer_plainly(struct script_peer *peer, void *arg)
{
    (void)arg;
    while (script_read(peer))
        script_send(peer, "HTTP/1.1 200 OK\r\nContent-Type:  text/plain \r\n"
                          "Content-Length: 5\r\n\r\nhello");
}

static void an_answer_arrives_whole(void **state)
{
    struct script_server *server = script_server_new(answer_plainly, NULL, 1);
    struct http_spec spec = get(server);
    struct seen seen = { 0 };
    (void)state;
    start(&seen, &spec);
    run_until_done(&seen, 1);
    assert_int_equal(seen.result.code, HTTP_OK);
    assert_int_equal(seen.status, 200);
    assert_int_equal(seen.heads, 1);
    assert_string_equal(seen.type, "text/plain");
    assert_string_equal(seen.body, "hello");
    assert_true(seen.result.sent);
    assert_false(seen.result.reused);
    assert_int_equal(seen.result.body_bytes, 5);
    assert_true(seen.result.timings.connected_us <= seen.result.timings.first_byte_us);
    assert_true(seen.result.timings.first_byte_us <= seen.result.timings.done_us);
    release(&seen);
    http_free(http);
    http = NULL;
    script_server_free(server);
}

static void the_next_call_uses_the_kept_connection(void **state)
{
    struct script_server *server = script_server_new(answer_plainly, NULL, 1);
    struct http_spec spec = get(server);
    struct seen second = { 0 };
    struct seen first = { .start_in_done = &second, .spec = &spec };
    (void)state;
    start(&first, &spec);
    run_until_done(&second, 1);
    assert_int_equal(second.result.code, HTTP_OK);
    assert_true(second.result.reused);
    release(&first);
    release(&second);
    http_free(http);
    http = NULL;
    script_server_free(server);
}

static void answer_in_chunks_after_a_100(struct script_peer *peer, void *arg)
{
    (void)arg;
    (void)script_read(peer);
    script_send(peer, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    script_send(peer, "2\r\nde\r\n0\r\nTrailer: x\r\n\r\n");
}

static void chunks_are_decoded_and_one_head_is_told(void **state)
{
    struct script_server *server =
        script_server_new(answer_in_chunks_after_a_100, NULL, 1);
    struct http_spec spec = get(server);
    struct seen seen = { 0 };
    (void)state;
    start(&seen, &spec);
    run_until_done(&seen, 1);
    assert_int_equal(seen.result.code, HTTP_OK);
    assert_int_equal(seen.heads, 1);
    assert_int_equal(seen.status, 201);
    assert_string_equal(seen.body, "abcde");
    release(&seen);
    script_server_free(server);
}

/* Sends the request back as the answer's body. */
static void echo(struct script_peer *peer, void *arg)
{
    char head[128];
    (void)arg;
    (void)script_read(peer);
    const size_t n = peer->head_bytes + peer->body_bytes;
    (void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                   n);
    script_send(peer, head);
    script_send_bytes(peer, peer->request, n);
}

static void post_pieces_and_check(size_t piece_bytes)
{
    struct script_server *server = script_server_new(echo, NULL, 1);
    struct http_spec spec = get(server);
    const struct http_header headers[] = {
        { "Content-Type", "application/json" },
        { "x-empty", "" },
    };
    struct seen seen = { 0 };
    char *pieces[3], *whole = malloc(3 * piece_bytes);
    struct iovec body[4] = { { NULL, 0 } };
    assert_non_null(whole);
    for (size_t i = 0; i < 3; i++) {
        pieces[i] = malloc(piece_bytes);
        assert_non_null(pieces[i]);
        for (size_t k = 0; k < piece_bytes; k++)
            pieces[i][k] = (char)(i * 31 + k * 7);
        memcpy(whole + i * piece_bytes, pieces[i], piece_bytes);
        body[i + 1] = (struct iovec){ pieces[i], piece_bytes };
    }
    spec.method = "POST";
    spec.headers = headers;
    spec.n_headers = 2;
    spec.key = "sk-secret";
    spec.body = body;
    spec.n_body = 4;
    start(&seen, &spec);
    run_until_done(&seen, 1);
    assert_int_equal(seen.result.code, HTTP_OK);
    assert_true(seen.n_body > 3 * piece_bytes);
    assert_memory_equal(seen.body + seen.n_body - 3 * piece_bytes, whole,
                        3 * piece_bytes);
    seen.body[seen.n_body - 3 * piece_bytes] = '\0';
    assert_non_null(strstr(seen.body, "POST /v1/x HTTP/1.1\r\n"));
    assert_non_null(strstr(seen.body, "\r\nAuthorization: Bearer sk-secret\r\n"));
    assert_non_null(strstr(seen.body, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(seen.body, "\r\nx-empty:"));
    assert_null(strcasestr(seen.body, "expect:"));
    for (size_t i = 0; i < 3; i++)
        free(pieces[i]);
    free(whole);
    release(&seen);
    script_server_free(server);
}

static void a_small_body_of_pieces_arrives_byte_for_byte(void **state)
{
    (void)state;
    post_pieces_and_check(300);
}

static void a_large_body_of_pieces_arrives_byte_for_byte(void **state)
{
    (void)state;
    post_pieces_and_check(1500000);
}

/* -- failures ---------------------------------------------------------------------------- */

static void send_text_and_close(struct script_peer *peer, void *arg)
{
    (void)script_read(peer);
    script_send(peer, arg);
}

static void expect_failure(const char *answer, enum http_result_code code,
                           const char *body)
{
    char text[256];
    (void)snprintf(text, sizeof text, "%s", answer);
    struct script_server *server = script_server_new(send_text_and_close, text, 1);
    struct http_spec spec = get(server);
    struct seen seen = { 0 };
    start(&seen, &spec);
    run_until_done(&seen, 1);
    if (seen.result.code != code)
        print_error("got %s (%s), not %s\n", http_result_label(seen.result.code),
                    seen.detail, http_result_label(code));
    assert_int_equal(seen.result.code, code);
    assert_true(seen.result.sent);
    if (body != NULL)
        assert_string_equal(seen.body, body);
    else
        assert_null(seen.body);
    release(&seen);
    script_server_free(server);
}

static void a_close_before_the_answer_is_a_cut(void **state)
{
    (void)state;
    expect_failure("", HTTP_CUT, NULL);
}

static void a_close_inside_a_measured_body_is_a_cut(void **state)
{
    (void)state;
    expect_failure("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", HTTP_CUT, "half");
}

static void a_close_before_the_last_chunk_is_a_cut(void **state)
{
    (void)state;
    expect_failure("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
                   HTTP_CUT, "half");
}

static void a_broken_chunk_is_a_protocol_error(void **state)
{
    (void)state;
    expect_failure("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                   HTTP_PROTOCOL, NULL);
}

static void what_is_not_http_is_a_protocol_error(void **state)
{
    (void)state;
    expect_failure("SSH-2.0-OpenSSH_9.2\r\n", HTTP_PROTOCOL, NULL);
}

static void an_answer_over_the_limit_is_refused(void **state)
{
    struct script_server *server = script_server_new(answer_plainly, NULL, 1);
    struct http_spec spec = get(server);
    struct seen seen = { 0 };
    (void)state;
    spec.max_answer_bytes = 4;
    start(&seen, &spec);
    run_until_done(&seen, 1);
    assert_int_equal(seen.result.code, HTTP_TOO_LARGE);
    assert_null(seen.body);
    script_server_free(server);
}

static void send_endless_head(struct script_peer *peer, void *arg)
{
    char line[1024];
    (void)arg;
    (void)script_read(peer);
    script_send(peer, "HTTP/1.1 200 OK\r\n");
    memset(line, 'x', sizeof line);
    memcpy(line, "a: ", 3);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    for (int i = 0; i < 64; i++)
        script_send_bytes(peer, line, sizeof line);
    script_wait_left(peer);
}

static void a_head_over_the_limit_is_refused(void **state)
{
    struct script_server *server = script_server_new(send_endless_head, NULL, 1);
    struct http_spec spec = get(server);
    struct seen seen = { 0 };
    (void)state;
    start(&seen, &spec);
    run_until_done(&seen, 1);
    assert_int_equal(seen.result.code, HTTP_TOO_LARGE);
    script_server_free(server);
}

static void close_at_once(struct script_peer *peer, void *arg)
{
    (void)peer, (void)arg;
}

static void a_refused_connection_is_told_and_nothing_was_sent(void **state)
{
    struct script_server *server = script_server_new(close_at_once, NULL, 0);
    struct http_spec spec = get(server);
    struct seen seen = { 0 };
    (void)state;
    script_server_free(server); /* the port is closed now */
    start(&seen, &spec);
    assert_int_equal(seen.dones, 0); /* never from inside http_start() */
    run_until_done(&seen, 1);
    assert_int_equal(seen.result.code, HTTP_CONNECT);
    assert_false(seen.result.sent);
}

static void a_server_without_tls_fails_the_handshake(void **state)
{
    struct script_server *server =
        script_server_new(send_text_and_close, (char[]){ "no tls here, sorry\r\n" }, 1);
    struct http_spec spec = get(server);
    struct seen seen = { 0 };
    (void)state;
    (void)snprintf(url_text, sizeof url_text, "https://127.0.0.1:%u/", server->port);
    spec.timeouts.connect_ms = 5000;
    start(&seen, &spec);
    /* The script waits for "\r\n\r\n", which a ClientHello has not: the limit cuts it... */
    loop_turn(loop, 100);
    http_cancel(seen.call);
    script_server_free(server);

    server = script_server_new(close_at_once, NULL, 1);
    (void)snprintf(url_text, sizeof url_text, "https://127.0.0.1:%u/", server->port);
    start(&seen, &spec);
    run_until_done(&seen, 1);
    assert_true(seen.result.code == HTTP_TLS || seen.result.code == HTTP_CONNECT);
    assert_false(seen.result.sent);
    script_server_free(server);
}

static void an_unreadable_url_is_told(void **state)
{
    struct http_spec spec = { .method = "GET", .url = "ftp://127.0.0.1/x" };
    struct seen seen = { 0 };
    (void)state;
    start(&seen, &spec);
    run_until_done(&seen, 1);
    assert_int_equal(seen.result.code, HTTP_PROTOCOL);
    assert_false(seen.result.sent);
}

/* First connection: one answer, then it is closed, unseen until the next request. */
static void close_after_the_first_answer(struct script_peer *peer, void *arg)
{
    (void)script_read(peer);
    script_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    if (peer->number == 0) {
        script_gate_wait(arg); /* the second request is on its way */
        shutdown(peer->fd, SHUT_RDWR);
    }
}

static void a_kept_connection_that_was_closed_is_replaced_once(void **state)
{
    static struct script_gate gate = SCRIPT_GATE_CLOSED;
    struct script_server *server =
        script_server_new(close_after_the_first_answer, &gate, 2);
    struct http_spec spec = get(server);
    struct seen first = { 0 }, second = { 0 };
    (void)state;
    spec.timeouts = (struct http_timeouts){ 5000, 5000, 5000, 10000 };
    start(&first, &spec);
    run_until_done(&first, 1);
    start(&second, &spec);
    loop_turn(loop, 0); /* sent on the kept connection */
    script_gate_open(&gate);
    run_until_done(&second, 1);
    assert_int_equal(second.result.code, HTTP_OK);
    assert_string_equal(second.body, "ok");
    release(&first);
    release(&second);
    script_server_free(server);
}

/* -- limits ------------------------------------------------------------------------------ */

static void stall(struct script_peer *peer, void *arg)
{
    (void)script_read(peer);
    script_send(peer, arg);
    script_wait_left(peer);
}

static struct seen run_with_limits(const char *answer, struct http_timeouts timeouts)
{
    char text[128];
    (void)snprintf(text, sizeof text, "%s", answer);
    struct script_server *server = script_server_new(stall, text, 1);
    struct http_spec spec = get(server);
    struct seen seen = { 0 };
    spec.timeouts = timeouts;
    start(&seen, &spec);
    run_until_done(&seen, 1);
    release(&seen);
    script_server_free(server); /* returns: the connection was closed */
    return seen;
}

static void no_answer_in_time_is_a_first_byte_timeout(void **state)
{
    struct seen seen =
        run_with_limits("", (struct http_timeouts){ 5000, 60, 5000, 9000 });
    (void)state;
    assert_int_equal(seen.result.code, HTTP_TIMEOUT_FIRST_BYTE);
    assert_true(seen.result.sent);
    assert_true(seen.result.timings.done_us >= 60000);
}

static void a_head_without_a_body_is_still_no_first_byte(void **state)
{
    struct seen seen =
        run_with_limits("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                        (struct http_timeouts){ 5000, 60, 5000, 9000 });
    (void)state;
    assert_int_equal(seen.heads, 1);
    assert_int_equal(seen.result.code, HTTP_TIMEOUT_FIRST_BYTE);
}

static void silence_inside_the_body_is_an_idle_timeout(void **state)
{
    struct seen seen = run_with_limits("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
                                       (struct http_timeouts){ 5000, 5000, 60, 9000 });
    (void)state;
    assert_int_equal(seen.result.code, HTTP_TIMEOUT_IDLE);
    assert_int_equal(seen.result.body_bytes, 3);
}

static void the_total_limit_runs_through_all_stages(void **state)
{
    struct seen seen = run_with_limits("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
                                       (struct http_timeouts){ 5000, 5000, 5000, 60 });
    (void)state;
    assert_int_equal(seen.result.code, HTTP_TIMEOUT_TOTAL);
}

static void a_connection_that_nobody_accepts_is_a_connect_timeout(void **state)
{
    /* A backlog of one that is full: further handshakes are not answered. */
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int fds[8];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct seen seen = { 0 };
    char url[64];
    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    for (size_t i = 0; i < 8; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fds[i], (struct sockaddr *)&address, size);
    }
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", ntohs(address.sin_port));
    const struct http_spec spec = { .method = "GET",
                                    .url = url,
                                    .timeouts = { 80, 5000, 5000, 9000 } };
    start(&seen, &spec);
    run_until_done(&seen, 1);
    assert_int_equal(seen.result.code, HTTP_TIMEOUT_CONNECT);
    assert_false(seen.result.sent);
    for (size_t i = 0; i < 8; i++)
        (void)close(fds[i]);
    (void)close(fd);
}

/* -- cancelling -------------------------------------------------------------------------- */

static atomic_bool was_asked;

static void ask_and_wait(struct script_peer *peer, void *arg)
{
    (void)arg;
    (void)script_read(peer);
    atomic_store(&was_asked, true);
    script_wait_left(peer); /* returns only when the client closes */
}

static void cancel_before_the_first_byte_closes_the_connection(void **state)
{
    struct script_server *server = script_server_new(ask_and_wait, NULL, 1);
    struct http_spec spec = get(server);
    struct seen seen = { 0 };
    (void)state;
    atomic_store(&was_asked, false);
    start(&seen, &spec);
    while (!atomic_load(&was_asked))
        loop_turn(loop, 10);
    assert_true(http_call_sent(seen.call));
    http_cancel(seen.call);
    script_server_free(server); /* would hang if the connection stayed open */
    assert_int_equal(http_in_flight(http), 0);
    loop_turn(loop, 0);
    assert_int_equal(seen.dones, 0);
}

static void a_call_cancelled_before_it_began_makes_no_event(void **state)
{
    struct script_server *server = script_server_new(close_at_once, NULL, 0);
    struct http_spec spec = get(server);
    struct seen seen = { 0 };
    (void)state;
    start(&seen, &spec);
    http_cancel(seen.call);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 0);
    assert_int_equal(seen.dones, 0);
    script_server_free(server);
}

static void send_for_ever(struct script_peer *peer, void *arg)
{
    static const char piece[4096];
    (void)arg;
    (void)script_read(peer);
    script_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
    while (send(peer->fd, piece, sizeof piece, MSG_NOSIGNAL) > 0) {
    }
}

static void cancel_inside(bool in_head)
{
    struct script_server *server = script_server_new(send_for_ever, NULL, 1);
    struct http_spec spec = get(server);
    struct seen seen = { .cancel_in_head = in_head, .cancel_in_body = !in_head };
    start(&seen, &spec);
    while (seen.heads == 0 || (!in_head && seen.n_body == 0))
        loop_turn(loop, 10);
    const size_t n = seen.n_body;
    script_server_free(server); /* the connection was closed in that turn */
    loop_turn(loop, 0);
    assert_int_equal(seen.n_body, n);
    assert_int_equal(seen.dones, 0);
    assert_int_equal(http_in_flight(http), 0);
    release(&seen);
}

static void cancel_in_the_middle_of_its_own_body_closes_the_connection(void **state)
{
    (void)state;
    cancel_inside(false);
}

static void cancel_in_its_own_head_closes_the_connection(void **state)
{
    (void)state;
    cancel_inside(true);
}

static void nonsense_first(struct script_peer *peer, void *arg)
{
    (void)script_read(peer);
    if (peer->number == 0) {
        script_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nnonsense");
        script_wait_left(peer);
    } else {
        (void)arg;
        script_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    }
}

/* What failover does: all in one event, with the answer already complete. */
static void a_call_cancelled_in_its_body_can_be_replaced_there(void **state)
{
    struct script_server *server = script_server_new(nonsense_first, NULL, 2);
    struct http_spec spec = get(server);
    struct seen second = { 0 };
    struct seen first = { .cancel_in_body = true,
                          .pause_next = true,
                          .start_in_body = &second,
                          .spec = &spec };
    (void)state;
    start(&first, &spec);
    run_until_done(&second, 1);
    assert_int_equal(first.dones, 0);
    assert_int_equal(second.result.code, HTTP_OK);
    assert_string_equal(second.body, "hello");
    assert_int_equal(http_in_flight(http), 0);
    release(&first);
    release(&second);
    http_free(http);
    http = NULL;
    script_server_free(server);
}

static void one_call_can_cancel_another_in_its_done(void **state)
{
    struct script_server *stalled = script_server_new(ask_and_wait, NULL, 1);
    struct script_server *server = script_server_new(answer_plainly, NULL, 1);
    struct seen victim = { 0 };
    struct seen seen = { .cancel_in_done = &victim };
    (void)state;
    struct http_spec spec = get(stalled);
    atomic_store(&was_asked, false);
    start(&victim, &spec);
    while (!atomic_load(&was_asked))
        loop_turn(loop, 10);
    spec = get(server);
    start(&seen, &spec);
    run_until_done(&seen, 1);
    script_server_free(stalled);
    assert_int_equal(victim.dones, 0);
    release(&seen);
    http_free(http);
    http = NULL;
    script_server_free(server);
}

static void the_client_can_be_freed_with_calls_in_every_state(void **state)
{
    struct script_server *server = script_server_new(ask_and_wait, NULL, 1);
    struct http_spec spec = get(server);
    struct seen running = { 0 }, queued = { 0 };
    (void)state;
    atomic_store(&was_asked, false);
    start(&running, &spec);
    while (!atomic_load(&was_asked))
        loop_turn(loop, 10);
    start(&queued, &spec);
    http_free(http);
    http = NULL;
    script_server_free(server);
    assert_int_equal(running.dones + queued.dones, 0);
}

/* -- back-pressure ----------------------------------------------------------------------- */

#define FLOOD_BYTES (16U << 20)

static atomic_size_t flood_sent;

static void flood(struct script_peer *peer, void *arg)
{
    static const char piece[1 << 16];
    char head[96];
    (void)arg;
    (void)script_read(peer);
    (void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n",
                   FLOOD_BYTES);
    script_send(peer, head);
    for (size_t i = 0; i < FLOOD_BYTES / sizeof piece; i++) {
        script_send_bytes(peer, piece, sizeof piece);
        atomic_fetch_add(&flood_sent, sizeof piece);
    }
}

static void a_paused_call_takes_nothing_more_and_goes_on_where_it_was(void **state)
{
    struct script_server *server = script_server_new(flood, NULL, 1);
    struct http_spec spec = get(server);
    struct seen seen = { .pause_next = true };
    (void)state;
    atomic_store(&flood_sent, 0);
    spec.timeouts.idle_ms = 30; /* does not run while paused */
    start(&seen, &spec);
    while (seen.n_body == 0)
        loop_turn(loop, 10);
    const size_t held = seen.n_body;
    const uint64_t until = loop_now_us(loop) + 100000;
    while (loop_now_us(loop) < until)
        loop_turn(loop, 10);
    assert_int_equal(seen.n_body, held);
    assert_int_equal(seen.dones, 0);
    assert_true(atomic_load(&flood_sent) <
                FLOOD_BYTES); /* the server is held back, too */
    seen.pause_next = true;   /* and once more, inside the resume */
    http_resume(seen.call);
    while (seen.n_body == held)
        loop_turn(loop, 10);
    http_resume(seen.call);
    run_until_done(&seen, 1);
    assert_int_equal(seen.result.code, HTTP_OK);
    assert_int_equal(seen.n_body, FLOOD_BYTES);
    release(&seen);
    script_server_free(server);
}

static void a_paused_call_can_be_cancelled(void **state)
{
    struct script_server *server = script_server_new(send_for_ever, NULL, 1);
    struct http_spec spec = get(server);
    struct seen seen = { .pause_next = true };
    (void)state;
    start(&seen, &spec);
    while (seen.n_body == 0)
        loop_turn(loop, 10);
    http_resume(seen.call);
    http_cancel(seen.call);
    loop_turn(loop, 0);
    script_server_free(server);
    assert_int_equal(seen.dones, 0);
    release(&seen);
}

/* -- many -------------------------------------------------------------------------------- */

/* The server takes one connection after the other: each must end before the next is served. */
static void answer_once(struct script_peer *peer, void *arg)
{
    (void)arg;
    (void)script_read(peer);
    script_send(peer,
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
}

static void many_calls_at_once_all_end_and_leave_no_descriptor(void **state)
{
    enum { N = 60 };
    struct script_server *server = script_server_new(answer_once, NULL, N);
    struct http_spec spec = get(server);
    static struct seen seen[N];
    (void)state;
    memset(seen, 0, sizeof seen);
    const int before = dup(0);
    for (int i = 0; i < N; i++)
        start(&seen[i], &spec);
    assert_int_equal(http_in_flight(http), N);
    for (int i = 0; i < N; i++) {
        run_until_done(&seen[i], 1);
        assert_int_equal(seen[i].result.code, HTTP_OK);
        assert_string_equal(seen[i].body, "hello");
        release(&seen[i]);
    }
    assert_int_equal(http_in_flight(http), 0);
    http_free(http);
    http = NULL;
    script_server_free(server);
    (void)close(before);
    const int after = dup(0);
    assert_true(after <= before);
    (void)close(after);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_answer_arrives_whole),
        TEST(the_next_call_uses_the_kept_connection),
        TEST(chunks_are_decoded_and_one_head_is_told),
        TEST(a_small_body_of_pieces_arrives_byte_for_byte),
        TEST(a_large_body_of_pieces_arrives_byte_for_byte),
        TEST(a_close_before_the_answer_is_a_cut),
        TEST(a_close_inside_a_measured_body_is_a_cut),
        TEST(a_close_before_the_last_chunk_is_a_cut),
        TEST(a_broken_chunk_is_a_protocol_error),
        TEST(what_is_not_http_is_a_protocol_error),
        TEST(an_answer_over_the_limit_is_refused),
        TEST(a_head_over_the_limit_is_refused),
        TEST(a_refused_connection_is_told_and_nothing_was_sent),
        TEST(a_server_without_tls_fails_the_handshake),
        TEST(an_unreadable_url_is_told),
        TEST(a_kept_connection_that_was_closed_is_replaced_once),
        TEST(no_answer_in_time_is_a_first_byte_timeout),
        TEST(a_head_without_a_body_is_still_no_first_byte),
        TEST(silence_inside_the_body_is_an_idle_timeout),
        TEST(the_total_limit_runs_through_all_stages),
        TEST(a_connection_that_nobody_accepts_is_a_connect_timeout),
        TEST(cancel_before_the_first_byte_closes_the_connection),
        TEST(a_call_cancelled_before_it_began_makes_no_event),
        TEST(cancel_in_the_middle_of_its_own_body_closes_the_connection),
        TEST(cancel_in_its_own_head_closes_the_connection),
        TEST(a_call_cancelled_in_its_body_can_be_replaced_there),
        TEST(one_call_can_cancel_another_in_its_done),
        TEST(the_client_can_be_freed_with_calls_in_every_state),
        TEST(a_paused_call_takes_nothing_more_and_goes_on_where_it_was),
        TEST(a_paused_call_can_be_cancelled),
        TEST(many_calls_at_once_all_end_and_leave_no_descriptor),
    };
    if (!http_global_init())
        return 1;
    /* Every law holds for both transports. */
    int failed = cmocka_run_group_tests_name("plain", tests, NULL, NULL);
    libcurl_only = true;
    failed += cmocka_run_group_tests_name("libcurl", tests, NULL, NULL);
    return failed;
}
