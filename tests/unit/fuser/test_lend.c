/* Experts with few rows or none: what another lends to them, and that nobody chooses them for it. */
#include <math.h>

#include "fuser/bundle.h"
#include "tests/unit/fuser/world.h"

/* Of the world's experts `code` is not configured any more; `newcomer` stands in its place. */
static const char *const names[WORLD_GENERATORS] = { "algebra", "biology", "newcomer",
                                                     "drama" };

static struct fuser *lent_fuser(struct fuser_bundle *bundle, const char *like)
{
    const char *const prior_like[WORLD_GENERATORS] = { NULL, NULL, like, NULL };
    struct fuser_names configured = { names, WORLD_GENERATORS, world_embedders,
                                      WORLD_EMBEDDERS, prior_like };
    struct fuser *fuser = NULL;

    assert_int_equal(fuser_new(bundle, &configured, &fuser, NULL), FUSER_OK);
    return fuser;
}

static struct world_prompt prompt_of(unsigned domain, uint64_t seed)
{
    struct rng rng = rng_seeded(seed);
    struct world_prompt prompt;

    do {
        prompt = world_prompt(&rng);
    } while (prompt.domain != domain);
    return prompt;
}

static struct fuser_verdict decide(struct fuser *fuser, const struct world_prompt *prompt,
                                   int64_t remaining)
{
    struct fuser_session *session;
    struct fuser_verdict verdict;
    struct world_ask ask;

    world_ask(&ask, prompt);
    session = world_walk(fuser, &ask, prompt);
    fuser_verdict(session, remaining, &verdict);
    fuser_session_free(session);
    return verdict;
}

static void without_a_loan_an_unknown_expert_is_nowhere(void **state)
{
    struct fuser_bundle *bundle = world_bundle(300, 0);
    static const char *const nobody[] = { NULL, "nobody", "newcomer" };

    (void)state;
    for (size_t i = 0; i < sizeof nobody / sizeof *nobody; i++) {
        struct fuser *fuser = lent_fuser(bundle, nobody[i]);
        struct world_prompt prompt = prompt_of(2, 5);
        struct fuser_verdict verdict = decide(fuser, &prompt, INT64_MAX);

        assert_false(fuser_knows_generator(fuser, 2));
        assert_false(fuser_lends_to(fuser, 2));
        assert_int_equal(verdict.n_ranked, 3);
        assert_int_equal(verdict.n_lent, 0);
        fuser_unref(fuser);
    }
    fuser_bundle_unref(bundle);
}

static void a_loan_gives_the_lenders_estimate_with_less_certainty(void **state)
{
    struct fuser_bundle *bundle = world_bundle(300, 0);
    struct fuser *old = world_fuser(bundle), *fuser = lent_fuser(bundle, "code");
    struct world_prompt prompt = prompt_of(2, 5);
    struct fuser_verdict known = decide(old, &prompt, INT64_MAX);
    struct fuser_verdict lent = decide(fuser, &prompt, INT64_MAX);
    const struct fuser_ranked *loan = &lent.ranked[lent.n_ranked];

    (void)state;
    assert_int_equal(known.ranked[0].generator, 2); /* code, in its own domain */
    assert_int_equal(known.n_lent, 0);
    assert_true(known.ranked[0].lent == 0);
    assert_true(fuser_lends_to(fuser, 2));
    assert_int_equal(lent.n_ranked, 3); /* it is not among those to choose from */
    assert_int_equal(lent.n_lent, 1);
    for (size_t i = 0; i < lent.n_ranked; i++)
        assert_int_not_equal(lent.ranked[i].generator, 2);
    assert_int_equal(loan->generator, 2);
    /* Nearly: who may be chosen decides which evidence is bought. */
    assert_true(fabs(loan->quality - known.ranked[0].quality) < 0.05);
    assert_true(loan->quality_se > known.ranked[0].quality_se);
    assert_true(loan->lent == 1);
    assert_int_equal(loan->known, 0);
    assert_true(loan->affordable);
    assert_int_equal(loan->worst_pico, 3000000000);
    lent = decide(fuser, &prompt, 2999999999);
    assert_false(lent.ranked[lent.n_ranked].affordable);
    fuser_unref(old);
    fuser_unref(fuser);
    fuser_bundle_unref(bundle);
}

