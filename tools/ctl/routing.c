/* routing.c - one decision, made by the gateway's own code outside of the gateway. */
#include "tools/ctl/routing.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/money.h"
#include "tools/ctl/memory.h"

#define ROUTING_ARENA_BYTES  (1u << 20)
#define ROUTING_PROMPT_BYTES (16u << 20)

static enum fault_err open_snapshot(struct routing *routing, struct fault *fault)
{
    struct snapshot_error error = { .text = "" };

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

enum fault_err routing_wishes(const struct routing_options *options, struct arena *arena,
                              struct frugal_options *ret_wishes, struct fault *fault)
{
    const struct {
        const char *option, *header, *value;
    } given[] = {
        { "--value-usd", "x-frugal-value-usd", options->value_usd },
        { "--lambda", "x-frugal-lambda", options->lambda },
        { "--budget-usd", "x-frugal-budget-usd", options->budget_usd },
        { "--on-budget", "x-frugal-on-budget", options->on_budget },
        { "--min-quality", "x-frugal-min-quality", options->min_quality },
        { "--experts", "x-frugal-experts", options->experts },
        { "--tags", "x-frugal-tags", options->tags },
    };

    frugal_options_init(ret_wishes);
    for (size_t i = 0; i < ARRAY_LEN(given); i++) {
        struct api_error error = { 0 };
        if (given[i].value != NULL &&
            frugal_options_header(ret_wishes, str_of(given[i].header),
                                  str_of(given[i].value), arena, &error) != API_OK)
            return fault_set(fault, FAULT_USAGE, "%s: '%s' is not valid: %s",
                             given[i].option, given[i].value, error.message);
    }
    return FAULT_OK;
}

enum fault_err routing_prompt(const char *operand, char **ret_prompt, struct fault *fault)
{
    struct str prompt = str_of(operand);
    char *text = NULL;

    if (strcmp(operand, "-") == 0) {
        text = memory_new(ROUTING_PROMPT_BYTES + 1, 1);
        prompt = (struct str){ text, fread(text, 1, ROUTING_PROMPT_BYTES + 1, stdin) };
    }
    bool fits = prompt.n <= ROUTING_PROMPT_BYTES;
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
    enum fault_err err = routing_prompt(operand, &prompt, fault);

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
        err = question_cut(routing->question, &routing->snapshot->text_rule, fault);
    if (err == FAULT_OK)
        err = routing_wishes(routing->options, &routing->arena, &routing->wishes, fault);
    if (err != FAULT_OK)
        return err;
    if (order_make(&routing->order, config, question_chat(routing->question),
                   &routing->wishes, &key_allow_all, 0, clock_wall_s(&clock_system),
                   &error) != API_OK ||
        order_rule(&routing->order, &routing->wishes, question_text(routing->question),
                   &error) != API_OK)
        return fault_set(fault, FAULT_INPUT, "the gateway would refuse this: %s",
                         error.message);
    routing->order.known = routing->snapshot->known;
    purse_init(&routing->purse, routing->order.ceiling_pico, NULL);
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
    if (routing->decision.denied) {
        struct api_error error = { 0 };

        (void)order_ruled_out(&routing->order, &error);
        return fault_set(fault, FAULT_INPUT, "the gateway would refuse this: %s",
                         error.message);
    }
    return FAULT_OK;
}

void routing_release(struct routing *routing)
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

enum fault_err routing_open(struct routing *routing,
                            const struct routing_options *options, const char *prompt,
                            struct fault *fault)
{
    memset(routing, 0, sizeof(*routing));
    routing->options = options;
    arena_init(&routing->arena, ROUTING_ARENA_BYTES);
    enum fault_err err = open_snapshot(routing, fault);
    if (err == FAULT_OK)
        err = make_order(routing, prompt, fault);
    if (err == FAULT_OK)
        err = decide(routing, fault);
    return err;
}
