/* eval_classification.c - frugalctl eval classification: fuse recorded class outputs, by every method. */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tools/ctl/classes.h"
#include "tools/ctl/command.h"
#include "tools/ctl/csv.h"
#include "tools/ctl/eval_classes.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/report.h"
#include "tools/ctl/table.h"

struct eval_options {
    const char *data, *fit, *measure, *method, *loss, *costs;
    struct option_list kappas, lambdas, weights;
    int64_t neighbours, max_experts, threads, subsets, seed;
    double gain_se;
    bool json;
};

static const struct {
    const char *name, *help;
    enum fault_err (*run)(const struct eval_task *, struct eval_result *, struct fault *);
} methods[] = {
#define X(id, name, help, function) { name, help, eval_##function },
    EVAL_METHODS(X)
#undef X
};
#define N_METHODS      (sizeof(methods) / sizeof(methods[0]))

#define OFFSET(member) offsetof(struct eval_options, member)

static const struct option_spec eval_specs[] = {
    { .name = "data",
      .kind = OPTION_TEXT,
      .value = "DIR",
      .rule = OPTION_REQUIRED,
      .help = "folder with predictions.csv",
      .offset = OFFSET(data) },
    { .name = "fit",
      .kind = OPTION_TEXT,
      .value = "ITEMS",
      .fallback = "even",
      .help = "calibration items: all, even, odd or blocks:A-B",
      .offset = OFFSET(fit) },
    { .name = "measure",
      .kind = OPTION_TEXT,
      .value = "ITEMS",
      .fallback = "odd",
      .help = "items to measure on",
      .offset = OFFSET(measure) },
    { .name = "method",
      .kind = OPTION_TEXT,
      .value = "NAME",
      .fallback = "frugalfoe",
      .help = "one of those above, or all",
      .offset = OFFSET(method) },
    { .name = "kappa",
      .kind = OPTION_LIST,
      .value = "LIST",
      .fallback = "9",
      .help = "votes of the kNN fuser; the first one serves methods that take one",
      .offset = OFFSET(kappas) },
    { .name = "neighbours",
      .kind = OPTION_COUNT,
      .value = "M",
      .fallback = "50",
      .min = 1,
      .max = 100000,
      .help = "M: calibration rows whose losses are averaged",
      .offset = OFFSET(neighbours) },
    { .name = "loss",
      .kind = OPTION_CHOICE,
      .value = "KIND",
      .fallback = "soft",
      .choices = "soft|hard",
      .help = "share of votes that miss, or 0 and 1",
      .offset = OFFSET(loss) },
    { .name = "lambda",
      .kind = OPTION_LIST,
      .value = "LIST",
      .fallback = "0,0.02,0.05,0.1,0.2",
      .help = "prices of one query in units of loss",
      .offset = OFFSET(lambdas) },
    { .name = "max-experts",
      .kind = OPTION_COUNT,
      .value = "N",
      .fallback = "8",
      .min = 1,
      .max = FUSER_MAX_CLASS_EXPERTS,
      .help = "a walk asks no more",
      .offset = OFFSET(max_experts) },
    { .name = "gain-se",
      .kind = OPTION_NUMBER,
      .value = "Z",
      .fallback = "0",
      .min = 0,
      .max = 100,
      .help = "a purchase must gain more than so many standard errors",
      .offset = OFFSET(gain_se) },
    { .name = "costs",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "CSV of costs per expert: expert,NAME,NAME..; all cost 1 when absent",
      .offset = OFFSET(costs) },
    { .name = "weights",
      .kind = OPTION_LIST,
      .value = "NAME=W,..",
      .help = "weights of the columns of --costs; each 1 when absent",
      .offset = OFFSET(weights) },
    { .name = "subsets",
      .kind = OPTION_COUNT,
      .value = "N",
      .fallback = "30",
      .min = 1,
      .max = 10000,
      .help = "random subsets of each size",
      .offset = OFFSET(subsets) },
    { .name = "threads",
      .kind = OPTION_COUNT,
      .value = "N",
      .fallback = "2",
      .min = 1,
      .max = 256,
      .help = "threads of frugalfoe; the result does not depend on it",
      .offset = OFFSET(threads) },
    { .name = "seed",
      .kind = OPTION_COUNT,
      .value = "N",
      .fallback = "7",
      .min = 0,
      .max = 1e15,
      .help = "of random subsets and of the perceptron",
      .offset = OFFSET(seed) },
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "print one JSON document instead of tables",
      .offset = OFFSET(json) },
};

static enum fault_err numbers(const struct option_list *list, const char *what,
                              double max, double *ret_values, size_t *ret_n,
                              struct fault *fault)
{
    if (list->count > EVAL_MAX_POINTS)
        return fault_set(fault, FAULT_USAGE, "--%s takes at most %d numbers", what,
                         EVAL_MAX_POINTS);
    for (size_t i = 0; i < list->count; i++) {
        char *end = NULL;
        errno = 0;
        ret_values[i] = strtod(list->items[i], &end);
        if (end == list->items[i] || *end != '\0' || errno != 0 ||
            !(ret_values[i] >= 0 && ret_values[i] <= max))
            return fault_set(fault, FAULT_USAGE, "--%s: '%s' is not a number of 0 to %g",
                             what, list->items[i], max);
    }
    *ret_n = list->count;
    return FAULT_OK;
}

