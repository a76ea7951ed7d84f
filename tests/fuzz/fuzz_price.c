/* fuzz_price.c - amounts of money. Laws: parse, print, parse is stable; a price per million
 * tokens is that price; the limit that price_trim finds fits, and the next one does not;
 * no usage within the bounds costs more than the worst case. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "gateway/domain/price.h"

static void parse_print_parse(struct str text)
{
    char printed[MONEY_TEXT_BYTES];
    int64_t pico, again, each;

    if (money_parse(text, &pico) != ERR_OK)
        return;
    LAW(pico >= 0 && pico < MONEY_NONE);
    LAW(money_parse(str_of(money_format(pico, printed)), &again) == ERR_OK);
    LAW(pico == again);
    if (money_parse_per_million(text, &each) == ERR_OK)
        LAW(money_mul(each, 1000000) == pico);
}

/* Prices by date, each with tiers, out of whatever bytes there are. */
static void make_prices(const int64_t *v, struct config_price *list, size_t *ret_n)
{
    size_t n = 1 + (size_t)(v[6] % 3);

    for (size_t i = 0; i < n; i++) {
        list[i] = (struct config_price){ .from_s = i == 0 ? INT64_MIN : (int64_t)i * 100,
                                         .n_tiers = 1 + (size_t)(v[7] % 3) };
        for (size_t t = 0; t < list[i].n_tiers; t++) {
            int64_t mix = (v[(i + t) % 8] >> 8) % 1000;

            list[i].tiers[t].above_tokens = (int64_t)t * (1 + v[7] % 100000);
            list[i].tiers[t].rates = (struct config_rates){
                .input_pico = v[0] % 1000000000 * mix / 500,
                .cached_input_pico = v[1] % 1000000000,
                .cache_write_pico = v[2] % 1000000000,
                .output_pico = v[1] % 1000000000 * mix / 500,
                .reasoning_pico = v[0] % 1000000000,
                .request_pico = v[2] % 1000000000000,
            };
        }
    }
    *ret_n = n;
}

/* Nothing that can be reported within the bounds costs more than the worst case. */
static void worst_is_worst(const int64_t *v, const struct config_generator *generator,
                           const struct chat_request *chat, struct price_span span,
                           int64_t limit)
{
    int64_t bound = price_prompt_bound(generator, chat);
    struct usage usage = { .known = true };
    int64_t at_s = span.from_s + v[3] % (span.until_s - span.from_s + 1);

    usage.input_tokens = v[4] % (bound + 1);
    usage.cached_tokens = usage.input_tokens > 0 ? v[5] % (usage.input_tokens + 1) : 0;
    usage.cache_write_tokens = (usage.input_tokens - usage.cached_tokens) / 2;
    usage.output_tokens = v[6] % (limit * chat->n + 1);
    usage.reasoning_tokens = usage.output_tokens / 3;
    LAW(price_settle(price_at(&generator->prices, at_s), &usage) <=
        price_worst(generator, chat, span, limit));
}

static void trim_fits(const uint8_t *data, size_t n)
{
    int64_t v[8] = { 0 };
    struct config_price list[3];
    struct config_generator generator = { .prompt_bound = CONFIG_BOUND_BYTES,
                                          .prices.list = list };
    struct chat_request chat = { .n = 1 };
    struct price_span span = { .from_s = 0 };
    int64_t ceiling, limit;

    memcpy(v, data, n < sizeof(v) ? n : sizeof(v));
    for (size_t i = 0; i < 8; i++)
        v[i] &= INT64_MAX; /* not negative */
    make_prices(v, list, &generator.prices.n);
    chat.prompt_bytes = (size_t)(v[3] % 20000000);
    chat.message_bytes = chat.prompt_bytes / 2;
    chat.n_messages = 1;
    chat.n = 1 + v[4] % CHAT_MAX_N;
    ceiling = v[5];
    span.from_s = v[6] % 300;
    span.until_s = span.from_s + v[7] % 300;
    limit = price_trim(&generator, &chat, span, 0, ceiling);
    LAW(limit >= 0);
    LAW(price_prompt_counted(&generator, &chat, v[0]) <=
        price_prompt_bound(&generator, &chat));
    if (limit == 0)
        LAW(price_worst(&generator, &chat, span, 1) > ceiling);
    else if (limit == PRICE_NO_LIMIT)
        LAW(ceiling == MONEY_NONE || price_worst(&generator, &chat, span, 0) <= ceiling);
    else
        LAW(price_worst(&generator, &chat, span, limit) <= ceiling &&
            price_worst(&generator, &chat, span, limit + 1) > ceiling);
    worst_is_worst(v, &generator, &chat, span, 1 + v[2] % 100000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    parse_print_parse((struct str){ (const char *)data, n });
    trim_fits(data, n);
    return 0;
}
