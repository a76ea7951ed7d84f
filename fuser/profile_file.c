/* profile_file.c - predicted quality profiles in a bundle's file, which may be anything: see profile.h. */
#include <stdlib.h>

#include "fuser/bundle.h"
#include "fuser/profile.h"

void profiles_save(const struct profiles *profiles, struct sink *sink)
{
    sink_u32(sink, (uint32_t)profiles->n);
    for (size_t i = 0; i < profiles->n; i++) {
        const struct profile *p = &profiles->of[i];
        sink_u32(sink, p->subset);
        sink_u32(sink, (uint32_t)p->kind);
        sink_bytes(sink, p->se, p->c * sizeof(float));
        sink_bytes(sink, p->rows, p->c * sizeof(float));
        sink_bytes(sink, p->loo, p->n * p->c * sizeof(float));
        if (p->kind == PROFILE_RIDGE) {
            sink_bytes(sink, p->smear, p->c * sizeof(float));
            sink_bytes(sink, p->tokens_loo, p->n * p->c * sizeof(float));
            sink_bytes(sink, p->tokens.w, (p->d + 1) * p->c * sizeof(float));
        }
        if (p->kind != PROFILE_MLP)
            sink_bytes(sink, p->linear.w, (p->d + 1) * p->c * sizeof(float));
        for (int l = 0; p->kind == PROFILE_MLP && l < MLP_LAYERS; l++)
            sink_bytes(sink, p->mlp.w[l], profile_layer_weights(p, l) * sizeof(float));
    }
}

/* n finite floats, or NULL. */
static float *load_floats(struct source *source, size_t n, float low, float high)
{
    float *value = source_array(source, n, sizeof(float));
    if (value != NULL && wire_floats_within(value, n, low, high, false))
        return value;
    free(value);
    source->failed = true;
    return NULL;
}

static void load_tokens(struct profile *p, struct source *source)
{
    for (size_t c = 0; c < p->c; c++) {
        p->smear[c] = source_f32(source);
        source->failed = source->failed || !(p->smear[c] >= 0.0f && p->smear[c] <= 1e3f);
    }
    p->tokens_loo = load_floats(source, p->n * p->c, 0.0f, 1e12f);
    p->tokens = (struct fit_linear){ p->d, p->c, NULL };
    p->tokens.w = load_floats(source, (p->d + 1) * p->c, -1e30f, 1e30f);
}

static void load_weights(struct profile *p, struct source *source)
{
    const float limit = 1e30f;
    if (p->kind != PROFILE_MLP) {
        p->linear = (struct fit_linear){ p->d, p->c, NULL };
        p->linear.w = load_floats(source, (p->d + 1) * p->c, -limit, limit);
        return;
    }
    p->mlp.link = LOGISTIC_SIGMOID;
    p->mlp.width[0] = p->d;
    p->mlp.width[1] = p->mlp.width[2] = PROFILE_MLP_UNITS;
    p->mlp.width[3] = p->c;
    for (int l = 0; l < MLP_LAYERS; l++)
        p->mlp.w[l] = load_floats(source, profile_layer_weights(p, l), -limit, limit);
}

static void load_one(const struct fuser_bundle *bundle, struct source *source,
                     struct profile *p)
{
    uint32_t subset = source_u32(source), kind = source_u32(source);
    if (source->failed || subset == 0 || subset >> bundle->n_embedders != 0 ||
        kind > PROFILE_MLP) {
        source->failed = true;
        return;
    }
    profile_start(p, bundle, subset, (enum profile_kind)kind);
    for (size_t c = 0; c < p->c; c++) {
        p->se[c] = source_f32(source);
        source->failed = source->failed || !(p->se[c] > 0.0f && p->se[c] < 1e6f);
    }
    for (size_t c = 0; c < p->c; c++) {
        p->rows[c] = source_f32(source);
        source->failed = source->failed || !(p->rows[c] >= 1.0f && p->rows[c] <= 1e9f);
    }
    p->loo = load_floats(source, p->n * p->c, 0.0f, 1.0f);
    if (p->kind == PROFILE_RIDGE)
        load_tokens(p, source);
    load_weights(p, source);
}

enum fuser_err profiles_load(const struct fuser_bundle *bundle, struct source *source,
                             struct profiles *ret_profiles)
{
    struct profiles profiles = { 0 };
    uint32_t n = source_u32(source);
    if (n > FUSER_MAX_EMBEDDERS + 1)
        source->failed = true;
    while (!source->failed && profiles.n < n)
        load_one(bundle, source, &profiles.of[profiles.n++]);
    if (source->failed) {
        profiles_release(&profiles);
        return FUSER_CORRUPT;
    }
    *ret_profiles = profiles;
    return FUSER_OK;
}
