/* FrugalFoE's decisions on tables small enough to work out by hand.
 *
 * Two embedders a, b; two generators x, y; four rows. x is right on rows 0 and 1, y on 2 and 3.
 * The tables are written here: under {a} the route is right on three rows of four, under {b}
 * on two, under {a, b} on all. So, where nothing costs anything,
 *
 *     L({}) = 1/2    L({a}) = 1/4    L({b}) = 1/2    L({a, b}) = 0
 *
 * lambda is such that 2^40 pico-USD are one unit of loss: every sum below is exact.
 */
#include "fuser/bundle.h"
#include "fuser/nearest.h"
#include "tests/unit/fuser/world.h"

#define UNIT ((int64_t)1 << 40)
#define A    1u
#define B    2u

static const float good[4][2] = { { 1, 0 }, { 1, 0 }, { 0, 1 }, { 0, 1 } };

/* Which generator the table makes the route choose, per subset and row. */
static const int routes[4][4] = {
    { 0, 0, 0, 0 }, /* not used: nothing is queried */
    { 0, 0, 1, 0 }, /* a errs on row 3 */
    { 0, 1, 1, 0 }, /* b errs on rows 1 and 3 */
    { 0, 0, 1, 1 },
};

struct tables {
    struct fuser_bundle *bundle;
    struct fuser *fuser;
    struct fuser_ask ask;
    struct fuser_ask_generator generators[2];
    struct fuser_ask_embedder embedders[2];
};

static struct fuser_bundle *four_rows(float output_tokens)
{
    struct fuser_embedder_info infos[2] = { { .name = "a", .dim = 2 },
                                            { .name = "b", .dim = 2 } };
    const char *names[] = { "x", "y" };
    struct fuser_build how = { .k = 4, .walk_m = 4, .prior_rows = 1 };
    struct fuser_rows *rows = NULL;
    struct fuser_bundle *bundle = NULL;

    assert_int_equal(fuser_rows_new(names, 2, infos, 2, &rows, NULL), FUSER_OK);
    for (size_t i = 0; i < 4; i++) {
        float v[2] = { 1, (float)i };
        char id[4];
        size_t row;

        (void)snprintf(id, sizeof id, "r%zu", i);
        assert_int_equal(fuser_rows_add(rows, id, NULL, NULL, 0, &row, NULL), FUSER_OK);
        for (size_t e = 0; e < 2; e++)
            assert_int_equal(fuser_rows_set_vector(rows, row, e, v, 2, NULL), FUSER_OK);
        for (size_t g = 0; g < 2; g++) {
            struct fuser_cell cell = { good[i][g], 0, output_tokens, NAN };

            assert_int_equal(fuser_rows_set_cell(rows, row, g, &cell, NULL), FUSER_OK);
        }
    }
    assert_int_equal(fuser_bundle_build(rows, &how, &bundle, NULL), FUSER_OK);
    fuser_rows_free(rows);
    return bundle;
}

/* Puts the tables above in the place of the estimated ones. */
static void write_tables(struct fuser_bundle *bundle)
{
    struct loo *loo = &bundle->loo;

    for (uint32_t subset = 1; subset <= 3; subset++)
        for (size_t row = 0; row < 4; row++)
            for (int g = 0; g < 2; g++)
                loo->quality[((subset - 1) * 4 + row) * 2 + (size_t)g] =
                    routes[subset][row] == g ? 0.75f : 0.25f;
    free(loo->slot_of);
    free(loo->start.quality);
    free(loo->start.tokens);
    free(loo->start.truth);
    free(loo->start.input);
    free(loo->start.output);
    assert_int_equal(loo_derive(bundle, loo), FUSER_OK);
}

static int setup(void **state)
{
    static const char *const generators[] = { "x", "y" }, *const embedders[] = { "a",
                                                                                 "b" };
    struct fuser_names names = { generators, 2, embedders, 2, NULL };
    struct tables *t = calloc(1, sizeof *t);

    t->bundle = four_rows(1);
    write_tables(t->bundle);
    assert_int_equal(fuser_new(t->bundle, &names, &t->fuser, NULL), FUSER_OK);
    t->ask = (struct fuser_ask){ .lambda = 1e12 / (double)UNIT,
                                 .ceiling_pico = INT64_MAX,
                                 .generators = t->generators,
                                 .embedders = t->embedders };
    for (size_t i = 0; i < 2; i++) {
        t->generators[i].allowed = true;
        t->embedders[i].allowed = true;
    }
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct tables *t = *state;

    fuser_unref(t->fuser);
    fuser_bundle_unref(t->bundle);
    free(t);
    return 0;
}

