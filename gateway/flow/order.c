/* order.c - what a client ordered; see order.h.
 *
 * The promise kept here: order_fit is the only source of the limit that is sent and of the
 * worst case that is reserved, and computes the one from the other, so an expert is never
 * called with a limit that could cost more than its reservation.
 */
#include "gateway/flow/order.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "gateway/domain/price.h"

static const struct config_generator *generator_of(const struct order *order,
                                                   size_t expert)
{
    assert(expert < order->config->n_experts);
    return chat_generator(order->chat, &order->config->experts[expert]);
}

void order_steer(struct order *order, double factor)
{
    order->steering = factor;
    order->lambda *= factor;
}

bool order_allows(const struct order *order, size_t expert)
{
    return (order->allowed >> expert & 1) != 0;
}

size_t order_allowed_count(const struct order *order)
{
    return (size_t)__builtin_popcountll(order->allowed);
}

/* An expert whose context surely cannot hold the prompt only costs an attempt; but if no
 * other is left its own error says more than ours could. */
static uint64_t drop_too_small(const struct order *order, uint64_t allowed)
{
    uint64_t left = allowed;

    for (size_t i = 0; i < order->config->n_experts; i++) {
        const struct config_generator *g = generator_of(order, i);

        if ((allowed >> i & 1) != 0 && g->context_tokens > 0 &&
            price_prompt_expected(g, order->chat) > g->context_tokens)
            left &= ~(UINT64_C(1) << i);
    }
    return left != 0 ? left : allowed;
}

static enum api_err no_model(const struct order *order, const struct key_allow *key,
                             struct api_error *error)
{
    struct str model = str_clip_utf8(order->chat->model, 100);
    bool all = key->experts == UINT64_MAX && key->policies == UINT64_MAX;

    return api_error_set(error, API_NO_MODEL, "model",
                         "the model '" STR_FMT "' does not exist%s", STR_ARG(model),
                         all ? "" : ", or this key may not use it");
}

static bool can_answer(const struct order *order, size_t expert)
{
    const struct config_expert *e = &order->config->experts[expert];

    switch (order->chat->shape) {
    case CHAT_INPUT:
        return e->has_embedding;
    case CHAT_PROMPT:
        return e->has_generator && (e->generator.apis >> CONFIG_API_COMPLETIONS & 1) != 0;
    case CHAT_MESSAGES:
        break;
    }
    return e->has_generator && (e->generator.apis >> CONFIG_API_CHAT & 1) != 0;
}

/* Those who speak the API that is asked for. */
static enum api_err drop_silent(struct order *order, struct api_error *error)
{
    uint64_t left = order->allowed;

    for (size_t i = 0; i < order->config->n_experts; i++)
        if (!can_answer(order, i))
            left &= ~(UINT64_C(1) << i);
    if (left == 0)
        return api_error_set(error, API_UNSUPPORTED, "model",
                             "no expert that this model allows speaks '%s'",
                             chat_path(order->chat->shape));
    order->allowed = left;
    return API_OK;
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
        order->policy = &config->policies[policy];
        order->allowed = order->policy->experts;
        order->preferred = order->policy->default_expert;
        order->allowed |= UINT64_C(1) << order->preferred;
    } else if (policy < 0 && expert >= 0 &&
               (config->experts[expert].has_generator ||
                order->chat->shape == CHAT_INPUT)) {
        order->preferred = (size_t)expert;
        order->allowed = UINT64_C(1) << expert;
    }
    order->allowed &= key->experts;
    order->reachable = key->experts;
    if (order->allowed == 0)
        return no_model(order, key, error);
    return drop_silent(order, error);
}

static void prefer_among(struct order *order, uint64_t allowed)
{
    assert(allowed != 0);
    order->allowed = allowed;
    if (!order_allows(order, order->preferred))
        order->preferred = (size_t)__builtin_ctzll(allowed);
}

static enum api_err narrow(struct order *order, const struct frugal_options *options,
                           struct api_error *error)
{
    uint64_t mask;
    enum api_err err = frugal_options_mask(options, order->config, &mask, error);

    if (err != API_OK)
        return err;
    order->allowed &= mask;
    if (order->allowed == 0)
        return api_error_set(error, API_BAD_OPTION, "experts",
                             "none of the experts asked for is allowed by this model");
    prefer_among(order, drop_too_small(order, order->allowed));
    return API_OK;
}

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

/* Under a ceiling nobody is asked who cannot be bounded. */
static enum api_err cap(struct order *order, uint64_t barred, struct api_error *error)
{
    struct chat_extras extras = chat_extras(order->chat);
    uint64_t left = order->allowed & ~barred;

