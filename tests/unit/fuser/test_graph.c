/* The graph reading: its nodes are what the walk saw, and its shortest path bounds the walk. */
#include "tests/unit/fuser/world.h"

#define SUBSETS (1u << WORLD_EMBEDDERS)
#define PROMPTS 200

static struct fuser_bundle *bundle;
static struct fuser *fuser;

static int setup(void **state)
{
    (void)state;
    bundle = world_bundle(600, 0.1);
    fuser = world_fuser(bundle);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fuser_unref(fuser);
    fuser_bundle_unref(bundle);
    return 0;
}

/* A world in which evidence has prices that sometimes pay. */
static void priced_ask(uint64_t seed, struct world_prompt *prompt, struct world_ask *ask)
{
    struct rng rng = rng_seeded(seed * 104729u + 17);

    *prompt = world_prompt(&rng);
    world_ask(ask, prompt);
    for (size_t e = 0; e < WORLD_EMBEDDERS; e++)
        ask->embedders[e].price_pico =
            (int64_t)(world_uniform(&rng) * 0.04 / ask->ask.lambda * 1e12);
}

static void graph_of(const struct fuser_session *session,
                     const struct world_prompt *prompt, struct fuser_graph *ret)
{
    const float *vectors[WORLD_EMBEDDERS] = { NULL, prompt->vector, NULL };

    assert_int_equal(fuser_graph(session, vectors, ret, NULL), FUSER_OK);
}

/* Shortest path by relaxing every edge as often as a path is long: knows nothing of sums. */
static double shortest(const struct fuser_graph *graph)
{
    double reached[SUBSETS], answer = INFINITY;

    for (uint32_t s = 0; s < SUBSETS; s++)
        reached[s] = s ? INFINITY : 0;
    for (size_t round = 0; round < WORLD_EMBEDDERS; round++)
        for (uint32_t s = 0; s < SUBSETS; s++)
            for (uint32_t j = 0; j < WORLD_EMBEDDERS; j++)
                if (!(s >> j & 1))
                    reached[s | 1u << j] =
                        fmin(reached[s | 1u << j], reached[s] + graph->price[j]);
    for (uint32_t s = 0; s < SUBSETS; s++)
        answer = fmin(answer, reached[s] + graph->loss[s]);
    return answer;
}

static void terminal_edges_are_what_the_walk_saw(void **state)
{
    struct fuser_verdict verdict;
    size_t compared = 0;

    (void)state;
    for (uint64_t i = 0; i < PROMPTS; i++) {
        struct world_ask ask;
        struct world_prompt prompt;
        struct fuser_session *session;
        struct fuser_graph graph;
        uint32_t at = 0;

        priced_ask(i, &prompt, &ask);
        session = world_walk(fuser, &ask, &prompt);
        fuser_verdict(session, INT64_MAX, &verdict);
        graph_of(session, &prompt, &graph);
        for (size_t s = 0; s < verdict.n_steps; s++) {
            assert_true(graph.loss[at] == verdict.steps[s].loss_before);
            if (verdict.steps[s].embedder >= 0)
                at |= 1u << verdict.steps[s].embedder;
            compared++;
        }
        assert_int_equal(graph.walked, at);
        fuser_session_free(session);
    }
    assert_true(compared > PROMPTS); /* some walks took a step */
}

static void the_shortest_path_bounds_the_greedy_walk(void **state)
{
    double gap = 0;
    size_t shorter = 0;

    (void)state;
    for (uint64_t i = 0; i < PROMPTS; i++) {
        struct world_ask ask;
        struct world_prompt prompt;
        struct fuser_session *session;
        struct fuser_graph graph;
        double walked, best;

        priced_ask(i, &prompt, &ask);
        session = world_walk(fuser, &ask, &prompt);
        graph_of(session, &prompt, &graph);
        assert_int_equal(graph.members, SUBSETS - 1);
        walked = fuser_graph_length(&graph, graph.walked);
        best = fuser_graph_length(&graph, graph.best);
        assert_true(fabs(best - shortest(&graph)) < 1e-12);
        assert_true(best <= walked);
        gap += walked - best;
        shorter += best < walked;
        fuser_session_free(session);
    }
    gap /= PROMPTS;
    print_message("greedy walk: %.4f longer than the shortest path on average, longer on "
                  "%zu of %d prompts\n",
                  gap, shorter, PROMPTS);
    assert_true(shorter > 0); /* greed has its price here */
    assert_true(gap < 0.08);
}

