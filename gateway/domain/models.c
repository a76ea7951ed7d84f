/* models.c - what can be named in `model`. */
#include "gateway/domain/models.h"

#include <inttypes.h>

#include "gateway/domain/ability.h"
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

/* What may be asked of it, as the last part of a path. */
static void put_apis(struct buf *out, const struct config_expert *expert)
{
    static const char *const words[] = {
#define X(name, word) word,
        CONFIG_APIS(X)
#undef X
    };
    const char *comma = "";

    buf_put(out, ",\"apis\":[");
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!expert->has_generator || (expert->generator.apis >> i & 1) == 0)
            continue;
        buf_putf(out, "%s\"%s\"", comma, words[i]);
        comma = ",";
    }
    if (expert->has_embedding)
        buf_putf(out, "%s\"embeddings\"", comma);
    buf_put(out, "]");
}

/* Those of `abilities` that `names` knows, by these; `first` stands before them. */
static void put_able(struct buf *out, const char *key, const char *first,
                     const char *const names[ABILITY_COUNT], uint32_t abilities)
{
    const char *comma = first != NULL ? "," : "";

    buf_putf(out, "\"%s\":[", key);
    if (first != NULL)
        buf_putf(out, "\"%s\"", first);
    for (size_t i = 0; i < ABILITY_COUNT; i++) {
        if ((abilities >> i & 1) == 0 || names[i] == NULL)
            continue;
        buf_putf(out, "%s\"%s\"", comma, names[i]);
        comma = ",";
    }
    buf_put(out, "]");
}

/* In the members that OpenRouter's list of models has. What nobody has said is not told. */
static void put_abilities(struct buf *out, uint32_t abilities)
{
    static const char *const inputs[ABILITY_COUNT] = {
        [ABILITY_IMAGES] = "image",
        [ABILITY_AUDIO] = "audio",
        [ABILITY_VIDEO] = "video",
        [ABILITY_FILES] = "file",
    };
    static const char *const outputs[ABILITY_COUNT] = {
        [ABILITY_AUDIO_OUTPUT] = "audio",
        [ABILITY_IMAGE_OUTPUT] = "image",
    };
    static const char *const parameters[ABILITY_COUNT] = {
        [ABILITY_TOOLS] = "tools\",\"tool_choice",
        [ABILITY_JSON_OBJECT] = "response_format",
        [ABILITY_JSON_SCHEMA] = "structured_outputs",
        [ABILITY_LOGPROBS] = "logprobs\",\"top_logprobs",
        [ABILITY_N] = "n",
        [ABILITY_SUFFIX] = "suffix",
    };

    buf_put(out, ",\"architecture\":{");
    put_able(out, "input_modalities", "text", inputs, abilities);
    buf_put(out, ",");
    put_able(out, "output_modalities", "text", outputs, abilities);
    buf_put(out, "},");
    put_able(out, "supported_parameters", "max_tokens", parameters, abilities);
}

static void put_capabilities(struct buf *out, uint32_t abilities)
{
    static const char *const words[ABILITY_COUNT] = {
#define X(name, word, param, text) word,
        ABILITIES(X)
#undef X
    };

    buf_put(out, ",");
    put_able(out, "capabilities", NULL, words, abilities);
}

/* How much goes in and comes out, where it is known. */
static void put_room(struct buf *out, const struct config_generator *generator)
{
    if (generator->context_tokens > 0)
        buf_putf(out, ",\"context_length\":%" PRId64, generator->context_tokens);
    if (generator->max_output_tokens > 0)
        buf_putf(out, ",\"top_provider\":{\"max_completion_tokens\":%" PRId64 "}",
                 generator->max_output_tokens);
}

static void put_more(struct buf *out, const struct config_rates *rates)
{
    put_price(out, "usd_per_million_input", rates->input_pico);
    put_price(out, "usd_per_million_cached_input", rates->cached_input_pico);
    if (rates->cache_write_pico != rates->input_pico)
        put_price(out, "usd_per_million_cache_write", rates->cache_write_pico);
    put_price(out, "usd_per_million_output", rates->output_pico);
    if (rates->reasoning_pico != rates->output_pico)
        put_price(out, "usd_per_million_reasoning", rates->reasoning_pico);
}

static void put_tiers(struct buf *out, const struct config_price *price)
{
    for (size_t t = 1; t < price->n_tiers; t++) {
        buf_putf(out, "%s{\"tokens\":%" PRId64, t == 1 ? ",\"above\":[" : ",",
                 price->tiers[t].above_tokens);
        put_more(out, &price->tiers[t].rates);
        buf_put(out, "}");
    }
    if (price->n_tiers > 1)
        buf_put(out, "]");
}

/* When the prices that are shown end. */
static void put_change(struct buf *out, const struct config_prices *prices, int64_t at_s)
{
    const struct config_price *now = price_at(prices, at_s);

    if (now + 1 < prices->list + prices->n)
        buf_putf(out, ",\"prices_change\":%" PRId64, now[1].from_s);
}