    if (extras.odd_key.n > 0)
        return refuse_odd_key(extras.odd_key, error);
    if (extras.unpriced != NULL)
        return api_error_set(error, API_UNPRICED, extras.unpriced,
                             "'%s' may have a price of its own and is not allowed under "
                             "a budget",
                             extras.unpriced);
    if (left == 0)
        return api_error_set(error, API_BUDGET, "budget_usd",
                             "no allowed expert keeps to its output limit, so a budget "
                             "cannot be kept");
    for (size_t i = 0; extras.cache_marks && i < order->config->n_experts; i++) {
        const struct config_prices *prices = &generator_of(order, i)->prices;

        if ((left >> i & 1) != 0 && !prices->free && !prices->writes_priced)
            left &= ~(UINT64_C(1) << i);
    }
    if (left == 0)
        return api_error_set(error, API_UNPRICED, "cache_control",
                             "'cache_control' may have a price of its own: no allowed "
                             "expert has one for 'cache_write'");
    prefer_among(order, left);
    return API_OK;
}

enum api_err order_make(struct order *order, const struct config *config,
                        const struct chat_request *chat,
                        const struct frugal_options *options, const struct key_allow *key,
                        uint64_t barred, int64_t now_s, struct api_error *error)
{
    enum api_err err;

    *order = (struct order){ .steering = 1,
                             .config = config,
                             .chat = chat,
                             .deadline_ms = config->limits.request_deadline_ms };
    err = choose_model(order, key, error);
    if (err == API_OK)
        err = narrow(order, options, error);
    if (err != API_OK)
        return err;
    take_policy(order);
    take_options(order, options);
    order->capped = order->ceiling_pico != MONEY_NONE || key->bounded;
    /* A second for the clocks of others, and one for what is left of the deadline's. */
    order->span = (struct price_span){ now_s - 1, now_s + order->deadline_ms / 1000 + 2 };
    return order->capped ? cap(order, barred, error) : API_OK;
}

/* The output limit of an untrimmed answer; 0: none. Without a ceiling the request goes on
 * as it came, whatever the policy's limit is. */
static int64_t full_limit(const struct order *order, size_t expert)
{
    return price_output_limit(generator_of(order, expert), order->chat,
                              order->capped ? order->policy_tokens : 0);
}

/* By bytes, or as it was counted. */
static int64_t prompt_tokens(const struct order *order, size_t expert)
{
    return price_prompt_counted(generator_of(order, expert), order->chat,
                                order->counted[expert]);
}

static int64_t worst_of(const struct order *order, size_t expert, int64_t limit)
{
    return price_worst_of(generator_of(order, expert), order->chat,
                          prompt_tokens(order, expert), order->span, limit);
}

/* The shortest answer that is still worth its prompt. */
static int64_t least_limit(const struct order *order, size_t expert)
{
    int64_t full = full_limit(order, expert);

    return full > 0 && full < ORDER_LEAST_TOKENS ? full : ORDER_LEAST_TOKENS;
}

int64_t order_expected(const struct order *order, size_t expert, double expected_tokens)
{
    const struct config_generator *g = generator_of(order, expert);
    const struct config_rates *rates =
        price_expected_rates(g, order->chat, order->span.from_s);
    int64_t limit = full_limit(order, expert);
    int64_t tokens = ORDER_EXPECTED_TOKENS;

    if (!isnan(expected_tokens) && expected_tokens >= 0 && expected_tokens < 1e12)
        tokens = (int64_t)ceil(expected_tokens);
    if (limit > 0 && tokens > limit)
        tokens = limit;
    return money_add(price_prompt_pico(g, order->chat, order->span.from_s),
                     money_mul(money_mul(rates->output_pico, tokens), order->chat->n));
}

int64_t order_least_worst(const struct order *order, size_t expert)
{
    int64_t limit = full_limit(order, expert);

    if (order->capped && order->on_budget == CONFIG_ON_BUDGET_TRIM)
        limit = least_limit(order, expert);
    return worst_of(order, expert, limit);
}

bool order_wants_count(const struct order *order, size_t expert, int64_t remaining_pico)
{
    const struct config_generator *g = generator_of(order, expert);
    struct order least;

    if (!order->capped || !order_allows(order, expert) ||
        order->chat->shape != CHAT_MESSAGES || g->prompt_bound != CONFIG_BOUND_TOKENIZE ||
        worst_of(order, expert, full_limit(order, expert)) <= remaining_pico)
        return false;
    least = *order;
    least.counted[expert] = 1;
    return order_least_worst(&least, expert) <= remaining_pico &&
           order_least_worst(&least, expert) < MONEY_NONE;
}

