/* quote.c - price.h for a call that is made now. */
#include "tools/ctl/quote.h"

#include "gateway/base/clock.h"
#include "gateway/domain/price.h"
#include "gateway/domain/usage.h"

int64_t quote_worst(const struct config_expert *expert, const struct chat_request *chat)
{
    const struct config_generator *generator = &expert->generator;
    int64_t now_s = clock_wall_s(&clock_system);
    struct price_span span = { now_s, now_s + expert->timeouts.total_ms / 1000 };

    return price_worst(generator, chat, span, price_output_limit(generator, chat, 0));
}

int64_t quote_tokens(const struct config_expert *expert, int64_t input_tokens,
                     int64_t output_tokens)
{
    struct usage usage = {
        .known = true,
        .input_tokens = input_tokens,
        .output_tokens = output_tokens,
    };
    int64_t now_s = clock_wall_s(&clock_system);

    return price_settle(price_at(&expert->generator.prices, now_s), &usage);
}
