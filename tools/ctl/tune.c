/* tune.c - frugalctl tune: settings by cross-validation, with the evidence for them.
 *
 *   outcomes (a folder or the store) --> tune_search --> table or JSON
 *                                            |
 *                                            +--> bundle with tuned settings (--out)
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tools/ctl/build.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/command.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/network.h"
#include "tools/ctl/report.h"
#include "tools/ctl/rowset.h"
#include "tools/ctl/table.h"
#include "tools/ctl/tune_search.h"

#define VALUES_MAX 12 /* of one setting */

struct tune_options {
    struct option_list fit, splits, models, embedders, ks, priors, zs;
    const char *store, *config, *out, *by;
    double target_quality;
    int64_t target_usd, fold, seed, threads;
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
      .help = "the gateway's configuration: which model a remote embedder is",
      AT(config) },
    { .name = "split",
      .kind = OPTION_LIST,
      .value = "NAMES",
      .help = "with --store: only prompts of these splits; all when absent",
      AT(splits) },
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
    { .name = "target-quality",
      .kind = OPTION_NUMBER,
      .value = "Q",
      .fallback = "-1",
      .min = -1,
      .max = 1,
      .help = "lambda: the thriftiest that reaches this mean quality; -1: the thriftiest "
              "within one standard error of the best",
      AT(target_quality) },
    { .name = "target-usd",
      .kind = OPTION_USD,
      .value = "USD",
      .fallback = "0",
      .help = "lambda: the best quality for this mean cost of a request; 0: no such "
              "target",
      AT(target_usd) },
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
    struct calib *store;
    struct config *config;
    struct outcomes *outcomes;
    int64_t *prompts; /* rows of the store; NULL: a folder */
    struct trial_how how;
    struct trial_vectors vectors[FUSER_MAX_EMBEDDERS];
    struct values ks, priors, zs;
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

struct vector_reader {
    struct tuning *tuning;
    struct trial_vectors *vectors;
};

