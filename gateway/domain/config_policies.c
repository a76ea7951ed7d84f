/* config_policies.c - the sections `embedders` and `policies`.
 *
 * Policies come from two places: the file that `policies_file` names, which a program wrote, and
 * the section, which a person did. A name that is in both is one policy: what the section says
 * stands, setting by setting.
 */
#include "gateway/domain/config_read.h"

#include <string.h>

#include <xxhash.h>

static const char *const on_budgets[] = {
#define X(name, word) word,
    CONFIG_ON_BUDGETS(X)
#undef X
        NULL
};

#define AT(member) offsetof(struct config_policy, member)

static const struct setting policy_settings[] = {
    { "value_usd", SETTING_USD, AT(value_pico),
      .help = "what one right answer is worth; absent: what the bundle was tuned to, or "
              "cost is no "
              "matter" },
    { "wait_per_s", SETTING_NUMBER, AT(wait_per_s), "0", 0, 1000,
      .help = "quality that a second of waiting costs" },
    { "min_quality", SETTING_NUMBER, AT(min_quality), "0", 0, 1,
      .help = "least predicted quality" },
    { "switch_z", SETTING_NUMBER, AT(switch_z), "1", 0, 100,
      .help = "standard errors by which a prompt's gain over the best fixed expert must "
              "exceed 0" },
    { "gain_se", SETTING_NUMBER, AT(gain_se), "1", 0, 100,
      .help =
          "standard errors by which the expected gain of evidence that costs anything "
          "must exceed its price" },
    { "explore_percent", SETTING_NUMBER, AT(explore_percent), "0", 0, 100,
      .help =
          "requests, at most, in which an expert with few rows or none is tried where "
          "its prior_like says that it may be best" },
    { "experts", SETTING_OTHER, .help = "list of allowed experts; absent: all" },
    { "default", SETTING_OTHER,
      .help = "expert when the evidence is poor; absent: the first allowed one" },
    { "max_output_tokens", SETTING_INT, AT(max_output_tokens), "4096", 1, 1e9,
      .help = "output limit under a ceiling where the client sets none" },
    { "budget_usd", SETTING_USD, AT(budget_pico), .help = "ceiling of every request" },
    { "spend_target_usd_per_day", SETTING_USD, AT(target_pico),
      .help = "lambda is corrected by what was spent since midnight UTC so that a day "
              "costs about so much; needs 'value_usd'" },
    { "steer_least", SETTING_NUMBER, AT(steer_least), "0.25", 0.000001, 1,
      .help = "least factor of that correction" },
    { "steer_most", SETTING_NUMBER, AT(steer_most), "64", 1, 1e6,
      .help = "largest factor of that correction" },
    { "on_budget", SETTING_WORD, AT(on_budget), "trim", .words = on_budgets,
      .help = "what to do when the ceiling cannot be met" },
    { "sticky", SETTING_BOOL, AT(sticky), "true",
      .help = "conversations stay with their expert unless leaving pays for its cache" },
    { "decision_deadline_ms", SETTING_INT, AT(decision_deadline_ms), "2000", 1, 600000,
      .help = "evidence that comes later is not waited for" },
    { "expected", SETTING_OTHER,
      .help = "what `frugalctl tune` found out about it; decides nothing" },
};

#undef AT
#define AT(member) offsetof(struct config_expected, member)

