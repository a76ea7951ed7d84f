/* probe.c - frugalctl probe: looks at an endpoint and prints the expert that it would be. */
#include "tools/ctl/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "gateway/base/clock.h"
#include "tools/ctl/command.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/price_form.h"
#include "tools/ctl/report.h"
#include "tools/ctl/textfile.h"

#define MODELS_SHOWN 40

struct probe_options {
    const char *model, *embedding_model, *key_env, *key_header, *name;
    const char *usd_per_hour, *prices, *add;
    struct option_list price;
    int64_t timeout_s;
    bool free, images, dry_run, json;
};

struct probe { /* all owned, but for the settings' borrowed texts */
    struct network network;
    struct probe_settings settings;
    struct probe_answer models; /* of GET /models */
    char *base, *name, *price, *embedding_price;
    struct probe_found found;
};

/* -- the models -------------------------------------------------------------------------- */

static struct jread_iter models_of(const struct probe *probe)
{
    struct jread_value root = probe_json(&probe->models);
    struct jread_value data = jread_get(root, "data");

    return jread_iter(data.type == JREAD_LIST ? data : jread_get(root, "models"));
}

static struct jread_value entry_of(const struct probe *probe, const char *model)
{
    struct jread_iter it = models_of(probe);
    struct jread_value entry;

    while (jread_next_element(&it, &entry))
        if (jread_string_is(jread_get(entry, "id"), model))
            return entry;
    return (struct jread_value){ .type = JREAD_NOTHING };
}

static enum fault_err get_models(struct probe *probe, struct fault *fault)
{
    char *url = memory_format("%s/models", probe->base);
    enum fault_err err =
        probe_call(&probe->settings.line, "GET", url, NULL, &probe->models, fault);

    free(url);
    return err;
}

/* URL as far as /v1, with or without a slash behind it, or without the /v1. */
static enum fault_err find_base(struct probe *probe, const char *url, struct fault *fault)
{
    size_t n = strlen(url);
    enum fault_err err;

    while (n > 0 && url[n - 1] == '/')
        n--;
    probe->base = memory_text_n(url, n);
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return fault_set(fault, FAULT_USAGE, "'%s' is no http:// or https:// URL", url);
    err = get_models(probe, fault);
    if (err == FAULT_OK && probe->models.status == 404 &&
        (n < 3 || strcmp(probe->base + n - 3, "/v1") != 0)) {
        char *longer = memory_format("%s/v1", probe->base);

        free(probe->base);
        probe->base = longer;
        probe_answer_release(&probe->models);
        err = get_models(probe, fault);
    }
    if (err == FAULT_OK && (probe->models.status == 401 || probe->models.status == 403)) {
        char *words = probe_refusal(&probe->models);

        err = fault_set(fault, FAULT_EXPERT,
                        "'%s' wants a key: name its environment variable with --key-env "
                        "(%s)",
                        probe->base, words);
        free(words);
    }
    probe->settings.base = probe->base;
    return err;
}

/* The one that was named, or the only one. */
static enum fault_err find_model(struct probe *probe, const struct probe_options *options,
                                 char **ret_model, struct fault *fault)
{
    struct jread_iter it = models_of(probe);
    struct jread_value entry;
    struct arena arena;
    size_t n = 0;
    struct str id = STR("");

    if (options->model != NULL) {
        if (entry_of(probe, options->model).type == JREAD_NOTHING)
            (void)fprintf(stderr, "'%s' does not list the model '%s'\n", probe->base,
                          options->model);
        *ret_model = memory_text(options->model);
        return FAULT_OK;
    }
    arena_init(&arena, PROBE_ANSWER_BYTES);
    while (jread_next_element(&it, &entry) && n < PROBE_MODELS_MAX) {
        if (jread_string(jread_get(entry, "id"), &arena, &id) != ERR_OK)
            continue;
        if (n++ < MODELS_SHOWN)
            (void)fprintf(stderr, "  " STR_FMT "\n", STR_ARG(id));
    }
    if (n > MODELS_SHOWN)
        (void)fprintf(stderr, "  ... and %zu more\n", n - MODELS_SHOWN);
    if (n == 1)
        *ret_model = memory_text_n(id.p, id.n);
    arena_release(&arena);
    if (n == 1)
        return FAULT_OK;
    if (n == 0)
        return fault_set(fault, FAULT_USAGE,
                         "'%s' lists no models: name one with --model", probe->base);
    return fault_set(fault, FAULT_USAGE, "'%s' has %zu models: name one with --model",
                     probe->base, n);
}

