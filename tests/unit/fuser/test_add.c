/* Fresh evidence: a bundle with rows added is the bundle of a build with all of them, with what was
 * fitted left alone. */
#include "tests/unit/fuser/world.h"

#include "fuser/bundle.h"

#define PARTS                                                                            \
    2 /* remote embedders "left" and "right", each of half of the world's vector */
#define PART_DIM  (WORLD_DIM / 2)
#define ALL_ROWS  300
#define LAST_ROWS 60

static const char *const part_names[PARTS] = { "left", "right" };

/* Rows first, first + step, ... below ALL_ROWS, with remote embedders alone and no texts. */
static struct fuser_rows *part_rows(uint32_t first, uint32_t step, bool labels)
{
    struct fuser_embedder_info infos[PARTS] = { { .name = "left", .model = "m" },
                                                { .name = "right", .model = "m" } };
    struct fuser_rows *rows = NULL;

    assert_int_equal(
        fuser_rows_new(world_generators, WORLD_GENERATORS, infos, PARTS, &rows, NULL),
        FUSER_OK);
    for (uint32_t which = first; which < ALL_ROWS; which += step) {
        struct rng rng = rng_seeded(which * 7919u);
        struct world_prompt prompt = world_prompt(&rng);
        char id[32], domain[32];
        size_t row;

        /* The last rows bring a domain that no other has. */
        (void)snprintf(id, sizeof id, "row%06u", which);
        (void)snprintf(
            domain, sizeof domain, "domain%u",
            which >= ALL_ROWS - LAST_ROWS && prompt.domain == 1 ? 0u : prompt.domain + 1);
        assert_int_equal(
            fuser_rows_add(rows, id, labels ? domain : NULL, NULL, 0, &row, NULL),
            FUSER_OK);
        for (size_t e = 0; e < PARTS; e++)
            if (world_uniform(&rng) < 0.95)
                assert_int_equal(fuser_rows_set_vector(rows, row, e,
                                                       prompt.vector + e * PART_DIM,
                                                       PART_DIM, NULL),
                                 FUSER_OK);
        for (size_t g = 0; g < WORLD_GENERATORS; g++) {
            struct fuser_cell cell = world_cell(&rng, prompt.domain, g);

            if (world_uniform(&rng) < 0.9)
                assert_int_equal(fuser_rows_set_cell(rows, row, g, &cell, NULL),
                                 FUSER_OK);
        }
    }
    return rows;
}

static struct fuser_bundle *build_of(const struct fuser_rows *rows, const char *head,
                                     size_t flat_rows)
{
    struct fuser_build how = { .head = head,
                               .k = 20,
                               .walk_m = 20,
                               .prior_rows = 10,
                               .seed = 7,
                               .flat_rows = flat_rows };
    struct fuser_bundle *bundle = NULL;

    assert_int_equal(fuser_bundle_build(rows, &how, &bundle, NULL), FUSER_OK);
    return bundle;
}

static struct fuser_bundle *added(const struct fuser_bundle *bundle,
                                  const struct fuser_rows *rows, bool tables)
{
    struct fuser_add how = { .tables = tables };
    struct fuser_bundle *more = NULL;
    struct fuser_error error;

    assert_int_equal(fuser_bundle_add(bundle, rows, &how, &more, &error), FUSER_OK);
    return more;
}

/* One prompt's walk and verdict under bundle `bundle`, all evidence priced. */
static void decide(struct fuser_bundle *bundle, uint32_t which, double lambda,
                   struct fuser_verdict *ret)
{
    struct fuser_names names = { world_generators, WORLD_GENERATORS, part_names, PARTS,
                                 NULL };
    struct rng rng = rng_seeded(which * 104729u + 1);
    struct world_prompt prompt = world_prompt(&rng);
    struct fuser_session *session = NULL;
    struct fuser_step step;
    struct world_ask ask;
    struct fuser *fuser;

    world_ask(&ask, &prompt);
    ask.ask.lambda = lambda;
    for (size_t e = 0; e < PARTS; e++)
        ask.embedders[e] =
            (struct fuser_ask_embedder){ true, 1000 * (int64_t)(e + 1), 0 };
    assert_int_equal(fuser_new(bundle, &names, &fuser, NULL), FUSER_OK);
    assert_int_equal(fuser_session_new(fuser, &ask.ask, &session, NULL), FUSER_OK);
    for (fuser_next(&session, 1, &step); step.action == FUSER_QUERY;
         fuser_next(&session, 1, &step))
        assert_int_equal(fuser_tell(session, step.embedder,
                                    prompt.vector + step.embedder * PART_DIM, PART_DIM, 1,
                                    1, NULL),
                         FUSER_OK);
    fuser_verdict(session, INT64_MAX, ret);
    fuser_session_free(session);
    fuser_unref(fuser);
}

