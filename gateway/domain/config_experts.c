/* config_experts.c - the section `experts`: endpoints, prices, keys, timeouts. */
#include "gateway/domain/config_read.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "gateway/domain/ability.h"

#define MILLION   1e6
#define DAY_MS    86400000.0
#define HUGE_SIZE 1e9

static const char *const prompt_bounds[] = {
#define X(name, word) word,
    CONFIG_PROMPT_BOUNDS(X)
#undef X
        NULL
};
static const char *const tokenizer_takes[] = {
#define X(name, word) word,
    CONFIG_TOKENIZER_TAKES(X)
#undef X
        NULL
};
static const char *const limit_fields[] = { "any", "max_tokens", "max_completion_tokens",
                                            NULL };

/* What a section says before it is checked against the rest. */
struct draft_expert {
    struct config_expert expert;
    bool free;
};
struct draft_generator {
    struct config_generator generator;
    bool free;
};
struct draft_embedding {
    struct config_embedding embedding;
    bool free;
};

#define AT(type, member) offsetof(struct type, member)

static const struct setting expert_settings[] = {
    { "endpoints", SETTING_OTHER, .required = true,
      .help = "base URLs, as far as /v1; several are used in turn" },
    { "key", SETTING_OTHER,
      .help = "secret sent as bearer token: {\"env\"} or {\"file\"}" },
    { "key_header", SETTING_TEXT, AT(draft_expert, expert.key_header), "authorization",
      .help = "field that carries it; another than authorization: as it is, such as in "
              "x-api-key" },
    { "max_in_flight", SETTING_INT, AT(draft_expert, expert.max_in_flight), "64", 1,
      MILLION, .help = "calls under way at once, all workers together" },
    { "trusted_from", SETTING_OTHER,
      .help =
          "UTC, \"2026-07-01\" or \"2026-07-01T12:00:00Z\": lifts the bar from ceilings "
          "for what it charged above its worst case before" },
    { "free", SETTING_BOOL, AT(draft_expert, free), "false",
      .help = "costs nothing: no prices are needed" },
    { "ca_file", SETTING_PATH, AT(draft_expert, expert.tls.ca_file),
      .help = "PEM file with the authorities that are trusted instead of the system's" },
    { "cert_file", SETTING_PATH, AT(draft_expert, expert.tls.cert_file),
      .help = "PEM file with the certificate that https endpoints are shown, and those "
              "between it and the root" },
    { "key_file", SETTING_PATH, AT(draft_expert, expert.tls.key_file),
      .help = "PEM file with the key of that certificate, without a passphrase" },
    { "tls_verify", SETTING_BOOL, AT(draft_expert, expert.tls.verify), "true",
      .help = "check the certificate of an https endpoint" },
    { "http2", SETTING_BOOL, AT(draft_expert, expert.tls.http2), "true",
      .help = "offer HTTP/2 to https endpoints, one request at a time on a connection" },
    { "prior_like", SETTING_TEXT, AT(draft_expert, expert.prior_like),
      .help =
          "an expert of the bundle that this one is expected to be like as long as it "
          "has few rows or none; see a policy's explore_percent" },
    { "generator", SETTING_OTHER, .help = "what its chat endpoint is" },
    { "embedding", SETTING_OTHER, .help = "what its embeddings endpoint is" },
    { "timeouts_ms", SETTING_OTHER, .help = "four different timeouts" },
    { "health", SETTING_OTHER,
      .help = "when an endpoint counts as down, and how it comes back" },
    { "probe", SETTING_OTHER,
      .help = "checks of its endpoints beside the calls, free of charge" },
};

static const struct setting timeout_settings[] = {
    { "connect", SETTING_INT, AT(config_timeouts, connect_ms), "2000", 1, DAY_MS,
      .help = "until the connection stands, TLS included" },
    { "first_byte", SETTING_INT, AT(config_timeouts, first_byte_ms), "30000", 1, DAY_MS,
      .help = "from the request to the first byte of the answer" },
    { "idle", SETTING_INT, AT(config_timeouts, idle_ms), "30000", 1, DAY_MS,
      .help = "between two pieces of an answer" },
    { "total", SETTING_INT, AT(config_timeouts, total_ms), "600000", 1, DAY_MS,
      .help = "of a whole call" },
};

