/* record_query.h - what a client asks of the records: the parameters of GET /v1/decisions,
 * and the body of POST /v1/decisions/{id}/feedback.
 *
 *   record_query_init(&query)
 *   for every parameter:   record_query_take(&query, name, value, now, &error)
 *   once:                  record_query_end(&query, &error)
 *
 * A parameter that is unknown, repeated or unparsable is a 400 that names it. Texts are
 * borrowed from the values. Pure; one thread.
 */
#ifndef GATEWAY_DOMAIN_RECORD_QUERY_H
#define GATEWAY_DOMAIN_RECORD_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/api_error.h"

#define RECORD_QUERY_LIMIT     50  /* decisions on a page, unless the client says */
#define RECORD_QUERY_LIMIT_MAX 500 /* at most */
#define RECORD_QUERY_TEXT_MAX  256 /* bytes of a value */

/* X(name, key, help) */
#define RECORD_PARAMS(X)                                                                 \
    X(SINCE, "since",                                                                    \
      "not older: 2026-01-31, 2026-01-31T12:00:00Z, seconds since 1970, or 15m, 24h, "   \
      "7d ago")                                                                          \
    X(UNTIL, "until", "older; the same forms")                                           \
    X(EXPERT, "expert", "chosen expert")                                                 \
    X(POLICY, "policy", "policy of the request")                                         \
    X(KEY, "key", "id of the key; admin listener only")                                  \
    X(TAG, "tag", "name=value")                                                          \
    X(LIMIT, "limit", "decisions on a page, 1 to 500")                                   \
    X(BEFORE, "before", "id: the page of those older than it, newest first")             \
    X(AFTER, "after", "id: the page of those newer than it, oldest first")               \
    X(REQUEST_ID, "request_id", "with this x-request-id")                                \
    X(RESPONSE_ID, "response_id", "whose answer has this id")

enum record_param {
#define X(name, key, help) RECORD_##name,
    RECORD_PARAMS(X)
#undef X
        RECORD_PARAM_COUNT
};

struct record_query {
    unsigned given;             /* bit p: parameter p was given */
    int64_t since_us, until_us; /* wall time; 0: no bound */
    struct str expert, policy, key, tag_name, tag_value;
    struct str before, after, request_id, response_id;
    int64_t limit;
};

void record_query_init(struct record_query *query);
bool record_query_given(const struct record_query *query, enum record_param param);
/* now_us: wall time, for what is said relative to it. */
NODISCARD enum api_err record_query_take(struct record_query *query, struct str name,
                                         struct str value, int64_t now_us,
                                         struct api_error *error);
/* What does not go together. */
NODISCARD enum api_err record_query_end(const struct record_query *query,
                                        struct api_error *error);

/* "2026-01-31", "2026-01-31T12:00:00Z", "1769860800", "24h" into wall time; INVALID. */
NODISCARD enum err record_query_time(struct str text, int64_t now_us, int64_t *ret_us);

/* How good an answer was. */
struct record_feedback {
    double score;  /* 0..1 */
    double weight; /* above 0, at most 1: how sure that is; 1 where absent */
};
/* body: the whole body. */
NODISCARD enum api_err record_feedback_read(struct str body,
                                            struct record_feedback *ret_feedback,
                                            struct api_error *error);

#endif
