/* world.h - small made-up worlds of experts for the fuser's tests.
 *
 * Prompts of a domain use its own words; generator d is good in domain d; the remote embedder
 * "remote" sees the domain, with noise. Everything follows from the seed.
 */
#ifndef TESTS_UNIT_FUSER_WORLD_H
#define TESTS_UNIT_FUSER_WORLD_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuser/fuser.h"
#include "fuser/random.h"

#define WORLD_DOMAINS    4
#define WORLD_GENERATORS 4
#define WORLD_DIM        20
#define WORLD_EMBEDDERS  3

static const char *const world_generators[WORLD_GENERATORS] = { "algebra", "biology",
                                                                "code", "drama" };
static const char *const world_embedders[WORLD_EMBEDDERS] = { "lexical", "remote",
                                                              "surface" };
static const char *const world_words[WORLD_DOMAINS][6] = {
    { "solve", "equation", "factor", "polynomial", "integer", "root" },
    { "cell", "membrane", "protein", "enzyme", "species", "organ" },
    { "return", "function", "array", "loop", "pointer", "string" },
    { "theatre", "actor", "scene", "tragedy", "dialogue", "stage" },
};

struct world_prompt {
    char text[256];
    size_t bytes;
    unsigned domain;
    float vector[WORLD_DIM];
};

static inline double world_uniform(struct rng *rng)
{
    return (double)(rng_next(rng) >> 11) / 9007199254740992.0;
}

static inline struct world_prompt world_prompt(struct rng *rng)
{
    struct world_prompt prompt = { .domain = rng_next(rng) % WORLD_DOMAINS };
    size_t words = 4 + rng_next(rng) % 12;

    for (size_t i = 0; i < words; i++)
        prompt.bytes += (size_t)snprintf(
            prompt.text + prompt.bytes, sizeof prompt.text - prompt.bytes, "%s%s",
            i ? " " : "", world_words[prompt.domain][rng_next(rng) % 6]);
    for (size_t d = 0; d < WORLD_DIM; d++)
        prompt.vector[d] =
            (float)(world_uniform(rng) - 0.5 + (d % WORLD_DOMAINS == prompt.domain));
    return prompt;
}

/* Quality is 0 or 1: right nine times in ten in the generator's own domain, else four. */
static inline struct fuser_cell world_cell(struct rng *rng, unsigned domain, size_t g)
{
    return (struct fuser_cell){
        .quality = world_uniform(rng) < (g == domain ? 0.9 : 0.4),
        .input_tokens = 20,
        .output_tokens = (float)(50 + rng_next(rng) % 100),
        .latency_ms = 100.0f * (float)(g + 1),
    };
}

static inline void world_embedder_infos(struct fuser_embedder_info infos[WORLD_EMBEDDERS])
{
    static const enum fuser_embedder_kind kinds[] = { FUSER_LEXICAL, FUSER_REMOTE,
                                                      FUSER_SURFACE };

    memset(infos, 0, WORLD_EMBEDDERS * sizeof *infos);
    for (size_t e = 0; e < WORLD_EMBEDDERS; e++) {
        (void)snprintf(infos[e].name, sizeof infos[e].name, "%s", world_embedders[e]);
        infos[e].kind = kinds[e];
    }
    (void)snprintf(infos[1].model, sizeof infos[1].model, "embed-small");
    infos[1].dim = WORLD_DIM;
}

/* n rows; a share of the cells is missing. `order`: a permutation of 0..n-1 in which they are
 * added, or NULL. */
