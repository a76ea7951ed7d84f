/* profile.c - fits, keeps and applies predicted quality profiles. */
#include "fuser/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/bundle.h"
#include "fuser/err.h"
#include "fuser/logistic.h"
#include "fuser/random.h"
#include "fuser/ridge.h"

#define FOLDS             5
#define LOGISTIC_STRENGTH 1.0
#define LOGISTIC_STEPS    100
#define MLP_EPOCHS        30
#define MLP_PENALTY       1e-2
#define SE_LEAST          1e-3 /* a standard error is never 0 */

/* The rows that are fitted, and their inputs and targets side by side. */
struct sample {
    uint32_t *rows; /* [n] */
    float *x, *y;   /* [n][d], [n][c]: recorded, or filled (fill.h) */
    size_t n;
};

static void sample_release(struct sample *sample)
{
    free(sample->rows);
    free(sample->x);
    free(sample->y);
}

static size_t input_of(const struct fuser_bundle *bundle, uint32_t subset)
{
    size_t d = 0;
    for (size_t e = 0; e < bundle->n_embedders; e++)
        if (subset >> e & 1)
            d += bundle->embedders[e].dim;
    return d;
}

/* False when the row lacks a vector of the subset: its input is zero there. */
static bool gather_row(const struct fuser_bundle *bundle, uint32_t subset, uint32_t row,
                       float *x)
{
    bool whole = true;
    for (size_t e = 0; e < bundle->n_embedders; e++) {
        size_t dim = bundle->embedders[e].dim;
        if ((subset >> e & 1) == 0)
            continue;
        memcpy(x, index_vectors(bundle->index[e]) + row * dim, dim * sizeof(float));
        whole = whole && bundle_has_vector(bundle, e, row);
        x += dim;
    }
    return whole;
}

static float target_of(const struct cells *cells, size_t cell)
{
    double worth, quality = cells_quality(cells, cell, &worth);
    return worth > 0 ? (float)quality : NAN;
}

static bool sample_take(const struct fuser_bundle *bundle, const struct profile *profile,
                        struct sample *sample)
{
    struct rng rng = rng_seeded(bundle->settings.seed ^ 0x70726F66);
    size_t n = profile->n < FUSER_TABLE_ROWS ? profile->n : FUSER_TABLE_ROWS;
    sample->n = n;
    sample->rows = malloc(n * sizeof(*sample->rows));
    sample->x = malloc(n * profile->d * sizeof(float));
    sample->y = malloc(n * profile->c * sizeof(float));
    if (sample->rows == NULL || sample->x == NULL || sample->y == NULL)
        return false;
    rng_sample(&rng, profile->n, n, sample->rows);
    for (size_t i = 0; i < n; i++) {
        uint32_t row = sample->rows[i];
        bool whole = gather_row(bundle, profile->subset, row, sample->x + i * profile->d);
        for (size_t c = 0; c < profile->c; c++)
            sample->y[i * profile->c + c] =
                whole ? target_of(&bundle->cells, row * profile->c + c) : NAN;
    }
    return true;
}

/* Fills the targets again about what was predicted of rows left out, which is closer than their domain's means. */
static void sample_refill(const struct fuser_bundle *bundle, struct sample *sample,
                          const float *loo)
{
    size_t c = bundle->cells.n_generators;
    double mean[FUSER_MAX_GENERATORS];
    float filled[FUSER_MAX_GENERATORS];
    for (size_t i = 0; i < sample->n; i++) {
        for (size_t k = 0; k < c; k++)
            mean[k] = isnan(loo[i * c + k]) ? 0.5 : (double)loo[i * c + k];
        fill_row(bundle->fill, bundle->cells.quality + sample->rows[i] * c, mean, filled,
                 NULL);
        for (size_t k = 0; k < c; k++)
            if (!isnan(sample->y[i * c + k]) && !isnan(loo[i * c + k]))
                sample->y[i * c + k] = filled[k];
    }
}

static float clipped(float quality)
{
    return fminf(fmaxf(quality, 0.0f), 1.0f);
}

