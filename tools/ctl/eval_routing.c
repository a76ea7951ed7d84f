/* eval_routing.c - frugalctl eval routing: what a router would have earned on recorded outcomes. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tools/ctl/command.h"
#include "tools/ctl/dice.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/plot.h"
#include "tools/ctl/report.h"
#include "tools/ctl/table.h"
#include "tools/ctl/trial.h"

struct eval_options {
    struct option_list fit, measure, models, embedders, prices;
    const char *head, *items, *plot;
    double prior, switch_z, gain_se;
    int64_t fold, walk_m, bootstrap, seed, threads;
    bool leave_domains_out, json;
};

#define OFFSET(member) offsetof(struct eval_options, member)

static const struct option_spec eval_specs[] = {
    { .name = "fit",
      .kind = OPTION_LIST,
      .value = "DIR:SPLIT,..",
      .rule = OPTION_REQUIRED,
      .help = "outcomes to build on; DIR is as for import; may be repeated",
      .offset = OFFSET(fit) },
    { .name = "measure",
      .kind = OPTION_LIST,
      .value = "DIR:SPLIT,..",
      .help = "outcomes to measure on; not with --fold and --leave-domains-out",
      .offset = OFFSET(measure) },
    { .name = "models",
      .kind = OPTION_LIST,
      .value = "NAMES",
      .help = "only these; all when absent",
      .offset = OFFSET(models) },
    { .name = "embedder",
      .kind = OPTION_LIST,
      .value = "LIST",
      .fallback = "lexical",
      .help = "surface and lexical are built in; another name is a CSV file id,v0,v1,.. "
              "of vectors",
      .offset = OFFSET(embedders) },
    { .name = "embedder-usd",
      .kind = OPTION_LIST,
      .value = "LIST",
      .help = "price of each embedder's vector in USD; 0 when absent",
      .offset = OFFSET(prices) },
    { .name = "head",
      .kind = OPTION_TEXT,
      .value = "NAME[:K]",
      .fallback = "blend",
      .help = "knn:K, ridge, logistic, mlp, domain, metric or blend",
      .offset = OFFSET(head) },
    { .name = "prior",
      .kind = OPTION_NUMBER,
      .value = "M",
      .fallback = "-1",
      .min = -1,
      .max = 1e6,
      .help = "pseudo-counts of the domain prior; -1: the fuser's default",
      .offset = OFFSET(prior) },
    { .name = "neighbours",
      .kind = OPTION_COUNT,
      .value = "M",
      .fallback = "0",
      .min = 0,
      .max = 4096,
      .help = "M of the walk; 0: the fuser's default",
      .offset = OFFSET(walk_m) },
    { .name = "switch-z",
      .kind = OPTION_NUMBER,
      .value = "Z",
      .fallback = "1",
      .min = 0,
      .max = 100,
      .help = "standard errors by which a gain over the best fixed model must exceed 0",
      .offset = OFFSET(switch_z) },
    { .name = "gain-se",
      .kind = OPTION_NUMBER,
      .value = "Z",
      .fallback = "1",
      .min = 0,
      .max = 100,
      .help =
          "standard errors by which the expected gain of evidence that costs anything "
          "must exceed its price; 0: any gain, as in the paper",
      .offset = OFFSET(gain_se) },
    { .name = "fold",
      .kind = OPTION_COUNT,
      .value = "N",
      .fallback = "0",
      .min = 0,
      .max = 100,
      .help = "cross-validate --fit in so many parts",
      .offset = OFFSET(fold) },
    { .name = "leave-domains-out",
      .kind = OPTION_FLAG,
      .help = "measure each domain of --fit by a fuser that never saw it",
      .offset = OFFSET(leave_domains_out) },
    { .name = "bootstrap",
      .kind = OPTION_COUNT,
      .value = "N",
      .fallback = "0",
      .min = 0,
      .max = 100000,
      .help = "95 % intervals from so many paired resamples",
      .offset = OFFSET(bootstrap) },
    { .name = "items",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "CSV of each prompt's choice at lambda 0",
      .offset = OFFSET(items) },
    { .name = "plot",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "SVG of cost and quality: router, single models, mixing, oracle",
      .offset = OFFSET(plot) },
    { .name = "seed",
      .kind = OPTION_COUNT,
      .value = "N",
      .fallback = "7",
      .min = 0,
      .max = 1e15,
      .help = "of folds, samples and resamples",
      .offset = OFFSET(seed) },
    { .name = "threads",
      .kind = OPTION_COUNT,
      .value = "N",
      .fallback = "2",
      .min = 1,
      .max = 256,
      .help = "the result does not depend on it",
      .offset = OFFSET(threads) },
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "print one JSON document instead of a table",
      .offset = OFFSET(json) },
};

struct evaluation {
    const struct eval_options *options;
    struct outcomes *fit, *measure; /* the same when cross-validated */
    struct trial_how how;
    struct trial_vectors fit_vectors[FUSER_MAX_EMBEDDERS],
        measure_vectors[FUSER_MAX_EMBEDDERS];
    struct trials *trials;
    struct progress bar;
    struct measures measures, low, high; /* low, high: intervals */
    size_t n_curve;
    struct measures_point curve[MEASURES_POINTS];
    char head[32];
};

