/* eval_methods.c - the classification methods that need no purchase: votes, kNN, fitted fusers, oracles. */
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/dice.h"
#include "tools/ctl/eval_classes.h"
#include "tools/ctl/memory.h"

typedef uint8_t (*vote_fn)(const struct fuser_class_set *set, size_t item, uint32_t mask);

static enum fault_err fail(struct fault *fault, const struct fuser_error *error)
{
    return fault_set(fault, FAULT_FUSER, "%s",
                     error->text[0] != '\0' ? error->text : fuser_err_text(error->code));
}

static uint8_t label_of(const struct fuser_class_set *set, size_t item, size_t expert)
{
    return set->label[item * set->n_experts + expert];
}

static double accuracy_of(const struct fuser_class_set *set, size_t expert)
{
    size_t right = 0;
    for (size_t i = 0; i < set->n_items; i++)
        right += label_of(set, i, expert) == set->truth[i];
    return (double)right / (double)set->n_items;
}

static double vote_accuracy(const struct fuser_class_set *set, uint32_t mask,
                            vote_fn vote)
{
    size_t right = 0;
    for (size_t i = 0; i < set->n_items; i++)
        right += vote(set, i, mask) == set->truth[i];
    return (double)right / (double)set->n_items;
}

/* One vote over all experts. */
static void all_vote(const struct eval_task *task, vote_fn vote,
                     struct eval_result *ret_result)
{
    ret_result->accuracy = vote_accuracy(task->measure, task->all, vote);
    ret_result->mean_experts = (double)task->fit->n_experts;
}

enum fault_err eval_single(const struct eval_task *task, struct eval_result *ret_result,
                           struct fault *fault)
{
    size_t best = 0;
    (void)fault;
    for (size_t e = 1; e < task->fit->n_experts; e++)
        if (accuracy_of(task->fit, e) > accuracy_of(task->fit, best))
            best = e;
    ret_result->accuracy = accuracy_of(task->measure, best);
    ret_result->mean_experts = 1;
    return FAULT_OK;
}

enum fault_err eval_average(const struct eval_task *task, struct eval_result *ret_result,
                            struct fault *fault)
{
    (void)fault;
    for (size_t e = 0; e < task->fit->n_experts; e++)
        ret_result->accuracy +=
            accuracy_of(task->measure, e) / (double)task->fit->n_experts;
    ret_result->mean_experts = 1;
    return FAULT_OK;
}

#define VOTE(name, function)                                                             \
    enum fault_err eval_##name(const struct eval_task *task,                             \
                               struct eval_result *ret_result, struct fault *fault)      \
    {                                                                                    \
        (void)fault;                                                                     \
        all_vote(task, function, ret_result);                                            \
        return FAULT_OK;                                                                 \
    }
VOTE(confident, fuser_class_confident)
VOTE(majority, fuser_class_majority)
VOTE(weighted, fuser_class_weighted)
VOTE(mean, fuser_class_mean)
#undef VOTE

enum fault_err eval_any_oracle(const struct eval_task *task,
                               struct eval_result *ret_result, struct fault *fault)
{
    const struct fuser_class_set *set = task->measure;
    size_t right = 0;
    (void)fault;
    for (size_t i = 0; i < set->n_items; i++) {
        bool any = false;
        for (size_t e = 0; e < set->n_experts; e++)
            any = any || label_of(set, i, e) == set->truth[i];
        right += any;
    }
    ret_result->accuracy = (double)right / (double)set->n_items;
    ret_result->mean_experts = 1;
    return FAULT_OK;
}

enum fault_err eval_domain_oracle(const struct eval_task *task,
                                  struct eval_result *ret_result, struct fault *fault)
{
    const struct fuser_class_set *fit = task->fit, *set = task->measure;
    size_t right[FUSER_MAX_CLASS_EXPERTS][FUSER_MAX_CLASS_EXPERTS] = { { 0 } }, hits = 0;
    (void)fault;
    for (size_t i = 0; i < fit->n_items; i++)
        for (size_t e = 0; e < fit->n_experts; e++)
            right[fit->domain[i]][e] += label_of(fit, i, e) == fit->truth[i];
    for (size_t i = 0; i < set->n_items; i++) {
        const size_t *known = right[set->domain[i]];
        size_t best = 0;
        for (size_t e = 1; e < set->n_experts; e++)
            if (known[e] > known[best])
                best = e;
        hits += label_of(set, i, best) == set->truth[i];
    }
    ret_result->accuracy = (double)hits / (double)set->n_items;
    ret_result->mean_experts = 1;
    return FAULT_OK;
}

/* -- kNN ----------------------------------------------------------------------------------------- */

