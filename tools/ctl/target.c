/* target.c - chooses lambdas on a curve, and again on resamples to learn what that is worth. */
#include "tools/ctl/target.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/dice.h"
#include "tools/ctl/memory.h"

#define Z_95 1.959964

/* -- words ----------------------------------------------------------------------------------- */

static const char said[] = "a target is quality=0.93, quality=0.98x:best (or x:EXPERT), "
                           "usd_per_1k=2.50 or value_usd=0.02";

/* A number above 0, and what stands behind it. */
static bool take_number(const char *text, double *ret_value, const char **ret_rest)
{
    char *end = NULL;
    double value = strtod(text, &end);

    if (end == text || !isfinite(value) || value <= 0 || value > 1e9)
        return false;
    *ret_value = value;
    *ret_rest = end;
    return true;
}

/* What stands behind `key` and '=', or NULL. */
static const char *after(const char *text, const char *key)
{
    size_t n = strlen(key);

    return strncmp(text, key, n) == 0 && text[n] == '=' ? text + n + 1 : NULL;
}

enum fault_err target_parse(const char *text, struct target *ret_target,
                            struct fault *fault)
{
    const char *quality = after(text, "quality"), *cost = after(text, "usd_per_1k"),
               *value = after(text, "value_usd"), *rest = "";
    const char *number = quality != NULL ? quality : cost != NULL ? cost : value;
    struct target target = { .kind = quality != NULL ? TARGET_QUALITY
                                     : cost != NULL  ? TARGET_COST
                                                     : TARGET_VALUE };

    if (number == NULL || !take_number(number, &target.value, &rest))
        return fault_set(fault, FAULT_USAGE, "--target: '%s': %s", text, said);
    if (quality != NULL && strncmp(rest, "x:", 2) == 0 && rest[2] != '\0') {
        target.kind = TARGET_SHARE;
        target.of = strcmp(rest + 2, "best") == 0 ? NULL : rest + 2;
    } else if (*rest != '\0') {
        return fault_set(fault, FAULT_USAGE, "--target: '%s': %s", text, said);
    }
    if (target.kind == TARGET_QUALITY && target.value > 1)
        return fault_set(fault, FAULT_USAGE,
                         "--target: '%s': a quality is at most 1; a share of an expert's "
                         "is quality=1.02x:best",
                         text);
    *ret_target = target;
    return FAULT_OK;
}

const char *target_name(enum target_name point)
{
    static const char *const names[] = {
#define X(name, word) word,
        TARGET_POINTS(X)
#undef X
    };

    return names[point];
}

/* -- one choice ------------------------------------------------------------------------------- */

/* How often each prompt is in a sample; the curve's means over it. */
struct sample {
    double *times;         /* n */
    double *quality, *usd; /* n_lambdas; NAN: nothing is known */
};

static struct sample sample_new(const struct target_curve *curve)
{
    return (struct sample){ memory_new(curve->n, sizeof(double)),
                            memory_new(curve->n_lambdas, sizeof(double)),
                            memory_new(curve->n_lambdas, sizeof(double)) };
}

static void sample_release(struct sample *sample)
{
    free(sample->times);
    free(sample->quality);
    free(sample->usd);
}

static double mean_of(const struct sample *sample, const double *values, size_t n,
                      size_t step)
{
    double sum = 0, known = 0;

    for (size_t i = 0; i < n; i++) {
        double value = values[i * step];
        if (isnan(value))
            continue;
        sum += sample->times[i] * value;
        known += sample->times[i];
    }
    return known > 0 ? sum / known : NAN;
}

static void sample_means(const struct target_curve *curve, struct sample *sample)
{
    for (size_t l = 0; l < curve->n_lambdas; l++) {
        sample->quality[l] = mean_of(sample, curve->quality + l * curve->n, curve->n, 1);
        sample->usd[l] = mean_of(sample, curve->usd + l * curve->n, curve->n, 1);
        if (curve->quality_shift != NULL)
            sample->quality[l] += curve->quality_shift[l];
        if (curve->usd_shift != NULL)
            sample->usd[l] += curve->usd_shift[l];
    }
}

/* The quality that the target names, on that sample. */
static double goal_of(const struct target *target, const struct target_curve *curve,
                      const struct sample *sample)
{
    double best = -INFINITY;

    if (target->kind == TARGET_QUALITY)
        return target->value;
    for (size_t j = 0; j < curve->n_models; j++) {
        if (curve->model < curve->n_models && curve->model != j)
            continue;
        double mean = mean_of(sample, curve->single + j, curve->n, curve->n_models);
        if (mean > best)
            best = mean;
    }
    return target->value * best;
}

