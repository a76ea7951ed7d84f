/* Missing cells: what a row's known ones say of them, and that nothing is made up. */
#include <math.h>
#include <stdlib.h>

#include "fuser/bundle.h"
#include "tests/unit/fuser/world.h"

#define N 400
#define G 4

/* Generator g is right on the `skill[g]` easiest share of the prompts: how hard a prompt is tells nearly all. */
static const double skill[G] = { 0.3, 0.5, 0.6, 0.8 };

struct plant {
    float quality[N * G], truth[N * G], input[N * G], output[N * G], latency[N * G];
    uint32_t domain_of[N];
    struct cells cells;
    struct prior prior;
    struct fill *fill;
};

/* share: of the cells that are missing; silent: a generator that nobody recorded, or G. */
static struct plant *planted(double share, size_t silent)
{
    struct plant *plant = calloc(1, sizeof *plant);
    struct rng rng = rng_seeded(3);

    for (size_t i = 0; i < N; i++) {
        double hard = (double)(rng_next(&rng) >> 40) / 16777216.0;

        for (size_t g = 0; g < G; g++) {
            size_t cell = i * G + g;
            double missing = (double)(rng_next(&rng) >> 40) / 16777216.0;

            plant->truth[cell] = hard < skill[g] ? 1 : 0;
            plant->quality[cell] =
                missing < share || g == silent ? NAN : plant->truth[cell];
            plant->input[cell] = plant->output[cell] = plant->latency[cell] = 1;
        }
    }
    plant->cells = (struct cells){ .n = N,
                                   .n_generators = G,
                                   .quality = plant->quality,
                                   .input = plant->input,
                                   .output = plant->output,
                                   .latency = plant->latency };
    assert_int_equal(prior_init(&plant->prior, &plant->cells, plant->domain_of, 1),
                     FUSER_OK);
    assert_int_equal(fill_cells(&plant->cells, &plant->prior, &plant->fill), FUSER_OK);
    return plant;
}

static void uproot(struct plant *plant)
{
    prior_release(&plant->prior);
    free(plant->cells.likely);
    free(plant->cells.worth);
    free(plant->fill);
    free(plant);
}

static void nothing_is_filled_where_nothing_is_missing(void **state)
{
    struct plant *plant = planted(0, G);

    (void)state;
    assert_null(plant->fill);
    assert_null(plant->cells.likely);
    assert_null(plant->cells.worth);
    uproot(plant);
}

static void a_missing_cell_is_expected_by_the_others_of_its_row(void **state)
{
    struct plant *plant = planted(0.5, G);
    double near = 0, mean = 0, n = 0;

    (void)state;
    assert_non_null(plant->fill);
    for (size_t cell = 0; cell < N * G; cell++) {
        double worth, said = cells_quality(&plant->cells, cell, &worth);
        double truth = (double)plant->truth[cell], off = truth - skill[cell % G];

        if (!isnan(plant->quality[cell])) {
            assert_true(worth == 1 && said == (double)plant->quality[cell]);
            continue;
        }
        assert_true(worth >= 0 && worth < 1);
        if (worth <= 0)
            continue;
        assert_true(said >= 0 && said <= 1);
        near += (said - truth) * (said - truth);
        mean += off * off;
        n += 1;
    }
    assert_true(n > N);
    /* One factor cannot tell steps, but a good part of what the generator's mean leaves open. */
    assert_true(near < 0.75 * mean);
    uproot(plant);
}

static void nothing_is_made_up_of_a_row_or_a_generator_that_nobody_knows(void **state)
{
    struct plant *plant = planted(0.6, 2);
    size_t empty = 0;

    (void)state;
    assert_true(plant->fill->load[2] <= 0);
    for (size_t i = 0; i < N; i++) {
        size_t known = 0;
        double worth;

        for (size_t g = 0; g < G; g++)
            known += !isnan(plant->quality[i * G + g]);
        assert_true(isnan(cells_quality(&plant->cells, i * G + 2, &worth)));
        assert_true(worth <= 0);
        for (size_t g = 0; known == 0 && g < G; g++) {
            assert_true(isnan(cells_quality(&plant->cells, i * G + g, &worth)));
            assert_true(worth <= 0);
        }
        empty += known == 0;
    }
    assert_true(empty > 0);
    uproot(plant);
}

