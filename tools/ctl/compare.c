/* compare.c - the same prompts through two bundles, and what the differences say. */
#include "tools/ctl/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/money.h"
#include "tools/ctl/dice.h"
#include "tools/ctl/material.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/progress.h"
#include "tools/ctl/rowset.h"
#include "tools/ctl/trial.h"

/* One bundle and what it decides. */
struct side {
    struct fuser_bundle *bundle;
    struct fuser *fuser;
    struct trial_how how;
    uint8_t fallback[1];
    struct trials *trials;
};

struct comparing {
    const struct compare_wish *wish;
    struct material material;
    const struct config_policy *policy; /* NULL: none */
    double lambda;
    struct side older, newer;
    uint32_t *rows; /* that are compared */
    size_t n_rows, n_dropped;
    struct progress bar;
};

/* -- how it is decided ------------------------------------------------------------------------- */

static enum fault_err take_lambda(struct comparing *comparing, struct fault *fault)
{
    const struct compare_wish *wish = comparing->wish;
    const struct config *config = comparing->material.config;
    const struct fuser_tuned *tuned = fuser_bundle_tuned(comparing->older.bundle);

    if (tuned == NULL || isnan(tuned->lambda))
        tuned = fuser_bundle_tuned(comparing->newer.bundle);
    if (wish->policy != NULL) {
        int at = config == NULL ? -1 : config_find_policy(config, str_of(wish->policy));
        if (at < 0)
            return fault_set(fault, FAULT_USAGE,
                             "--policy: '%s' is no policy of a --config", wish->policy);
        comparing->policy = &config->policies[at];
    }
    if (wish->value_pico > 0)
        comparing->lambda = 1 / money_to_usd(wish->value_pico);
    else if (comparing->policy != NULL && !comparing->policy->silent_value)
        comparing->lambda = comparing->policy->lambda;
    else if (tuned != NULL && !isnan(tuned->lambda))
        comparing->lambda = tuned->lambda;
    else
        return fault_set(
            fault, FAULT_USAGE,
            "what is a right answer worth? Say --value-usd, or --policy of a "
            "--config: neither bundle was tuned");
    return FAULT_OK;
}

/* The policy's, or what the bundle was tuned to, or the configuration's default. */
static double setting(bool said, double value, double tuned)
{
    return said ? value : isnan(tuned) ? 1 : tuned;
}

static enum fault_err take_how(struct comparing *comparing, struct side *side,
                               struct fault *fault)
{
    const struct config_policy *policy = comparing->policy;
    const struct fuser_tuned *tuned = fuser_bundle_tuned(side->bundle);
    struct trial_how *how = &side->how;
    enum fault_err err = FAULT_OK;

    how->switch_z = setting(policy != NULL && !policy->silent_switch_z,
                            policy != NULL ? policy->switch_z : 0,
                            tuned != NULL ? tuned->switch_z : NAN);
    how->gain_se = setting(policy != NULL && !policy->silent_gain_se,
                           policy != NULL ? policy->gain_se : 0,
                           tuned != NULL ? tuned->gain_se : NAN);
    how->seed = comparing->wish->seed;
    how->threads = comparing->wish->threads;
    how->n_lambdas = 1;
    how->lambdas[0] = comparing->lambda;
    how->n_embedders = fuser_bundle_embedders(side->bundle);
    for (size_t e = 0; err == FAULT_OK && e < how->n_embedders; e++) {
        const struct fuser_embedder_info *info = fuser_bundle_embedder(side->bundle, e);

        how->embedders[e] = *info;
        err = material_embedder(&comparing->material, &how->embedders[e],
                                &how->price_pico[e], &how->measure_vectors[e], fault);
        if (err == FAULT_OK && info->kind == FUSER_REMOTE &&
            strcmp(how->embedders[e].model, info->model) != 0)
            err = fault_set(fault, FAULT_INPUT,
                            "a bundle was built with vectors of '%s', and '%s' of the "
                            "configuration is '%s'",
                            info->model, info->name, how->embedders[e].model);
    }
    return err;
}

