/* test_translation.c - a body of another API becomes a chat request, on the loop or the pool. */
#include "gateway/flow/translation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/domain/ability.h"
#include "gateway/domain/retell.h"

struct world {
    struct loop *loop;
    struct pool *pool;
    struct translation translation;
    struct scan scan;
    unsigned told;
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    assert_non_null(world);
    assert_int_equal(loop_new(&world->loop), LOOP_OK);
    assert_int_equal(pool_new(1, 4, NULL, &world->pool), POOL_OK);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;

    translation_release(&world->translation);
    pool_free(world->pool);
    loop_free(world->loop);
    free(world);
    return 0;
}

static void tell(void *arg)
{
    ((struct world *)arg)->told++;
}

static void start_own(struct world *world, enum dialect_name dialect, struct str body,
                      const struct scan *own, struct retell_gap *gap)
{
    const struct translation_task task = { .dialect = dialect_of(dialect),
                                           .body = body,
                                           .depth = 64,
                                           .scan = &world->scan,
                                           .own_scan = own,
                                           .gap = gap,
                                           .loop = world->loop,
                                           .pool = world->pool,
                                           .fn = tell,
                                           .arg = world };

    translation_start(&world->translation, &task);
}

static void start(struct world *world, enum dialect_name dialect, struct str body)
{
    start_own(world, dialect, body, NULL, NULL);
}

/* {"model":"m","max_tokens":1,"messages":[{"role":"user","content":"xxx.."}]} */
static struct str long_body(size_t n)
{
    static const char head[] =
        "{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":"
        "\"user\",\"content\":\"",
                      tail[] = "\"}]}";
    char *body = malloc(sizeof head + n + sizeof tail);

    assert_non_null(body);
    memcpy(body, head, sizeof head - 1);
    memset(body + sizeof head - 1, 'x', n);
    memcpy(body + sizeof head - 1 + n, tail, sizeof tail - 1);
    return (struct str){ body, sizeof head - 1 + n + sizeof tail - 1 };
}

static void a_short_body_is_translated_at_once(void **state)
{
    struct world *world = *state;

    start(world, DIALECT_RESPONSES, STR("{\"model\":\"m\",\"input\":\"hi\"}"));
    assert_true(translation_started(&world->translation));
    assert_false(translation_away(&world->translation));
    assert_int_equal(world->translation.error.code, API_OK);
    assert_true(str_is(buf_str(&world->translation.chat),
                       "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":"
                       "\"hi\"}]}"));
    assert_int_equal(world->scan.n_messages, 1);
    assert_true(world->translation.echo.n > 0);
    assert_int_equal(world->told, 0);
}

static void a_long_body_is_translated_on_the_pool_and_the_loop_is_told(void **state)
{
    struct world *world = *state;
    struct str body = long_body(TRANSLATION_LOOP_BYTES);

    start(world, DIALECT_MESSAGES, body);
    assert_true(translation_away(&world->translation));
    while (translation_away(&world->translation))
        loop_turn(world->loop, -1);
    assert_int_equal(world->told, 1);
    assert_int_equal(world->translation.error.code, API_OK);
    assert_int_equal(world->translation.chat.n, body.n);
    assert_int_equal(world->scan.n_messages, 1);
    free((void *)(uintptr_t)body.p);
}

static void a_long_body_waits_for_no_pool_that_is_not_there(void **state)
{
    struct world *world = *state;
    struct str body = long_body(TRANSLATION_LOOP_BYTES);

    pool_free(world->pool);
    world->pool = NULL;
    start(world, DIALECT_MESSAGES, body);
    assert_false(translation_away(&world->translation));
    assert_int_equal(world->translation.chat.n, body.n);
    free((void *)(uintptr_t)body.p);
}

static void what_cannot_be_translated_says_why(void **state)
{
    struct world *world = *state;

    start(world, DIALECT_RESPONSES, STR("{\"model\":\"m\",\"conversation\":\"c\"}"));
    assert_int_equal(world->translation.error.code, API_UNSUPPORTED);
    assert_string_equal(world->translation.error.param, "conversation");
}

/* What only the words of the client ask for is read there, too, with a scan of those. */
static void what_the_body_asks_for_as_it_came_is_read_with_it(void **state)
{
    static const char head[] =
        "{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\","
        "\"content\":[{\"type\":\"image\",\"source\":{\"type\":\"file\","
        "\"file_id\":\"f\"}},{\"type\":\"text\",\"text\":\"";
    struct world *world = *state;
    struct retell_gap gap = { .stateful = false };
    struct scan own;

    for (size_t n = 1; n <= 2 * TRANSLATION_LOOP_BYTES; n *= 2 * TRANSLATION_LOOP_BYTES) {
        struct str rest = long_body(n), body;
        struct buf text;

        buf_init(&text, SIZE_MAX / 2);
        buf_put(&text, head);
        buf_put_str(&text, (struct str){ rest.p + rest.n - n - 4, n });
        buf_put(&text, "\"}]}]}");
        body = buf_str(&text);
        scan_init(&own, 64);
        assert_int_equal(scan_feed(&own, body.p, body.n), SCAN_OK);
        assert_int_equal(scan_end(&own), SCAN_OK);
        start_own(world, DIALECT_MESSAGES, body, &own, &gap);
        assert_int_equal(translation_away(&world->translation),
                         body.n > TRANSLATION_LOOP_BYTES);
        while (translation_away(&world->translation))
            loop_turn(world->loop, -1);
        assert_int_equal(world->translation.needs, ABILITY_BIT(IMAGES));
        translation_release(&world->translation);
        world->translation = (struct translation){ .needs = 0 };
        buf_release(&text);
        free((void *)(uintptr_t)rest.p);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_short_body_is_translated_at_once),
        TEST(a_long_body_is_translated_on_the_pool_and_the_loop_is_told),
        TEST(a_long_body_waits_for_no_pool_that_is_not_there),
        TEST(what_the_body_asks_for_as_it_came_is_read_with_it),
        TEST(what_cannot_be_translated_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
