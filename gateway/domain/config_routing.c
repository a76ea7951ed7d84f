/* config_routing.c - the sections `stickiness`, what is remembered of conversations, and
 * `rules`, what an operator says beforehand. */
#include "gateway/domain/config_read.h"

#include <stdio.h>
#include <string.h>

#include "gateway/domain/frugal_headers.h"
#include "gateway/domain/pattern.h"

#define AT(member) offsetof(struct config_stickiness, member)

static const struct setting stickiness_settings[] = {
    { "entries", SETTING_INT, AT(entries), "100000", 0, 1e8, .restart = true,
      .help = "conversations that are remembered, 64 bytes each; 0: none" },
    { "keep_s", SETTING_INT, AT(keep_s), "3600", 1, 604800,
      .help = "a conversation that was silent for longer begins anew" },
    { "cache_s", SETTING_INT, AT(cache_s), "300", 0, 604800,
      .help = "how long experts hold a prompt's beginning in their cache after its last "
              "use: until then leaving one loses it" },
};

enum err config_read_stickiness(const struct config_node *node)
{
    return config_settings(node, stickiness_settings, ARRAY_LEN(stickiness_settings),
                           &node->reader->config->stickiness);
}

void config_stickiness_differ(const struct config *before, const struct config *after,
                              config_named fn, void *context)
{
    config_settings_differ("stickiness", stickiness_settings,
                           ARRAY_LEN(stickiness_settings), &before->stickiness,
                           &after->stickiness, fn, context);
}

/* -- rules ------------------------------------------------------------------------------- */

struct rule_draft {
    const char *name, *tag, *regex, *domain;
};

static const struct setting rule_settings[] = {
    { "name", SETTING_TEXT, offsetof(struct rule_draft, name), .required = true,
      .help = "shown as the reason 'rule:NAME'" },
    { "policies", SETTING_OTHER,
      .help = "whose requests it binds; absent: all requests, also those that name their "
              "expert (but for pins)" },
    { "when", SETTING_OTHER, .required = true, .help = "what must be so, all of it" },
    { "allow", SETTING_OTHER, .help = "experts that may answer, and nobody else" },
    { "deny", SETTING_OTHER, .help = "experts that may not answer" },
    { "pin", SETTING_OTHER,
      .help = "expert that is asked first, if it may answer; of several the last" },
};

static const struct setting when_settings[] = {
    { "tag", SETTING_TEXT, offsetof(struct rule_draft, tag),
      .help =
          "'name=value', or 'name' for any value, of the request's tags or its key's" },
    { "regex", SETTING_TEXT, offsetof(struct rule_draft, regex),
      .help = "found in the routing text (PCRE2, without backreferences and conditions "
              "on groups)" },
    { "domain", SETTING_TEXT, offsetof(struct rule_draft, domain),
      .help = "the prompt's, by the free evidence: of routed requests alone, and who "
              "names an expert is not bound by it" },
};

/* A list of names as a mask. */
static enum err read_mask(const struct config_node *node,
                          int (*find)(const struct config *, struct str),
                          const char *what, uint64_t *ret_mask)
{
    size_t n = json_array_size(node->json);
    uint64_t mask = 0;

    if (n == 0)
        return config_fail(node, "must be a list of names, and not empty");
    for (size_t i = 0; i < n; i++) {
        struct config_node element = config_element(node, i);
        const char *name = json_string_value(element.json);
        int found = name ? find(node->reader->config, str_of(name)) : -1;

        if (!name)
            return config_fail(&element, "must be a string");
        if (found < 0)
            return config_fail(&element, "there is no %s '%s'", what, name);
        mask |= UINT64_C(1) << found;
    }
    *ret_mask = mask;
    return ERR_OK;
}

static enum err read_tag(const struct config_node *node, const char *tag,
                         struct config_rule *rule)
{
    struct str value = str_of(tag), name;

    (void)str_cut(&value, '=', &name);
    if (name.n == 0 || name.n > FRUGAL_MAX_TAG_NAME || value.n > FRUGAL_MAX_TAG_VALUE ||
        (value.p != NULL && value.n == 0))
        return config_fail(node,
                           "must be 'name' or 'name=value', at most %d and %d bytes",
                           FRUGAL_MAX_TAG_NAME, FRUGAL_MAX_TAG_VALUE);
    rule->tag_name = config_keep(node, name);
    if (rule->tag_name != NULL && value.p != NULL) {
        rule->tag_value = config_keep(node, value);
        return rule->tag_value != NULL ? ERR_OK : ERR_NOMEM;
    }
    return rule->tag_name != NULL ? ERR_OK : ERR_NOMEM;
}

static enum err read_regex(const struct config_node *node, const char *regex,
                           struct config_rule *rule)
{
    struct pattern_error error = { .offset = 0 };
    enum err err;

