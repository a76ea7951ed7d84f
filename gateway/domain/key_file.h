/* key_file.h - the mounted file of keys: hashes of secrets, and what each may use.
 *
 * Two forms, told apart by the first byte that is not white space. JSON:
 *
 *   {"keys": [{"id": "team-a", "hash": "5f1d..", "experts": ["small"], "day_usd": 5}]}
 *
 * or a key on each line, as `frugalctl keys hash` prints it, with # for comments:
 *
 *   id=team-a hash=5f1d.. experts=small,large day_usd=5 requests_per_minute=60
 *
 * The fields are the same: the table in key_file.c, printed by key_file_help. A list is
 * separated by commas on a line; a text with blanks stands in double quotes there. Unknown
 * or repeated fields, ids and hashes are errors, with file, line and column.
 *
 * Pure but for key_file_read. Threads: any; blocks on the file.
 */
#ifndef GATEWAY_DOMAIN_KEY_FILE_H
#define GATEWAY_DOMAIN_KEY_FILE_H

#include "gateway/base/buf.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/key.h"

#define KEY_FILE_MAX (32u << 20) /* bytes */

struct key_file_error {
    int line, column; /* from 1; 0: the whole file */
    char text[300];
};

/* Adds to the set, which must be empty and is to be released also on failure. error may be
 * NULL. IO, INVALID, TOO_LARGE, NOMEM. */
NODISCARD enum err key_file_read(const char *path, struct key_set *set,
                                 struct key_file_error *error);
NODISCARD enum err key_file_parse(struct str text, struct key_set *set,
                                  struct key_file_error *error);
/* "keys.json:12:7: 'day_usd' must be an amount in USD". Returns text. */
const char *key_file_error_text(const char *path, const struct key_file_error *error,
                                char *text, size_t bytes);

/* The key as a line of the file, without a line's end. */
void key_file_put(const struct key *key, struct buf *out);
/* Every field with its help, one a line. */
void key_file_help(struct buf *out);

#endif
