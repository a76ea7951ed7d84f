/* Rows and building: every bad input has its own clear refusal; few rows are still sound. */
#include "fuser/bundle.h"
#include "tests/unit/fuser/world.h"

static void expect_refusal(enum fuser_err got, enum fuser_err wanted,
                           const struct fuser_error *error, const char *word)
{
    assert_int_equal(got, wanted);
    assert_int_equal(error->code, wanted);
    if (!strstr(error->text, word))
        fail_msg("'%s' does not say '%s'", error->text, word);
}

static void names_are_checked(void **state)
{
    const char *twice[] = { "a", "a" }, *empty[] = { "" };
    struct fuser_embedder_info infos[WORLD_EMBEDDERS];
    struct fuser_rows *rows = NULL;
    struct fuser_error error;
    char name[FUSER_MAX_NAME + 1];
    const char *long_name[] = { name };

    (void)state;
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    world_embedder_infos(infos);
    expect_refusal(fuser_rows_new(twice, 2, infos, 3, &rows, &error), FUSER_DUPLICATE,
                   &error, "'a'");
    expect_refusal(fuser_rows_new(empty, 1, infos, 3, &rows, &error), FUSER_INVALID,
                   &error, "without a name");
    expect_refusal(fuser_rows_new(long_name, 1, infos, 3, &rows, &error), FUSER_TOO_LARGE,
                   &error, "xxx");
    expect_refusal(fuser_rows_new(twice, 0, infos, 3, &rows, &error), FUSER_INVALID,
                   &error, "no generators");
    expect_refusal(fuser_rows_new(world_generators, 4, infos, 0, &rows, &error),
                   FUSER_INVALID, &error, "no embedders");
    infos[2] = infos[1];
    expect_refusal(fuser_rows_new(world_generators, 4, infos, 3, &rows, &error),
                   FUSER_DUPLICATE, &error, "'remote'");
    assert_null(rows);
}

static void a_row_is_checked(void **state)
{
    struct fuser_rows *rows = world_rows(3, 0, true, NULL);
    struct fuser_error error;
    size_t row = 77;
    char id[600];

    (void)state;
    memset(id, 'i', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    expect_refusal(fuser_rows_add(rows, "row000001", NULL, NULL, 0, &row, &error),
                   FUSER_DUPLICATE, &error, "'row000001'");
    expect_refusal(fuser_rows_add(rows, "", NULL, NULL, 0, &row, &error), FUSER_INVALID,
                   &error, "without an id");
    expect_refusal(fuser_rows_add(rows, id, NULL, NULL, 0, &row, &error), FUSER_TOO_LARGE,
                   &error, "iii");
    assert_int_equal(row, 77);
    assert_int_equal(fuser_rows_count(rows), 3);
    fuser_rows_free(rows);
}

static void a_cell_is_checked(void **state)
{
    static const struct fuser_cell bad[] = {
        { 1.01f, 1, 1, 1 }, { -0.01f, 1, 1, 1 }, { INFINITY, 1, 1, 1 },
        { 1, -1, 1, 1 },    { 1, 1, -1, 1 },     { 1, 1, INFINITY, 1 },
        { 1, 1, 1, -1 },    { 1, 1e30f, 1, 1 },
    };
    struct fuser_cell good = { NAN, NAN, NAN, NAN };
    struct fuser_rows *rows = world_rows(1, 0, true, NULL);
    struct fuser_error error;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_refusal(fuser_rows_set_cell(rows, 0, 1, &bad[i], &error), FUSER_INVALID,
                       &error, "'row000000'");
    assert_int_equal(fuser_rows_set_cell(rows, 0, 1, &good, &error), FUSER_OK);
    expect_refusal(fuser_rows_set_cell(rows, 1, 0, &good, &error), FUSER_INVALID, &error,
                   "no row 1");
    expect_refusal(fuser_rows_set_cell(rows, 0, 4, &good, &error), FUSER_INVALID, &error,
                   "generator 4");
    fuser_rows_free(rows);
}

static void a_vector_is_checked(void **state)
{
    struct fuser_rows *rows = world_rows(1, 0, true, NULL);
    struct fuser_error error;
    float v[WORLD_DIM] = { 0 };

    (void)state;
    expect_refusal(fuser_rows_set_vector(rows, 0, 1, v, WORLD_DIM, &error), FUSER_INVALID,
                   &error, "zero");
    v[3] = NAN;
    expect_refusal(fuser_rows_set_vector(rows, 0, 1, v, WORLD_DIM, &error), FUSER_INVALID,
                   &error, "not finite");
    expect_refusal(fuser_rows_set_vector(rows, 0, 1, v, WORLD_DIM - 1, &error),
                   FUSER_MISMATCH, &error, "19 floats, not 20");
    expect_refusal(fuser_rows_set_vector(rows, 0, 0, v, WORLD_DIM, &error), FUSER_INVALID,
                   &error, "makes its own");
    fuser_rows_free(rows);
}

static void no_rows_make_no_bundle(void **state)
{
    struct fuser_rows *rows = world_rows(0, 0, true, NULL);
    struct fuser_build how = { 0 };
    struct fuser_bundle *bundle = NULL;
    struct fuser_error error;

    (void)state;
    expect_refusal(fuser_bundle_build(rows, &how, &bundle, &error), FUSER_INVALID, &error,
                   "no rows");
    assert_null(bundle);
    fuser_rows_free(rows);
}

static void an_embedder_without_vectors_is_refused(void **state)
{
    struct fuser_embedder_info info = { .name = "far", .dim = 4 };
    struct fuser_build how = { 0 };
    struct fuser_rows *rows;
    struct fuser_bundle *bundle = NULL;
    struct fuser_error error;
    size_t row;

    (void)state;
    assert_int_equal(fuser_rows_new(world_generators, 4, &info, 1, &rows, &error),
                     FUSER_OK);
    assert_int_equal(fuser_rows_add(rows, "r", NULL, "hi", 2, &row, &error), FUSER_OK);
    expect_refusal(fuser_bundle_build(rows, &how, &bundle, &error), FUSER_INVALID, &error,
                   "'far': no row has a vector");
    fuser_rows_free(rows);
}

/* One row, one generator, all-equal quality, nothing known: sound answers, never a NAN. */
static void few_rows_give_sound_answers(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 5; n++)
        for (int missing = 0; missing <= 1; missing++) {
            struct fuser_bundle *bundle = world_bundle(n, missing ? 0.6 : 0);
            struct fuser *fuser = world_fuser(bundle);
            struct rng rng = rng_seeded(99);
            struct world_prompt prompt = world_prompt(&rng);
            struct world_ask ask;
            struct fuser_session *session;
            struct fuser_verdict verdict;

            world_ask(&ask, &prompt);
            session = world_walk(fuser, &ask, &prompt);
            fuser_verdict(session, INT64_MAX, &verdict);
            for (size_t i = 0; i < verdict.n_ranked; i++) {
                assert_true(verdict.ranked[i].quality >= 0 &&
                            verdict.ranked[i].quality <= 1);
                assert_true(isfinite(verdict.ranked[i].quality_se));
                assert_true(isfinite(verdict.ranked[i].utility));
                assert_true(isfinite(verdict.ranked[i].output_tokens));
            }
            assert_true(verdict.evidence != FUSER_EVIDENCE_GOOD);
            fuser_session_free(session);
            fuser_unref(fuser);
            fuser_bundle_unref(bundle);
        }
}

