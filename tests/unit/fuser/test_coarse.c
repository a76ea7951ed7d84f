/* The coarse scan keeps its promise, and a walk on it finds exactly what an exact scan finds. */
#include "fuser/bundle.h"
#include "fuser/coarse.h"
#include "fuser/nearest.h"
#include "tests/unit/fuser/world.h"

/* Rows of unit length: smooth, spiky, one-hot, equal, and zero. */
static float *rows_of(struct rng *rng, size_t n, size_t dim)
{
    float *rows = calloc(n, dim * sizeof *rows);

    assert_non_null(rows);
    for (size_t i = 0; i < n; i++) {
        float *row = rows + i * dim;

        for (size_t d = 0; d < dim; d++) {
            double u = world_uniform(rng) - 0.5;

            row[d] = (float)(i % 5 == 1 ? u * u * u * u * u : u);
        }
        if (i % 5 == 2)
            memset(row, 0, dim * sizeof *row);
        if (i % 5 == 2 && i % 2)
            row[i % dim] = -1;
        (void)kernel_unit(row, dim);
    }
    return rows;
}

static void a_coarse_distance_is_within_its_error(void **state)
{
    static const size_t dims[] = { 1, 2, 18, 63, 64, 65, 128, 384, 1536, FUSER_MAX_DIM };
    struct rng rng = rng_seeded(1);

    (void)state;
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
        size_t dim = dims[d], n = 30;
        float *rows = rows_of(&rng, n, dim);
        int16_t *code = calloc(coarse_width(dim), sizeof *code);
        struct coarse coarse;

        assert_int_equal(coarse_init(&coarse, rows, n, dim), FUSER_OK);
        for (size_t q = 0; q < n; q++) {
            float exact[30] = { 0 }, nearly[30] = { 0 };
            struct coarse_query query;

            if (q % 10 == 2)
                continue; /* a row of zeros is not a query */
            coarse_ask(&coarse, rows + q * dim, code, &query);
            kernel_l2_add(rows, n, dim, rows + q * dim, exact);
            coarse_add(&coarse, 0, 20, &query, nearly);
            coarse_add(&coarse, 20, 10, &query, nearly + 20);
            for (size_t i = 0; i < n; i++)
                if (i % 10 != 2)
                    assert_true(fabs((double)exact[i] - (double)nearly[i]) <=
                                query.error);
            assert_true(query.error < 0.1);
        }
        coarse_release(&coarse);
        free(rows);
        free(code);
    }
}

static void every_machine_has_the_same_sums(void **state)
{
    static const size_t dims[] = { 1, 64, 65, 128, 384, FUSER_MAX_DIM };
    struct rng rng = rng_seeded(7);

    (void)state;
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
        for (size_t n = 1; n < 40; n += 1 + n / 3) {
            size_t dim = dims[d];
            float *rows = rows_of(&rng, n, dim), quick[40], plain[40];
            int16_t *code = calloc(coarse_width(dim), sizeof *code);
            struct coarse_query query;
            struct coarse coarse;

            assert_int_equal(coarse_init(&coarse, rows, n, dim), FUSER_OK);
            coarse_ask(&coarse, rows, code, &query);
            for (size_t first = 0; first < n; first += 3) {
                for (size_t i = 0; i < 40; i++)
                    quick[i] = plain[i] = (float)i;
                coarse_add(&coarse, first, n - first, &query, quick);
                coarse_add_plain(&coarse, first, n - first, &query, plain);
                assert_memory_equal(quick, plain, sizeof plain);
            }
            coarse_release(&coarse);
            free(rows);
            free(code);
        }
}

