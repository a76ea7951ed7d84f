/* config_request.c - the section `request` of a generator: its dialect. */
#include "gateway/domain/config_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/domain/adapt.h"

static const struct setting request_settings[] = {
    { "rename", SETTING_OTHER,
      .help = "members of a request by the name that it knows: {\"old\": \"new\"}" },
    { "drop", SETTING_OTHER, .help = "members that it refuses: a list of names" },
    { "set", SETTING_OTHER,
      .help = "members that it is always sent, with their values; a client's go" },
};

/* What is read until it is known to be in order. */
struct draft {
    struct adapt_rule *rules;
    size_t n;
    struct buf set;
};

static bool is_comment(const char *key)
{
    return key[0] == '_' || key[0] == '$';
}

static enum err check_name(const struct config_node *node, const char *name)
{
    const size_t n = strlen(name);

    if (n == 0 || n > ADAPT_MAX_NAME)
        return config_fail(node, "a member's name has 1 to %d bytes", ADAPT_MAX_NAME);
    for (size_t i = 0; i < n; i++)
        if (name[i] <= ' ' || name[i] >= 0x7f || name[i] == '"' || name[i] == '\\')
            return config_fail(node, "a member's name has letters that need no escapes");
    return ERR_OK;
}

/* Each name in one rule only, so that their order does not matter. */
static enum err check_once(const struct config_node *node, const struct draft *draft,
                           const char *name)
{
    for (size_t i = 0; i < draft->n; i++) {
        const struct adapt_rule *rule = &draft->rules[i];

        if (strcmp(rule->field, name) == 0 ||
            (rule->to != NULL && strcmp(rule->to, name) == 0))
            return config_fail(node, "another rule has '%s', too", name);
    }
    return ERR_OK;
}

static enum err add_rule(const struct config_node *node, struct draft *draft,
                         enum adapt_way way, const char *field, const char *to)
{
    struct adapt_rule *rule = &draft->rules[draft->n];
    const char *why = NULL, *quoted = NULL;
    enum err err = check_name(node, field);
    bool limit = to != NULL && adapt_limit(str_of(field), str_of(to));
    char json[ADAPT_MAX_NAME + 3];

    if (err == ERR_OK && to != NULL)
        err = check_name(node, to);
    if (err == ERR_OK)
        err = check_once(node, draft, field);
    if (err == ERR_OK && to != NULL)
        err = check_once(node, draft, to);
    if (err != ERR_OK)
        return err;
    if (!limit)
        why = adapt_forbids(way, str_of(field), str_of(to));
    if (why != NULL)
        return config_fail(node, "'%s' cannot be %s: %s", field,
                           way == ADAPT_RENAME ? "renamed"
                           : way == ADAPT_DROP ? "dropped"
                                               : "set",
                           why);
    if (to != NULL && strcmp(field, to) == 0)
        return config_fail(node, "has that name already");
    if (draft->n == ADAPT_MAX_RULES)
        return config_fail(node, "there are more than %d rules", ADAPT_MAX_RULES);
    *rule = (struct adapt_rule){ .way = way, .limit = limit };
    rule->field = config_keep(node, str_of(field));
    if (to != NULL) {
        (void)snprintf(json, sizeof json, "\"%s\"", to);
        rule->to = config_keep(node, str_of(to));
        quoted = config_keep(node, str_of(json));
        rule->to_json = str_of(quoted);
    }
    if (!rule->field || (to != NULL && (!rule->to || !quoted)))
        return ERR_NOMEM;
    draft->n++;
    return ERR_OK;
}

static enum err read_rename(const struct config_node *node, struct draft *draft)
{
    const char *field;
    json_t *value;

