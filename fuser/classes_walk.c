/* classes_walk.c - FrugalFoE for classification: which expert to ask next, and when to stop.
 *
 * Section 4 of the paper. T(S) = sum over the M calibration rows nearest to x by S of kappa * loss(S, row),
 * an integer, so that ties and the stop rule are exact. Candidates are never asked in order to decide.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "fuser/classes.h"
#include "fuser/err.h"

/* Bounds are compared in billionths of a unit of loss: 0.1 * 9 * 10 is 9, not 9.000000001. */
#define BILLION 1e9

/* The offline start, (4.3): the least mean loss plus price over all calibration rows. */
static size_t start(struct fuser_classes *classes, const struct fuser_class_walk *how)
{
    double **cached = &classes->start[how->soft];
    if (*cached == NULL) {
        double *loss = malloc(classes->n_experts * sizeof(*loss));
        if (loss == NULL)
            return SIZE_MAX;
        for (size_t e = 0; e < classes->n_experts; e++)
            loss[e] = fuser_classes_loss(classes, 1u << e, how->soft);
        *cached = loss;
    }
    size_t best = SIZE_MAX;
    double best_loss = INFINITY;
    for (size_t e = 0; e < classes->n_experts; e++) {
        double loss =
            (*cached)[e] + (how->cost == NULL ? 0.0 : how->lambda * how->cost[e]);
        if (loss < best_loss) {
            best = e;
            best_loss = loss;
        }
    }
    return best;
}

struct sums {
    double now;                            /* T(S) */
    double after[FUSER_MAX_CLASS_EXPERTS]; /* T(S u j) */
    double gain_squares
        [FUSER_MAX_CLASS_EXPERTS]; /* of the rows' gains, for their standard error */
};

/* Sums the losses of the rows under `mask` and under every subset that is larger by one. */
static bool sum_losses(struct fuser_classes *classes, const struct fuser_class_walk *how,
                       uint32_t mask, const uint32_t *rows, size_t m,
                       struct sums *ret_sums)
{
    uint8_t *after[FUSER_MAX_CLASS_EXPERTS] = { NULL };
    unsigned last = 31u - (unsigned)__builtin_clz(mask);
    uint8_t *now = classes_votes(classes, mask);
    *ret_sums = (struct sums){ 0 };
    for (size_t e = 0; e < classes->n_experts; e++) {
        after[e] = mask >> e & 1 ? NULL : classes_votes(classes, mask | 1u << e);
        if ((mask >> e & 1) == 0 && after[e] == NULL)
            return false;
    }
    if (now == NULL)
        return false;
    for (size_t i = 0; i < m; i++) {
        uint32_t row = rows[i];
        bool shared = false;
        if ((now[row] & 0x7f) == CLASSES_UNKNOWN) {
            classes_share(classes, mask & ~(1u << last), row);
            classes_judge(classes, classes->shared, last, row, now);
        }
        double loss = classes_loss(classes, now[row], how->soft);
        ret_sums->now += loss;
        for (size_t e = 0; e < classes->n_experts; e++) {
            if (after[e] == NULL)
                continue;
            if ((after[e][row] & 0x7f) == CLASSES_UNKNOWN) {
                if (!shared)
                    classes_share(classes, mask, row);
                shared = true;
                classes_judge(classes, classes->shared, e, row, after[e]);
            }
            double then = classes_loss(classes, after[e][row], how->soft);
            ret_sums->after[e] += then;
            ret_sums->gain_squares[e] += (loss - then) * (loss - then);
        }
    }
    return true;
}

static size_t cheapest(const struct fuser_classes *classes,
                       const struct fuser_class_walk *how, uint32_t mask,
                       const struct sums *sums, double scale)
{
    size_t best = SIZE_MAX;
    double best_sum = INFINITY;
    for (size_t e = 0; e < classes->n_experts; e++) {
        if (mask >> e & 1)
            continue;
        double sum = sums->after[e];
        if (how->cost != NULL)
            sum += how->lambda * how->cost[e] * scale;
        if (sum < best_sum) {
            best = e;
            best_sum = sum;
        }
    }
    return best;
}

static double gain_of(const struct fuser_class_walk *how, const struct sums *sums,
                      size_t expert, size_t m)
{
    double gain = sums->now - sums->after[expert];
    if (how->gain_se == 0.0 || m < 2)
        return gain;
    double mean = gain / (double)m;
    double variance = sums->gain_squares[expert] / (double)m - mean * mean;
    return gain - how->gain_se * sqrt(variance > 0 ? variance * (double)m : 0.0);
}

static bool pays(const struct fuser_class_walk *how, double gain, double lambda,
                 size_t expert, double scale)
{
    double cost = how->cost == NULL ? 1.0 : how->cost[expert];
    return gain * BILLION > rint(lambda * cost * BILLION) * scale;
}

enum fuser_err fuser_classes_walk(struct fuser_classes *classes,
                                  const struct fuser_class_walk *how,
                                  const struct fuser_class_set *set, size_t item,
                                  struct fuser_class_path *ret_path,
                                  struct fuser_error *error)
{
    struct fuser_class_path path = { 0 };
    size_t m_max = how->m > classes->kappa ? how->m : classes->kappa;
    uint32_t *rows = malloc(m_max * sizeof(*rows));
    float *distances = malloc(m_max * sizeof(*distances));
    double scale = (double)classes->kappa * how->m;
    enum fuser_err err = FUSER_NOMEM;
    uint32_t mask = 0;
    size_t next = SIZE_MAX;

    if (rows == NULL || distances == NULL)
        goto out;
    classes_memo_trim(classes);
    next = start(classes, how);
    while (next != SIZE_MAX && path.n < how->max_experts) {
        struct sums sums;
        mask |= 1u << next;
        path.expert[path.n] = (uint8_t)next;
        size_t got =
            fuser_classes_neighbours(classes, set, item, mask, m_max, rows, distances);
        path.answer[path.n] = fuser_classes_vote(
            classes, rows, got < classes->kappa ? got : classes->kappa);
        path.n++;
        if (path.n == how->max_experts || path.n == classes->n_experts)
            break;
        size_t m = got < how->m ? got : how->m;
        if (!sum_losses(classes, how, mask, rows, m, &sums))
            goto out;
        next = cheapest(classes, how, mask, &sums, scale);
        double gain = gain_of(how, &sums, next, m);
        if (path.n >= how->min_experts && !pays(how, gain, how->stop_lambda, next, scale))
            break;
        path.gain[path.n] = gain;
    }
    if (path.n == 0)
        goto out;
    *ret_path = path;
    err = FUSER_OK;
out:
    if (err != FUSER_OK)
        (void)ferr_nomem(error);
    free(rows);
    free(distances);
    return err;
}

size_t fuser_class_path_stop(const struct fuser_classes *classes,
                             const struct fuser_class_walk *how,
                             const struct fuser_class_path *path, double lambda)
{
    size_t taken = 1;
    double scale = (double)classes->kappa * how->m;
    while (taken < path->n &&
           pays(how, path->gain[taken], lambda, path->expert[taken], scale))
        taken++;
    return taken;
}
