/* Laws that every head keeps: each test runs once per head, on worlds whose cells have gaps.
 *
 * Evidence, mask and estimates stay fixed and switching is off wherever a law speaks of more budget or more
 * lambda; see test_session.c for the laws of a walk, test_coarse.c and test_kernel.c for those of the search.
 */
#include "tests/unit/fuser/world.h"

#define ROWS    160
#define PROMPTS 25
#define HEADS(X)                                                                         \
    X(knn)                                                                               \
    X(ridge)                                                                             \
    X(logistic)                                                                          \
    X(mlp)                                                                               \
    X(domain)                                                                            \
    X(metric)                                                                            \
    X(blend)

enum head_index {
#define X(name) HEAD_##name,
    HEADS(X)
#undef X
        N_HEADS
};

static const char *const names[N_HEADS] = {
#define X(name) #name,
    HEADS(X)
#undef X
};

struct law {
    const char *head;
    struct fuser_bundle *bundle;
    struct fuser *fuser;
};

static struct law laws[N_HEADS];

static struct fuser_bundle *build(const struct fuser_rows *rows, const char *head)
{
    struct fuser_build how = {
        .head = head, .k = 20, .walk_m = 20, .prior_rows = 10, .seed = 7
    };
    struct fuser_bundle *bundle = NULL;
    struct fuser_error error = { 0 };

    if (fuser_bundle_build(rows, &how, &bundle, &error) != FUSER_OK)
        fail_msg("%s: %s", head, error.text);
    return bundle;
}

static int build_all(void **state)
{
    struct fuser_rows *rows = world_rows(ROWS, 0.15, true, NULL);

    (void)state;
    for (size_t h = 0; h < N_HEADS; h++) {
        laws[h].head = names[h];
        laws[h].bundle = build(rows, names[h]);
        laws[h].fuser = world_fuser(laws[h].bundle);
    }
    fuser_rows_free(rows);
    return 0;
}

static int free_all(void **state)
{
    (void)state;
    for (size_t h = 0; h < N_HEADS; h++) {
        fuser_unref(laws[h].fuser);
        fuser_bundle_unref(laws[h].bundle);
    }
    return 0;
}

static void expect_sound(const struct fuser_verdict *verdict)
{
    double before = INFINITY;

    for (size_t i = 0; i < verdict->n_ranked; i++) {
        const struct fuser_ranked *r = &verdict->ranked[i];

        assert_true(r->quality >= 0 && r->quality <= 1);
        assert_true(r->quality_se > 0 && isfinite(r->quality_se));
        assert_true(isfinite(r->utility) && r->expected_pico >= 0);
        assert_true(isfinite(r->output_tokens) && r->output_tokens >= 0);
        assert_true(isnan(r->latency_ms) || r->latency_ms >= 0);
        if (r->affordable && r->good_enough && !verdict->kept_default) {
            assert_true(r->utility <= before);
            before = r->utility;
        }
    }
    for (size_t i = 0; i < verdict->n_neighbours; i++)
        assert_true(verdict->neighbours[i].distance >= 0 &&
                    isfinite(verdict->neighbours[i].weight));
    for (size_t s = 0; s < verdict->n_steps; s++) {
        assert_true(isfinite(verdict->steps[s].loss_before));
        for (size_t e = 0; e < WORLD_EMBEDDERS; e++)
            assert_true(!verdict->steps[s].candidates[e].open ||
                        isfinite(verdict->steps[s].candidates[e].loss));
    }
}

static void decide(struct fuser *fuser, const struct world_ask *ask,
                   const struct world_prompt *prompt, struct fuser_verdict *ret_verdict)
{
    struct fuser_session *session = world_walk(fuser, ask, prompt);

    fuser_verdict(session, INT64_MAX, ret_verdict);
    fuser_session_free(session);
}

static void an_estimate_is_a_share_and_has_an_error(void **state)
{
    const struct law *law = *state;
    struct rng rng = rng_seeded(11);

    for (uint32_t i = 0; i < PROMPTS; i++) {
        struct world_prompt prompt = world_prompt(&rng);
        struct fuser_verdict verdict;
        struct world_ask ask;

        world_ask(&ask, &prompt);
        ask.ask.lambda = i % 3 == 0 ? 0 : 10;
        ask.ask.switch_z = i % 2;
        ask.ask.look = i % 5 == 0;
        for (size_t e = 0; e < WORLD_EMBEDDERS; e++) /* one, several and all of them */
            ask.embedders[e].allowed = i >> e & 1;
        decide(law->fuser, &ask, &prompt, &verdict);
        assert_int_equal(verdict.n_ranked, WORLD_GENERATORS);
        expect_sound(&verdict);
    }
}

