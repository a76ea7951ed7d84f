/* seed_bundle.c - the bundles that fuzzing starts from: seed_bundle FOLDER
 *
 * One small file for each head, each kind of embedder, domain and index. `make corpus` writes them
 * again after the layout of the file changed: seeds of an earlier version only show that they are refused.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuser/bundle.h"
#include "fuser/random.h"

#define ROWS       40
#define GENERATORS 2
#define DIM        4

static const struct seed {
    const char *file, *head;
    size_t remote; /* remote embedders */
    bool surface, labels;
    size_t rows, flat_rows;
    bool graph;    /* instead of lists */
    bool attached; /* with an origin and what belongs to the texts */
} seeds[] = {
    { "one_remote", "knn", 1, false, true, 12, 0, false, false },
    { "two_remote_and_surface", "blend", 2, true, true, 12, 0, false, false },
    { "surface_without_labels", "knn", 0, true, false, 12, 0, false, false },
    { "attached", "domain", 1, false, true, 6, 0, false, true },
    { "clusters", "domain", 1, false, false, 90, 0, false, false },
    { "ridge", "ridge", 1, false, true, 12, 0, false, false },
    { "logistic", "logistic", 1, false, true, 12, 0, false, false },
    { "mlp", "mlp", 1, false, true, 12, 0, false, false },
    { "metric", "metric", 1, false, true, 12, 0, false, false },
    { "ivf", "blend", 2, false, true, ROWS, 1, false, false },
    { "hnsw", "knn", 1, false, true, ROWS, 1, true, false },
};

static void check(enum fuser_err err, const struct fuser_error *error)
{
    if (err == FUSER_OK)
        return;
    fprintf(stderr, "seed_bundle: %s\n", error->text);
    exit(1);
}

static float even(struct rng *rng)
{
    return (float)(rng_next(rng) >> 40) / 16777216.0f;
}

static void add_row(struct fuser_rows *rows, const struct seed *seed, struct rng *rng,
                    size_t i)
{
    char id[32], text[64];
    struct fuser_error error;
    float vector[DIM];
    size_t row;
    int bytes;

    (void)snprintf(id, sizeof id, "r%02zu", i);
    bytes = snprintf(text, sizeof text, "%s %u of them?", i % 2 ? "how many" : "Tell me",
                     (unsigned)(rng_next(rng) % 1000));
    check(fuser_rows_add(rows, id,
                         !seed->labels ? NULL
                         : i % 2       ? "d"
                                       : "e",
                         text, (size_t)bytes, &row, &error),
          &error);
    for (size_t e = 0; e < seed->remote; e++) {
        for (size_t d = 0; d < DIM; d++)
            vector[d] = even(rng) - 0.5f + (d == i % 2 ? 1.0f : 0.0f);
        check(fuser_rows_set_vector(rows, row, e, vector, DIM, &error), &error);
    }
    for (size_t g = 0; g < GENERATORS; g++) {
        struct fuser_cell cell = { even(rng) < 0.6f ? 1.0f : 0.0f, 10, 20 * even(rng),
                                   g == 0 ? 100.0f : NAN };

        if (even(rng) < 0.9f)
            check(fuser_rows_set_cell(rows, row, g, &cell, &error), &error);
    }
}

static struct fuser_rows *rows_of(const struct seed *seed)
{
    static const char *const generators[GENERATORS] = { "g", "h" };
    struct fuser_embedder_info infos[4] = { 0 };
    struct rng rng = rng_seeded(seed->rows + seed->remote);
    struct fuser_rows *rows;
    struct fuser_error error;
    size_t n = 0;

    for (; n < seed->remote; n++)
        (void)snprintf(infos[n].name, sizeof infos[n].name, "remote%zu", n);
    if (seed->surface)
        infos[n++] =
            (struct fuser_embedder_info){ .name = "surface", .kind = FUSER_SURFACE };
    check(fuser_rows_new(generators, GENERATORS, infos, n, &rows, &error), &error);
    for (size_t i = 0; i < seed->rows; i++)
        add_row(rows, seed, &rng, i);
    return rows;
}

/* No build chooses a graph for so few rows. */
static void take_graph(struct fuser_bundle *bundle)
{
    struct approx_data data = { index_vectors(bundle->index[0]), DIM,
                                bundle->approx[0]->rows, bundle->approx[0]->n };
    struct approx *graph;
    struct fuser_error error;

    check(approx_fit(&data, APPROX_GRAPH, DIM, 1, &graph, &error), &error);
    check(approx_tune(graph, 100, &error), &error);
    approx_free(bundle->approx[0]);
    bundle->approx[0] = graph;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: seed_bundle FOLDER\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        struct fuser_rows *rows = rows_of(&seeds[i]);
        struct fuser_build how = { .head = seeds[i].head,
                                   .k = 3,
                                   .walk_m = 3,
                                   .prior_rows = 2,
                                   .flat_rows = seeds[i].flat_rows,
                                   .origin = seeds[i].attached ? "{\"a\": 1}" : NULL,
                                   .text_extra = "ab",
                                   .text_extra_bytes = seeds[i].attached ? 2 : 0 };
        struct fuser_bundle *bundle;
        struct fuser_error error;
        char path[512];

        check(fuser_bundle_build(rows, &how, &bundle, &error), &error);
        if (seeds[i].graph)
            take_graph(bundle);
        (void)snprintf(path, sizeof path, "%s/%s", argv[1], seeds[i].file);
        check(fuser_bundle_save(bundle, path, &error), &error);
        fuser_bundle_unref(bundle);
        fuser_rows_free(rows);
    }
    return 0;
}
