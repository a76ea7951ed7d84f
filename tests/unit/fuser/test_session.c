/* Laws of a session, on a made-up world: whatever the prompt, the prices and the gaps. */
#include "fuser/bundle.h"
#include "fuser/session.h"
#include "tests/unit/fuser/world.h"

#define ROWS 300

struct laws {
    struct fuser_bundle *bundle;
    struct fuser *fuser;
};

static int setup(void **state)
{
    struct laws *laws = calloc(1, sizeof *laws);

    laws->bundle = world_bundle(ROWS, 0.15);
    laws->fuser = world_fuser(laws->bundle);
    *state = laws;
    return 0;
}

static int teardown(void **state)
{
    struct laws *laws = *state;

    fuser_unref(laws->fuser);
    fuser_bundle_unref(laws->bundle);
    free(laws);
    return 0;
}

static double best_affordable(const struct fuser_verdict *verdict)
{
    return verdict->n_ranked && verdict->ranked[0].affordable ? verdict->ranked[0].utility
                                                              : -INFINITY;
}

static void more_budget_never_lowers_the_expected_utility(void **state)
{
    struct laws *laws = *state;
    struct rng rng = rng_seeded(1);

    for (size_t i = 0; i < 50; i++) {
        struct world_prompt prompt = world_prompt(&rng);
        struct fuser_session *session;
        double before = -INFINITY;
        struct world_ask ask;

        world_ask(&ask, &prompt);
        session = world_walk(laws->fuser, &ask, &prompt);
        for (int64_t left = 0; left <= 5000000000; left += 250000000) {
            struct fuser_verdict verdict;

            fuser_verdict(session, left, &verdict);
            assert_true(best_affordable(&verdict) >= before);
            before = best_affordable(&verdict);
            for (size_t r = 0; r < verdict.n_ranked; r++)
                assert_int_equal(verdict.ranked[r].affordable,
                                 verdict.ranked[r].worst_pico <= left);
        }
        assert_true(before > -INFINITY);
        fuser_session_free(session);
    }
}

static void a_higher_lambda_never_buys_a_dearer_answer(void **state)
{
    static const double lambdas[] = { 0, 1, 10, 100, 1000, 10000, 1e6 };
    struct laws *laws = *state;
    struct rng rng = rng_seeded(2);

    for (size_t i = 0; i < 50; i++) {
        struct world_prompt prompt = world_prompt(&rng);
        int64_t before = INT64_MAX;
        size_t compared = 0;

        for (size_t l = 0; l < sizeof lambdas / sizeof *lambdas; l++) {
            struct fuser_session *session;
            struct fuser_verdict verdict;
            struct world_ask ask;

            world_ask(&ask, &prompt);
            ask.ask.lambda = lambdas[l];
            for (size_t e = 0; e < WORLD_EMBEDDERS; e++)
                ask.embedders[e].allowed = e == 0; /* the same evidence for all */
            session = world_walk(laws->fuser, &ask, &prompt);
            fuser_verdict(session, INT64_MAX, &verdict);
            if (verdict.evidence != FUSER_EVIDENCE_NONE) {
                assert_true(verdict.ranked[0].expected_pico <= before);
                before = verdict.ranked[0].expected_pico;
                compared++;
            }
            fuser_session_free(session);
        }
        assert_true(compared >= 4);
    }
}

