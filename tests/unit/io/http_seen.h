/* http_seen.h - what the tests of the HTTP client share: a loop, a client, and what a call told
 *
 * Included once by each program: its state is the program's. */
#ifndef TESTS_UNIT_IO_HTTP_SEEN_H
#define TESTS_UNIT_IO_HTTP_SEEN_H

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

static void answer_plainly(struct script_peer *peer, void *arg)
{
    (void)arg;
    while (script_read(peer))
        script_send(peer, "HTTP/1.1 200 OK\r\nContent-Type:  text/plain \r\n"
                          "Content-Length: 5\r\n\r\nhello");
}

#define HTTP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Every law holds for both transports. */
static int run_over_both(const struct CMUnitTest *tests, size_t n)
{
    if (!http_global_init())
        return 1;
    int failed = _cmocka_run_group_tests("plain", tests, n, NULL, NULL);
    libcurl_only = true;
    return failed + _cmocka_run_group_tests("libcurl", tests, n, NULL, NULL);
}

#endif