static inline struct fuser_rows *world_rows(size_t n, double missing, bool labels,
                                            const uint32_t *order)
{
    struct fuser_embedder_info infos[WORLD_EMBEDDERS];
    struct fuser_rows *rows = NULL;
    struct fuser_error error;

    world_embedder_infos(infos);
    assert_int_equal(fuser_rows_new(world_generators, WORLD_GENERATORS, infos,
                                    WORLD_EMBEDDERS, &rows, &error),
                     FUSER_OK);
    for (size_t i = 0; i < n; i++) {
        uint32_t which = order ? order[i] : (uint32_t)i;
        struct rng rng = rng_seeded(which * 7919u);
        struct world_prompt prompt = world_prompt(&rng);
        char id[32], domain[32];
        size_t row;

        (void)snprintf(id, sizeof id, "row%06u", which);
        (void)snprintf(domain, sizeof domain, "domain%u", prompt.domain);
        assert_int_equal(fuser_rows_add(rows, id, labels ? domain : NULL, prompt.text,
                                        prompt.bytes, &row, &error),
                         FUSER_OK);
        assert_int_equal(
            fuser_rows_set_vector(rows, row, 1, prompt.vector, WORLD_DIM, &error),
            FUSER_OK);
        for (size_t g = 0; g < WORLD_GENERATORS; g++) {
            struct fuser_cell cell = world_cell(&rng, prompt.domain, g);

            if (world_uniform(&rng) >= missing)
                assert_int_equal(fuser_rows_set_cell(rows, row, g, &cell, &error),
                                 FUSER_OK);
        }
    }
    return rows;
}

static inline struct fuser_bundle *world_build(const struct fuser_rows *rows)
{
    struct fuser_build how = {
        .k = 20, .walk_m = 20, .prior_rows = 10, .seed = 7, .text_version = "text@1"
    };
    struct fuser_bundle *bundle = NULL;
    struct fuser_error error;

    assert_int_equal(fuser_bundle_build(rows, &how, &bundle, &error), FUSER_OK);
    return bundle;
}

static inline struct fuser_bundle *world_bundle(size_t n, double missing)
{
    struct fuser_rows *rows = world_rows(n, missing, true, NULL);
    struct fuser_bundle *bundle = world_build(rows);

    fuser_rows_free(rows);
    return bundle;
}

static inline struct fuser *world_fuser(struct fuser_bundle *bundle)
{
    struct fuser_names names = { world_generators, WORLD_GENERATORS, world_embedders,
                                 WORLD_EMBEDDERS, NULL };
    struct fuser *fuser = NULL;
    struct fuser_error error;

    assert_int_equal(fuser_new(bundle, &names, &fuser, &error), FUSER_OK);
    return fuser;
}

/* What a request asks for; the test changes what it is about. */
struct world_ask {
    struct fuser_ask ask;
    struct fuser_ask_generator generators[WORLD_GENERATORS];
    struct fuser_ask_embedder embedders[WORLD_EMBEDDERS];
};

static inline void world_ask(struct world_ask *ask, const struct world_prompt *prompt)
{
    memset(ask, 0, sizeof *ask);
    ask->ask = (struct fuser_ask){ .lambda = 10,
                                   .ceiling_pico = INT64_MAX,
                                   .text = prompt->text,
                                   .text_bytes = prompt->bytes,
                                   .generators = ask->generators,
                                   .embedders = ask->embedders };
    for (size_t g = 0; g < WORLD_GENERATORS; g++)
        ask->generators[g] =
            (struct fuser_ask_generator){ .allowed = true,
                                          .prompt_pico = 1000000 * (int64_t)(g + 1),
                                          .input_pico = 50000 * (int64_t)(g + 1),
                                          .output_pico = 1000000 * (int64_t)(g + 1),
                                          .worst_pico = 1000000000 * (int64_t)(g + 1) };
    for (size_t e = 0; e < WORLD_EMBEDDERS; e++)
        ask->embedders[e] =
            (struct fuser_ask_embedder){ .allowed = true,
                                         .price_pico = e == 1 ? 1000000 : 0 };
}

/* Walks to the end; a remote embedder gets the prompt's vector and what it asked. */
static inline struct fuser_session *world_walk(struct fuser *fuser,
                                               const struct world_ask *ask,
                                               const struct world_prompt *prompt)
{
    struct fuser_session *session = NULL;
    struct fuser_step step;
    struct fuser_error error;

    assert_int_equal(fuser_session_new(fuser, &ask->ask, &session, &error), FUSER_OK);
    for (fuser_next(&session, 1, &step); step.action == FUSER_QUERY;
         fuser_next(&session, 1, &step)) {
        assert_int_equal(step.embedder, 1);
        assert_int_equal(fuser_tell(session, 1, prompt->vector, WORLD_DIM,
                                    ask->embedders[1].price_pico, 1, &error),
                         FUSER_OK);
    }
    return session;
}

#endif
