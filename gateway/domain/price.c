/* price.c - sums of money over tokens, which saturate upwards. */
#include "gateway/domain/price.h"

#include <assert.h>

/* count tokens at a price; what costs nothing costs nothing even without a bound. */
static int64_t cost_of(int64_t count, int64_t pico)
{
    return pico == 0 ? 0 : money_mul(pico, count);
}

static int64_t count_add(int64_t count, int64_t more, int64_t times)
{
    return money_add(count, money_mul(more, times)); /* tokens saturate like money */
}

static int64_t lower(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t price_prompt_bound(const struct config_generator *generator,
                           const struct chat_request *chat)
{
    int64_t bound;

    if (generator->prompt_bound == CONFIG_BOUND_NONE || chat->n_other_media > 0)
        return MONEY_NONE;
    if (chat->n_images > 0 && generator->image_tokens == 0)
        return MONEY_NONE;
    bound = count_add(PRICE_REQUEST_OVERHEAD, (int64_t)chat->prompt_bytes, 1);
    bound = count_add(bound, PRICE_MESSAGE_OVERHEAD, (int64_t)chat->n_messages);
    bound = count_add(bound, generator->image_tokens, (int64_t)chat->n_images);
    /* A prompt longer than the context is refused upstream, not billed. */
    return generator->context_tokens > 0 ? lower(bound, generator->context_tokens)
                                         : bound;
}

int64_t price_prompt_expected(const struct config_generator *generator,
                              const struct chat_request *chat)
{
    int64_t tokens = usage_estimate_tokens(chat->prompt_bytes);

    tokens = count_add(tokens, 4, (int64_t)chat->n_messages);
    return count_add(tokens, generator->image_tokens, (int64_t)chat->n_images);
}

int64_t price_output_limit(const struct config_generator *generator,
                           const struct chat_request *chat, int64_t policy_tokens)
{
    const int64_t limits[] = { chat->output_limit, policy_tokens,
                               generator->max_output_tokens };
    int64_t lowest = 0;

    for (size_t i = 0; i < ARRAY_LEN(limits); i++)
        if (limits[i] > 0 && (lowest == 0 || limits[i] < lowest))
            lowest = limits[i];
    return lowest;
}

int64_t price_worst(const struct config_generator *generator,
                    const struct chat_request *chat, int64_t output_limit)
{
    const struct config_price *price = &generator->price;
    int64_t prompt_pico, output;

    if (price->free)
        return 0;
    /* Cached tokens may be dearer where someone says so. */
    prompt_pico = price->input_pico > price->cached_input_pico ? price->input_pico
                                                               : price->cached_input_pico;
    output = output_limit > 0 ? money_mul(output_limit, chat->n) : MONEY_NONE;
    return money_add(money_add(price->request_pico,
                               cost_of(price_prompt_bound(generator, chat), prompt_pico)),
                     cost_of(output, price->output_pico));
}

int64_t price_trim(const struct config_generator *generator,
                   const struct chat_request *chat, int64_t output_limit,
                   int64_t ceiling_pico)
{
    int64_t each = money_mul(generator->price.output_pico, chat->n);
    int64_t any = output_limit > 0 ? output_limit : PRICE_NO_LIMIT;
    int64_t fixed, limit;

    if (generator->price.free || ceiling_pico == MONEY_NONE)
        return any;
    /* One token's worst case, less that token: what does not depend on the limit. */
    fixed = price_worst(generator, chat, 1);
    if (fixed == MONEY_NONE || fixed > ceiling_pico)
        return 0;
    if (each == 0)
        return any;
    fixed -= each;
    limit = (ceiling_pico - fixed) / each;
    assert(limit >= 1);
    return lower(limit, any);
}

int64_t price_prompt_pico(const struct config_generator *generator,
                          const struct chat_request *chat)
{
    return money_add(
        generator->price.request_pico,
        cost_of(price_prompt_expected(generator, chat), generator->price.input_pico));
}

int64_t price_settle(const struct config_price *price, const struct usage *usage)
{
    int64_t pico = price->request_pico;

    assert(usage->known && usage->cached_tokens <= usage->input_tokens);
    pico = money_add(
        pico, cost_of(usage->input_tokens - usage->cached_tokens, price->input_pico));
    pico = money_add(pico, cost_of(usage->cached_tokens, price->cached_input_pico));
    return money_add(pico, cost_of(usage->output_tokens, price->output_pico));
}

int64_t price_embedding_worst(const struct config_embedding *embedding, size_t text_bytes)
{
    int64_t tokens = count_add(PRICE_MESSAGE_OVERHEAD, (int64_t)text_bytes, 1);

    return cost_of(tokens, embedding->input_pico);
}

int64_t price_embedding_expected(const struct config_embedding *embedding,
                                 size_t text_bytes)
{
    return cost_of(usage_estimate_tokens(text_bytes), embedding->input_pico);
}

int64_t price_embedding_settle(const struct config_embedding *embedding, int64_t tokens)
{
    assert(tokens >= 0);
    return cost_of(tokens, embedding->input_pico);
}