/* Walks to the end, telling the vector of row 0; the embedders bought, as a mask. */
static uint32_t walk(struct tables *t, struct fuser_verdict *ret_verdict)
{
    static const float vector[2] = { 1, 0 };
    struct fuser_session *session = NULL;
    struct fuser_step step;
    uint32_t bought = 0;

    assert_int_equal(fuser_session_new(t->fuser, &t->ask, &session, NULL), FUSER_OK);
    for (fuser_next(&session, 1, &step); step.action == FUSER_QUERY;
         fuser_next(&session, 1, &step)) {
        bought |= 1u << step.embedder;
        assert_int_equal(fuser_tell(session, step.embedder, vector, 2,
                                    t->embedders[step.embedder].price_pico, 0, NULL),
                         FUSER_OK);
    }
    fuser_verdict(session, INT64_MAX, ret_verdict);
    fuser_session_free(session);
    return bought;
}

static void free_evidence_is_bought_while_it_helps(void **state)
{
    struct tables *t = *state;
    struct fuser_verdict v;

    assert_int_equal(walk(t, &v), A | B);
    assert_int_equal(v.stop, FUSER_STOP_ALL_BOUGHT);
    assert_int_equal(v.n_steps, 3);
    assert_int_equal(v.steps[0].embedder, 0);
    assert_true(v.steps[0].loss_before == 0.5);
    assert_true(v.steps[0].candidates[0].loss == 0.25);
    assert_true(v.steps[0].candidates[1].loss == 0.5);
    assert_int_equal(v.steps[1].embedder, 1);
    assert_true(v.steps[1].loss_before == 0.25);
    assert_true(v.steps[1].candidates[1].loss == 0);
    assert_false(v.steps[1].candidates[0].open);
    assert_int_equal(v.steps[2].embedder, -1);
    assert_true(v.steps[2].loss_before == 0);
}

static void a_price_is_part_of_the_loss(void **state)
{
    struct tables *t = *state;
    struct fuser_verdict v;

    t->embedders[0].price_pico = UNIT / 8;
    t->embedders[1].price_pico = UNIT / 8;
    assert_int_equal(walk(t, &v), A | B);
    assert_true(v.steps[0].candidates[0].loss == 0.375);
    assert_true(v.steps[0].candidates[1].loss == 0.625);
    assert_true(v.steps[1].candidates[1].loss == 0.125);
    assert_int_equal(v.paid_pico, UNIT / 4);
}

static void equality_stops(void **state)
{
    struct tables *t = *state;
    struct fuser_verdict v;

    t->embedders[1].price_pico = UNIT / 4; /* gains 1/4, costs 1/4 */
    assert_int_equal(walk(t, &v), A);
    assert_int_equal(v.stop, FUSER_STOP_NO_GAIN);
    assert_true(v.steps[1].candidates[1].loss == v.steps[1].loss_before);
    t->embedders[1].price_pico = UNIT / 4 - 1;
    assert_int_equal(walk(t, &v), A | B);
    t->embedders[0].price_pico = UNIT / 4; /* the first step too */
    assert_int_equal(walk(t, &v), 0);
    assert_int_equal(v.stop, FUSER_STOP_NOT_WORTH);
    assert_int_equal(v.evidence, FUSER_EVIDENCE_NONE);
}

/* The first purchase takes a's loss from (0, 0, 1, 1) to (0, 0, 0, 1): a gain of 1/4 with a
 * standard error of 1/4. */
static void what_costs_must_gain_more_than_its_standard_error(void **state)
{
    struct tables *t = *state;
    struct fuser_verdict v;

    t->ask.gain_se = 0.5;
    t->embedders[1].allowed = false;
    t->embedders[0].price_pico = UNIT / 8; /* net gain 1/8, half the standard error */
    assert_int_equal(walk(t, &v), 0);
    assert_int_equal(v.stop, FUSER_STOP_NOT_WORTH);
    assert_true(v.steps[0].candidates[0].gain_se == 0.25);
    t->embedders[0].price_pico = UNIT / 8 - 1;
    assert_int_equal(walk(t, &v), A);
    t->ask.gain_se = 1;
    t->embedders[0].price_pico = 1;
    assert_int_equal(walk(t, &v), 0);
    t->ask.gain_se = 0;
    assert_int_equal(walk(t, &v), A);
}