static void what_is_masked_is_never_chosen_and_never_asked(void **state)
{
    struct laws *laws = *state;
    struct rng rng = rng_seeded(3);

    for (uint32_t mask = 0; mask < 1u << WORLD_GENERATORS; mask++)
        for (uint32_t open = 0; open < 1u << WORLD_EMBEDDERS; open++) {
            struct world_prompt prompt = world_prompt(&rng);
            struct fuser_session *session;
            struct fuser_verdict verdict;
            struct world_ask ask;

            world_ask(&ask, &prompt);
            for (size_t g = 0; g < WORLD_GENERATORS; g++)
                ask.generators[g].allowed = mask >> g & 1;
            for (size_t e = 0; e < WORLD_EMBEDDERS; e++)
                ask.embedders[e].allowed = open >> e & 1;
            session = world_walk(laws->fuser, &ask, &prompt);
            fuser_verdict(session, INT64_MAX, &verdict);
            assert_int_equal(verdict.n_ranked, __builtin_popcount(mask));
            for (size_t r = 0; r < verdict.n_ranked; r++)
                assert_true(mask >> verdict.ranked[r].generator & 1);
            for (size_t s = 0; s < verdict.n_steps; s++)
                assert_true(verdict.steps[s].embedder < 0 ||
                            (open >> verdict.steps[s].embedder & 1));
            if (!mask || !open)
                assert_int_equal(verdict.stop, FUSER_STOP_NO_EVIDENCE);
            fuser_session_free(session);
        }
}

static void many_at_once_decide_as_each_alone(void **state)
{
    struct laws *laws = *state;
    struct rng rng = rng_seeded(4);
    enum { N = 17 };
    static struct world_prompt prompts[N];
    static struct world_ask asks[N];
    struct fuser_session *together[N];
    struct fuser_step steps[N];
    bool open = true;

    for (size_t i = 0; i < N; i++) {
        prompts[i] = world_prompt(&rng);
        world_ask(&asks[i], &prompts[i]);
        asks[i].ask.lambda = (double)(i * i);
        assert_int_equal(fuser_session_new(laws->fuser, &asks[i].ask, &together[i], NULL),
                         FUSER_OK);
    }
    while (open) {
        open = false;
        fuser_next(together, N, steps);
        for (size_t i = 0; i < N; i++)
            if (steps[i].action == FUSER_QUERY) {
                open = true;
                assert_int_equal(fuser_tell(together[i], 1, prompts[i].vector, WORLD_DIM,
                                            asks[i].embedders[1].price_pico, 1, NULL),
                                 FUSER_OK);
            }
    }
    for (size_t i = 0; i < N; i++) {
        struct fuser_session *alone = world_walk(laws->fuser, &asks[i], &prompts[i]);
        static struct fuser_verdict a, b;

        fuser_verdict(together[i], INT64_MAX, &a);
        fuser_verdict(alone, INT64_MAX, &b);
        assert_int_equal(a.n_steps, b.n_steps);
        assert_int_equal(a.stop, b.stop);
        /* Up to its last member: padding is not compared. */
        assert_memory_equal(&a.ranked[0], &b.ranked[0],
                            offsetof(struct fuser_ranked, good_enough) + sizeof(bool));
        assert_memory_equal(a.neighbours, b.neighbours,
                            a.n_neighbours * sizeof *a.neighbours);
        fuser_session_free(alone);
        fuser_session_free(together[i]);
    }
}

static void a_verdict_holds_no_nan_and_is_in_order(void **state)
{
    struct laws *laws = *state;
    struct rng rng = rng_seeded(5);

    for (size_t i = 0; i < 100; i++) {
        struct world_prompt prompt = world_prompt(&rng);
        struct fuser_session *session;
        struct fuser_verdict v;
        struct world_ask ask;
        float weight = 0;

        world_ask(&ask, &prompt);
        ask.ask.wait = 0.01;
        ask.ask.max_output_tokens = 60;
        session = world_walk(laws->fuser, &ask, &prompt);
        fuser_verdict(session, INT64_MAX, &v);
        assert_int_equal(v.n_ranked, WORLD_GENERATORS);
        for (size_t r = 0; r < v.n_ranked; r++) {
            assert_true(v.ranked[r].quality >= 0 && v.ranked[r].quality <= 1);
            assert_true(v.ranked[r].quality_se > 0 && v.ranked[r].quality_se < 0.5);
            assert_true(isfinite(v.ranked[r].utility) &&
                        isfinite(v.ranked[r].latency_ms));
            assert_true(v.ranked[r].output_tokens > 0 && v.ranked[r].output_tokens <= 60);
            assert_true(v.ranked[r].known <= 20);
            assert_true(r == 0 || v.ranked[r - 1].utility >= v.ranked[r].utility);
        }
        for (size_t n = 0; n < v.n_neighbours; n++) {
            assert_true(v.neighbours[n].distance >= 0 && v.neighbours[n].distance <= 4);
            assert_true(n == 0 ||
                        v.neighbours[n - 1].distance <= v.neighbours[n].distance);
            weight += v.neighbours[n].weight;
        }
        assert_true(weight <= 1.001f);
        assert_non_null(v.domain);
        fuser_session_free(session);
    }
}