static int by_number(const void *a, const void *b)
{
    const int64_t *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

static enum fault_err take_vector(void *context, int64_t prompt, const float *vector,
                                  size_t dim, struct fault *fault)
{
    const struct vector_reader *reader = context;
    struct trial_vectors *vectors = reader->vectors;
    size_t n = reader->tuning->outcomes->n;
    const int64_t *at =
        bsearch(&prompt, reader->tuning->prompts, n, sizeof(prompt), by_number);

    if (at == NULL)
        return FAULT_OK;
    if (vectors->vectors == NULL) {
        vectors->dim = dim;
        vectors->vectors = memory_new(n * dim, sizeof(float));
        for (size_t i = 0; i < n; i++)
            vectors->vectors[i * dim] = NAN;
    }
    if (vectors->dim != dim)
        return fault_set(fault, FAULT_INPUT,
                         "the store has vectors of %zu and %zu floats", vectors->dim,
                         dim);
    memcpy(vectors->vectors + (size_t)(at - reader->tuning->prompts) * dim, vector,
           dim * sizeof(*vector));
    return FAULT_OK;
}

static enum fault_err take_remote(struct tuning *tuning, size_t e, struct fault *fault)
{
    struct fuser_embedder_info *info = &tuning->how.embedders[e];
    struct vector_reader reader = { tuning, &tuning->vectors[e] };
    int expert = tuning->config == NULL
                     ? -1
                     : config_find_expert(tuning->config, str_of(info->name));

    if (tuning->prompts == NULL || expert < 0 ||
        !tuning->config->experts[expert].has_embedding)
        return fault_set(fault, FAULT_USAGE,
                         "'%s' is not built in: it needs --store, and an expert with an "
                         "embedding in --config",
                         info->name);
    const char *model = tuning->config->experts[expert].embedding.model;
    enum fault_err err =
        calib_each_vector(tuning->store, info->name, model, take_vector, &reader, fault);
    if (err == FAULT_OK && reader.vectors->vectors == NULL)
        err =
            fault_set(fault, FAULT_INPUT,
                      "the store has no vectors of '%s': build once, which fetches them",
                      info->name);
    if (err != FAULT_OK)
        return err;
    (void)snprintf(info->model, sizeof(info->model), "%s", model);
    info->kind = FUSER_REMOTE;
    info->dim = (uint32_t)reader.vectors->dim;
    tuning->how.fit_vectors[e] = tuning->how.measure_vectors[e] = reader.vectors;
    return FAULT_OK;
}

static enum fault_err take_embedders(struct tuning *tuning, struct fault *fault)
{
    const struct option_list *list = &tuning->options->embedders;
    enum fault_err err = FAULT_OK;

    if (list->count > FUSER_MAX_EMBEDDERS)
        return fault_set(fault, FAULT_USAGE, "--embedders: at most %d",
                         FUSER_MAX_EMBEDDERS);
    tuning->how.n_embedders = list->count;
    for (size_t e = 0; err == FAULT_OK && e < list->count; e++) {
        struct fuser_embedder_info *info = &tuning->how.embedders[e];
        (void)snprintf(info->name, sizeof(info->name), "%s", list->items[e]);
        if (strcmp(info->name, "surface") == 0)
            info->kind = FUSER_SURFACE;
        else if (strcmp(info->name, "lexical") == 0)
            info->kind = FUSER_LEXICAL;
        else
            err = take_remote(tuning, e, fault);
    }
    return err;
}

static enum fault_err take_outcomes(struct tuning *tuning, struct fault *fault)
{
    const struct tune_options *options = tuning->options;

    if ((options->store != NULL) == (options->fit.count > 0))
        return fault_set(fault, FAULT_USAGE, "give one of --store and --fit");
    if (options->store == NULL)
        return outcomes_read(&options->fit, &options->models, &tuning->outcomes, fault);
    enum fault_err err = FAULT_OK;
    if (options->config != NULL)
        err = network_config(options->config, &tuning->config, fault);
    if (err == FAULT_OK)
        err = calib_open(options->store, CALIB_EXISTING, &tuning->store, fault);
    if (err == FAULT_OK)
        err = outcomes_of_store(tuning->store, &options->splits, &options->models,
                                &tuning->outcomes, &tuning->prompts, fault);
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
        err = take_outcomes(tuning, fault);
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
        tuning->ks.n + tuning->priors.n + tuning->zs.n - 2, fault);

    if (err == FAULT_OK)
        err = tune_stage(tune, tuning->ks.of, tuning->ks.n, set_k, fault);
    if (err == FAULT_OK)
        err = tune_stage(tune, tuning->priors.of, tuning->priors.n, set_prior, fault);
    if (err == FAULT_OK)
        err = tune_stage(tune, tuning->zs.of, tuning->zs.n, set_z, fault);
    if (err == FAULT_OK && !by_accuracy)
        tune_lambda(tune, options->target_quality < 0 ? NAN : options->target_quality,
                    options->target_usd == 0 ? NAN : (double)options->target_usd * 1e-12);
    return err;
}

/* -- results -------------------------------------------------------------------------------------- */

static const struct trial_how *chosen(const struct tuning *tuning)
{
    return &tuning->tune.attempts[tuning->tune.stands].how;
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *to_json(const struct tuning *tuning)
{
    const struct tune *tune = &tuning->tune;
    json_t *tried = json_array(), *curve = json_array();

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
            curve,
            json_pack("{s:f, s:o, s:o, s:o, s:o, s:b}", "lambda", point->lambda, "usd",
                      number(point->usd), "quality", number(point->quality), "loss",
                      number(point->loss), "loss_se", number(point->loss_se), "kept",
                      point->lambda == tune->lambda));
    }
    return json_pack(
        "{s:s, s:I, s:I, s:I, s:f, s:f, s:o, s:o, s:o, s:o}", "by", tuning->options->by,
        "rows", (json_int_t)tuning->outcomes->n, "folds", (json_int_t)tune->folds, "k",
        (json_int_t)chosen(tuning)->k, "prior", chosen(tuning)->prior_rows, "switch_z",
        chosen(tuning)->switch_z, "lambda", number(tune->lambda), "value_usd",
        number(1 / tune->lambda), "tried", tried, "curve", curve);
}