static void free_evidence_needs_no_margin(void **state)
{
    struct tables *t = *state;
    struct fuser_verdict v;

    t->ask.gain_se = 100;
    assert_int_equal(walk(t, &v), A | B);
    t->embedders[1].wait_ms = 1; /* waiting that nobody minds is free too */
    assert_int_equal(walk(t, &v), A | B);
    t->ask.wait = 0.001;
    assert_int_equal(walk(t, &v), A);
    assert_int_equal(v.stop, FUSER_STOP_NO_GAIN);
}

/* b gains less than a, but a's gain is not sure enough for its price. */
static void a_sure_gain_comes_before_a_greater_one(void **state)
{
    struct tables *t = *state;
    struct fuser_verdict v;

    for (size_t row = 0; row < 4; row++) /* b errs on row 0 only */
        for (size_t g = 0; g < 2; g++)
            t->bundle->loo.start.quality[(2 + g) * 4 + row] =
                (row == 0           ? 1
                 : good[row][1] > 0 ? 1
                                    : 0) == g
                    ? 0.75f
                    : 0.25f;
    t->ask.gain_se = 1;
    t->embedders[0].price_pico = 1;
    assert_int_equal(walk(t, &v) & B, B);
    assert_int_equal(v.steps[0].embedder, 1);
}

static void a_lambda_of_zero_buys_whatever_helps(void **state)
{
    struct tables *t = *state;
    struct fuser_verdict v;

    t->ask.lambda = 0;
    t->embedders[0].price_pico = t->embedders[1].price_pico = 1000 * UNIT;
    assert_int_equal(walk(t, &v), A | B);
}

static void waiting_has_a_price(void **state)
{
    struct tables *t = *state;
    struct fuser_verdict v;

    t->ask.wait = 0.5;             /* a second is worth half a right answer */
    t->embedders[1].wait_ms = 500; /* gains 1/4, costs 1/4 */
    assert_int_equal(walk(t, &v), A);
    t->embedders[1].wait_ms = 499;
    assert_int_equal(walk(t, &v), A | B);
}

/* Latency is of the generators' rows: y takes two seconds, x half of one. */
static void a_slow_generator_is_not_worth_waiting_for(void **state)
{
    struct tables *t = *state;
    struct fuser_verdict v;

    t->bundle->blind[0].latency_ms = 500;
    t->bundle->blind[1].latency_ms = 2000;
    t->ask.wait = 0.25; /* y costs 3/8 more than x: it gains 1 where only it is right */
    assert_int_equal(walk(t, &v), A | B);
    assert_true(v.steps[0].loss_before == 0.5 + 0.125);
    /* {a} turns one row of four to y. */
    assert_true(v.steps[0].candidates[0].loss == 0.25 + (3 * 0.125 + 0.5) / 4);
    t->ask.wait = 1; /* 3/2 more than x: y is never chosen, evidence changes nothing */
    assert_int_equal(walk(t, &v), 0);
    assert_int_equal(v.stop, FUSER_STOP_NOT_WORTH);
    t->ask.wait = 0.25;
    t->bundle->blind[1].latency_ms = NAN; /* not known is not slow */
    assert_int_equal(walk(t, &v), A | B);
    assert_true(v.steps[0].loss_before == 0.5);
}

static void a_single_generator_needs_no_evidence(void **state)
{
    struct tables *t = *state;
    struct fuser_verdict v;

    t->generators[1].allowed = false;
    assert_int_equal(walk(t, &v), 0);
    assert_int_equal(v.stop, FUSER_STOP_NOT_WORTH);
    assert_int_equal(v.n_ranked, 1);
    assert_int_equal(v.ranked[0].generator, 0);
}