/* The extremes of every code at once: the longest sums that there may be. */
static void the_longest_sum_fits(void **state)
{
    size_t dim = FUSER_MAX_DIM;
    float *row = calloc(dim, sizeof *row), quick = 0, plain = 0;
    int16_t *code = calloc(coarse_width(dim), sizeof *code);
    struct coarse_query query;
    struct coarse coarse;

    (void)state;
    for (size_t d = 0; d < dim; d++)
        row[d] = 1;
    assert_true(kernel_unit(row, dim));
    assert_int_equal(coarse_init(&coarse, row, 1, dim), FUSER_OK);
    coarse_ask(&coarse, row, code, &query);
    coarse_add(&coarse, 0, 1, &query, &quick);
    coarse_add_plain(&coarse, 0, 1, &query, &plain);
    assert_true(quick == plain);
    assert_true(fabsf(quick) < 1e-3f);
    coarse_release(&coarse);
    free(row);
    free(code);
}

/* The neighbours that a session must have, by an exact scan of everything. */
static void check_neighbours(const struct fuser_bundle *bundle,
                             const struct fuser_verdict *v,
                             const struct world_prompt *prompt)
{
    size_t n = bundle->cells.n;
    float sum[1000] = { 0 }, vector[3][256];
    struct near near[FUSER_MAX_NEIGHBOURS];
    struct glyphs glyphs;
    float bought = 0;
    size_t found;

    glyphs_read(&glyphs, prompt->text, prompt->bytes);
    for (size_t e = 0; e < WORLD_EMBEDDERS; e++) {
        float one[1000] = { 0 };
        bool used = false;

        for (size_t s = 0; s < v->n_steps; s++)
            used |= v->steps[s].embedder == (int)e;
        if (!used)
            continue;
        if (e == 1) {
            memcpy(vector[e], prompt->vector, sizeof prompt->vector);
            assert_true(kernel_unit(vector[e], WORLD_DIM));
        } else {
            assert_true(bundle_embed(bundle, e, &glyphs, vector[e]));
        }
        bundle_distances(bundle, e, 0, n, vector[e], one);
        for (size_t i = 0; i < n; i++)
            sum[i] += one[i];
        bought++;
    }
    found = nearest_exact(sum, n, v->n_neighbours, KERNEL_NO_ROW, near);
    assert_int_equal(found, v->n_neighbours);
    for (size_t i = 0; i < found; i++) {
        assert_string_equal(v->neighbours[i].id, bundle_name(&bundle->ids, near[i].row));
        assert_true(fabsf(v->neighbours[i].distance - near[i].distance / bought) < 1e-6f);
    }
}

/* Makes the tables say that two embedders together leave nothing to wish for. */
static void make_pairs_perfect(struct fuser_bundle *bundle)
{
    struct loo *loo = &bundle->loo;

    for (uint32_t subset = 1; subset <= loo->n_subsets; subset++)
        for (size_t i = 0; i < loo->n_rows * loo->n_generators; i++)
            if (__builtin_popcount(subset) > 1)
                loo->quality[(subset - 1) * loo->n_rows * loo->n_generators + i] =
                    bundle->cells.quality[i];
}

static void a_walk_finds_the_neighbours_of_an_exact_scan(void **state)
{
    struct fuser_bundle *bundle = world_bundle(900, 0);
    struct fuser *fuser = world_fuser(bundle);
    struct rng rng = rng_seeded(2);
    size_t twice = 0;

    (void)state;
    make_pairs_perfect(bundle);
    for (size_t i = 0; i < 150; i++) {
        struct world_prompt prompt = world_prompt(&rng);
        struct fuser_session *session;
        struct fuser_verdict verdict;
        struct world_ask ask;

        world_ask(&ask, &prompt);
        ask.ask.lambda = 0;
        for (size_t e = 0; e < WORLD_EMBEDDERS; e++)
            ask.embedders[e].allowed = i % 3 == 2 || e == i % 3;
        session = world_walk(fuser, &ask, &prompt);
        fuser_verdict(session, INT64_MAX, &verdict);
        if (verdict.n_steps > 1)
            check_neighbours(bundle, &verdict, &prompt);
        twice += verdict.n_steps > 2;
        fuser_session_free(session);
    }
    assert_true(twice > 0); /* sums over more than one embedder were among them */
    fuser_unref(fuser);
    fuser_bundle_unref(bundle);
}