/* The weight that --weights gives a column, 1 when it names none, 0 when it names only others. */
static enum fault_err weight_of(const struct option_list *weights, const char *column,
                                double *ret_weight, struct fault *fault)
{
    size_t n = strlen(column);
    *ret_weight = weights->count == 0 ? 1 : 0;
    for (size_t i = 0; i < weights->count; i++) {
        char *end = NULL;
        if (strncmp(weights->items[i], column, n) != 0 || weights->items[i][n] != '=')
            continue;
        *ret_weight = strtod(weights->items[i] + n + 1, &end);
        if (*end != '\0' || !(*ret_weight >= 0) || isinf(*ret_weight))
            return fault_set(fault, FAULT_USAGE,
                             "--weights: '%s' has no weight of 0 or more",
                             weights->items[i]);
    }
    return FAULT_OK;
}

/* expert,usd,seconds,..: one row an expert, in order; a cost is the weighted sum of its columns. */
static enum fault_err read_costs(const struct eval_options *options, size_t n_experts,
                                 double *ret_cost, struct fault *fault)
{
    struct csv *csv = NULL;
    const char *const *fields = NULL;
    size_t n = 0, columns = 0;
    double weight[EVAL_MAX_POINTS];
    enum fault_err err = csv_open(options->costs, &csv, fault);
    if (err == FAULT_OK)
        err = csv_next(csv, &fields, &columns, fault);
    if (err == FAULT_OK && (fields == NULL || columns < 2 || columns > EVAL_MAX_POINTS))
        err = fault_at(fault, FAULT_INPUT, options->costs, 1,
                       "the header is not expert,NAME,..");
    assert(err != FAULT_OK || fields != NULL);
    for (size_t c = 1; err == FAULT_OK && c < columns; c++)
        err = weight_of(&options->weights, fields[c], &weight[c], fault);
    for (size_t e = 0; err == FAULT_OK && e < n_experts; e++) {
        ret_cost[e] = 0;
        err = csv_next(csv, &fields, &n, fault);
        if (err == FAULT_OK && (fields == NULL || n != columns))
            err = fault_at(fault, FAULT_INPUT, options->costs, csv_line(csv),
                           "%zu experts with %zu columns are needed", n_experts, columns);
        for (size_t c = 1; err == FAULT_OK && c < columns; c++) {
            char *end = NULL;
            assert(fields != NULL);
            double cost = strtod(fields[c], &end);
            if (end == fields[c] || *end != '\0' || !(cost >= 0) || isinf(cost))
                err = fault_at(fault, FAULT_INPUT, options->costs, csv_line(csv),
                               "'%s' is not a cost of 0 or more", fields[c]);
            ret_cost[e] += weight[c] * cost;
        }
    }
    csv_close(csv);
    return err;
}

static json_t *points_json(const struct eval_point *points, size_t n, const char *at,
                           bool experts)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *point = json_object();
        bool whole = points[i].at == floor(points[i].at) && !experts;
        json_object_set_new(point, at,
                            whole ? json_integer((json_int_t)points[i].at)
                                  : json_real(points[i].at));
        json_object_set_new(point, "accuracy", json_real(points[i].accuracy));
        if (experts)
            json_object_set_new(point, "mean_experts", json_real(points[i].mean_experts));
        json_array_append_new(list, point);
    }
    return list;
}

static json_t *result_json(const char *method, size_t n, const struct eval_result *result)
{
    json_t *root = json_object();
    json_object_set_new(root, "method", json_string(method));
    json_object_set_new(root, "n", json_integer((json_int_t)n));
    json_object_set_new(root, "accuracy", json_real(result->accuracy));
    json_object_set_new(root, "mean_experts", json_real(result->mean_experts));
    json_object_set_new(root, "curve",
                        points_json(result->curve, result->n_curve, "lambda", true));
    json_object_set_new(root, "sizes",
                        points_json(result->sizes, result->n_sizes, "experts", false));
    json_object_set_new(root, "kappas",
                        points_json(result->kappas, result->n_kappas, "kappa", false));
    return root;
}

static void print_points(const struct eval_point *points, size_t n, const char *at)
{
    const struct table_column columns[] = { { at, TABLE_RIGHT },
                                            { "accuracy", TABLE_RIGHT },
                                            { "mean experts", TABLE_RIGHT } };
    struct table *table = table_new(columns, 3);
    for (size_t i = 0; i < n; i++) {
        table_cell(table, "%g", points[i].at);
        table_cell(table, "%.4f", points[i].accuracy);
        table_cell(table, "%.4f", points[i].mean_experts);
    }
    table_print(table, stdout);
    table_free(table);
}