static void a_ceiling_stops_what_would_pay(void **state)
{
    struct tables *t = *state;
    struct fuser_verdict v;

    t->embedders[0].price_pico = 100;
    t->embedders[1].price_pico = 100;
    t->generators[0].worst_pico = t->generators[1].worst_pico = 1000;
    t->ask.ceiling_pico = 1199; /* one embedding and a generation, not two */
    assert_int_equal(walk(t, &v), A);
    assert_int_equal(v.stop, FUSER_STOP_CEILING);
    t->ask.ceiling_pico = 1200;
    assert_int_equal(walk(t, &v), A | B);
    t->ask.ceiling_pico = 1099;
    assert_int_equal(walk(t, &v), 0);
    assert_int_equal(v.stop, FUSER_STOP_CEILING);
}

static void evidence_is_worth_nothing_when_one_generator_is_left_to_pay(void **state)
{
    struct tables *t = *state;
    struct fuser_verdict v;

    /* y's worst case fits before the embedding is bought, and no longer after it. */
    t->embedders[0].price_pico = t->embedders[1].price_pico = 100;
    t->generators[0].worst_pico = 10;
    t->generators[1].worst_pico = 1000;
    t->ask.ceiling_pico = 1050;
    assert_int_equal(walk(t, &v), 0);
    assert_int_equal(v.stop, FUSER_STOP_NOT_WORTH);
    assert_true(v.steps[0].candidates[0].loss > 0.5);
}

static void a_dear_generator_is_not_worth_a_small_gain(void **state)
{
    struct tables *t = *state;
    struct fuser_verdict v;

    /* One output token a row: y costs 3/4 more than x, so no row is routed to it. */
    t->generators[1].output_pico = 3 * UNIT / 4;
    assert_int_equal(walk(t, &v), 0);
    assert_true(v.steps[0].loss_before == 0.5);
    assert_true(v.steps[0].candidates[0].loss == 0.5);
    /* At 1/4 it is right to pay for y on row 2: (0 + 0 + 1/4 + 1) / 4. */
    t->generators[1].output_pico = UNIT / 4;
    assert_int_equal(walk(t, &v), A | B);
    assert_true(v.steps[0].candidates[0].loss == 0.3125);
    assert_true(v.steps[1].candidates[1].loss == 0.125);
}

static void an_output_limit_caps_the_price_of_a_row(void **state)
{
    struct tables *t = *state;
    struct fuser_bundle *bundle = four_rows(1000);
    static const char *const generators[] = { "x", "y" }, *const embedders[] = { "a",
                                                                                 "b" };
    struct fuser_names names = { generators, 2, embedders, 2, NULL };
    struct fuser_verdict v;

    write_tables(bundle);
    fuser_unref(t->fuser);
    assert_int_equal(fuser_new(bundle, &names, &t->fuser, NULL), FUSER_OK);
    fuser_bundle_unref(t->bundle);
    t->bundle = bundle;
    t->generators[0].output_pico = t->generators[1].output_pico = UNIT / 16;
    t->ask.max_output_tokens = 2;
    assert_int_equal(walk(t, &v), A | B);
    assert_true(v.steps[0].loss_before == 0.5 + 0.125);
    assert_true(v.steps[1].loss_before == 0.25 + 0.125);
    assert_true(v.ranked[0].output_tokens == 2);
}

static void a_minimum_quality_outweighs_the_price(void **state)
{
    struct tables *t = *state;
    struct fuser_verdict v;

    /* y is far too dear, but on the rows where only it reaches 1/2 it is chosen. */
    t->generators[1].output_pico = UNIT;
    t->ask.min_quality = 0.5;
    t->embedders[1].allowed = false;
    (void)walk(t, &v);
    assert_true(v.steps[0].candidates[0].loss == (0 + 0 + 1 + 1) / 4.0);
}

static double near_loss(const struct tables *t, uint32_t subset, const struct near *near,
                        size_t m, const struct loo_terms *terms,
                        const struct loo_choice *choice)
{
    struct loo_losses losses;

    loo_near_losses(t->bundle, subset, near, m, terms, choice, &losses);
    return losses.mean;
}

