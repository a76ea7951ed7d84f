/* order_choose.c - who may answer a request; see order.h.
 *
 * The list of all experts is narrowed step by step, in the order of EXCLUDED_WHYS, and
 * whoever goes is told with the first reason that met him. A step that leaves nobody is a
 * named 4xx. On what terms those who are left are asked is order.c's.
 *
 *     key -> policy -> API -> the request's 'experts' -> abilities and room (order_able.c)
 *         -> bars and prices
 */
#include "gateway/flow/order.h"

#include <assert.h>
#include <string.h>

#include "gateway/domain/price.h"
#include "gateway/flow/order_parts.h"

static const struct config_generator *generator_of(const struct order *order,
                                                   size_t expert)
{
    return chat_generator(order->chat, &order->config->experts[expert]);
}

void order_exclude(struct order *order, uint64_t experts, enum excluded why)
{
    experts &= order->allowed;
    order->allowed &= ~experts;
    for (; experts != 0; experts &= experts - 1)
        order->excluded[__builtin_ctzll(experts)] = (uint8_t)why;
}

void order_prefer(struct order *order)
{
    assert(order->allowed != 0);
    if (!order_allows(order, order->preferred))
        order->preferred = (size_t)__builtin_ctzll(order->allowed);
}

/* -- by what is asked for ---------------------------------------------------------------- */

static enum api_err no_model(const struct order *order, const struct key_allow *key,
                             struct api_error *error)
{
    struct str model = str_clip_utf8(order->chat->model, 100);
    bool all = key->experts == UINT64_MAX && key->policies == UINT64_MAX;

    return api_error_set(error, API_NO_MODEL, "model",
                         "the model '" STR_FMT "' does not exist%s", STR_ARG(model),
                         all ? "" : ", or this key may not use it");
}

bool order_speaks(const struct order *order, size_t expert)
{
    return chat_speaks(order->chat, &order->config->experts[expert]);
}

static enum api_err drop_silent(struct order *order, struct api_error *error)
{
    const struct api_error *untold = order->chat->untold;
    uint64_t silent = 0;

    for (size_t i = 0; i < order->config->n_experts; i++)
        if (!order_speaks(order, i))
            silent |= UINT64_C(1) << i;
    order_exclude(order, silent, EXCLUDED_API);
    if (untold != NULL &&
        (order->allowed == 0 || (order->chat->stateful && order->policy != NULL)))
        return api_error_set(error, untold->code, untold->param, "%s", untold->message);
    if (order->allowed == 0)
        return api_error_set(error, API_UNSUPPORTED, "model",
                             "no expert that this model allows speaks '%s'",
                             chat_path(order->chat->shape));
    return API_OK;
}

/* All who could answer anything stand at the beginning, so that it is told who is not on the
 * policy's list. */
static void choose_policy(struct order *order, const struct config_policy *policy,
                          const struct key_allow *key)
{
    order->policy = policy;
    order->preferred = policy->default_expert;
    for (size_t i = 0; i < order->config->n_experts; i++)
        if (order->config->experts[i].has_generator)
            order->allowed |= UINT64_C(1) << i;
    order_exclude(order, ~key->experts, EXCLUDED_KEY);
    order_exclude(order, ~(policy->experts | UINT64_C(1) << order->preferred),
                  EXCLUDED_POLICY);
}

static enum api_err choose_model(struct order *order, const struct key_allow *key,
                                 struct api_error *error)
{
    const struct config *config = order->config;
    struct str model = order->chat->model;
    int policy = config_find_policy(config, model);
    int expert = config_find_expert(config, model);

    if (policy >= 0 && order->chat->shape == CHAT_INPUT)
        return api_error_set(error, API_BAD_VALUE, "model",
                             "embeddings are not routed, since vectors of one model say "
                             "nothing beside those of another: 'model' must name one");
    if (policy >= 0 && (key->policies >> policy & 1) != 0) {
        choose_policy(order, &config->policies[policy], key);
    } else if (policy < 0 && expert >= 0 &&
               (config->experts[expert].has_generator ||
                order->chat->shape == CHAT_INPUT)) {
        order->preferred = (size_t)expert;
        order->allowed = UINT64_C(1) << expert;
        order_exclude(order, ~key->experts, EXCLUDED_KEY);
    }
    order->reachable = key->experts;
    if (order->allowed == 0)
        return no_model(order, key, error);
    return drop_silent(order, error);
}

static enum api_err narrow(struct order *order, const struct frugal_options *options,
                           struct api_error *error)
{
    uint64_t mask;
    enum api_err err = frugal_options_mask(options, order->config, &mask, error);

    if (err != API_OK)
        return err;
    order_exclude(order, ~mask, EXCLUDED_OPTION);
    if (order->allowed == 0)
        return api_error_set(error, API_BAD_OPTION, "experts",
                             "none of the experts asked for is allowed by this model");
    return API_OK;
}

/* -- on which conditions ----------------------------------------------------------------- */

static void take_policy(struct order *order)
{
    const struct config_policy *policy = order->policy;

    order->ceiling_pico = MONEY_NONE;
    order->on_budget = CONFIG_ON_BUDGET_TRIM;
    order->policy_tokens = ORDER_DIRECT_TOKENS;
    if (policy == NULL)
        return;
    order->lambda = policy->lambda;
    order->wait_per_s = policy->wait_per_s;
    order->switch_z = policy->switch_z;
    order->gain_se = policy->gain_se;
    order->min_quality = policy->min_quality;
    order->ceiling_pico = policy->budget_pico;
    order->on_budget = policy->on_budget;
    order->decision_deadline_ms = policy->decision_deadline_ms;
    order->policy_tokens = policy->max_output_tokens;
}

