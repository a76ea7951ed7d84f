/* config_prices.c - what an expert charges, by date and by length of the prompt.
 *
 *     "price": { "input": 2.5, "output": 10, "above": { "tokens": 200000, "input": 5, .. } }
 *     "price": [ { "input": 3, "output": 15 }, { "from": "2026-07-01", "input": 2, .. } ]
 *     "price": { "usd_per_hour": 0.35, "tokens_per_second": 42 }
 *
 * The third is of a machine that is paid by the hour: a token costs what the machine costs
 * while it makes one. From here on that is a rate like any other, so ceilings, budgets and
 * lambda know no difference.
 *
 * Whatever is not said about money is an error or falls back on a dearer rate of the same
 * price, never on 0: cached and written tokens on `input`, reasoning on `output`.
 */
#include "gateway/domain/config_read.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define HUGE_SIZE   1e9
#define HOUR_S      3600
#define MILLI       1000 /* tokens a second are counted in thousandths */
#define LEAST_SPEED 0.001

static const char *const currencies[] = { "USD", NULL };

struct draft_price {
    struct config_rates rates;
    int64_t tokens;
    int currency;
    const char *source;
};

struct draft_hourly {
    int64_t hour_pico, concurrency;
    double speed, prompt_speed; /* tokens a second */
    int currency;
    const char *source;
};

#define AT(member) offsetof(struct draft_price, member)
#define OF(member) offsetof(struct draft_hourly, member)

#define INPUT                                                                            \
    {                                                                                    \
        "input", SETTING_PER_MILLION, AT(rates.input_pico), .required = true,            \
                                                            .help = "prompt tokens"      \
    }
#define MORE                                                                             \
    { "cached_input", SETTING_PER_MILLION, AT(rates.cached_input_pico),                  \
      .help = "prompt tokens read from a cache; as input where absent" },                \
        { "cache_write", SETTING_PER_MILLION, AT(rates.cache_write_pico),                \
          .help = "prompt tokens written to a cache; as input where absent" },           \
        { "output", SETTING_PER_MILLION, AT(rates.output_pico), .required = true,        \
          .help = "answer tokens" },                                                     \
    {                                                                                    \
        "reasoning", SETTING_PER_MILLION, AT(rates.reasoning_pico),                      \
            .help = "answer tokens reported as reasoning; as output where absent"        \
    }
#define DATES(at_currency, at_source)                                                    \
    { "from", SETTING_OTHER,                                                             \
      .help = "UTC date from which it is charged, \"2026-07-01\"; in a list, from its "  \
              "second price on" },                                                       \
        { "as_of", SETTING_OTHER,                                                        \
          .help = "UTC date on which somebody last looked whether it is right; see "     \
                  "`frugalctl prices age`" },                                            \
        { "source", SETTING_TEXT, at_source, .help = "where that was; for people" },     \
    {                                                                                    \
        "currency", SETTING_WORD, at_currency, "USD", .words = currencies,               \
                                                      .help = "only this one"            \
    }
#define ABOVE                                                                            \
    {                                                                                    \
        "above", SETTING_OTHER,                                                          \
            .help =                                                                      \
                "other rates for all of a request whose prompt is longer; or a list "    \
                "of at most 3"                                                           \
    }
#define TOKENS                                                                           \
    {                                                                                    \
        "tokens", SETTING_INT, AT(tokens),                                               \
            .low = 1, .high = HUGE_SIZE, .required = true,                               \
            .help = "of a prompt; beyond them these rates hold"                          \
    }

static const struct setting price_settings[] = {
    INPUT,
    MORE,
    { "request", SETTING_USD, AT(rates.request_pico), "0",
      .help = "fee of every request, in USD" },
    DATES(AT(currency), AT(source)),
    ABOVE,
};
static const struct setting tier_settings[] = {
    TOKENS,
    INPUT,
    MORE,
    { "request", SETTING_USD, AT(rates.request_pico),
      .help = "fee of every request, in USD; as below where absent" },
};
static const struct setting embedding_settings[] = {
    INPUT,
    { "request", SETTING_USD, AT(rates.request_pico), "0",
      .help = "fee of every request, in USD" },
    DATES(AT(currency), AT(source)),
    ABOVE,
};
static const struct setting embedding_tier_settings[] = {
    TOKENS,
    INPUT,
    { "request", SETTING_USD, AT(rates.request_pico),
      .help = "fee of every request, in USD; as below where absent" },
};