/* Texts without words, with any bytes, and vectors of any length: sound, or refused. */
static void odd_prompts_get_sound_answers(void **state)
{
    static const float scales[] = { 1e-30f, 1e-3f, 1, 1e4f, 1e15f };
    const struct law *law = *state;
    struct rng rng = rng_seeded(12);

    for (size_t i = 0; i < 20; i++) {
        struct world_prompt prompt = world_prompt(&rng);
        struct fuser_verdict verdict;
        struct world_ask ask;

        if (i % 4 < 3)
            prompt.bytes = i * 8;
        for (size_t b = 0; i % 4 < 2 && b < prompt.bytes; b++)
            prompt.text[b] = (char)rng_next(&rng);
        for (size_t d = 0; d < WORLD_DIM; d++)
            prompt.vector[d] *= scales[i % 5];
        world_ask(&ask, &prompt);
        decide(law->fuser, &ask, &prompt, &verdict);
        expect_sound(&verdict);
    }
}

static void more_budget_never_lowers_the_chosen_utility(void **state)
{
    const struct law *law = *state;
    struct rng rng = rng_seeded(13);

    for (size_t i = 0; i < PROMPTS; i++) {
        struct world_prompt prompt = world_prompt(&rng);
        struct fuser_session *session;
        double before = -INFINITY;
        struct world_ask ask;

        world_ask(&ask, &prompt);
        session = world_walk(law->fuser, &ask, &prompt);
        for (int64_t left = 0; left <= 5000000000; left += 250000000) {
            struct fuser_verdict verdict;

            fuser_verdict(session, left, &verdict);
            if (verdict.ranked[0].affordable) {
                assert_true(verdict.ranked[0].utility >= before);
                before = verdict.ranked[0].utility;
            }
            assert_int_equal(verdict.ranked[0].affordable, left >= 1000000000);
        }
        fuser_session_free(session);
    }
}

static void more_lambda_never_raises_the_chosen_cost(void **state)
{
    static const double lambdas[] = { 0, 1, 10, 100, 300, 1000, 3000, 10000 };
    const struct law *law = *state;
    struct rng rng = rng_seeded(14);
    size_t compared = 0;

    for (size_t i = 0; i < PROMPTS; i++) {
        struct world_prompt prompt = world_prompt(&rng);
        int64_t before = INT64_MAX;

        for (size_t l = 0; l < sizeof lambdas / sizeof *lambdas; l++) {
            struct fuser_verdict verdict;
            struct world_ask ask;

            world_ask(&ask, &prompt);
            ask.ask.lambda = lambdas[l];
            for (size_t e = 0; e < WORLD_EMBEDDERS; e++)
                ask.embedders[e].allowed = e == 0; /* the same evidence for all */
            decide(law->fuser, &ask, &prompt, &verdict);
            if (verdict.evidence == FUSER_EVIDENCE_NONE)
                continue; /* nothing was bought: other estimates */
            assert_true(verdict.ranked[0].expected_pico <= before);
            before = verdict.ranked[0].expected_pico;
            compared++;
        }
    }
    assert_true(compared > 2 * PROMPTS);
}

static void who_is_masked_is_never_ranked(void **state)
{
    const struct law *law = *state;
    struct rng rng = rng_seeded(15);

    for (uint32_t mask = 0; mask < 1u << WORLD_GENERATORS; mask++) {
        struct world_prompt prompt = world_prompt(&rng);
        struct fuser_verdict verdict;
        struct world_ask ask;

        world_ask(&ask, &prompt);
        ask.ask.switch_z = mask % 2;
        for (size_t g = 0; g < WORLD_GENERATORS; g++)
            ask.generators[g].allowed = mask >> g & 1;
        decide(law->fuser, &ask, &prompt, &verdict);
        assert_int_equal(verdict.n_ranked, __builtin_popcount(mask));
        for (size_t r = 0; r < verdict.n_ranked; r++)
            assert_true(mask >> verdict.ranked[r].generator & 1);
    }
}

