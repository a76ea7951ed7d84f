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

/* Walks n attempts over all parts; those that share a build share its fuser. */
static enum fault_err walk_parts(struct tune *tune, const struct tune_attempt *attempts,
                                 size_t n_attempts, struct fault *fault)
{
    size_t n = tune->outcomes->n;
    uint32_t *fit = memory_new(n, sizeof(*fit)), *rows = memory_new(n, sizeof(*rows));
    double share = 1 / tune->todo / (double)tune->folds;
    enum fault_err err = FAULT_OK;

    for (size_t p = 0; err == FAULT_OK && p < tune->folds; p++) {
        size_t n_rows = part_rows(tune, p, fit, rows);
        struct fuser *fuser = NULL;
        for (size_t a = 0; err == FAULT_OK && a < n_attempts; a++) {
            const struct tune_attempt *attempt = &attempts[a];
            if (a > 0 && !same_build(&attempt->how, &attempt[-1].how)) {
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
    err = walk_parts(tune, tune->attempts + from, tune->n_attempts - from, fault);
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
                           .n_attempts = 1 };
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

/* -- the curve ------------------------------------------------------------------------------- */

/* Whom a gateway asks where nothing speaks for anybody, at each lambda. */
static void find_fixed(struct tune *tune, const struct trial_how *how)
{
    const struct outcomes *outcomes = tune->outcomes;
    double quality[FUSER_MAX_GENERATORS] = { 0 }, usd[FUSER_MAX_GENERATORS] = { 0 };

    for (size_t j = 0; j < outcomes->n_models; j++) {
        double known = 0, priced = 0;
        for (size_t i = 0; i < outcomes->n; i++) {
            size_t at = i * outcomes->n_models + j;
            if (!isnan(outcomes->quality[at]))
                quality[j] += outcomes->quality[at], known += 1;
            if (!isnan(outcomes->cost_usd[at]))
                usd[j] += outcomes->cost_usd[at], priced += 1;
        }
        quality[j] /= fmax(known, 1);
        usd[j] /= fmax(priced, 1);
    }
    for (size_t l = 0; l < how->n_lambdas; l++) {
        size_t best = 0;
        for (size_t j = 1; j < outcomes->n_models; j++)
            if (quality[j] - how->lambdas[l] * usd[j] >
                quality[best] - how->lambdas[l] * usd[best])
                best = j;
        tune->fixed[l] = (uint8_t)best;
    }
}

/* Qualities and costs of who was chosen, without lambda 0: a policy that says no value is silent. */
struct flat {
    double *quality, *usd;
    struct target_curve curve;
};

static struct flat flat_new(const struct tune *tune, const struct trials *trials,
                            size_t model)
{
    const struct trial *trial = &trials->trial;
    size_t n = trial->n, lambdas = trial->n_lambdas - 1;
    struct flat flat = { memory_new(lambdas * n, sizeof(double)),
                         memory_new(lambdas * n, sizeof(double)),
                         { 0 } };

    for (size_t l = 0; l < lambdas; l++)
        for (size_t i = 0; i < n; i++) {
            size_t from = (l + 1) * n + i,
                   cell = i * trial->n_models + trial->chosen[from];
            flat.quality[l * n + i] = trial->quality[cell];
            flat.usd[l * n + i] = trial->cost[cell] + trial->paid[from];
        }
    flat.curve = (struct target_curve){ .n = n,
                                        .n_lambdas = lambdas,
                                        .n_models = trial->n_models,
                                        .lambdas = trials->how->lambdas + 1,
                                        .quality = flat.quality,
                                        .usd = flat.usd,
                                        .single = tune->outcomes->quality,
                                        .model = model,
                                        .seed = trials->how->seed };
    return flat;
}

static void flat_release(struct flat *flat)
{
    free(flat->quality);
    free(flat->usd);
}

static int by_size(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* The coarse lambdas, and finer ones around each of three, once each. */
static void look_closer(struct trial_how *how, const size_t at[TARGET_N_POINTS],
                        const struct target *target)
{
    const struct trial_how coarse = *how;
    size_t n = how->n_lambdas, last = coarse.n_lambdas - 1;

    for (size_t p = 0; p < TARGET_N_POINTS; p++) {
        /* at counts from the first above 0 */
        size_t middle = at[p] + 1, low = middle > 1 ? middle - 1 : 1,
               high = middle < last ? middle + 1 : last;
        double from = log(coarse.lambdas[low]), to = log(coarse.lambdas[high]);
        bool again = false;

        for (size_t before = 0; before < p; before++)
            again = again || at[before] == at[p];
        for (size_t f = 1; !again && f <= TUNE_FINE; f++)
            how->lambdas[n++] = exp(from + (to - from) * (double)f / (TUNE_FINE + 1));
    }
    if (target->kind == TARGET_VALUE)
        how->lambdas[n++] = 1 / target->value;
    qsort(how->lambdas, n, sizeof(*how->lambdas), by_size);
    how->n_lambdas = 1;
    for (size_t l = 1; l < n; l++)
        if (how->lambdas[l] > how->lambdas[how->n_lambdas - 1] * (1 + 1e-9))
            how->lambdas[how->n_lambdas++] = how->lambdas[l];
}

/* How much quality is lost against the best of the curve, over the prompts where both are known. */
static void compare(const struct target_curve *curve, size_t best, size_t l,
                    struct tune_point *point)
{
    double n = 0, sum = 0, squares = 0;

    for (size_t i = 0; i < curve->n; i++) {
        double off =
            curve->quality[best * curve->n + i] - curve->quality[l * curve->n + i];
        if (isnan(off))
            continue;
        n += 1;
        sum += off;
        squares += off * off;
    }
    point->loss =
        n > 0 ? sum / n + curve->quality_shift[best] - curve->quality_shift[l] : NAN;
    point->loss_se =
        n > 1 ? sqrt(fmax(squares - sum * sum / n, 0) / (n - 1) / n) : INFINITY;
}

static double mean_known(const double *values, size_t n)
{
    double sum = 0, known = 0;

    for (size_t i = 0; i < n; i++)
        if (!isnan(values[i]))
            sum += values[i], known += 1;
    return known > 0 ? sum / known : NAN;
}

static void put_points(struct tune *tune, const struct target_curve *curve)
{
    size_t best = 0;

    tune->n_points = curve->n_lambdas;
    for (size_t l = 0; l < curve->n_lambdas; l++) {
        tune->points[l] = (struct tune_point){
            .lambda = curve->lambdas[l],
            .quality = mean_known(curve->quality + l * curve->n, curve->n) +
                       curve->quality_shift[l],
            .usd = mean_known(curve->usd + l * curve->n, curve->n) + curve->usd_shift[l],
        };
        if (tune->points[l].quality > tune->points[best].quality)
            best = l;
    }
    for (size_t l = 0; l < curve->n_lambdas; l++)
        compare(curve, best, l, &tune->points[l]);
}

/* -- the bundle of all prompts ----------------------------------------------------------------- */

/* What the bundle of all gives more than that of a part, over the parts. */
struct shift {
    double sum, squares;
};

struct shifts {
    struct shift quality[MEASURES_POINTS], usd[MEASURES_POINTS];
};

static void add_shift(struct shift *shift, double sum, double pairs)
{
    double mean = sum / fmax(pairs, 1);

    shift->sum += mean;
    shift->squares += mean * mean;
}

static void add_pairs(struct shifts *shifts, const struct trial *all,
                      const struct trial *part, const uint32_t *rows, size_t n_rows)
{
    for (size_t l = 0; l < all->n_lambdas; l++) {
        double quality = 0, usd = 0, pairs = 0;
        for (size_t r = 0; r < n_rows; r++) {
            size_t at = l * all->n + rows[r], first = rows[r] * all->n_models;
            double more = all->quality[first + all->chosen[at]] -
                          all->quality[first + part->chosen[at]],
                   dearer = all->cost[first + all->chosen[at]] + all->paid[at] -
                            all->cost[first + part->chosen[at]] - part->paid[at];
            if (isnan(more) || isnan(dearer))
                continue;
            quality += more;
            usd += dearer;
            pairs += 1;
        }
        add_shift(&shifts->quality[l], quality, pairs);
        add_shift(&shifts->usd[l], usd, pairs);
    }
}

/* Mean over the parts, and the jackknife's standard error. */
static void shift_of(const struct shift *shift, double parts, double *ret_mean,
                     double *ret_spread)
{
    *ret_mean = shift->sum / parts;
    *ret_spread = sqrt(fmax(shift->squares - shift->sum * shift->sum / parts, 0) *
                       (parts - 1) / parts);
}

/* Of the first TUNE_SEEN prompts in a random order those outside of part p: whoever decides on them has
 * seen them, so that what seeing does cancels out. */
static size_t seen_rows(const struct tune *tune, const uint32_t *order, size_t p,
                        uint32_t *rows)
{
    size_t n = tune->outcomes->n < TUNE_SEEN ? tune->outcomes->n : TUNE_SEEN, kept = 0;

    for (size_t i = 0; i < n; i++)
        if (tune->part[order[i]] != p)
            rows[kept++] = order[i];
    return kept;
}

static enum fault_err shift_parts(struct tune *tune, struct trials *all,
                                  struct trials *part, const uint32_t *order,
                                  uint32_t *fit, uint32_t *rows, struct shifts *shifts,
                                  struct fault *fault)
{
    size_t n = tune->outcomes->n;
    enum fault_err err = FAULT_OK;

    for (size_t p = 0; err == FAULT_OK && p < tune->folds; p++) {
        size_t n_fit = n - part_rows(tune, p, fit, rows);
        size_t n_rows = seen_rows(tune, order, p, rows);
        struct fuser *fuser = NULL;

        err = trials_build(part, tune->outcomes, fit, n_fit, &fuser, fault);
        if (err == FAULT_OK)
            err = trials_walk(part, fuser, rows, n_rows, &tune->bar, 1, 1, fault);
        if (err == FAULT_OK)
            add_pairs(shifts, &all->trial, &part->trial, rows, n_rows);
        fuser_unref(fuser);
    }
    return err;
}

static enum fault_err find_shifts(struct tune *tune, struct fault *fault)
{
    size_t n = tune->outcomes->n;
    struct trials *all = trials_new(tune->outcomes, &tune->curve_how),
                  *part = trials_new(tune->outcomes, &tune->curve_how);
    uint32_t *order = memory_new(n, sizeof(*order)), *fit = memory_new(n, sizeof(*fit)),
             *rows = memory_new(n, sizeof(*rows));
    struct shifts shifts = { 0 };
    struct fuser *fuser = NULL;

    for (size_t i = 0; i < n; i++)
        fit[i] = (uint32_t)i;
    trial_order(n, tune->curve_how.seed, order);
    size_t n_rows = seen_rows(tune, order, tune->folds, rows);
    enum fault_err err = trials_build(all, tune->outcomes, fit, n, &fuser, fault);
    if (err == FAULT_OK)
        err = trials_walk(all, fuser, rows, n_rows, &tune->bar, 1, 1, fault);
    if (err == FAULT_OK)
        err = shift_parts(tune, all, part, order, fit, rows, &shifts, fault);
    for (size_t l = 1; l < tune->curve_how.n_lambdas; l++) {
        shift_of(&shifts.quality[l], (double)tune->folds, &tune->quality_shift[l - 1],
                 &tune->quality_spread[l - 1]);
        shift_of(&shifts.usd[l], (double)tune->folds, &tune->usd_shift[l - 1],
                 &tune->usd_spread[l - 1]);
    }
    fuser_unref(fuser);
    trials_free(all);
    trials_free(part);
    free(order);
    free(fit);
    free(rows);
    return err;
}

enum fault_err tune_curve(struct tune *tune, const struct target *target, size_t model,
                          struct fault *fault)
{
    struct tune_attempt *standing = &tune->attempts[tune->stands];
    struct flat flat = flat_new(tune, standing->trials, model);
    size_t at[TARGET_N_POINTS];

    target_look(target, &flat.curve, at);
    flat_release(&flat);
    tune->curve_how = standing->how;
    tune->curve_how.fallback = tune->fixed;
    look_closer(&tune->curve_how, at, target);
    find_fixed(tune, &tune->curve_how);
    tune->curve = trials_new(tune->outcomes, &tune->curve_how);

    struct tune_attempt last = { .how = tune->curve_how, .trials = tune->curve };
    enum fault_err err = walk_parts(tune, &last, 1, fault);
    if (err == FAULT_OK)
        err = find_shifts(tune, fault);
    if (err != FAULT_OK)
        return err;
    flat = flat_new(tune, tune->curve, model);
    flat.curve.quality_shift = tune->quality_shift;
    flat.curve.usd_shift = tune->usd_shift;
    flat.curve.quality_spread = tune->quality_spread;
    flat.curve.usd_spread = tune->usd_spread;
    put_points(tune, &flat.curve);
    target_choose(target, &flat.curve, &tune->choice);
    flat_release(&flat);
    return FAULT_OK;
}

void tune_release(struct tune *tune)
{
    progress_end(&tune->bar);
    trials_free(tune->curve);
    for (size_t a = 0; a < tune->n_attempts; a++) {
        trials_free(tune->attempts[a].trials);
        free(tune->attempts[a].resampled);
    }
    free(tune->part);
}