static const struct setting health_settings[] = {
    { "failures", SETTING_INT, AT(config_health, failures), "5", 0, 1000,
      .help = "calls failed in a row that take an endpoint out; 0: they do not" },
    { "share_percent", SETTING_INT, AT(config_health, share_percent), "50", 0, 100,
      .help = "of the calls of a window, failed, that take it out; 0: they do not" },
    { "share_calls", SETTING_INT, AT(config_health, share_calls), "20", 1, MILLION,
      .help = "of which there must be at least so many" },
    { "window_ms", SETTING_INT, AT(config_health, window_ms), "10000", 100, 600000,
      .help = "length of a window" },
    { "open_ms", SETTING_INT, AT(config_health, open_ms), "1000", 10, 3.6e6,
      .help = "it is left alone for, the first time; then one call tries it" },
    { "open_max_ms", SETTING_INT, AT(config_health, open_max_ms), "60000", 10, DAY_MS,
      .help = "the same at most: it doubles while trials fail" },
    { "slow_start_ms", SETTING_INT, AT(config_health, slow_start_ms), "10000", 0, 3.6e6,
      .help = "until an endpoint that is back gets its whole share of calls" },
    { "limited_max_ms", SETTING_INT, AT(config_health, limited_max_ms), "3600000", 0,
      DAY_MS, .help = "longest Retry-After that is honoured" },
};

static const char *const probe_kinds[] = {
#define X(name, word) word,
    CONFIG_PROBE_KINDS(X)
#undef X
        NULL
};

static const struct setting probe_settings[] = {
    { "kind", SETTING_WORD, AT(config_probe, kind), "none", .words = probe_kinds,
      .help = "tcp: a connection is opened; models: GET /models. Never a generation" },
    { "every_ms", SETTING_INT, AT(config_probe, every_ms), "5000", 100, 3.6e6,
      .help = "time between two checks of an endpoint" },
};

static const struct setting generator_settings[] = {
    { "model", SETTING_TEXT, AT(draft_generator, generator.model), .required = true,
      .help = "the expert's own name of the model" },
    { "api", SETTING_OTHER,
      .help = "what it speaks of \"chat\", \"completions\", \"responses\", \"messages\"; "
              "default the first two" },
    { "capabilities", SETTING_OTHER,
      .help =
          "what it is able to, exactly: \"tools\", \"images\", ...; default everything" },
    { "price", SETTING_OTHER,
      .help = "USD per million tokens; a list: one after another, by date" },
    { "free", SETTING_BOOL, AT(draft_generator, free), "false", .help = "costs nothing" },
    { "context", SETTING_INT, AT(draft_generator, generator.context_tokens), "0", 0,
      HUGE_SIZE, .help = "tokens of prompt and answer together; 0: not known" },
    { "max_output_tokens", SETTING_INT, AT(draft_generator, generator.max_output_tokens),
      "0", 0, HUGE_SIZE, .help = "cap of the model itself; 0: none is known" },
    { "prompt_bound", SETTING_WORD, AT(draft_generator, generator.prompt_bound), "bytes",
      .words = prompt_bounds,
      .help = "how the prompt's tokens are bounded before a call; tokenize: a free "
              "tokenizer is asked where its bytes do not fit" },
    { "tokenizer", SETTING_TEXT, AT(draft_generator, generator.tokenizer), "/tokenize",
      .help = "path of that tokenizer, at an endpoint's URL without its /v1" },
    { "tokenizer_takes", SETTING_WORD, AT(draft_generator, generator.tokenizer_takes),
      "content", .words = tokenizer_takes,
      .help = "what it is sent: content as to llama.cpp, messages as to vLLM" },
    { "tokenizer_ms", SETTING_INT, AT(draft_generator, generator.tokenizer_ms), "200", 1,
      1000, .help = "for which it is waited; then the bytes count" },
    { "output_limit_field", SETTING_WORD, AT(draft_generator, generator.limit_field),
      "any", .words = limit_fields,
      .help = "the only field under which it takes an output limit; any: it knows both" },
    { "request", SETTING_OTHER, .help = "what its requests are changed in, its dialect" },
    { "template_tokens", SETTING_INT, AT(draft_generator, generator.template_tokens),
      "64", 0, MILLION, .help = "what its chat template adds to a request, at most" },
    { "image_tokens", SETTING_INT, AT(draft_generator, generator.image_tokens), "0", 0,
      MILLION, .help = "upper bound of one image; 0: not known" },
};

