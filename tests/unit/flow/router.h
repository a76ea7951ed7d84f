/* router.h - a bundle, a configuration and a snapshot in a folder of their own.
 *
 * Prompts of two kinds share no words: "sum ..." is what `mathy` gets right, "poem ..."
 * what `poet` does. `sage` is not in the bundle. The embedder "remote" sees the kind.
 */
#ifndef TESTS_UNIT_FLOW_ROUTER_H
#define TESTS_UNIT_FLOW_ROUTER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuser/fuser.h"
#include "gateway/domain/routing_text.h"
#include "gateway/flow/snapshot.h"

#define ROUTER_ROWS 120
#define ROUTER_DIM  4

enum { MATHY, POET, SAGE };

struct router {
    char folder[64];
    char config[96], bundle[96];
    char more[256]; /* experts of the test's own, each behind a comma; may be empty */
};

static inline void router_vector(size_t row, float *ret_vector)
{
    for (size_t d = 0; d < ROUTER_DIM; d++)
        ret_vector[d] = (d == row % 2 ? 1.0f : 0.0f) + 0.05f * (float)((row * 7 + d) % 5);
}

static inline void router_text(size_t row, char *ret_text, size_t bytes)
{
    static const char *const sums[] = { "add", "subtract", "multiply", "divide" };
    static const char *const poems[] = { "ballad", "sonnet", "haiku", "verse" };

    if (row % 2 == 0)
        snprintf(ret_text, bytes, "sum %s the numbers %s carefully", sums[row / 2 % 4],
                 sums[row / 3 % 4]);
    else
        snprintf(ret_text, bytes, "poem %s about moonlight in %s form",
                 poems[row / 2 % 4], poems[row / 3 % 4]);
}

/* embedders: "lexical" or "remote". */
static inline void router_build(struct router *router, const char *embedder)
{
    static const char *const generators[] = { "mathy", "poet" };
    struct fuser_embedder_info info = { .kind = FUSER_LEXICAL, .dim = 0 };
    struct fuser_build how = { .prior_rows = -1, .text_version = ROUTING_TEXT_VERSION };
    struct fuser_error error = { 0 };
    struct fuser_bundle *bundle;
    struct fuser_rows *rows;
    bool remote = strcmp(embedder, "remote") == 0;

    snprintf(router->folder, sizeof router->folder, "/tmp/frugal-flow-XXXXXX");
    assert_non_null(mkdtemp(router->folder));
    snprintf(router->config, sizeof router->config, "%s/config.json", router->folder);
    snprintf(router->bundle, sizeof router->bundle, "%s/bundle.frugal", router->folder);
    snprintf(info.name, sizeof info.name, "%s", embedder);
    snprintf(info.model, sizeof info.model, "%s", remote ? "embed" : "");
    if (remote) {
        info.kind = FUSER_REMOTE;
        info.dim = ROUTER_DIM;
    }
    assert_int_equal(fuser_rows_new(generators, 2, &info, 1, &rows, &error), FUSER_OK);
    for (size_t i = 0; i < ROUTER_ROWS; i++) {
        float vector[ROUTER_DIM];
        char id[16], text[128];
        size_t row;

        snprintf(id, sizeof id, "row-%zu", i);
        router_text(i, text, sizeof text);
        assert_int_equal(fuser_rows_add(rows, id, i % 2 == 0 ? "sums" : "poems", text,
                                        strlen(text), &row, &error),
                         FUSER_OK);
        for (size_t g = 0; g < 2; g++) {
            struct fuser_cell cell = { .quality = i % 2 == g ? 1.0f : 0.0f,
                                       .input_tokens = 10,
                                       .output_tokens = 20,
                                       .latency_ms = 100 };

            assert_int_equal(fuser_rows_set_cell(rows, row, g, &cell, &error), FUSER_OK);
        }
        router_vector(i, vector);
        if (remote)
            assert_int_equal(
                fuser_rows_set_vector(rows, row, 0, vector, ROUTER_DIM, &error),
                FUSER_OK);
    }
    assert_int_equal(fuser_bundle_build(rows, &how, &bundle, &error), FUSER_OK);
    assert_int_equal(fuser_bundle_save(bundle, router->bundle, &error), FUSER_OK);
    fuser_bundle_unref(bundle);
    fuser_rows_free(rows);
}

/* port: of the remote embedder. rest: further top-level members, each after a comma. */
static inline struct snapshot *router_load(const struct router *router,
                                           const char *embedder, unsigned port,
                                           const char *rest)
{
    struct snapshot_error error = { .text = "" };
    struct snapshot *snapshot = NULL;
    FILE *file = fopen(router->config, "w");

    assert_non_null(file);
    fprintf(file, "{\"listen\":\"127.0.0.1:0\",\"experts\":{");
    for (size_t i = 0; i < 3; i++)
        fprintf(file,
                "\"%s\":{\"endpoints\":[\"http://127.0.0.1:%u/v1\"],\"generator\":{"
                "\"model\":\"m\",\"price\":{\"input\":1,\"output\":1}}},",
                i == MATHY  ? "mathy"
                : i == POET ? "poet"
                            : "sage",
                port);
    fprintf(file,
            "\"remote\":{\"endpoints\":[\"http://127.0.0.1:%u/v1\"],\"embedding\":{"
            "\"model\":\"embed\",\"dim\":4,\"price\":0.01}}%s},\"embedders\":[\"%s\"],"
            "\"policies\":{\"auto\":{\"value_usd\":1,\"default\":\"sage\","
            "\"max_output_tokens\":100,\"decision_deadline_ms\":100}}%s}",
            port, router->more, embedder, rest);
    fclose(file);
    if (snapshot_load(router->config, 1, NULL, NULL, &snapshot, &error) != ERR_OK)
        fail_msg("%s", error.text);
    return snapshot;
}

static inline void router_remove(const struct router *router)
{
    (void)unlink(router->config);
    (void)unlink(router->bundle);
    (void)rmdir(router->folder);
}

#endif
