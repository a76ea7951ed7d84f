/* route.c - frugalctl route: one decision, made by the gateway's own code, told to a
 * person.
 *
 *   prompt --> question --> order_make --> decision_begin .. decision_buy --> plan
 *              (chat)       (policy,       (fuser, embedders over HTTP)        |
 *                            options)                          tables <--------+
 *
 * Nothing is generated; remote embedders are asked, and paid for, as the gateway would.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "gateway/base/log.h"
#include "gateway/base/money.h"
#include "gateway/domain/frugal_headers.h"
#include "gateway/domain/metrics.h"
#include "gateway/flow/decider.h"
#include "gateway/flow/decision.h"
#include "gateway/flow/order.h"
#include "gateway/flow/purse.h"
#include "gateway/flow/snapshot.h"
#include "tools/ctl/command.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/network.h"
#include "tools/ctl/question.h"
#include "tools/ctl/report.h"
#include "tools/ctl/route_print.h"

#define ROUTE_ARENA_BYTES  (1u << 20)
#define ROUTE_PROMPT_BYTES (16u << 20)

struct route_options {
    const char *config, *policy;
    const char *value_usd, *lambda, *budget_usd, *on_budget, *min_quality, *experts;
    int64_t output_tokens, neighbours;
    bool json;
};

#define AT(member) .offset = offsetof(struct route_options, member)
static const struct option_spec route_specs[] = {
    { .name = "config",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "the gateway's configuration; its bundle is used",
      .rule = OPTION_REQUIRED,
      AT(config) },
    { .name = "policy",
      .kind = OPTION_TEXT,
      .value = "NAME",
      .help = "a policy or an expert, as `model` of a request; the first policy when "
              "absent",
      AT(policy) },
    { .name = "value-usd",
      .kind = OPTION_TEXT,
      .value = "USD",
      .help = "what one right answer is worth",
      AT(value_usd) },
    { .name = "lambda",
      .kind = OPTION_TEXT,
      .value = "X",
      .help = "quality per USD: 1 / value",
      AT(lambda) },
    { .name = "budget-usd",
      .kind = OPTION_TEXT,
      .value = "USD",
      .help = "ceiling of all that the request may cost",
      AT(budget_usd) },
    { .name = "on-budget",
      .kind = OPTION_TEXT,
      .value = "HOW",
      .help = "trim, downgrade or reject when the ceiling cannot be met",
      AT(on_budget) },
    { .name = "min-quality",
      .kind = OPTION_TEXT,
      .value = "Q",
      .help = "least predicted quality, 0 to 1",
      AT(min_quality) },
    { .name = "experts",
      .kind = OPTION_TEXT,
      .value = "NAMES",
      .help = "allowed experts, separated by commas",
      AT(experts) },
    { .name = "max-output-tokens",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "output limit of the request; 0: it has none",
      .fallback = "0",
      .max = 1000000,
      AT(output_tokens) },
    { .name = "neighbours",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "calibration prompts to show",
      .fallback = "8",
      .max = FUSER_MAX_NEIGHBOURS,
      AT(neighbours) },
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "print one JSON document instead of tables",
      AT(json) },
};
#undef AT

struct routing {
    const struct route_options *options;
    struct metrics *metrics;
    struct snapshot *snapshot;
    struct network network;
    bool online; /* network is set up */
    struct question *question;
    struct arena arena;
    struct frugal_options wishes;
    struct order order;
    struct purse purse;
    struct decider decider;
    struct decision decision;
};

static enum fault_err open_snapshot(struct routing *routing, struct fault *fault)
{
    struct snapshot_error error = { "" };

    log_set_level(LOG_ERROR); /* what a person should know is in the tables */
    if (metrics_new(&routing->metrics) != ERR_OK)
        return fault_set(fault, FAULT_IO, "out of memory");
    enum err err = snapshot_load(routing->options->config, 1, NULL, routing->metrics,
                                 &routing->snapshot, &error);
    if (err != ERR_OK)
        return fault_set(fault, FAULT_CONFIG, "%s",
                         error.text[0] != '\0' ? error.text : err_text(err));
    return FAULT_OK;
}

/* The options, through the parser of the request headers they stand for. */
static enum fault_err take_wishes(struct routing *routing, struct fault *fault)
{
    const struct route_options *options = routing->options;
    const struct {
        const char *option, *header, *value;
    } given[] = {
        { "--value-usd", "x-frugal-value-usd", options->value_usd },
        { "--lambda", "x-frugal-lambda", options->lambda },
        { "--budget-usd", "x-frugal-budget-usd", options->budget_usd },
        { "--on-budget", "x-frugal-on-budget", options->on_budget },
        { "--min-quality", "x-frugal-min-quality", options->min_quality },
        { "--experts", "x-frugal-experts", options->experts },
    };

    frugal_options_init(&routing->wishes);
    for (size_t i = 0; i < ARRAY_LEN(given); i++) {
        struct api_error error = { 0 };
        if (given[i].value != NULL &&
            frugal_options_header(&routing->wishes, str_of(given[i].header),
                                  str_of(given[i].value), &routing->arena,
                                  &error) != API_OK)
            return fault_set(fault, FAULT_USAGE, "%s: '%s' is not valid: %s",
                             given[i].option, given[i].value, error.message);
    }
    return FAULT_OK;
}

