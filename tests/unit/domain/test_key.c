/* test_key.c - secrets, their hashes, sets of keys, and the times in their file. */
#include "gateway/domain/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/clock.h"

static void a_secret_has_256_random_bits_in_base64url(void **state)
{
    char a[KEY_SECRET_BYTES], b[KEY_SECRET_BYTES];

    (void)state;
    key_secret_new(a);
    key_secret_new(b);
    assert_int_equal(strlen(a), 46);
    assert_memory_equal(a, "fg-", 3);
    assert_string_not_equal(a, b);
    assert_int_equal(strspn(a, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                               "0123456789-_"),
                     46);
    assert_true(key_secret_ok(str_of(a)));
}

static void a_hash_is_what_b2sum_prints(void **state)
{
    uint8_t hash[KEY_HASH_BYTES], again[KEY_HASH_BYTES];
    char text[KEY_HASH_TEXT];

    (void)state;
    key_hash(STR("abc"), hash);
    assert_string_equal(
        key_hash_format(hash, text),
        "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
    assert_int_equal(key_hash_parse(str_of(text), again), ERR_OK);
    assert_true(key_hash_same(hash, again));
    again[31] ^= 1;
    assert_false(key_hash_same(hash, again));
}

static void what_is_no_hash_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "00",
        "zz",
        "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d5231",
        "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d523190",
        "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d5231g",
        "bddd:13c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319",
    };
    uint8_t hash[KEY_HASH_BYTES];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(key_hash_parse(str_of(wrong[i]), hash), ERR_INVALID);
}

static void what_could_not_be_a_secret_is_told_apart(void **state)
{
    char long_one[KEY_SECRET_MOST + 2];

    (void)state;
    memset(long_one, 'x', sizeof long_one - 1);
    long_one[sizeof long_one - 1] = '\0';
    assert_false(key_secret_ok(STR("fifteen-letters")));
    assert_true(key_secret_ok(STR("sixteen--letters")));
    assert_false(key_secret_ok(STR("sixteen  letters")));
    assert_false(key_secret_ok(STR("sixteen\x7f-letters")));
    assert_false(key_secret_ok(str_of(long_one)));
    assert_true(key_secret_ok(str_first(str_of(long_one), KEY_SECRET_MOST)));
}

static void an_id_is_fit_for_logs_and_reports(void **state)
{
    (void)state;
    assert_true(key_id_ok(STR("Team-1_a.b:c")));
    assert_false(key_id_ok(STR("")));
    assert_false(key_id_ok(STR("a b")));
    assert_false(key_id_ok(STR("a\"b")));
    assert_false(key_id_ok(STR("b\xc3\xa4r")));
    assert_false(key_id_ok(STR("bootstrap")));
    assert_false(key_id_ok(STR("0123456789012345678901234567890123456789"
                               "0123456789012345678901234")));
}

static void a_set_copies_what_it_is_given(void **state)
{
    char id[] = "team", expert[] = "small";
    const char *names[] = { expert };
    struct key_set set, other;
    struct key key;

    (void)state;
    key_set_init(&set);
    key_set_init(&other);
    key_init(&key);
    key.id = id;
    key.n_hashes = 1;
    key.experts = (struct key_list){ .given = true, .n = 1, .names = names };
    assert_int_equal(key_set_add(&set, &key), ERR_OK);
    assert_int_equal(key_set_add(&other, &key), ERR_OK);
    memset(id, 'x', 4);
    memset(expert, 'x', 5);
    assert_non_null(key_set_find(&set, STR("team")));
    assert_true(key_list_allows(&set.keys[0].experts, "small"));
    assert_false(key_list_allows(&set.keys[0].experts, "large"));
    assert_true(key_list_allows(&set.keys[0].policies, "any"));
    assert_true(key_set_same(&set, &other));
    other.keys[0].limits.budget_pico[KEY_MONTH] = 1;
    assert_false(key_set_same(&set, &other));
    key_set_release(&set);
    key_set_release(&other);
}

static void a_list_of_nothing_allows_nobody(void **state)
{
    struct key_list none = { .given = true };

    (void)state;
    assert_false(key_list_allows(&none, "small"));
}

static void days_and_times_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        { "1970-01-01", 0 },
        { "1970-01-02", INT64_C(86400000000) },
        { "2026-02-28T23:59:59Z", INT64_C(1772323199000000) },
        { "2024-02-29T00:00:00.25Z", INT64_C(1709164800250000) },
        { "1970-01-01T00:00:00.1234567Z", 123456 },
    };
    static const char *const wrong[] = {
        "",
        "2026",
        "2026-1-1",
        "2026-02-29",
        "2026-13-01",
        "2026-00-10",
        "1969-12-31",
        "2026-01-01T",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00Zx",
        "2026-01-01T00:00:00+01:00",
        "x026-01-01",
    };
    int64_t us = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(clock_parse(str_of(cases[i].text), &us), ERR_OK);
        assert_int_equal(us, cases[i].us);
    }
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(clock_parse(str_of(wrong[i]), &us), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_has_256_random_bits_in_base64url),
        cmocka_unit_test(a_hash_is_what_b2sum_prints),
        cmocka_unit_test(what_is_no_hash_is_refused),
        cmocka_unit_test(what_could_not_be_a_secret_is_told_apart),
        cmocka_unit_test(an_id_is_fit_for_logs_and_reports),
        cmocka_unit_test(a_set_copies_what_it_is_given),
        cmocka_unit_test(a_list_of_nothing_allows_nobody),
        cmocka_unit_test(days_and_times_are_read),
    };

    if (!key_start())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
