/* order_rules.c - what rules make of an order; see order.h and domain/rules.h. */
#include "gateway/flow/order.h"

/* Of the rules that match, the last one by which any of these experts is kept away. */
static const struct config_rule *last_against(const struct order *order, uint64_t experts)
{
    const struct config_rule *last = NULL;

    for (size_t r = 0; r < order->config->n_rules; r++) {
        const struct config_rule *rule = &order->config->rules[r];

        if ((order->rules.found.matched >> r & 1) == 0)
            continue;
        if ((rule->action == CONFIG_RULE_ALLOW && (experts & ~rule->experts) != 0) ||
            (rule->action == CONFIG_RULE_DENY && (experts & rule->experts) != 0))
            last = rule;
    }
    return last;
}

/* False: nobody is left. */
static bool apply(struct order *order)
{
    struct order_rules *rules = &order->rules;
    uint64_t gone = order->allowed & ~rules->found.allowed;

    if (gone != 0)
        rules->decided = last_against(order, gone);
    order_exclude(order, gone, EXCLUDED_RULE);
    if (order->allowed == 0)
        return false;
    order_prefer(order);
    if (!order_allows(order, order->sticky.expert))
        order->sticky.held = order->sticky.firm = false;
    if (rules->found.pin >= 0) {
        const struct config_rule *pin = &order->config->rules[rules->found.pin];
        size_t expert = (size_t)__builtin_ctzll(pin->experts);

        if (order_allows(order, expert)) {
            rules->pinned = true;
            rules->decided = pin;
            order->preferred = expert;
        }
    }
    return true;
}

int order_policy(const struct order *order)
{
    return order->policy != NULL ? (int)(order->policy - order->config->policies) : -1;
}

enum api_err order_rule(struct order *order, const struct frugal_options *options,
                        struct str text, struct api_error *error)
{
    struct rules_facts facts = { .policy = order_policy(order),
                                 .options = options,
                                 .text = text };

    rules_look(order->config, &facts, &order->rules.found);
    return apply(order) ? API_OK : order_ruled_out(order, error);
}

bool order_rule_domain(struct order *order, const char *domain)
{
    rules_domain(order->config, domain, &order->rules.found);
    return apply(order);
}

enum api_err order_ruled_out(const struct order *order, struct api_error *error)
{
    return api_error_set(error, API_RULE, NULL,
                         "the rule '%s' of this gateway lets no expert answer this "
                         "request",
                         order->rules.decided->name);
}

const char *order_reason_word(const struct order *order, enum reason reason)
{
    return reason == REASON_RULE && order->rules.decided != NULL
               ? order->rules.decided->reason
               : reason_word(reason);
}