static void assert_same_verdicts(struct fuser_bundle *a, struct fuser_bundle *b)
{
    static struct fuser_verdict left, right;

    for (uint32_t which = 0; which < 60; which++) {
        double lambda = which % 3 == 0 ? 0 : 20.0 * which;

        decide(a, which, lambda, &left);
        decide(b, which, lambda, &right);
        assert_int_equal(left.n_ranked, right.n_ranked);
        assert_int_equal(left.n_steps, right.n_steps);
        assert_int_equal(left.stop, right.stop);
        assert_int_equal(left.evidence, right.evidence);
        assert_int_equal(left.n_neighbours, right.n_neighbours);
        for (size_t i = 0; i < left.n_ranked; i++) {
            assert_int_equal(left.ranked[i].generator, right.ranked[i].generator);
            assert_true(left.ranked[i].quality == right.ranked[i].quality);
            assert_true(left.ranked[i].quality_se == right.ranked[i].quality_se);
            assert_true(left.ranked[i].utility == right.ranked[i].utility);
        }
        for (size_t i = 0; i < left.n_neighbours; i++)
            assert_string_equal(left.neighbours[i].id, right.neighbours[i].id);
    }
}

static void rows_added_give_the_bundle_of_a_build_with_all(void **state)
{
    struct fuser_rows *even = part_rows(0, 2, true), *odd = part_rows(1, 2, true);
    struct fuser_rows *all = part_rows(0, 1, true);
    struct fuser_bundle *half = build_of(even, "knn", 0),
                        *whole = build_of(all, "knn", 0);
    struct fuser_bundle *more = added(half, odd, true);

    (void)state;
    assert_int_equal(fuser_bundle_rows(more), ALL_ROWS);
    assert_string_equal(fuser_bundle_id(more), fuser_bundle_id(whole));
    assert_string_not_equal(fuser_bundle_id(half), fuser_bundle_id(whole));
    assert_same_verdicts(more, whole);
    fuser_bundle_unref(half);
    fuser_bundle_unref(more);
    fuser_bundle_unref(whole);
    fuser_rows_free(even);
    fuser_rows_free(odd);
    fuser_rows_free(all);
}

static void rows_added_one_by_one_give_the_same(void **state)
{
    struct fuser_rows *first = part_rows(0, 2, true), *second = part_rows(1, 4, true);
    struct fuser_rows *third = part_rows(3, 4, true), *all = part_rows(0, 1, true);
    struct fuser_bundle *whole = build_of(all, "domain", 0);
    struct fuser_bundle *one = build_of(first, "domain", 0),
                        *two = added(one, third, false);
    struct fuser_bundle *three = added(two, second, true);

    (void)state;
    assert_string_equal(fuser_bundle_id(three), fuser_bundle_id(whole));
    fuser_bundle_unref(one);
    fuser_bundle_unref(two); /* the last owes nothing to the others */
    assert_same_verdicts(three, whole);
    fuser_bundle_unref(three);
    fuser_bundle_unref(whole);
    fuser_rows_free(first);
    fuser_rows_free(second);
    fuser_rows_free(third);
    fuser_rows_free(all);
}

/* Without a purchase to decide on, the tables do not matter. */
static void answers_do_not_wait_for_new_tables(void **state)
{
    struct fuser_rows *even = part_rows(0, 2, true), *odd = part_rows(1, 2, true);
    struct fuser_bundle *half = build_of(even, "blend", 0);
    struct fuser_bundle *kept = added(half, odd, false), *made = added(half, odd, true);
    static struct fuser_verdict left, right;
    size_t compared = 0;

    (void)state;
    assert_string_not_equal(fuser_bundle_id(kept), fuser_bundle_id(made));
    assert_int_equal(kept->loo.n_rows, fuser_rows_count(even));
    assert_int_equal(made->loo.n_rows, ALL_ROWS);
    for (uint32_t which = 0; which < 60; which++) {
        decide(kept, which, 0, &left);
        decide(made, which, 0, &right);
        if (left.n_steps != right.n_steps)
            continue; /* other purchases */
        compared++;
        for (size_t i = 0; i < left.n_ranked; i++)
            assert_true(left.ranked[i].quality == right.ranked[i].quality);
    }
    assert_true(compared > 30);
    fuser_bundle_unref(half);
    fuser_bundle_unref(kept);
    fuser_bundle_unref(made);
    fuser_rows_free(even);
    fuser_rows_free(odd);
}

