/* eval_walk.c - FrugalFoE on all items, on several threads.
 *
 * Items are dealt out in turn; each thread has its own calibration rows and memo, so that nothing is shared but
 * the count of items done. With equal prices one walk serves every lambda; with others the order of
 * purchases depends on lambda, and each has its own walk.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tools/ctl/eval_classes.h"
#include "tools/ctl/memory.h"

#define FORCED_SIZES                                                                     \
    8 /* the walk goes on so far, to show what each size would have answered */

struct totals {
    size_t right[EVAL_MAX_POINTS], asked[EVAL_MAX_POINTS]; /* per lambda */
    size_t size_right[FORCED_SIZES + 1], size_items[FORCED_SIZES + 1];
};

struct walker {
    const struct eval_task *task;
    size_t first; /* item; every threads-th from there */
    atomic_size_t *done;
    struct totals totals;
    struct fuser_error error;
    enum fuser_err err;
    pthread_t thread;
};

static double least(const double *values, size_t n)
{
    double low = values[0];
    for (size_t i = 1; i < n; i++)
        low = fmin(low, values[i]);
    return low;
}

/* lambda: index, or SIZE_MAX when one walk serves all. */
static void count(struct walker *walker, const struct fuser_classes *classes,
                  const struct fuser_class_walk *how, const struct fuser_class_path *path,
                  size_t item, size_t lambda)
{
    const struct eval_task *task = walker->task;
    uint8_t truth = task->measure->truth[item];
    struct totals *totals = &walker->totals;
    for (size_t p = 0; p < task->n_lambdas; p++) {
        if (lambda != SIZE_MAX && p != lambda)
            continue;
        size_t n = fuser_class_path_stop(classes, how, path, task->lambdas[p]);
        totals->right[p] += path->answer[n - 1] == truth;
        totals->asked[p] += n;
    }
    for (size_t s = 1; lambda == SIZE_MAX && s <= FORCED_SIZES && s <= path->n; s++) {
        totals->size_right[s] += path->answer[s - 1] == truth;
        totals->size_items[s]++;
    }
}

static enum fuser_err walk_item(struct walker *walker, struct fuser_classes *classes,
                                size_t item)
{
    const struct eval_task *task = walker->task;
    struct fuser_class_walk how = { .soft = task->soft,
                                    .m = task->neighbours,
                                    .max_experts = task->max_experts,
                                    .cost = task->cost,
                                    .gain_se = task->gain_se };
    struct fuser_class_path path;
    enum fuser_err err = FUSER_OK;
    if (task->cost == NULL) {
        how.min_experts = FORCED_SIZES;
        how.stop_lambda = least(task->lambdas, task->n_lambdas);
        err =
            fuser_classes_walk(classes, &how, task->measure, item, &path, &walker->error);
        if (err == FUSER_OK)
            count(walker, classes, &how, &path, item, SIZE_MAX);
        return err;
    }
    for (size_t p = 0; err == FUSER_OK && p < task->n_lambdas; p++) {
        how.lambda = how.stop_lambda = task->lambdas[p];
        err =
            fuser_classes_walk(classes, &how, task->measure, item, &path, &walker->error);
        if (err == FUSER_OK)
            count(walker, classes, &how, &path, item, p);
    }
    return err;
}

static void *walk(void *context)
{
    struct walker *walker = context;
    const struct eval_task *task = walker->task;
    struct fuser_classes *classes = NULL;

    walker->err = fuser_classes_new(task->fit, task->kappas[0], &classes, &walker->error);
    for (size_t i = walker->first; walker->err == FUSER_OK && i < task->measure->n_items;
         i += task->threads) {
        walker->err = walk_item(walker, classes, i);
        size_t done = atomic_fetch_add_explicit(walker->done, 1, memory_order_relaxed);
        if (walker->first == 0)
            progress_set(task->bar, (double)done / (double)task->measure->n_items, NULL);
    }
    fuser_classes_free(classes);
    return NULL;
}

static void summarise(const struct eval_task *task, const struct walker *walkers,
                      struct eval_result *ret_result)
{
    double n = (double)task->measure->n_items;
    for (size_t p = 0; p < task->n_lambdas; p++) {
        size_t right = 0, asked = 0;
        for (size_t t = 0; t < task->threads; t++) {
            right += walkers[t].totals.right[p];
            asked += walkers[t].totals.asked[p];
        }
        ret_result->curve[p] =
            (struct eval_point){ task->lambdas[p], (double)right / n, (double)asked / n };
    }
    ret_result->n_curve = task->n_lambdas;
    for (size_t s = 1; s <= FORCED_SIZES; s++) {
        size_t right = 0, items = 0;
        for (size_t t = 0; t < task->threads; t++) {
            right += walkers[t].totals.size_right[s];
            items += walkers[t].totals.size_items[s];
        }
        if (items != task->measure->n_items) /* experts or the cap ran out */
            break;
        ret_result->sizes[s - 1] =
            (struct eval_point){ (double)s, (double)right / n, (double)s };
        ret_result->n_sizes = s;
    }
    ret_result->accuracy = ret_result->curve[0].accuracy;
    ret_result->mean_experts = ret_result->curve[0].mean_experts;
}

enum fault_err eval_frugalfoe(const struct eval_task *task,
                              struct eval_result *ret_result, struct fault *fault)
{
    struct walker *walkers = memory_new(task->threads, sizeof(*walkers));
    atomic_size_t done = 0;
    size_t started = 1;
    enum fault_err err = FAULT_OK;

    for (size_t t = 0; t < task->threads; t++)
        walkers[t] = (struct walker){ .task = task, .first = t, .done = &done };
    while (started < task->threads &&
           pthread_create(&walkers[started].thread, NULL, walk, &walkers[started]) == 0)
        started++;
    walk(&walkers[0]);
    for (size_t t = started; t < task->threads; t++) /* no thread was to be had */
        walk(&walkers[t]);
    for (size_t t = 1; t < started; t++)
        pthread_join(walkers[t].thread, NULL);
    for (size_t t = 0; t < task->threads; t++)
        if (walkers[t].err != FUSER_OK)
            err = fault_set(fault, FAULT_FUSER, "%s", walkers[t].error.text);
    if (err == FAULT_OK)
        summarise(task, walkers, ret_result);
    free(walkers);
    return err;
}
