/* fuzz_config.c - the configuration. Laws: a failure says where, a success is complete. */
#include "tests/fuzz/fuzz.h"

#include "gateway/domain/config.h"
#include "gateway/domain/models.h"

static bool is_known(int64_t pico)
{
    return pico >= 0 && pico < MONEY_NONE;
}

static void are_complete(const struct config_prices *prices)
{
    LAW(prices->n >= 1 && prices->list[0].from_s == INT64_MIN);
    for (size_t i = 0; i < prices->n; i++) {
        const struct config_price *price = &prices->list[i];

        LAW(i == 0 || price->from_s > prices->list[i - 1].from_s);
        LAW(price->n_tiers >= 1 && price->tiers[0].above_tokens == 0);
        for (size_t t = 0; t < price->n_tiers; t++) {
            const struct config_rates *r = &price->tiers[t].rates;

            LAW(t == 0 ||
                price->tiers[t].above_tokens > price->tiers[t - 1].above_tokens);
            LAW(is_known(r->input_pico) && is_known(r->cached_input_pico));
            LAW(is_known(r->cache_write_pico) && is_known(r->output_pico));
            LAW(is_known(r->reasoning_pico) && is_known(r->request_pico));
        }
    }
}

static void is_complete(const struct config *config)
{
    LAW(config->listen && config->n_experts >= 1 && config->workers >= 1);
    for (size_t i = 0; i < config->n_experts; i++) {
        const struct config_expert *expert = &config->experts[i];

        LAW(expert->n_endpoints >= 1 && expert->endpoints[0] && expert->name);
        LAW(expert->has_generator || expert->has_embedding);
        LAW(!expert->has_generator || expert->generator.model);
        if (expert->has_generator)
            are_complete(&expert->generator.prices);
        if (expert->has_embedding)
            are_complete(&expert->embedding.prices);
        LAW(expert->timeouts.connect_ms > 0 && expert->timeouts.total_ms > 0);
    }
    for (size_t i = 0; i < config->n_policies; i++) {
        const struct config_policy *policy = &config->policies[i];

        LAW(policy->default_expert < config->n_experts);
        LAW((policy->experts >> policy->default_expert & 1) == 1);
        LAW(policy->lambda >= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str text = { (const char *)data, n };
    struct config_error error = { .set = false };
    struct config *config = NULL;
    struct buf models;

    if (config_parse(text, "fuzz.json", &config, &error) != ERR_OK) {
        LAW(!config && error.set && error.text[0] != '\0' && error.file[0] != '\0');
        return 0;
    }
    LAW(!error.set);
    is_complete(config);
    buf_init(&models, 1 << 20);
    models_list(config, &key_allow_all, 1, 1, &models);
    LAW(!models.failed);
    buf_release(&models);
    config_unref(config);
    return 0;
}