    if (!node->json)
        return ERR_OK;
    if (!json_is_object(node->json))
        return config_fail(node, "must be an object of names");
    json_object_foreach(node->json, field, value)
    {
        struct config_node child = config_child(node, field);
        enum err err;

        if (is_comment(field))
            continue;
        if (!json_is_string(value))
            return config_fail(&child, "must be a name");
        err = add_rule(&child, draft, ADAPT_RENAME, field, json_string_value(value));
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static enum err read_drop(const struct config_node *node, struct draft *draft)
{
    enum err err = ERR_OK;

    if (!node->json)
        return ERR_OK;
    if (!json_is_array(node->json))
        return config_fail(node, "must be a list of names");
    for (size_t i = 0; i < json_array_size(node->json) && err == ERR_OK; i++) {
        struct config_node element = config_element(node, i);

        if (!json_is_string(element.json))
            return config_fail(&element, "must be a name");
        err =
            add_rule(&element, draft, ADAPT_DROP, json_string_value(element.json), NULL);
    }
    return err;
}

static enum err put_set(const struct config_node *node, struct draft *draft)
{
    char *json =
        json_dumps(node->json, JSON_COMPACT | JSON_ENCODE_ANY | JSON_PRESERVE_ORDER |
                                   JSON_REAL_PRECISION(15));

    if (!json)
        return config_fail_nomem(node);
    buf_putf(&draft->set, "\"%s\":%s,", node->key, json);
    free(json);
    return draft->set.failed
               ? config_fail(node, "what is set has more than %d bytes", ADAPT_MAX_SET)
               : ERR_OK;
}

static enum err read_set(const struct config_node *node, struct draft *draft)
{
    const char *field;
    json_t *value;

    if (!node->json)
        return ERR_OK;
    if (!json_is_object(node->json))
        return config_fail(node, "must be an object of members");
    json_object_foreach(node->json, field, value)
    {
        struct config_node child = config_child(node, field);
        enum err err;

        if (is_comment(field))
            continue;
        err = add_rule(&child, draft, ADAPT_SET, field, NULL);
        if (err == ERR_OK)
            err = put_set(&child, draft);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

/* A renamed limit is output_limit_field by another name, and the other way round, so that
 * what was done is shown alike. */
static enum err unify_limit(const struct config_node *node, struct draft *draft,
                            struct config_generator *generator)
{
    const char *const names[] = { [CONFIG_LIMIT_ANY] = NULL,
                                  [CONFIG_LIMIT_MAX_TOKENS] = "max_tokens",
                                  [CONFIG_LIMIT_MAX_COMPLETION_TOKENS] =
                                      "max_completion_tokens" };
    enum config_limit_field said = generator->limit_field;

    for (size_t i = 0; i < draft->n; i++) {
        if (!draft->rules[i].limit)
            continue;
        generator->limit_field =
            strcmp(draft->rules[i].to, names[CONFIG_LIMIT_MAX_TOKENS]) == 0
                ? CONFIG_LIMIT_MAX_TOKENS
                : CONFIG_LIMIT_MAX_COMPLETION_TOKENS;
        if (said != CONFIG_LIMIT_ANY && said != generator->limit_field)
            return config_fail(node,
                               "'output_limit_field' says the opposite of 'rename'");
        return ERR_OK;
    }
    if (said == CONFIG_LIMIT_ANY)
        return ERR_OK;
    return add_rule(
        node, draft, ADAPT_RENAME,
        names[said == CONFIG_LIMIT_MAX_TOKENS ? CONFIG_LIMIT_MAX_COMPLETION_TOKENS
                                              : CONFIG_LIMIT_MAX_TOKENS],
        names[said]);
}

static enum err take(const struct config_node *node, const struct draft *draft,
                     struct adapt *adapt)
{
    const char *set = config_keep(node, buf_str(&draft->set));

    if (!set)
        return ERR_NOMEM;
    *adapt = (struct adapt){ .n = draft->n, .rules = draft->rules, .set = str_of(set) };
    for (size_t i = 0; i < draft->n; i++)
        adapt->no_stream_options |=
            draft->rules[i].way == ADAPT_DROP &&
            str_is(str_of(scan_field_key(SCAN_STREAM_OPTIONS)), draft->rules[i].field);
    return ERR_OK;
}

enum err config_read_request(const struct config_node *node,
                             struct config_generator *generator)
{
    struct config_node rename = config_child(node, "rename");
    struct config_node drop = config_child(node, "drop");
    struct config_node set = config_child(node, "set");
    struct draft draft = { .n = 0 };
    enum err err = ERR_OK;

    if (!node->json && generator->limit_field == CONFIG_LIMIT_ANY)
        return ERR_OK;
    if (node->json)
        err = config_want_object(node);
    if (err == ERR_OK)
        err =
            config_settings(node, request_settings, ARRAY_LEN(request_settings), &draft);
    if (err != ERR_OK)
        return err;
    draft.rules =
        arena_array(&node->reader->config->arena, ADAPT_MAX_RULES, sizeof *draft.rules);
    if (!draft.rules)
        return config_fail_nomem(node);
    buf_init(&draft.set, ADAPT_MAX_SET);
    err = read_rename(&rename, &draft);
    if (err == ERR_OK)
        err = read_drop(&drop, &draft);
    if (err == ERR_OK)
        err = read_set(&set, &draft);
    if (err == ERR_OK)
        err = unify_limit(node, &draft, generator);
    if (err == ERR_OK)
        err = take(node, &draft, &generator->adapt);
    buf_release(&draft.set);
    return err;
}

void config_request_help(struct buf *out)
{
    config_settings_help("experts.NAME.generator.request", request_settings,
                         ARRAY_LEN(request_settings), out);
}
