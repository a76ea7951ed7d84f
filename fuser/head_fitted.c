/* head_fitted.c - heads that predict quality by one fitted model: ridge, logistic, perceptron. */
#include <math.h>
#include <stdlib.h>

#include "fuser/bundle.h"
#include "fuser/err.h"
#include "fuser/profile.h"

static enum fuser_err fit_kind(const struct fuser_bundle *bundle, enum profile_kind kind,
                               void **ret_state, struct fuser_error *error)
{
    struct profiles *profiles = malloc(sizeof(*profiles));
    if (profiles == NULL)
        return ferr_nomem(error);
    enum fuser_err err = profiles_fit(bundle, kind, profiles, error);
    if (err != FUSER_OK) {
        free(profiles);
        return err;
    }
    *ret_state = profiles;
    return FUSER_OK;
}

static enum fuser_err fit_ridge(const struct fuser_bundle *bundle, void **ret_state,
                                struct fuser_error *error)
{
    return fit_kind(bundle, PROFILE_RIDGE, ret_state, error);
}

static enum fuser_err fit_logistic(const struct fuser_bundle *bundle, void **ret_state,
                                   struct fuser_error *error)
{
    return fit_kind(bundle, PROFILE_LOGISTIC, ret_state, error);
}

static enum fuser_err fit_mlp(const struct fuser_bundle *bundle, void **ret_state,
                              struct fuser_error *error)
{
    return fit_kind(bundle, PROFILE_MLP, ret_state, error);
}

static bool covers(const void *state, uint32_t subset)
{
    return profiles_find(state, subset) != NULL;
}

static void estimate(const void *state, const struct head_view *view,
                     struct head_estimate *estimates)
{
    const struct profile *profile = profiles_find(state, view->subset);
    float predicted[FUSER_MAX_GENERATORS];
    const float *quality = profile_of(profile, view, predicted);

    for (size_t g = 0; g < profile->c; g++) {
        estimates[g].quality = (double)quality[g];
        estimates[g].quality_se = (double)profile->se[g];
        estimates[g].rows = (double)profile->rows[g];
    }
}

static enum fuser_err grow(const void *state, const struct fuser_bundle *bundle,
                           const uint32_t *from, void **ret_state)
{
    struct profiles *profiles = malloc(sizeof(*profiles));
    if (profiles == NULL)
        return FUSER_NOMEM;
    enum fuser_err err = profiles_grow(state, bundle, from, profiles);
    if (err != FUSER_OK) {
        free(profiles);
        return err;
    }
    *ret_state = profiles;
    return FUSER_OK;
}

static void save(const void *state, struct sink *sink)
{
    profiles_save(state, sink);
}

static enum fuser_err load(const struct fuser_bundle *bundle, struct source *source,
                           void **ret_state)
{
    struct profiles *profiles = malloc(sizeof(*profiles));
    if (profiles == NULL)
        return FUSER_NOMEM;
    enum fuser_err err = profiles_load(bundle, source, profiles);
    if (err != FUSER_OK) {
        free(profiles);
        return err;
    }
    *ret_state = profiles;
    return FUSER_OK;
}

static void release(void *state)
{
    if (state == NULL)
        return;
    profiles_release(state);
    free(state);
}

#define FITTED(id)                                                                       \
    const struct head head_##id = { .name = #id,                                         \
                                    .fit = fit_##id,                                     \
                                    .covers = covers,                                    \
                                    .estimate = estimate,                                \
                                    .grow = grow,                                        \
                                    .save = save,                                        \
                                    .load = load,                                        \
                                    .free = release }
FITTED(ridge);
FITTED(logistic);
FITTED(mlp);
