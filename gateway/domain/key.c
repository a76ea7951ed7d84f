/* key.c - secrets and their hashes, and sets of keys; see key.h. */
#include "gateway/domain/key.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define SET_BYTES    (64u << 20) /* texts of one set */
#define RANDOM_BYTES 32

static_assert(KEY_HASH_BYTES == crypto_generichash_BYTES, "BLAKE2b-256");
static_assert(KEY_PLACE_BYTES == crypto_shorthash_KEYBYTES, "SipHash-2-4");
static_assert(KEY_SECRET_BYTES ==
                  sizeof(KEY_SECRET_PREFIX) - 1 +
                      sodium_base64_ENCODED_LEN(RANDOM_BYTES,
                                                sodium_base64_VARIANT_URLSAFE_NO_PADDING),
              "prefix and base64url");

bool key_start(void)
{
    return sodium_init() >= 0;
}

/* -- sets -- */

void key_set_init(struct key_set *set)
{
    *set = (struct key_set){ .n = 0 };
    arena_init(&set->arena, SET_BYTES);
}

void key_set_release(struct key_set *set)
{
    arena_release(&set->arena);
    free(set->keys);
    *set = (struct key_set){ .n = 0 };
}

static enum err copy_text(struct arena *arena, const char *text, const char **ret_copy)
{
    struct str copy;
    enum err err = arena_copy(arena, str_of(text), &copy);

    if (err == ERR_OK)
        *ret_copy = copy.p;
    return err;
}

static enum err copy_list(struct arena *arena, const struct key_list *list,
                          struct key_list *ret_copy)
{
    const char **names = arena_array(arena, list->n + 1, sizeof(*names));
    enum err err = names != NULL ? ERR_OK : ERR_NOMEM;

    for (size_t i = 0; err == ERR_OK && i < list->n; i++)
        err = copy_text(arena, list->names[i], &names[i]);
    if (err == ERR_OK)
        *ret_copy =
            (struct key_list){ .given = list->given, .n = list->n, .names = names };
    return err;
}

enum err key_set_add(struct key_set *set, const struct key *key)
{
    struct key copy = *key;
    enum err err;

    assert(key->n_hashes >= 1 && key->n_hashes <= KEY_SECRETS);
    if (set->n >= KEYS_MAX)
        return ERR_TOO_LARGE;
    if (set->n == set->room) {
        size_t room = set->room == 0 ? 16 : set->room * 2;
        struct key *keys = realloc(set->keys, room * sizeof(*keys));

        if (keys == NULL)
            return ERR_NOMEM;
        set->keys = keys;
        set->room = room;
    }
    err = copy_text(&set->arena, key->id, &copy.id);
    if (err == ERR_OK)
        err = copy_text(&set->arena, key->name, &copy.name);
    if (err == ERR_OK)
        err = copy_text(&set->arena, key->tags, &copy.tags);
    if (err == ERR_OK)
        err = copy_list(&set->arena, &key->experts, &copy.experts);
    if (err == ERR_OK)
        err = copy_list(&set->arena, &key->policies, &copy.policies);
    if (err == ERR_OK)
        set->keys[set->n++] = copy;
    return err;
}

static bool list_same(const struct key_list *a, const struct key_list *b)
{
    if (a->given != b->given || a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        if (strcmp(a->names[i], b->names[i]) != 0)
            return false;
    }
    return true;
}

static bool limits_same(const struct key_limits *a, const struct key_limits *b)
{
    for (int w = 0; w < KEY_WINDOW_COUNT; w++) {
        if (a->budget_pico[w] != b->budget_pico[w])
            return false;
    }
    return a->requests_per_minute == b->requests_per_minute &&
           a->tokens_per_minute == b->tokens_per_minute;
}

static bool key_same(const struct key *a, const struct key *b)
{
    for (size_t i = 0; i < a->n_hashes && i < b->n_hashes; i++) {
        if (!key_hash_same(a->hashes[i], b->hashes[i]))
            return false;
    }
    return strcmp(a->id, b->id) == 0 && strcmp(a->name, b->name) == 0 &&
           strcmp(a->tags, b->tags) == 0 && a->n_hashes == b->n_hashes &&
           a->created_us == b->created_us && a->expires_us == b->expires_us &&
           a->revoked_us == b->revoked_us && a->feedback == b->feedback &&
           list_same(&a->experts, &b->experts) && list_same(&a->policies, &b->policies) &&
           limits_same(&a->limits, &b->limits);
}

bool key_set_same(const struct key_set *a, const struct key_set *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        if (!key_same(&a->keys[i], &b->keys[i]))
            return false;
    }
    return true;
}