static const struct setting embedding_settings[] = {
    { "model", SETTING_TEXT, AT(draft_embedding, embedding.model), .required = true,
      .help = "the expert's own name of the model" },
    { "dim", SETTING_INT, AT(draft_embedding, embedding.dim), "0", 0, 8192,
      .help = "numbers in a vector; 0: as they come" },
    { "price", SETTING_OTHER,
      .help = "USD per million prompt tokens: a number, or as of a generator" },
    { "free", SETTING_BOOL, AT(draft_embedding, free), "false", .help = "costs nothing" },
    { "hedge", SETTING_BOOL, AT(draft_embedding, embedding.hedge), "false",
      .help =
          "ask a second time, and pay for both, when a call takes longer than 95 % of "
          "those of late" },
    { "wait_ms", SETTING_NUMBER, AT(draft_embedding, embedding.wait_ms), "30", 0, DAY_MS,
      .help = "what a call is expected to take" },
};

static_assert(sizeof(size_t) == sizeof(int64_t), "dim is read as an integer setting");

/* -- endpoints -- */

/* rest: a URL behind its scheme. */
static bool is_port_good(struct str rest)
{
    size_t end = 0, colon;
    uint64_t port;

    while (end < rest.n && rest.p[end] != '/')
        end++;
    for (colon = end; colon > 0 && rest.p[colon - 1] != ':'; colon--)
        if (rest.p[colon - 1] == ']')
            return true; /* a v6 host's colons */
    if (colon == 0)
        return true;
    return str_to_u64(str_skip(str_first(rest, end), colon), &port) == ERR_OK &&
           port > 0 && port <= 65535;
}

static enum err check_endpoint(const struct config_node *node, struct str url)
{
    const struct str path = str_of("/chat/completions");
    struct str rest = url;

    if (str_starts(url, "http://"))
        rest = str_skip(url, 7);
    else if (str_starts(url, "https://"))
        rest = str_skip(url, 8);
    else
        return config_fail(node, "must begin with http:// or https://");
    if (rest.n == 0 || rest.p[0] == '/' || rest.p[0] == ':')
        return config_fail(node, "has no host");
    for (size_t i = 0; i < rest.n; i++) {
        if (rest.p[i] <= ' ' || rest.p[i] >= 0x7f)
            return config_fail(node, "has a byte that a URL cannot have");
        if (rest.p[i] == '@')
            return config_fail(node, "must not carry a user or password: use 'key'");
        if (rest.p[i] == '?' || rest.p[i] == '#')
            return config_fail(node, "must not have a query or fragment");
    }
    if (!is_port_good(rest))
        return config_fail(node, "has a port that is not one of 1 to 65535");
    if (rest.n > path.n && str_eq(str_skip(rest, rest.n - path.n), path))
        return config_fail(node, "must end before /chat/completions, which is added to "
                                 "it: usually at /v1");
    return ERR_OK;
}

static enum err read_endpoints(const struct config_node *node,
                               struct config_expert *expert)
{
    size_t n = json_array_size(node->json);

    if (!json_is_array(node->json) || n == 0 || n > CONFIG_MAX_ENDPOINTS)
        return config_fail(node, "must be a list of 1 to %d URLs", CONFIG_MAX_ENDPOINTS);
    expert->endpoints =
        arena_array(&node->reader->config->arena, n, sizeof(*expert->endpoints));
    if (!expert->endpoints)
        return config_fail_nomem(node);
    for (size_t i = 0; i < n; i++) {
        struct config_node element = config_element(node, i);
        struct str url;
        enum err err;

        if (!json_is_string(element.json))
            return config_fail(&element, "must be a string");
        url = str_of(json_string_value(element.json));
        while (url.n > 0 && url.p[url.n - 1] == '/')
            url.n--;
        err = check_endpoint(&element, url);
        if (err != ERR_OK)
            return err;
        expert->endpoints[i] = config_keep(&element, url);
        if (!expert->endpoints[i])
            return ERR_NOMEM;
        expert->n_endpoints++;
    }
    return ERR_OK;
}

/* -- generator and embedding -- */

static enum err read_apis(const struct config_node *node, unsigned *ret_apis)
{
    static const char *const words[] = {
#define X(name, word) word,
        CONFIG_APIS(X)
#undef X
    };
    size_t n = json_array_size(node->json);
    unsigned apis = 0;

    if (!node->json) {
        *ret_apis = 1u << CONFIG_API_CHAT | 1u << CONFIG_API_COMPLETIONS;
        return ERR_OK;
    }
    if (!json_is_array(node->json) || n == 0)
        return config_fail(node, "must be a list of APIs");
    for (size_t i = 0; i < n; i++) {
        struct config_node element = config_element(node, i);
        const char *word = json_string_value(element.json);
        size_t api = 0;

        while (api < ARRAY_LEN(words) && (!word || strcmp(word, words[api]) != 0))
            api++;
        if (api == ARRAY_LEN(words))
            return config_fail(&element, "must be \"chat\", \"completions\", "
                                         "\"responses\" or \"messages\"");
        apis |= 1u << api;
    }
    *ret_apis = apis;
    return ERR_OK;
}