static uint32_t most(const uint32_t *values, size_t n)
{
    uint32_t high = 0;
    for (size_t i = 0; i < n; i++)
        high = values[i] > high ? values[i] : high;
    return high;
}

static enum fault_err each_kappa(const struct eval_task *task, bool route,
                                 struct eval_result *ret_result, struct fault *fault)
{
    const struct fuser_class_set *set = task->measure;
    uint32_t k = most(task->kappas, task->n_kappas);
    uint32_t *rows = memory_new(k, sizeof(*rows));
    float *distances = memory_new(k, sizeof(*distances));
    size_t right[EVAL_MAX_POINTS] = { 0 };
    struct fuser_classes *classes = NULL;
    struct fuser_error error = { 0 };

    if (fuser_classes_new(task->fit, k, &classes, &error) != FUSER_OK) {
        free(rows);
        free(distances);
        return fail(fault, &error);
    }
    for (size_t i = 0; i < set->n_items; i++) {
        size_t got =
            fuser_classes_neighbours(classes, set, i, task->all, k, rows, distances);
        for (size_t p = 0; p < task->n_kappas; p++) {
            size_t kappa = task->kappas[p] < got ? task->kappas[p] : got;
            uint8_t answer =
                route ? label_of(set, i, fuser_classes_route(classes, rows, kappa))
                      : fuser_classes_vote(classes, rows, kappa);
            right[p] += answer == set->truth[i];
        }
        if (i % 256 == 0)
            progress_set(task->bar, (double)i / (double)set->n_items, NULL);
    }
    for (size_t p = 0; p < task->n_kappas; p++)
        ret_result->kappas[p] =
            (struct eval_point){ task->kappas[p], (double)right[p] / (double)set->n_items,
                                 (double)set->n_experts };
    ret_result->n_kappas = task->n_kappas;
    ret_result->accuracy = ret_result->kappas[0].accuracy;
    ret_result->mean_experts = (double)set->n_experts;
    fuser_classes_free(classes);
    free(rows);
    free(distances);
    return FAULT_OK;
}

enum fault_err eval_knn(const struct eval_task *task, struct eval_result *ret_result,
                        struct fault *fault)
{
    return each_kappa(task, false, ret_result, fault);
}

enum fault_err eval_knn_route(const struct eval_task *task,
                              struct eval_result *ret_result, struct fault *fault)
{
    return each_kappa(task, true, ret_result, fault);
}

/* Accuracy of the kNN fuser on one subset. */
static double knn_accuracy(const struct fuser_classes *classes,
                           const struct eval_task *task, uint32_t mask)
{
    uint32_t rows[FUSER_MAX_KAPPA];
    float distances[FUSER_MAX_KAPPA];
    const struct fuser_class_set *set = task->measure;
    size_t right = 0;
    for (size_t i = 0; i < set->n_items; i++) {
        size_t got = fuser_classes_neighbours(classes, set, i, mask, task->kappas[0],
                                              rows, distances);
        right += fuser_classes_vote(classes, rows, got) == set->truth[i];
    }
    return (double)right / (double)set->n_items;
}

/* -- subsets -------------------------------------------------------------------------------------- */

static uint32_t random_subset(struct dice *dice, size_t n_experts, size_t size)
{
    uint32_t mask = 0;
    while (size > 0) {
        uint32_t bit = 1u << dice_below(dice, n_experts);
        size -= (mask & bit) == 0;
        mask |= bit;
    }
    return mask;
}

static size_t sizes_of(const struct eval_task *task)
{
    size_t n = task->max_experts < task->fit->n_experts ? task->max_experts
                                                        : task->fit->n_experts;
    return n < EVAL_MAX_POINTS ? n : EVAL_MAX_POINTS;
}

static enum fault_err random_subsets(const struct eval_task *task, bool knn,
                                     struct eval_result *ret_result, struct fault *fault)
{
    struct fuser_classes *classes = NULL;
    struct fuser_error error = { 0 };
    struct dice dice = dice_seeded(task->seed);
    size_t n_sizes = sizes_of(task);

    if (fuser_classes_new(task->fit, task->kappas[0], &classes, &error) != FUSER_OK)
        return fail(fault, &error);
    for (size_t size = 1; size <= n_sizes; size++) {
        double sum = 0;
        for (uint32_t n = 0; n < task->subsets; n++) {
            uint32_t mask = random_subset(&dice, task->fit->n_experts, size);
            sum += knn ? knn_accuracy(classes, task, mask)
                       : vote_accuracy(task->measure, mask, fuser_class_majority);
            progress_set(task->bar,
                         ((double)size - 1 + (double)n / task->subsets) / (double)n_sizes,
                         NULL);
        }
        ret_result->sizes[size - 1] =
            (struct eval_point){ (double)size, sum / task->subsets, (double)size };
    }
    fuser_classes_free(classes);
    ret_result->n_sizes = n_sizes;
    ret_result->accuracy = ret_result->sizes[n_sizes - 1].accuracy;
    ret_result->mean_experts = (double)n_sizes;
    return FAULT_OK;
}