const struct key *key_set_find(const struct key_set *set, struct str id)
{
    for (size_t i = 0; i < set->n; i++) {
        if (str_is(id, set->keys[i].id))
            return &set->keys[i];
    }
    return NULL;
}

/* -- one key -- */

const struct key_allow key_allow_all = { .experts = UINT64_MAX, .policies = UINT64_MAX };

void key_init(struct key *key)
{
    *key = (struct key){ .id = "", .name = "", .tags = "", .limits = KEY_LIMITS_NONE };
}

bool key_id_ok(struct str id)
{
    if (id.n == 0 || id.n > KEY_ID_MAX || str_is(id, KEY_BOOTSTRAP_ID))
        return false;
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == ':'))
            return false;
    }
    return true;
}

bool key_list_allows(const struct key_list *list, const char *name)
{
    if (!list->given)
        return true;
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->names[i], name) == 0)
            return true;
    }
    return false;
}

static const char *const feedback_words[] = {
#define X(name, word) word,
    KEY_FEEDBACKS(X)
#undef X
};

const char *key_feedback_word(enum key_feedback feedback)
{
    assert(feedback < KEY_FEEDBACK_COUNT);
    return feedback_words[feedback];
}

enum err key_feedback_parse(struct str word, enum key_feedback *ret_feedback)
{
    for (size_t i = 0; i < KEY_FEEDBACK_COUNT; i++) {
        if (str_is(word, feedback_words[i])) {
            *ret_feedback = (enum key_feedback)i;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

const char *key_window_word(enum key_window window)
{
    static const char *const words[] = {
#define X(name, word) word,
        KEY_WINDOWS(X)
#undef X
    };

    assert(window < KEY_WINDOW_COUNT);
    return words[window];
}

/* -- secrets -- */

bool key_secret_ok(struct str secret)
{
    if (secret.n < KEY_SECRET_LEAST || secret.n > KEY_SECRET_MOST)
        return false;
    for (size_t i = 0; i < secret.n; i++) {
        if (secret.p[i] <= 0x20 || secret.p[i] >= 0x7f)
            return false;
    }
    return true;
}

void key_secret_new(char ret_secret[KEY_SECRET_BYTES])
{
    const size_t prefix = sizeof(KEY_SECRET_PREFIX) - 1;
    unsigned char random[RANDOM_BYTES];

    randombytes_buf(random, sizeof random);
    memcpy(ret_secret, KEY_SECRET_PREFIX, prefix);
    (void)sodium_bin2base64(ret_secret + prefix, KEY_SECRET_BYTES - prefix, random,
                            sizeof random, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(random, sizeof random);
}

void key_wipe(void *bytes, size_t n)
{
    sodium_memzero(bytes, n);
}

void key_hash(struct str secret, uint8_t ret_hash[KEY_HASH_BYTES])
{
    const unsigned char *p = (const unsigned char *)secret.p;
    int failed =
        crypto_generichash(ret_hash, KEY_HASH_BYTES,
                           p != NULL ? p : (const unsigned char *)"", secret.n, NULL, 0);

    assert(failed == 0); /* only for sizes that it does not know */
}

bool key_hash_same(const uint8_t a[KEY_HASH_BYTES], const uint8_t b[KEY_HASH_BYTES])
{
    return sodium_memcmp(a, b, KEY_HASH_BYTES) == 0;
}

enum err key_hash_parse(struct str text, uint8_t ret_hash[KEY_HASH_BYTES])
{
    uint8_t hash[KEY_HASH_BYTES];
    size_t n;

    if (text.n != KEY_HASH_TEXT - 1 ||
        sodium_hex2bin(hash, sizeof hash, text.p, text.n, NULL, &n, NULL) != 0 ||
        n != KEY_HASH_BYTES)
        return ERR_INVALID;
    memcpy(ret_hash, hash, sizeof hash);
    return ERR_OK;
}

const char *key_hash_format(const uint8_t hash[KEY_HASH_BYTES], char text[KEY_HASH_TEXT])
{
    return sodium_bin2hex(text, KEY_HASH_TEXT, hash, KEY_HASH_BYTES);
}

void key_place_new(uint8_t ret_key[KEY_PLACE_BYTES])
{
    crypto_shorthash_keygen(ret_key);
}

uint64_t key_place(const uint8_t key[KEY_PLACE_BYTES], const uint8_t hash[KEY_HASH_BYTES])
{
    uint64_t place;

    static_assert(sizeof place == crypto_shorthash_BYTES, "SipHash-2-4");
    (void)crypto_shorthash((unsigned char *)&place, hash, KEY_HASH_BYTES, key);
    return place;
}
