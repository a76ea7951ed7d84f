/* tune.c - frugalctl tune: settings by cross-validation, with the evidence for them.
 *
 *   material (a folder or the store) --> tune_search --> table or JSON
 *                                            |
 *                                            +--> bundle with tuned settings (--out)
 *                                            +--> three policies (--policies), tune_policies.c
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tools/ctl/agreement.h"
#include "tools/ctl/aside.h"
#include "tools/ctl/build.h"
#include "tools/ctl/command.h"
#include "tools/ctl/material.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/report.h"
#include "tools/ctl/rowset.h"
#include "tools/ctl/tune_policies.h"
#include "tools/ctl/tune_print.h"
#include "tools/ctl/tune_search.h"

#define VALUES_MAX 12 /* of one setting */

struct tune_options {
    struct option_list fit, splits, models, embedders, ks, priors, zs;
    const char *store, *config, *out, *policies, *by, *target, *routing_text;
    bool strip;
    int64_t fold, seed, threads;
    bool json;
};

#define AT(member) .offset = offsetof(struct tune_options, member)
static const struct option_spec tune_specs[] = {
    { .name = "store",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "calibration store to tune on, and to build from with --out",
      AT(store) },
    { .name = "fit",
      .kind = OPTION_LIST,
      .value = "DIR:SPLIT,..",
      .help = "recorded outcomes to tune on, as for eval routing, instead of --store",
      AT(fit) },
    { .name = "out",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "build the bundle with what was chosen; only shown when absent",
      AT(out) },
    { .name = "embedders",
      .kind = OPTION_LIST,
      .value = "NAMES",
      .fallback = "surface,lexical",
      .help = "as for build; others than surface and lexical need --store and --config, "
              "and their vectors in the store",
      AT(embedders) },
    { .name = "config",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "the gateway's configuration: today's prices, who can be asked at all, and "
              "which model a remote embedder is",
      AT(config) },
    { .name = "split",
      .kind = OPTION_LIST,
      .value = "NAMES",
      .help =
          "with --store: only prompts of these splits; when absent 'calib', or all where "
          "there is no such split",
      AT(splits) },
    { .name = "routing-text",
      .kind = OPTION_TEXT,
      .value = "RULE",
      .help = "with --store: as of build",
      .fallback = ROUTING_TEXT_VERSION,
      AT(routing_text) },
    { .name = "strip-common-prefix",
      .kind = OPTION_FLAG,
      .help = "with --store: as of build",
      AT(strip) },
    { .name = "models",
      .kind = OPTION_LIST,
      .value = "NAMES",
      .help = "only these experts; all when absent",
      AT(models) },
    { .name = "by",
      .kind = OPTION_CHOICE,
      .value = "SCORE",
      .fallback = "aiq_b",
      .choices = "aiq_b|accuracy",
      .help = "aiq_b, the area under the curve of cost and quality, or accuracy, which "
              "leaves cost and lambda alone",
      AT(by) },
    { .name = "k",
      .kind = OPTION_LIST,
      .value = "LIST",
      .fallback = "80,40,160",
      .help = "neighbours of an estimate; of each list the first stands unless another "
              "is better by more than one standard error",
      AT(ks) },
    { .name = "prior",
      .kind = OPTION_LIST,
      .value = "LIST",
      .fallback = "30,10,100",
      .help = "pseudo-counts of the domain prior",
      AT(priors) },
    { .name = "switch-z",
      .kind = OPTION_LIST,
      .value = "LIST",
      .fallback = "1,0,0.5,2",
      .help = "standard errors by which a gain over the best fixed expert must exceed 0",
      AT(zs) },
    { .name = "target",
      .kind = OPTION_TEXT,
      .value = "WHAT",
      .help = "quality=0.93, quality=0.98x:best (of the best expert, or x:EXPERT), "
              "usd_per_1k=2.50 (1000 requests) or value_usd=0.02 (what one right answer "
              "is worth); absent: the thriftiest within one standard error of the best",
      AT(target) },
    { .name = "policies",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help =
          "write the three policies there, for \"policies_file\" of the configuration; "
          "only shown when absent",
      AT(policies) },
    { .name = "fold",
      .kind = OPTION_COUNT,
      .value = "N",
      .fallback = "5",
      .min = 2,
      .max = 100,
      .help = "parts of the cross-validation",
      AT(fold) },
    { .name = "seed",
      .kind = OPTION_COUNT,
      .value = "N",
      .fallback = "7",
      .max = 1e15,
      .help = "of folds and resamples",
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

struct values {
    size_t n;
    double of[VALUES_MAX];
};

struct tuning {
    const struct tune_options *options;
    struct material material;
    const struct outcomes *outcomes; /* of the material */
    struct trial_how how;
    struct values ks, priors, zs;
    struct target target;
    size_t model; /* whose share the target is; n_models: of the best, or of nobody */
    struct tune tune;
};

/* -- what to do -------------------------------------------------------------------------------- */

static enum fault_err take_values(const char *option, const struct option_list *list,
                                  double low, double high, struct values *ret_values,
                                  struct fault *fault)
{
    if (list->count == 0 || list->count > VALUES_MAX)
        return fault_set(fault, FAULT_USAGE, "--%s takes 1 to %d values", option,
                         VALUES_MAX);
    for (size_t i = 0; i < list->count; i++) {
        char *end = NULL;
        double value = strtod(list->items[i], &end);
        if (end == list->items[i] || *end != '\0' || !(value >= low && value <= high))
            return fault_set(fault, FAULT_USAGE,
                             "--%s: '%s' is not a number within %g and %g", option,
                             list->items[i], low, high);
        ret_values->of[i] = value;
    }
    ret_values->n = list->count;
    return FAULT_OK;
}

static enum fault_err take_embedders(struct tuning *tuning, struct fault *fault)
{
    const struct option_list *list = &tuning->options->embedders;
    struct trial_how *how = &tuning->how;
    enum fault_err err = FAULT_OK;

    if (list->count > FUSER_MAX_EMBEDDERS)
        return fault_set(fault, FAULT_USAGE, "--embedders: at most %d",
                         FUSER_MAX_EMBEDDERS);
    how->n_embedders = list->count;
    for (size_t e = 0; err == FAULT_OK && e < list->count; e++) {
        struct fuser_embedder_info *info = &how->embedders[e];
        (void)snprintf(info->name, sizeof(info->name), "%s", list->items[e]);
        err = material_embedder(&tuning->material, info, &how->price_pico[e],
                                &how->fit_vectors[e], fault);
        how->measure_vectors[e] = how->fit_vectors[e];
    }
    return err;
}

static enum fault_err take_material(struct tuning *tuning, struct fault *fault)
{
    const struct tune_options *options = tuning->options;
    struct material_wish wish = { .store = options->store,
                                  .config = options->config,
                                  .folders = &options->fit,
                                  .splits = &options->splits,
                                  .split = SPLIT_CALIB,
                                  .models = &options->models,
                                  .rule = options->routing_text,
                                  .strip = options->strip };
    enum fault_err err = material_open(&tuning->material, &wish, fault);

    tuning->outcomes = tuning->material.outcomes;
    return err;
}

static enum fault_err take_target(struct tuning *tuning, struct fault *fault)
{
    const struct tune_options *options = tuning->options;
    const struct outcomes *outcomes = tuning->outcomes;
    bool by_accuracy = strcmp(options->by, "accuracy") == 0;
    enum fault_err err = FAULT_OK;

    if (by_accuracy && (options->target != NULL || options->policies != NULL))
        return fault_set(fault, FAULT_USAGE,
                         "--by accuracy leaves cost alone: --target and --policies need "
                         "aiq_b");
    if (options->target != NULL)
        err = target_parse(options->target, &tuning->target, fault);
    tuning->model = outcomes->n_models;
    for (size_t j = 0; err == FAULT_OK && tuning->target.of != NULL &&
                       tuning->model == outcomes->n_models;
         j++) {
        if (j == outcomes->n_models)
            return fault_set(fault, FAULT_USAGE, "--target: there is no expert '%s' here",
                             tuning->target.of);
        if (strcmp(outcomes->models[j], tuning->target.of) == 0)
            tuning->model = j;
    }
    return err;
}

/* Half the prices of quality of eval routing: enough for an area, at half the time. */
static void take_lambdas(struct tuning *tuning)
{
    struct trial_how *how = &tuning->how;
    size_t n = 1;

    trial_lambdas(tuning->outcomes, how);
    for (size_t l = 1; l < how->n_lambdas; l += 2)
        how->lambdas[n++] = how->lambdas[l];
    how->n_lambdas = strcmp(tuning->options->by, "accuracy") == 0 ? 1 : n;
}

static void set_k(struct trial_how *how, double value)
{
    how->k = (uint32_t)value;
}

static void set_prior(struct trial_how *how, double value)
{
    how->prior_rows = value;
}

static void set_z(struct trial_how *how, double value)
{
    how->switch_z = value;
}

static enum fault_err prepare(struct tuning *tuning, struct fault *fault)
{
    const struct tune_options *options = tuning->options;
    struct trial_how *how = &tuning->how;
    enum fault_err err = take_values("k", &options->ks, 1, 4096, &tuning->ks, fault);

    if (err == FAULT_OK)
        err = take_values("prior", &options->priors, 0, 1e6, &tuning->priors, fault);
    if (err == FAULT_OK)
        err = take_values("switch-z", &options->zs, 0, 100, &tuning->zs, fault);
    if (err == FAULT_OK)
        err = take_material(tuning, fault);
    if (err == FAULT_OK)
        err = take_target(tuning, fault);
    if (err == FAULT_OK)
        err = take_embedders(tuning, fault);
    if (err != FAULT_OK)
        return err;
    how->gain_se = 1;
    how->seed = (uint64_t)options->seed;
    how->threads = (uint32_t)options->threads;
    set_k(how, tuning->ks.of[0]);
    set_prior(how, tuning->priors.of[0]);
    set_z(how, tuning->zs.of[0]);
    take_lambdas(tuning);
    return FAULT_OK;
}

static enum fault_err search(struct tuning *tuning, struct fault *fault)
{
    const struct tune_options *options = tuning->options;
    struct tune *tune = &tuning->tune;
    bool by_accuracy = strcmp(options->by, "accuracy") == 0;
    enum fault_err err = tune_begin(
        tune, tuning->outcomes, &tuning->how, by_accuracy, (size_t)options->fold,
        tuning->ks.n + tuning->priors.n + tuning->zs.n - 1, fault);

    if (err == FAULT_OK)
        err = tune_stage(tune, tuning->ks.of, tuning->ks.n, set_k, fault);
    if (err == FAULT_OK)
        err = tune_stage(tune, tuning->priors.of, tuning->priors.n, set_prior, fault);
    if (err == FAULT_OK)
        err = tune_stage(tune, tuning->zs.of, tuning->zs.n, set_z, fault);
    if (err == FAULT_OK && !by_accuracy)
        err = tune_curve(tune, &tuning->target, tuning->model, fault);
    return err;
}

/* -- results -------------------------------------------------------------------------------------- */

static const struct trial_how *chosen(const struct tuning *tuning)
{
    return &tuning->tune.attempts[tuning->tune.stands].how;
}

static bool has_curve(const struct tuning *tuning)
{
    return tuning->tune.n_points > 0;
}

/* Of the policy auto; NAN: there is no curve. */
static double lambda_of(const struct tuning *tuning)
{
    return has_curve(tuning) ? tuning->tune.choice.points[TARGET_AT_AUTO].lambda : NAN;
}

/* The policies as the configuration has them; id: of the bundle, or NULL. */
static json_t *policies_of(const struct tuning *tuning, const char *id)
{
    if (!has_curve(tuning))
        return json_object();
    struct tune_policies policies = { .choice = &tuning->tune.choice,
                                      .how = chosen(tuning),
                                      .outcomes = tuning->outcomes,
                                      .fixed = tuning->tune.fixed + 1,
                                      .bundle = id };
    return tune_policies_json(&policies);
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *to_json(const struct tuning *tuning)
{
    const struct tune *tune = &tuning->tune;
    json_t *tried = json_array(), *curve = json_array();
    double lambda = lambda_of(tuning);

    for (size_t a = 0; a < tune->n_attempts; a++) {
        const struct tune_attempt *one = &tune->attempts[a];
        (void)json_array_append_new(
            tried, json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:b}", "k",
                             (json_int_t)one->how.k, "prior", one->how.prior_rows,
                             "switch_z", one->how.switch_z, "score", one->score,
                             "score_se", one->score_se, "gain", one->gain, "gain_se",
                             one->gain_se, "kept", a == tune->stands));
    }
    for (size_t l = 0; l < tune->n_points; l++) {
        const struct tune_point *point = &tune->points[l];
        (void)json_array_append_new(
            curve, json_pack("{s:f, s:o, s:o, s:o, s:o, s:b}", "lambda", point->lambda,
                             "usd", number(point->usd), "quality", number(point->quality),
                             "loss", number(point->loss), "loss_se",
                             number(point->loss_se), "kept", point->lambda == lambda));
    }
    return json_pack("{s:s, s:s?, s:I, s:I, s:I, s:f, s:f, s:o, s:o, s:o, s:o}", "by",
                     tuning->options->by, "target", tuning->options->target, "rows",
                     (json_int_t)tuning->outcomes->n, "folds", (json_int_t)tune->folds,
                     "k", (json_int_t)chosen(tuning)->k, "prior",
                     chosen(tuning)->prior_rows, "switch_z", chosen(tuning)->switch_z,
                     "lambda", number(lambda), "value_usd", number(1 / lambda), "tried",
                     tried, "curve", curve);
}

/* The bundle carries what was chosen, and the whole record of the choice. */
static enum fault_err write_bundle(struct tuning *tuning, json_t *evidence,
                                   char ret_id[FUSER_MAX_NAME], struct fault *fault)
{
    const struct tune_options *options = tuning->options;
    char *text = json_dumps(evidence, JSON_COMPACT | JSON_REAL_PRECISION(6));
    struct fuser_tuned tuned = { .switch_z = chosen(tuning)->switch_z,
                                 .gain_se = NAN,
                                 .lambda = lambda_of(tuning),
                                 .evidence = text };
    struct trial_how how = *chosen(tuning);
    struct fuser_error error = { 0 };
    struct fuser_bundle *bundle = NULL;
    struct fuser *fuser = NULL;
    enum fault_err err;

    if (options->store != NULL) {
        struct build_options build = { .store = options->store,
                                       .least_agreement = AGREEMENT_LEAST,
                                       .out = options->out,
                                       .config = options->config,
                                       .embedders = options->embedders,
                                       .splits = tuning->material.splits.list,
                                       .experts = options->models,
                                       .routing_text = options->routing_text,
                                       .strip = options->strip,
                                       .k = how.k,
                                       .prior = how.prior_rows,
                                       .seed = 1 };
        err = build_tuned(&build, &tuned, fault);
    } else {
        uint32_t *rows = memory_new(tuning->outcomes->n, sizeof(*rows));
        struct trials all = { .how = &how };
        for (size_t i = 0; i < tuning->outcomes->n; i++)
            rows[i] = (uint32_t)i;
        how.tuned = &tuned;
        err = trials_build(&all, tuning->outcomes, rows, tuning->outcomes->n, &fuser,
                           fault);
        if (err == FAULT_OK &&
            fuser_bundle_save(fuser_bundle_of(fuser), options->out, &error) != FUSER_OK)
            err = rowset_fuser_fault(error.code, &error, fault);
        free(rows);
    }
    fuser_unref(fuser);
    if (err == FAULT_OK && fuser_bundle_load(options->out, &bundle, &error) != FUSER_OK)
        err = rowset_fuser_fault(error.code, &error, fault);
    if (err == FAULT_OK)
        (void)snprintf(ret_id, FUSER_MAX_NAME, "%s", fuser_bundle_id(bundle));
    fuser_bundle_unref(bundle);
    free(text);
    return err;
}

/* What a person should know who asked for what there is not. */
static enum fault_err unreachable(const struct tuning *tuning, struct fault *fault)
{
    const struct target_point *nearest = &tuning->tune.choice.points[TARGET_AT_AUTO];

    return fault_set(fault, FAULT_INPUT,
                     "--target %s cannot be reached on these prompts: the %s is quality "
                     "%.3f +- %.3f at "
                     "%.4g USD per 1000 requests; nothing was written",
                     tuning->options->target,
                     tuning->target.kind == TARGET_COST ? "cheapest" : "best",
                     nearest->quality, nearest->quality_se, 1000 * nearest->usd);
}

/* A policy that speaks for itself is obeyed, and what is written here is not. */
static void warn_of_own(const struct tuning *tuning)
{
    const struct config *config = tuning->material.config;

    for (size_t p = 0; config != NULL && p < TARGET_N_POINTS; p++) {
        const char *name = target_name((enum target_name)p);
        int at = config_find_policy(config, str_of(name));

        if (at >= 0 && !config->policies[at].silent_value &&
            !config->policies[at].has_expected)
            (void)fprintf(
                stderr,
                "frugalctl tune: '%s' says value_usd of policy '%s' itself, and "
                "that stands: take it out there to have this one\n",
                tuning->options->config, name);
    }
}

static enum fault_err write_policies(const struct tuning *tuning, const json_t *policies,
                                     struct fault *fault)
{
    enum fault_err err = aside_json(tuning->options->policies, policies, fault);

    if (err == FAULT_OK)
        warn_of_own(tuning);
    return err;
}

static void print_people(const struct tuning *tuning, const json_t *policies)
{
    const struct tune_options *options = tuning->options;

    tune_print_attempts(&tuning->tune, options->by);
    if (has_curve(tuning)) {
        tune_print_curve(&tuning->tune);
        tune_policies_print(&tuning->tune.choice, options->target, tuning->outcomes->n);
    }
    if (has_curve(tuning) && options->policies == NULL) {
        (void)printf("\n\"policies\": ");
        (void)json_dumpf(policies, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
        (void)printf("\n");
    }
    if (options->out != NULL)
        (void)printf("\nbundle -> %s\n", options->out);
    if (options->policies != NULL)
        (void)printf("policies -> %s (\"policies_file\" of the configuration)\n",
                     options->policies);
}

static enum fault_err conclude(struct tuning *tuning, struct fault *fault)
{
    json_t *result = to_json(tuning), *policies = NULL;
    char id[FUSER_MAX_NAME] = "";
    enum fault_err err = FAULT_OK;
    bool reached = !has_curve(tuning) || tuning->tune.choice.reached;

    progress_end(&tuning->tune.bar);
    if (reached && tuning->options->out != NULL)
        err = write_bundle(tuning, result, id, fault);
    policies = policies_of(tuning, id[0] != '\0' ? id : NULL);
    if (reached && err == FAULT_OK && tuning->options->policies != NULL)
        err = write_policies(tuning, policies, fault);
    (void)json_object_set(result, "policies", policies);
    (void)json_object_set_new(result, "reached", json_boolean(reached));
    if (err == FAULT_OK && tuning->options->json) {
        report_print_json(json_incref(result));
    } else if (err == FAULT_OK && reached) {
        print_people(tuning, policies);
    } else if (err == FAULT_OK) {
        tune_print_curve(&tuning->tune);
    }
    json_decref(policies);
    json_decref(result);
    return err == FAULT_OK && !reached ? unreachable(tuning, fault) : err;
}

static enum fault_err run(const void *given, const char *const *operands,
                          size_t n_operands, struct fault *fault)
{
    struct tuning *tuning = memory_new(1, sizeof(*tuning));

    (void)operands;
    (void)n_operands;
    tuning->options = given;
    enum fault_err err = prepare(tuning, fault);
    if (err == FAULT_OK) {
        err = search(tuning, fault);
        if (err == FAULT_OK)
            err = conclude(tuning, fault);
        tune_release(&tuning->tune);
    }
    material_release(&tuning->material);
    free(tuning);
    return err;
}

const struct command command_tune = {
    .operands = "",
    .about =
        "Chooses settings by cross-validation: k, the weight of the domain prior and "
        "the\n"
        "caution of switching, one after the other, and the price of quality on the "
        "curve\n"
        "that results. The first of each list stands unless another is better by more\n"
        "than one standard error of their paired difference.\n\n"
        "From the curve come three policies: auto reaches the target, auto-best is the\n"
        "thriftiest within one standard error of the best quality, auto-cheap the\n"
        "thriftiest that keeps 95 % of auto's quality. What each may be expected to give "
        "is\n"
        "corrected for having been chosen on the same prompts. A target that cannot be\n"
        "reached is exit code 1: the best that can is said, and nothing is written.\n\n"
        "With --out the bundle is built with what was chosen and carries the table of\n"
        "what was tried. A policy that says no switch_z or value_usd takes the tuned "
        "one.\n\n"
        "  frugalctl tune --store calib.db --config frugal.json --target "
        "quality=0.98x:best \\\n"
        "      --out bundle.frugal --policies policies.json\n"
        "  frugalctl tune --fit outcomes:calib --fold 5 --target usd_per_1k=2.50\n",
    .options = { tune_specs, ARRAY_LEN(tune_specs) },
    .options_bytes = sizeof(struct tune_options),
    .run = run,
};
