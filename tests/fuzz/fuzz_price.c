/* fuzz_price.c - amounts of money. Laws: parse, print, parse is stable; a price per million
 * tokens is that price; the limit that price_trim finds fits, and the next one does not. */
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

static void trim_fits(const uint8_t *data, size_t n)
{
    int64_t v[6] = { 0 };
    struct config_generator generator = { .prompt_bound = CONFIG_BOUND_BYTES };
    struct chat_request chat = { .n = 1 };
    int64_t ceiling, limit;

    memcpy(v, data, n < sizeof(v) ? n : sizeof(v));
    for (size_t i = 0; i < 6; i++)
        v[i] &= INT64_MAX; /* not negative */
    generator.price.input_pico = v[0] % 1000000000;
    generator.price.cached_input_pico = generator.price.input_pico;
    generator.price.output_pico = v[1] % 1000000000;
    generator.price.request_pico = v[2] % 1000000000000;
    chat.prompt_bytes = (size_t)(v[3] % 20000000);
    chat.n_messages = 1;
    chat.n = 1 + v[4] % CHAT_MAX_N;
    ceiling = v[5];
    limit = price_trim(&generator, &chat, 0, ceiling);
    LAW(limit >= 0);
    if (limit == 0)
        LAW(price_worst(&generator, &chat, 1) > ceiling);
    else if (limit == PRICE_NO_LIMIT)
        LAW(generator.price.output_pico == 0 || ceiling == MONEY_NONE);
    else
        LAW(price_worst(&generator, &chat, limit) <= ceiling &&
            price_worst(&generator, &chat, limit + 1) > ceiling);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    parse_print_parse((struct str){ (const char *)data, n });
    trim_fits(data, n);
    return 0;
}