bool order_count(struct order *order, size_t expert, int64_t tokens)
{
    if (tokens < 1 || tokens > (int64_t)order->chat->message_bytes)
        return false;
    order->counted[expert] = tokens;
    return true;
}

enum config_prompt_bound order_bound(const struct order *order, size_t expert)
{
    if (order->counted[expert] > 0)
        return CONFIG_BOUND_TOKENIZE;
    return generator_of(order, expert)->prompt_bound == CONFIG_BOUND_NONE
               ? CONFIG_BOUND_NONE
               : CONFIG_BOUND_BYTES;
}

bool order_possible(const struct order *order, int64_t remaining_pico)
{
    if (!order->capped)
        return true;
    for (size_t i = 0; i < order->config->n_experts; i++)
        if (order_allows(order, i) && order_least_worst(order, i) <= remaining_pico &&
            order_least_worst(order, i) != MONEY_NONE)
            return true;
    return false;
}

/* Under "reject" whoever turns out to be the best must still fit, so all of them must. */
int64_t order_answer_pico(const struct order *order)
{
    bool strict = order->on_budget == CONFIG_ON_BUDGET_REJECT;
    int64_t kept = strict ? 0 : MONEY_NONE;

    for (size_t i = 0; i < order->config->n_experts; i++) {
        int64_t worst;

        if (!order_allows(order, i))
            continue;
        worst = order_least_worst(order, i);
        kept = (strict ? worst > kept : worst < kept) ? worst : kept;
    }
    return kept;
}

int64_t order_evidence_pico(const struct order *order, int64_t remaining_pico)
{
    int64_t kept = order->capped ? order_answer_pico(order) : 0;

    if (!order->capped)
        return MONEY_NONE;
    return kept < remaining_pico ? remaining_pico - kept : 0;
}

bool order_fit(const struct order *order, size_t expert, int64_t remaining_pico,
               double expected_tokens, struct order_terms *ret_terms)
{
    const struct config_generator *g = generator_of(order, expert);
    int64_t full = full_limit(order, expert);
    struct order_terms terms = { .worst_pico = worst_of(order, expert, full) };
    int64_t limit = full;

    if (order->capped) {
        if (terms.worst_pico > remaining_pico || terms.worst_pico == MONEY_NONE) {
            if (order->on_budget != CONFIG_ON_BUDGET_TRIM)
                return false;
            limit = price_trim_of(g, order->chat, prompt_tokens(order, expert),
                                  order->span, full, remaining_pico);
            if (limit < least_limit(order, expert))
                return false;
            terms.trimmed = true;
            terms.worst_pico = worst_of(order, expert, limit);
        }
        assert(terms.worst_pico <= remaining_pico);
        terms.limit_tokens = limit;
    }
    terms.expected_pico = order_expected(order, expert, expected_tokens);
    if (terms.expected_pico > terms.worst_pico)
        terms.expected_pico = terms.worst_pico;
    *ret_terms = terms;
    return true;
}

enum api_err order_too_dear(const struct order *order, int64_t spent_pico,
                            struct api_error *error)
{
    char least_text[MONEY_TEXT_BYTES], ceiling_text[MONEY_TEXT_BYTES];
    int64_t least = MONEY_NONE;
    size_t cheapest = order->preferred;

    for (size_t i = 0; i < order->config->n_experts; i++) {
        int64_t worst;

        if (!order_allows(order, i))
            continue;
        worst = order_least_worst(order, i);
        if (worst < least) {
            least = worst;
            cheapest = i;
        }
    }
    money_format(order->ceiling_pico, ceiling_text);
    if (least == MONEY_NONE)
        return api_error_set(
            error, API_BUDGET, "budget_usd",
            "no allowed expert has an upper bound for this request, so a "
            "budget of %s USD cannot be kept",
            ceiling_text);
    money_format(money_add(least, spent_pico), least_text);
    if (money_add(least, spent_pico) <= order->ceiling_pico)
        return api_error_set(
            error, API_BUDGET, "budget_usd",
            "the best expert for this request does not fit under its budget of %s USD in "
            "the worst case, and nobody else may answer ('on_budget'); the cheapest, "
            "'%s', can cost %s USD",
            ceiling_text, order->config->experts[cheapest].name, least_text);
    return api_error_set(
        error, API_BUDGET, "budget_usd",
        "this request can cost %s USD at least in the worst case (expert "
        "'%s'), which is above its budget of %s USD",
        least_text, order->config->experts[cheapest].name, ceiling_text);
}