static const struct setting expected_settings[] = {
    { "quality", SETTING_NUMBER, AT(quality), NULL, 0, 1, .required = true,
      .help = "mean quality of an answer, found by cross-validation" },
    { "quality_se", SETTING_NUMBER, AT(quality_se), NULL, 0, 1, .required = true,
      .help = "its standard error" },
    { "quality_low", SETTING_NUMBER, AT(quality_low), NULL, 0, 1, .required = true,
      .help = "lower end of its 95 % interval" },
    { "quality_high", SETTING_NUMBER, AT(quality_high), NULL, 0, 1, .required = true,
      .help = "upper end of its 95 % interval" },
    { "usd_per_1k", SETTING_NUMBER, AT(usd_per_1k), NULL, 0, 1e12, .required = true,
      .help = "cost of a thousand requests in USD" },
    { "usd_per_1k_se", SETTING_NUMBER, AT(usd_per_1k_se), NULL, 0, 1e12, .required = true,
      .help = "its standard error" },
    { "usd_per_1k_low", SETTING_NUMBER, AT(usd_per_1k_low), NULL, 0, 1e12,
      .required = true, .help = "lower end of its 95 % interval" },
    { "usd_per_1k_high", SETTING_NUMBER, AT(usd_per_1k_high), NULL, 0, 1e12,
      .required = true, .help = "upper end of its 95 % interval" },
    { "rows", SETTING_INT, AT(rows), "0", 0, 1e12,
      .help = "prompts that it was found by" },
    { "bundle", SETTING_TEXT, AT(bundle), .help = "id of the bundle that was tuned" },
};

/* Settings that choose experts: what was expected under others says nothing. */
static const char *const choosing[] = { "value_usd", "wait_per_s", "min_quality",
                                        "switch_z",  "gain_se",    "experts",
                                        "budget_usd" };

/* -- embedders -- */

static enum err read_embedder(const struct config_node *node, const char *name,
                              struct config_embedder *embedder)
{
    struct config *config = node->reader->config;
    int expert;

    for (size_t i = 0; i < config->n_embedders; i++)
        if (strcmp(config->embedders[i].name, name) == 0)
            return config_fail(node, "'%s' is listed twice", name);
    embedder->name = config_keep(node, str_of(name));
    if (!embedder->name)
        return ERR_NOMEM;
    if (strcmp(name, "surface") == 0) {
        embedder->kind = CONFIG_EMBEDDER_SURFACE;
    } else if (strcmp(name, "lexical") == 0) {
        embedder->kind = CONFIG_EMBEDDER_LEXICAL;
    } else {
        expert = config_find_expert(config, str_of(name));
        if (expert < 0)
            return config_fail(node, "there is no expert '%s'", name);
        if (!config->experts[expert].has_embedding)
            return config_fail(node, "the expert '%s' has no 'embedding'", name);
        embedder->kind = CONFIG_EMBEDDER_REMOTE;
        embedder->expert = (size_t)expert;
    }
    config->n_embedders++;
    return ERR_OK;
}

enum err config_read_embedders(const struct config_node *node)
{
    static const char *const fallback[] = { "surface", "lexical" };
    struct config *config = node->reader->config;
    size_t n = node->json ? json_array_size(node->json) : ARRAY_LEN(fallback);
    enum err err = ERR_OK;

    if (node->json && (!json_is_array(node->json) || n > CONFIG_MAX_EMBEDDERS))
        return config_fail(node, "must be a list of at most %d names",
                           CONFIG_MAX_EMBEDDERS);
    config->embedders = arena_array(&config->arena, n, sizeof(*config->embedders));
    if (!config->embedders)
        return config_fail_nomem(node);
    for (size_t i = 0; i < n && err == ERR_OK; i++) {
        struct config_node element = config_element(node, i);
        const char *name = node->json ? json_string_value(element.json) : fallback[i];

        if (!name)
            return config_fail(&element, "must be a string");
        err = read_embedder(&element, name, &config->embedders[i]);
    }
    return err;
}

/* -- policies -- */

static enum err read_generator_name(const struct config_node *node, size_t *ret_expert)
{
    const struct config *config = node->reader->config;
    const char *name = json_string_value(node->json);
    int expert;

    if (!name)
        return config_fail(node, "must be a string");
    expert = config_find_expert(config, str_of(name));
    if (expert < 0)
        return config_fail(node, "there is no expert '%s'", name);
    if (!config->experts[expert].has_generator)
        return config_fail(node, "the expert '%s' has no 'generator'", name);
    *ret_expert = (size_t)expert;
    return ERR_OK;
}