/* -- what to do --------------------------------------------------------------------------------- */

static enum fault_err take_head(struct evaluation *eval, struct fault *fault)
{
    const char *head = eval->options->head, *colon = strchr(head, ':');
    size_t n = colon == NULL ? strlen(head) : (size_t)(colon - head);
    if (n >= sizeof(eval->head))
        return fault_set(fault, FAULT_USAGE, "'%s' is not a head", head);
    memcpy(eval->head, head, n);
    eval->how.head = eval->head;
    if (colon != NULL) {
        char *end = NULL;
        unsigned long k = strtoul(colon + 1, &end, 10);
        if (end == colon + 1 || *end != '\0' || k == 0 || k > 4096)
            return fault_set(fault, FAULT_USAGE, "--head: '%s' has no k of 1 to 4096",
                             head);
        eval->how.k = (uint32_t)k;
    }
    return FAULT_OK;
}

static enum fault_err take_prices(struct evaluation *eval, struct fault *fault)
{
    const struct option_list *prices = &eval->options->prices;
    if (prices->count != 0 && prices->count != eval->how.n_embedders)
        return fault_set(fault, FAULT_USAGE,
                         "--embedder-usd needs one price for each embedder");
    for (size_t e = 0; e < prices->count; e++) {
        char *end = NULL;
        double usd = strtod(prices->items[e], &end);
        if (end == prices->items[e] || *end != '\0' || !(usd >= 0 && usd < 1e6))
            return fault_set(fault, FAULT_USAGE, "--embedder-usd: '%s' is not a price",
                             prices->items[e]);
        eval->how.price_pico[e] = llround(usd * 1e12);
    }
    return FAULT_OK;
}

static enum fault_err take_file(struct evaluation *eval, size_t e, const char *path,
                                struct fault *fault)
{
    enum fault_err err =
        trial_vectors_read(path, eval->fit, &eval->fit_vectors[e], fault);
    if (err != FAULT_OK)
        return err;
    eval->how.fit_vectors[e] = eval->how.measure_vectors[e] = &eval->fit_vectors[e];
    eval->how.embedders[e].dim = (uint32_t)eval->fit_vectors[e].dim;
    if (eval->measure == eval->fit)
        return FAULT_OK;
    err = trial_vectors_read(path, eval->measure, &eval->measure_vectors[e], fault);
    eval->how.measure_vectors[e] = &eval->measure_vectors[e];
    return err;
}

