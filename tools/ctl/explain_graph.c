/* explain_graph.c - frugalctl explain-graph: what the walk through the evidence was up against.
 *
 *   --config   routing_open (the gateway's own decision), then every remote embedder that
 *              the walk did not buy is asked too
 *   --bundle   a session of the bundle by itself: built-in embedders, given prices
 *                                    |
 *                                    +--> fuser_graph --> Graphviz, three lines
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/money.h"
#include "gateway/domain/routing_text.h"
#include "gateway/flow/upstream.h"
#include "gateway/io/embedder.h"
#include "tools/ctl/command.h"
#include "tools/ctl/graph_dot.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/routing.h"

#define GRAPH_ARENA_BYTES (1u << 20)

struct graph_options {
    struct routing_options routing;
    const char *bundle, *out;
    struct option_list prices;
    double gain_se;
};

#define AT(member) .offset = offsetof(struct graph_options, member)
static const struct option_spec graph_specs[] = {
    { .name = "config",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "the gateway's configuration; its bundle, policies and prices are used",
      AT(routing.config) },
    { .name = "bundle",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "a bundle without a configuration: only built-in embedders, generators at "
              "no price",
      AT(bundle) },
    { .name = "embedder-usd",
      .kind = OPTION_LIST,
      .value = "NAME=USD,..",
      .help = "with --bundle: prices of a vector; 0 when absent",
      AT(prices) },
    { .name = "gain-se",
      .kind = OPTION_NUMBER,
      .value = "Z",
      .fallback = "1",
      .max = 100,
      .help = "with --bundle: standard errors by which a gain must exceed its price",
      AT(gain_se) },
    ROUTING_OPTIONS(offsetof(struct graph_options, routing)),
    { .name = "out",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "where the Graphviz goes; standard output when absent",
      AT(out) },
};
#undef AT

struct showing {
    const struct graph_options *options;
    struct routing routing; /* with --config */
    struct arena arena;     /* with --bundle, as the next two */
    struct buf text;
    struct fuser *fuser;
    struct fuser_session *session;
    struct fuser_verdict verdict;
    const char *embedders[FUSER_MAX_EMBEDDERS];
    size_t n_embedders;
    float *vectors[FUSER_MAX_EMBEDDERS]; /* owned; of those that the walk did not buy */
    size_t asked;                        /* the embedder whose answer is awaited */
    const char *why;                     /* it gave none, or NULL */
};

/* -- with a configuration ------------------------------------------------------------------ */

static void answered(void *arg, const struct embedder_answer *answer)
{
    struct showing *showing = arg;

    if (answer->result == EMBEDDER_OK) {
        float *vector = memory_new(answer->dim, sizeof(*vector));
        memcpy(vector, answer->vectors, answer->dim * sizeof(*vector));
        showing->vectors[showing->asked] = vector;
    } else {
        showing->why = embedder_result_text(answer->result);
    }
    loop_stop(showing->routing.network.loop);
}

static bool was_bought(const struct decision *decision, size_t embedder)
{
    for (size_t s = 0; s < decision->verdict->n_steps; s++) {
        if (decision->verdict->steps[s].embedder == (int)embedder)
            return true;
    }
    return false;
}

/* The vectors that the walk did without; an embedder that does not answer is left out, as the
 * gateway would. */
static enum fault_err ask_others(struct showing *showing, struct fault *fault)
{
    struct routing *routing = &showing->routing;
    const struct config *config = routing->snapshot->config;
    const struct fuser *fuser = routing->snapshot->fuser;
    struct str text = routing->decision.text;
    struct embedder_text asked = { .p = text.p, .n = text.n };

    for (size_t j = 0; j < config->n_embedders; j++) {
        int at = fuser_embedder_in_bundle(fuser, j);
        struct embedder_spec spec;
        if (config->embedders[j].kind != CONFIG_EMBEDDER_REMOTE || at < 0 ||
            was_bought(&routing->decision, j))
            continue;
        showing->asked = j;
        showing->why = NULL;
        spec = upstream_embedder_spec(routing->snapshot, j, 0, &asked, 1, 0);
        spec.dim = fuser_bundle_embedder(fuser_bundle_of(fuser), (size_t)at)->dim;
        if (embedder_start(routing->network.http, &spec, answered, showing) == NULL)
            return fault_set(fault, FAULT_IO, "out of memory");
        loop_run(routing->network.loop);
        if (showing->why != NULL)
            (void)fprintf(stderr, "frugalctl: '%s' is left out: %s\n",
                          config->embedders[j].name, showing->why);
    }
    return FAULT_OK;
}

static enum fault_err open_config(struct showing *showing, const char *prompt,
                                  struct fault *fault)
{
    struct routing *routing = &showing->routing;
    enum fault_err err = routing_open(routing, &showing->options->routing, prompt, fault);

