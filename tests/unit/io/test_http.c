/* The HTTP client against scripted servers: answers, limits, back-pressure, many calls. */
#include "tests/unit/io/http_seen.h"

/* -- answers ----------------------------------------------------------------------------- */

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

static void only_accept(struct script_peer *peer, void *arg)
{
    char byte;
    (void)arg;
    assert(recv(peer->fd, &byte, 1, 0) == 0); /* nothing is said */
}

static void a_connection_can_be_opened_and_closed(void **state)
{
    struct script_server *server = script_server_new(only_accept, NULL, 1);
    struct http_spec spec = get(server);
    struct seen seen = { 0 };
    (void)state;
    spec.connect_only = true;
    start(&seen, &spec);
    run_until_done(&seen, 1);
    assert_int_equal(seen.result.code, HTTP_OK);
    assert_int_equal(seen.heads, 0);
    assert_false(seen.result.sent);
    release(&seen);
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
    const struct CMUnitTest tests[] = {
        HTTP_TEST(an_answer_arrives_whole),
        HTTP_TEST(a_connection_can_be_opened_and_closed),
        HTTP_TEST(the_next_call_uses_the_kept_connection),
        HTTP_TEST(chunks_are_decoded_and_one_head_is_told),
        HTTP_TEST(a_small_body_of_pieces_arrives_byte_for_byte),
        HTTP_TEST(a_large_body_of_pieces_arrives_byte_for_byte),
        HTTP_TEST(no_answer_in_time_is_a_first_byte_timeout),
        HTTP_TEST(a_head_without_a_body_is_still_no_first_byte),
        HTTP_TEST(silence_inside_the_body_is_an_idle_timeout),
        HTTP_TEST(the_total_limit_runs_through_all_stages),
        HTTP_TEST(a_connection_that_nobody_accepts_is_a_connect_timeout),
        HTTP_TEST(a_paused_call_takes_nothing_more_and_goes_on_where_it_was),
        HTTP_TEST(many_calls_at_once_all_end_and_leave_no_descriptor),
    };
    return run_over_both(tests, sizeof tests / sizeof tests[0]);
}