static enum fault_err take_embedders(struct evaluation *eval, struct fault *fault)
{
    const struct option_list *list = &eval->options->embedders;
    if (list->count > FUSER_MAX_EMBEDDERS)
        return fault_set(fault, FAULT_USAGE, "--embedder takes at most %d",
                         FUSER_MAX_EMBEDDERS);
    eval->how.n_embedders = list->count;
    for (size_t e = 0; e < list->count; e++) {
        struct fuser_embedder_info *info = &eval->how.embedders[e];
        const char *name = list->items[e], *slash = strrchr(name, '/');
        const char *shown = slash == NULL ? name : slash + 1;
        (void)snprintf(info->name, sizeof(info->name), "%s", shown);
        info->kind = strcmp(name, "surface") == 0   ? FUSER_SURFACE
                     : strcmp(name, "lexical") == 0 ? FUSER_LEXICAL
                                                    : FUSER_REMOTE;
        if (info->kind == FUSER_REMOTE) {
            (void)snprintf(info->model, sizeof(info->model), "%s", shown);
            enum fault_err err = take_file(eval, e, name, fault);
            if (err != FAULT_OK)
                return err;
        }
    }
    return take_prices(eval, fault);
}

static enum fault_err same_models(const struct evaluation *eval, struct fault *fault)
{
    for (size_t j = 0; j < eval->fit->n_models; j++)
        if (j >= eval->measure->n_models ||
            strcmp(eval->fit->models[j], eval->measure->models[j]) != 0)
            return fault_set(
                fault, FAULT_INPUT,
                "--fit and --measure have other models: name those of both by --models");
    return FAULT_OK;
}

static enum fault_err prepare(struct evaluation *eval, struct fault *fault)
{
    const struct eval_options *options = eval->options;
    bool inside = options->fold > 0 || options->leave_domains_out;
    if (options->fold == 1 || (options->fold > 0 && options->leave_domains_out))
        return fault_set(
            fault, FAULT_USAGE,
            "--fold takes 2 or more parts, and not with --leave-domains-out");
    if (inside == (options->measure.count > 0))
        return fault_set(fault, FAULT_USAGE,
                         "give one of --measure, --fold and --leave-domains-out");
    enum fault_err err =
        outcomes_read(&options->fit, &options->models, &eval->fit, fault);
    eval->measure = eval->fit;
    if (err == FAULT_OK && !inside)
        err = outcomes_read(&options->measure, &options->models, &eval->measure, fault);
    if (err == FAULT_OK && !inside)
        err = same_models(eval, fault);
    if (err == FAULT_OK)
        err = take_head(eval, fault);
    if (err == FAULT_OK)
        err = take_embedders(eval, fault);
    if (err != FAULT_OK)
        return err;
    eval->how.walk_m = (uint32_t)options->walk_m;
    eval->how.prior_rows = options->prior;
    eval->how.switch_z = options->switch_z;
    eval->how.gain_se = options->gain_se;
    eval->how.seed = (uint64_t)options->seed;
    eval->how.threads = (uint32_t)options->threads;
    trial_lambdas(eval->fit, &eval->how);
    return FAULT_OK;
}

/* -- parts -------------------------------------------------------------------------------------- */

/* Runs once per part: rows of part p are measured, all others are fitted. */
static enum fault_err run_parts(struct evaluation *eval, const uint32_t *part,
                                size_t n_parts, struct fault *fault)
{
    size_t n = eval->fit->n;
    uint32_t *fit = memory_new(n, sizeof(*fit)), *rows = memory_new(n, sizeof(*rows));
    enum fault_err err = FAULT_OK;
    for (size_t p = 0; err == FAULT_OK && p < n_parts; p++) {
        size_t n_fit = 0, n_rows = 0;
        for (size_t i = 0; i < n; i++) {
            if (part[i] == p)
                rows[n_rows++] = (uint32_t)i;
            else
                fit[n_fit++] = (uint32_t)i;
        }
        if (n_rows > 0)
            err = trials_run(eval->trials, eval->fit, fit, n_fit, rows, n_rows,
                             &eval->bar, (double)p / (double)n_parts,
                             (double)(p + 1) / (double)n_parts, fault);
    }
    free(fit);
    free(rows);
    return err;
}

static size_t domain_parts(const struct evaluation *eval, uint32_t *part)
{
    size_t n_parts = 0;
    for (size_t i = 0; i < eval->fit->n; i++) {
        const char *domain = eval->fit->rows[i].domain;
        size_t j = 0;
        while (j < i &&
               strcmp(eval->fit->rows[j].domain == NULL ? "" : eval->fit->rows[j].domain,
                      domain == NULL ? "" : domain) != 0)
            j++;
        part[i] = j < i ? part[j] : (uint32_t)n_parts++;
    }
    return n_parts;
}