/* Predictions of n inputs. scratch: n * 2 * PROFILE_MLP_UNITS floats. */
static void apply(const struct profile *profile, const float *x, size_t n, float *scratch,
                  float *ret_y)
{
    if (profile->kind == PROFILE_MLP) {
        mlp_apply(&profile->mlp, x, n, scratch, ret_y);
        return;
    }
    fit_linear_apply(&profile->linear, x, n, ret_y);
    if (profile->kind == PROFILE_LOGISTIC)
        fit_sigmoid(ret_y, n, profile->c);
    for (size_t i = 0; i < n * profile->c; i++)
        ret_y[i] = clipped(ret_y[i]);
}

static enum fuser_err fit_model(struct profile *profile, const struct fit_data *data,
                                uint64_t seed, struct fuser_error *error)
{
    struct mlp_how how = { .hidden = PROFILE_MLP_UNITS,
                           .epochs = MLP_EPOCHS,
                           .penalty = MLP_PENALTY,
                           .seed = seed };
    if (profile->kind == PROFILE_MLP)
        return mlp_fit(data, LOGISTIC_SIGMOID, &how, &profile->mlp, error);
    return logistic_fit(data, LOGISTIC_SIGMOID, LOGISTIC_STRENGTH, LOGISTIC_STEPS,
                        &profile->linear, error);
}

static void model_release(struct profile *profile)
{
    fit_linear_release(&profile->tokens);
    fit_linear_release(&profile->linear);
    mlp_release(&profile->mlp);
}

/* Left-out predictions by refits on four fifths: a fold's own targets are hidden from it. */
static enum fuser_err fit_folds(struct profile *profile, struct sample *sample,
                                float *loo, uint64_t seed, struct fuser_error *error)
{
    size_t n = sample->n, c = profile->c;
    float *hidden = malloc(n * c * sizeof(float));
    float *all = malloc(n * c * sizeof(float));
    float *scratch = malloc(n * 2 * PROFILE_MLP_UNITS * sizeof(float));
    enum fuser_err err = FUSER_OK;
    if (hidden == NULL || all == NULL || scratch == NULL)
        err = ferr_nomem(error);
    for (size_t fold = 0; err == FUSER_OK && fold < FOLDS; fold++) {
        struct fit_data data = { sample->x, hidden, n, profile->d, c };
        memcpy(hidden, sample->y, n * c * sizeof(float));
        for (size_t i = fold; i < n; i += FOLDS)
            for (size_t k = 0; k < c; k++)
                hidden[i * c + k] = NAN;
        err = fit_model(profile, &data, seed, error);
        if (err == FUSER_OK)
            apply(profile, sample->x, n, scratch, all);
        for (size_t i = fold; err == FUSER_OK && i < n; i += FOLDS)
            memcpy(loo + i * c, all + i * c, c * sizeof(float));
        model_release(profile);
    }
    free(hidden);
    free(all);
    free(scratch);
    return err;
}

/* What was left out, against what is recorded: deviation and standard error. `leverage`: of a typical row; NAN: se is
 * there already and tells it, of the targets. Those that were filled are easier to meet than what is recorded and worth
 * less, by which se grows. */
static void judge(struct profile *profile, const struct fuser_bundle *bundle,
                  const struct sample *sample, const float *loo, double leverage)
{
    const struct cells *cells = &bundle->cells;
    for (size_t k = 0; k < profile->c; k++) {
        double sum = 0, known = 0, all = 0, n = 0, worth = 0, variance;
        double se = (double)profile->se[k];
        for (size_t i = 0; i < sample->n; i++) {
            size_t cell = sample->rows[i] * profile->c + k;
            double off =
                (double)(sample->y[i * profile->c + k] - loo[i * profile->c + k]);
            if (isnan(off))
                continue;
            all += off * off;
            n += 1;
            worth += cells->worth ? (double)cells->worth[cell] : 1;
            if (isnan(cells->quality[cell]))
                continue;
            sum += off * off;
            known += 1;
        }
        variance = known > 0 ? sum / known : 0.25;
        if (!isnan(leverage))
            se = sqrt(variance * fmin(leverage / fmax(worth, 1.0), 1.0));
        else if (cells->worth && all > 0)
            se *= sqrt(variance / (all / n) * (n / fmax(worth, 1.0)));
        profile->se[k] = (float)fmax(se, SE_LEAST);
        profile->rows[k] =
            (float)fmin(fmax(variance / (se * se + 1e-12), 1.0), fmax(worth, 1.0));
    }
}