    if (err != FAULT_OK)
        return err;
    if (routing->decision.session == NULL || routing->decision.verdict == NULL)
        return fault_set(fault, FAULT_INPUT,
                         "there is no walk: the configuration has no bundle, or the "
                         "request asks for an expert by name");
    showing->n_embedders = routing->snapshot->config->n_embedders;
    for (size_t j = 0; j < showing->n_embedders; j++)
        showing->embedders[j] = routing->snapshot->config->embedders[j].name;
    showing->session = routing->decision.session;
    showing->verdict = *routing->decision.verdict;
    return ask_others(showing, fault);
}

/* -- with a bundle alone ---------------------------------------------------------------------- */

static enum fault_err take_prices(const struct showing *showing,
                                  struct fuser_ask_embedder *embedders,
                                  struct fault *fault)
{
    const struct option_list *prices = &showing->options->prices;

    for (size_t i = 0; i < prices->count; i++) {
        const char *item = prices->items[i], *equals = strrchr(item, '=');
        size_t n = equals == NULL ? 0 : (size_t)(equals - item), j = 0;
        while (j < showing->n_embedders && (strlen(showing->embedders[j]) != n ||
                                            memcmp(showing->embedders[j], item, n) != 0))
            j++;
        if (n == 0 || j == showing->n_embedders)
            return fault_set(fault, FAULT_USAGE,
                             "--embedder-usd: '%s' is not NAME=USD of an embedder of the "
                             "bundle",
                             item);
        if (money_parse(str_of(equals + 1), &embedders[j].price_pico) != ERR_OK ||
            embedders[j].price_pico < 0)
            return fault_set(fault, FAULT_USAGE, "--embedder-usd: '%s' is not a price",
                             equals + 1);
    }
    return FAULT_OK;
}

static enum fault_err open_fuser(struct showing *showing, struct fault *fault)
{
    const char *generators[FUSER_MAX_GENERATORS];
    struct fuser_bundle *bundle = NULL;
    struct fuser_error error = { 0 };
    enum fuser_err code = fuser_bundle_load(showing->options->bundle, &bundle, &error);

    if (code == FUSER_OK) {
        struct fuser_names names = { .generators = generators,
                                     .n_generators = fuser_bundle_generators(bundle),
                                     .embedders = showing->embedders,
                                     .n_embedders = fuser_bundle_embedders(bundle) };
        for (size_t g = 0; g < names.n_generators; g++)
            generators[g] = fuser_bundle_generator(bundle, g);
        for (size_t j = 0; j < names.n_embedders; j++)
            showing->embedders[j] = fuser_bundle_embedder(bundle, j)->name;
        showing->n_embedders = names.n_embedders;
        code = fuser_new(bundle, &names, &showing->fuser, &error);
    }
    fuser_bundle_unref(bundle);
    return code == FUSER_OK ? FAULT_OK : fault_set(fault, FAULT_FUSER, "%s", error.text);
}

/* The routing text, as calibration rows have it. */
static enum fault_err take_text(struct showing *showing, const char *operand,
                                struct fault *fault)
{
    const struct fuser_bundle *bundle = fuser_bundle_of(showing->fuser);
    const char *stamp = fuser_bundle_text_version(bundle), *why = NULL;
    struct routing_rule rule = { .strip = NULL };
    struct str extra = { 0 };
    char *prompt = NULL;
    enum fault_err err = routing_prompt(operand, &prompt, fault);

    extra.p = fuser_bundle_text_extra(bundle, &extra.n);
    if (err == FAULT_OK &&
        routing_rule_of_bundle(str_of(stamp), extra, &rule, &why) != ERR_OK)
        err = fault_set(fault, FAULT_FUSER, "the bundle's texts are '%s', which is %s",
                        stamp, why);
    if (err == FAULT_OK &&
        routing_text_of_prompt_by(&rule, str_of(prompt), &showing->text) != ERR_OK)
        err = fault_set(fault, FAULT_IO, "out of memory");
    routing_rule_release(&rule);
    free(prompt);
    return err;
}

static enum fault_err walk(struct showing *showing, const struct fuser_ask *ask,
                           struct fault *fault)
{
    struct fuser_error error = { 0 };
    struct fuser_step step;

    if (fuser_session_new(showing->fuser, ask, &showing->session, &error) != FUSER_OK)
        return fault_set(fault, FAULT_FUSER, "%s", error.text);
    /* Remote embedders are not allowed: one step is the whole walk. */
    fuser_next(&showing->session, 1, &step);
    fuser_verdict(showing->session, INT64_MAX, &showing->verdict);
    return FAULT_OK;
}

static enum fault_err open_bundle(struct showing *showing, const char *prompt,
                                  struct fault *fault)
{
    const struct routing_options *options = &showing->options->routing;
    struct fuser_ask_generator generators[FUSER_MAX_GENERATORS] = { 0 };
    struct fuser_ask_embedder embedders[FUSER_MAX_EMBEDDERS] = { 0 };
    struct frugal_options wishes;