static enum err read_abilities(const struct config_node *node,
                               struct config_generator *generator)
{
    char words[ABILITY_TEXT_BYTES];

    generator->abilities = ABILITY_ALL;
    generator->abilities_given = node->json != NULL;
    if (!node->json)
        return ERR_OK;
    if (!json_is_array(node->json))
        return config_fail(node, "must be a list of capabilities");
    generator->abilities = 0;
    for (size_t i = 0; i < json_array_size(node->json); i++) {
        struct config_node element = config_element(node, i);
        enum ability ability = ability_find(str_of(json_string_value(element.json)));

        if (ability == ABILITY_COUNT)
            return config_fail(&element, "no such capability: there are %s",
                               ability_words((UINT32_C(1) << ABILITY_COUNT) - 1, words));
        generator->abilities |= UINT32_C(1) << ability;
    }
    return ERR_OK;
}

static enum err check_tokenizer(const struct config_node *generator, const char *path)
{
    struct config_node node = config_child(generator, "tokenizer");

    if (path[0] != '/')
        return config_fail(&node, "must begin with a slash");
    for (; *path != '\0'; path++)
        if (*path <= ' ' || *path >= 0x7f || *path == '#')
            return config_fail(&node, "has a byte that a path cannot have");
    return ERR_OK;
}

static enum err read_generator(const struct config_node *node, bool free,
                               struct config_generator *generator)
{
    struct draft_generator draft = { .free = false };
    struct config_node api, capabilities, request, price;
    enum err err = config_want_object(node);

    if (err == ERR_OK)
        err = config_settings(node, generator_settings, ARRAY_LEN(generator_settings),
                              &draft);
    if (err != ERR_OK)
        return err;
    api = config_child(node, "api");
    err = read_apis(&api, &draft.generator.apis);
    if (err != ERR_OK)
        return err;
    capabilities = config_child(node, "capabilities");
    err = read_abilities(&capabilities, &draft.generator);
    if (err != ERR_OK)
        return err;
    request = config_child(node, "request");
    err = config_read_request(&request, &draft.generator);
    if (err != ERR_OK)
        return err;
    err = check_tokenizer(node, draft.generator.tokenizer);
    if (err != ERR_OK)
        return err;
    if (draft.generator.context_tokens > 0 &&
        draft.generator.max_output_tokens > draft.generator.context_tokens)
        return config_fail(node, "'max_output_tokens' is above 'context', which holds "
                                 "prompt and answer together");
    price = config_child(node, "price");
    *generator = draft.generator;
    return config_read_prices(&price, free || draft.free, false, &generator->prices);
}

static enum err read_embedding(const struct config_node *node, bool free,
                               struct config_embedding *embedding)
{
    struct draft_embedding draft = { .free = false };
    struct config_node price;
    enum err err = config_want_object(node);

    if (err == ERR_OK)
        err = config_settings(node, embedding_settings, ARRAY_LEN(embedding_settings),
                              &draft);
    if (err != ERR_OK)
        return err;
    price = config_child(node, "price");
    *embedding = draft.embedding;
    return config_read_prices(&price, free || draft.free, true, &embedding->prices);
}

/* -- an expert -- */

static enum err check_key_header(const struct config_node *expert, const char *name)
{
    struct config_node node = config_child(expert, "key_header");
    static const char *const others[] = { "accept",         "connection",
                                          "content-length", "content-type",
                                          "host",           "transfer-encoding",
                                          "user-agent",     "x-request-id",
                                          "expect" };
    bool token = name[0] != '\0';

    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (str_eq_nocase(str_of(name), str_of(others[i])))
            return config_fail(&node, "names a header that carries something else");
    for (; *name != '\0'; name++)
        token = token && (isalnum((unsigned char)*name) || strchr("-_", *name) != NULL);
    return token ? ERR_OK : config_fail(&node, "is not the name of a header");
}

static enum err read_health(const struct config_node *node, struct config_health *health)
{
    enum err err =
        config_settings(node, health_settings, ARRAY_LEN(health_settings), health);

    if (err == ERR_OK && health->open_ms > health->open_max_ms)
        return config_fail(node,
                           "'open_ms' is %lld and above 'open_max_ms', %lld: lower the "
                           "one or raise the other",
                           (long long)health->open_ms, (long long)health->open_max_ms);
    return err;
}