static void print_attempts(const struct tuning *tuning)
{
    static const struct table_column columns[] = {
        { "", TABLE_LEFT },       { "k", TABLE_RIGHT },
        { "prior", TABLE_RIGHT }, { "switch z", TABLE_RIGHT },
        { "score", TABLE_RIGHT }, { "\302\261", TABLE_RIGHT },
        { "gain", TABLE_RIGHT },  { "\302\261", TABLE_RIGHT },
    };
    const struct tune *tune = &tuning->tune;
    struct table *table = table_new(columns, ARRAY_LEN(columns));

    for (size_t a = 0; a < tune->n_attempts; a++) {
        const struct tune_attempt *one = &tune->attempts[a];
        table_cell(table, "%s", a == tune->stands ? ">" : "");
        table_cell(table, "%u", one->how.k);
        table_cell(table, "%g", one->how.prior_rows);
        table_cell(table, "%g", one->how.switch_z);
        table_cell(table, "%.4f", one->score);
        table_cell(table, "%.4f", one->score_se);
        table_cell(table, a > 0 ? "%+.4f" : "", one->gain);
        table_cell(table, a > 0 ? "%.4f" : "", one->gain_se);
    }
    (void)printf("%zu prompts in %zu parts, scored by %s; gains over what stood, taken "
                 "when beyond one standard error\n",
                 tuning->outcomes->n, tune->folds, tuning->options->by);
    table_print(table, stdout);
    table_free(table);
}

static void print_curve(const struct tuning *tuning)
{
    static const struct table_column columns[] = {
        { "", TABLE_LEFT },          { "value USD", TABLE_RIGHT },
        { "lambda", TABLE_RIGHT },   { "USD a request", TABLE_RIGHT },
        { "quality", TABLE_RIGHT },  { "below the best", TABLE_RIGHT },
        { "\302\261", TABLE_RIGHT },
    };
    const struct tune *tune = &tuning->tune;
    struct table *table = table_new(columns, ARRAY_LEN(columns));

    for (size_t l = 0; l < tune->n_points; l++) {
        const struct tune_point *point = &tune->points[l];
        table_cell(table, "%s", point->lambda == tune->lambda ? ">" : "");
        table_cell(table, "%.3g", 1 / point->lambda);
        table_cell(table, "%.4g", point->lambda);
        table_cell(table, "%.3g", point->usd);
        table_cell(table, "%.4f", point->quality);
        table_cell(table, "%.4f", point->loss);
        table_cell(table, "%.4f", point->loss_se);
    }
    (void)printf("\n");
    table_print(table, stdout);
    table_free(table);
    if (isnan(tune->lambda))
        (void)printf("\nno lambda reaches the target: none is kept\n");
}

/* The bundle carries what was chosen, and the whole record of the choice. */
static enum fault_err write_bundle(struct tuning *tuning, json_t *evidence,
                                   struct fault *fault)
{
    const struct tune_options *options = tuning->options;
    char *text = json_dumps(evidence, JSON_COMPACT | JSON_REAL_PRECISION(6));
    struct fuser_tuned tuned = { .switch_z = chosen(tuning)->switch_z,
                                 .gain_se = NAN,
                                 .lambda = tuning->tune.lambda,
                                 .evidence = text };
    struct trial_how how = *chosen(tuning);
    struct fuser_error error = { 0 };
    struct fuser *fuser = NULL;
    enum fault_err err;

    if (options->store != NULL) {
        struct build_options build = { .store = options->store,
                                       .out = options->out,
                                       .config = options->config,
                                       .embedders = options->embedders,
                                       .splits = options->splits,
                                       .experts = options->models,
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
    free(text);
    return err;
}

static enum fault_err conclude(struct tuning *tuning, struct fault *fault)
{
    json_t *result = to_json(tuning);
    enum fault_err err = FAULT_OK;

    progress_end(&tuning->tune.bar);
    if (tuning->options->out != NULL)
        err = write_bundle(tuning, result, fault);
    if (err == FAULT_OK && tuning->options->json) {
        report_print_json(json_incref(result));
    } else if (err == FAULT_OK) {
        print_attempts(tuning);
        if (tuning->tune.n_points > 0)
            print_curve(tuning);
        if (tuning->options->out != NULL)
            (void)printf("\nbundle -> %s\n", tuning->options->out);
    }
    json_decref(result);
    return err;
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
    for (size_t e = 0; e < FUSER_MAX_EMBEDDERS; e++)
        free(tuning->vectors[e].vectors);
    outcomes_free(tuning->outcomes);
    free(tuning->prompts);
    calib_close(tuning->store);
    config_unref(tuning->config);
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
        "With --out the bundle is built with what was chosen and carries the table of\n"
        "what was tried. A policy that says no switch_z or value_usd takes the tuned "
        "one.\n\n"
        "  frugalctl tune --store calib.db --out bundle.frugal\n"
        "  frugalctl tune --fit outcomes:calib --fold 5 --target-quality 0.7\n",
    .options = { tune_specs, ARRAY_LEN(tune_specs) },
    .options_bytes = sizeof(struct tune_options),
    .run = run,
};