#define HOURLY_OWN 4 /* the lines that a price per token has not */
static const struct setting hourly_settings[] = {
    { "usd_per_hour", SETTING_USD, OF(hour_pico), .required = true,
      .help = "instead of rates: what the machine costs an hour, in USD; a token costs "
              "usd_per_hour / 3600 / tokens_per_second / concurrency" },
    { "tokens_per_second", SETTING_NUMBER, OF(speed), NULL, LEAST_SPEED, HUGE_SIZE,
      .required = true,
      .help = "answer tokens a second of one request, as probe and calibrate measure "
              "them; of an embedding prompt tokens" },
    { "prompt_tokens_per_second", SETTING_NUMBER, OF(prompt_speed), "0", 0, HUGE_SIZE,
      .help = "prompt tokens likewise; 0: as tokens_per_second" },
    { "concurrency", SETTING_INT, OF(concurrency), "1", 1, 4096,
      .help = "requests that it serves at that speed at once" },
    DATES(OF(currency), OF(source)),
};
static_assert(ARRAY_LEN(hourly_settings) == HOURLY_OWN + 4, "help shows the first ones");

static int64_t given(int64_t pico, int64_t fallback)
{
    return pico != MONEY_NONE ? pico : fallback;
}

/* Rounded up: a price is never too low. */
static int64_t per_token(int64_t hour_pico, double speed, int64_t concurrency)
{
    __int128 milli = llround(speed * MILLI);
    __int128 divisor = milli * concurrency * HOUR_S;

    /* At the least speed a token costs 1000/3600 of an hour: it fits. */
    return (int64_t)(((__int128)hour_pico * MILLI + divisor - 1) / divisor);
}

/* A machine that is paid by the hour. What it reads from its cache is charged like the rest:
 * how much faster that is depends on the prompt. */
static enum err read_hourly(const struct config_node *node, bool embedding,
                            struct config_price *price)
{
    struct draft_hourly draft = { .hour_pico = 0 };
    enum err err =
        config_settings(node, hourly_settings, ARRAY_LEN(hourly_settings), &draft);
    int64_t input, output;

    if (err != ERR_OK)
        return err;
    output = per_token(draft.hour_pico, draft.speed, draft.concurrency);
    input = draft.prompt_speed >= LEAST_SPEED
                ? per_token(draft.hour_pico, draft.prompt_speed, draft.concurrency)
                : output;
    price->tiers[0].rates =
        (struct config_rates){ .input_pico = input,
                               .cached_input_pico = input,
                               .cache_write_pico = input,
                               .output_pico = embedding ? 0 : output,
                               .reasoning_pico = embedding ? 0 : output };
    price->hourly = true;
    price->source = draft.source;
    return ERR_OK;
}

/* One object of rates. `below` is the tier before, or NULL. */
static enum err read_rates(const struct config_node *node, bool embedding,
                           const struct config_tier *below, struct config_tier *ret_tier,
                           bool *writes_priced, const char **ret_source)
{
    struct draft_price draft = { .rates = { .cached_input_pico = MONEY_NONE,
                                            .cache_write_pico = MONEY_NONE,
                                            .output_pico = embedding ? 0 : MONEY_NONE,
                                            .reasoning_pico = MONEY_NONE } };
    struct config_rates *rates = &draft.rates;
    enum err err;

#define READ(table) config_settings(node, table, ARRAY_LEN(table), &draft)
    if (below != NULL)
        err = embedding ? READ(embedding_tier_settings) : READ(tier_settings);
    else
        err = embedding ? READ(embedding_settings) : READ(price_settings);
#undef READ
    if (err != ERR_OK)
        return err;
    *writes_priced = *writes_priced && rates->cache_write_pico != MONEY_NONE;
    rates->cached_input_pico = given(rates->cached_input_pico, rates->input_pico);
    rates->cache_write_pico = given(rates->cache_write_pico, rates->input_pico);
    rates->reasoning_pico = given(rates->reasoning_pico, rates->output_pico);
    if (below != NULL)
        rates->request_pico = given(rates->request_pico, below->rates.request_pico);
    *ret_tier = (struct config_tier){ draft.tokens, draft.rates };
    *ret_source = draft.source;
    return ERR_OK;
}

static enum err read_tiers(const struct config_node *above, bool embedding,
                           struct config_price *price, bool *writes_priced)
{
    bool list = json_is_array(above->json);
    size_t n = list ? json_array_size(above->json) : above->json != NULL;

    if (list && (n == 0 || n >= CONFIG_MAX_TIERS))
        return config_fail(above, "must be one object or a list of 1 to %d",
                           CONFIG_MAX_TIERS - 1);
    for (size_t i = 0; i < n; i++) {
        struct config_node element = config_element(above, i);
        const struct config_node *node = list ? &element : above;
        const struct config_tier *below = &price->tiers[price->n_tiers - 1];
        struct config_tier *tier = &price->tiers[price->n_tiers];
        enum err err = config_want_object(node);
        const char *unsaid; /* a tier has no source of its own */

        if (err == ERR_OK)
            err = read_rates(node, embedding, below, tier, writes_priced, &unsaid);
        if (err != ERR_OK)
            return err;
        if (tier->above_tokens <= below->above_tokens) {
            struct config_node tokens = config_child(node, "tokens");

            return config_fail(&tokens, "must be more than in the tier before");
        }
        price->n_tiers++;
    }
    return ERR_OK;
}