    if (options->policy != NULL || options->budget_usd != NULL ||
        options->on_budget != NULL || options->experts != NULL)
        return fault_set(fault, FAULT_USAGE,
                         "--policy, --budget-usd, --on-budget and --experts need "
                         "--config");
    enum fault_err err = open_fuser(showing, fault);
    if (err == FAULT_OK)
        err = routing_wishes(options, &showing->arena, &wishes, fault);
    if (err == FAULT_OK)
        err = take_prices(showing, embedders, fault);
    if (err == FAULT_OK)
        err = take_text(showing, prompt, fault);
    if (err == FAULT_OK) {
        struct fuser_ask ask = { .lambda = frugal_has_lambda(&wishes) ? wishes.lambda : 0,
                                 .min_quality = options->min_quality != NULL
                                                    ? wishes.min_quality
                                                    : 0,
                                 .gain_se = showing->options->gain_se,
                                 .ceiling_pico = INT64_MAX,
                                 .text = showing->text.p,
                                 .text_bytes = showing->text.n,
                                 .max_output_tokens = (uint32_t)options->output_tokens,
                                 .generators = generators,
                                 .embedders = embedders };
        for (size_t g = 0; g < FUSER_MAX_GENERATORS; g++)
            generators[g].allowed = true;
        for (size_t j = 0; j < showing->n_embedders; j++)
            embedders[j].allowed =
                fuser_bundle_embedder(fuser_bundle_of(showing->fuser), j)->kind !=
                FUSER_REMOTE;
        err = walk(showing, &ask, fault);
    }
    return err;
}

/* -- both ------------------------------------------------------------------------------------- */

static enum fault_err show(struct showing *showing, struct fault *fault)
{
    const char *path = showing->options->out;
    struct fuser_graph graph;
    struct fuser_error error = { 0 };
    struct graph_told told = { .graph = &graph,
                               .verdict = &showing->verdict,
                               .embedders = showing->embedders,
                               .n_embedders = showing->n_embedders };

    if (fuser_graph(showing->session, (const float *const *)showing->vectors, &graph,
                    &error) != FUSER_OK)
        return fault_set(fault, FAULT_FUSER, "%s", error.text);
    if (path == NULL) {
        graph_dot(&told, stdout);
        return FAULT_OK;
    }
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return fault_set(fault, FAULT_IO, "cannot open '%s': %s", path, strerror(errno));
    graph_dot(&told, file);
    bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed)
        return fault_set(fault, FAULT_IO, "cannot write '%s'", path);
    graph_summary(&told, "", stdout);
    return FAULT_OK;
}

static enum fault_err run(const void *given, const char *const *operands,
                          size_t n_operands, struct fault *fault)
{
    const struct graph_options *options = given;
    struct showing *showing = memory_new(1, sizeof(*showing));
    bool configured = options->routing.config != NULL;
    enum fault_err err = FAULT_OK;

    (void)n_operands;
    showing->options = options;
    arena_init(&showing->arena, GRAPH_ARENA_BYTES);
    buf_init(&showing->text, ROUTING_TEXT_MOST);
    if (configured == (options->bundle != NULL))
        err = fault_set(fault, FAULT_USAGE, "give one of --config and --bundle");
    else if (configured)
        err = open_config(showing, operands[0], fault);
    else
        err = open_bundle(showing, operands[0], fault);
    if (err == FAULT_OK)
        err = show(showing, fault);
    if (configured)
        routing_release(&showing->routing);
    else
        fuser_session_free(showing->session);
    fuser_unref(showing->fuser);
    arena_release(&showing->arena);
    buf_release(&showing->text);
    for (size_t j = 0; j < FUSER_MAX_EMBEDDERS; j++)
        free(showing->vectors[j]);
    free(showing);
    return err;
}

const struct command command_explain_graph = {
    .operands = "PROMPT",
    .about =
        "Shows FrugalFoE's walk around a prompt (- reads it from standard input) as a\n"
        "graph: nodes are the subsets of the embedders, an edge buys one more and costs\n"
        "its price in units of loss, and an edge to `answer` costs the loss expected of\n"
        "answering there, among the prompt's nearest calibration prompts under that "
        "very\n"
        "subset. The greedy walk is bold; the shortest of all paths, dashed where it is\n"
        "another, says what going one step at a time has cost.\n\n"
        "Remote embedders that the walk does not buy are asked as well, at their "
        "price.\n\n"
        "  frugalctl explain-graph --config frugal.json --value-usd 0.01 --out walk.dot "
        "PROMPT\n"
        "  dot -Tsvg walk.dot >walk.svg\n",
    .options = { graph_specs, ARRAY_LEN(graph_specs) },
    .options_bytes = sizeof(struct graph_options),
    .min_operands = 1,
    .max_operands = 1,
    .run = run,
};