/* Who answers where the evidence is poor: the policy's default, or who serves best on average. */
static uint8_t fallback_of(const struct comparing *comparing, const struct side *side)
{
    const struct outcomes *outcomes = comparing->material.outcomes;
    const struct config *config = comparing->material.config;
    double best = -INFINITY;
    uint8_t at = 0;

    for (size_t j = 0; j < outcomes->n_models; j++) {
        double usd = 0, known = 0;
        if (comparing->policy != NULL &&
            strcmp(config->experts[comparing->policy->default_expert].name,
                   outcomes->models[j]) == 0)
            return (uint8_t)j;
        for (size_t i = 0; i < outcomes->n; i++)
            if (!isnan(outcomes->cost_usd[i * outcomes->n_models + j]))
                usd += outcomes->cost_usd[i * outcomes->n_models + j], known += 1;
        for (size_t g = 0; g < fuser_bundle_generators(side->bundle); g++) {
            if (strcmp(fuser_bundle_generator(side->bundle, g), outcomes->models[j]) != 0)
                continue;
            double utility = fuser_bundle_mean_quality(side->bundle, g) -
                             comparing->lambda * usd / fmax(known, 1);
            if (utility > best)
                best = utility, at = (uint8_t)j;
        }
    }
    return at;
}

static enum fault_err prepare(struct comparing *comparing, struct side *side,
                              const char *path, struct fault *fault)
{
    const struct outcomes *outcomes = comparing->material.outcomes;
    const char *embedders[FUSER_MAX_EMBEDDERS];
    struct fuser_names names = { (const char *const *)outcomes->models,
                                 outcomes->n_models, embedders, 0, NULL };
    struct fuser_error error = { 0 };
    enum fault_err err = take_how(comparing, side, fault);
    bool knows_one = false;

    if (err != FAULT_OK)
        return err;
    names.n_embedders = side->how.n_embedders;
    for (size_t e = 0; e < names.n_embedders; e++)
        embedders[e] = side->how.embedders[e].name;
    if (fuser_new(side->bundle, &names, &side->fuser, &error) != FUSER_OK)
        return rowset_fuser_fault(error.code, &error, fault);
    for (size_t j = 0; j < outcomes->n_models; j++)
        knows_one = knows_one || fuser_knows_generator(side->fuser, j);
    if (!knows_one)
        return fault_set(fault, FAULT_INPUT,
                         "'%s' knows none of the experts whose outcomes are here", path);
    side->fallback[0] = fallback_of(comparing, side);
    side->how.fallback = side->fallback;
    side->trials = trials_new(outcomes, &side->how);
    return FAULT_OK;
}

static enum fault_err load(const char *path, struct fuser_bundle **ret_bundle,
                           struct fault *fault)
{
    struct fuser_error error = { 0 };

    if (fuser_bundle_load(path, ret_bundle, &error) != FUSER_OK)
        return fault_set(fault, FAULT_FUSER, "cannot use '%s': %s", path,
                         error.text[0] != '\0' ? error.text : fuser_err_text(error.code));
    return FAULT_OK;
}

/* Prompts that neither bundle was built from. */
static enum fault_err take_rows(struct comparing *comparing, struct fault *fault)
{
    const struct outcomes *outcomes = comparing->material.outcomes;

    comparing->rows = memory_new(outcomes->n, sizeof(*comparing->rows));
    for (size_t i = 0; i < outcomes->n; i++) {
        const char *id = outcomes->rows[i].id;
        if (fuser_bundle_has_row(comparing->older.bundle, id) ||
            fuser_bundle_has_row(comparing->newer.bundle, id))
            comparing->n_dropped++;
        else
            comparing->rows[comparing->n_rows++] = (uint32_t)i;
    }
    if (comparing->n_rows < 2)
        return fault_set(fault, FAULT_INPUT,
                         "of %zu prompts %zu are in one of the bundles: nothing is held "
                         "out; build from other splits than these",
                         outcomes->n, comparing->n_dropped);
    return FAULT_OK;
}

/* -- what came of it ------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* Of n pairs; a NAN counts in neither. */
static struct compare_mean mean_of(const double *older, const double *newer, size_t n,
                                   uint64_t seed)
{
    struct dice dice = dice_seeded(seed ^ 0x636F6D70);
    double *off = memory_new(n, sizeof(*off)),
           *means = memory_new(COMPARE_RESAMPLES, sizeof(*means));
    struct compare_mean mean = { 0 };
    size_t known = 0;

    for (size_t i = 0; i < n; i++) {
        if (isnan(older[i]) || isnan(newer[i]))
            continue;
        mean.older += older[i];
        mean.newer += newer[i];
        off[known++] = newer[i] - older[i];
    }
    mean.older /= (double)known;
    mean.newer /= (double)known;
    mean.change = mean.newer - mean.older;
    for (size_t b = 0; known > 0 && b < COMPARE_RESAMPLES; b++) {
        double sum = 0;
        for (size_t i = 0; i < known; i++)
            sum += off[dice_below(&dice, known)];
        means[b] = sum / (double)known;
    }
    qsort(means, COMPARE_RESAMPLES, sizeof(*means), by_value);
    mean.low = known > 0 ? means[(size_t)(0.025 * COMPARE_RESAMPLES)] : NAN;
    mean.high = known > 0 ? means[(size_t)(0.975 * (COMPARE_RESAMPLES - 1))] : NAN;
    free(off);
    free(means);
    return mean;
}

