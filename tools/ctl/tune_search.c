/* tune_search.c - attempts, their scores, and which of them stands. */
#include "tools/ctl/tune_search.h"

#include <math.h>
#include <stdlib.h>

#include "tools/ctl/dice.h"
#include "tools/ctl/memory.h"

/* -- attempts ------------------------------------------------------------------------------ */

/* Rows of part p to `rows`, all others to `fit`; returns how many are in the part. */
static size_t part_rows(const struct tune *tune, size_t p, uint32_t *fit, uint32_t *rows)
{
    size_t n_fit = 0, n_rows = 0;

    for (size_t i = 0; i < tune->outcomes->n; i++) {
        if (tune->part[i] == p)
            rows[n_rows++] = (uint32_t)i;
        else
            fit[n_fit++] = (uint32_t)i;
    }
    return n_rows;
}

static bool same_build(const struct trial_how *a, const struct trial_how *b)
{
    return a->k == b->k && a->prior_rows == b->prior_rows;
}

/* Walks attempts from..to-1 over all parts; those that share a build share its fuser. */
static enum fault_err walk_parts(struct tune *tune, size_t from, size_t to,
                                 struct fault *fault)
{
    size_t n = tune->outcomes->n;
    uint32_t *fit = memory_new(n, sizeof(*fit)), *rows = memory_new(n, sizeof(*rows));
    double share = 1 / tune->todo / (double)tune->folds;
    enum fault_err err = FAULT_OK;

    for (size_t p = 0; err == FAULT_OK && p < tune->folds; p++) {
        size_t n_rows = part_rows(tune, p, fit, rows);
        struct fuser *fuser = NULL;
        for (size_t a = from; err == FAULT_OK && a < to; a++) {
            struct tune_attempt *attempt = &tune->attempts[a];
            if (a > from && !same_build(&attempt->how, &attempt[-1].how)) {
                fuser_unref(fuser);
                fuser = NULL;
            }
            if (fuser == NULL)
                err = trials_build(attempt->trials, tune->outcomes, fit, n - n_rows,
                                   &fuser, fault);
            if (err == FAULT_OK)
                err = trials_walk(attempt->trials, fuser, rows, n_rows, &tune->bar,
                                  tune->done, tune->done + share, fault);
            tune->done += share;
        }
        fuser_unref(fuser);
    }
    free(fit);
    free(rows);
    return err;
}

static double score_of(const struct tune *tune, const struct tune_attempt *attempt,
                       const uint32_t *picks)
{
    struct measures measures;

    measures_of(&attempt->trials->trial, picks, &measures);
    return tune->by_accuracy ? measures.accuracy : measures.aiq_b;
}

/* The spread of n differences a - b (b NULL: of a). */
static double spread(const double *a, const double *b, size_t n)
{
    double sum = 0, squares = 0;

    for (size_t i = 0; i < n; i++) {
        double off = a[i] - (b != NULL ? b[i] : 0);
        sum += off;
        squares += off * off;
    }
    return sqrt(fmax(squares - sum * sum / (double)n, 0) / (double)(n - 1));
}

static void score(struct tune *tune, struct tune_attempt *attempt)
{
    size_t n = tune->outcomes->n;
    uint32_t *picks = memory_new(n, sizeof(*picks));
    struct dice dice = dice_seeded(attempt->how.seed ^ 0x74756E65);

    attempt->resampled = memory_new(TUNE_RESAMPLES, sizeof(*attempt->resampled));
    attempt->score = score_of(tune, attempt, NULL);
    for (size_t b = 0; b < TUNE_RESAMPLES; b++) {
        for (size_t i = 0; i < n; i++)
            picks[i] = (uint32_t)dice_below(&dice, n);
        attempt->resampled[b] = score_of(tune, attempt, picks);
    }
    attempt->score_se = spread(attempt->resampled, NULL, TUNE_RESAMPLES);
    free(picks);
}

static enum fault_err try_from(struct tune *tune, size_t from, struct fault *fault)
{
    enum fault_err err;

    for (size_t a = from; a < tune->n_attempts; a++)
        tune->attempts[a].trials = trials_new(tune->outcomes, &tune->attempts[a].how);
    err = walk_parts(tune, from, tune->n_attempts, fault);
    for (size_t a = from; err == FAULT_OK && a < tune->n_attempts; a++) {
        score(tune, &tune->attempts[a]);
        if (isnan(tune->attempts[a].score) || isnan(tune->attempts[a].score_se))
            err = fault_set(fault, FAULT_INPUT,
                            "the score is not known: without costs, tune by accuracy");
    }
    return err;
}

