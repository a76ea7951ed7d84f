/* key_fields.h - the fields of a key as texts: for key_file.c, in whichever form its file is,
 * and for `frugalctl keys`, as options; with errors that know where they are.
 *
 *   key_begin(r);
 *   key_open(r, name, at, &field); key_take(r, field, text, at) ...     field by field
 *   key_end(r, at);                                                      into the set
 *
 * `at` points into the text that is read: line and column are counted up to it.
 */
#ifndef GATEWAY_DOMAIN_KEY_FIELDS_H
#define GATEWAY_DOMAIN_KEY_FIELDS_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/base/arena.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/key.h"
#include "gateway/domain/key_file.h"

enum key_kind {
    KIND_ID,
    KIND_TEXT,
    KIND_HASH, /* up to KEY_SECRETS of them */
    KIND_LIST,
    KIND_USD,
    KIND_RATE,
    KIND_TIME,
    KIND_FEEDBACK,
};

struct key_field {
    const char *name;
    enum key_kind kind;
    size_t offset, most; /* in struct key; bytes of a text */
    const char *help;
};

struct key_reader {
    struct str text;
    struct key_set *set;
    struct key_file_error *error; /* may be NULL */
    struct arena scratch;         /* of the key under construction */
    struct key key;
    uint32_t seen;                      /* bit i: the i-th field */
    const char *names[2][KEY_LIST_MAX]; /* of the two lists */
    const char **began; /* owned; where the keys of the set stand; NULL: not asked for */
};

/* The first error wins; returns err. at NULL: the whole file. */
enum err key_fail(struct key_reader *r, enum err err, const char *at, const char *format,
                  ...) PRINTF_LIKE(4, 5);
enum err key_no_memory(struct key_reader *r);

void key_begin(struct key_reader *r);
/* A field may be given once: it is marked as seen. */
NODISCARD enum err key_open(struct key_reader *r, struct str name, const char *at,
                            const struct key_field **ret_field);
/* One text, or one item of a list, of a field. */
NODISCARD enum err key_take(struct key_reader *r, const struct key_field *field,
                            struct str value, const char *at);
/* A field as one text, lists separated by commas; what it was is replaced, and cleared by
 * "none". For the command line: positions mean nothing. */
NODISCARD enum err key_change(struct key_reader *r, struct str name, struct str text);
/* The key is complete; at: where it began. */
NODISCARD enum err key_end(struct key_reader *r, const char *at);

#endif
