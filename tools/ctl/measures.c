/* measures.c - sums over prompts, hulls and areas. */
#include "tools/ctl/measures.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "fuser/fuser.h"
#include "tools/ctl/dice.h"
#include "tools/ctl/memory.h"

#define BINS      10
#define QUANTILES 10
#define POINTS    (MEASURES_POINTS + FUSER_MAX_GENERATORS)

static size_t pick(const uint32_t *picks, size_t i)
{
    return picks == NULL ? i : picks[i];
}

void measures_singles(const struct trial *trial, const uint32_t *picks,
                      struct measures_point *ret)
{
    for (size_t j = 0; j < trial->n_models; j++) {
        double quality = 0, cost = 0, known = 0, priced = 0;
        for (size_t i = 0; i < trial->n; i++) {
            size_t at = pick(picks, i) * trial->n_models + j;
            if (!isnan(trial->quality[at])) {
                quality += trial->quality[at];
                known += 1;
            }
            if (!isnan(trial->cost[at])) {
                cost += trial->cost[at];
                priced += 1;
            }
        }
        ret[j] =
            (struct measures_point){ cost / fmax(priced, 1), quality / fmax(known, 1) };
    }
}

static struct measures_point mean_of(const struct trial *trial, const uint32_t *picks,
                                     size_t l)
{
    double quality = 0, cost = 0, paid = 0, known = 0, priced = 0;
    for (size_t i = 0; i < trial->n; i++) {
        size_t row = pick(picks, i);
        size_t at = row * trial->n_models + trial->chosen[l * trial->n + row];
        paid += trial->paid[l * trial->n + row];
        if (!isnan(trial->quality[at])) {
            quality += trial->quality[at];
            known += 1;
        }
        if (!isnan(trial->cost[at])) {
            cost += trial->cost[at];
            priced += 1;
        }
    }
    return (struct measures_point){ cost / fmax(priced, 1) + paid / (double)trial->n,
                                    quality / fmax(known, 1) };
}

size_t measures_curve(const struct trial *trial, const uint32_t *picks,
                      struct measures_point *ret)
{
    for (size_t l = 0; l < trial->n_lambdas; l++)
        ret[l] = mean_of(trial, picks, trial->n_lambdas - 1 - l);
    return trial->n_lambdas;
}

static int by_cost(const void *a, const void *b)
{
    const struct measures_point *left = a, *right = b;
    if (left->cost != right->cost)
        return left->cost < right->cost ? -1 : 1;
    return left->quality > right->quality ? -1 : left->quality < right->quality;
}

size_t measures_hull(struct measures_point *points, size_t n)
{
    size_t kept = 0;
    qsort(points, n, sizeof(*points), by_cost);
    for (size_t i = 0; i < n; i++) {
        struct measures_point p = points[i];
        if (kept > 0 && p.quality <= points[kept - 1].quality)
            continue;
        while (kept >= 2) {
            struct measures_point a = points[kept - 2], b = points[kept - 1];
            if ((b.quality - a.quality) * (p.cost - a.cost) >
                (p.quality - a.quality) * (b.cost - a.cost))
                break;
            kept--;
        }
        points[kept++] = p;
    }
    return kept;
}

/* Quality that the hull offers for a cost; below its first point there is nothing. */
static double at_cost(const struct measures_point *hull, size_t n, double cost)
{
    if (n == 0 || cost < hull[0].cost)
        return 0;
    for (size_t i = 1; i < n; i++)
        if (cost <= hull[i].cost) {
            double share = (cost - hull[i - 1].cost) / (hull[i].cost - hull[i - 1].cost);
            return hull[i - 1].quality + share * (hull[i].quality - hull[i - 1].quality);
        }
    return hull[n - 1].quality;
}

