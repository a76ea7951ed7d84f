/* The embedder's call: its request, and what it makes of answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "gateway/io/embedder.h"
#include "tests/unit/io/script_server.h"

#define WATCHDOG_US 20000000

static struct loop *loop;
static struct http *http;

struct told {
    unsigned n;
    enum embedder_result result;
    enum http_result_code transport;
    unsigned status, dim;
    size_t rows;
    float values[8];
    int64_t tokens;
    char detail[128];
};

static void on_answer(void *arg, const struct embedder_answer *answer)
{
    struct told *told = arg;
    told->n++;
    told->result = answer->result;
    told->transport = answer->transport;
    told->status = answer->status;
    told->dim = answer->dim;
    told->rows = answer->n;
    told->tokens = answer->prompt_tokens;
    for (size_t i = 0; i < answer->n * answer->dim && i < 8; i++)
        told->values[i] = answer->vectors[i];
    (void)snprintf(told->detail, sizeof told->detail, "%s", answer->detail);
}

static int setup(void **state)
{
    (void)state;
    assert_int_equal(loop_new(&loop), LOOP_OK);
    http = http_new(loop, NULL);
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

struct script {
    const char *status, *body;
    char request[512];
};

static void answer(struct script_peer *peer, void *arg)
{
    struct script *script = arg;
    char head[128];
    (void)script_read(peer);
    (void)snprintf(script->request, sizeof script->request, "%s", peer->request);
    (void)snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n",
                   script->status, strlen(script->body));
    script_send(peer, head);
    script_send(peer, script->body);
}

static struct told ask(struct script *script, const char *const *texts, size_t n,
                       unsigned dim)
{
    struct script_server *server = script_server_new(answer, script, 1);
    struct embedder_text inputs[4];
    struct told told = { .n = 0 };
    char base[64];
    (void)snprintf(base, sizeof base, "http://127.0.0.1:%u/v1/", server->port);
    for (size_t i = 0; i < n; i++)
        inputs[i] = (struct embedder_text){ texts[i], strlen(texts[i]) };
    const struct embedder_spec spec = { .base = base,
                                        .key = "sk-embed",
                                        .model = "embed-small",
                                        .dim = dim,
                                        .texts = inputs,
                                        .n_texts = n,
                                        .timeouts = { 5000, 5000, 5000, 9000 } };
    assert_non_null(embedder_start(http, &spec, on_answer, &told));
    const uint64_t start = loop_now_us(loop);
    while (told.n == 0) {
        loop_turn(loop, 100);
        assert_true(loop_now_us(loop) - start < WATCHDOG_US);
    }
    script_server_free(server);
    return told;
}

static void a_text_becomes_its_vector(void **state)
{
    struct script script = {
        .status = "200 OK",
        .body =
            "{\"object\":\"list\",\"data\":[{\"index\":0,\"embedding\":[0.5,-2,1e-3]}],"
            "\"usage\":{\"prompt_tokens\":7,\"total_tokens\":7}}",
    };
    const char *text = "say \"hi\"\n";
    struct told told = ask(&script, &text, 1, 3);
    (void)state;
    assert_int_equal(told.result, EMBEDDER_OK);
    assert_int_equal(told.rows, 1);
    assert_int_equal(told.dim, 3);
    assert_true(told.values[0] == 0.5F && told.values[1] == -2.0F &&
                told.values[2] == 1e-3F);
    assert_int_equal(told.tokens, 7);
    assert_non_null(strstr(script.request, "POST /v1/embeddings HTTP/1.1\r\n"));
    assert_non_null(strstr(script.request, "\r\nAuthorization: Bearer sk-embed\r\n"));
    assert_non_null(strstr(
        script.request, "{\"model\":\"embed-small\",\"input\":\"say \\\"hi\\\"\\n\"}"));
}

static void several_texts_become_rows_in_the_order_of_their_index(void **state)
{
    struct script script = {
        .status = "200 OK",
        .body = "{\"data\":[{\"index\":1,\"embedding\":[3,4]},"
                "{\"index\":0,\"embedding\":[1,2]}]}",
    };
    const char *texts[] = { "a", "b" };
    struct told told = ask(&script, texts, 2, 0);
    (void)state;
    assert_int_equal(told.result, EMBEDDER_OK);
    assert_int_equal(told.rows, 2);
    assert_int_equal(told.dim, 2);
    for (int i = 0; i < 4; i++)
        assert_true(told.values[i] == (float)(i + 1));
    assert_int_equal(told.tokens, -1);
    assert_non_null(strstr(script.request, "\"input\":[\"a\",\"b\"]"));
}

static void another_width_is_refused(void **state)
{
    const char *const bodies[] = { "{\"data\":[{\"embedding\":[1,2]}]}",
                                   "{\"data\":[{\"embedding\":[1,2,3,4]}]}" };
    const char *text = "x";
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct script script = { .status = "200 OK", .body = bodies[i] };
        struct told told = ask(&script, &text, 1, 3);
        assert_int_equal(told.result, EMBEDDER_DIM);
        assert_int_equal(told.rows, 0);
    }
}

static void what_is_no_embedding_is_invalid(void **state)
{
    const char *const bodies[] = { "",
                                   "{}",
                                   "{\"data\":[]}",
                                   "<html>",
                                   "{\"data\":[{\"embedding\":[1,null,3]}]}",
                                   "{\"data\":[{\"embedding\":[1,2," };
    const char *text = "x";
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct script script = { .status = "200 OK", .body = bodies[i] };
        struct told told = ask(&script, &text, 1, 3);
        assert_int_equal(told.result, EMBEDDER_INVALID);
        assert_int_equal(told.transport, HTTP_OK);
    }
}

static void an_error_status_is_told_with_its_number(void **state)
{
    struct script script = { .status = "429 Too Many Requests",
                             .body = "{\"error\":{}}" };
    const char *text = "x";
    struct told told = ask(&script, &text, 1, 3);
    (void)state;
    assert_int_equal(told.result, EMBEDDER_STATUS);
    assert_int_equal(told.status, 429);
}

static void hang_up(struct script_peer *peer, void *arg)
{
    (void)script_read(peer);
    if (arg != NULL) {
        atomic_store((atomic_bool *)arg, true);
        script_wait_left(peer);
    }
}

static void a_failed_call_is_told_as_transport(void **state)
{
    struct script_server *server = script_server_new(hang_up, NULL, 1);
    const struct embedder_text text = { "x", 1 };
    struct told told = { .n = 0 };
    char base[64];
    (void)state;
    (void)snprintf(base, sizeof base, "http://127.0.0.1:%u/v1", server->port);
    const struct embedder_spec spec = {
        .base = base, .model = "m", .dim = 3, .texts = &text, .n_texts = 1
    };
    assert_non_null(embedder_start(http, &spec, on_answer, &told));
    while (told.n == 0)
        loop_turn(loop, 100);
    assert_int_equal(told.result, EMBEDDER_TRANSPORT);
    assert_int_equal(told.transport, HTTP_CUT);
    script_server_free(server);
}

static void a_cancelled_call_is_never_told_and_closes_its_connection(void **state)
{
    atomic_bool asked = false;
    struct script_server *server = script_server_new(hang_up, &asked, 1);
    const struct embedder_text text = { "x", 1 };
    struct told told = { .n = 0 };
    char base[64];
    (void)state;
    (void)snprintf(base, sizeof base, "http://127.0.0.1:%u/v1", server->port);
    const struct embedder_spec spec = {
        .base = base, .model = "m", .dim = 3, .texts = &text, .n_texts = 1
    };
    struct embedder_call *call = embedder_start(http, &spec, on_answer, &told);
    while (!atomic_load(&asked))
        loop_turn(loop, 10);
    embedder_cancel(call);
    script_server_free(server);
    loop_turn(loop, 0);
    assert_int_equal(told.n, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_text_becomes_its_vector),
        TEST(several_texts_become_rows_in_the_order_of_their_index),
        TEST(another_width_is_refused),
        TEST(what_is_no_embedding_is_invalid),
        TEST(an_error_status_is_told_with_its_number),
        TEST(a_failed_call_is_told_as_transport),
        TEST(a_cancelled_call_is_never_told_and_closes_its_connection),
    };
    if (!http_global_init())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