static enum fault_err run_all(struct evaluation *eval, struct fault *fault)
{
    size_t n = eval->fit->n > eval->measure->n ? eval->fit->n : eval->measure->n;
    uint32_t *part = memory_new(n, sizeof(*part));
    enum fault_err err;
    if (eval->measure != eval->fit) {
        for (size_t i = 0; i < n; i++)
            part[i] = (uint32_t)i;
        err = trials_run(eval->trials, eval->fit, part, eval->fit->n, part,
                         eval->measure->n, &eval->bar, 0, 1, fault);
    } else {
        size_t n_parts = (size_t)eval->options->fold;
        if (n_parts > 0)
            trial_folds(n, n_parts, (uint64_t)eval->options->seed, part);
        else
            n_parts = domain_parts(eval, part);
        err = n_parts < 2 ? fault_set(fault, FAULT_INPUT, "there is only one domain")
                          : run_parts(eval, part, n_parts, fault);
    }
    free(part);
    return err;
}

/* -- results --------------------------------------------------------------------------------------- */

static json_t *number(double value)
{
    return isnan(value) ? json_null() : json_real(value);
}

static json_t *bought_json(const struct evaluation *eval)
{
    json_t *root = json_object();
    size_t n = eval->measure->n;
    for (size_t e = 0; e < eval->how.n_embedders; e++) {
        json_t *list = json_array();
        for (size_t l = 0; l < eval->how.n_lambdas; l++) {
            size_t count = 0;
            for (size_t i = 0; i < n; i++)
                count += eval->trials->bought[l * n + i] >> e & 1;
            json_array_append_new(list, json_pack("[f,f]", eval->how.lambdas[l],
                                                  (double)count / (double)n));
        }
        json_object_set_new(root, eval->how.embedders[e].name, list);
    }
    return root;
}

static void print_json(const struct evaluation *eval)
{
    json_t *root = json_object(), *curve = json_array();
    json_object_set_new(root, "n", json_integer((json_int_t)eval->measure->n));
#define X(name) json_object_set_new(root, #name, number(eval->measures.name));
    MEASURES(X)
#undef X
    if (eval->options->bootstrap > 0) {
        json_t *intervals = json_object();
#define X(name)                                                                          \
    json_object_set_new(                                                                 \
        intervals, #name,                                                                \
        json_pack("[o,o]", number(eval->low.name), number(eval->high.name)));
        MEASURES(X)
#undef X
        json_object_set_new(root, "intervals", intervals);
    }
    for (size_t i = 0; i < eval->n_curve; i++)
        json_array_append_new(
            curve, json_pack("[f,f]", eval->curve[i].cost, eval->curve[i].quality));
    json_object_set_new(root, "curve", curve);
    json_object_set_new(root, "bought", bought_json(eval));
    report_print_json(root);
}

