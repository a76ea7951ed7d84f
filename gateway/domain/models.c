/* models.c - what can be named in `model`. */
#include "gateway/domain/models.h"

#include <inttypes.h>

#include "gateway/domain/price.h"

static void put_head(struct buf *out, const char *name, const char *owner,
                     int64_t created)
{
    buf_put(out, "{\"id\":");
    buf_put_json(out, str_of(name));
    buf_putf(out, ",\"object\":\"model\",\"created\":%" PRId64 ",\"owned_by\":\"%s\"",
             created, owner);
}

/* Pico-USD a token are millionths of USD per million tokens. */
static void put_price(struct buf *out, const char *name, int64_t pico_per_token)
{
    char text[MONEY_TEXT_BYTES];

    buf_putf(out, ",\"%s\":%s", name,
             money_format(money_mul(pico_per_token, 1000000), text));
}

static void put_expert(struct buf *out, const struct config_expert *expert,
                       int64_t created, int64_t at_s)
{
    const struct config_generator *generator = &expert->generator;
    const struct config_price *price = price_at(&generator->prices, at_s);
    const struct config_rates *rates = &price->tiers[0].rates;
    char text[MONEY_TEXT_BYTES];

    put_head(out, expert->name, "expert", created);
    buf_put(out, ",\"frugal\":{\"kind\":\"expert\",\"model\":");
    buf_put_json(out, str_of(generator->model));
    if (generator->context_tokens > 0)
        buf_putf(out, ",\"context\":%" PRId64, generator->context_tokens);
    buf_putf(out, ",\"usd_per_request\":%s", money_format(rates->request_pico, text));
    put_price(out, "usd_per_million_input", rates->input_pico);
    put_price(out, "usd_per_million_cached_input", rates->cached_input_pico);
    put_price(out, "usd_per_million_output", rates->output_pico);
    buf_put(out, "}}");
}

static void put_policy(struct buf *out, const struct config *config,
                       const struct config_policy *policy, int64_t created)
{
    char text[MONEY_TEXT_BYTES];
    bool first = true;

    put_head(out, policy->name, "frugal", created);
    buf_put(out, ",\"frugal\":{\"kind\":\"policy\",\"experts\":[");
    for (size_t i = 0; i < config->n_experts; i++) {
        if ((policy->experts >> i & 1) == 0)
            continue;
        buf_put(out, first ? "" : ",");
        buf_put_json(out, str_of(config->experts[i].name));
        first = false;
    }
    buf_put(out, "],\"default\":");
    buf_put_json(out, str_of(config->experts[policy->default_expert].name));
    if (policy->value_pico != MONEY_NONE)
        buf_putf(out, ",\"value_usd\":%s", money_format(policy->value_pico, text));
    if (policy->budget_pico != MONEY_NONE)
        buf_putf(out, ",\"budget_usd\":%s", money_format(policy->budget_pico, text));
    buf_put(out, "}}");
}

void models_list(const struct config *config, int64_t created_s, int64_t now_s,
                 struct buf *out)
{
    bool first = true;

    buf_put(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < config->n_policies; i++) {
        buf_put(out, first ? "" : ",");
        put_policy(out, config, &config->policies[i], created_s);
        first = false;
    }
    for (size_t i = 0; i < config->n_experts; i++) {
        if (!config->experts[i].has_generator)
            continue;
        buf_put(out, first ? "" : ",");
        put_expert(out, &config->experts[i], created_s, now_s);
        first = false;
    }
    buf_put(out, "]}");
}

bool models_one(const struct config *config, struct str name, int64_t created_s,
                int64_t now_s, struct buf *out)
{
    int policy = config_find_policy(config, name);
    int expert = config_find_expert(config, name);

    if (policy >= 0)
        put_policy(out, config, &config->policies[policy], created_s);
    else if (expert >= 0 && config->experts[expert].has_generator)
        put_expert(out, &config->experts[expert], created_s, now_s);
    else
        return false;
    return true;
}
