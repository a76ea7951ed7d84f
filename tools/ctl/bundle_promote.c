/* bundle_promote.c - frugalctl bundle promote and rollback: which bundle the gateway routes by.
 *
 *   promote    NEW --would the gateway take it?--> --compare?--> FILE -> FILE.1 -> FILE.2 ..
 *                                                                 ^--- NEW          reload?
 *   rollback   FILE <-> FILE.1                                                      reload?
 *
 * The file of policies that the configuration names goes with it, so that what was promised is
 * always of the bundle that stands. A gateway that refuses leaves everything as it was.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/flow/inventory.h"
#include "gateway/flow/snapshot.h"
#include "tools/ctl/admin.h"
#include "tools/ctl/command.h"
#include "tools/ctl/compare.h"
#include "tools/ctl/history.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/network.h"

/* Of both commands: promote has more. */
struct bundle_options {
    const char *config, *policies, *compare, *policy, *admin;
    struct option_list splits;
    int64_t keep;
    double margin;
    bool reload, unsure;
};

#define AT(member) .offset = offsetof(struct bundle_options, member)
#define COMMON                                                                           \
    { .name = "config",                                                                  \
      .kind = OPTION_TEXT,                                                               \
      .value = "FILE",                                                                   \
      .rule = OPTION_REQUIRED,                                                           \
      .help = "the gateway's configuration: where its bundle is",                        \
      AT(config) },                                                                      \
        { .name = "reload",                                                              \
          .kind = OPTION_FLAG,                                                           \
          .help = "make the running gateway take it over; if it refuses, all is as it "  \
                  "was",                                                                 \
          AT(reload) },                                                                  \
    {                                                                                    \
        .name = "url", .kind = OPTION_TEXT, .value = "URL",                              \
        .fallback = "http://127.0.0.1:8081",                                             \
        .help = "its admin listener, or unix:/path of its socket", AT(admin)             \
    }

static const struct option_spec promote_specs[] = {
    COMMON,
    { .name = "policies",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "what tune --policies wrote, in the place of the configuration's "
              "policies_file",
      AT(policies) },
    { .name = "compare",
      .kind = OPTION_TEXT,
      .value = "STORE",
      .help =
          "only if eval compare on this calibration store finds it better or not worse",
      AT(compare) },
    { .name = "split",
      .kind = OPTION_LIST,
      .value = "NAMES",
      .help = "with --compare: as for eval compare",
      AT(splits) },
    { .name = "policy",
      .kind = OPTION_TEXT,
      .value = "NAME",
      .help = "with --compare: by whose value; absent: the first policy",
      AT(policy) },
    { .name = "margin",
      .kind = OPTION_NUMBER,
      .value = "U",
      .fallback = "0.01",
      .max = 1,
      .help = "with --compare: a loss of utility of less than this is not worse",
      AT(margin) },
    { .name = "unsure",
      .kind = OPTION_FLAG,
      .help = "with --compare: also where it cannot be told, but never what is worse",
      AT(unsure) },
    { .name = "keep",
      .kind = OPTION_COUNT,
      .value = "N",
      .fallback = "5",
      .min = 1,
      .max = HISTORY_MAX,
      .help = "former bundles that are kept",
      AT(keep) },
};

static const struct option_spec rollback_specs[] = { COMMON };
#undef AT

/* -- would the gateway take it? ------------------------------------------------------------------- */

static void tell(void *context, const char *event, const char *text)
{
    (void)context;
    (void)event;
    (void)fprintf(stderr, "warning: %s\n", text);
}

/* By the gateway's own code; bundle NULL: what the configuration names. */
static enum fault_err check(const char *config, const char *bundle, bool warn,
                            struct fault *fault)
{
    struct snapshot_error error = { .text = "" };
    struct snapshot *snapshot = NULL;
    struct metrics *metrics = NULL;
    enum err err;