/* over: without a word all stay allowed who were. */
static enum err read_allowed(const struct config_node *node, bool over,
                             struct config_policy *policy)
{
    const struct config *config = node->reader->config;
    size_t expert = 0, n = json_array_size(node->json);

    if (!node->json && over)
        return ERR_OK;
    policy->experts = 0;
    if (!node->json) {
        for (size_t i = 0; i < config->n_experts; i++)
            policy->experts |= (uint64_t)config->experts[i].has_generator << i;
        return ERR_OK;
    }
    if (n == 0)
        return config_fail(node, "must be a list of experts, and not empty");
    for (size_t i = 0; i < n; i++) {
        struct config_node element = config_element(node, i);
        enum err err = read_generator_name(&element, &expert);

        if (err != ERR_OK)
            return err;
        policy->experts |= UINT64_C(1) << expert;
    }
    return ERR_OK;
}

static enum err read_default(const struct config_node *node, bool over,
                             struct config_policy *policy)
{
    bool stands = over && (policy->experts >> policy->default_expert & 1) != 0;
    enum err err;

    if (!node->json && !stands)
        policy->default_expert = (size_t)__builtin_ctzll(policy->experts);
    if (!node->json)
        return ERR_OK;
    err = read_generator_name(node, &policy->default_expert);
    if (err == ERR_OK && (policy->experts >> policy->default_expert & 1) == 0)
        return config_fail(node, "is not among the policy's 'experts'");
    return err;
}

static enum err read_expected(const struct config_node *policy_node, bool over,
                              struct config_policy *policy)
{
    struct config_node node = config_child(policy_node, "expected");

    for (size_t i = 0; over && i < ARRAY_LEN(choosing); i++)
        if (config_child(policy_node, choosing[i]).json)
            policy->has_expected = false;
    if (!node.json)
        return ERR_OK;
    policy->has_expected = true;
    return config_settings(&node, expected_settings, ARRAY_LEN(expected_settings),
                           &policy->expected);
}

static enum err check_money(const struct config_node *node, struct config_policy *policy)
{
    struct config_node value = config_child(node, "value_usd");
    struct config_node target = config_child(node, "spend_target_usd_per_day");

    if (policy->value_pico == 0)
        return config_fail(&value, "must be more than 0");
    if (policy->target_pico == 0)
        return config_fail(&target, "must be more than 0");
    if (policy->target_pico != MONEY_NONE && policy->value_pico == MONEY_NONE)
        return config_fail(&target, "needs 'value_usd': without a price of cost there is "
                                    "nothing to correct");
    if (policy->value_pico != MONEY_NONE)
        policy->lambda = 1 / money_to_usd(policy->value_pico);
    return ERR_OK;
}

/* Requests may say lambda, so policies are given it too; theirs is in USD. */
static enum err refuse_lambda(const struct config_node *node)
{
    struct config_node lambda = config_child(node, "lambda");

    if (!lambda.json)
        return ERR_OK;
    if (config_child(node, "value_usd").json)
        return config_fail(&lambda, "is 1 / 'value_usd', which is given too: keep "
                                    "'value_usd' and take 'lambda' away");
    return config_fail(&lambda, "unknown key: a policy says 'value_usd', which is "
                                "1 / lambda (USD that one right answer is worth)");
}

/* over: the policy is there already, and what this object does not say stays as it is. */
static enum err read_policy(const struct config_node *node, bool over,
                            struct config_policy *policy)
{
    struct config_node allowed = config_child(node, "experts");
    struct config_node fallback = config_child(node, "default");
    enum err err = config_name(node, node->key);

