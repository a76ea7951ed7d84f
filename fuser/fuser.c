/* fuser.c - a bundle under the names of one configuration.
 *
 * The bundle and the configuration know each other by name only; this is the one place
 * where the two ways of counting meet.
 */
#include "fuser/fuser.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/err.h"
#include "fuser/session.h"

static int find_generator(const struct fuser_bundle *bundle, const char *name)
{
    for (size_t g = 0; g < bundle->cells.n_generators; g++)
        if (strcmp(bundle->generators[g], name) == 0)
            return fuser_bundle_known_rows(bundle, g) > 0 ? (int)g : -1;
    return -1;
}

static int find_embedder(const struct fuser_bundle *bundle, const char *name)
{
    for (size_t e = 0; e < bundle->n_embedders; e++)
        if (strcmp(bundle->embedders[e].name, name) == 0)
            return (int)e;
    return -1;
}

static enum fuser_err check_unique(const char *const *names, size_t n, const char *what,
                                   struct fuser_error *error)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(names[i], names[j]) == 0)
                return ferr_set(error, FUSER_DUPLICATE, "%s '%s' is there twice", what,
                                names[i]);
    return FUSER_OK;
}

enum fuser_err fuser_new(struct fuser_bundle *bundle, const struct fuser_names *names,
                         struct fuser **ret_fuser, struct fuser_error *error)
{
    struct fuser *fuser;
    enum fuser_err err;

    ferr_clear(error);
    if (names->n_generators > FUSER_MAX_GENERATORS)
        return ferr_set(error, FUSER_TOO_LARGE, "%zu generators: the limit is %d",
                        names->n_generators, FUSER_MAX_GENERATORS);
    if (names->n_embedders > FUSER_MAX_EMBEDDERS)
        return ferr_set(error, FUSER_TOO_LARGE, "%zu embedders: the limit is %d",
                        names->n_embedders, FUSER_MAX_EMBEDDERS);
    err = check_unique(names->generators, names->n_generators, "generator", error);
    if (!err)
        err = check_unique(names->embedders, names->n_embedders, "embedder", error);
    if (err)
        return err;
    fuser = calloc(1, sizeof *fuser);
    if (!fuser)
        return ferr_nomem(error);
    atomic_init(&fuser->references, 1);
    fuser->bundle = fuser_bundle_ref(bundle);
    fuser->n_generators = names->n_generators;
    fuser->n_embedders = names->n_embedders;
    for (size_t i = 0; i < names->n_generators; i++)
        fuser->generator_in_bundle[i] = find_generator(bundle, names->generators[i]);
    for (size_t i = 0; i < names->n_generators; i++)
        fuser->lender_in_bundle[i] =
            names->prior_like && names->prior_like[i] &&
                    strcmp(names->prior_like[i], names->generators[i]) != 0
                ? find_generator(bundle, names->prior_like[i])
                : -1;
    for (size_t i = 0; i < names->n_embedders; i++)
        fuser->embedder_in_bundle[i] = find_embedder(bundle, names->embedders[i]);
    *ret_fuser = fuser;
    return FUSER_OK;
}

struct fuser *fuser_ref(struct fuser *fuser)
{
    unsigned before =
        atomic_fetch_add_explicit(&fuser->references, 1, memory_order_relaxed);

    assert(before > 0);
    (void)before;
    return fuser;
}

void fuser_unref(struct fuser *fuser)
{
    if (!fuser ||
        atomic_fetch_sub_explicit(&fuser->references, 1, memory_order_acq_rel) != 1)
        return;
    fuser_bundle_unref(fuser->bundle);
    free(fuser);
}

const struct fuser_bundle *fuser_bundle_of(const struct fuser *fuser)
{
    return fuser->bundle;
}

bool fuser_knows_generator(const struct fuser *fuser, size_t generator)
{
    assert(generator < fuser->n_generators);
    return fuser->generator_in_bundle[generator] >= 0;
}

bool fuser_lends_to(const struct fuser *fuser, size_t generator)
{
    assert(generator < fuser->n_generators);
    return fuser->lender_in_bundle[generator] >= 0;
}

void fuser_embed(const struct fuser *fuser, size_t embedder, const char *text,
                 size_t bytes, float *ret_vector)
{
    const struct fuser_bundle *bundle = fuser->bundle;
    int e = fuser_embedder_in_bundle(fuser, embedder);
    struct glyphs glyphs;

    assert(e >= 0 && bundle->embedders[e].kind != FUSER_REMOTE);
    memset(ret_vector, 0, bundle->embedders[e].dim * sizeof *ret_vector);
    glyphs_read(&glyphs, text, bytes);
    (void)bundle_embed(bundle, (size_t)e, &glyphs, ret_vector);
}

int fuser_embedder_in_bundle(const struct fuser *fuser, size_t embedder)
{
    assert(embedder < fuser->n_embedders);
    return fuser->embedder_in_bundle[embedder];
}