    log_set_level(LOG_ERROR);
    if (metrics_new(&metrics) != ERR_OK)
        return fault_set(fault, FAULT_IO, "out of memory");
    err = bundle != NULL ? snapshot_try(config, bundle, metrics, &snapshot, &error)
                         : snapshot_load(config, 1, NULL, metrics, &snapshot, &error);
    if (err != ERR_OK)
        (void)fault_set(fault, FAULT_CONFIG, "the gateway would refuse it: %s",
                        error.text[0] != '\0' ? error.text : err_text(err));
    else if (warn)
        inventory_each_stranger(snapshot, tell, NULL);
    if (err == ERR_OK && snapshot->known == 0)
        err = ERR_INVALID,
        (void)fault_set(fault, FAULT_CONFIG,
                        "the bundle knows none of the experts of '%s'", config);
    snapshot_unref(snapshot);
    metrics_free(metrics);
    return err == ERR_OK ? FAULT_OK : FAULT_CONFIG;
}

static enum fault_err compare(const struct bundle_options *options,
                              const struct config *config, const char *newer,
                              struct fault *fault)
{
    static const struct option_list nothing = { NULL, 0 };
    struct compare_wish wish = { .older = config->bundle,
                                 .newer = newer,
                                 .store = options->compare,
                                 .config = options->config,
                                 .policy = options->policy,
                                 .folders = &nothing,
                                 .splits = &options->splits,
                                 .models = &nothing,
                                 .margin = options->margin,
                                 .seed = 7,
                                 .threads = 2 };
    struct comparison comparison;

    if (wish.policy == NULL && config->n_policies > 0)
        wish.policy = config->policies[0].name;
    enum fault_err err = compare_bundles(&wish, &comparison, fault);
    if (err != FAULT_OK)
        return err;
    compare_print(&comparison, options->margin);
    if (comparison.verdict == COMPARE_CANNOT_TELL && options->unsure)
        return FAULT_OK;
    return compare_fault(&comparison, fault);
}

/* -- both ---------------------------------------------------------------------------------------------- */

static enum fault_err take_config(const struct bundle_options *options,
                                  struct config **ret_config, struct fault *fault)
{
    struct config *config = NULL;
    enum fault_err err = network_config(options->config, &config, fault);

    if (err != FAULT_OK)
        return err;
    if (config->bundle == NULL) {
        config_unref(config);
        return fault_set(fault, FAULT_CONFIG,
                         "'%s' names no bundle: say \"bundle\" in it", options->config);
    }
    *ret_config = config;
    return FAULT_OK;
}

/* The bundle and its policies, each with its last version. */
static enum fault_err swap(const struct config *config, struct fault *fault)
{
    enum fault_err err = history_swap(config->bundle, fault);

    if (err == FAULT_OK && config->policies_file != NULL &&
        history_has(config->policies_file))
        err = history_swap(config->policies_file, fault);
    return err;
}

/* Files are in their new places: does the gateway take them? */
static enum fault_err settle(const struct bundle_options *options, struct fault *fault)
{
    struct admin_options admin = { .admin = options->admin };
    enum fault_err err = check(options->config, NULL, false, fault);

    if (err == FAULT_OK && options->reload)
        err = admin_reload(&admin, fault);
    return err;
}

/* The new files in place, or everything as it was. */
static enum fault_err install(const struct bundle_options *options,
                              const struct config *config, const char *newer, bool had,
                              struct fault *fault)
{
    const char *policies = config->policies_file;
    size_t keep = (size_t)options->keep;
    bool had_policies = policies != NULL && access(policies, F_OK) == 0, put = false;
    enum fault_err err = history_put(config->bundle, newer, keep, fault);