static void print_table(const struct evaluation *eval)
{
    const struct table_column columns[] = { { "measure", TABLE_LEFT },
                                            { "value", TABLE_RIGHT },
                                            { "95 % interval", TABLE_LEFT } };
    struct table *table = table_new(columns, 3);
#define X(name)                                                                          \
    if (!isnan(eval->measures.name)) {                                                   \
        table_cell(table, "%s", #name);                                                  \
        table_cell(table, "%.4f", eval->measures.name);                                  \
        if (eval->options->bootstrap > 0)                                                \
            table_cell(table, "%.4f to %.4f", eval->low.name, eval->high.name);          \
        else                                                                             \
            table_cell(table, "%s", "");                                                 \
    }
    MEASURES(X)
#undef X
    (void)printf("%zu prompts, %zu models, head %s\n", eval->measure->n,
                 eval->measure->n_models, eval->options->head);
    table_print(table, stdout);
    table_free(table);
}

static enum fault_err write_items(const struct evaluation *eval, struct fault *fault)
{
    const struct trials *trials = eval->trials;
    size_t c = eval->measure->n_models;
    FILE *file = fopen(eval->options->items, "we");
    if (file == NULL)
        return fault_set(fault, FAULT_IO, "cannot open '%s': %s", eval->options->items,
                         strerror(errno));
    (void)fputs("id,chosen,predicted,quality,cost_usd,evidence_usd\n", file);
    for (size_t i = 0; i < eval->measure->n; i++) {
        size_t at = i * c + trials->chosen[i];
        (void)fprintf(file, "%s,%s,%.6f,%.6g,%.9g,%.9g\n", eval->measure->rows[i].id,
                      eval->measure->models[trials->chosen[i]], trials->predicted[at],
                      eval->measure->quality[at], eval->measure->cost_usd[at],
                      trials->paid[i]);
    }
    if (ferror(file) != 0 || fclose(file) != 0)
        return fault_set(fault, FAULT_IO, "cannot write '%s'", eval->options->items);
    return FAULT_OK;
}

static enum fault_err draw(const struct evaluation *eval, struct fault *fault)
{
    struct measures_point single[FUSER_MAX_GENERATORS], zero[FUSER_MAX_GENERATORS];
    size_t n = eval->measure->n_models;
    measures_singles(&eval->trials->trial, NULL, single);
    memcpy(zero, single, n * sizeof(*zero));
    struct plot plot = { .models = (const char *const *)eval->measure->models,
                         .single = single,
                         .n_single = n,
                         .zero = zero,
                         .n_zero = measures_hull(zero, n),
                         .curve = eval->curve,
                         .n_curve = eval->n_curve,
                         .oracle = eval->measures.oracle };
    return plot_write(&plot, eval->options->plot, fault);
}

static enum fault_err conclude(struct evaluation *eval, struct fault *fault)
{
    enum fault_err err = FAULT_OK;
    measures_of(&eval->trials->trial, NULL, &eval->measures);
    eval->n_curve = measures_curve(&eval->trials->trial, NULL, eval->curve);
    if (eval->options->bootstrap > 0)
        measures_intervals(&eval->trials->trial, (size_t)eval->options->bootstrap,
                           (uint64_t)eval->options->seed, &eval->bar, &eval->low,
                           &eval->high);
    progress_end(&eval->bar);
    if (eval->options->items != NULL)
        err = write_items(eval, fault);
    if (err == FAULT_OK && eval->options->plot != NULL)
        err = draw(eval, fault);
    if (err == FAULT_OK && eval->options->json)
        print_json(eval);
    else if (err == FAULT_OK)
        print_table(eval);
    return err;
}

static enum fault_err run_eval(const void *untyped, const char *const *operands,
                               size_t n_operands, struct fault *fault)
{
    struct evaluation *eval = memory_new(1, sizeof(*eval));
    (void)operands;
    (void)n_operands;
    eval->options = untyped;
    enum fault_err err = prepare(eval, fault);
    if (err == FAULT_OK) {
        eval->trials = trials_new(eval->measure, &eval->how);
        progress_init(&eval->bar, "deciding", 1);
        err = run_all(eval, fault);
        if (err == FAULT_OK)
            err = conclude(eval, fault);
        else
            progress_end(&eval->bar);
    }
    trials_free(eval->trials);
    for (size_t e = 0; e < FUSER_MAX_EMBEDDERS; e++) {
        free(eval->fit_vectors[e].vectors);
        free(eval->measure_vectors[e].vectors);
    }
    if (eval->measure != eval->fit)
        outcomes_free(eval->measure);
    outcomes_free(eval->fit);
    free(eval);
    return err;
}

const struct command command_eval_routing = {
    .operands = "",
    .about =
        "Builds a fuser on recorded outcomes and lets it decide on others, at many "
        "prices of quality;\n"
        "every decision is made as the gateway makes it. Says what was right, what it "
        "cost, and how that\n"
        "compares with the best single model, random mixing of models and an oracle.\n\n"
        "  frugalctl eval routing --fit outcomes:calib --measure outcomes:dev "
        "--bootstrap 200\n"
        "  frugalctl eval routing --fit outcomes --fold 5 --head knn:80\n",
    .options = { eval_specs, sizeof(eval_specs) / sizeof(eval_specs[0]) },
    .options_bytes = sizeof(struct eval_options),
    .run = run_eval,
};