enum fault_err eval_random_vote(const struct eval_task *task,
                                struct eval_result *ret_result, struct fault *fault)
{
    return random_subsets(task, false, ret_result, fault);
}

enum fault_err eval_random_knn(const struct eval_task *task,
                               struct eval_result *ret_result, struct fault *fault)
{
    return random_subsets(task, true, ret_result, fault);
}

enum fault_err eval_greedy(const struct eval_task *task, struct eval_result *ret_result,
                           struct fault *fault)
{
    struct fuser_classes *classes = NULL;
    struct fuser_error error = { 0 };
    size_t n_sizes = sizes_of(task);
    uint32_t mask = 0;

    if (fuser_classes_new(task->fit, task->kappas[0], &classes, &error) != FUSER_OK)
        return fail(fault, &error);
    for (size_t size = 1; size <= n_sizes; size++) {
        mask |= 1u << fuser_classes_greedy(classes, mask);
        ret_result->sizes[size - 1] =
            (struct eval_point){ (double)size, knn_accuracy(classes, task, mask),
                                 (double)size };
        progress_set(task->bar, (double)size / (double)n_sizes, NULL);
    }
    fuser_classes_free(classes);
    ret_result->n_sizes = n_sizes;
    ret_result->accuracy = ret_result->sizes[n_sizes - 1].accuracy;
    ret_result->mean_experts = (double)n_sizes;
    return FAULT_OK;
}

/* -- FrugalML ------------------------------------------------------------------------------------- */

enum fault_err eval_frugalml(const struct eval_task *task, struct eval_result *ret_result,
                             struct fault *fault)
{
    const struct fuser_class_set *set = task->measure;
    struct fuser_error error = { 0 };
    for (size_t p = 0; p < task->n_lambdas; p++) {
        struct fuser_frugalml rule;
        size_t right = 0, calls = 0;
        if (fuser_frugalml_fit(task->fit, task->lambdas[p], &rule, &error) != FUSER_OK)
            return fail(fault, &error);
        for (size_t i = 0; i < set->n_items; i++) {
            uint32_t asked;
            right += fuser_frugalml_answer(&rule, set, i, &asked) == set->truth[i];
            calls += asked;
        }
        ret_result->curve[p] =
            (struct eval_point){ task->lambdas[p], (double)right / (double)set->n_items,
                                 (double)calls / (double)set->n_items };
    }
    ret_result->n_curve = task->n_lambdas;
    ret_result->accuracy = ret_result->curve[0].accuracy;
    ret_result->mean_experts = ret_result->curve[0].mean_experts;
    return FAULT_OK;
}

/* -- fitted fusers ---------------------------------------------------------------------------------- */

static bool show_epoch(void *context, const char *stage, double done)
{
    (void)stage;
    progress_set(context, done, NULL);
    return true;
}

static enum fault_err fitted(const struct eval_task *task, enum fuser_class_head head,
                             struct eval_result *ret_result, struct fault *fault)
{
    const struct fuser_class_set *set = task->measure;
    struct fuser_class_model *model = NULL;
    struct fuser_error error = { 0 };
    uint8_t *answers = memory_new(set->n_items, 1);
    size_t right = 0;

    if (fuser_class_model_fit(task->fit, task->all, head, task->seed, show_epoch,
                              task->bar, &model, &error) != FUSER_OK ||
        fuser_class_model_answer(model, set, answers, &error) != FUSER_OK) {
        fuser_class_model_free(model);
        free(answers);
        return fail(fault, &error);
    }
    for (size_t i = 0; i < set->n_items; i++)
        right += answers[i] == set->truth[i];
    ret_result->accuracy = (double)right / (double)set->n_items;
    ret_result->mean_experts = (double)set->n_experts;
    fuser_class_model_free(model);
    free(answers);
    return FAULT_OK;
}

enum fault_err eval_ridge(const struct eval_task *task, struct eval_result *ret_result,
                          struct fault *fault)
{
    return fitted(task, FUSER_CLASS_RIDGE, ret_result, fault);
}

enum fault_err eval_linear(const struct eval_task *task, struct eval_result *ret_result,
                           struct fault *fault)
{
    return fitted(task, FUSER_CLASS_LOGISTIC, ret_result, fault);
}

enum fault_err eval_mlp(const struct eval_task *task, struct eval_result *ret_result,
                        struct fault *fault)
{
    return fitted(task, FUSER_CLASS_MLP, ret_result, fault);
}