static void each_domain_goes_to_its_own_expert(void **state)
{
    struct laws *laws = *state;
    struct rng rng = rng_seeded(6);
    size_t right = 0, n = 100;

    for (size_t i = 0; i < n; i++) {
        struct world_prompt prompt = world_prompt(&rng);
        struct fuser_session *session;
        struct fuser_verdict verdict;
        struct world_ask ask;

        world_ask(&ask, &prompt);
        ask.ask.lambda = 0;
        session = world_walk(laws->fuser, &ask, &prompt);
        fuser_verdict(session, INT64_MAX, &verdict);
        right += verdict.ranked[0].generator == prompt.domain;
        fuser_session_free(session);
    }
    assert_true(right >= 95);
}

static void a_minimum_quality_comes_before_utility(void **state)
{
    struct laws *laws = *state;
    struct rng rng = rng_seeded(7);
    struct world_prompt prompt = world_prompt(&rng);
    struct fuser_session *session;
    struct fuser_verdict v;
    struct world_ask ask;
    bool seen_bad = false;

    world_ask(&ask, &prompt);
    ask.ask.lambda = 2000; /* money is nearly all: the cheapest would win */
    ask.ask.min_quality = 0.6;
    session = world_walk(laws->fuser, &ask, &prompt);
    fuser_verdict(session, INT64_MAX, &v);
    assert_true(v.ranked[0].good_enough && v.ranked[0].quality >= 0.6);
    for (size_t r = 0; r < v.n_ranked; r++) {
        assert_false(seen_bad && v.ranked[r].good_enough);
        seen_bad |= !v.ranked[r].good_enough;
    }
    assert_true(seen_bad);
    fuser_session_free(session);
}

static void what_is_told_is_checked(void **state)
{
    struct laws *laws = *state;
    struct rng rng = rng_seeded(8);
    struct world_prompt prompt = world_prompt(&rng);
    struct fuser_session *session;
    struct fuser_step step;
    struct fuser_error error;
    struct world_ask ask;
    float bad[WORLD_DIM] = { 0 };

    world_ask(&ask, &prompt);
    ask.embedders[0].allowed = ask.embedders[2].allowed = false;
    assert_int_equal(fuser_session_new(laws->fuser, &ask.ask, &session, &error),
                     FUSER_OK);
    assert_int_equal(fuser_tell(session, 1, prompt.vector, WORLD_DIM, 0, 0, &error),
                     FUSER_INVALID); /* nobody asked yet */
    fuser_next(&session, 1, &step);
    assert_int_equal(step.action, FUSER_QUERY);
    assert_int_equal(fuser_tell(session, 0, prompt.vector, WORLD_DIM, 0, 0, &error),
                     FUSER_INVALID);
    assert_int_equal(fuser_tell(session, 1, prompt.vector, 3, 0, 0, &error),
                     FUSER_MISMATCH);
    assert_int_equal(fuser_tell(session, 1, bad, WORLD_DIM, 0, 0, &error), FUSER_INVALID);
    bad[0] = NAN;
    assert_int_equal(fuser_tell(session, 1, bad, WORLD_DIM, 0, 0, &error), FUSER_INVALID);
    fuser_next(&session, 1, &step); /* it is still asked */
    assert_int_equal(step.action, FUSER_QUERY);
    assert_int_equal(fuser_tell(session, 1, prompt.vector, WORLD_DIM, 5, 0, &error),
                     FUSER_OK);
    assert_int_equal(fuser_tell(session, 1, prompt.vector, WORLD_DIM, 5, 0, &error),
                     FUSER_INVALID); /* once is enough */
    fuser_next(&session, 1, &step);
    assert_int_equal(step.action, FUSER_ANSWER);
    fuser_session_free(session);
}

