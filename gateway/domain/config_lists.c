/* config_lists.c - settings at the top that are lists of texts: origins, headers. */
#include <string.h>

#include <jansson.h>

#include "gateway/domain/config_read.h"

/* Useful to a client that paces itself, and no word of the operator's account. */
static const char *const usual_headers[] = {
    "x-ratelimit-*",        "anthropic-ratelimit-*", "retry-after",
    "openai-processing-ms", "openai-version",        "server-timing",
};

/* -- any of them -- */

static enum err read_list(const struct config_node *node, size_t most, const char *what,
                          enum err (*check)(const struct config_node *, struct str),
                          const char ***ret_texts, size_t *ret_n)
{
    struct config *config = node->reader->config;
    size_t n = json_array_size(node->json);

    if (!json_is_array(node->json) || n > most)
        return config_fail(node, "must be a list of at most %zu %s", most, what);
    *ret_texts = arena_array(&config->arena, n, sizeof(**ret_texts));
    if (!*ret_texts)
        return config_fail_nomem(node);
    for (*ret_n = 0; *ret_n < n; (*ret_n)++) {
        struct config_node element = config_element(node, *ret_n);
        enum err err;

        if (!json_is_string(element.json))
            return config_fail(&element, "must be a string");
        err = check(&element, str_of(json_string_value(element.json)));
        if (err != ERR_OK)
            return err;
        (*ret_texts)[*ret_n] =
            config_keep(&element, str_of(json_string_value(element.json)));
        if (!(*ret_texts)[*ret_n])
            return ERR_NOMEM;
    }
    return ERR_OK;
}

/* -- cors -- */

/* As browsers write it: scheme, host and port, no path. */
static enum err check_origin(const struct config_node *node, struct str origin)
{
    struct str rest = origin;

    if (str_is(origin, "*"))
        return ERR_OK;
    if (str_starts(origin, "http://"))
        rest = str_skip(origin, 7);
    else if (str_starts(origin, "https://"))
        rest = str_skip(origin, 8);
    else
        return config_fail(node, "must be \"*\", or begin with http:// or https://");
    if (rest.n == 0)
        return config_fail(node, "has no host");
    for (size_t i = 0; i < rest.n; i++)
        if (rest.p[i] <= ' ' || rest.p[i] >= 0x7f || rest.p[i] == '/')
            return config_fail(node, "an origin has a host and a port, and no path");
    return ERR_OK;
}

enum err config_read_cors(const struct config_node *node)
{
    struct config *config = node->reader->config;

    if (!node->json)
        return ERR_OK;
    return read_list(node, CONFIG_MAX_ORIGINS, "origins", check_origin, &config->cors,
                     &config->n_cors);
}

bool config_allows_origin(const struct config *config, struct str origin)
{
    for (size_t i = 0; i < config->n_cors; i++)
        if (str_is(str_of(config->cors[i]), "*") || str_is(origin, config->cors[i]))
            return true;
    return false;
}

/* -- headers of experts -- */

static enum err check_header(const struct config_node *node, struct str name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";

    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] == '\0' ||
            (!strchr(letters, name.p[i]) && (name.p[i] != '*' || i + 1 < name.n)))
            return config_fail(node, "must be a header's name in lower case, or the "
                                     "beginning of one and a '*'");
    return name.n > 0 ? ERR_OK : config_fail(node, "must not be empty");
}

enum err config_read_expert_headers(const struct config_node *node)
{
    struct config *config = node->reader->config;
    const char **names = NULL;
    enum err err;

    if (node->json) {
        err = read_list(node, CONFIG_MAX_HEADERS, "names", check_header, &names,
                        &config->n_expert_headers);
        config->expert_headers = names;
        return err;
    }
    config->expert_headers = usual_headers;
    config->n_expert_headers = ARRAY_LEN(usual_headers);
    return ERR_OK;
}