/* The request may ask for more thrift than its policy, or for another trade-off (lambda);
 * it cannot lift the policy's ceiling, minimum or list. */
static void take_options(struct order *order, const struct frugal_options *options)
{
    if (options->budget_pico < order->ceiling_pico)
        order->ceiling_pico = options->budget_pico;
    if (frugal_option_given(options, FRUGAL_ON_BUDGET) &&
        (order->policy == NULL || order->policy->budget_pico == MONEY_NONE ||
         options->on_budget > order->on_budget))
        order->on_budget = options->on_budget;
    if (frugal_has_lambda(options))
        order->lambda = options->lambda;
    if (frugal_option_given(options, FRUGAL_MIN_QUALITY) &&
        options->min_quality > order->min_quality)
        order->min_quality = options->min_quality;
    if (frugal_option_given(options, FRUGAL_DEADLINE_MS) &&
        options->deadline_ms < order->deadline_ms)
        order->deadline_ms = options->deadline_ms;
}

static enum api_err refuse_unpriced(const char *param, struct api_error *error)
{
    return api_error_set(error, API_UNPRICED, param,
                         "'%s' may have a price of its own and is not allowed under a "
                         "budget",
                         param);
}

static enum api_err refuse_odd_key(struct str key, struct api_error *error)
{
    char name[sizeof(error->param)] = "";

    key = str_clip_utf8(key, sizeof(name) - 1);
    memcpy(name, key.p, key.n);
    return api_error_set(
        error, API_UNPRICED, name,
        "'%s' can be read as a key that is written in other letters, and "
        "is not allowed under a budget",
        name);
}

/* Those without a price for writing into a prompt cache, which the request asks for. */
static uint64_t without_writes(const struct order *order)
{
    uint64_t without = 0;

    for (size_t i = 0; i < order->config->n_experts; i++) {
        const struct config_prices *prices = &generator_of(order, i)->prices;

        if (!prices->free && !prices->writes_priced)
            without |= UINT64_C(1) << i;
    }
    return without;
}

/* Who would be asked in the client's own words, which have something with a price of its own
 * that a translation leaves out, is asked in the translation, or not at all. */
static void prefer_told(struct order *order)
{
    order->told = true;
    for (size_t i = 0; i < order->config->n_experts; i++)
        if (!chat_is_told(order->chat, &order->config->experts[i]))
            order_exclude(order, UINT64_C(1) << i, EXCLUDED_UNPRICED);
}

static enum api_err cap_native(struct order *order, struct chat_extras *extras,
                               struct api_error *error)
{
    struct chat_extras native;

    if (order->chat->untold != NULL)
        return refuse_unpriced(order->chat->untold->param, error);
    if (order->chat->native == NULL)
        return API_OK;
    native = chat_extras(order->chat->native);
    if (native.odd_key.n > 0)
        return refuse_odd_key(native.odd_key, error);
    if (native.unpriced != NULL)
        prefer_told(order);
    else
        extras->cache_marks |= native.cache_marks;
    return order->allowed != 0 ? API_OK : refuse_unpriced(native.unpriced, error);
}

/* Under a ceiling nobody is asked who cannot be bounded. */
static enum api_err cap(struct order *order, uint64_t barred, struct api_error *error)
{
    struct chat_extras extras = chat_extras(order->chat);
    enum api_err err;

    if (extras.odd_key.n > 0)
        return refuse_odd_key(extras.odd_key, error);
    if (extras.unpriced != NULL)
        return refuse_unpriced(extras.unpriced, error);
    err = cap_native(order, &extras, error);
    if (err != API_OK)
        return err;
    order_exclude(order, barred, EXCLUDED_BARRED);
    if (order->allowed == 0)
        return api_error_set(error, API_BUDGET, "budget_usd",
                             "no allowed expert keeps to its output limit, so a budget "
                             "cannot be kept");
    if (extras.cache_marks)
        order_exclude(order, without_writes(order), EXCLUDED_UNPRICED);
    if (order->allowed == 0)
        return api_error_set(error, API_UNPRICED, "cache_control",
                             "'cache_control' may have a price of its own: no allowed "
                             "expert has one for 'cache_write'");
    return API_OK;
}

enum api_err order_make(struct order *order, const struct config *config,
                        const struct chat_request *chat,
                        const struct frugal_options *options, const struct key_allow *key,
                        uint64_t barred, int64_t now_s, struct api_error *error)
{
    enum api_err err;

    *order = (struct order){ .steering = 1,
                             .known = UINT64_MAX,
                             .rules.found = { .allowed = UINT64_MAX, .pin = -1 },
                             .config = config,
                             .chat = chat,
                             .deadline_ms = config->limits.request_deadline_ms };
    err = choose_model(order, key, error);
    if (err == API_OK)
        err = narrow(order, options, error);
    if (err == API_OK)
        err = order_drop_unable(order, error);
    if (err != API_OK)
        return err;
    order_drop_narrow(order);
    take_policy(order);
    take_options(order, options);
    order->capped = order->ceiling_pico != MONEY_NONE || key->bounded;
    /* A second for the clocks of others, and one for what is left of the deadline's. */
    order->span = (struct price_span){ now_s - 1, now_s + order->deadline_ms / 1000 + 2 };
    if (order->capped)
        err = cap(order, barred, error);
    if (err == API_OK)
        order_prefer(order);
    return err;
}