/* Left-out predictions where there are any, the model's own for rows that it did not see. */
static enum fuser_err fill_loo(struct profile *profile, const struct fuser_bundle *bundle,
                               const struct sample *sample, const float *loo,
                               struct fuser_error *error)
{
    size_t c = profile->c, next = 0;
    float *x = malloc((profile->d + 2 * PROFILE_MLP_UNITS) * sizeof(float));
    if (x == NULL)
        return ferr_nomem(error);
    for (size_t row = 0; row < profile->n; row++) {
        float *to = profile->loo + row * c;
        (void)gather_row(bundle, profile->subset, (uint32_t)row, x);
        apply(profile, x, 1, x + profile->d, to);
        if (next == sample->n || sample->rows[next] != row)
            continue;
        for (size_t k = 0; k < c; k++)
            if (!isnan(loo[next * c + k]))
                to[k] = clipped(loo[next * c + k]);
        next++;
    }
    free(x);
    return FUSER_OK;
}

/* -- output tokens ------------------------------------------------------------------------- */

#define TOKENS_LOG_MAX 15.0f /* e^15: three million tokens */

static float tokens_from(const struct profile *profile, float logarithm, size_t g)
{
    return profile->smear[g] * expm1f(fminf(fmaxf(logarithm, 0.0f), TOKENS_LOG_MAX));
}

/* What the recorded tokens are, as a ratio of what the logarithm's exponential says. */
static void find_smear(struct profile *profile, const struct cells *cells,
                       const struct sample *sample, const float *loo)
{
    for (size_t k = 0; k < profile->c; k++) {
        double recorded = 0, predicted = 0;
        for (size_t i = 0; i < sample->n; i++) {
            float tokens = cells->output[sample->rows[i] * profile->c + k];
            float said = loo[i * profile->c + k];
            if (isnan(tokens) || isnan(said))
                continue;
            recorded += (double)tokens;
            predicted += (double)expm1f(fminf(fmaxf(said, 0.0f), TOKENS_LOG_MAX));
        }
        profile->smear[k] = predicted > 0 ? (float)fmin(recorded / predicted, 1e3) : 1.0f;
    }
}

static void fill_tokens(struct profile *profile, const struct fuser_bundle *bundle,
                        const struct sample *sample, const float *loo, float *x)
{
    size_t c = profile->c, next = 0;
    for (size_t row = 0; row < profile->n; row++) {
        float *to = profile->tokens_loo + row * c;
        bool sampled = next < sample->n && sample->rows[next] == row;
        (void)gather_row(bundle, profile->subset, (uint32_t)row, x);
        fit_linear_apply(&profile->tokens, x, 1, to);
        for (size_t k = 0; k < c; k++) {
            float left_out = sampled ? loo[next * c + k] : NAN;
            to[k] = tokens_from(profile, isnan(left_out) ? to[k] : left_out, k);
        }
        next += sampled;
    }
}

/* A second ridge, on the logarithm of the tokens: they are heavy-tailed, and the best choice is often the one whose
 * cost was underestimated. */
static enum fuser_err fit_tokens(struct profile *profile,
                                 const struct fuser_bundle *bundle, struct sample *sample,
                                 float *loo, struct fuser_error *error)
{
    size_t c = profile->c;
    float *x = malloc(profile->d * sizeof(float));
    profile->tokens_loo = calloc(profile->n * c, sizeof(float));
    enum fuser_err err = FUSER_NOMEM;
    if (x == NULL || profile->tokens_loo == NULL)
        goto out;
    for (size_t i = 0; i < sample->n; i++)
        for (size_t k = 0; k < c; k++)
            sample->y[i * c + k] = log1pf(bundle->cells.output[sample->rows[i] * c + k]);
    struct fit_data data = { sample->x, sample->y, sample->n, profile->d, c };
    err = ridge_fit(&data, &profile->tokens, loo, NULL, error);
    if (err == FUSER_OK) {
        find_smear(profile, &bundle->cells, sample, loo);
        fill_tokens(profile, bundle, sample, loo, x);
    }
out:
    free(x);
    return err;
}