static enum err read_parts(const struct config_node *node, bool free,
                           struct config_expert *expert)
{
    struct config_node endpoints = config_child(node, "endpoints");
    struct config_node key = config_child(node, "key");
    struct config_node timeouts = config_child(node, "timeouts_ms");
    struct config_node health = config_child(node, "health");
    struct config_node probe = config_child(node, "probe");
    struct config_node trusted = config_child(node, "trusted_from");
    struct config_node generator = config_child(node, "generator");
    struct config_node embedding = config_child(node, "embedding");
    enum err err = read_endpoints(&endpoints, expert);

    expert->trusted_from_s = INT64_MIN;
    if (err == ERR_OK && trusted.json)
        err = config_moment(&trusted, &expert->trusted_from_s);
    if (err == ERR_OK && key.json)
        err = config_secret(&key, &expert->key);
    if (err == ERR_OK)
        err = config_settings(&timeouts, timeout_settings, ARRAY_LEN(timeout_settings),
                              &expert->timeouts);
    if (err == ERR_OK)
        err = read_health(&health, &expert->health);
    if (err == ERR_OK)
        err = config_settings(&probe, probe_settings, ARRAY_LEN(probe_settings),
                              &expert->probe);
    expert->has_generator = generator.json != NULL;
    expert->has_embedding = embedding.json != NULL;
    if (err == ERR_OK && !generator.json && !embedding.json)
        return config_fail(node, "has neither 'generator' nor 'embedding'");
    if (err == ERR_OK && generator.json)
        err = read_generator(&generator, free, &expert->generator);
    if (err == ERR_OK && embedding.json)
        err = read_embedding(&embedding, free, &expert->embedding);
    expert->embedder = (struct config_generator){ .model = expert->embedding.model,
                                                  .prices = expert->embedding.prices,
                                                  .abilities = ABILITY_ALL,
                                                  .prompt_bound = CONFIG_BOUND_BYTES };
    return err;
}

static enum err read_expert(const struct config_node *node, struct config_expert *expert)
{
    struct draft_expert draft = { .free = false };
    enum err err = config_name(node, node->key);

    if (err == ERR_OK &&
        (strcmp(node->key, "surface") == 0 || strcmp(node->key, "lexical") == 0))
        return config_fail(node, "the name is taken by a built-in embedder");
    if (err == ERR_OK)
        err = config_want_object(node);
    if (err == ERR_OK)
        err = config_settings(node, expert_settings, ARRAY_LEN(expert_settings), &draft);
    if (err != ERR_OK)
        return err;
    err = check_key_header(node, draft.expert.key_header);
    if (err != ERR_OK)
        return err;
    if ((draft.expert.tls.cert_file == NULL) != (draft.expert.tls.key_file == NULL))
        return config_fail(node, "needs both 'cert_file' and 'key_file', or neither");
    *expert = draft.expert;
    expert->name = config_keep(node, str_of(node->key));
    return expert->name ? read_parts(node, draft.free, expert) : ERR_NOMEM;
}

enum err config_read_experts(const struct config_node *node)
{
    struct config *config = node->reader->config;
    size_t n = json_object_size(node->json);
    const char *name;
    json_t *value;

    if (!node->json)
        return config_fail(node->parent, "'experts' is missing");
    if (!json_is_object(node->json) || n == 0 || n > CONFIG_MAX_EXPERTS)
        return config_fail(node, "must be an object with 1 to %d experts",
                           CONFIG_MAX_EXPERTS);
    config->experts = arena_array(&config->arena, n, sizeof(*config->experts));
    if (!config->experts)
        return config_fail_nomem(node);
    json_object_foreach(node->json, name, value)
    {
        struct config_node child = config_child(node, name);
        enum err err = read_expert(&child, &config->experts[config->n_experts]);

        config->n_experts++; /* also a failed one: its key is wiped with the others */
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

void config_experts_help(struct buf *out)
{
#define HELP(section, table) config_settings_help(section, table, ARRAY_LEN(table), out)
    HELP("experts.NAME", expert_settings);
    HELP("experts.NAME.timeouts_ms", timeout_settings);
    HELP("experts.NAME.health", health_settings);
    HELP("experts.NAME.probe", probe_settings);
    HELP("experts.NAME.generator", generator_settings);
    config_request_help(out);
    config_prices_help(out);
    HELP("experts.NAME.embedding", embedding_settings);
#undef HELP
}
