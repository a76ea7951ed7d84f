/* price.c - sums of money over tokens, which saturate upwards. */
#include "gateway/domain/price.h"

#include <assert.h>

/* count tokens at a rate; what costs nothing costs nothing even without a bound. */
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

static int64_t higher(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* -- which rates hold -------------------------------------------------------------------- */

static size_t in_force(const struct config_prices *prices, int64_t at_s)
{
    size_t i = 0;

    assert(prices->n > 0);
    while (i + 1 < prices->n && prices->list[i + 1].from_s <= at_s)
        i++;
    return i;
}

const struct config_price *price_at(const struct config_prices *prices, int64_t at_s)
{
    return &prices->list[in_force(prices, at_s)];
}

const struct config_rates *price_rates(const struct config_price *price, int64_t tokens)
{
    size_t i = 0;

    assert(price->n_tiers > 0);
    while (i + 1 < price->n_tiers && price->tiers[i + 1].above_tokens < tokens)
        i++;
    return &price->tiers[i].rates;
}

/* Rates that can come to hold for a prompt of at most `bound` tokens, with the tokens that it
 * can then have. */
struct reach {
    size_t n;
    struct {
        const struct config_rates *rates;
        int64_t tokens;
    } list[CONFIG_MAX_PRICES * CONFIG_MAX_TIERS];
};

static void reach_of(const struct config_prices *prices, struct price_span span,
                     int64_t bound, struct reach *reach)
{
    size_t last = in_force(prices, higher(span.from_s, span.until_s));

    reach->n = 0;
    for (size_t p = in_force(prices, span.from_s); p <= last; p++) {
        const struct config_price *price = &prices->list[p];

        for (size_t t = 0; t < price->n_tiers; t++) {
            int64_t tokens = bound;

            if (t > 0 && price->tiers[t].above_tokens >= bound)
                break;
            if (t + 1 < price->n_tiers)
                tokens = lower(bound, price->tiers[t + 1].above_tokens);
            reach->list[reach->n].rates = &price->tiers[t].rates;
            reach->list[reach->n++].tokens = tokens;
        }
    }
}

/* Fee and prompt in the dearest way. */
static int64_t worst_prompt(const struct config_rates *rates, int64_t tokens)
{
    int64_t pico = higher(rates->input_pico,
                          higher(rates->cached_input_pico, rates->cache_write_pico));

    return money_add(rates->request_pico, cost_of(tokens, pico));
}

static int64_t worst_output(const struct config_rates *rates)
{
    return higher(rates->output_pico, rates->reasoning_pico);
}

/* -- chat -------------------------------------------------------------------------------- */

int64_t price_prompt_counted(const struct config_generator *generator,
                             const struct chat_request *chat, int64_t counted)
{
    int64_t bytes = (int64_t)chat->prompt_bytes, messages = (int64_t)chat->message_bytes;
    int64_t bound;

    assert(counted >= 0);
    if (counted > 0 && counted < messages && messages <= bytes)
        bytes -= messages - counted;

    if (generator->prompt_bound == CONFIG_BOUND_NONE || chat->n_other_media > 0)
        return MONEY_NONE;
    if (chat->n_images > 0 && generator->image_tokens == 0)
        return MONEY_NONE;
    bound = count_add(generator->template_tokens, bytes, 1);
    bound = count_add(bound, (int64_t)chat->tools_bytes, PRICE_TOOLS_TIMES - 1);
    bound = count_add(bound, (int64_t)generator->adapt.set.n, 1);
    bound = count_add(bound, PRICE_TOOLS_OVERHEAD, chat->tools_bytes > 0);
    bound = count_add(bound, PRICE_MESSAGE_OVERHEAD, (int64_t)chat->n_messages);
    bound = count_add(bound, generator->image_tokens, (int64_t)chat->n_images);
    /* A prompt longer than the context is refused upstream, not billed; of several each. */
    if (generator->context_tokens == 0)
        return bound;
    if (chat->shape == CHAT_PROMPT || chat->shape == CHAT_INPUT)
        return lower(bound,
                     money_mul(generator->context_tokens, (int64_t)chat->n_messages));
    return lower(bound, generator->context_tokens);
}

int64_t price_prompt_bound(const struct config_generator *generator,
                           const struct chat_request *chat)
{
    return price_prompt_counted(generator, chat, 0);
}

int64_t price_prompt_expected(const struct config_generator *generator,
                              const struct chat_request *chat)
{
    int64_t tokens = usage_estimate_tokens(chat->prompt_bytes);

    tokens = count_add(tokens, 4, (int64_t)chat->n_messages);
    return count_add(tokens, generator->image_tokens, (int64_t)chat->n_images);
}

const struct config_rates *price_expected_rates(const struct config_generator *generator,
                                                const struct chat_request *chat,
                                                int64_t at_s)
{
    return price_rates(price_at(&generator->prices, at_s),
                       price_prompt_expected(generator, chat));
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

int64_t price_worst_of(const struct config_generator *generator,
                       const struct chat_request *chat, int64_t prompt_tokens,
                       struct price_span span, int64_t output_limit)
{
    int64_t output = output_limit > 0 ? money_mul(output_limit, chat->n) : MONEY_NONE;
    int64_t worst = 0;
    struct reach reach;

    reach_of(&generator->prices, span, prompt_tokens, &reach);
    for (size_t i = 0; i < reach.n; i++) {
        const struct config_rates *rates = reach.list[i].rates;
        int64_t pico = money_add(worst_prompt(rates, reach.list[i].tokens),
                                 cost_of(output, worst_output(rates)));

        worst = higher(worst, pico);
    }
    return worst;
}

int64_t price_worst(const struct config_generator *generator,
                    const struct chat_request *chat, struct price_span span,
                    int64_t output_limit)
{
    return price_worst_of(generator, chat, price_prompt_bound(generator, chat), span,
                          output_limit);
}

int64_t price_trim_of(const struct config_generator *generator,
                      const struct chat_request *chat, int64_t prompt_tokens,
                      struct price_span span, int64_t output_limit, int64_t ceiling_pico)
{
    int64_t limit = output_limit > 0 ? output_limit : PRICE_NO_LIMIT;
    struct reach reach;

    if (ceiling_pico == MONEY_NONE)
        return limit;
    reach_of(&generator->prices, span, prompt_tokens, &reach);
    for (size_t i = 0; i < reach.n; i++) {
        const struct config_rates *rates = reach.list[i].rates;
        int64_t fixed = worst_prompt(rates, reach.list[i].tokens);
        int64_t each = money_mul(worst_output(rates), chat->n);

        if (fixed == MONEY_NONE || money_add(fixed, each) > ceiling_pico)
            return 0;
        if (each > 0)
            limit = lower(limit, (ceiling_pico - fixed) / each);
    }
    assert(limit >= 1);
    return limit;
}

int64_t price_trim(const struct config_generator *generator,
                   const struct chat_request *chat, struct price_span span,
                   int64_t output_limit, int64_t ceiling_pico)
{
    return price_trim_of(generator, chat, price_prompt_bound(generator, chat), span,
                         output_limit, ceiling_pico);
}

int64_t price_prompt_pico(const struct config_generator *generator,
                          const struct chat_request *chat, int64_t at_s)
{
    const struct config_rates *rates = price_expected_rates(generator, chat, at_s);

    return money_add(rates->request_pico,
                     cost_of(price_prompt_expected(generator, chat), rates->input_pico));
}

int64_t price_settle(const struct config_price *price, const struct usage *usage)
{
    const struct config_rates *rates = price_rates(price, usage->input_tokens);
    int64_t plain_input =
        usage->input_tokens - usage->cached_tokens - usage->cache_write_tokens;
    int64_t plain_output = usage->output_tokens - usage->reasoning_tokens;
    int64_t pico = rates->request_pico;

    assert(usage->known && plain_input >= 0 && plain_output >= 0);
    pico = money_add(pico, cost_of(plain_input, rates->input_pico));
    pico = money_add(pico, cost_of(usage->cached_tokens, rates->cached_input_pico));
    pico = money_add(pico, cost_of(usage->cache_write_tokens, rates->cache_write_pico));
    pico = money_add(pico, cost_of(plain_output, rates->output_pico));
    return money_add(pico, cost_of(usage->reasoning_tokens, rates->reasoning_pico));
}

/* -- embeddings -------------------------------------------------------------------------- */

int64_t price_embedding_worst(const struct config_embedding *embedding,
                              struct price_span span, size_t text_bytes)
{
    int64_t tokens = count_add(PRICE_MESSAGE_OVERHEAD, (int64_t)text_bytes, 1);
    struct reach reach;
    int64_t worst = 0;

    reach_of(&embedding->prices, span, tokens, &reach);
    for (size_t i = 0; i < reach.n; i++)
        worst = higher(worst, worst_prompt(reach.list[i].rates, reach.list[i].tokens));
    return worst;
}

int64_t price_embedding_expected(const struct config_embedding *embedding, int64_t at_s,
                                 size_t text_bytes)
{
    return price_embedding_settle(embedding, at_s, usage_estimate_tokens(text_bytes));
}

int64_t price_embedding_settle(const struct config_embedding *embedding, int64_t at_s,
                               int64_t tokens)
{
    const struct config_rates *rates =
        price_rates(price_at(&embedding->prices, at_s), tokens);

    assert(tokens >= 0);
    return money_add(rates->request_pico, cost_of(tokens, rates->input_pico));
}