static bool stop_at_tables(void *context, const char *stage, double done)
{
    size_t *calls = context;

    ++*calls;
    return strcmp(stage, "tables") != 0 || done < 0.3;
}

static void a_build_can_be_given_up(void **state)
{
    struct fuser_rows *rows = world_rows(100, 0, true, NULL);
    size_t calls = 0;
    struct fuser_build how = { .progress = stop_at_tables, .progress_context = &calls };
    struct fuser_bundle *bundle = NULL;
    struct fuser_error error;

    (void)state;
    expect_refusal(fuser_bundle_build(rows, &how, &bundle, &error), FUSER_INVALID, &error,
                   "given up");
    assert_null(bundle);
    assert_true(calls > 3);
    fuser_rows_free(rows);
}

static void settings_are_checked(void **state)
{
    static const struct fuser_build bad[] = {
        { .k = 5000 }, { .walk_m = 5000 }, { .prior_rows = NAN }, { .prior_rows = 1e9 }
    };
    struct fuser_rows *rows = world_rows(5, 0, true, NULL);
    struct fuser_bundle *bundle = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_not_equal(fuser_bundle_build(rows, &bad[i], &bundle, NULL), FUSER_OK);
    assert_null(bundle);
    fuser_rows_free(rows);
}

static void the_order_of_rows_changes_nothing(void **state)
{
    uint32_t order[200];
    struct rng rng = rng_seeded(8);
    struct fuser_rows *straight, *shuffled;
    struct fuser_bundle *one, *two;

    (void)state;
    for (uint32_t i = 0; i < 200; i++)
        order[i] = i;
    for (size_t i = 199; i > 0; i--) {
        size_t j = rng_next(&rng) % (i + 1);
        uint32_t keep = order[i];

        order[i] = order[j];
        order[j] = keep;
    }
    straight = world_rows(200, 0.2, true, NULL);
    shuffled = world_rows(200, 0.2, true, order);
    one = world_build(straight);
    two = world_build(shuffled);
    assert_string_equal(fuser_bundle_id(one), fuser_bundle_id(two));
    fuser_rows_free(straight);
    fuser_rows_free(shuffled);
    fuser_bundle_unref(one);
    fuser_bundle_unref(two);
}

static void without_labels_rows_are_clustered(void **state)
{
    struct fuser_rows *rows = world_rows(200, 0, false, NULL);
    struct fuser_bundle *bundle = world_build(rows);
    size_t used[32] = { 0 };

    (void)state;
    assert_false(bundle->labelled);
    assert_int_equal(bundle->domains.n, 5);
    for (size_t i = 0; i < 200; i++) {
        assert_true(bundle->domain_of[i] < 5);
        used[bundle->domain_of[i]]++;
    }
    for (size_t c = 0; c < 5; c++)
        assert_true(used[c] > 0);
    fuser_rows_free(rows);
    fuser_bundle_unref(bundle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(a_row_is_checked),
        cmocka_unit_test(a_cell_is_checked),
        cmocka_unit_test(a_vector_is_checked),
        cmocka_unit_test(no_rows_make_no_bundle),
        cmocka_unit_test(an_embedder_without_vectors_is_refused),
        cmocka_unit_test(few_rows_give_sound_answers),
        cmocka_unit_test(a_build_can_be_given_up),
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(the_order_of_rows_changes_nothing),
        cmocka_unit_test(without_labels_rows_are_clustered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
