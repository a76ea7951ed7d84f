/* frugal_headers.h - what a client asks of the router: x-frugal-* headers and the
 * `frugal` object of the body.
 *
 *   struct frugal_options options;
 *   frugal_options_init(&options);
 *   for every request header:
 *       frugal_options_header(&options, name, value, arena, &error)
 *   once, when parsed:
 *       frugal_options_body(&options, chat.frugal, arena, &error)
 *
 * Of header and body the stricter holds: the lower budget, value and deadline, the higher
 * lambda and min_quality, reject over downgrade over trim, the experts in both lists; tags
 * of both are put together and may not contradict each other. One
 * source gives either value or lambda, never both. An
 * unknown, repeated or unparsable option is a 400 that names it, so that a mistyped
 * ceiling does not vanish. Headers that do not begin with x-frugal-, and x-frugal-fwd-*,
 * are none of ours and pass. One thread.
 */
#ifndef GATEWAY_DOMAIN_FRUGAL_HEADERS_H
#define GATEWAY_DOMAIN_FRUGAL_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/arena.h"
#include "gateway/base/err.h"
#include "gateway/base/money.h"
#include "gateway/base/str.h"
#include "gateway/domain/api_error.h"
#include "gateway/domain/config.h"

/* X(name, key in the body, help). The header is x-frugal- and the key with dashes. */
#define FRUGAL_OPTIONS(X)                                                                \
    X(BUDGET_USD, "budget_usd", "ceiling of all that the request may cost")              \
    X(ON_BUDGET, "on_budget",                                                            \
      "trim, downgrade or reject when the ceiling cannot be met")                        \
    X(VALUE_USD, "value_usd", "what one right answer is worth")                          \
    X(LAMBDA, "lambda", "quality per USD: 1 / value_usd")                                \
    X(MIN_QUALITY, "min_quality", "least predicted quality, 0 to 1")                     \
    X(DEADLINE_MS, "deadline_ms", "of the whole request")                                \
    X(EXPERTS, "experts", "allowed experts, separated by commas")                        \
    X(CONVERSATION_ID, "conversation_id", "requests that belong together")               \
    X(EXPLAIN, "explain", "true: the decision in the answer's cost details")             \
    X(TAGS, "tags", "name=value for spend reports, separated by commas")

enum frugal_option {
#define X(name, key, help) FRUGAL_##name,
    FRUGAL_OPTIONS(X)
#undef X
        FRUGAL_OPTION_COUNT
};

#define FRUGAL_MAX_CONVERSATION 128 /* bytes of a conversation id */
#define FRUGAL_MAX_TAGS         8   /* of a request, and of a key */
#define FRUGAL_MAX_TAG_NAME     32  /* bytes; letters, digits, - _ . */
#define FRUGAL_MAX_TAG_VALUE    64  /* bytes; visible ASCII but for , and = */

struct frugal_options {
    unsigned given;      /* bit o: option o was given in header or body */
    int64_t budget_pico; /* MONEY_NONE: not given */
    enum config_on_budget on_budget;
    double lambda; /* of lambda and value_usd the stricter; valid when either was
                      given: see frugal_has_lambda */
    double min_quality;
    int64_t deadline_ms;
    size_t n_experts;          /* allow list, when EXPERTS was given; may be empty */
    const struct str *experts; /* in the arena; names are not yet looked up */
    struct str conversation_id;
    bool explain;
    size_t n_tags; /* of header and body together, sorted by name */
    struct frugal_tag {
        struct str name, value; /* in the arena */
    } tags[2 * FRUGAL_MAX_TAGS];

    unsigned in_header, in_body; /* private: what each source gave */
};

void frugal_options_init(struct frugal_options *options);
bool frugal_option_given(const struct frugal_options *options, enum frugal_option option);
bool frugal_has_lambda(const struct frugal_options *options);

/* name in any case; name and value are copied where kept. */
NODISCARD enum api_err frugal_options_header(struct frugal_options *options,
                                             struct str name, struct str value,
                                             struct arena *arena,
                                             struct api_error *error);
/* object: raw JSON of `frugal`; empty: nothing to do. */
NODISCARD enum api_err frugal_options_body(struct frugal_options *options,
                                           struct str object, struct arena *arena,
                                           struct api_error *error);

/* Adds the tags of a key, "team=search,env=prod"; they stand in the place of the request's
 * own of the same name, so that nobody books on another's account. What is no tag is left
 * out, and so is what is one too many. Borrowed. */
void frugal_options_key_tags(struct frugal_options *options, struct str tags);

/* The allow list as a mask over config->experts; all bits where none was given. An
 * unknown name is a 400 that names it. */
NODISCARD enum api_err frugal_options_mask(const struct frugal_options *options,
                                           const struct config *config,
                                           uint64_t *ret_mask, struct api_error *error);

#endif
