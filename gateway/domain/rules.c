/* rules.c - who may answer which requests; see rules.h. */
#include "gateway/domain/rules.h"

#include <string.h>

#include "gateway/domain/pattern.h"

static bool binds(const struct config_rule *rule, int policy)
{
    if (policy < 0)
        return rule->policies == UINT64_MAX && rule->action != CONFIG_RULE_PIN;
    return (rule->policies >> policy & 1) != 0;
}

bool rules_want_text(const struct config *config, int policy)
{
    for (size_t r = 0; r < config->n_rules; r++)
        if (config->rules[r].pattern != NULL && binds(&config->rules[r], policy))
            return true;
    return false;
}

static bool has_tag(const struct frugal_options *options, const struct config_rule *rule)
{
    for (size_t i = 0; i < options->n_tags; i++)
        if (str_is(options->tags[i].name, rule->tag_name))
            return rule->tag_value == NULL ||
                   str_is(options->tags[i].value, rule->tag_value);
    return false;
}

/* Of a text that is too hard nobody knows. Whoever wrote it must not get past a rule that
 * keeps experts away, and must not choose one by it. */
static bool counts_as_match(const struct config_rule *rule, enum pattern_found found)
{
    return found == PATTERN_FOUND ||
           (found == PATTERN_TOO_HARD && rule->action != CONFIG_RULE_PIN);
}

/* The rule matches: what it says. A later pin takes the place of an earlier one, whichever
 * of the two is known first. */
static void take(const struct config *config, size_t r, struct rules_result *result)
{
    const struct config_rule *rule = &config->rules[r];

    result->matched |= UINT64_C(1) << r;
    switch (rule->action) {
    case CONFIG_RULE_ALLOW:
        result->allowed &= rule->experts;
        break;
    case CONFIG_RULE_DENY:
        result->allowed &= ~rule->experts;
        break;
    case CONFIG_RULE_PIN:
        if (result->pin < (int)r)
            result->pin = (int)r;
        break;
    }
}

void rules_look(const struct config *config, const struct rules_facts *facts,
                struct rules_result *ret_result)
{
    struct rules_result result = { .allowed = UINT64_MAX, .pin = -1 };

    for (size_t r = 0; r < config->n_rules; r++) {
        const struct config_rule *rule = &config->rules[r];

        if (!binds(rule, facts->policy) ||
            (rule->tag_name != NULL && !has_tag(facts->options, rule)))
            continue;
        if (rule->pattern != NULL) {
            enum pattern_found found = pattern_find(rule->pattern, facts->text);

            if (found == PATTERN_TOO_HARD)
                result.too_hard |= UINT64_C(1) << r;
            if (!counts_as_match(rule, found))
                continue;
        }
        if (rule->domain == NULL)
            take(config, r, &result);
        else if (facts->policy >= 0)
            result.open |= UINT64_C(1) << r;
    }
    *ret_result = result;
}

void rules_domain(const struct config *config, const char *domain,
                  struct rules_result *result)
{
    for (; result->open != 0; result->open &= result->open - 1) {
        size_t r = (size_t)__builtin_ctzll(result->open);

        if (domain != NULL && strcmp(config->rules[r].domain, domain) == 0)
            take(config, r, result);
    }
}