    if (err == ERR_OK && config_find_expert(node->reader->config, str_of(node->key)) >= 0)
        return config_fail(node, "the name is taken by an expert");
    if (err == ERR_OK)
        err = refuse_lambda(node);
    if (err == ERR_OK)
        err = (over ? config_settings_over : config_settings)(
            node, policy_settings, ARRAY_LEN(policy_settings), policy);
    policy->silent_value = policy->value_pico == MONEY_NONE;
    policy->silent_switch_z =
        (!over || policy->silent_switch_z) && !config_child(node, "switch_z").json;
    policy->silent_gain_se =
        (!over || policy->silent_gain_se) && !config_child(node, "gain_se").json;
    if (err == ERR_OK)
        err = read_allowed(&allowed, over, policy);
    if (err != ERR_OK)
        return err;
    policy->name = config_keep(node, str_of(node->key));
    if (!policy->name)
        return ERR_NOMEM;
    if (policy->experts == 0)
        return config_fail(node, "no expert has a 'generator'");
    err = check_money(node, policy);
    if (err == ERR_OK)
        err = read_default(&fallback, over, policy);
    return err == ERR_OK ? read_expected(node, over, policy) : err;
}

/* Every policy of an object; those that are there already are read over. */
static enum err read_each(const struct config_node *node)
{
    struct config *config = node->reader->config;
    enum err err = ERR_OK;
    const char *name;
    json_t *value;

    if (!json_is_object(node->json))
        return config_fail(node, "must be an object with at most %d policies",
                           CONFIG_MAX_POLICIES);
    json_object_foreach(node->json, name, value)
    {
        struct config_node child = config_child(node, name);
        int at = config_find_policy(config, str_of(name));

        if (at < 0 && config->n_policies == CONFIG_MAX_POLICIES)
            return config_fail(&child, "is one policy more than %d", CONFIG_MAX_POLICIES);
        err = config_want_object(&child);
        if (err == ERR_OK)
            err =
                read_policy(&child, at >= 0,
                            &config->policies[at >= 0 ? (size_t)at : config->n_policies]);
        if (err != ERR_OK)
            return err;
        config->n_policies += at < 0;
    }
    return ERR_OK;
}

/* Without any there is one policy, `auto`, of fallbacks only. */
static enum err read_only(const struct config_node *node)
{
    struct config *config = node->reader->config;
    struct config_node only = { node->reader, node, "auto", 0, NULL };
    bool generates = false;

    for (size_t i = 0; i < config->n_experts; i++)
        generates = generates || config->experts[i].has_generator;
    if (!generates)
        return ERR_OK;
    config->n_policies = 1;
    return read_policy(&only, false, &config->policies[0]);
}

static enum err read_file(struct config_reader *reader)
{
    struct config *config = reader->config;
    struct config_reader there = { .config = config, .error = reader->error };
    json_t *tree = NULL;
    struct buf text;

    buf_init(&text, CONFIG_MAX_FILE + 4096);
    enum err err = config_file_tree(config->policies_file, &there, &text, &tree);
    if (err == ERR_OK) {
        struct config_node root = { &there, NULL, NULL, 0, tree };

        config_error_file(reader->error, config->policies_file);
        err = read_each(&root);
        (void)snprintf(
            config->version, sizeof config->version, "%016llx",
            (unsigned long long)XXH3_64bits_withSeed(
                there.text.p, there.text.n, XXH3_64bits(reader->text.p, reader->text.n)));
    }
    if (err == ERR_OK)
        config_error_file(reader->error, config->path);
    json_decref(tree);
    buf_release(&text);
    return err;
}

enum err config_read_policies(const struct config_node *node)
{
    struct config *config = node->reader->config;
    enum err err = ERR_OK;

    config->policies =
        arena_array(&config->arena, CONFIG_MAX_POLICIES, sizeof(*config->policies));
    if (!config->policies)
        return config_fail_nomem(node);
    if (config->policies_file)
        err = read_file(node->reader);
    if (err == ERR_OK && !node->json && config->n_policies == 0)
        return read_only(node);
    return err == ERR_OK && node->json ? read_each(node) : err;
}

void config_policies_help(struct buf *out)
{
    config_settings_help("policies.NAME", policy_settings, ARRAY_LEN(policy_settings),
                         out);
    config_settings_help("policies.NAME.expected", expected_settings,
                         ARRAY_LEN(expected_settings), out);
}