static void the_graph_does_not_depend_on_how_far_the_walk_came(void **state)
{
    struct fuser_session *fresh = NULL, *walked;
    struct fuser_graph before, after;
    struct world_ask ask;
    struct world_prompt prompt;

    (void)state;
    priced_ask(3, &prompt, &ask);
    for (size_t e = 0; e < WORLD_EMBEDDERS; e++)
        ask.embedders[e].price_pico = 0;
    assert_int_equal(fuser_session_new(fuser, &ask.ask, &fresh, NULL), FUSER_OK);
    walked = world_walk(fuser, &ask, &prompt);
    graph_of(fresh, &prompt, &before);
    graph_of(walked, &prompt, &after);
    assert_int_equal(before.walked, 0);
    assert_int_not_equal(after.walked, 0);
    assert_int_equal(before.members, after.members);
    assert_memory_equal(before.loss, after.loss, sizeof before.loss);
    fuser_session_free(fresh);
    fuser_session_free(walked);
}

static void what_is_not_known_or_allowed_cannot_be_reached(void **state)
{
    struct fuser_session *session = NULL;
    struct fuser_graph graph;
    struct world_ask ask;
    struct world_prompt prompt;

    (void)state;
    priced_ask(5, &prompt, &ask);
    ask.embedders[0].allowed = false;
    assert_int_equal(fuser_session_new(fuser, &ask.ask, &session, NULL), FUSER_OK);
    assert_int_equal(fuser_graph(session, NULL, &graph, NULL), FUSER_OK);
    assert_int_equal(graph.members, 1u << 2); /* surface; "remote" was not told */
    for (uint32_t s = 0; s < 1u << FUSER_MAX_EMBEDDERS; s++)
        assert_int_equal(isfinite(graph.loss[s]), (s & ~graph.members) == 0);
    fuser_session_free(session);
}

static void a_ceiling_closes_what_it_does_not_reach(void **state)
{
    struct fuser_session *session = NULL;
    struct fuser_graph graph;
    struct world_ask ask;
    struct world_prompt prompt;

    (void)state;
    priced_ask(5, &prompt, &ask);
    for (size_t e = 0; e < WORLD_EMBEDDERS; e++)
        ask.embedders[e].price_pico = 100;
    ask.ask.ceiling_pico = ask.generators[0].worst_pico + 200; /* two, not three */
    assert_int_equal(fuser_session_new(fuser, &ask.ask, &session, NULL), FUSER_OK);
    graph_of(session, &prompt, &graph);
    for (uint32_t s = 0; s < SUBSETS; s++)
        assert_int_equal(isfinite(graph.loss[s]), __builtin_popcount(s) < 3);
    fuser_session_free(session);
}

static void no_generator_is_no_graph(void **state)
{
    struct fuser_session *session = NULL;
    struct fuser_graph graph;
    struct world_ask ask;
    struct world_prompt prompt;

    (void)state;
    priced_ask(5, &prompt, &ask);
    for (size_t g = 0; g < WORLD_GENERATORS; g++)
        ask.generators[g].allowed = false;
    assert_int_equal(fuser_session_new(fuser, &ask.ask, &session, NULL), FUSER_OK);
    assert_int_equal(fuser_graph(session, NULL, &graph, NULL), FUSER_INVALID);
    fuser_session_free(session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terminal_edges_are_what_the_walk_saw),
        cmocka_unit_test(the_shortest_path_bounds_the_greedy_walk),
        cmocka_unit_test(the_graph_does_not_depend_on_how_far_the_walk_came),
        cmocka_unit_test(what_is_not_known_or_allowed_cannot_be_reached),
        cmocka_unit_test(a_ceiling_closes_what_it_does_not_reach),
        cmocka_unit_test(no_generator_is_no_graph),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
