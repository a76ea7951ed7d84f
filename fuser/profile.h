/* profile.h - a prompt's predicted quality under every generator, by a model fitted to vectors.
 *
 *     profiles_fit(bundle, kind)   one model for each single embedder and one for all of them together
 *     profiles_find(set, subset)   the model of that subset, or NULL: not covered
 *     profile_of(profile, view)    the qualities of a request, or of a calibration row left out
 *
 * The input is the concatenation of the subset's vectors. At most FUSER_TABLE_ROWS rows are fitted (a sample
 * beyond): what they predict of the others is out of sample by itself. Ridge leaves each row out in closed form,
 * the others are refitted on four fifths of the rows for the remaining fifth.
 *
 * Threads: immutable once fitted or loaded.
 */
#ifndef FUSER_PROFILE_H
#define FUSER_PROFILE_H

#include "fuser/fit.h"
#include "fuser/head.h"
#include "fuser/mlp.h"

#define PROFILE_MLP_UNITS 64

enum profile_kind { PROFILE_RIDGE, PROFILE_LOGISTIC, PROFILE_MLP };

struct profile {
    uint32_t subset;
    enum profile_kind kind;
    size_t n, d, c; /* rows, inputs, generators */
    struct fit_linear linear;
    struct mlp mlp;
    float *loo;                       /* [n][c] 0..1, owned */
    float se[FUSER_MAX_GENERATORS];   /* of a prediction */
    float rows[FUSER_MAX_GENERATORS]; /* how many rows' mean would be as certain */
    /* Ridge only: the logarithm of 1 + output tokens, and what makes its exponential unbiased
     * on the rows (Duan 1983's smearing, one ratio a generator). */
    struct fit_linear tokens;
    float *tokens_loo; /* [n][c] tokens, owned */
    float smear[FUSER_MAX_GENERATORS];
};

struct profiles {
    size_t n;
    struct profile of[FUSER_MAX_EMBEDDERS + 1];
};

FUSER_NODISCARD enum fuser_err profiles_fit(const struct fuser_bundle *bundle,
                                            enum profile_kind kind,
                                            struct profiles *ret_profiles,
                                            struct fuser_error *error);
/* The same models over a bundle with rows added, see struct head. */
FUSER_NODISCARD enum fuser_err profiles_grow(const struct profiles *old,
                                             const struct fuser_bundle *bundle,
                                             const uint32_t *from,
                                             struct profiles *ret_profiles);
void profiles_release(struct profiles *profiles);
/* In the file, profile_file.c. */
void profiles_save(const struct profiles *profiles, struct sink *sink);
FUSER_NODISCARD enum fuser_err profiles_load(const struct fuser_bundle *bundle,
                                             struct source *source,
                                             struct profiles *ret_profiles);

/* An empty profile of that shape. */
void profile_start(struct profile *profile, const struct fuser_bundle *bundle,
                   uint32_t subset, enum profile_kind kind);
/* Floats of one layer of its perceptron. */
size_t profile_layer_weights(const struct profile *profile, int layer);

const struct profile *profiles_find(const struct profiles *profiles, uint32_t subset);
/* The qualities of the view's prompt: c numbers in 0..1; a calibration row's by a model that did not see it.
 * They are in `room`, or borrowed from the profile. Uses the view's scratch for inputs. */
const float *profile_of(const struct profile *profile, const struct head_view *view,
                        float *room);
/* The expected output tokens in the same way, for ridge profiles. After profile_of of the same
 * view, whose input it uses. */
const float *profile_tokens(const struct profile *profile, const struct head_view *view,
                            float *room);

#endif