enum fault_err tune_begin(struct tune *tune, const struct outcomes *outcomes,
                          const struct trial_how *how, bool by_accuracy, size_t folds,
                          size_t todo, struct fault *fault)
{
    *tune = (struct tune){ .outcomes = outcomes,
                           .by_accuracy = by_accuracy,
                           .folds = folds,
                           .todo = (double)todo,
                           .n_attempts = 1,
                           .lambda = NAN };
    if (outcomes->n < 2 * folds)
        return fault_set(fault, FAULT_INPUT, "%zu prompts are too few for %zu parts",
                         outcomes->n, folds);
    tune->part = memory_new(outcomes->n, sizeof(*tune->part));
    trial_folds(outcomes->n, folds, how->seed, tune->part);
    tune->attempts[0].how = *how;
    progress_init(&tune->bar, "tuning", 1);
    return try_from(tune, 0, fault);
}

static void choose(struct tune *tune, size_t from)
{
    const struct tune_attempt *standing = &tune->attempts[tune->stands];
    size_t best = tune->stands;

    for (size_t a = from; a < tune->n_attempts; a++) {
        struct tune_attempt *attempt = &tune->attempts[a];
        attempt->gain = attempt->score - standing->score;
        attempt->gain_se =
            spread(attempt->resampled, standing->resampled, TUNE_RESAMPLES);
        if (attempt->gain > attempt->gain_se &&
            (best == tune->stands || attempt->gain > tune->attempts[best].gain))
            best = a;
    }
    tune->stands = best;
}

enum fault_err tune_stage(struct tune *tune, const double *values, size_t n,
                          void (*set)(struct trial_how *how, double value),
                          struct fault *fault)
{
    const struct trial_how standing = tune->attempts[tune->stands].how;
    size_t from = tune->n_attempts;

    for (size_t i = 1; i < n; i++) { /* the first stands */
        if (tune->n_attempts == TUNE_ATTEMPTS)
            return fault_set(fault, FAULT_USAGE, "more than %d settings to try",
                             TUNE_ATTEMPTS - 1);
        tune->attempts[tune->n_attempts].how = standing;
        set(&tune->attempts[tune->n_attempts].how, values[i]);
        tune->n_attempts++;
    }
    enum fault_err err = try_from(tune, from, fault);
    if (err == FAULT_OK)
        choose(tune, from);
    return err;
}

/* -- the price of quality ------------------------------------------------------------------- */

static double quality_of(const struct trial *trial, size_t l, size_t i)
{
    return trial->quality[i * trial->n_models + trial->chosen[l * trial->n + i]];
}

/* Mean quality and cost at one lambda, over what is known. */
static void mean_at(const struct trial *trial, size_t l, struct tune_point *point)
{
    double quality = 0, known = 0, usd = 0, priced = 0;

    for (size_t i = 0; i < trial->n; i++) {
        double q = quality_of(trial, l, i);
        double c = trial->cost[i * trial->n_models + trial->chosen[l * trial->n + i]];
        if (!isnan(q)) {
            quality += q;
            known += 1;
        }
        if (!isnan(c)) {
            usd += c + trial->paid[l * trial->n + i];
            priced += 1;
        }
    }
    point->quality = known > 0 ? quality / known : NAN;
    point->usd = priced > 0 ? usd / priced : NAN;
}

/* How much quality lambda l loses against `best`, over the prompts where both are known. */
static void compare(const struct trial *trial, size_t best, size_t l,
                    struct tune_point *point)
{
    double n = 0, sum = 0, squares = 0;

    for (size_t i = 0; i < trial->n; i++) {
        double off = quality_of(trial, best, i) - quality_of(trial, l, i);
        if (isnan(off))
            continue;
        n += 1;
        sum += off;
        squares += off * off;
    }
    point->loss = n > 0 ? sum / n : NAN;
    point->loss_se =
        n > 1 ? sqrt(fmax(squares - sum * sum / n, 0) / (n - 1) / n) : INFINITY;
}

void tune_lambda(struct tune *tune, double quality, double usd)
{
    const struct tune_attempt *standing = &tune->attempts[tune->stands];
    const struct trial *trial = &standing->trials->trial;
    size_t best = 0;

    tune->n_points = standing->how.n_lambdas;
    for (size_t l = 0; l < tune->n_points; l++) {
        tune->points[l].lambda = standing->how.lambdas[l];
        mean_at(trial, l, &tune->points[l]);
        if (tune->points[l].quality > tune->points[best].quality)
            best = l;
    }
    for (size_t l = 0; l < tune->n_points; l++) {
        struct tune_point *point = &tune->points[l];
        bool good;
        compare(trial, best, l, point);
        if (!isnan(usd)) {
            good = isnan(tune->lambda) && point->usd <= usd;
        } else {
            good = isnan(quality) ? point->loss <= point->loss_se
                                  : point->quality >= quality;
        }
        if (good)
            tune->lambda = point->lambda;
    }
}

void tune_release(struct tune *tune)
{
    progress_end(&tune->bar);
    for (size_t a = 0; a < tune->n_attempts; a++) {
        trials_free(tune->attempts[a].trials);
        free(tune->attempts[a].resampled);
    }
    free(tune->part);
}
