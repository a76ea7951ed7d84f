/* keyring.c - all keys in force, found by their secrets; see keyring.h.
 *
 *   place = SipHash(hash of the secret)
 *   slots   [ . | 3 | . | 0 | 7 | . ... ]   open addressing, at most half full
 *                 |
 *   entries [ key, which of its hashes ]
 */
#include "gateway/flow/keyring.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define EMPTY UINT32_MAX

struct slot {
    uint32_t key; /* EMPTY: free */
    uint32_t which;
};

struct keyring {
    atomic_uint refs;
    bool open;
    struct key_set set;
    struct account **accounts; /* of set.keys[i] */
    uint8_t place_key[KEY_PLACE_BYTES];
    struct slot *slots;
    size_t n_slots; /* a power of two */
};

/* The slot of that hash, or the free one where it belongs. Every slot on the way is
 * compared as a whole. */
static struct slot *find_slot(const struct keyring *ring,
                              const uint8_t hash[KEY_HASH_BYTES])
{
    size_t at = (size_t)key_place(ring->place_key, hash) & (ring->n_slots - 1);

    for (;; at = (at + 1) & (ring->n_slots - 1)) {
        struct slot *slot = &ring->slots[at];

        if (slot->key == EMPTY ||
            key_hash_same(ring->set.keys[slot->key].hashes[slot->which], hash))
            return slot;
    }
}

/* -- making ------------------------------------------------------------------------------ */

static int compare_ids(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Ids of everything that was taken before this set, sorted. */
static const char **taken_ids(const struct keyring *ring)
{
    const char **ids = calloc(ring->set.n + 1, sizeof(*ids));

    if (ids == NULL)
        return NULL;
    for (size_t i = 0; i < ring->set.n; i++)
        ids[i] = ring->set.keys[i].id;
    qsort(ids, ring->set.n, sizeof(*ids), compare_ids);
    return ids;
}

static enum err take_set(struct keyring *ring, const struct key_set *set, size_t *ignored)
{
    const size_t n = ring->set.n;
    const char **ids = taken_ids(ring);
    enum err err = ids != NULL ? ERR_OK : ERR_NOMEM;

    for (size_t i = 0; i < set->n && err == ERR_OK; i++) {
        const char *id = set->keys[i].id;

        if (bsearch(&id, ids, n, sizeof(*ids), compare_ids) != NULL)
            (*ignored)++;
        else
            err = key_set_add(&ring->set, &set->keys[i]);
    }
    free(ids);
    return err;
}

static enum err fill_slots(struct keyring *ring, size_t *ignored)
{
    ring->n_slots = 16;
    while (ring->n_slots < ring->set.n * KEY_SECRETS * 2)
        ring->n_slots *= 2;
    ring->slots = malloc(ring->n_slots * sizeof(*ring->slots));
    if (ring->slots == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < ring->n_slots; i++)
        ring->slots[i].key = EMPTY;
    key_place_new(ring->place_key);
    for (size_t i = 0; i < ring->set.n; i++) {
        for (size_t which = 0; which < ring->set.keys[i].n_hashes; which++) {
            struct slot *slot = find_slot(ring, ring->set.keys[i].hashes[which]);

            if (slot->key == EMPTY)
                *slot = (struct slot){ (uint32_t)i, (uint32_t)which };
            else
                (*ignored)++;
        }
    }
    return ERR_OK;
}

static enum err open_accounts(struct keyring *ring, struct accounts *accounts)
{
    enum err err = ERR_OK;

    ring->accounts = calloc(ring->set.n + 1, sizeof(*ring->accounts));
    if (ring->accounts == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < ring->set.n && err == ERR_OK; i++) {
        const struct key *key = &ring->set.keys[i];

        err = accounts_open(accounts, str_of(key->id), &ring->accounts[i]);
        if (err == ERR_OK)
            account_limit(ring->accounts[i], &key->limits);
    }
    return err;
}

enum err keyring_new(const struct key_set *const *sets, size_t n_sets,
                     struct accounts *accounts, bool open, struct keyring **ret_ring,
                     size_t *ret_ignored)
{
    struct keyring *ring = calloc(1, sizeof *ring);
    enum err err = ERR_OK;
    size_t ignored = 0;

    if (ring == NULL)
        return ERR_NOMEM;
    atomic_init(&ring->refs, 1);
    ring->open = open;
    key_set_init(&ring->set);
    for (size_t i = 0; i < n_sets && err == ERR_OK; i++)
        err = take_set(ring, sets[i], &ignored);
    if (err == ERR_OK)
        err = fill_slots(ring, &ignored);
    if (err == ERR_OK)
        err = open_accounts(ring, accounts);
    if (err != ERR_OK) {
        keyring_unref(ring);
        return err;
    }
    *ret_ring = ring;
    *ret_ignored = ignored;
    return ERR_OK;
}

struct keyring *keyring_ref(struct keyring *ring)
{
    unsigned before = atomic_fetch_add_explicit(&ring->refs, 1, memory_order_relaxed);

    assert(before > 0);
    return ring;
}

void keyring_unref(struct keyring *ring)
{
    if (ring == NULL || atomic_fetch_sub(&ring->refs, 1) != 1)
        return;
    key_set_release(&ring->set);
    free(ring->accounts);
    free(ring->slots);
    free(ring);
}

/* -- looking up -------------------------------------------------------------------------- */

bool keyring_open(const struct keyring *ring)
{
    return ring->open;
}

size_t keyring_count(const struct keyring *ring)
{
    return ring->set.n;
}

const struct key *keyring_key(const struct keyring *ring, size_t i)
{
    assert(i < ring->set.n);
    return &ring->set.keys[i];
}

enum metric_refusal keyring_find(const struct keyring *ring, struct str secret,
                                 int64_t wall_us, const struct key **ret_key,
                                 struct account **ret_account)
{
    uint8_t hash[KEY_HASH_BYTES];
    const struct slot *slot;
    const struct key *key;

    key_hash(str_first(secret, KEY_SECRET_MOST), hash);
    slot = find_slot(ring, hash);
    if (slot->key == EMPTY || secret.n > KEY_SECRET_MOST)
        return METRIC_REFUSAL_UNKNOWN;
    key = &ring->set.keys[slot->key];
    *ret_key = key;
    *ret_account = ring->accounts[slot->key];
    if (key->revoked_us != 0 && key->revoked_us <= wall_us)
        return METRIC_REFUSAL_REVOKED;
    if (key->expires_us != 0 && key->expires_us <= wall_us)
        return METRIC_REFUSAL_EXPIRED;
    return METRIC_REFUSAL_NONE;
}