/* Which rows happen to be known says nothing of how good a generator is. */
static void
a_generator_that_was_asked_the_hard_prompts_is_not_taken_for_a_bad_one(void **state)
{
    struct plant *plant = planted(0, G);
    struct prior_mean known, filled;

    (void)state;
    for (size_t i = 0; i < N; i++)
        if (plant->truth[i * G + 1] > 0 && i % 4 > 0) /* generator 3 saw few easy ones */
            plant->quality[i * G + 3] = NAN;
    prior_release(&plant->prior);
    assert_int_equal(prior_init(&plant->prior, &plant->cells, plant->domain_of, 1),
                     FUSER_OK);
    known = prior_expect(&plant->prior, NULL, 0, 3, KERNEL_NO_ROW);
    assert_int_equal(fill_cells(&plant->cells, &plant->prior, &plant->fill), FUSER_OK);
    prior_release(&plant->prior);
    assert_int_equal(prior_init(&plant->prior, &plant->cells, plant->domain_of, 1),
                     FUSER_OK);
    filled = prior_expect(&plant->prior, NULL, 0, 3, KERNEL_NO_ROW);
    assert_true(known.quality < 0.7);
    assert_true(filled.quality > known.quality + 0.01);
    uproot(plant);
}

static void estimates_of_fewer_cells_are_less_certain(void **state)
{
    static const char *const heads[] = { "knn",    "domain", "ridge",
                                         "metric", "blend",  "logistic" };

    (void)state;
    for (size_t h = 0; h < sizeof heads / sizeof *heads; h++) {
        double se[2] = { 0, 0 };

        for (int sparse = 0; sparse < 2; sparse++) {
            struct fuser_rows *rows = world_rows(300, sparse ? 0.8 : 0, true, NULL);
            struct fuser_build how = { .head = heads[h], .k = 80, .prior_rows = 10 };
            struct fuser_bundle *bundle = NULL;
            struct rng rng = rng_seeded(9);
            struct fuser *fuser;

            assert_int_equal(fuser_bundle_build(rows, &how, &bundle, NULL), FUSER_OK);
            fuser = world_fuser(bundle);
            for (size_t i = 0; i < 20; i++) {
                struct world_prompt prompt = world_prompt(&rng);
                struct fuser_session *session;
                struct fuser_verdict verdict;
                struct world_ask ask;

                world_ask(&ask, &prompt);
                session = world_walk(fuser, &ask, &prompt);
                fuser_verdict(session, INT64_MAX, &verdict);
                for (size_t r = 0; r < verdict.n_ranked; r++) {
                    assert_true(verdict.ranked[r].quality >= 0 &&
                                verdict.ranked[r].quality <= 1);
                    assert_true(verdict.ranked[r].quality_se > 0);
                    se[sparse] += verdict.ranked[r].quality_se;
                }
                fuser_session_free(session);
            }
            fuser_unref(fuser);
            fuser_bundle_unref(bundle);
            fuser_rows_free(rows);
        }
        if (se[1] <= 1.1 * se[0])
            print_error("head %s: %g dense, %g sparse\n", heads[h], se[0], se[1]);
        assert_true(se[1] > 1.1 * se[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_filled_where_nothing_is_missing),
        cmocka_unit_test(a_missing_cell_is_expected_by_the_others_of_its_row),
        cmocka_unit_test(nothing_is_made_up_of_a_row_or_a_generator_that_nobody_knows),
        cmocka_unit_test(
            a_generator_that_was_asked_the_hard_prompts_is_not_taken_for_a_bad_one),
        cmocka_unit_test(estimates_of_fewer_cells_are_less_certain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
