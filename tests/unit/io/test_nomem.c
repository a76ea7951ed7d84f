/* Memory fails at the 1st, 2nd, 3rd... allocation of this thread: every call still ends, with
 * an error or an answer, and nothing leaks.
 *
 * Linked with --wrap, so that the calls of our objects come here; those of libcurl do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/io/embedder.h"
#include "gateway/io/http.h"
#include "gateway/io/pool.h"
#include "tests/unit/failing_malloc.h"
#include "tests/unit/io/script_server.h"
#include "tests/unit/io/store_fixture.h"

/* Runs `attempt` with one failing call after another until none fails any more; it says
 * whether all went well, which it must say exactly then. */
static void with_every_failure(bool (*attempt)(void))
{
    long nth = 0;
    for (bool reached = true; reached; nth++) {
        calls_left = nth;
        const bool ok = attempt();
        reached = calls_left < 0;
        calls_left = -1;
        assert_true(ok == !reached);
        assert_true(nth < 1000);
    }
    assert_true(nth > 1); /* something was allocated at all */
}

static struct script_server *server;
static bool libcurl_only;
static char url[64];

/* An answer of two reads, so that the head is put together from pieces. */
static void answer(struct script_peer *peer, void *arg)
{
    (void)arg;
    if (!script_read(peer))
        return;
    script_send(peer, "HTTP/1.1 200 OK\r\nContent-Le");
    script_send(peer, "ngth: 30\r\n\r\n{\"data\":[{\"embedding\":[1,2]}]}");
    script_wait_left(peer);
}

struct told {
    bool done, ok;
};

static void on_done(void *arg, const struct http_result *result)
{
    struct told *told = arg;
    told->done = true;
    told->ok = result->code == HTTP_OK;
}

static void on_answer(void *arg, const struct embedder_answer *embedding)
{
    struct told *told = arg;
    told->done = true;
    told->ok = embedding->result == EMBEDDER_OK;
}

static void run(struct loop *loop, const struct told *told)
{
    while (!told->done)
        loop_turn(loop, 1000);
}

static struct http *make(struct loop *loop)
{
    const struct http_settings settings = { .libcurl_only = libcurl_only };
    return http_new(loop, &settings);
}

static bool call_once(void)
{
    static const struct http_events events = { .done = on_done };
    static char body[] = "hello";
    const struct iovec piece = { body, 5 };
    const struct http_header header = { "a", "b" };
    const struct http_spec spec = { .method = "POST",
                                    .url = url,
                                    .key = "sk",
                                    .headers = &header,
                                    .n_headers = 1,
                                    .body = &piece,
                                    .n_body = 1,
                                    .timeouts = { 5000, 5000, 5000, 9000 } };
    struct told told = { false, false };
    struct loop *loop = NULL;
    if (loop_new(&loop) != LOOP_OK)
        return false;
    struct http *http = make(loop);
    if (http != NULL && http_start(http, &spec, &events, &told) != NULL)
        run(loop, &told);
    http_free(http);
    loop_free(loop);
    return told.ok;
}

static bool embed_once(void)
{
    const struct embedder_text text = { "x", 1 };
    const struct embedder_spec spec = { .base = url,
                                        .model = "m",
                                        .texts = &text,
                                        .n_texts = 1,
                                        .timeouts = { 5000, 5000, 5000, 9000 } };
    struct told told = { false, false };
    struct loop *loop = NULL;
    if (loop_new(&loop) != LOOP_OK)
        return false;
    struct http *http = make(loop);
    if (http != NULL && embedder_start(http, &spec, on_answer, &told) != NULL)
        run(loop, &told);
    http_free(http);
    loop_free(loop);
    return told.ok;
}

static bool make_pool_and_resolver(void)
{
    struct resolve *resolve = resolve_new(NULL);
    struct pool *pool = NULL;
    const bool ok = pool_new(2, 2, NULL, &pool) == POOL_OK;
    pool_free(pool);
    resolve_free(resolve);
    return ok && resolve != NULL;
}

static void every_call_ends_when_memory_fails(void **state)
{
    (void)state;
    libcurl_only = false;
    with_every_failure(call_once);
    libcurl_only = true;
    with_every_failure(call_once);
}

static void every_embedding_ends_when_memory_fails(void **state)
{
    (void)state;
    libcurl_only = false;
    with_every_failure(embed_once);
}

static void pool_and_resolver_are_all_or_nothing(void **state)
{
    (void)state;
    with_every_failure(make_pool_and_resolver);
}

/* A decision is kept and found again, or somebody says that there is no memory. */
static bool keep_a_decision(void)
{
    struct store_decision decision = a_decision("dec_1");
    struct store_settings with = settings();
    struct store_row *row = NULL, *found = NULL;
    struct store_view view = { NULL, NULL };
    struct store *store = NULL;
    enum store_err err = store_open(&with, &store, NULL);

    if (err == STORE_OK)
        row = store_row_decision(&decision);
    if (row != NULL)
        assert_true(store_put(store, &row, NULL));
    else
        err = STORE_NOMEM;
    store_close(store);
    if (err == STORE_OK)
        err = store_file_open(path, STORE_FILE_READ, &view.file, NULL);
    if (err == STORE_OK)
        err = store_find(&view, STORE_BY_ID, STR("dec_1"), &found, NULL);
    if (err == STORE_OK)
        assert_int_equal(store_row_as_decision(found)->n_charges, 2);
    assert_true(err == STORE_OK || err == STORE_NOMEM);
    store_row_free(found);
    store_file_close(view.file);
    return err == STORE_OK;
}

static bool keep_in_a_fresh_folder(void)
{
    long left = calls_left;
    bool kept;

    calls_left = -1;
    assert_int_equal(fresh_folder(NULL), 0);
    calls_left = left;
    kept = keep_a_decision();
    left = calls_left;
    calls_left = -1;
    assert_int_equal(remove_folder(NULL), 0);
    calls_left = left;
    return kept;
}

static void a_decision_is_kept_or_there_was_no_memory(void **state)
{
    (void)state;
    with_every_failure(keep_in_a_fresh_folder);
}

static int open_server(void **state)
{
    (void)state;
    server = script_server_new(answer, NULL, 100000);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/v1", server->port);
    return 0;
}

static int close_server(void **state)
{
    (void)state;
    (void)shutdown(server->listen_fd, SHUT_RDWR); /* ends its accept */
    script_server_free(server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_ends_when_memory_fails),
        cmocka_unit_test(every_embedding_ends_when_memory_fails),
        cmocka_unit_test(pool_and_resolver_are_all_or_nothing),
        cmocka_unit_test(a_decision_is_kept_or_there_was_no_memory),
    };
    if (!http_global_init())
        return 1;
    return cmocka_run_group_tests(tests, open_server, close_server);
}
