/* responses.h - OpenAI's Responses API, for experts that speak chat completions.
 *
 *   responses_request(body, &out, &error)      {"input":..,"instructions":..} -> a chat request
 *   responses_echo(body, &echo)                what an answer repeats of its request
 *   voice_init(&voice, &responses_voice, ..)   a chat answer -> a response, or its events
 *   responses_error_event(..)                  an error in a stream
 *
 * Nothing is stored: a request that builds on an earlier response (previous_response_id,
 * conversation) is refused by name. Which member becomes what: docs/internals/dialects.md.
 * Pure; any thread.
 */
#ifndef GATEWAY_DOMAIN_RESPONSES_H
#define GATEWAY_DOMAIN_RESPONSES_H

#include "gateway/base/buf.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/api_error.h"
#include "gateway/domain/voice.h"

struct retell_gap;

/* body: a scanned JSON object. out: born with the maximum of a request. gap: retell.h; NULL:
 * what cannot be translated is an error. */
NODISCARD enum api_err responses_request(struct str body, struct buf *out,
                                         struct retell_gap *gap, struct api_error *error);
/* Adds the members for voice_facts.echo; test echo->failed. */
void responses_echo(struct str body, struct buf *echo);

extern const struct voice_ops responses_voice;

/* sequence: of the stream's next event. */
void responses_error_event(const struct api_error *error, int64_t sequence,
                           struct buf *out);

#endif