/* Is the quality of lambda l within one standard error of that of `best`? Paired. */
static bool is_near(const struct target_curve *curve, const struct sample *sample,
                    size_t best, size_t l)
{
    const double *a = curve->quality + best * curve->n;
    const double *b = curve->quality + l * curve->n;
    double n = 0, sum = 0, squares = 0, shift = 0;

    if (curve->quality_shift != NULL)
        shift = curve->quality_shift[best] - curve->quality_shift[l];
    for (size_t i = 0; i < curve->n; i++) {
        double off = a[i] - b[i];
        if (isnan(off))
            continue;
        n += sample->times[i];
        sum += sample->times[i] * off;
        squares += sample->times[i] * off * off;
    }
    if (n < 2)
        return l == best;
    return sum / n + shift <= sqrt(fmax(squares - sum * sum / n, 0) / (n - 1) / n);
}

static size_t near_best(const struct target_curve *curve, const struct sample *sample)
{
    size_t best = 0, at;

    for (size_t l = 1; l < curve->n_lambdas; l++)
        if (sample->quality[l] > sample->quality[best])
            best = l;
    at = curve->n_lambdas - 1;
    while (at > best && !is_near(curve, sample, best, at))
        at--;
    return at;
}

/* The largest lambda of at least that quality, or the least one that is no dearer and no worse;
 * without any the one of the best. */
static bool thriftiest(const struct target_curve *curve, const struct sample *sample,
                       double quality, size_t *ret_at)
{
    size_t best = 0, at = curve->n_lambdas;

    for (size_t l = 0; l < curve->n_lambdas; l++) {
        if (sample->quality[l] >= quality)
            at = l;
        if (sample->quality[l] > sample->quality[best])
            best = l;
    }
    if (at == curve->n_lambdas) {
        *ret_at = best;
        return false;
    }
    while (at > 0 && sample->usd[at - 1] <= sample->usd[at] &&
           sample->quality[at - 1] >= sample->quality[at])
        at--;
    *ret_at = at;
    return true;
}

/* The least lambda of at most that cost; otherwise the cheapest. */
static bool affordable(const struct target_curve *curve, const struct sample *sample,
                       double usd, size_t *ret_at)
{
    size_t cheapest = curve->n_lambdas - 1;

    for (size_t l = 0; l < curve->n_lambdas; l++) {
        if (sample->usd[l] <= usd) {
            *ret_at = l;
            return true;
        }
        if (sample->usd[l] < sample->usd[cheapest])
            cheapest = l;
    }
    *ret_at = cheapest;
    return false;
}

/* The lambda of the curve that is nearest to that of the value. */
static size_t of_value(const struct target_curve *curve, double value_usd)
{
    size_t at = 0;

    for (size_t l = 1; l < curve->n_lambdas; l++)
        if (fabs(log(curve->lambdas[l] * value_usd)) <
            fabs(log(curve->lambdas[at] * value_usd)))
            at = l;
    return at;
}

/* raise: what a quality target is raised by, a cost target lowered. */
static bool choose(const struct target *target, const struct target_curve *curve,
                   const struct sample *sample, double raise,
                   size_t ret_at[TARGET_N_POINTS])
{
    size_t best = near_best(curve, sample), at = best, cheap;
    bool reached = true;

    switch (target->kind) {
    case TARGET_NEAR_BEST:
        break;
    case TARGET_QUALITY:
    case TARGET_SHARE:
        reached = thriftiest(curve, sample, goal_of(target, curve, sample) + raise, &at);
        break;
    case TARGET_COST:
        reached = affordable(curve, sample, target->value / 1000 - raise, &at);
        break;
    case TARGET_VALUE:
        at = of_value(curve, target->value);
        break;
    }
    if (!thriftiest(curve, sample, TARGET_CHEAP * sample->quality[at], &cheap))
        cheap = at;
    ret_at[TARGET_AT_AUTO] = at;
    ret_at[TARGET_AT_BEST] = best < at ? best : at;
    ret_at[TARGET_AT_CHEAP] = cheap > at ? cheap : at;
    return reached;
}

/* -- what a choice is worth ------------------------------------------------------------------- */

/* Errors of what a choice shows, over resamples: their sum and their squares. */
struct errors {
    double sum, squares;
};

static double error_mean(const struct errors *errors)
{
    return errors->sum / TARGET_RESAMPLES;
}

static double error_spread(const struct errors *errors)
{
    double mean = error_mean(errors);

    return sqrt(fmax(errors->squares / TARGET_RESAMPLES - mean * mean, 0));
}

static void note(struct errors *errors, double error)
{
    if (isnan(error))
        return;
    errors->sum += error;
    errors->squares += error * error;
}

