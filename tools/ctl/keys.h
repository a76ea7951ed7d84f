/* keys.h - what the commands `frugalctl keys ...` share: the gateway's database beside a
 * running gateway, a key's fields as options, and a key for people and for programs.
 *
 * The gateway looks at the table twice a second, so what these commands write is in force
 * a moment later, without a restart.
 */
#ifndef TOOLS_CTL_KEYS_H
#define TOOLS_CTL_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "gateway/domain/key.h"
#include "gateway/domain/key_fields.h"
#include "gateway/io/store_keys.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/options.h"

/* -- which database -- */

struct keys_place {
    const char *store, *config;
};

/* clang-format off */
#define KEYS_PLACE(at) \
    { .name = "store", \
      .kind = OPTION_TEXT, \
      .value = "FILE", \
      .help = "the gateway's database; may be in use by a running gateway", \
      .offset = (at) + offsetof(struct keys_place, store) }, \
    { .name = "config", \
      .kind = OPTION_TEXT, \
      .value = "FILE", \
      .help = "the gateway's configuration: its `store` is meant", \
      .offset = (at) + offsetof(struct keys_place, config) }
#define KEYS_JSON(at) \
    { .name = "json", \
      .kind = OPTION_FLAG, \
      .help = "print one JSON document", \
      .offset = (at) }
/* clang-format on */

NODISCARD enum fault_err keys_open(const struct keys_place *place,
                                   enum store_file_mode mode,
                                   struct store_file **ret_file, struct fault *fault);
/* The store's error as a fault. */
enum fault_err keys_failed(enum store_err err, const struct store_error *error,
                           struct fault *fault);

/* -- a key's fields as options -- */

/* X(field of the key, option, value, help) */
#define KEYS_FIELDS(X)                                                                   \
    X(name, "name", "TEXT", "for people")                                                \
    X(experts, "experts", "NAMES",                                                       \
      "who may be asked, also for embeddings; all if absent")                            \
    X(policies, "policies", "NAMES", "policies that may be used; all if absent")         \
    X(day_usd, "day-usd", "USD", "budget of each UTC day")                               \
    X(month_usd, "month-usd", "USD", "budget of each UTC month")                         \
    X(total_usd, "total-usd", "USD", "budget in all")                                    \
    X(requests_per_minute, "requests-per-minute", "N", "429 beyond")                     \
    X(tokens_per_minute, "tokens-per-minute", "N", "429 beyond")                         \
    X(expires, "expires", "TIME", "2026-12-31 or 2026-12-31T12:00:00Z, refused then")    \
    X(feedback, "feedback", "WHOM", "off, own or shared: whom its scores teach")         \
    X(tags, "tags", "TEXT", "of all its requests, name=value, for spend reports")

struct keys_fields {
#define X(field, option, value, help) const char *field;
    KEYS_FIELDS(X)
#undef X
};
/* One line of a command's table, by X, whose struct has its fields `fields`. */
#define KEYS_FIELD(type, field, option, value_, help_)                                   \
    { .name = option,                                                                    \
      .kind = OPTION_TEXT,                                                               \
      .value = value_,                                                                   \
      .help = help_,                                                                     \
      .offset = offsetof(type, fields) + offsetof(struct keys_fields, field) },

/* Changes *key by the options that were given, "none" takes away. Texts live in the reader,
 * which the caller zeroes and whose scratch he releases. */
NODISCARD enum fault_err keys_apply(struct key_reader *reader,
                                    const struct keys_fields *fields,
                                    struct key_file_error *error, struct fault *fault);
bool keys_any(const struct keys_fields *fields);

/* -- showing -- */

/* "active", "expired" or "revoked". */
const char *keys_state(const struct key *key, int64_t now_us);
/* All of it but the hashes. The caller's reference. */
json_t *keys_json(const struct key *key, int64_t now_us);

#endif