    if (err != FAULT_OK)
        return err;
    /* Policies that stay are kept as a version, too: the two go back together. */
    if (policies != NULL) {
        err = history_put(policies,
                          options->policies != NULL ? options->policies : policies, keep,
                          fault);
        put = err == FAULT_OK;
    }
    if (err == FAULT_OK)
        err = settle(options, fault);
    if (err == FAULT_OK) {
        history_forget(config->bundle);
        if (put)
            history_forget(policies);
        return FAULT_OK;
    }
    enum fault_err back = history_undo(config->bundle, had, keep, NULL);
    if (back == FAULT_OK && put)
        back = history_undo(policies, had_policies, keep, NULL);
    if (back == FAULT_OK)
        (void)fprintf(stderr, had ? "the former bundle stands again\n"
                                  : "there is no bundle, as before\n");
    return err;
}

static enum fault_err promote(const void *given, const char *const *operands,
                              size_t n_operands, struct fault *fault)
{
    const struct bundle_options *options = given;
    struct config *config = NULL;
    enum fault_err err = take_config(options, &config, fault);
    bool had = err == FAULT_OK && access(config->bundle, F_OK) == 0;

    (void)n_operands;
    if (err == FAULT_OK && options->policies != NULL && config->policies_file == NULL)
        err = fault_set(fault, FAULT_CONFIG,
                        "'%s' names no file of policies: say \"policies_file\" in it",
                        options->config);
    if (err == FAULT_OK)
        err = check(options->config, operands[0], true, fault);
    if (err == FAULT_OK && options->compare != NULL && had)
        err = compare(options, config, operands[0], fault);
    if (err == FAULT_OK)
        err = install(options, config, operands[0], had, fault);
    if (err == FAULT_OK)
        (void)printf("%s -> %s%s\n", operands[0], config->bundle,
                     had ? ", the former one is kept as .1" : "");
    config_unref(config);
    return err;
}

static enum fault_err settle_or_swap(const struct bundle_options *options,
                                     const struct config *config, struct fault *fault)
{
    enum fault_err err = settle(options, fault);

    if (err != FAULT_OK && swap(config, NULL) == FAULT_OK)
        (void)fprintf(stderr, "the former bundle stands again\n");
    return err;
}

static enum fault_err rollback(const void *given, const char *const *operands,
                               size_t n_operands, struct fault *fault)
{
    const struct bundle_options *options = given;
    struct config *config = NULL;
    enum fault_err err = take_config(options, &config, fault);

    (void)operands;
    (void)n_operands;
    if (err == FAULT_OK && !history_has(config->bundle))
        err = fault_set(fault, FAULT_INPUT, "there is no former bundle '%s.1'",
                        config->bundle);
    if (err == FAULT_OK) {
        char *former = history_name(config->bundle, 1);
        err = check(options->config, former, true, fault);
        free(former);
    }
    if (err == FAULT_OK)
        err = swap(config, fault);
    if (err == FAULT_OK)
        err = settle_or_swap(options, config, fault);
    if (err == FAULT_OK)
        (void)printf("%s is the former one again; rollback once more to undo that\n",
                     config->bundle);
    config_unref(config);
    return err;
}

const struct command command_bundle_promote = {
    .operands = "NEW",
    .about =
        "Puts a new bundle in the place of the one that the configuration names, after\n"
        "the gateway's own code has loaded it by that configuration. The old one is "
        "kept\n"
        "as FILE.1, older ones as FILE.2 and so on; the file of policies goes with it.\n"
        "With --compare only a bundle that is better or not worse is taken: exit code 3\n"
        "says worse, 4 cannot tell. With --reload a gateway that refuses puts all "
        "back.\n\n"
        "  frugalctl bundle promote new.frugal --config frugal.json --compare calib.db "
        "--reload\n",
    .options = { promote_specs, ARRAY_LEN(promote_specs) },
    .options_bytes = sizeof(struct bundle_options),
    .min_operands = 1,
    .max_operands = 1,
    .run = promote,
};

const struct command command_bundle_rollback = {
    .operands = "",
    .about =
        "The bundle that the configuration names and its last version, FILE.1, change\n"
        "places, and so do those of the file of policies. Done twice it is undone.\n",
    .options = { rollback_specs, ARRAY_LEN(rollback_specs) },
    .options_bytes = sizeof(struct bundle_options),
    .run = rollback,
};
