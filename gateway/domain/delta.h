/* delta.h - what one event of a chat completion stream carries; of other APIs: native.h.
 *
 * The commit point hangs on `content`: true for whatever a client would miss: text, a
 * reasoning, refusal or tool call delta, a finish reason, any unknown field that is not
 * null or empty. False for role only or empty deltas, bare usage, comments. Pure; any
 * thread.
 */
#ifndef GATEWAY_DOMAIN_DELTA_H
#define GATEWAY_DOMAIN_DELTA_H

#include <sys/uio.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/arena.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/usage.h"

struct delta {
    bool valid;       /* [DONE], or a JSON object */
    bool done;        /* [DONE] */
    bool content;     /* see above */
    bool finished;    /* a choice has a finish_reason */
    bool has_choices; /* `choices` is not empty */
    bool has_usage;   /* a `usage` that is not null */
    bool is_error; /* a top-level `error` that is not null: the expert failed in-band */
    struct usage usage;   /* when has_usage; may still be unknown */
    struct str usage_raw; /* of native.h: where the cost is to be written, or empty */
    int64_t sequence;     /* of native.h: the next event's number; 0: not said */
    size_t output_bytes;  /* of all strings in the deltas: an estimate for a cut stream */
    struct str error;     /* raw JSON of `error` */
    struct usage_names names;
    int64_t created;  /* 0: not said */
    int error_status; /* error.code or error.status where it is an HTTP status; else 0 */
};

struct delta delta_read(struct str data);

/* Is this the extra usage chunk (usage and no choices), which a client who did not ask
 * for usage must not see? */
bool delta_is_usage_chunk(const struct delta *delta);

/* The chunk without its top-level `usage` member, for a client who did not ask; data must
 * be a valid delta. At most 2 pieces, borrowed from data. */
void delta_strip_usage(struct str data, struct iovec ret_pieces[2], size_t *ret_n);

#endif
