/* test_nomem.c - malloc fails at the 1st, 2nd, 3rd... call: an error each time, never a
 * crash, never a leak, and outputs are untouched.
 *
 * Linked with --wrap, so that the calls of our objects come here; those
 * of shared libraries do not (jansson 2.14 ignores a failure while it reads a string).
 */
#include "gateway/domain/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/domain/chat.h"
#include "gateway/domain/floats.h"
#include "gateway/domain/frugal_headers.h"
#include "gateway/domain/key_file.h"
#include "gateway/domain/metrics.h"
#include "gateway/domain/routing_text.h"
#include "gateway/domain/sse.h"
#include "gateway/domain/usage.h"
#include "tests/unit/failing_malloc.h"

/* Runs `attempt` with one failing call after another until none fails any more. It says
 * whether it succeeded. */
static void with_every_failure(bool (*attempt)(void))
{
    long nth = 0;
    bool reached = true;

    for (; reached; nth++) {
        bool ok;

        calls_left = nth;
        ok = attempt();
        reached = calls_left < 0;
        calls_left = -1;
        assert_true(ok == !reached);
        assert_true(nth < 10000);
    }
    assert_true(nth > 1); /* something was allocated at all */
}

static bool load_config(void)
{
    struct config_error error = { .set = false };
    struct config *config = NULL;
    enum err err = config_load("config/frugal.example.json", &config, &error);

    assert_true((err == ERR_OK) == (config != NULL));
    assert_true((err != ERR_OK) == error.set);
    config_unref(config);
    return err == ERR_OK;
}

static void configuration(void **state)
{
    (void)state;
    with_every_failure(load_config);
}

static const char body[] =
    "{\"frugal\":{\"experts\":[\"a\"]},\"model\":\"au\\u0074o\",\"stream\":true,"
    "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";

static bool read_request(void)
{
    const struct chat_edit edit = { .model = STR_INIT("m"),
                                    .output_limit = 10,
                                    .limit_field = CONFIG_LIMIT_MAX_TOKENS };
    struct api_error error = { .code = API_OK };
    struct iovec pieces[CHAT_MAX_PIECES];
    struct frugal_options options;
    struct chat_request chat;
    struct arena arena;
    struct scan scan;
    size_t n = 77, bytes = 77;
    bool ok;

    arena_init(&arena, 1 << 20);
    scan_init(&scan, 16);
    frugal_options_init(&options);
    assert_int_equal(scan_feed(&scan, body, sizeof(body) - 1), SCAN_OK);
    assert_int_equal(scan_end(&scan), SCAN_OK);
    ok = chat_parse(&chat, &scan, str_of(body), &arena, &error) == API_OK &&
         frugal_options_body(&options, chat.frugal, &arena, &error) == API_OK;
    assert_true(ok || error.code == API_NOMEM || error.code == API_BAD_OPTION);
    ok = ok && chat_splice(&chat, &edit, &arena, pieces, &n, &bytes) == ERR_OK;
    assert_true(ok || (n == 77 && bytes == 77));
    arena_release(&arena);
    return ok;
}

static void request(void **state)
{
    (void)state;
    with_every_failure(read_request);
}

static bool read_text(void)
{
    struct buf text;
    bool ok;

    buf_init(&text, ROUTING_TEXT_MAX);
    ok = routing_text_of_prompt(STR("a prompt"), &text) == ERR_OK;
    buf_release(&text);
    return ok;
}

static void routing_texts(void **state)
{
    (void)state;
    with_every_failure(read_text);
}

static bool read_event(void)
{
    static const char stream[] = "data: a\ndata: b\n\n";
    struct sse sse;
    size_t used;
    bool ok;

    sse_init(&sse, 1000);
    used = sse_feed(&sse, stream, sizeof(stream) - 1);
    ok = sse_ready(&sse);
    assert_true(ok != sse_failed(&sse));
    assert_true(!ok || used == sizeof(stream) - 1);
    sse_release(&sse);
    return ok;
}

static void events(void **state)
{
    (void)state;
    with_every_failure(read_event);
}

static bool write_cost(void)
{
    const struct usage_cost cost = { .cost_pico = 1 };
    struct iovec pieces[USAGE_MAX_PIECES];
    struct arena arena;
    size_t n, bytes;
    enum err err;

    arena_init(&arena, 65536);
    err = usage_splice(STR("{\"usage\":{}}"), &cost, &arena, pieces, &n, &bytes);
    assert_true(err == ERR_OK || err == ERR_NOMEM);
    arena_release(&arena);
    return err == ERR_OK;
}

static void costs(void **state)
{
    (void)state;
    with_every_failure(write_cost);
}

static bool make_metrics(void)
{
    struct metrics *metrics = NULL;
    enum err err = metrics_new(&metrics);
    struct buf out;

    buf_init(&out, 1 << 20);
    if (err == ERR_OK)
        metrics_render(metrics, &out);
    metrics_free(metrics);
    err = out.failed ? ERR_NOMEM : err;
    buf_release(&out);
    return err == ERR_OK;
}

static void counters(void **state)
{
    (void)state;
    with_every_failure(make_metrics);
}

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static bool read_keys(const char *text)
{
    struct key_set set;
    enum err err;

    key_set_init(&set);
    err = key_file_parse(str_of(text), &set, NULL);
    assert_true(err == ERR_OK || err == ERR_NOMEM);
    assert_true(err != ERR_OK || set.n == 1);
    key_set_release(&set);
    return err == ERR_OK;
}

static bool read_key_lines(void)
{
    return read_keys("id=team hash=" HASH " experts=small,large name=\"a team\"");
}

static bool read_key_json(void)
{
    return read_keys("{\"keys\":[{\"id\":\"team\",\"hash\":\"" HASH
                     "\",\"experts\":[\"small\"],\"day_usd\":5}]}");
}

static void key_files(void **state)
{
    (void)state;
    with_every_failure(read_key_lines);
    with_every_failure(read_key_json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configuration), cmocka_unit_test(request),
        cmocka_unit_test(routing_texts), cmocka_unit_test(events),
        cmocka_unit_test(costs),         cmocka_unit_test(counters),
        cmocka_unit_test(key_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