/* "meta-llama/Llama-3.2-3B" is "Llama-3.2-3B"; what a name cannot have becomes a dash. */
static char *name_of(const char *model)
{
    const char *slash = strrchr(model, '/');
    char *name = memory_text(slash != NULL && slash[1] != '\0' ? slash + 1 : model);

    for (char *p = name; *p != '\0'; p++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:",
                   *p) == NULL)
            *p = '-';
    if (strlen(name) > CONFIG_MAX_NAME)
        name[CONFIG_MAX_NAME] = '\0';
    return name;
}

/* -- its price --------------------------------------------------------------------------- */

static enum fault_err as_text(const struct price_listed *listed, bool embedding,
                              const char *source, char **ret_price, struct fault *fault)
{
    struct price_part part = { .expert = "", .model = "", .embedding = embedding };
    char today[16];

    price_form_day(clock_wall_s(&clock_system), today);
    return price_form_merge(&part, listed, source,
                            &(struct price_dates){ .today = today }, ret_price, fault);
}

static enum fault_err from_list(struct probe *probe, const char *path, bool embedding,
                                char **ret_price, struct fault *fault)
{
    const char *model = embedding && probe->settings.embedding_model != NULL
                            ? probe->settings.embedding_model
                            : probe->settings.model;
    struct price_list *list = NULL;
    struct price_listed listed = { .left_out = NULL };
    const char *names[2];
    enum fault_err err = price_list_open(path, &list, fault);

    if (err != FAULT_OK)
        return err;
    if (price_list_match(list, model, names, ARRAY_LEN(names)) != 1)
        err = fault_set(
            fault, FAULT_INPUT,
            "'%s' is not in '%s', or several times: give its price with --price, "
            "or leave it to `prices import --map`",
            model, path);
    if (err == FAULT_OK)
        err = price_list_price(list, names[0],
                               embedding ? PRICE_LIST_EMBEDDING : PRICE_LIST_CHAT,
                               &listed, fault);
    if (err == FAULT_OK) {
        char *source = memory_format("%s: %s", price_list_source(list), names[0]);

        if (!embedding)
            probe->settings.rates = listed.price.tiers[0].rates;
        err = as_text(&listed, embedding, source, ret_price, fault);
        free(source);
    }
    price_listed_release(&listed);
    price_list_close(list);
    return err;
}

/* --price IN,OUT in USD per million tokens. */
static enum fault_err from_option(struct probe *probe, const struct option_list *price,
                                  struct fault *fault)
{
    struct config_rates *rates = &probe->settings.rates;

    if (price->count != 2 ||
        money_parse_per_million(str_of(price->items[0]), &rates->input_pico) != ERR_OK ||
        money_parse_per_million(str_of(price->items[1]), &rates->output_pico) != ERR_OK)
        return fault_set(fault, FAULT_USAGE,
                         "--price reads IN,OUT in USD per million tokens, as 2.5,10");
    probe->price = memory_format("{ \"input\": %s, \"output\": %s }", price->items[0],
                                 price->items[1]);
    probe->embedding_price = memory_format("{ \"input\": %s }", price->items[0]);
    return FAULT_OK;
}

static bool is_here(const char *base)
{
    const char *host = strstr(base, "://") + 3;

    return strncmp(host, "127.", 4) == 0 || strncmp(host, "localhost", 9) == 0 ||
           strncmp(host, "[::1]", 5) == 0;
}

/* An unknown price is not 0: it is asked for before anything is bought. */
static enum fault_err find_price(struct probe *probe, const struct probe_options *options,
                                 struct fault *fault)
{
    struct probe_settings *settings = &probe->settings;
    struct jread_value entry = entry_of(probe, settings->model);
    struct price_listed listed = { .left_out = NULL };
    struct fault unsaid = { "" };
    enum fault_err err = FAULT_OK;
    int64_t pico;

