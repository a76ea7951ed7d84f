/* test_memory.c - the arena and the growing buffer. */
#include "gateway/base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/base/buf.h"

static void an_arena_never_exceeds_its_maximum(void **state)
{
    struct arena arena;
    size_t got = 0;

    (void)state;
    arena_init(&arena, 10000);
    assert_null(arena_alloc(&arena, 10001));
    while (arena_alloc(&arena, 100))
        got += 100;
    assert_true(got >= 7000 && got <= 10000);
    assert_true(arena.taken_bytes <= 10000);
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_array(&arena, SIZE_MAX / 2, 3));
    arena_release(&arena);
    assert_non_null(arena_alloc(&arena, 100)); /* may be used again */
    arena_release(&arena);
}

static void pieces_are_aligned_and_apart(void **state)
{
    struct arena arena;
    char *pieces[300];

    (void)state;
    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        pieces[i] = arena_alloc(&arena, i * 7);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)i, i * 7);
    }
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
        for (size_t k = 0; k < i * 7; k++)
            assert_int_equal((unsigned char)pieces[i][k], i & 0xff);
    arena_release(&arena);
}

static void a_cleared_arena_keeps_one_block(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 1 << 20);
    arena_clear(&arena);
    for (int i = 0; i < 100; i++)
        assert_non_null(arena_alloc(&arena, 1000));
    arena_clear(&arena);
    assert_true(arena.taken_bytes > 0 && arena.taken_bytes <= 8192);
    assert_string_equal(arena_printf(&arena, "%d-%s", 7, "x"), "7-x");
    arena_release(&arena);
}

static void copies_end_in_a_zero(void **state)
{
    struct arena arena;
    struct str copy;

    (void)state;
    arena_init(&arena, 4096);
    assert_int_equal(arena_copy(&arena, (struct str){ "abc", 2 }, &copy), ERR_OK);
    assert_int_equal(copy.n, 2);
    assert_string_equal(copy.p, "ab");
    assert_int_equal(arena_copy(&arena, (struct str){ NULL, 0 }, &copy), ERR_OK);
    assert_string_equal(copy.p, "");
    arena_release(&arena);
}

static void a_buffer_refuses_to_pass_its_maximum(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 10);
    assert_int_equal(buf_add(&buf, "12345678", 8), ERR_OK);
    assert_int_equal(buf_add(&buf, "abc", 3), ERR_TOO_LARGE);
    assert_true(str_is(buf_str(&buf), "12345678") && buf.failed);
    assert_int_equal(buf_addf(&buf, "%d", 90), ERR_OK); /* exactly full */
    assert_true(str_is(buf_str(&buf), "1234567890"));
    assert_int_equal(buf_addf(&buf, "%s", "x"), ERR_TOO_LARGE);
    assert_int_equal(buf.max_bytes, 10);
    buf_clear(&buf);
    assert_false(buf.failed);
    buf_release(&buf);
    buf_release(&buf);
}

static void consumed_bytes_are_won_back(void **state)
{
    struct buf buf;
    char next = 0, want = 0;

    (void)state;
    buf_init(&buf, 1000);
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(buf_add(&buf, &next, 1), ERR_OK);
        next++;
        if (i % 3 != 0 && buf.n > 2) {
            assert_int_equal(buf.p[0], want);
            assert_int_equal(buf.p[1], (char)(want + 1));
            buf_consume(&buf, 2);
            want = (char)(want + 2);
        }
    }
    assert_true(buf.capacity <= 2048);
    buf_release(&buf);
}

static void json_strings_are_escaped_and_valid_utf8(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    buf_put_json(&buf, STR("a\"\\\n\x01\xc3\xa9\xff\xed\xa0\x80/"));
    assert_true(str_is(buf_str(&buf), "\"a\\\"\\\\\\n\\u0001\xc3\xa9\xef\xbf\xbd"
                                      "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd/\""));
    buf_clear(&buf);
    buf_put_json(&buf, (struct str){ "\0", 1 });
    assert_true(str_is(buf_str(&buf), "\"\\u0000\""));
    buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_arena_never_exceeds_its_maximum),
        cmocka_unit_test(pieces_are_aligned_and_apart),
        cmocka_unit_test(a_cleared_arena_keeps_one_block),
        cmocka_unit_test(copies_end_in_a_zero),
        cmocka_unit_test(a_buffer_refuses_to_pass_its_maximum),
        cmocka_unit_test(consumed_bytes_are_won_back),
        cmocka_unit_test(json_strings_are_escaped_and_valid_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
