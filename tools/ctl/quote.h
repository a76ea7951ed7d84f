/* quote.h - what a question to an expert costs: at most, and probably. At the prices of now,
 * in pico-USD; MONEY_NONE: not bounded. Pure but for the clock. */
#ifndef TOOLS_CTL_QUOTE_H
#define TOOLS_CTL_QUOTE_H

#include <stdint.h>

#include "gateway/domain/chat.h"
#include "gateway/domain/config.h"

/* One call that begins now and takes as long as the expert may take. */
int64_t quote_worst(const struct config_expert *expert, const struct chat_request *chat);
/* One call with so many tokens in and out. */
int64_t quote_tokens(const struct config_expert *expert, int64_t input_tokens,
                     int64_t output_tokens);

#endif