static struct fuser_bundle *reloaded(const struct fuser_bundle *bundle)
{
    char path[] = "/tmp/test_add.XXXXXX";
    int fd = mkstemp(path);
    struct fuser_bundle *again = NULL;

    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(fuser_bundle_save(bundle, path, NULL), FUSER_OK);
    assert_int_equal(fuser_bundle_load(path, &again, NULL), FUSER_OK);
    (void)unlink(path);
    return again;
}

static void a_fitted_head_stays_as_it_was_and_survives_the_file(void **state)
{
    static const char *const heads[] = { "ridge", "mlp", "metric", "blend" };
    struct fuser_rows *even = part_rows(0, 2, true), *odd = part_rows(1, 2, true);

    (void)state;
    for (size_t h = 0; h < sizeof heads / sizeof *heads; h++) {
        struct fuser_bundle *half = build_of(even, heads[h], 0);
        struct fuser_bundle *more = added(half, odd, true), *again = reloaded(more);

        assert_string_equal(fuser_bundle_id(more), fuser_bundle_id(again));
        assert_same_verdicts(more, again);
        fuser_bundle_unref(half);
        fuser_bundle_unref(more);
        fuser_bundle_unref(again);
    }
    fuser_rows_free(even);
    fuser_rows_free(odd);
}

static void what_a_bundle_carries_for_others_stays(void **state)
{
    struct fuser_tuned tuned = { 0.5, NAN, 125, "{}" };
    struct fuser_build how = { .head = "knn",
                               .tuned = &tuned,
                               .origin = "{\"judge\": 1}",
                               .text_extra = "ab",
                               .text_extra_bytes = 2 };
    struct fuser_rows *even = part_rows(0, 2, true), *odd = part_rows(1, 2, true);
    struct fuser_bundle *half = NULL, *more;
    size_t n;

    (void)state;
    assert_int_equal(fuser_bundle_build(even, &how, &half, NULL), FUSER_OK);
    more = added(half, odd, false);
    assert_string_equal(fuser_bundle_origin(more), how.origin);
    assert_memory_equal(fuser_bundle_text_extra(more, &n), "ab", 2);
    assert_int_equal(n, 2);
    assert_non_null(fuser_bundle_tuned(more));
    assert_true(fuser_bundle_tuned(more)->lambda == 125);
    fuser_bundle_unref(half);
    fuser_bundle_unref(more);
    fuser_rows_free(even);
    fuser_rows_free(odd);
}

static void a_score_for_one_expert_joins_an_old_row(void **state)
{
    struct fuser_rows *all = part_rows(0, 1, true), *score;
    struct fuser_embedder_info left = { .name = "left", .model = "m" };
    struct fuser_bundle *bundle = build_of(all, "knn", 0), *more;
    struct fuser_cell cell = {
        .quality = 0.25f, .input_tokens = NAN, .output_tokens = NAN, .latency_ms = NAN
    };
    size_t row = 0, g = 2;

    (void)state;
    while (!isnan(bundle->cells.quality[row * WORLD_GENERATORS + g]))
        row++;
    assert_int_equal(fuser_rows_new(&world_generators[g], 1, &left, 1, &score, NULL), 0);
    assert_int_equal(fuser_rows_add(score, bundle_name(&bundle->ids, row), "elsewhere",
                                    NULL, 0, &(size_t){ 0 }, NULL),
                     FUSER_OK);
    assert_int_equal(fuser_rows_set_cell(score, 0, 0, &cell, NULL), FUSER_OK);
    more = added(bundle, score, false);
    assert_int_equal(fuser_bundle_rows(more), ALL_ROWS);
    assert_int_equal(fuser_bundle_known_rows(more, g),
                     fuser_bundle_known_rows(bundle, g) + 1);
    assert_true(more->cells.quality[row * WORLD_GENERATORS + g] == 0.25f);
    assert_true(more->cells.input[row * WORLD_GENERATORS + g] ==
                bundle->cells.input[row * WORLD_GENERATORS + g]);
    assert_int_equal(more->domains.n, bundle->domains.n); /* a label is not a score */
    assert_int_equal(fuser_bundle_known_rows(more, 0),
                     fuser_bundle_known_rows(bundle, 0));
    fuser_bundle_unref(bundle);
    fuser_bundle_unref(more);
    fuser_rows_free(all);
    fuser_rows_free(score);
}