static void put_expert(struct buf *out, const struct config_expert *expert,
                       int64_t created, int64_t at_s)
{
    const struct config_generator *generator =
        expert->has_generator ? &expert->generator : &expert->embedder;
    const struct config_price *price = price_at(&generator->prices, at_s);
    const struct config_rates *rates = &price->tiers[0].rates;
    char text[MONEY_TEXT_BYTES];

    put_head(out, expert->name, "expert", created);
    put_room(out, generator);
    if (generator->abilities_given)
        put_abilities(out, generator->abilities);
    buf_put(out, ",\"frugal\":{\"kind\":\"expert\",\"model\":");
    buf_put_json(out, str_of(generator->model));
    put_apis(out, expert);
    if (generator->abilities_given)
        put_capabilities(out, generator->abilities);
    if (generator->context_tokens > 0)
        buf_putf(out, ",\"context\":%" PRId64, generator->context_tokens);
    buf_putf(out, ",\"usd_per_request\":%s", money_format(rates->request_pico, text));
    put_more(out, rates);
    put_tiers(out, price);
    if (price->hourly)
        buf_put(out, ",\"notional\":true");
    put_change(out, &generator->prices, at_s);
    buf_put(out, "}}");
}

/* Who may answer under that policy. */
static uint64_t experts_of(const struct config_policy *policy,
                           const struct key_allow *allow)
{
    return (policy->experts | UINT64_C(1) << policy->default_expert) & allow->experts;
}

/* What at least one of them is able to. False: of one it is not said. */
static bool abilities_of(const struct config *config, uint64_t experts,
                         uint32_t *ret_abilities)
{
    uint32_t abilities = 0;

    for (; experts != 0; experts &= experts - 1) {
        const struct config_generator *generator =
            &config->experts[__builtin_ctzll(experts)].generator;

        if (!generator->abilities_given)
            return false;
        abilities |= generator->abilities;
    }
    *ret_abilities = abilities;
    return true;
}

/* What was found out about the policy by cross-validation, as the configuration has it. */
static void put_expected(struct buf *out, const struct config_expected *expected)
{
    buf_putf(out,
             ",\"expected\":{\"quality\":%.6g,\"quality_se\":%.6g,\"quality_low\":%.6g,"
             "\"quality_high\":%.6g",
             expected->quality, expected->quality_se, expected->quality_low,
             expected->quality_high);
    buf_putf(out,
             ",\"usd_per_1k\":%.6g,\"usd_per_1k_se\":%.6g,\"usd_per_1k_low\":%.6g,"
             "\"usd_per_1k_high\":%.6g,\"rows\":%" PRId64,
             expected->usd_per_1k, expected->usd_per_1k_se, expected->usd_per_1k_low,
             expected->usd_per_1k_high, expected->rows);
    if (expected->bundle != NULL) {
        buf_put(out, ",\"bundle\":");
        buf_put_json(out, str_of(expected->bundle));
    }
    buf_put(out, "}");
}

static void put_policy(struct buf *out, const struct config *config,
                       const struct config_policy *policy, const struct key_allow *allow,
                       int64_t created)
{
    uint64_t experts = experts_of(policy, allow);
    size_t first_choice = policy->default_expert;
    char text[MONEY_TEXT_BYTES];
    uint32_t abilities;
    bool first = true;

    if ((experts >> first_choice & 1) == 0)
        first_choice = (size_t)__builtin_ctzll(experts);

    put_head(out, policy->name, "frugal", created);
    if (abilities_of(config, experts, &abilities))
        put_abilities(out, abilities);
    buf_put(out, ",\"frugal\":{\"kind\":\"policy\",\"experts\":[");
    for (size_t i = 0; i < config->n_experts; i++) {
        if ((policy->experts & experts & UINT64_C(1) << i) == 0)
            continue;
        buf_put(out, first ? "" : ",");
        buf_put_json(out, str_of(config->experts[i].name));
        first = false;
    }
    buf_put(out, "],\"default\":");
    buf_put_json(out, str_of(config->experts[first_choice].name));
    if (policy->value_pico != MONEY_NONE)
        buf_putf(out, ",\"value_usd\":%s", money_format(policy->value_pico, text));
    if (policy->budget_pico != MONEY_NONE)
        buf_putf(out, ",\"budget_usd\":%s", money_format(policy->budget_pico, text));
    if (policy->has_expected)
        put_expected(out, &policy->expected);
    buf_put(out, "}}");
}

static bool may_name(const struct config *config, const struct key_allow *allow,
                     size_t policy)
{
    return (allow->policies >> policy & 1) != 0 &&
           experts_of(&config->policies[policy], allow) != 0;
}

static bool may_ask(const struct key_allow *allow, size_t expert)
{
    return (allow->experts >> expert & 1) != 0;
}

void models_list(const struct config *config, const struct key_allow *allow,
                 int64_t created_s, int64_t now_s, struct buf *out)
{
    bool first = true;

    buf_put(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < config->n_policies; i++) {
        if (!may_name(config, allow, i))
            continue;
        buf_put(out, first ? "" : ",");
        put_policy(out, config, &config->policies[i], allow, created_s);
        first = false;
    }
    for (size_t i = 0; i < config->n_experts; i++) {
        if (!may_ask(allow, i))
            continue;
        buf_put(out, first ? "" : ",");
        put_expert(out, &config->experts[i], created_s, now_s);
        first = false;
    }
    buf_put(out, "]}");
}

bool models_one(const struct config *config, const struct key_allow *allow,
                struct str name, int64_t created_s, int64_t now_s, struct buf *out)
{
    int policy = config_find_policy(config, name);
    int expert = config_find_expert(config, name);

    if (policy >= 0 && may_name(config, allow, (size_t)policy))
        put_policy(out, config, &config->policies[policy], allow, created_s);
    else if (policy < 0 && expert >= 0 && may_ask(allow, (size_t)expert))
        put_expert(out, &config->experts[expert], created_s, now_s);
    else
        return false;
    return true;
}
