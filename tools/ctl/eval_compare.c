/* eval_compare.c - frugalctl eval compare: is a new bundle worth taking? */
#include "tools/ctl/command.h"
#include "tools/ctl/compare.h"

struct eval_compare_options {
    struct option_list folders, splits, models;
    const char *store, *config, *policy;
    int64_t value_pico, seed, threads;
    double margin;
    bool json;
};

#define AT(member) .offset = offsetof(struct eval_compare_options, member)
static const struct option_spec specs[] = {
    { .name = "store",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "calibration store with the prompts to compare on",
      AT(store) },
    { .name = "measure",
      .kind = OPTION_LIST,
      .value = "DIR:SPLIT,..",
      .help = "recorded outcomes, as for eval routing, instead of --store",
      AT(folders) },
    { .name = "split",
      .kind = OPTION_LIST,
      .value = "NAMES",
      .help =
          "with --store: only prompts of these splits; when absent 'dev', or all where "
          "there is no such split",
      AT(splits) },
    { .name = "config",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "the gateway's configuration: today's prices, policies, and which model a "
              "remote embedder is",
      AT(config) },
    { .name = "policy",
      .kind = OPTION_TEXT,
      .value = "NAME",
      .help = "of the configuration: its value, switch_z, gain_se and default",
      AT(policy) },
    { .name = "value-usd",
      .kind = OPTION_USD,
      .value = "USD",
      .fallback = "0",
      .help =
          "what one right answer is worth; 0: the policy's, or what the old bundle was "
          "tuned to",
      AT(value_pico) },
    { .name = "models",
      .kind = OPTION_LIST,
      .value = "NAMES",
      .help = "only these experts; all when absent",
      AT(models) },
    { .name = "margin",
      .kind = OPTION_NUMBER,
      .value = "U",
      .fallback = "0.01",
      .max = 1,
      .help = "a loss of utility (quality - cost / value) of less than this is not worse",
      AT(margin) },
    { .name = "seed",
      .kind = OPTION_COUNT,
      .value = "N",
      .fallback = "7",
      .max = 1e15,
      .help = "of the resamples",
      AT(seed) },
    { .name = "threads",
      .kind = OPTION_COUNT,
      .value = "N",
      .fallback = "2",
      .min = 1,
      .max = 256,
      .help = "the result does not depend on it",
      AT(threads) },
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "print one JSON document instead of a table",
      AT(json) },
};
#undef AT

static enum fault_err run(const void *given, const char *const *operands,
                          size_t n_operands, struct fault *fault)
{
    const struct eval_compare_options *options = given;
    struct compare_wish wish = { .older = operands[0],
                                 .newer = operands[1],
                                 .store = options->store,
                                 .config = options->config,
                                 .policy = options->policy,
                                 .folders = &options->folders,
                                 .splits = &options->splits,
                                 .models = &options->models,
                                 .value_pico = options->value_pico,
                                 .margin = options->margin,
                                 .seed = (uint64_t)options->seed,
                                 .threads = (uint32_t)options->threads };
    struct comparison comparison;
    enum fault_err err = compare_bundles(&wish, &comparison, fault);

    (void)n_operands;
    if (err != FAULT_OK)
        return err;
    if (options->json)
        compare_print_json(&comparison, options->margin);
    else
        compare_print(&comparison, options->margin);
    return compare_fault(&comparison, fault);
}

const struct command command_eval_compare = {
    .operands = "OLD NEW",
    .about =
        "Lets two bundles decide on the same prompts with known outcomes, as the "
        "gateway\n"
        "decides, and says by paired bootstrap intervals whether the new one is better,\n"
        "not worse, worse, or cannot be told from the old one. Prompts that one of them\n"
        "was built from are left out and counted. `eval --compare OLD NEW` is the "
        "same.\n\n"
        "Exit code: 0 better or not worse; 3 worse; 4 cannot tell; 1 and 2 as always.\n\n"
        "  frugalctl eval compare bundle.frugal new.frugal --store calib.db --value-usd "
        "0.02\n",
    .options = { specs, ARRAY_LEN(specs) },
    .options_bytes = sizeof(struct eval_compare_options),
    .min_operands = 2,
    .max_operands = 2,
    .run = run,
};
