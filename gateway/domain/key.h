/* key.h - who may ask: one key, its secrets, what it may use.
 *
 * A secret is "fg-" and 32 random bytes in base64url, shown once when it is made. What is
 * kept anywhere is its BLAKE2b-256 (libsodium's generichash, what `b2sum -l 256` prints):
 * a secret of 256 bits needs no salt and no slow hash. A key has up to two secrets, so that
 * clients can go over from one to the other.
 *
 *   struct key_set set;
 *   key_set_init(&set);
 *   key_file_read(path, &set, &error)      the mounted file, key_file.h
 *   store_keys_read(file, &set, &error)    the store, io/store_keys.h
 *   ...                                    flow/keyring.h looks secrets up
 *   key_set_release(&set);
 *
 * Lists of experts and policies are names; one that is not configured lets nobody in. An
 * absent list allows all, an empty one none.
 *
 * Threads: a set belongs to one thread until it is shared, and never changes afterwards.
 * The only file that knows libsodium is key.c; key_start must have been called.
 */
#ifndef GATEWAY_DOMAIN_KEY_H
#define GATEWAY_DOMAIN_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/arena.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/key_limits.h"

#define KEY_SECRET_PREFIX "fg-"
#define KEY_SECRET_BYTES  47 /* of one that we make, with the final 0 */
#define KEY_SECRET_LEAST  16 /* bytes of one that an operator chose */
#define KEY_SECRET_MOST   256
#define KEY_HASH_BYTES    32
#define KEY_HASH_TEXT     65 /* in hexadecimal digits, with the final 0 */
#define KEY_ID_MAX        64
#define KEY_NAME_MAX      200
#define KEY_TAGS_MAX      1000
#define KEY_LIST_MAX      256   /* names in a list */
#define KEY_ENTRY_MAX     64    /* bytes of such a name */
#define KEYS_MAX          20000 /* in one set */
#define KEY_SECRETS       2     /* live at a time */
#define KEY_BOOTSTRAP_ID  "bootstrap"

#define KEY_FEEDBACKS(X)                                                                 \
    X(OFF, "off")       /* scores are refused */                                         \
    X(OWN, "own")       /* they teach, but only for this key's requests */               \
    X(SHARED, "shared") /* they teach for everybody */

enum key_feedback {
#define X(name, word) KEY_FEEDBACK_##name,
    KEY_FEEDBACKS(X)
#undef X
        KEY_FEEDBACK_COUNT
};

struct key_list {
    bool given; /* false: everything is allowed */
    size_t n;
    const char *const *names;
};

struct key {
    const char *id;   /* letters, digits, - _ . : KEY_ID_MAX bytes at most */
    const char *name; /* for people; never a label, "" where none */
    const char *tags; /* of all its requests; "" where none */
    size_t n_hashes;  /* 1 or 2 */
    uint8_t hashes[KEY_SECRETS][KEY_HASH_BYTES];
    int64_t created_us; /* wall time; 0: not known */
    int64_t expires_us; /* 0: never */
    int64_t revoked_us; /* 0: not */
    struct key_list experts, policies;
    struct key_limits limits;
    enum key_feedback feedback;
};

/* What a key allows by one configuration. */
struct key_allow {
    uint64_t experts;  /* bit i: experts[i] may be asked, also for embeddings */
    uint64_t policies; /* bit i: policies[i] may be named */
    bool bounded;      /* the key has a budget: nothing without a bound */
};
extern const struct key_allow key_allow_all; /* everything, no budget */

struct key_set {
    struct arena arena; /* every text */
    struct key *keys;   /* owned */
    size_t n, room;
};

/* Once, before anything else here; false: no source of randomness. Any thread. */
NODISCARD bool key_start(void);

void key_set_init(struct key_set *set);
void key_set_release(struct key_set *set);
/* Copies everything. NOMEM, or TOO_LARGE: KEYS_MAX. */
NODISCARD enum err key_set_add(struct key_set *set, const struct key *key);
/* The same keys in the same order? */
bool key_set_same(const struct key_set *a, const struct key_set *b);
/* By id; NULL: none. */
const struct key *key_set_find(const struct key_set *set, struct str id);

/* All without limits, never expiring, feedback off. */
void key_init(struct key *key);
bool key_id_ok(struct str id); /* also: not KEY_BOOTSTRAP_ID */
/* Of a shape that could be a secret: length, printable ASCII. */
bool key_secret_ok(struct str secret);
void key_secret_new(char ret_secret[KEY_SECRET_BYTES]);
void key_wipe(void *bytes, size_t n); /* not left out by a compiler */

void key_hash(struct str secret, uint8_t ret_hash[KEY_HASH_BYTES]);
/* In a time that does not depend on the content. */
bool key_hash_same(const uint8_t a[KEY_HASH_BYTES], const uint8_t b[KEY_HASH_BYTES]);
/* Hexadecimal digits, 64 of them. */
NODISCARD enum err key_hash_parse(struct str text, uint8_t ret_hash[KEY_HASH_BYTES]);
const char *key_hash_format(const uint8_t hash[KEY_HASH_BYTES], char text[KEY_HASH_TEXT]);

/* A hash under a random key of this process, for places in tables: whoever measures how
 * long a look-up takes learns nothing about what is in the table. */
#define KEY_PLACE_BYTES 16
void key_place_new(uint8_t ret_key[KEY_PLACE_BYTES]);
uint64_t key_place(const uint8_t key[KEY_PLACE_BYTES],
                   const uint8_t hash[KEY_HASH_BYTES]);

bool key_list_allows(const struct key_list *list, const char *name);
const char *key_feedback_word(enum key_feedback feedback);
NODISCARD enum err key_feedback_parse(struct str word, enum key_feedback *ret_feedback);
const char *key_window_word(enum key_window window);

#endif