static void expect_equal(const struct fuser_verdict *a, const struct fuser_verdict *b)
{
    assert_int_equal(a->n_ranked, b->n_ranked);
    assert_int_equal(a->n_neighbours, b->n_neighbours);
    assert_int_equal(a->n_steps, b->n_steps);
    assert_int_equal(a->stop, b->stop);
    assert_int_equal(a->evidence, b->evidence);
    assert_int_equal(a->paid_pico, b->paid_pico);
    for (size_t i = 0; i < a->n_ranked; i++) {
        const struct fuser_ranked *one = &a->ranked[i], *two = &b->ranked[i];

        assert_int_equal(one->generator, two->generator);
        assert_true(one->quality == two->quality && one->quality_se == two->quality_se);
        assert_true(one->utility == two->utility && one->known == two->known);
        assert_int_equal(one->expected_pico, two->expected_pico);
    }
    for (size_t i = 0; i < a->n_neighbours; i++) {
        assert_string_equal(a->neighbours[i].id, b->neighbours[i].id);
        assert_true(a->neighbours[i].distance == b->neighbours[i].distance);
        assert_true(a->neighbours[i].weight == b->neighbours[i].weight);
    }
    for (size_t s = 0; s < a->n_steps; s++) {
        assert_int_equal(a->steps[s].embedder, b->steps[s].embedder);
        assert_true(a->steps[s].loss_before == b->steps[s].loss_before);
    }
}

static void expect_same_decisions(struct fuser *one, struct fuser *two, uint64_t seed)
{
    struct rng rng = rng_seeded(seed);

    for (size_t i = 0; i < PROMPTS; i++) {
        struct world_prompt prompt = world_prompt(&rng);
        struct fuser_verdict a, b;
        struct world_ask ask;

        world_ask(&ask, &prompt);
        ask.ask.switch_z = i % 2;
        decide(one, &ask, &prompt, &a);
        decide(two, &ask, &prompt, &b);
        expect_equal(&a, &b);
    }
}

static void a_saved_bundle_decides_as_the_built_one(void **state)
{
    const struct law *law = *state;
    char path[] = "/tmp/frugal-laws-XXXXXX";
    int file = mkstemp(path);
    struct fuser_bundle *loaded = NULL;
    struct fuser *fuser;
    struct fuser_error error = { 0 };

    assert_true(file >= 0);
    assert_int_equal(close(file), 0);
    assert_int_equal(fuser_bundle_save(law->bundle, path, &error), FUSER_OK);
    if (fuser_bundle_load(path, &loaded, &error) != FUSER_OK)
        fail_msg("%s: %s", law->head, error.text);
    assert_int_equal(unlink(path), 0);
    fuser = world_fuser(loaded);
    expect_same_decisions(law->fuser, fuser, 16);
    fuser_unref(fuser);
    fuser_bundle_unref(loaded);
}

/* -- few and flat rows ------------------------------------------------------------------------------ */

/* n rows under one embedder; the quality of all cells is the same, NAN: not known. */
static struct fuser_rows *flat_rows(size_t n, size_t n_generators, float quality)
{
    struct fuser_embedder_info infos[WORLD_EMBEDDERS];
    struct fuser_rows *rows = NULL;
    struct rng rng = rng_seeded(17);

    world_embedder_infos(infos);
    assert_int_equal(
        fuser_rows_new(world_generators, n_generators, &infos[1], 1, &rows, NULL),
        FUSER_OK);
    for (size_t i = 0; i < n; i++) {
        struct world_prompt prompt = world_prompt(&rng);
        struct fuser_cell cell = { quality, 20, 50, NAN };
        char id[32];
        size_t row;

        (void)snprintf(id, sizeof id, "r%zu", i);
        assert_int_equal(
            fuser_rows_add(rows, id, "d", prompt.text, prompt.bytes, &row, NULL),
            FUSER_OK);
        assert_int_equal(
            fuser_rows_set_vector(rows, row, 0, prompt.vector, WORLD_DIM, NULL),
            FUSER_OK);
        for (size_t g = 0; g < n_generators; g++)
            assert_int_equal(fuser_rows_set_cell(rows, row, g, &cell, NULL), FUSER_OK);
    }
    return rows;
}

static void one_row_one_model_and_equal_quality_get_sound_answers(void **state)
{
    static const size_t sizes[] = { 1, 2, 7, 60 };
    static const float qualities[] = { 0, 0.5f, 1, NAN };
    const struct law *law = *state;

    for (size_t i = 0; i < 4 * 4 * 2; i++) {
        size_t n_generators = i / 16 ? WORLD_GENERATORS : 1;
        struct fuser_rows *rows =
            flat_rows(sizes[i % 4], n_generators, qualities[i / 4 % 4]);
        struct fuser_bundle *bundle = build(rows, law->head);
        struct fuser *fuser = world_fuser(bundle);
        struct rng rng = rng_seeded(18);
        struct world_prompt prompt = world_prompt(&rng);
        struct fuser_verdict verdict;
        struct world_ask ask;

        world_ask(&ask, &prompt);
        ask.ask.lambda = 0;
        ask.ask.switch_z = 1;
        decide(fuser, &ask, &prompt, &verdict);
        /* of whom nothing is known is never ranked */
        assert_int_equal(verdict.n_ranked,
                         isnan(qualities[i / 4 % 4]) ? 0 : n_generators);
        expect_sound(&verdict);
        fuser_unref(fuser);
        fuser_bundle_unref(bundle);
        fuser_rows_free(rows);
    }
}