/* Mean quality between two costs: the hull is straight between its corners. */
static double area(const struct measures_point *hull, size_t n, double from, double to)
{
    double sum = 0, left = from;
    if (!(to > from))
        return at_cost(hull, n, from);
    for (size_t i = 0; i <= n; i++) {
        double right = i < n ? fmin(fmax(hull[i].cost, from), to) : to;
        double high = at_cost(hull, n, right), low = at_cost(hull, n, left);
        if (i == 0 && n > 0 && hull[0].cost > from)
            high = low = 0;
        sum += (right - left) * (high + low) / 2;
        left = right;
    }
    return sum / (to - from);
}

static double cost_of(const struct measures_point *hull, size_t n, double quality)
{
    if (n == 0 || hull[n - 1].quality < quality)
        return NAN;
    if (hull[0].quality >= quality)
        return hull[0].cost;
    for (size_t i = 1; i < n; i++)
        if (hull[i].quality >= quality) {
            double share =
                (quality - hull[i - 1].quality) / (hull[i].quality - hull[i - 1].quality);
            return hull[i - 1].cost + share * (hull[i].cost - hull[i - 1].cost);
        }
    return NAN;
}

static double oracle(const struct trial *trial, const uint32_t *picks)
{
    double sum = 0;
    for (size_t i = 0; i < trial->n; i++) {
        const double *quality = trial->quality + pick(picks, i) * trial->n_models;
        double best = 0;
        for (size_t j = 0; j < trial->n_models; j++)
            best = fmax(best, quality[j]); /* fmax leaves NAN out */
        sum += best;
    }
    return sum / (double)trial->n;
}

/* -- calibration and strong calls ---------------------------------------------------------------- */

struct scored {
    double score, value, other;
};

static int by_score(const void *a, const void *b)
{
    const struct scored *left = a, *right = b;
    return left->score < right->score ? -1 : left->score > right->score;
}

static double calibration_error(const struct trial *trial, const uint32_t *picks)
{
    struct scored *all = memory_new(trial->n, sizeof(*all));
    double error = 0;
    size_t n = 0;
    for (size_t i = 0; i < trial->n; i++) {
        size_t row = pick(picks, i), at = row * trial->n_models + trial->chosen[row];
        if (!isnan(trial->quality[at]))
            all[n++] = (struct scored){ trial->predicted[at], trial->quality[at], 0 };
    }
    qsort(all, n, sizeof(*all), by_score);
    for (size_t b = 0; b < BINS; b++) {
        double off = 0;
        for (size_t i = b * n / BINS; i < (b + 1) * n / BINS; i++)
            off += all[i].score - all[i].value;
        error += fabs(off) / fmax((double)n, 1);
    }
    free(all);
    return error;
}

/* Share of strong calls at which the recovered gap reaches `wanted`, in %: linear in between. */
static double calls_for(const double *recovered, double wanted)
{
    for (size_t q = 1; q <= QUANTILES; q++)
        if (recovered[q] >= wanted) {
            double step = recovered[q] - recovered[q - 1];
            double share = step > 0 ? (wanted - recovered[q - 1]) / step : 1;
            return 100.0 * ((double)q - 1 + fmax(share, 0)) / QUANTILES;
        }
    return 100;
}

static void strong_calls(const struct trial *trial, const uint32_t *picks,
                         const struct measures_point *single, struct measures *ret)
{
    size_t strong = single[1].quality > single[0].quality, n = 0;
    struct scored *all = memory_new(trial->n, sizeof(*all));
    double recovered[QUANTILES + 1], gap = 0;
    for (size_t i = 0; i < trial->n; i++) {
        const double *predicted = trial->predicted + pick(picks, i) * 2;
        const double *quality = trial->quality + pick(picks, i) * 2;
        if (isnan(quality[0] + quality[1]))
            continue;
        all[n++] = (struct scored){ predicted[1 - strong] - predicted[strong],
                                    quality[strong], quality[1 - strong] };
        gap += quality[strong] - quality[1 - strong];
    }
    qsort(all, n, sizeof(*all),
          by_score); /* those that gain most from the strong one first */
    double sum = 0;
    size_t done = 0;
    ret->apgr = 0;
    for (size_t q = 0; q <= QUANTILES; q++) {
        for (; done < q * n / QUANTILES; done++)
            sum += all[done].value - all[done].other;
        recovered[q] = gap > 0 ? sum / gap : 0;
        if (q > 0)
            ret->apgr += (recovered[q] + recovered[q - 1]) / 2 / QUANTILES;
    }
    ret->cpt50 = calls_for(recovered, 0.5);
    ret->cpt80 = calls_for(recovered, 0.8);
    free(all);
}