static void fill(const struct comparing *comparing, const struct side *side,
                 double *quality, double *usd, double *utility)
{
    const struct outcomes *outcomes = comparing->material.outcomes;

    for (size_t r = 0; r < comparing->n_rows; r++) {
        uint32_t i = comparing->rows[r];
        size_t cell = i * outcomes->n_models + side->trials->chosen[i];
        quality[r] = outcomes->quality[cell];
        usd[r] = outcomes->cost_usd[cell] + side->trials->paid[i];
        utility[r] = quality[r] - comparing->lambda * usd[r];
    }
}

static void conclude(const struct comparing *comparing, struct comparison *ret)
{
    const struct compare_wish *wish = comparing->wish;
    size_t n = comparing->n_rows;
    double *room = memory_new(6 * n, sizeof(*room));

    *ret = (struct comparison){ .rows = n,
                                .dropped = comparing->n_dropped,
                                .lambda = comparing->lambda };
    (void)snprintf(ret->older, sizeof(ret->older), "%s",
                   fuser_bundle_id(comparing->older.bundle));
    (void)snprintf(ret->newer, sizeof(ret->newer), "%s",
                   fuser_bundle_id(comparing->newer.bundle));
    for (size_t r = 0; r < n; r++) {
        uint32_t i = comparing->rows[r];
        ret->moved +=
            comparing->older.trials->chosen[i] != comparing->newer.trials->chosen[i];
    }
    fill(comparing, &comparing->older, room, room + n, room + 2 * n);
    fill(comparing, &comparing->newer, room + 3 * n, room + 4 * n, room + 5 * n);
    ret->quality = mean_of(room, room + 3 * n, n, wish->seed);
    ret->usd = mean_of(room + n, room + 4 * n, n, wish->seed);
    ret->utility = mean_of(room + 2 * n, room + 5 * n, n, wish->seed);
    ret->verdict = compare_verdict_of(ret->utility.low, ret->utility.high, wish->margin);
    free(room);
}

static enum fault_err decide(struct comparing *comparing, struct fault *fault)
{
    progress_init(&comparing->bar, "deciding", 1);
    enum fault_err err =
        material_cut(&comparing->material, comparing->older.bundle, fault);
    if (err == FAULT_OK)
        err =
            trials_walk(comparing->older.trials, comparing->older.fuser, comparing->rows,
                        comparing->n_rows, &comparing->bar, 0, 0.5, fault);
    if (err == FAULT_OK)
        err = material_cut(&comparing->material, comparing->newer.bundle, fault);
    if (err == FAULT_OK)
        err =
            trials_walk(comparing->newer.trials, comparing->newer.fuser, comparing->rows,
                        comparing->n_rows, &comparing->bar, 0.5, 1, fault);
    progress_end(&comparing->bar);
    return err;
}

static void side_release(struct side *side)
{
    trials_free(side->trials);
    fuser_unref(side->fuser);
    fuser_bundle_unref(side->bundle);
}

enum fault_err compare_bundles(const struct compare_wish *wish,
                               struct comparison *ret_comparison, struct fault *fault)
{
    struct comparing *comparing = memory_new(1, sizeof(*comparing));
    struct material_wish material = { .store = wish->store,
                                      .config = wish->config,
                                      .folders = wish->folders,
                                      .splits = wish->splits,
                                      .split = SPLIT_DEV,
                                      .models = wish->models };

    comparing->wish = wish;
    enum fault_err err = load(wish->older, &comparing->older.bundle, fault);
    if (err == FAULT_OK)
        err = load(wish->newer, &comparing->newer.bundle, fault);
    if (err == FAULT_OK)
        err = material_open(&comparing->material, &material, fault);
    if (err == FAULT_OK)
        err = take_lambda(comparing, fault);
    if (err == FAULT_OK)
        err = take_rows(comparing, fault);
    if (err == FAULT_OK)
        err = prepare(comparing, &comparing->older, wish->older, fault);
    if (err == FAULT_OK)
        err = prepare(comparing, &comparing->newer, wish->newer, fault);
    if (err == FAULT_OK)
        err = decide(comparing, fault);
    if (err == FAULT_OK)
        conclude(comparing, ret_comparison);
    side_release(&comparing->older);
    side_release(&comparing->newer);
    free(comparing->rows);
    material_release(&comparing->material);
    free(comparing);
    return err;
}