/* Built-in embedders make the vectors of new rows; rows without labels join the clusters. */
static void new_texts_are_embedded_and_clustered_as_before(void **state)
{
    static uint32_t order[200];
    struct fuser_rows *first = world_rows(200, 0.1, false, NULL), *last;
    struct fuser_bundle *bundle = world_build(first), *more, *again;
    size_t e;

    (void)state;
    for (uint32_t i = 0; i < 200; i++)
        order[i] = 150 + i; /* 50 are there already */
    last = world_rows(200, 0.1, true, order);
    more = added(bundle, last, true);
    assert_int_equal(fuser_bundle_rows(more), 350);
    assert_int_equal(more->domains.n, bundle->domains.n);
    assert_false(more->labelled);
    for (e = 0; e < more->n_embedders; e++)
        assert_true(bundle_has_vector(more, e, 349));
    assert_true(more->domain_of[349] < more->domains.n);
    assert_true(
        more->domain_of[349] ==
        bundle_cluster_of(bundle, index_vectors(more->index[more->cluster_embedder]) +
                                      349 * more->embedders[more->cluster_embedder].dim));
    again = reloaded(more);
    assert_string_equal(fuser_bundle_id(more), fuser_bundle_id(again));
    fuser_bundle_unref(again);
    fuser_bundle_unref(bundle);
    fuser_bundle_unref(more);
    fuser_rows_free(first);
    fuser_rows_free(last);
}

static void an_approximate_bundle_finds_what_was_added(void **state)
{
    struct fuser_rows *even = part_rows(0, 2, true), *odd = part_rows(1, 2, true);
    struct fuser_bundle *half = build_of(even, "knn", 1), *more;

    (void)state;
    assert_true(half->approximate);
    for (int tables = 0; tables < 2; tables++) {
        more = added(half, odd, tables);
        assert_true(more->approximate);
        for (uint32_t row = 0; row < ALL_ROWS; row++) {
            struct near near[APPROX_ROOM(APPROX_OVER)];
            bool there = !bundle_has_vector(more, 0, row);
            size_t n = there ? 0
                             : approx_find(more->approx[0],
                                           index_vectors(more->index[0]) + row * PART_DIM,
                                           APPROX_OVER, near);

            for (size_t i = 0; i < n; i++)
                there = there || near[i].row == row;
            assert_true(there);
        }
        fuser_bundle_unref(more);
    }
    fuser_bundle_unref(half);
    fuser_rows_free(even);
    fuser_rows_free(odd);
}

static void what_only_a_build_can_take_in_is_refused(void **state)
{
    static const char *const stranger[] = { "nobody" };
    struct fuser_embedder_info left = { .name = "left", .model = "m" },
                               other = { .name = "left", .model = "n" },
                               unknown = { .name = "up", .model = "m" };
    struct fuser_embedder_info *infos[] = { &left, &other, &unknown };
    struct fuser_rows *all = part_rows(0, 1, true);
    struct fuser_bundle *bundle = build_of(all, "knn", 0), *more = NULL;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct fuser_rows *rows = NULL;
        struct fuser_error error;
        size_t row;

        assert_int_equal(fuser_rows_new(i == 0 ? stranger : world_generators, 1,
                                        infos[i % 3], 1, &rows, NULL),
                         FUSER_OK);
        if (i != 3) /* the fourth has no rows at all */
            assert_int_equal(fuser_rows_add(rows, "new", NULL, NULL, 0, &row, NULL), 0);
        assert_int_equal(
            fuser_bundle_add(bundle, rows, &(struct fuser_add){ 0 }, &more, &error),
            i == 3 ? FUSER_INVALID : FUSER_MISMATCH);
        assert_null(more);
        assert_true(error.text[0]);
        fuser_rows_free(rows);
    }
    fuser_bundle_unref(bundle);
    fuser_rows_free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_added_give_the_bundle_of_a_build_with_all),
        cmocka_unit_test(rows_added_one_by_one_give_the_same),
        cmocka_unit_test(answers_do_not_wait_for_new_tables),
        cmocka_unit_test(a_fitted_head_stays_as_it_was_and_survives_the_file),
        cmocka_unit_test(what_a_bundle_carries_for_others_stays),
        cmocka_unit_test(a_score_for_one_expert_joins_an_old_row),
        cmocka_unit_test(new_texts_are_embedded_and_clustered_as_before),
        cmocka_unit_test(an_approximate_bundle_finds_what_was_added),
        cmocka_unit_test(what_only_a_build_can_take_in_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