/* Every third row has no remote vector: under "remote" it is nobody's neighbour. */
static void a_row_without_the_vector_is_no_neighbour(void **state)
{
    struct fuser_rows *rows = NULL;
    struct fuser_embedder_info infos[WORLD_EMBEDDERS];
    struct fuser_bundle *bundle;
    struct rng rng = rng_seeded(3);

    (void)state;
    world_embedder_infos(infos);
    assert_int_equal(fuser_rows_new(world_generators, WORLD_GENERATORS, infos,
                                    WORLD_EMBEDDERS, &rows, NULL),
                     FUSER_OK);
    for (size_t i = 0; i < 90; i++) {
        struct world_prompt prompt = world_prompt(&rng);
        struct fuser_cell cell = { 1, 1, 1, 1 };
        char id[16];
        size_t row;

        (void)snprintf(id, sizeof id, "%s%zu", i % 3 ? "has" : "lacks", i);
        assert_int_equal(
            fuser_rows_add(rows, id, "d", prompt.text, prompt.bytes, &row, NULL),
            FUSER_OK);
        assert_int_equal(fuser_rows_set_cell(rows, row, i % 4, &cell, NULL), FUSER_OK);
        if (i % 3)
            assert_int_equal(
                fuser_rows_set_vector(rows, row, 1, prompt.vector, WORLD_DIM, NULL),
                FUSER_OK);
    }
    bundle = world_build(rows);
    assert_int_equal(bundle->n_missing[1], 30);
    for (size_t i = 0; i < 40; i++) {
        struct world_prompt prompt = world_prompt(&rng);
        float distance[90] = { 0 };
        struct near near[90];

        assert_true(kernel_unit(prompt.vector, WORLD_DIM));
        bundle_distances(bundle, 1, 0, 50, prompt.vector, distance);
        bundle_distances(bundle, 1, 50, 40, prompt.vector, distance + 50);
        assert_int_equal(nearest_exact(distance, 90, 90, KERNEL_NO_ROW, near), 60);
        for (size_t n = 0; n < 60; n++)
            assert_memory_equal(bundle_name(&bundle->ids, near[n].row), "has", 3);
    }
    /* Its line in the tables is the prior's, and a number. */
    for (size_t i = 0; i < bundle->loo.n_subsets * 90 * WORLD_GENERATORS; i++)
        assert_true(isfinite(bundle->loo.tokens[i]));
    fuser_bundle_unref(bundle);
    fuser_rows_free(rows);
}

static void a_scan_leaves_out_the_same_rows(void **state)
{
    struct rng rng = rng_seeded(4);
    struct fuser_bundle *bundle = world_bundle(64, 0);
    struct world_prompt prompt = world_prompt(&rng);
    uint32_t *missing = calloc(64, sizeof *missing);
    int16_t code[64];
    struct coarse_query query;
    float nearly[64] = { 0 };

    (void)state;
    assert_non_null(missing);
    assert_true(kernel_unit(prompt.vector, WORLD_DIM));
    missing[0] = 0;
    missing[1] = 31;
    missing[2] = 63;
    free(bundle->missing[1]);
    bundle->missing[1] = missing;
    bundle->n_missing[1] = 3;
    coarse_ask(&bundle->coarse[1], prompt.vector, code, &query);
    for (size_t first = 0; first < 64; first += 32)
        bundle_scan(bundle, 1, first, 32, &query, nearly + first);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(isinf(nearly[i]) != 0, i == 0 || i == 31 || i == 63);
    assert_false(bundle_has_vector(bundle, 1, 31));
    assert_true(bundle_has_vector(bundle, 1, 32));
    fuser_bundle_unref(bundle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_coarse_distance_is_within_its_error),
        cmocka_unit_test(every_machine_has_the_same_sums),
        cmocka_unit_test(the_longest_sum_fits),
        cmocka_unit_test(a_walk_finds_the_neighbours_of_an_exact_scan),
        cmocka_unit_test(a_row_without_the_vector_is_no_neighbour),
        cmocka_unit_test(a_scan_leaves_out_the_same_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
