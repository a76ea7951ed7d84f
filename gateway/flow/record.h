/* record.h - the story of one exchange: what was decided and why, what was done, what it
 * cost. One renderer for POST /v1/route, for x-frugal-explain and for the stored record.
 *
 *   struct record record = { .order = .., .decision = .., ... };    all borrowed
 *   record_decision(&record, &out)     the decision alone, as a JSON object
 *   record_whole(&record, &out)        the same object with what came of it
 *
 * What is not known is null, never 0. Neighbours are calibration rows and carry their ids,
 * never their text. Text of the prompt and its vectors are written only where they are
 * given. Pure; any thread that may read what it points to. openapi.yaml has the object,
 * member by member.
 */
#ifndef GATEWAY_FLOW_RECORD_H
#define GATEWAY_FLOW_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/base/str.h"
#include "gateway/domain/api_error.h"
#include "gateway/domain/frugal_headers.h"
#include "gateway/domain/reason.h"
#include "gateway/domain/usage.h"
#include "gateway/flow/attempt.h"
#include "gateway/flow/decision.h"
#include "gateway/flow/order.h"
#include "gateway/flow/purse.h"
#include "gateway/flow/snapshot.h"
#include "gateway/flow/stay.h"

#define RECORD_MESSAGES (64u << 10) /* bytes of kept messages: longer ones are not kept */
#define RECORD_BYTES    (2u << 20)  /* of one record: what is longer is not kept */

/* One call of an expert, kept when it is over; in the exchange's arena. */
struct record_attempt {
    struct record_attempt *next;
    size_t expert;                 /* of the configuration */
    const char *path;              /* asked at its endpoint: which API it was asked in */
    const char *end;               /* how it ended: a word of ATTEMPT_ENDS, or finer */
    unsigned status;               /* HTTP; 0: none came */
    const char *error;             /* NULL: it answered */
    bool sent;                     /* it may have reached the expert */
    const char *expert_request_id; /* may be empty */
    uint32_t adapted;              /* bit i: rule i of its dialect was applied */
    int64_t began_us;              /* after the request was accepted */
    uint64_t head_us, first_byte_us, done_us; /* after it began; 0: not reached */
    int64_t spent_pico;                       /* what it is believed to have cost */
};

struct record {
    /* what was decided; borrowed, as all here */
    const struct snapshot *snapshot;
    const struct order *order;
    const struct decision *decision;
    const struct purse *purse;
    const struct frugal_options *options;
    const struct stay *stay; /* its conversation */
    struct str decision_id, request_id;
    struct str key;   /* id of the key; empty: none */
    struct str model; /* what the client asked for */
    int chosen;       /* in the plan; -1: nobody could be */
    bool decided;     /* false: it ended before; the reason and the ranking are void */
    enum reason reason;
    struct order_terms terms; /* of who was chosen */
    int64_t remaining_pico;   /* in the purse when it was chosen */

    /* what came of it; record_whole only */
    const char *route; /* "chat", "responses"...; "route": no expert was asked */
    bool stream;
    const struct record_attempt *attempts; /* in their order */
    struct usage usage;                    /* of the answer */
    struct usage_names names;
    int64_t generation_pico;
    bool answered;  /* an expert's answer was complete */
    bool estimated; /* some cost is */
    unsigned status;
    bool left;                     /* the client was gone before the end */
    const struct api_error *error; /* code OK: none */
    int64_t at_us;                 /* accepted; wall time */
    int64_t first_us, total_us;    /* after it was accepted; first 0: no answer began */

    size_t neighbours_max; /* how many are written */
    struct str prompt;     /* the routing text, where prompts are kept */
    struct str
        messages; /* ... and the messages, a valid JSON array; empty: they are long */
    bool vectors; /* told vectors are kept */
};

void record_decision(const struct record *record, struct buf *out);
void record_whole(const struct record *record, struct buf *out);

/* What the same request would have cost with one expert for everything and no router:
 *   best      the allowed expert with the highest mean quality in the bundle
 *   cheapest  the allowed expert with the lowest expected price of this request
 * By the tokens of the answer that was given where there is one: input as reported, output
 * as reported, times how much longer or shorter the baseline's answers are predicted to be
 * than those of the expert that gave it. Who named the expert had no choice to
 * save by, and what brought no answer saved nothing: both are then what the generation
 * cost. MONEY_NONE: not known. */
struct record_baseline {
    int expert; /* of the configuration; -1: there is none */
    int64_t pico;
};
struct record_baselines {
    struct record_baseline best, cheapest;
};
struct record_baselines record_baselines(const struct record *record);

/* Adds {"team":"search"}, or nothing where there are no tags. */
void record_tags(const struct frugal_options *options, struct buf *out);

#endif