static enum fuser_err profile_fit(struct profile *profile,
                                  const struct fuser_bundle *bundle,
                                  struct fuser_error *error)
{
    struct sample sample = { 0 };
    float *loo = NULL;
    uint64_t seed = bundle->settings.seed;
    enum fuser_err err = FUSER_NOMEM;

    profile->loo = calloc(profile->n * profile->c, sizeof(float));
    if (profile->loo == NULL || !sample_take(bundle, profile, &sample))
        goto out;
    loo = malloc(sample.n * profile->c * sizeof(float));
    if (loo == NULL)
        goto out;
    struct fit_data data = { sample.x, sample.y, sample.n, profile->d, profile->c };
    if (profile->kind == PROFILE_RIDGE) {
        err = ridge_fit(&data, &profile->linear, loo, profile->se, error);
        if (err == FUSER_OK && bundle->fill != NULL) {
            sample_refill(bundle, &sample, loo);
            fit_linear_release(&profile->linear);
            err = ridge_fit(&data, &profile->linear, loo, profile->se, error);
        }
    } else {
        err = fit_folds(profile, &sample, loo, seed, error);
        if (err == FUSER_OK)
            err = fit_model(profile, &data, seed, error);
    }
    if (err == FUSER_OK)
        judge(profile, bundle, &sample, loo,
              profile->kind == PROFILE_RIDGE ? NAN : (double)profile->d);
    if (err == FUSER_OK)
        err = fill_loo(profile, bundle, &sample, loo, error);
    if (err == FUSER_OK && profile->kind == PROFILE_RIDGE)
        err = fit_tokens(profile, bundle, &sample, loo, error);
out:
    sample_release(&sample);
    free(loo);
    return err == FUSER_NOMEM ? ferr_nomem(error) : err;
}

void profile_start(struct profile *profile, const struct fuser_bundle *bundle,
                   uint32_t subset, enum profile_kind kind)
{
    *profile = (struct profile){ .subset = subset,
                                 .kind = kind,
                                 .n = bundle->cells.n,
                                 .d = input_of(bundle, subset),
                                 .c = bundle->cells.n_generators };
}

enum fuser_err profiles_fit(const struct fuser_bundle *bundle, enum profile_kind kind,
                            struct profiles *ret_profiles, struct fuser_error *error)
{
    struct profiles profiles = { 0 };
    uint32_t all = (1u << bundle->n_embedders) - 1;
    enum fuser_err err = FUSER_OK;
    for (size_t e = 0; err == FUSER_OK && e <= bundle->n_embedders; e++) {
        uint32_t subset = e < bundle->n_embedders ? 1u << e : all;
        if (e == bundle->n_embedders && e == 1)
            break;
        profile_start(&profiles.of[profiles.n], bundle, subset, kind);
        err = profile_fit(&profiles.of[profiles.n++], bundle, error);
    }
    if (err != FUSER_OK) {
        profiles_release(&profiles);
        return err;
    }
    *ret_profiles = profiles;
    return FUSER_OK;
}

void profiles_release(struct profiles *profiles)
{
    for (size_t i = 0; i < profiles->n; i++) {
        model_release(&profiles->of[i]);
        free(profiles->of[i].loo);
        free(profiles->of[i].tokens_loo);
    }
    *profiles = (struct profiles){ 0 };
}

const struct profile *profiles_find(const struct profiles *profiles, uint32_t subset)
{
    for (size_t i = 0; i < profiles->n; i++)
        if (profiles->of[i].subset == subset)
            return &profiles->of[i];
    return NULL;
}

const float *profile_of(const struct profile *profile, const struct head_view *view,
                        float *room)
{
    const struct fuser_bundle *bundle = view->bundle;
    float *x = head_inputs(view), *at = x;
    if (view->row != KERNEL_NO_ROW)
        return profile->loo + view->row * profile->c;
    for (size_t e = 0; e < bundle->n_embedders; e++)
        if (profile->subset >> e & 1) {
            memcpy(at, view->vectors[e], bundle->embedders[e].dim * sizeof(float));
            at += bundle->embedders[e].dim;
        }
    apply(profile, x, 1, at, room);
    return room;
}