    settings->free = options->free;
    settings->usd_per_hour = options->usd_per_hour;
    if (options->usd_per_hour != NULL &&
        money_parse(str_of(options->usd_per_hour), &pico) != ERR_OK)
        return fault_set(fault, FAULT_USAGE, "--usd-per-hour '%s' is no amount of USD",
                         options->usd_per_hour);
    if (options->free || options->usd_per_hour != NULL)
        return FAULT_OK;
    if (options->price.count > 0) {
        err = from_option(probe, &options->price, fault);
    } else if (options->prices != NULL) {
        err = from_list(probe, options->prices, false, &probe->price, fault);
        if (err == FAULT_OK && from_list(probe, options->prices, true,
                                         &probe->embedding_price, &unsaid) != FAULT_OK)
            probe->embedding_price = NULL;
    } else if (jread_get(entry, "pricing").type == JREAD_MAP &&
               price_list_read_openrouter(entry, settings->model, PRICE_LIST_CHAT,
                                          &listed, &unsaid) == FAULT_OK) {
        settings->rates = listed.price.tiers[0].rates;
        err = as_text(&listed, false, "the endpoint's list of models", &probe->price,
                      fault);
        price_listed_release(&listed);
    } else if (is_here(probe->base)) {
        settings->free = true;
        (void)fputs("It is on this machine and taken to be free, so that nothing is ever "
                    "saved by asking\nanother one: say what the machine costs with "
                    "--usd-per-hour.\n",
                    stderr);
    } else {
        err = fault_set(
            fault, FAULT_USAGE,
            "what '%s' costs is not known: say it with --price IN,OUT, --prices "
            "FILE, --usd-per-hour USD or --free",
            settings->model);
    }
    settings->price = probe->price;
    settings->embedding_price = probe->embedding_price;
    return err;
}

/* -- what was found ---------------------------------------------------------------------- */

static json_t *known_number(double value)
{
    return value > 0 ? json_real(value) : json_null();
}

static void print_json(const struct probe *probe, struct str block)
{
    const struct probe_found *found = &probe->found;
    json_t *drops = json_array();

    for (size_t i = 0; i < found->n_drops; i++)
        (void)json_array_append_new(drops, json_string(found->drops[i]));
    report_print_json(json_pack(
        "{s:s, s:s, s:b, s:b, s:b, s:b, s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:I, s:I, "
        "s:I, "
        "s:s%, s:o}",
        "endpoint", probe->base, "model", probe->settings.model, "chat", found->chat,
        "stream", found->stream, "usage_in_stream", found->usage_in_stream, "over_limit",
        found->over_limit, "refused", drops, "context_from",
        found->context_from != NULL ? json_string(found->context_from) : json_null(),
        "context", (json_int_t)found->context_tokens, "embedding_dim",
        (json_int_t)found->dim, "connect_ms", known_number(found->connect_ms),
        "first_token_ms", known_number(found->first_token_ms), "tokens_per_second",
        known_number(found->tokens_per_second), "calls", (json_int_t)found->calls,
        "prompt_tokens", (json_int_t)found->prompt_tokens, "answer_tokens",
        (json_int_t)found->answer_tokens, "notes",
        found->notes.p != NULL ? found->notes.p : "", (int)found->notes.n, "config",
        json_loadb(block.p, block.n, 0, NULL)));
}