static void a_failed_embedder_is_out_and_its_price_counts(void **state)
{
    struct laws *laws = *state;
    struct rng rng = rng_seeded(9);
    struct world_prompt prompt = world_prompt(&rng);
    struct fuser_session *session;
    struct fuser_verdict verdict;
    struct fuser_step step;
    struct world_ask ask;

    world_ask(&ask, &prompt);
    ask.embedders[0].allowed = ask.embedders[2].allowed = false;
    assert_int_equal(fuser_session_new(laws->fuser, &ask.ask, &session, NULL), FUSER_OK);
    fuser_next(&session, 1, &step);
    assert_int_equal(step.action, FUSER_QUERY);
    fuser_verdict(session, INT64_MAX, &verdict); /* in the middle: what is known so far */
    assert_int_equal(verdict.stop, FUSER_STOP_RUNNING);
    assert_int_equal(verdict.evidence, FUSER_EVIDENCE_NONE);
    assert_int_equal(verdict.n_ranked, WORLD_GENERATORS);
    fuser_fail(session, 1, 123);
    fuser_next(&session, 1, &step);
    assert_int_equal(step.action, FUSER_ANSWER);
    fuser_verdict(session, INT64_MAX, &verdict);
    assert_int_equal(verdict.stop, FUSER_STOP_NO_EVIDENCE);
    assert_int_equal(verdict.paid_pico, 123);
    fuser_session_free(session);
}

static void an_ask_is_checked(void **state)
{
    struct laws *laws = *state;
    struct rng rng = rng_seeded(10);
    struct world_prompt prompt = world_prompt(&rng);
    struct fuser_session *session = NULL;
    struct fuser_error error;

    for (int bad = 0; bad < 8; bad++) {
        struct world_ask ask;

        world_ask(&ask, &prompt);
        ask.ask.lambda = bad == 0 ? NAN : bad == 1 ? -1 : bad == 2 ? INFINITY : 1;
        ask.ask.wait = bad == 3 ? -1 : 0;
        ask.ask.min_quality = bad == 4 ? 1.5 : 0;
        ask.ask.ceiling_pico = bad == 5 ? -1 : INT64_MAX;
        ask.generators[2].output_pico = bad == 6 ? -1 : 0;
        ask.embedders[1].wait_ms = bad == 7 ? NAN : 0;
        assert_int_equal(fuser_session_new(laws->fuser, &ask.ask, &session, &error),
                         FUSER_INVALID);
        assert_null(session);
        assert_true(error.text[0] != '\0');
    }
}

static void a_strange_prompt_is_too_far_or_says_nothing(void **state)
{
    struct laws *laws = *state;
    static const char *const texts[] = { "", " \n\t", "\xFF\xFE\x80" };
    struct fuser_session *session;
    struct fuser_verdict verdict;
    struct world_prompt prompt = { .text = "" };
    struct world_ask ask;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        world_ask(&ask, &prompt);
        ask.ask.text = texts[i];
        ask.ask.text_bytes = strlen(texts[i]);
        ask.embedders[1].allowed = ask.embedders[2].allowed = false;
        session = world_walk(laws->fuser, &ask, &prompt);
        fuser_verdict(session, INT64_MAX, &verdict);
        assert_int_not_equal(verdict.evidence, FUSER_EVIDENCE_GOOD);
        fuser_session_free(session);
    }
    /* The remote embedder's space is a cone; its opposite is far from every row. */
    world_ask(&ask, &prompt);
    ask.embedders[0].allowed = ask.embedders[2].allowed = false;
    for (size_t d = 0; d < WORLD_DIM; d++)
        prompt.vector[d] = -1;
    session = world_walk(laws->fuser, &ask, &prompt);
    fuser_verdict(session, INT64_MAX, &verdict);
    assert_int_equal(verdict.evidence, FUSER_EVIDENCE_TOO_FAR);
    fuser_session_free(session);
}

