/* head_blend.c - the heads on top of the ridge profile: the supervised metric, and the blend.
 *
 *     metric   kNN under the supervised metric (metric.h)
 *     blend    the mean of metric, domain mix and ridge: routing.md, point 4; the default
 *
 * The three err in different ways (a few near rows, the mean of a domain, the bias of a line), so their errors
 * are taken for independent: routing.md's cross-validation on calibration rows agrees (docs/RESULTS.md). Where
 * they are together no better than the domain mix on rows left out, that answers alone (loo.c).
 */
#include <math.h>
#include <stdlib.h>

#include "fuser/bundle.h"
#include "fuser/err.h"
#include "fuser/metric.h"

struct state {
    struct profiles profiles;
    struct metric metrics[FUSER_MAX_EMBEDDERS + 1]; /* of each profile */
};

static void release(void *untyped)
{
    struct state *state = untyped;
    if (state == NULL)
        return;
    for (size_t i = 0; i < state->profiles.n; i++)
        metric_release(&state->metrics[i]);
    profiles_release(&state->profiles);
    free(state);
}

static enum fuser_err derive(const struct fuser_bundle *bundle, struct state *state)
{
    for (size_t i = 0; i < state->profiles.n; i++) {
        enum fuser_err err =
            metric_init(&state->metrics[i], &state->profiles.of[i], bundle->approximate);
        if (err != FUSER_OK)
            return err;
    }
    return FUSER_OK;
}

static enum fuser_err fit(const struct fuser_bundle *bundle, void **ret_state,
                          struct fuser_error *error)
{
    struct state *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return ferr_nomem(error);
    enum fuser_err err = profiles_fit(bundle, PROFILE_RIDGE, &state->profiles, error);
    if (err == FUSER_OK && derive(bundle, state) != FUSER_OK)
        err = ferr_nomem(error);
    if (err != FUSER_OK) {
        release(state);
        return err;
    }
    *ret_state = state;
    return FUSER_OK;
}

static bool covers(const void *untyped, uint32_t subset)
{
    const struct state *state = untyped;
    return profiles_find(&state->profiles, subset) != NULL;
}

static enum fuser_err grow(const void *untyped, const struct fuser_bundle *bundle,
                           const uint32_t *from, void **ret_state)
{
    const struct state *old = untyped;
    struct state *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return FUSER_NOMEM;
    enum fuser_err err = profiles_grow(&old->profiles, bundle, from, &state->profiles);
    for (size_t i = 0; err == FUSER_OK && i < state->profiles.n; i++)
        err = metric_init_as(&state->metrics[i], &state->profiles.of[i],
                             bundle->approximate, &old->metrics[i]);
    if (err != FUSER_OK) {
        release(state);
        return err;
    }
    *ret_state = state;
    return FUSER_OK;
}

static void save(const void *untyped, struct sink *sink)
{
    const struct state *state = untyped;
    profiles_save(&state->profiles, sink);
    for (size_t i = 0; i < state->profiles.n; i++)
        metric_save(&state->metrics[i], sink);
}

static enum fuser_err load(const struct fuser_bundle *bundle, struct source *source,
                           void **ret_state)
{
    struct state *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return FUSER_NOMEM;
    enum fuser_err err = profiles_load(bundle, source, &state->profiles);
    for (size_t i = 0; err == FUSER_OK && i < state->profiles.n; i++)
        err = metric_load(&state->metrics[i], &state->profiles.of[i], bundle->approximate,
                          source);
    if (err != FUSER_OK) {
        release(state);
        return err;
    }
    *ret_state = state;
    return FUSER_OK;
}

/* Fills in what the metric says, and gives the profile that it rests on. */
static const struct profile *look(const struct state *state, const struct head_view *view,
                                  float *room, const float **ret_quality,
                                  struct head_estimate *estimates)
{
    const struct profile *profile = profiles_find(&state->profiles, view->subset);
    const struct metric *metric = &state->metrics[profile - state->profiles.of];
    *ret_quality = profile_of(profile, view, room);
    metric_estimate(metric, view, *ret_quality, estimates);
    return profile;
}

static void estimate_metric(const void *state, const struct head_view *view,
                            struct head_estimate *estimates)
{
    float room[FUSER_MAX_GENERATORS];
    const float *quality;
    (void)look(state, view, room, &quality, estimates);
}

static double length(double a, double b, double c)
{
    return sqrt(a * a + b * b + c * c);
}

static void estimate_blend(const void *state, const struct head_view *view,
                           struct head_estimate *estimates)
{
    struct head_estimate mix[FUSER_MAX_GENERATORS];
    float room[FUSER_MAX_GENERATORS];
    const float *quality;
    const struct profile *profile = look(state, view, room, &quality, estimates);
    float tokens_room[FUSER_MAX_GENERATORS];
    const float *tokens = profile_tokens(profile, view, tokens_room);

    head_domain.estimate(NULL, view, mix);
    for (size_t g = 0; g < profile->c; g++) {
        estimates[g].quality =
            (estimates[g].quality + mix[g].quality + (double)quality[g]) / 3;
        estimates[g].output_tokens =
            (estimates[g].output_tokens + (double)fminf(tokens[g], view->output_limit)) /
            2;
        estimates[g].quality_se =
            length(estimates[g].quality_se, mix[g].quality_se, (double)profile->se[g]) /
            3;
        estimates[g].rows =
            9 / (1 / estimates[g].rows + 1 / mix[g].rows + 1 / (double)profile->rows[g]);
    }
}

const struct head head_metric = { .name = "metric",
                                  .fit = fit,
                                  .covers = covers,
                                  .estimate = estimate_metric,
                                  .grow = grow,
                                  .save = save,
                                  .load = load,
                                  .free = release };

const struct head head_blend = { .name = "blend",
                                 .fit = fit,
                                 .covers = covers,
                                 .plain = &head_domain,
                                 .estimate = estimate_blend,
                                 .grow = grow,
                                 .save = save,
                                 .load = load,
                                 .free = release };