enum err config_moment(const struct config_node *node, int64_t *ret_s)
{
    const char *text = json_string_value(node->json);
    bool day_only = text != NULL && strchr(text, 'T') == NULL;
    struct tm moment = { .tm_mday = 0 };
    const char *end = NULL;
    char written[48] = "";
    time_t s = 0;

    if (text != NULL)
        end = day_only ? strptime(text, "%Y-%m-%d", &moment)
                       : strptime(text, "%Y-%m-%dT%H:%M:%SZ", &moment);
    if (end != NULL) {
        s = timegm(&moment);
        if (day_only)
            (void)strftime(written, sizeof(written), "%Y-%m-%d", &moment);
        else
            (void)strftime(written, sizeof(written), "%Y-%m-%dT%H:%M:%SZ", &moment);
    }
    /* A day that the calendar lacks comes back as another one. */
    if (end == NULL || strcmp(text, written) != 0)
        return config_fail(node, "must be a moment in UTC like \"2026-07-01\" or "
                                 "\"2026-07-01T12:00:00Z\"");
    *ret_s = s;
    return ERR_OK;
}

static enum err read_price(const struct config_node *node, bool embedding,
                           const struct config_price *before, struct config_price *price,
                           bool *writes_priced)
{
    struct config_node from = config_child(node, "from");
    struct config_node as_of = config_child(node, "as_of");
    struct config_node above = config_child(node, "above");
    enum err err;

    price->n_tiers = 1;
    price->from_s = price->as_of_s = INT64_MIN;
    if (embedding && json_is_number(node->json))
        return config_per_million(node, &price->tiers[0].rates.input_pico);
    err = config_want_object(node);
    if (err == ERR_OK && config_child(node, "usd_per_hour").json != NULL)
        err = read_hourly(node, embedding, price);
    else if (err == ERR_OK)
        err = read_rates(node, embedding, NULL, &price->tiers[0], writes_priced,
                         &price->source);
    if (err == ERR_OK && as_of.json)
        err = config_moment(&as_of, &price->as_of_s);
    if (err != ERR_OK)
        return err;
    if (before == NULL && from.json)
        return config_fail(&from, "the first price has no date: it holds until the next");
    if (before != NULL && !from.json)
        return config_fail(node, "'from' is missing: when does this price begin?");
    if (from.json)
        err = config_moment(&from, &price->from_s);
    if (err == ERR_OK && before != NULL && price->from_s <= before->from_s)
        return config_fail(&from, "must be later than of the price before");
    return err == ERR_OK ? read_tiers(&above, embedding, price, writes_priced) : err;
}

enum err config_read_prices(const struct config_node *node, bool free, bool embedding,
                            struct config_prices *ret_prices)
{
    struct config_prices prices = { .free = free, .writes_priced = true };
    bool list = json_is_array(node->json);
    size_t n = list ? json_array_size(node->json) : 1;
    struct config_price *price;

    if (free && node->json)
        return config_fail(node, "a price contradicts \"free\": true");
    if (!free && !node->json)
        return config_fail(node->parent, "'price' is missing: an unknown price is not 0 "
                                         "(say \"free\": true if it costs nothing)");
    if (n == 0 || n > CONFIG_MAX_PRICES)
        return config_fail(node, "must be one price or a list of 1 to %d",
                           CONFIG_MAX_PRICES);
    price = arena_zalloc(&node->reader->config->arena, n * sizeof(*price));
    if (!price)
        return config_fail_nomem(node);
    prices.list = price;
    if (free) {
        *price = (struct config_price){ .from_s = INT64_MIN,
                                        .as_of_s = INT64_MIN,
                                        .n_tiers = 1 };
        prices.n = 1;
    }
    for (; prices.n < n; prices.n++, price++) {
        struct config_node element = config_element(node, prices.n);
        enum err err =
            read_price(list ? &element : node, embedding, prices.n > 0 ? price - 1 : NULL,
                       price, &prices.writes_priced);

        if (err != ERR_OK)
            return err;
    }
    *ret_prices = prices;
    return ERR_OK;
}

void config_prices_help(struct buf *out)
{
#define HELP(section, table) config_settings_help(section, table, ARRAY_LEN(table), out)
    HELP("experts.NAME.generator.price", price_settings);
    config_settings_help("experts.NAME.generator.price", hourly_settings, HOURLY_OWN,
                         out);
    HELP("experts.NAME.generator.price.above", tier_settings);
    HELP("experts.NAME.embedding.price", embedding_settings);
    config_settings_help("experts.NAME.embedding.price", hourly_settings, HOURLY_OWN,
                         out);
    HELP("experts.NAME.embedding.price.above", embedding_tier_settings);
#undef HELP
}