/* -- permutations ------------------------------------------------------------------------------------ */

/* The rows in the order of `order` and the generators in that of `columns`; "biology" does exactly as "algebra"
 * and costs the same, so that every choice between them is a tie. */
static struct fuser_bundle *shuffled(const uint32_t *order,
                                     const size_t columns[WORLD_GENERATORS])
{
    struct fuser_embedder_info infos[WORLD_EMBEDDERS];
    const char *generators[WORLD_GENERATORS];
    struct fuser_rows *rows = NULL;

    world_embedder_infos(infos);
    for (size_t g = 0; g < WORLD_GENERATORS; g++)
        generators[columns[g]] = world_generators[g];
    assert_int_equal(
        fuser_rows_new(generators, WORLD_GENERATORS, infos, WORLD_EMBEDDERS, &rows, NULL),
        FUSER_OK);
    for (size_t i = 0; i < ROWS; i++) {
        struct rng rng = rng_seeded(order[i] / 2 * 31u); /* each row stands there twice */
        struct world_prompt prompt = world_prompt(&rng);
        struct fuser_cell cells[WORLD_GENERATORS];
        char id[16];
        size_t row;

        (void)snprintf(id, sizeof id, "row%u", order[i]);
        assert_int_equal(fuser_rows_add(rows, id, prompt.domain % 2 ? "odd" : "even",
                                        prompt.text, prompt.bytes, &row, NULL),
                         FUSER_OK);
        assert_int_equal(
            fuser_rows_set_vector(rows, row, 1, prompt.vector, WORLD_DIM, NULL),
            FUSER_OK);
        for (size_t g = 0; g < WORLD_GENERATORS; g++)
            cells[g] = world_cell(&rng, prompt.domain, g);
        cells[1] = cells[0];
        for (size_t g = 0; g < WORLD_GENERATORS; g++)
            assert_int_equal(fuser_rows_set_cell(rows, row, columns[g], &cells[g], NULL),
                             FUSER_OK);
    }
    struct fuser_bundle *bundle = build(rows, "knn");
    fuser_rows_free(rows);
    return bundle;
}

static void shuffle(struct rng *rng, uint32_t *values, size_t n)
{
    for (size_t i = n - 1; i > 0; i--) {
        size_t j = rng_next(rng) % (i + 1);
        uint32_t keep = values[i];

        values[i] = values[j];
        values[j] = keep;
    }
}

static void the_order_of_rows_and_experts_changes_nothing(void **state)
{
    static const size_t columns[][WORLD_GENERATORS] = {
        { 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 1, 0, 3, 2 }, { 2, 3, 0, 1 }
    };
    struct rng rng = rng_seeded(19);
    uint32_t order[ROWS];
    struct fuser_bundle *straight;
    struct fuser *one;

    (void)state;
    for (uint32_t i = 0; i < ROWS; i++)
        order[i] = i;
    straight = shuffled(order, columns[0]);
    one = world_fuser(straight);
    for (size_t c = 1; c < sizeof columns / sizeof *columns; c++) {
        struct fuser_bundle *other;
        struct fuser *two;

        shuffle(&rng, order, ROWS);
        other = shuffled(order, columns[c]);
        two = world_fuser(other);
        expect_same_decisions(one, two, 20);
        fuser_unref(two);
        fuser_bundle_unref(other);
    }
    fuser_unref(one);
    fuser_bundle_unref(straight);
}

#define LAW(law, head)                                                                   \
    { .name = #head ": " #law, .test_func = law, .initial_state = &laws[HEAD_##head] },

int main(void)
{
    const struct CMUnitTest tests[] = {
#define X(head)                                                                          \
    LAW(an_estimate_is_a_share_and_has_an_error, head)                                   \
    LAW(odd_prompts_get_sound_answers, head)                                             \
    LAW(more_budget_never_lowers_the_chosen_utility, head)                               \
    LAW(more_lambda_never_raises_the_chosen_cost, head)                                  \
    LAW(who_is_masked_is_never_ranked, head)                                             \
    LAW(a_saved_bundle_decides_as_the_built_one, head)                                   \
    LAW(one_row_one_model_and_equal_quality_get_sound_answers, head)
        HEADS(X)
#undef X
            cmocka_unit_test(the_order_of_rows_and_experts_changes_nothing),
    };

    return cmocka_run_group_tests(tests, build_all, free_all);
}
