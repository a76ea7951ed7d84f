/* route.c - frugalctl route: one decision, told to a person. */
#include <stddef.h>

#include <jansson.h>

#include "tools/ctl/command.h"
#include "tools/ctl/report.h"
#include "tools/ctl/route_print.h"
#include "tools/ctl/routing.h"

struct route_options {
    struct routing_options routing;
    int64_t neighbours;
    bool json;
};

#define AT(member) .offset = offsetof(struct route_options, member)
static const struct option_spec route_specs[] = {
    { .name = "config",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "the gateway's configuration; its bundle is used",
      .rule = OPTION_REQUIRED,
      AT(routing.config) },
    ROUTING_OPTIONS(offsetof(struct route_options, routing)),
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

static enum fault_err route_run(const void *given, const char *const *operands,
                                size_t n_operands, struct fault *fault)
{
    const struct route_options *options = given;
    struct routing routing;

    (void)n_operands;
    enum fault_err err = routing_open(&routing, &options->routing, operands[0], fault);
    if (err == FAULT_OK) {
        struct route_told told = {
            .decision = &routing.decision,
            .text = question_text(routing.question),
            .neighbours = (size_t)options->neighbours,
        };
        if (options->json)
            report_print_json(route_json(&told));
        else
            route_print(&told);
    }
    routing_release(&routing);
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