static void a_calibration_prompt_lies_on_its_own_row(void **state)
{
    struct laws *laws = *state;
    struct rng rng = rng_seeded(42 * 7919u); /* the seed of row000042's prompt */
    struct world_prompt prompt = world_prompt(&rng);
    struct fuser_session *session;
    struct fuser_verdict verdict;
    struct world_ask ask;

    world_ask(&ask, &prompt);
    session = world_walk(laws->fuser, &ask, &prompt);
    fuser_verdict(session, INT64_MAX, &verdict);
    assert_string_equal(verdict.neighbours[0].id, "row000042");
    assert_true(verdict.neighbours[0].distance == 0);
    fuser_session_free(session);
}

typedef struct fuser_cell cell_fn(bool second, size_t generator);

/* Prompts of two kinds that lie apart, each with its label; x and y do on them as `cell` says. */
static struct fuser *two_kinds(size_t n_first, size_t n_second, cell_fn *cell)
{
    static const char *const generators[] = { "x", "y" }, *const embedders[] = { "e" };
    struct fuser_embedder_info info = { .name = "e", .model = "m", .dim = 2 };
    struct fuser_names names = { generators, 2, embedders, 1, NULL };
    struct fuser_build how = { .head = "knn", .k = 20, .walk_m = 20, .prior_rows = 1 };
    struct fuser_rows *rows = NULL;
    struct fuser_bundle *bundle = NULL;
    struct fuser *fuser = NULL;

    assert_int_equal(fuser_rows_new(generators, 2, &info, 1, &rows, NULL), FUSER_OK);
    for (size_t i = 0; i < n_first + n_second; i++) {
        bool second = i >= n_first;
        float v[2] = { second ? 0.01f * (float)i : 10, second ? 10 : 0.01f * (float)i };
        char id[8];
        size_t row;

        (void)snprintf(id, sizeof id, "r%03zu", i);
        assert_int_equal(
            fuser_rows_add(rows, id, second ? "second" : "first", NULL, 0, &row, NULL),
            FUSER_OK);
        assert_int_equal(fuser_rows_set_vector(rows, row, 0, v, 2, NULL), FUSER_OK);
        for (size_t g = 0; g < 2; g++) {
            struct fuser_cell known = cell(second, g);
            assert_int_equal(fuser_rows_set_cell(rows, row, g, &known, NULL), FUSER_OK);
        }
    }
    assert_int_equal(fuser_bundle_build(rows, &how, &bundle, NULL), FUSER_OK);
    assert_int_equal(fuser_new(bundle, &names, &fuser, NULL), FUSER_OK);
    fuser_bundle_unref(bundle);
    fuser_rows_free(rows);
    return fuser;
}

static void verdict_at(struct fuser *fuser, double wait, double switch_z,
                       const float *vector, struct fuser_verdict *ret)
{
    struct fuser_ask_generator generators[2] = { { .allowed = true },
                                                 { .allowed = true } };
    struct fuser_ask_embedder embedder = { .allowed = true };
    struct fuser_ask ask = { .wait = wait,
                             .switch_z = switch_z,
                             .ceiling_pico = INT64_MAX,
                             .generators = generators,
                             .embedders = &embedder };
    struct fuser_session *session = NULL;
    struct fuser_step step;

    assert_int_equal(fuser_session_new(fuser, &ask, &session, NULL), FUSER_OK);
    session->state = SESSION_ASKED; /* evidence without regard to its worth */
    session->pending = 0;
    assert_int_equal(fuser_tell(session, 0, vector, 2, 0, 0, NULL), FUSER_OK);
    fuser_next(&session, 1, &step);
    assert_int_equal(step.action, FUSER_ANSWER);
    fuser_verdict(session, INT64_MAX, ret);
    fuser_session_free(session);
}