/* The operand, or all of standard input for "-"; to be freed. */
static enum fault_err read_prompt(const char *operand, char **ret_prompt,
                                  struct fault *fault)
{
    struct str prompt = str_of(operand);
    char *text = NULL;

    if (strcmp(operand, "-") == 0) {
        text = memory_new(ROUTE_PROMPT_BYTES + 1, 1);
        prompt = (struct str){ text, fread(text, 1, ROUTE_PROMPT_BYTES + 1, stdin) };
    }
    bool fits = prompt.n <= ROUTE_PROMPT_BYTES;
    if (fits && str_is_utf8(prompt))
        *ret_prompt = memory_text_n(prompt.p, prompt.n);
    bool good = *ret_prompt != NULL;
    free(text);
    if (!good)
        return fault_set(fault, FAULT_INPUT, "the prompt is %s",
                         fits ? "not UTF-8 text" : "too long");
    return FAULT_OK;
}

static enum fault_err make_order(struct routing *routing, const char *operand,
                                 struct fault *fault)
{
    const struct config *config = routing->snapshot->config;
    const char *model = routing->options->policy;
    struct api_error error = { 0 };
    char *prompt = NULL;
    enum fault_err err = read_prompt(operand, &prompt, fault);

    if (err != FAULT_OK)
        return err;
    if (model == NULL && config->n_policies > 0)
        model = config->policies[0].name;
    char *messages = question_messages(str_of(prompt));
    err = question_new(model, messages, routing->options->output_tokens,
                       &routing->question, fault);
    free(messages);
    free(prompt);
    if (err == FAULT_OK)
        err = take_wishes(routing, fault);
    if (err != FAULT_OK)
        return err;
    if (order_make(&routing->order, config, question_chat(routing->question),
                   &routing->wishes, 0, &error) != API_OK)
        return fault_set(fault, FAULT_INPUT, "the gateway would refuse this: %s",
                         error.message);
    purse_init(&routing->purse, routing->order.ceiling_pico);
    return FAULT_OK;
}

/* The decision's `wake`: what the exchange does at each step. */
static void go_on(void *arg)
{
    struct routing *routing = arg;

    if (routing->decision.state == DECISION_QUERY)
        decision_buy(&routing->decision);
    if (routing->decision.state == DECISION_READY)
        loop_stop(routing->network.loop);
}

static enum fault_err decide(struct routing *routing, struct fault *fault)
{
    struct decision_tools tools = { .request_id = STR("frugalctl") };
    enum fault_err err = network_init(&routing->network, 4, fault);

    routing->online = true;
    if (err != FAULT_OK)
        return err;
    tools.loop = routing->network.loop;
    tools.http = routing->network.http;
    tools.decider = &routing->decider;
    tools.metrics = metrics_block(routing->metrics);
    if (tools.metrics == NULL)
        return fault_set(fault, FAULT_IO, "out of memory");
    decider_init(&routing->decider, routing->network.loop, NULL, tools.metrics);
    routing->decision.wake = go_on;
    routing->decision.arg = routing;
    decision_begin(&routing->decision, &tools, routing->snapshot, &routing->order,
                   &routing->purse, question_text(routing->question), &routing->arena);
    if (routing->decision.state != DECISION_READY)
        loop_run(routing->network.loop);
    return FAULT_OK;
}

static void release(struct routing *routing)
{
    if (routing->online) {
        (void)!decision_end(&routing->decision); /* without a pool nothing is away */
        network_release(&routing->network);
    }
    question_free(routing->question);
    arena_release(&routing->arena);
    snapshot_unref(routing->snapshot);
    metrics_free(routing->metrics);
}

static enum fault_err route_run(const void *given, const char *const *operands,
                                size_t n_operands, struct fault *fault)
{
    struct routing routing = { .options = given };

    (void)n_operands;
    arena_init(&routing.arena, ROUTE_ARENA_BYTES);
    enum fault_err err = open_snapshot(&routing, fault);
    if (err == FAULT_OK)
        err = make_order(&routing, operands[0], fault);
    if (err == FAULT_OK)
        err = decide(&routing, fault);
    if (err == FAULT_OK) {
        struct route_told told = {
            .decision = &routing.decision,
            .text = question_text(routing.question),
            .neighbours = (size_t)routing.options->neighbours,
        };
        if (routing.options->json)
            report_print_json(route_json(&told));
        else
            route_print(&told);
    }
    release(&routing);
    return err;
}

const struct command command_route = {
    .operands = "PROMPT",
    .about =
        "Shows what the gateway would do with a prompt (- reads it from standard "
        "input),\n"
        "by the gateway's own code: which evidence is bought and why it stops, the "
        "nearest\n"
        "calibration prompts, every expert with its predicted quality, its standard "
        "error\n"
        "and its price, and the choice. No expert generates anything; remote embedders\n"
        "are asked, at their price.\n",
    .options = { route_specs, ARRAY_LEN(route_specs) },
    .options_bytes = sizeof(struct route_options),
    .min_operands = 1,
    .max_operands = 1,
    .run = route_run,
};