/* The loss at the start and the one near a prompt are two loops over the same tables. */
static void both_ways_to_a_loss_agree(void **state)
{
    struct tables *t = *state;
    struct loo_terms terms = { .output_limit = INFINITY };
    struct loo_choice choice = { .n = 2, .order = { 0, 1 } };
    struct near near[4];

    for (uint32_t i = 0; i < 4; i++)
        near[i] = (struct near){ 0, i };
    for (int dear = 0; dear < 3; dear++)
        for (int wanted = 0; wanted < 3; wanted++)
            for (size_t e = 0; e < 2; e++) {
                struct loo_losses first;

                terms.output[1] = 0.5 * dear;
                terms.fixed[0] = 0.125 * dear;
                terms.min_quality = 0.5 * wanted; /* 1: nothing reaches it */
                loo_first_losses(t->bundle, e, &terms, &choice, &first);
                assert_true(first.mean ==
                            near_loss(t, 1u << e, near, 4, &terms, &choice));
            }
    /* y costs more than it can gain, yet only y reaches 1/2 on row 2 of {a}. */
    terms = (struct loo_terms){ .output = { 0, 1 }, .output_limit = INFINITY };
    assert_true(near_loss(t, A, near, 4, &terms, &choice) == 0.5);
    terms.min_quality = 0.5;
    assert_true(near_loss(t, A, near + 2, 1, &terms, &choice) == 1);
    terms.output[1] = 0.75;
    assert_true(near_loss(t, A, near + 2, 1, &terms, &choice) == 0.75);
}

static void a_banned_first_choice_leaves_the_second(void **state)
{
    struct tables *t = *state;
    struct fuser_session *session = NULL;
    struct fuser_verdict v;
    struct fuser_step step;

    assert_int_equal(fuser_session_new(t->fuser, &t->ask, &session, NULL), FUSER_OK);
    fuser_next(&session, 1, &step);
    assert_int_equal(step.embedder, 0);
    fuser_fail(session, 0, 7);
    fuser_next(&session, 1, &step); /* b alone is no better than x for all */
    assert_int_equal(step.action, FUSER_ANSWER);
    fuser_verdict(session, INT64_MAX, &v);
    assert_int_equal(v.stop, FUSER_STOP_NOT_WORTH);
    assert_int_equal(v.paid_pico, 7);
    fuser_session_free(session);
}

/* Three rows around the prompt, k = 2, one pseudo-count: worked out on paper. */
static void an_estimate_is_the_shrunken_mean_of_the_known(void **state)
{
    struct fuser_embedder_info info = { .name = "a", .dim = 2 };
    const char *names[] = { "x" }, *embedder = "a";
    struct fuser_build how = { .head = "knn", .k = 2, .walk_m = 2, .prior_rows = 1 };
    static const float v[4][2] = { { 1, 0 }, { 1, 0.1f }, { 1, 0.2f }, { 0, 1 } };
    static const float quality[4] = { 1, NAN, 0.5f, 0 };
    struct fuser_rows *rows = NULL;
    struct fuser_bundle *bundle = NULL;
    struct head_view view = { 0 };
    struct head_estimate estimate;
    struct near near[4];
    float distance[4] = { 0 };

    (void)state;
    (void)embedder;
    assert_int_equal(fuser_rows_new(names, 1, &info, 1, &rows, NULL), FUSER_OK);
    for (size_t i = 0; i < 4; i++) {
        struct fuser_cell cell = { quality[i], 10, i == 0 ? 100 : NAN, NAN };
        char id[4];
        size_t row;

        (void)snprintf(id, sizeof id, "r%zu", i);
        assert_int_equal(fuser_rows_add(rows, id, NULL, NULL, 0, &row, NULL), FUSER_OK);
        assert_int_equal(fuser_rows_set_vector(rows, row, 0, v[i], 2, NULL), FUSER_OK);
        assert_int_equal(fuser_rows_set_cell(rows, row, 0, &cell, NULL), FUSER_OK);
    }
    assert_int_equal(fuser_bundle_build(rows, &how, &bundle, NULL), FUSER_OK);
    bundle_distances(bundle, 0, 0, 4, v[0], distance);
    view.bundle = bundle;
    view.subset = 1;
    view.near = near;
    view.n_near = nearest_exact(distance, 4, bundle->settings.reach, KERNEL_NO_ROW, near);
    view.row = KERNEL_NO_ROW;
    view.output_limit = INFINITY;
    assert_int_equal(view.n_near, 3); /* k * rows / known, rounded up */
    head_look(&view);
    head_estimate(&view, &estimate);
    /* Known near: 1 and 1/2. Prior: (1 + 1/2 + 0 + 1/2) / (3 + 1) = 1/2. */
    assert_int_equal(estimate.known, 2);
    assert_true(fabs(estimate.quality - (1 + 0.5 + 0.5) / 3) < 1e-6);
    assert_true(fabs(estimate.output_tokens - 100) < 1e-4);
    assert_true(isnan(estimate.latency_ms));
    /* Seen as a calibration row, row 0 counts neither near nor in the prior:
     * near 1/2 and 0; prior (1/2 + 0 + 1/2) / (2 + 1) = 1/3. */
    view.row = 0;
    view.n_near = nearest_exact(distance, 4, bundle->settings.reach, 0, near);
    head_look(&view);
    head_estimate(&view, &estimate);
    assert_true(fabs(estimate.quality - (0.5 + 0 + 1.0 / 3) / 3) < 1e-6);
    assert_true(fabs((double)bundle->loo.quality[0] - estimate.quality) < 1e-6);
    fuser_bundle_unref(bundle);
    fuser_rows_free(rows);
}