void measures_of(const struct trial *trial, const uint32_t *picks, struct measures *ret)
{
    struct measures_point single[FUSER_MAX_GENERATORS], zero[FUSER_MAX_GENERATORS];
    struct measures_point curve[POINTS];
    size_t best = 0, cheapest = 0, n_zero = trial->n_models, n;

    measures_singles(trial, picks, single);
    for (size_t j = 0; j < trial->n_models; j++) {
        zero[j] = single[j];
        if (single[j].quality > single[best].quality ||
            (single[j].quality == single[best].quality &&
             single[j].cost < single[best].cost))
            best = j;
        if (single[j].cost < single[cheapest].cost)
            cheapest = j;
    }
    n_zero = measures_hull(zero, n_zero);
    n = measures_curve(trial, picks, curve);
    *ret = (struct measures){ .best_single = single[best].quality,
                              .oracle = oracle(trial, picks),
                              .accuracy = curve[n - 1].quality };
    double gap = ret->oracle - ret->best_single;
    ret->gap_closed = gap > 1e-12 ? (ret->accuracy - ret->best_single) / gap : NAN;
    /* Without bound on the price of money the router is the cheapest model. */
    curve[n++] = single[cheapest];
    n = measures_hull(curve, n);
    ret->aiq_b = area(curve, n, single[cheapest].cost, single[best].cost);
    ret->zero_aiq_b = area(zero, n_zero, single[cheapest].cost, single[best].cost);
    double always = fmax(single[best].cost, 1e-18);
    ret->match = cost_of(curve, n, single[best].quality) / always;
    ret->p99 = cost_of(curve, n, 0.99 * single[best].quality) / always;
    ret->p95 = cost_of(curve, n, 0.95 * single[best].quality) / always;
    ret->ece = calibration_error(trial, picks);
    ret->cpt50 = ret->cpt80 = ret->apgr = NAN;
    if (trial->n_models == 2)
        strong_calls(trial, picks, single, ret);
}

/* -- intervals ------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* 2.5 and 97.5 % of the resamples that have the number at all. */
static void interval(double *values, size_t n, double *ret_low, double *ret_high)
{
    size_t known = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(values[i]))
            values[known++] = values[i];
    qsort(values, known, sizeof(*values), by_value);
    bool few = known == 0 || known < n / 2;
    *ret_low = few ? NAN : values[(size_t)(0.025 * (double)known)];
    *ret_high = few ? NAN : values[(size_t)(0.975 * (double)(known - 1))];
}

void measures_intervals(const struct trial *trial, size_t times, uint64_t seed,
                        struct progress *bar, struct measures *ret_low,
                        struct measures *ret_high)
{
    struct measures *all = memory_new(times + 1, sizeof(*all));
    double *values = memory_new(times + 1, sizeof(*values));
    uint32_t *picks = memory_new(trial->n, sizeof(*picks));
    struct dice dice = dice_seeded(seed ^ 0x626F6F74);
    for (size_t b = 0; b < times; b++) {
        for (size_t i = 0; i < trial->n; i++)
            picks[i] = (uint32_t)dice_below(&dice, trial->n);
        measures_of(trial, picks, &all[b]);
        progress_set(bar, (double)b / (double)times, "intervals");
    }
#define X(name)                                                                          \
    for (size_t b = 0; b < times; b++)                                                   \
        values[b] = all[b].name;                                                         \
    interval(values, times, &ret_low->name, &ret_high->name);
    MEASURES(X)
#undef X
    free(all);
    free(values);
    free(picks);
}
