/* price.h - what a request may cost, will probably cost, and did cost, in pico-USD.
 *
 * Prices change by date and by the length of a prompt (config.h). A worst case is the dearest
 * of all rates that can come to hold: of every price in force between the beginning of the
 * request and its deadline, of every tier that the bound on the prompt reaches, and of input,
 * cached and written tokens, output and reasoning the dearer ones. An expectation and a
 * settlement take the price of the moment at which the call begins.
 *
 *     tokens   0 ............ 200000 ........... bound
 *     tier       | tier 0 at most | tier 1 at the bound |      worst = the dearer of both
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
/* A template that knows tools explains how to call them, and prints them with line ends and
 * indentation. */
#define PRICE_TOOLS_OVERHEAD 512
#define PRICE_TOOLS_TIMES    2

#define PRICE_NO_LIMIT       MONEY_NONE /* of price_trim: any output fits */

/* When a call takes place: its beginning and its latest end, in seconds of wall time. */
struct price_span {
    int64_t from_s, until_s;
};

/* The price in force at that time. */
const struct config_price *price_at(const struct config_prices *prices, int64_t at_s);
/* Its rates for a prompt of so many tokens. */
const struct config_rates *price_rates(const struct config_price *price, int64_t tokens);

/* Upper bound of the prompt's tokens at this expert: serialised bytes plus overhead,
 * images by its setting. MONEY_NONE: there is no bound. */
int64_t price_prompt_bound(const struct config_generator *generator,
                           const struct chat_request *chat);
/* The same where the expert's tokenizer says how many tokens the messages have: in the place
 * of their bytes, and never more than those. Tools and the like stay bounded by bytes, and
 * overheads are added, since the tokenizer may not have seen them. counted 0: it says
 * nothing. */
int64_t price_prompt_counted(const struct config_generator *generator,
                             const struct chat_request *chat, int64_t counted);
/* Expected prompt tokens: a quarter of the bytes plus a little for the template. */
int64_t price_prompt_expected(const struct config_generator *generator,
                              const struct chat_request *chat);
/* Rates of a prompt of expected length at that time. */
const struct config_rates *price_expected_rates(const struct config_generator *generator,
                                                const struct chat_request *chat,
                                                int64_t at_s);

/* The output limit an answer has at this expert: the lowest of the client's limit,
 * `policy` (0: none) and the model's own cap; 0: there is none. */
int64_t price_output_limit(const struct config_generator *generator,
                           const struct chat_request *chat, int64_t policy_tokens);

/* Upper bound of one attempt: request fee, prompt bound, and n answers of output_limit
 * tokens each (0: no limit, so no bound). MONEY_NONE: not bounded. Free experts: 0. */
int64_t price_worst(const struct config_generator *generator,
                    const struct chat_request *chat, struct price_span span,
                    int64_t output_limit);

/* The same with another bound on the prompt, price_prompt_counted's. */
int64_t price_worst_of(const struct config_generator *generator,
                       const struct chat_request *chat, int64_t prompt_tokens,
                       struct price_span span, int64_t output_limit);

/* The largest output limit <= output_limit (0: any) whose worst case is at most
 * ceiling_pico; 0: not even one token fits, or there is no bound on the prompt.
 * PRICE_NO_LIMIT: output_limit is 0 and none is needed (output is free, or there is no
 * ceiling). */
int64_t price_trim(const struct config_generator *generator,
                   const struct chat_request *chat, struct price_span span,
                   int64_t output_limit, int64_t ceiling_pico);

int64_t price_trim_of(const struct config_generator *generator,
                      const struct chat_request *chat, int64_t prompt_tokens,
                      struct price_span span, int64_t output_limit, int64_t ceiling_pico);

/* Prompt's expected price with the fee per request; without the output. */
int64_t price_prompt_pico(const struct config_generator *generator,
                          const struct chat_request *chat, int64_t at_s);

/* The cost by reported usage. usage->known must hold. */
int64_t price_settle(const struct config_price *price, const struct usage *usage);

/* One call of an embedder with a text of that many bytes: bounded (a token is at least a
 * byte) and expected (a quarter); and by reported tokens. */
int64_t price_embedding_worst(const struct config_embedding *embedding,
                              struct price_span span, size_t text_bytes);
int64_t price_embedding_expected(const struct config_embedding *embedding, int64_t at_s,
                                 size_t text_bytes);
int64_t price_embedding_settle(const struct config_embedding *embedding, int64_t at_s,
                               int64_t tokens);

#endif