static void print_result(const char *method, size_t n, const struct eval_result *result)
{
    (void)printf("%s: accuracy %.4f on %zu items, %.4g experts asked on the mean\n",
                 method, result->accuracy, n, result->mean_experts);
    if (result->n_curve > 0)
        print_points(result->curve, result->n_curve, "lambda");
    if (result->n_sizes > 0)
        print_points(result->sizes, result->n_sizes, "experts");
    if (result->n_kappas > 1)
        print_points(result->kappas, result->n_kappas, "kappa");
}

static enum fault_err run_methods(const struct eval_options *options,
                                  struct eval_task *task, struct fault *fault)
{
    bool all = strcmp(options->method, "all") == 0, found = false;
    json_t *list = json_array();
    enum fault_err err = FAULT_OK;

    for (size_t m = 0; err == FAULT_OK && m < N_METHODS; m++) {
        struct eval_result result = { 0 };
        struct progress bar;
        if (!all && strcmp(options->method, methods[m].name) != 0)
            continue;
        found = true;
        progress_init(&bar, methods[m].name, 1);
        task->bar = &bar;
        err = methods[m].run(task, &result, fault);
        progress_end(&bar);
        if (err == FAULT_OK && options->json)
            json_array_append_new(
                list, result_json(methods[m].name, task->measure->n_items, &result));
        else if (err == FAULT_OK)
            print_result(methods[m].name, task->measure->n_items, &result);
    }
    if (!found)
        err = fault_set(fault, FAULT_USAGE, "'%s' is not a method", options->method);
    if (err == FAULT_OK && options->json)
        report_print_json(all ? json_incref(list) : json_incref(json_array_get(list, 0)));
    json_decref(list);
    return err;
}

static enum fault_err prepare(const struct eval_options *options, struct eval_task *task,
                              double *cost, struct fault *fault)
{
    double kappas[EVAL_MAX_POINTS];
    size_t n_experts = task->fit->n_experts;
    task->all = n_experts == 32 ? UINT32_MAX : (1u << n_experts) - 1;
    task->neighbours = (uint32_t)options->neighbours;
    task->max_experts = (uint32_t)options->max_experts;
    task->threads = (uint32_t)options->threads;
    task->subsets = (uint32_t)options->subsets;
    task->seed = (uint64_t)options->seed;
    task->soft = strcmp(options->loss, "soft") == 0;
    task->gain_se = options->gain_se;
    enum fault_err err = numbers(&options->kappas, "kappa", FUSER_MAX_KAPPA, kappas,
                                 &task->n_kappas, fault);
    for (size_t i = 0; err == FAULT_OK && i < task->n_kappas; i++) {
        task->kappas[i] = (uint32_t)kappas[i];
        if (kappas[i] != floor(kappas[i]) || task->kappas[i] == 0)
            err = fault_set(fault, FAULT_USAGE,
                            "--kappa: '%s' is not a whole number of 1 to %d",
                            options->kappas.items[i], FUSER_MAX_KAPPA);
    }
    if (err == FAULT_OK)
        err = numbers(&options->lambdas, "lambda", 1e9, task->lambdas, &task->n_lambdas,
                      fault);
    if (err == FAULT_OK && options->costs == NULL && options->weights.count > 0)
        err = fault_set(fault, FAULT_USAGE, "--weights goes with --costs");
    if (err == FAULT_OK && options->costs != NULL) {
        err = read_costs(options, n_experts, cost, fault);
        task->cost = cost;
    }
    return err;
}

static enum fault_err run_eval(const void *untyped, const char *const *operands,
                               size_t n_operands, struct fault *fault)
{
    const struct eval_options *options = untyped;
    struct classes_table table = { 0 }, fit = { 0 }, measure = { 0 };
    double cost[FUSER_MAX_CLASS_EXPERTS];
    struct eval_task task = { .fit = &fit.set, .measure = &measure.set };
    (void)operands;
    (void)n_operands;

    enum fault_err err = classes_read(options->data, &table, fault);
    if (err == FAULT_OK)
        err = classes_select(&table, options->fit, &fit, fault);
    if (err == FAULT_OK)
        err = classes_select(&table, options->measure, &measure, fault);
    if (err == FAULT_OK)
        err = prepare(options, &task, cost, fault);
    if (err == FAULT_OK)
        err = run_methods(options, &task, fault);
    classes_release(&table);
    classes_release(&fit);
    classes_release(&measure);
    return err;
}

const struct command command_eval_classification = {
    .operands = "",
    .about = "Fuses the recorded class outputs of several experts, by a method of the "
             "paper or one that it\n"
             "is compared with, and says how often the result is right.\n\n"
#define X(id, name, help, function) "  " name ": " help "\n"
    EVAL_METHODS(X)
#undef X
        "\nAnswers are deterministic; all sums that decide are integers.\n",
    .options = { eval_specs, sizeof(eval_specs) / sizeof(eval_specs[0]) },
    .options_bytes = sizeof(struct eval_options),
    .run = run_eval,
};
