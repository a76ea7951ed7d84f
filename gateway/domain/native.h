/* native.h - Responses and Messages, to and from experts that speak these APIs themselves.
 *
 *   native_request(&native, shape, &chat, &scan, body)    beside its translation; chat_splice
 *   native_read(shape, data, &tally)                      an event of a stream, as a delta
 *   native_answer(shape, body, &answer)                   an answer in one piece
 *
 *   client --scan--> as it came ----> chat_splice ----> expert's /responses, /messages
 *             |                                             |
 *             +--> translated: decided and priced           +--> relay: held, counted, priced
 *
 * What is decided (routing text, expected price, abilities) is read from the translation, so
 * it is the same for all experts; what is sent and what it may cost at most is read from the
 * request as it came. Of an answer only the final usage is changed: it gets the cost.
 * Pure; any thread.
 */
#ifndef GATEWAY_DOMAIN_NATIVE_H
#define GATEWAY_DOMAIN_NATIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/chat.h"
#include "gateway/domain/delta.h"
#include "gateway/domain/scan.h"
#include "gateway/domain/usage.h"

/* One of the two shapes below. */
bool native_is(enum chat_shape shape);

/* chat: its translation. scan and body: of the request as it came; *borrowed* as chat's. */
void native_request(struct chat_request *native, enum chat_shape shape,
                    const struct chat_request *chat, const struct scan *scan,
                    struct str body);

/* For chat_extras: the first thing in the body, a scanned one, that may have a price of its own
 * and that its translation does not show; NULL: nothing. ret_marks: it marks what a cache is to
 * keep. */
const char *native_unpriced(struct str body, bool *ret_marks);

/* What the events of one stream have said of its usage, which Messages tell in two of them:
 * the prompt at the beginning, the answer at the end. Starts zeroed. */
struct native_tally {
    int64_t input, cache_read, cache_written, output;
    bool has_input, has_output, absurd;
};

/* content, finished, done, usage, error and names as in delta.h; usage_raw where the cost is
 * to be written. An event of a type that is not known is content. */
struct delta native_read(enum chat_shape shape, struct str data,
                         struct native_tally *tally);

/* False: the body is no JSON object. has_choices: it is an answer of this API. */
NODISCARD bool native_answer(enum chat_shape shape, struct str body,
                             struct usage_answer *ret_answer);

#endif
