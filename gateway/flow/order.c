/* order.c - on which terms an expert is asked; see order.h. Who may be asked at all:
 * order_choose.c.
 *
 * The promise kept here: order_fit is the only source of the limit that is sent and of the
 * worst case that is reserved, and computes the one from the other, so an expert is never
 * called with a limit that could cost more than its reservation.
 */
#include "gateway/flow/order.h"

#include <assert.h>
#include <math.h>

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

void order_stick(struct order *order, size_t expert, bool firm, int64_t saved_pico)
{
    assert(order_allows(order, expert) && saved_pico >= 0);
    order->preferred = expert;
    order->sticky = (struct order_sticky){
        .held = true, .firm = firm, .expert = expert, .saved_pico = saved_pico
    };
}

bool order_allows(const struct order *order, size_t expert)
{
    return (order->allowed >> expert & 1) != 0;
}

const struct chat_request *order_form(const struct order *order, size_t expert)
{
    assert(expert < order->config->n_experts);
    return order->told ? order->chat
                       : chat_form(order->chat, &order->config->experts[expert]);
}

size_t order_allowed_count(const struct order *order)
{
    return (size_t)__builtin_popcountll(order->allowed);
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
    return price_prompt_counted(generator_of(order, expert), order_form(order, expert),
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

int64_t order_prompt_pico(const struct order *order, size_t expert)
{
    int64_t pico =
        price_prompt_pico(generator_of(order, expert), order->chat, order->span.from_s);

    if (!order->sticky.held || order->sticky.expert != expert)
        return pico;
    return pico > order->sticky.saved_pico ? pico - order->sticky.saved_pico : 0;
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
    return money_add(order_prompt_pico(order, expert),
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
        order_form(order, expert)->shape != CHAT_MESSAGES ||
        g->prompt_bound != CONFIG_BOUND_TOKENIZE ||
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

bool order_may_choose(const struct order *order, size_t expert)
{
    return order_allows(order, expert) &&
           (order->policy == NULL || (order->known >> expert & 1) != 0 ||
            (order->known & order->allowed) == 0 ||
            expert == order->policy->default_expert);
}

bool order_possible(const struct order *order, int64_t remaining_pico)
{
    if (!order->capped)
        return true;
    for (size_t i = 0; i < order->config->n_experts; i++)
        if (order_may_choose(order, i) && order_least_worst(order, i) <= remaining_pico &&
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

        if (!order_may_choose(order, i))
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

/* What is left of a key's budget is for others, too: who names no limit takes no more of it than
 * an answer needs, or half. */
static int64_t modest(const struct order *order, size_t expert, int64_t remaining_pico,
                      double expected_tokens)
{
    int64_t tokens = ORDER_EXPECTED_TOKENS, enough;

    if (order->ceiling_pico != MONEY_NONE || order->chat->output_limit > 0)
        return remaining_pico;
    if (expected_tokens >= 0 && expected_tokens < 1e12)
        tokens = (int64_t)ceil(expected_tokens);
    if (tokens < ORDER_LEAST_TOKENS)
        tokens = ORDER_LEAST_TOKENS;
    enough = worst_of(order, expert, tokens * ORDER_ROOM_TIMES);
    if (enough < remaining_pico / 2)
        enough = remaining_pico / 2;
    return enough < remaining_pico ? enough : remaining_pico;
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
                                  order->span, full,
                                  modest(order, expert, remaining_pico, expected_tokens));
            if (limit < least_limit(order, expert))
                return false;
            terms.trimmed = true;
            terms.worst_pico = worst_of(order, expert, limit);
        }
        assert(terms.worst_pico <= remaining_pico);
        terms.limit_tokens = limit;
    } else if (order->chat->output_limit > full) {
        terms.limit_tokens = full; /* the model's own: more would be refused */
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