    if (strlen(regex) > PATTERN_MAX_BYTES)
        return config_fail(node, "must be at most %d bytes", PATTERN_MAX_BYTES);
    err = pattern_new(str_of(regex), &rule->pattern, &error);
    if (err == ERR_NOMEM)
        return config_fail_nomem(node);
    if (err != ERR_OK && error.refused)
        return config_fail(node, "%s", error.text);
    return err == ERR_OK ? ERR_OK
                         : config_fail(node, "is no regular expression: %s at offset %zu",
                                       error.text, error.offset);
}

static enum err read_when(const struct config_node *node, struct rule_draft *draft,
                          struct config_rule *rule)
{
    struct config_node tag = config_child(node, "tag");
    struct config_node regex = config_child(node, "regex");
    enum err err = config_want_object(node);

    if (err == ERR_OK)
        err = config_settings(node, when_settings, ARRAY_LEN(when_settings), draft);
    if (err != ERR_OK)
        return err;
    if (draft->tag == NULL && draft->regex == NULL && draft->domain == NULL)
        return config_fail(node, "must have a 'tag', a 'regex' or a 'domain'");
    rule->domain = draft->domain;
    if (draft->tag != NULL)
        err = read_tag(&tag, draft->tag, rule);
    if (err == ERR_OK && draft->regex != NULL)
        err = read_regex(&regex, draft->regex, rule);
    return err;
}

/* Exactly one of the three. */
static enum err read_action(const struct config_node *node, struct config_rule *rule)
{
    static const char *const words[] = {
#define X(name, word) word,
        CONFIG_RULE_ACTIONS(X)
#undef X
    };
    struct config_node found = *node;
    size_t n = 0;
    int expert;

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        struct config_node child = config_child(node, words[i]);

        if (!child.json)
            continue;
        n++;
        rule->action = (enum config_rule_action)i;
        found = child;
    }
    if (n != 1)
        return config_fail(node, "must have one of 'allow', 'deny' and 'pin'");
    if (rule->action != CONFIG_RULE_PIN)
        return read_mask(&found, config_find_expert, "expert", &rule->experts);
    if (!json_is_string(found.json))
        return config_fail(&found, "must be a string");
    expert =
        config_find_expert(node->reader->config, str_of(json_string_value(found.json)));
    if (expert < 0)
        return config_fail(&found, "there is no expert '%s'",
                           json_string_value(found.json));
    rule->experts = UINT64_C(1) << expert;
    return ERR_OK;
}

static enum err read_rule(const struct config_node *node, struct config_rule *rule)
{
    struct config_node policies = config_child(node, "policies");
    struct config_node name = config_child(node, "name");
    struct config_node when = config_child(node, "when");
    struct rule_draft draft = { .name = NULL };
    char reason[CONFIG_MAX_NAME + 8];
    enum err err = config_want_object(node);

    rule->policies = UINT64_MAX;
    if (err == ERR_OK)
        err = config_settings(node, rule_settings, ARRAY_LEN(rule_settings), &draft);
    if (err == ERR_OK)
        err = config_name(&name, draft.name);
    if (err == ERR_OK)
        err = read_when(&when, &draft, rule);
    if (err == ERR_OK && policies.json)
        err = read_mask(&policies, config_find_policy, "policy", &rule->policies);
    if (err == ERR_OK)
        err = read_action(node, rule);
    if (err != ERR_OK)
        return err;
    rule->name = draft.name;
    (void)snprintf(reason, sizeof reason, "rule:%s", draft.name);
    rule->reason = config_keep(node, str_of(reason));
    return rule->reason != NULL ? ERR_OK : ERR_NOMEM;
}

enum err config_read_rules(const struct config_node *node)
{
    struct config *config = node->reader->config;
    size_t n = json_array_size(node->json);

    if (!node->json)
        return ERR_OK;
    if (!json_is_array(node->json) || n > CONFIG_MAX_RULES)
        return config_fail(node, "must be a list of at most %d rules", CONFIG_MAX_RULES);
    config->rules = arena_array(&config->arena, n, sizeof(*config->rules));
    if (!config->rules)
        return config_fail_nomem(node);
    memset(config->rules, 0, n * sizeof(*config->rules));
    for (size_t r = 0; r < n; r++) {
        struct config_node element = config_element(node, r);
        enum err err;

        config->n_rules++; /* whatever it has by then is released with the others */
        err = read_rule(&element, &config->rules[r]);
        for (size_t s = 0; err == ERR_OK && s < r; s++)
            if (strcmp(config->rules[s].name, config->rules[r].name) == 0)
                err = config_fail(&element, "the name '%s' is taken by another rule",
                                  config->rules[r].name);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

void config_rules_release(struct config *config)
{
    for (size_t r = 0; r < config->n_rules; r++)
        pattern_free(config->rules[r].pattern);
}

void config_routing_help(struct buf *out)
{
    config_settings_help("stickiness", stickiness_settings,
                         ARRAY_LEN(stickiness_settings), out);
    config_settings_help("rules.N", rule_settings, ARRAY_LEN(rule_settings), out);
    config_settings_help("rules.N.when", when_settings, ARRAY_LEN(when_settings), out);
}