struct worth {
    struct errors quality[TARGET_N_POINTS], usd[TARGET_N_POINTS];
};

static void weigh(const struct target *target, const struct target_curve *curve,
                  const struct sample *all, double raise, struct worth *ret_worth)
{
    struct dice dice = dice_seeded(curve->seed ^ 0x746172676574);
    struct sample sample = sample_new(curve);

    *ret_worth = (struct worth){ 0 };
    for (size_t b = 0; b < TARGET_RESAMPLES; b++) {
        size_t at[TARGET_N_POINTS];

        memset(sample.times, 0, curve->n * sizeof(*sample.times));
        for (size_t i = 0; i < curve->n; i++)
            sample.times[dice_below(&dice, curve->n)] += 1;
        sample_means(curve, &sample);
        (void)choose(target, curve, &sample, raise, at);
        for (size_t p = 0; p < TARGET_N_POINTS; p++) {
            note(&ret_worth->quality[p], sample.quality[at[p]] - all->quality[at[p]]);
            note(&ret_worth->usd[p], sample.usd[at[p]] - all->usd[at[p]]);
        }
    }
    sample_release(&sample);
}

/* Prompts in which both numbers of lambda l are known. */
static double known_at(const struct target_curve *curve, size_t l)
{
    double known = 0;

    for (size_t i = 0; i < curve->n; i++)
        known += !isnan(curve->quality[l * curve->n + i]);
    return known;
}

static double within(double value, double low, double high)
{
    return fmin(fmax(value, low), high);
}

static void promise(const struct target_curve *curve, const struct sample *all,
                    const struct worth *worth, size_t p, struct target_point *point)
{
    size_t at = point->at;
    double rows = fmax(known_at(curve, at), 1);

    point->lambda = curve->lambdas[at];
    point->too_good = error_mean(&worth->quality[p]);
    point->quality = within(all->quality[at] - point->too_good, 0, 1);
    /* Where all were right the spread is 0, and the next one may still be wrong. */
    point->quality_se = fmax(error_spread(&worth->quality[p]), 1 / rows);
    if (curve->quality_spread != NULL)
        point->quality_se = hypot(point->quality_se, curve->quality_spread[at]);
    point->quality_low = within(point->quality - Z_95 * point->quality_se, 0, 1);
    point->quality_high = within(point->quality + Z_95 * point->quality_se, 0, 1);
    point->usd = fmax(all->usd[at] - error_mean(&worth->usd[p]), 0);
    point->usd_se = error_spread(&worth->usd[p]);
    if (curve->usd_spread != NULL)
        point->usd_se = hypot(point->usd_se, curve->usd_spread[at]);
    point->usd_low = fmax(point->usd - Z_95 * point->usd_se, 0);
    point->usd_high = point->usd + Z_95 * point->usd_se;
}

static struct sample sample_of_all(const struct target_curve *curve)
{
    struct sample all = sample_new(curve);

    for (size_t i = 0; i < curve->n; i++)
        all.times[i] = 1;
    sample_means(curve, &all);
    return all;
}

void target_look(const struct target *target, const struct target_curve *curve,
                 size_t ret_at[TARGET_N_POINTS])
{
    struct sample all = sample_of_all(curve);

    (void)choose(target, curve, &all, 0, ret_at);
    sample_release(&all);
}

void target_choose(const struct target *target, const struct target_curve *curve,
                   struct target_choice *ret_choice)
{
    struct sample all = sample_of_all(curve);
    bool by_quality = target->kind == TARGET_QUALITY || target->kind == TARGET_SHARE;
    size_t at[TARGET_N_POINTS], higher[TARGET_N_POINTS];
    struct worth worth;

    ret_choice->reached = choose(target, curve, &all, 0, at);
    ret_choice->goal = by_quality                    ? goal_of(target, curve, &all)
                       : target->kind == TARGET_COST ? target->value / 1000
                                                     : NAN;
    weigh(target, curve, &all, 0, &worth);
    double raise = by_quality ? error_mean(&worth.quality[TARGET_AT_AUTO])
                              : -error_mean(&worth.usd[TARGET_AT_AUTO]);
    if (ret_choice->reached && raise > 0 && !isnan(ret_choice->goal) &&
        choose(target, curve, &all, raise, higher)) {
        memcpy(at, higher, sizeof(at));
        weigh(target, curve, &all, raise, &worth);
    }
    for (size_t p = 0; p < TARGET_N_POINTS; p++) {
        ret_choice->points[p].at = at[p];
        promise(curve, &all, &worth, p, &ret_choice->points[p]);
    }
    sample_release(&all);
}