static void who_may_not_answer_is_not_lent_to(void **state)
{
    struct fuser_bundle *bundle = world_bundle(300, 0);
    struct fuser *fuser = lent_fuser(bundle, "code");
    struct world_prompt prompt = prompt_of(2, 5);
    struct fuser_session *session;
    struct fuser_verdict verdict;
    struct world_ask ask;

    (void)state;
    world_ask(&ask, &prompt);
    ask.generators[2].allowed = false;
    session = world_walk(fuser, &ask, &prompt);
    fuser_verdict(session, INT64_MAX, &verdict);
    assert_int_equal(verdict.n_lent, 0);
    fuser_session_free(session);
    fuser_unref(fuser);
    fuser_bundle_unref(bundle);
}

/* The world with a fifth expert: `newcomer`, right in the domain of code, known in the first `known` rows of it. */
static struct fuser_bundle *bundle_with_newcomer(size_t n, size_t known)
{
    static const char *const five[] = { "algebra", "biology", "code", "drama",
                                        "newcomer" };
    struct fuser_embedder_info infos[WORLD_EMBEDDERS];
    struct fuser_build how = { .k = 80, .walk_m = 20, .prior_rows = 10 };
    struct fuser_bundle *bundle = NULL;
    struct fuser_rows *rows = NULL;

    world_embedder_infos(infos);
    assert_int_equal(fuser_rows_new(five, 5, infos, WORLD_EMBEDDERS, &rows, NULL),
                     FUSER_OK);
    for (size_t i = 0; i < n; i++) {
        struct rng rng = rng_seeded(i * 7919u);
        struct world_prompt prompt = world_prompt(&rng);
        char id[32];
        size_t row;

        (void)snprintf(id, sizeof id, "row%06zu", i);
        assert_int_equal(fuser_rows_add(rows, id, world_words[prompt.domain][0],
                                        prompt.text, prompt.bytes, &row, NULL),
                         FUSER_OK);
        assert_int_equal(
            fuser_rows_set_vector(rows, row, 1, prompt.vector, WORLD_DIM, NULL),
            FUSER_OK);
        for (size_t g = 0; g < 5; g++) {
            struct fuser_cell cell = world_cell(&rng, prompt.domain, g < 4 ? g : 2);

            if (g < 4 || i < known)
                assert_int_equal(fuser_rows_set_cell(rows, row, g, &cell, NULL),
                                 FUSER_OK);
        }
    }
    assert_int_equal(fuser_bundle_build(rows, &how, &bundle, NULL), FUSER_OK);
    fuser_rows_free(rows);
    return bundle;
}

static const struct fuser_ranked *find(const struct fuser_verdict *verdict,
                                       size_t generator)
{
    for (size_t i = 0; i < verdict->n_ranked + verdict->n_lent; i++)
        if (verdict->ranked[i].generator == generator)
            return &verdict->ranked[i];
    fail();
    return NULL;
}

/* Row by row what it did itself takes the place of what was lent, and then it may be chosen. */
static void a_loan_is_paid_back_row_by_row(void **state)
{
    static const size_t known[] = { 0, 5, 100, 300 };
    double lent = 1.1;

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct fuser_bundle *bundle = bundle_with_newcomer(300, known[i]);
        struct fuser *fuser = lent_fuser(bundle, "code");
        struct world_prompt prompt = prompt_of(2, 5);
        struct fuser_verdict verdict = decide(fuser, &prompt, INT64_MAX);
        const struct fuser_ranked *newcomer = find(&verdict, 2);

        assert_true(newcomer->lent < lent);
        lent = newcomer->lent;
        assert_int_equal(verdict.n_lent, known[i] < 10);
        if (known[i] >= 100)
            assert_int_equal(verdict.ranked[0].generator, 2);
        fuser_unref(fuser);
        fuser_bundle_unref(bundle);
    }
    assert_true(lent < 0.1);
}

static void what_fewer_rows_know_is_less_certain(void **state)
{
    struct fuser_bundle *bundle = bundle_with_newcomer(300, 100);
    struct fuser *fuser = lent_fuser(bundle, NULL);
    double own = 0, others = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world_prompt prompt = prompt_of((unsigned)(seed % 4), seed);
        struct fuser_verdict verdict = decide(fuser, &prompt, INT64_MAX);

        own += find(&verdict, 2)->quality_se;
        for (size_t g = 0; g < 4; g++)
            others += g == 2 ? 0 : find(&verdict, g)->quality_se / 3;
    }
    assert_true(own > others);
    fuser_unref(fuser);
    fuser_bundle_unref(bundle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_loan_an_unknown_expert_is_nowhere),
        cmocka_unit_test(a_loan_gives_the_lenders_estimate_with_less_certainty),
        cmocka_unit_test(who_may_not_answer_is_not_lent_to),
        cmocka_unit_test(a_loan_is_paid_back_row_by_row),
        cmocka_unit_test(what_fewer_rows_know_is_less_certain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