/* x takes 0.1 s on the first kind and 1 s on the second, y half a second on both; always right. */
static struct fuser_cell of_two_speeds(bool second, size_t generator)
{
    return (struct fuser_cell){ 1, 10, 10, generator == 1 ? 500 : second ? 1000 : 100 };
}

static void waiting_is_priced_by_the_latency_of_prompts_like_this(void **state)
{
    static const float fast[2] = { 1, 0 }, slow[2] = { 0, 1 };
    struct fuser *fuser = two_kinds(60, 60, of_two_speeds);
    struct fuser_verdict v;

    (void)state;
    verdict_at(fuser, 0.5, 0, fast, &v);
    assert_int_equal(v.ranked[0].generator, 0);
    assert_true(v.ranked[0].latency_ms < 200);
    assert_true(fabs(v.ranked[0].utility -
                     (v.ranked[0].quality - 0.5 * v.ranked[0].latency_ms / 1000)) < 1e-9);
    verdict_at(fuser, 0.5, 0, slow, &v);
    assert_int_equal(v.ranked[0].generator, 1);
    assert_true(fabs(v.ranked[0].latency_ms - 500) < 1);
    assert_true(v.ranked[1].latency_ms > 900);
    /* Who does not mind waiting takes the first of equals. */
    verdict_at(fuser, 0, 0, slow, &v);
    assert_int_equal(v.ranked[0].generator, 0);
    fuser_unref(fuser);
}

/* x is better on the kind that has most rows, y by far on the other: .67 to .63 over rows, .62 to .68 over
 * kinds. */
static struct fuser_cell of_two_weights(bool second, size_t generator)
{
    static const float quality[2][2] = { { 0.7f, 0.6f }, { 0.5f, 0.8f } };
    return (struct fuser_cell){ quality[second][generator], 10, 10, NAN };
}

static void the_default_is_best_where_each_domain_counts_alike(void **state)
{
    static const float first[2] = { 1, 0 };
    struct fuser *fuser = two_kinds(100, 20, of_two_weights);
    struct fuser_verdict v;

    (void)state;
    verdict_at(fuser, 0, 0, first, &v);
    assert_int_equal(v.ranked[0].generator, 0);
    verdict_at(fuser, 0, 100, first, &v);
    assert_int_equal(v.ranked[0].generator, 1);
    assert_true(v.kept_default);
    fuser_unref(fuser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_budget_never_lowers_the_expected_utility),
        cmocka_unit_test(a_higher_lambda_never_buys_a_dearer_answer),
        cmocka_unit_test(what_is_masked_is_never_chosen_and_never_asked),
        cmocka_unit_test(many_at_once_decide_as_each_alone),
        cmocka_unit_test(a_verdict_holds_no_nan_and_is_in_order),
        cmocka_unit_test(each_domain_goes_to_its_own_expert),
        cmocka_unit_test(a_minimum_quality_comes_before_utility),
        cmocka_unit_test(what_is_told_is_checked),
        cmocka_unit_test(a_failed_embedder_is_out_and_its_price_counts),
        cmocka_unit_test(an_ask_is_checked),
        cmocka_unit_test(a_strange_prompt_is_too_far_or_says_nothing),
        cmocka_unit_test(a_calibration_prompt_lies_on_its_own_row),
        cmocka_unit_test(waiting_is_priced_by_the_latency_of_prompts_like_this),
        cmocka_unit_test(the_default_is_best_where_each_domain_counts_alike),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