/* Three rows of domain 0, one of domain 1; pulls of five rows and of one, as in prior.c. */
static void a_row_leaves_every_mean_that_it_is_part_of(void **state)
{
    float quality[4] = { 1, 1, 0, 0 }, input[4] = { 1, 1, 1, 1 };
    float output[4] = { 10, 20, NAN, 60 }, latency[4] = { NAN, NAN, NAN, NAN };
    uint32_t domain_of[4] = { 0, 0, 0, 1 };
    struct cells cells = { 4, 1, quality, input, output, latency, NULL, NULL };
    struct prior_vote vote = { 0, 1 };
    struct prior_mean mean;
    struct prior prior;

    (void)state;
    assert_int_equal(prior_init(&prior, &cells, domain_of, 2), FUSER_OK);
    mean = prior_expect(&prior, NULL, 0, 0, KERNEL_NO_ROW);
    assert_true(fabs(mean.quality - (2 + 0.5) / (4 + 1)) < 1e-9);
    mean = prior_expect(&prior, &vote, 1, 0, KERNEL_NO_ROW);
    assert_true(fabs(mean.quality - (2 + 5 * 0.5) / (3 + 5)) < 1e-9);
    assert_true(fabs(mean.output_tokens - (30 + 5 * 30.0) / (2 + 5)) < 1e-9);
    assert_true(isnan(mean.latency_ms));
    /* without row 0: 0.375 = (1 + 1/2) / (3 + 1) over all */
    mean = prior_expect(&prior, &vote, 1, 0, 0);
    assert_true(fabs(mean.quality - (1 + 5 * 0.375) / (2 + 5)) < 1e-9);
    assert_true(fabs(mean.output_tokens - (20 + 5 * 40.0) / (1 + 5)) < 1e-9);
    /* row 3 is not of domain 0: it leaves the mean over all only */
    mean = prior_expect(&prior, &vote, 1, 0, 3);
    assert_true(fabs(mean.quality - (2 + 5 * 0.625) / (3 + 5)) < 1e-9);
    prior_release(&prior);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(free_evidence_is_bought_while_it_helps, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_price_is_part_of_the_loss, setup, teardown),
        cmocka_unit_test_setup_teardown(equality_stops, setup, teardown),
        cmocka_unit_test_setup_teardown(what_costs_must_gain_more_than_its_standard_error,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(free_evidence_needs_no_margin, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sure_gain_comes_before_a_greater_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_lambda_of_zero_buys_whatever_helps, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(waiting_has_a_price, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_generator_is_not_worth_waiting_for, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_single_generator_needs_no_evidence, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_ceiling_stops_what_would_pay, setup, teardown),
        cmocka_unit_test_setup_teardown(
            evidence_is_worth_nothing_when_one_generator_is_left_to_pay, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dear_generator_is_not_worth_a_small_gain, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_output_limit_caps_the_price_of_a_row, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_minimum_quality_outweighs_the_price, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(both_ways_to_a_loss_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(a_banned_first_choice_leaves_the_second, setup,
                                        teardown),
        cmocka_unit_test(a_row_leaves_every_mean_that_it_is_part_of),
        cmocka_unit_test(an_estimate_is_the_shrunken_mean_of_the_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