static void print_found(const struct probe *probe)
{
    const struct probe_found *found = &probe->found;

    (void)fprintf(stderr, "\n%s, model %s\n", probe->base, probe->settings.model);
    if (found->chat)
        (void)fprintf(stderr, "  stream      %s\n",
                      !found->stream           ? "no"
                      : found->usage_in_stream ? "with usage"
                                               : "without usage");
    (void)fprintf(stderr, "  context     ");
    if (found->context_tokens > 0)
        (void)fprintf(stderr, "%lld tokens, says %s\n", (long long)found->context_tokens,
                      found->context_from);
    else
        (void)fprintf(stderr, "unknown: write it into the block, so that longer prompts "
                              "go elsewhere\n");
    if (found->dim > 0)
        (void)fprintf(stderr, "  embedding   %zu numbers\n", found->dim);
    (void)fprintf(stderr, "  connect     %.1f ms\n", found->connect_ms);
    if (found->first_token_ms > 0)
        (void)fprintf(stderr, "  first token %.0f ms\n", found->first_token_ms);
    if (found->tokens_per_second > 0)
        (void)fprintf(stderr, "  speed       %.1f tokens/s, one request at a time\n",
                      found->tokens_per_second);
    if (found->chat && !found->images_known)
        (void)fprintf(stderr, "  images      not asked about: --images\n");
    (void)fprintf(stderr,
                  "  asked       %lld calls, %lld prompt and %lld answer tokens\n",
                  (long long)found->calls, (long long)found->prompt_tokens,
                  (long long)found->answer_tokens);
    if (found->notes.n > 0)
        (void)fprintf(stderr, "\n" STR_FMT, STR_ARG(buf_str(&found->notes)));
    (void)fprintf(stderr, "\n");
}

static enum fault_err add_to(const char *path, struct str block, struct fault *fault)
{
    char *backup = NULL;
    struct buf text;

    buf_init(&text, CONFIG_MAX_FILE);
    enum fault_err err = probe_add(path, block, &text, fault);
    if (err == FAULT_OK)
        err = textfile_replace(path, buf_str(&text), &backup, fault);
    if (err == FAULT_OK)
        (void)printf("%s has it now, the old one is %s\n", path, backup);
    buf_release(&text);
    free(backup);
    return err;
}

static enum fault_err look(struct probe *probe, const struct probe_options *options,
                           struct fault *fault)
{
    enum fault_err err = probe_run(
        &probe->settings, entry_of(probe, probe->settings.model), &probe->found, fault);
    struct buf block;

    if (err != FAULT_OK)
        return err;
    if (options->usd_per_hour != NULL && probe->found.tokens_per_second <= 0)
        return fault_set(
            fault, FAULT_EXPERT,
            "how fast it is could not be measured, so --usd-per-hour gives no "
            "price:\n" STR_FMT,
            STR_ARG(str_trim(buf_str(&probe->found.notes))));
    buf_init(&block, CONFIG_MAX_FILE);
    err = probe_block(&probe->settings, &probe->found, &block, fault);
    if (err == FAULT_OK && options->json) {
        print_json(probe, buf_str(&block));
    } else if (err == FAULT_OK) {
        print_found(probe);
        if (options->add != NULL)
            err = add_to(options->add, buf_str(&block), fault);
        else
            (void)fwrite(block.p, 1, block.n, stdout);
    }
    buf_release(&block);
    return err;
}

static enum fault_err run(const void *given, const char *const *operands,
                          size_t n_operands, struct fault *fault)
{
    const struct probe_options *options = given;
    struct probe probe = { .settings = { .line = { .key_header = options->key_header },
                                         .embedding_model = options->embedding_model,
                                         .images = options->images,
                                         .key_env = options->key_env } };
    char *model = NULL;
    enum fault_err err;

    (void)n_operands;
    probe.settings.line.network = &probe.network;
    probe.settings.line.wait_ms = (unsigned)options->timeout_s * 1000;
    if (options->key_env != NULL) {
        probe.settings.line.key = getenv(options->key_env);
        if (probe.settings.line.key == NULL || probe.settings.line.key[0] == '\0')
            return fault_set(fault, FAULT_USAGE, "the environment has no '%s'",
                             options->key_env);
    }
    if (options->add != NULL && options->name != NULL)
        err = probe_may_add(options->add, options->name, fault);
    else
        err = FAULT_OK;
    if (err != FAULT_OK)
        return err;
    err = network_init(&probe.network, 1, fault);
    if (err == FAULT_OK)
        err = find_base(&probe, operands[0], fault);
    if (err == FAULT_OK)
        err = find_model(&probe, options, &model, fault);
    probe.settings.model = model;
    if (err == FAULT_OK) {
        probe.name = options->name != NULL ? memory_text(options->name) : name_of(model);
        probe.settings.name = probe.name;
        if (options->add != NULL && options->name == NULL)
            err = probe_may_add(options->add, probe.name, fault);
        if (err == FAULT_OK)
            err = find_price(&probe, options, fault);
    }
    if (err == FAULT_OK)
        probe_plan(&probe.settings, options->dry_run ? stdout : stderr);
    if (err == FAULT_OK && !options->dry_run)
        err = look(&probe, options, fault);
    probe_found_release(&probe.found);
    probe_answer_release(&probe.models);
    free(model);
    free(probe.base);
    free(probe.name);
    free(probe.price);
    free(probe.embedding_price);
    network_release(&probe.network);
    return err;
}

