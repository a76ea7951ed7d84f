/* test_keyring.c - secrets find their keys, and nothing else does. */
#include "gateway/flow/keyring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MANY 2000

static int64_t still(void *context)
{
    (void)context;
    return INT64_C(1769860800000000);
}

static const struct clock stopped = { still, still, NULL };

/* A key whose secret is "secret of ID", and "second of ID" where it has two. */
static void add(struct key_set *set, const char *id, size_t secrets, const char *name)
{
    char text[64];
    struct key key;

    key_init(&key);
    key.id = id;
    key.name = name;
    key.n_hashes = secrets;
    (void)snprintf(text, sizeof text, "secret of %s", id);
    key_hash(str_of(text), key.hashes[0]);
    (void)snprintf(text, sizeof text, "second of %s", id);
    key_hash(str_of(text), key.hashes[1]);
    assert_int_equal(key_set_add(set, &key), ERR_OK);
}

struct fixture {
    struct key_set a, b;
    struct accounts *book;
    struct keyring *ring;
    size_t ignored;
    const struct key *key;
    struct account *account;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    key_set_init(&f->a);
    key_set_init(&f->b);
    f->book = accounts_new(&stopped);
    *state = f;
    return f->book != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    keyring_unref(f->ring);
    key_set_release(&f->a);
    key_set_release(&f->b);
    accounts_free(f->book);
    free(f);
    return 0;
}

static void make(struct fixture *f)
{
    const struct key_set *const sets[] = { &f->a, &f->b };

    keyring_unref(f->ring);
    f->ring = NULL;
    assert_int_equal(keyring_new(sets, 2, f->book, false, &f->ring, &f->ignored), ERR_OK);
}

static enum metric_refusal find(struct fixture *f, const char *secret)
{
    f->key = NULL;
    f->account = NULL;
    return keyring_find(f->ring, str_of(secret), 1000, &f->key, &f->account);
}

static void every_secret_finds_its_key_among_many(void **state)
{
    struct fixture *f = *state;
    char id[16], secret[64];

    for (int i = 0; i < MANY; i++) {
        (void)snprintf(id, sizeof id, "key%d", i);
        add(&f->a, id, i % 2 == 0 ? 2 : 1, "");
    }
    make(f);
    assert_int_equal(keyring_count(f->ring), MANY);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(id, sizeof id, "key%d", i);
        (void)snprintf(secret, sizeof secret, "secret of key%d", i);
        assert_int_equal(find(f, secret), METRIC_REFUSAL_NONE);
        assert_string_equal(f->key->id, id);
        assert_string_equal(account_id(f->account), id);
        (void)snprintf(secret, sizeof secret, "second of key%d", i);
        assert_int_equal(find(f, secret),
                         i % 2 == 0 ? METRIC_REFUSAL_NONE : METRIC_REFUSAL_UNKNOWN);
    }
    assert_int_equal(find(f, "secret of key"), METRIC_REFUSAL_UNKNOWN);
    assert_int_equal(find(f, ""), METRIC_REFUSAL_UNKNOWN);
    assert_null(f->key);
}

static void a_ring_without_keys_knows_nobody(void **state)
{
    struct fixture *f = *state;

    make(f);
    assert_int_equal(find(f, "anything"), METRIC_REFUSAL_UNKNOWN);
}

static void the_first_of_two_with_one_id_counts(void **state)
{
    struct fixture *f = *state;

    add(&f->a, "team", 1, "first");
    add(&f->b, "team", 2, "second");
    add(&f->b, "other", 1, "");
    make(f);
    assert_int_equal(keyring_count(f->ring), 2);
    assert_int_equal(f->ignored, 1);
    assert_int_equal(find(f, "secret of team"), METRIC_REFUSAL_NONE);
    assert_string_equal(f->key->name, "first");
    assert_int_equal(find(f, "second of team"), METRIC_REFUSAL_UNKNOWN);
}

static void a_secret_of_two_keys_is_the_first_ones(void **state)
{
    struct fixture *f = *state;

    add(&f->a, "team", 1, "");
    add(&f->b, "other", 1, "");
    memcpy(f->b.keys[0].hashes[0], f->a.keys[0].hashes[0], KEY_HASH_BYTES);
    make(f);
    assert_int_equal(f->ignored, 1);
    assert_int_equal(find(f, "secret of team"), METRIC_REFUSAL_NONE);
    assert_string_equal(f->key->id, "team");
}

static void an_end_is_reached_to_the_microsecond(void **state)
{
    struct fixture *f = *state;

    add(&f->a, "gone", 1, "");
    add(&f->a, "dead", 1, "");
    add(&f->a, "soon", 1, "");
    f->a.keys[0].revoked_us = 1000;
    f->a.keys[1].expires_us = 1000;
    f->a.keys[2].expires_us = 1001;
    make(f);
    assert_int_equal(find(f, "secret of gone"), METRIC_REFUSAL_REVOKED);
    assert_string_equal(f->key->id, "gone");
    assert_int_equal(find(f, "secret of dead"), METRIC_REFUSAL_EXPIRED);
    assert_int_equal(find(f, "secret of soon"), METRIC_REFUSAL_NONE);
}

static void another_ring_has_the_same_accounts(void **state)
{
    struct fixture *f = *state;
    struct account_hold hold = { 0 };
    struct account *before;

    add(&f->a, "team", 1, "");
    f->a.keys[0].limits.budget_pico[KEY_DAY] = 100;
    make(f);
    assert_int_equal(find(f, "secret of team"), METRIC_REFUSAL_NONE);
    before = f->account;
    assert_int_equal(account_reserve(before, 60, NULL, &hold), ACCOUNT_OK);
    f->a.keys[0].limits.budget_pico[KEY_DAY] = 200;
    make(f);
    assert_int_equal(find(f, "secret of team"), METRIC_REFUSAL_NONE);
    assert_ptr_equal(f->account, before);
    assert_int_equal(account_remaining(before, NULL), 140);
    account_settle(before, &hold, 0);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(every_secret_finds_its_key_among_many),
        test(a_ring_without_keys_knows_nobody),
        test(the_first_of_two_with_one_id_counts),
        test(a_secret_of_two_keys_is_the_first_ones),
        test(an_end_is_reached_to_the_microsecond),
        test(another_ring_has_the_same_accounts),
    };

    if (!key_start())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
