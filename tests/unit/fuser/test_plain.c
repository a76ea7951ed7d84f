/* Where rows left out do not tell that the blend knows more than domains, domains decide. */
#include <unistd.h>

#include "fuser/bundle.h"
#include "fuser/bundle_file.h"
#include "tests/unit/fuser/world.h"

#define DIM 4

/* What generators differ by. Vectors: a domain each for two numbers, how easy, and a matter of its own. */
enum matter { BY_DOMAIN, BY_MATTER };

static double chance(enum matter matter, unsigned domain, size_t g, const float *v)
{
    bool own = matter == BY_DOMAIN ? g == domain : (g == 0) == (v[3] > 0);

    return (own ? 0.6 : 0.3) + (v[2] > 0 ? 0.3 : 0);
}

static struct fuser_bundle *build(enum matter matter, size_t n)
{
    static const char *const generators[] = { "x", "y" };
    struct fuser_embedder_info info = { .name = "e", .model = "m", .dim = DIM };
    struct fuser_build how = { .k = 20, .prior_rows = -1, .seed = 1 };
    struct rng rng = rng_seeded(1);
    struct fuser_rows *rows = NULL;
    struct fuser_bundle *bundle = NULL;

    assert_int_equal(fuser_rows_new(generators, 2, &info, 1, &rows, NULL), FUSER_OK);
    for (size_t i = 0; i < n; i++) {
        unsigned domain = rng_next(&rng) % 2;
        float v[DIM] = { domain == 0, domain == 1 };
        char id[16];
        size_t row;

        v[2] = (float)world_uniform(&rng) - 0.5f;
        v[3] = (float)world_uniform(&rng) - 0.5f;
        (void)snprintf(id, sizeof id, "r%04zu", i);
        assert_int_equal(
            fuser_rows_add(rows, id, domain ? "b" : "a", NULL, 0, &row, NULL), FUSER_OK);
        assert_int_equal(fuser_rows_set_vector(rows, row, 0, v, DIM, NULL), FUSER_OK);
        for (size_t g = 0; g < 2; g++) {
            struct fuser_cell cell = { world_uniform(&rng) < chance(matter, domain, g, v),
                                       10, 20, NAN };
            assert_int_equal(fuser_rows_set_cell(rows, row, g, &cell, NULL), FUSER_OK);
        }
    }
    assert_int_equal(fuser_bundle_build(rows, &how, &bundle, NULL), FUSER_OK);
    fuser_rows_free(rows);
    return bundle;
}

static void domains_decide_where_nothing_else_tells_generators_apart(void **state)
{
    struct fuser_bundle *bundle = build(BY_DOMAIN, LOO_PLAIN_ROWS);
    const struct loo *loo = &bundle->loo;

    (void)state;
    assert_int_equal(loo->plain, 1);
    for (size_t i = 0; i < loo->n_rows; i++) {
        const float *quality = loo->quality + 2 * i;
        double sign = bundle->domain_of[loo->rows[i]] == 0 ? 1 : -1;

        /* one row of some five hundred is left out of its own domain's means */
        assert_true(fabs(sign * (double)(quality[0] - quality[1]) - 0.3) < 0.06);
    }
    fuser_bundle_unref(bundle);
}

static void how_hard_a_prompt_is_is_still_the_whole_heads_to_say(void **state)
{
    struct fuser_bundle *bundle = build(BY_DOMAIN, LOO_PLAIN_ROWS);
    const struct loo *loo = &bundle->loo;
    double sum[2] = { 0 }, n[2] = { 0 };

    (void)state;
    for (size_t i = 0; i < loo->n_rows; i++) {
        const float *vector =
            index_vectors(bundle->index[0]) + (size_t)loo->rows[i] * DIM;
        bool easy = vector[2] > 0;

        sum[easy] += (double)(loo->quality[2 * i] + loo->quality[2 * i + 1]) / 2;
        n[easy] += 1;
    }
    assert_true(sum[1] / n[1] - sum[0] / n[0] > 0.1);
    fuser_bundle_unref(bundle);
}

static void the_blend_decides_where_it_tells_more_and_where_rows_are_few(void **state)
{
    struct fuser_bundle *bundle = build(BY_MATTER, LOO_PLAIN_ROWS);

    (void)state;
    assert_int_equal(bundle->loo.plain, 0);
    fuser_bundle_unref(bundle);
    bundle = build(BY_DOMAIN, LOO_PLAIN_ROWS - 1);
    assert_int_equal(bundle->loo.plain, 0);
    fuser_bundle_unref(bundle);
}

static uint32_t version_of(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint32_t version = 0;

    assert_non_null(file);
    assert_int_equal(fseek(file, 8, SEEK_SET), 0);
    assert_int_equal(fread(&version, sizeof version, 1, file), 1);
    assert_int_equal(fclose(file), 0);
    return version;
}

/* Programs that do not know of it refuse the file, and read those that it does not matter to. */
static void the_file_says_who_decides(void **state)
{
    static const enum matter matters[] = { BY_DOMAIN, BY_MATTER };
    char path[64];

    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/frugal-plain-%d", (int)getpid());
    for (size_t i = 0; i < 2; i++) {
        struct fuser_bundle *bundle = build(matters[i], LOO_PLAIN_ROWS), *again = NULL;

        assert_int_equal(fuser_bundle_save(bundle, path, NULL), FUSER_OK);
        assert_int_equal(version_of(path), matters[i] == BY_DOMAIN ? 3 : 2);
        assert_int_equal(fuser_bundle_load(path, &again, NULL), FUSER_OK);
        assert_int_equal(again->loo.plain, bundle->loo.plain);
        assert_string_equal(fuser_bundle_id(again), fuser_bundle_id(bundle));
        fuser_bundle_unref(again);
        fuser_bundle_unref(bundle);
        assert_int_equal(unlink(path), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domains_decide_where_nothing_else_tells_generators_apart),
        cmocka_unit_test(how_hard_a_prompt_is_is_still_the_whole_heads_to_say),
        cmocka_unit_test(the_blend_decides_where_it_tells_more_and_where_rows_are_few),
        cmocka_unit_test(the_file_says_who_decides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