const float *profile_tokens(const struct profile *profile, const struct head_view *view,
                            float *room)
{
    if (view->row != KERNEL_NO_ROW)
        return profile->tokens_loo + view->row * profile->c;
    fit_linear_apply(&profile->tokens, head_inputs(view), 1, room);
    for (size_t g = 0; g < profile->c; g++)
        room[g] = tokens_from(profile, room[g], g);
    return room;
}

size_t profile_layer_weights(const struct profile *profile, int layer)
{
    size_t width[MLP_LAYERS + 1] = { profile->d, PROFILE_MLP_UNITS, PROFILE_MLP_UNITS,
                                     profile->c };
    return (width[layer] + 1) * width[layer + 1];
}

static float *copied(const float *values, size_t n)
{
    float *copy = malloc(n * sizeof(float));
    if (copy != NULL)
        memcpy(copy, values, n * sizeof(float));
    return copy;
}

static bool copy_linear(struct fit_linear *linear, const struct fit_linear *old)
{
    *linear =
        (struct fit_linear){ old->d, old->c, copied(old->w, (old->d + 1) * old->c) };
    return linear->w != NULL;
}

static bool copy_model(struct profile *profile, const struct profile *old)
{
    memcpy(profile->se, old->se, sizeof(profile->se));
    memcpy(profile->rows, old->rows, sizeof(profile->rows));
    memcpy(profile->smear, old->smear, sizeof(profile->smear));
    if (profile->kind != PROFILE_MLP)
        return copy_linear(&profile->linear, &old->linear) &&
               (profile->kind != PROFILE_RIDGE ||
                copy_linear(&profile->tokens, &old->tokens));
    profile->mlp = old->mlp;
    memset(profile->mlp.w, 0, sizeof(profile->mlp.w));
    for (int l = 0; l < MLP_LAYERS; l++) {
        profile->mlp.w[l] = copied(old->mlp.w[l], profile_layer_weights(old, l));
        if (profile->mlp.w[l] == NULL)
            return false;
    }
    return true;
}

/* Rows that were there keep their left-out predictions; the others get the model's own, which
 * did not see them. */
static bool grow_loo(struct profile *profile, const struct profile *old,
                     const struct fuser_bundle *bundle, const uint32_t *from)
{
    size_t c = profile->c;
    float *x = malloc((profile->d + 2 * PROFILE_MLP_UNITS) * sizeof(float));
    bool ridge = profile->kind == PROFILE_RIDGE;
    profile->loo = calloc(profile->n * c, sizeof(float));
    profile->tokens_loo = ridge ? calloc(profile->n * c, sizeof(float)) : NULL;
    if (x == NULL || profile->loo == NULL || (ridge && profile->tokens_loo == NULL)) {
        free(x);
        return false;
    }
    for (size_t row = 0; row < profile->n; row++) {
        float *loo = profile->loo + row * c;
        float *tokens = ridge ? profile->tokens_loo + row * c : NULL;
        if (from[row] != KERNEL_NO_ROW) {
            memcpy(loo, old->loo + from[row] * c, c * sizeof(float));
            if (ridge)
                memcpy(tokens, old->tokens_loo + from[row] * c, c * sizeof(float));
            continue;
        }
        (void)gather_row(bundle, profile->subset, (uint32_t)row, x);
        apply(profile, x, 1, x + profile->d, loo);
        if (ridge)
            fit_linear_apply(&profile->tokens, x, 1, tokens);
        for (size_t k = 0; ridge && k < c; k++)
            tokens[k] = tokens_from(profile, tokens[k], k);
    }
    free(x);
    return true;
}

enum fuser_err profiles_grow(const struct profiles *old,
                             const struct fuser_bundle *bundle, const uint32_t *from,
                             struct profiles *ret_profiles)
{
    struct profiles profiles = { 0 };
    for (size_t i = 0; i < old->n; i++) {
        struct profile *profile = &profiles.of[profiles.n++];
        profile_start(profile, bundle, old->of[i].subset, old->of[i].kind);
        if (!copy_model(profile, &old->of[i]) ||
            !grow_loo(profile, &old->of[i], bundle, from)) {
            profiles_release(&profiles);
            return FUSER_NOMEM;
        }
    }
    *ret_profiles = profiles;
    return FUSER_OK;
}
