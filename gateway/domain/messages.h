/* messages.h - Anthropic's Messages API, for experts that speak chat completions.
 *
 *   messages_request(body, &out, &error)       {"system":..,"messages":[..]} -> a chat request
 *   voice_init(&voice, &messages_voice, ..)    a chat answer -> a message, or its events (voice.h)
 *   messages_error(&error, status, id, &out)   {"type":"error","error":{"type","message"}}
 *
 * Which member becomes what: docs/internals/dialects.md. Pure; any thread.
 */
#ifndef GATEWAY_DOMAIN_MESSAGES_H
#define GATEWAY_DOMAIN_MESSAGES_H

#include "gateway/base/buf.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/api_error.h"
#include "gateway/domain/voice.h"

struct retell_gap;

/* body: a scanned JSON object. out: born with the maximum of a request. gap: retell.h; NULL:
 * what cannot be translated is an error. */
NODISCARD enum api_err messages_request(struct str body, struct buf *out,
                                        struct retell_gap *gap, struct api_error *error);

extern const struct voice_ops messages_voice;

/* What Anthropic's clients expect instead of our status: 503 is 529. */
int messages_status(int status);
/* message: not JSON; status as it goes out. */
void messages_error(struct str message, int status, struct str request_id,
                    struct buf *out);

#endif
