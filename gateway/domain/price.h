/* price.h - what a request may cost, will probably cost, and did cost, in pico-USD.
 *
 * All sums saturate at MONEY_NONE (money.h): too large or unknown is never cheap.
 * Pure; any thread.
 */
#ifndef GATEWAY_DOMAIN_PRICE_H
#define GATEWAY_DOMAIN_PRICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/money.h"
#include "gateway/domain/chat.h"
#include "gateway/domain/config.h"
#include "gateway/domain/usage.h"

#define PRICE_MESSAGE_OVERHEAD 16 /* tokens a chat template adds per message, at most */
#define PRICE_REQUEST_OVERHEAD 64 /* and per request */

#define PRICE_NO_LIMIT         MONEY_NONE /* of price_trim: any output fits */

/* Upper bound of the prompt's tokens at this expert: serialised bytes plus overhead,
 * images by its setting. MONEY_NONE: there is no bound. */
int64_t price_prompt_bound(const struct config_generator *generator,
                           const struct chat_request *chat);
/* Expected prompt tokens: a quarter of the bytes plus a little for the template. */
int64_t price_prompt_expected(const struct config_generator *generator,
                              const struct chat_request *chat);

/* The output limit an answer has at this expert: the lowest of the client's limit,
 * `policy` (0: none) and the model's own cap; 0: there is none. */
int64_t price_output_limit(const struct config_generator *generator,
                           const struct chat_request *chat, int64_t policy_tokens);

/* Upper bound of one attempt: request fee, prompt bound, and n answers of output_limit
 * tokens each (0: no limit, so no bound). MONEY_NONE: not bounded. Free experts: 0. */
int64_t price_worst(const struct config_generator *generator,
                    const struct chat_request *chat, int64_t output_limit);

/* The largest output limit <= output_limit (0: any) whose worst case is at most
 * ceiling_pico; 0: not even one token fits, or there is no bound on the prompt.
 * PRICE_NO_LIMIT: output_limit is 0 and none is needed (output is free, or there is no
 * ceiling). */
int64_t price_trim(const struct config_generator *generator,
                   const struct chat_request *chat, int64_t output_limit,
                   int64_t ceiling_pico);

/* Prompt's expected price with the fee per request; without the output. */
int64_t price_prompt_pico(const struct config_generator *generator,
                          const struct chat_request *chat);

/* The cost by reported usage. usage->known must hold. */
int64_t price_settle(const struct config_price *price, const struct usage *usage);

/* One call of an embedder with a text of that many bytes: bounded (a token is at least a
 * byte) and expected (a quarter); and by reported tokens. */
int64_t price_embedding_worst(const struct config_embedding *embedding,
                              size_t text_bytes);
int64_t price_embedding_expected(const struct config_embedding *embedding,
                                 size_t text_bytes);
int64_t price_embedding_settle(const struct config_embedding *embedding, int64_t tokens);

#endif
