/* The HTTP client against scripted servers: failures and cancelled calls. */
#include "tests/unit/io/http_seen.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(a_close_before_the_answer_is_a_cut),
        HTTP_TEST(a_close_inside_a_measured_body_is_a_cut),
        HTTP_TEST(a_close_before_the_last_chunk_is_a_cut),
        HTTP_TEST(a_broken_chunk_is_a_protocol_error),
        HTTP_TEST(what_is_not_http_is_a_protocol_error),
        HTTP_TEST(an_answer_over_the_limit_is_refused),
        HTTP_TEST(a_head_over_the_limit_is_refused),
        HTTP_TEST(a_refused_connection_is_told_and_nothing_was_sent),
        HTTP_TEST(a_server_without_tls_fails_the_handshake),
        HTTP_TEST(an_unreadable_url_is_told),
        HTTP_TEST(a_kept_connection_that_was_closed_is_replaced_once),
        HTTP_TEST(cancel_before_the_first_byte_closes_the_connection),
        HTTP_TEST(a_call_cancelled_before_it_began_makes_no_event),
        HTTP_TEST(cancel_in_the_middle_of_its_own_body_closes_the_connection),
        HTTP_TEST(cancel_in_its_own_head_closes_the_connection),
        HTTP_TEST(a_call_cancelled_in_its_body_can_be_replaced_there),
        HTTP_TEST(one_call_can_cancel_another_in_its_done),
        HTTP_TEST(a_paused_call_can_be_cancelled),
        HTTP_TEST(the_client_can_be_freed_with_calls_in_every_state),
    };
    return run_over_both(tests, sizeof tests / sizeof tests[0]);
}