static const struct option_spec specs[] = {
    { .name = "model",
      .kind = OPTION_TEXT,
      .value = "NAME",
      .help = "the endpoint's name of the model; needed where it lists several",
      .offset = offsetof(struct probe_options, model) },
    { .name = "embedding-model",
      .kind = OPTION_TEXT,
      .value = "NAME",
      .help =
          "of /embeddings, where it is another; the same as --model: nothing but that "
          "is asked",
      .offset = offsetof(struct probe_options, embedding_model) },
    { .name = "key-env",
      .kind = OPTION_TEXT,
      .value = "NAME",
      .help = "environment variable with the endpoint's key",
      .offset = offsetof(struct probe_options, key_env) },
    { .name = "key-header",
      .kind = OPTION_TEXT,
      .value = "NAME",
      .help = "header that carries it, as x-api-key; without it, a bearer token",
      .offset = offsetof(struct probe_options, key_header) },
    { .name = "name",
      .kind = OPTION_TEXT,
      .value = "NAME",
      .help = "of the expert in the block; without it, the end of the model's",
      .offset = offsetof(struct probe_options, name) },
    { .name = "price",
      .kind = OPTION_LIST,
      .value = "IN,OUT",
      .help = "USD per million tokens",
      .offset = offsetof(struct probe_options, price) },
    { .name = "prices",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "a downloaded list with its price, see `prices import`",
      .offset = offsetof(struct probe_options, prices) },
    { .name = "usd-per-hour",
      .kind = OPTION_TEXT,
      .value = "USD",
      .help =
          "what the machine costs; its price per token follows from the speed that is "
          "measured",
      .offset = offsetof(struct probe_options, usd_per_hour) },
    { .name = "free",
      .kind = OPTION_FLAG,
      .help = "it costs nothing",
      .offset = offsetof(struct probe_options, free) },
    { .name = "images",
      .kind = OPTION_FLAG,
      .help = "ask about an image, too",
      .offset = offsetof(struct probe_options, images) },
    { .name = "timeout-s",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "for a whole answer; a model may have to be loaded first",
      .fallback = "120",
      .offset = offsetof(struct probe_options, timeout_s),
      .min = 1,
      .max = 3600 },
    { .name = "add",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "put the expert into this configuration instead of printing it; the old "
              "file is "
              "kept beside it",
      .offset = offsetof(struct probe_options, add) },
    { .name = "dry-run",
      .kind = OPTION_FLAG,
      .help = "say what would be asked, and ask for nothing but the list of models",
      .offset = offsetof(struct probe_options, dry_run) },
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "one JSON document with all that was found instead of the block",
      .offset = offsetof(struct probe_options, json) },
};

const struct command command_probe = {
    .operands = "URL",
    .about =
        "Asks an endpoint some tiny questions and prints the expert that it would be in "
        "a\n"
        "configuration, which `frugald --check-config` accepts as it stands: which APIs "
        "it\n"
        "speaks, what it is able to, how long a prompt may be, which members of a "
        "request\n"
        "it refuses (its dialect), how long its vectors are, and its price. How fast it\n"
        "is, whether its streams tell their usage, and what was strange is said beside "
        "it.\n\n"
        "What it asks and how many tokens that can cost at most is printed first;\n"
        "--dry-run ends there. URL is what clients call the base URL, usually ending in\n"
        "/v1.\n",
    .options = { specs, ARRAY_LEN(specs) },
    .options_bytes = sizeof(struct probe_options),
    .min_operands = 1,
    .max_operands = 1,
    .run = run,
};
