/* test_decision.c - which expert shall answer: whatever the evidence, there is a plan. */
#include "gateway/flow/decision.h"

#include "tests/unit/flow/request.h"
#include "tests/unit/flow/router.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include "gateway/domain/metrics.h"
#include "gateway/flow/probe.h"

struct desk {
    struct router router;
    struct loop *loop;
    struct http *http;
    struct metrics *metrics;
    struct decider own_decider;
    struct decider *decider;
    struct snapshot *snapshot;
    struct request request;
    struct order order;
    struct purse purse;
    struct ledger ledger; /* of no store */
    struct decision decision;
    struct order_sticky stick; /* of the next order; not held: none */
    double steering;           /* likewise; 0: none */
    unsigned woken;
};

static void woke(void *arg)
{
    ((struct desk *)arg)->woken++;
}

/* with_bundle: the configuration names the bundle. */
static void open_desk(struct desk *desk, const char *embedder, unsigned port,
                      bool with_bundle)
{
    memset(desk, 0, sizeof *desk);
    router_build(&desk->router, embedder);
    assert_int_equal(loop_new(&desk->loop), LOOP_OK);
    assert_true(http_global_init());
    desk->http = http_new(desk->loop, &(struct http_settings){ 0 });
    assert_non_null(desk->http);
    assert_int_equal(metrics_new(&desk->metrics), ERR_OK);
    decider_init(&desk->own_decider, desk->loop, NULL, metrics_block(desk->metrics));
    desk->decider = &desk->own_decider;
    desk->snapshot = router_load(&desk->router, embedder, port,
                                 with_bundle ? ",\"bundle\":\"bundle.frugal\"" : "");
    desk->decision.wake = woke;
    desk->decision.arg = desk;
}

static void close_desk(struct desk *desk)
{
    assert_true(decision_end(&desk->decision));
    assert_int_equal(desk->purse.held_pico, 0);
    request_release(&desk->request);
    snapshot_unref(desk->snapshot);
    decider_release(desk->decider);
    http_free(desk->http);
    loop_free(desk->loop);
    metrics_free(desk->metrics);
    router_remove(&desk->router);
}

static void begin(struct desk *desk, const char *body, const char *text)
{
    struct decision_tools tools = { .loop = desk->loop,
                                    .http = desk->http,
                                    .decider = desk->decider,
                                    .metrics = metrics_block(desk->metrics),
                                    .request_id = STR("req_test"),
                                    .ledger = &desk->ledger };
    struct api_error error = { 0 };

    request_init(&desk->request, body);
    assert_int_equal(order_make(&desk->order, desk->snapshot->config, &desk->request.chat,
                                &desk->request.options, &key_allow_all, 0, 1000, &error),
                     API_OK);
    if (desk->stick.held)
        order_stick(&desk->order, desk->stick.expert, desk->stick.firm,
                    desk->stick.saved_pico);
    if (desk->steering > 0)
        order_steer(&desk->order, desk->steering);
    purse_init(&desk->purse, desk->order.ceiling_pico, NULL);
    decision_begin(&desk->decision, &tools, desk->snapshot, &desk->order, &desk->purse,
                   str_of(text), &desk->request.arena);
}

/* What the exchange does. */
static void drive(struct desk *desk)
{
    for (int turn = 0; turn < 200 && desk->decision.state != DECISION_READY; turn++) {
        if (decision_reserve(&desk->decision))
            decision_buy(&desk->decision);
        else
            loop_turn(desk->loop, 1000);
    }
    assert_int_equal(desk->decision.state, DECISION_READY);
}

#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"
#define AUTO     "{\"model\":\"auto\"," MESSAGES "}"
#define SUM      "sum add the numbers divide carefully"
#define POEM     "poem haiku about moonlight in ballad form"

/* A socket that listens and never answers; the port is *ret_port. */
static int silent_socket(unsigned *ret_port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t n = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void a_prompt_goes_to_who_is_good_at_its_kind(void **state)
{
    struct desk desk;

    (void)state;
    open_desk(&desk, "lexical", 9, true);
    begin(&desk, AUTO, SUM);
    drive(&desk);
    assert_int_equal(desk.decision.plan.reason, REASON_ROUTED);
    assert_int_equal(desk.decision.plan.choices[0].expert, MATHY);
    assert_true(desk.decision.plan.choices[0].predicted);
    assert_true(desk.decision.plan.choices[0].quality > 0.7f);
    close_desk(&desk);
    open_desk(&desk, "lexical", 9, true);
    begin(&desk, AUTO, POEM);
    drive(&desk);
    assert_int_equal(desk.decision.plan.choices[0].expert, POET);
    close_desk(&desk);
}

static void everybody_allowed_stands_in_the_plan_once(void **state)
{
    struct desk desk;

    (void)state;
    open_desk(&desk, "lexical", 9, true);
    begin(&desk, AUTO, SUM);
    drive(&desk);
    assert_int_equal(desk.decision.plan.n, 3);
    assert_int_equal(desk.decision.plan.choices[2].expert, SAGE);
    assert_false(desk.decision.plan.choices[2].predicted);
    close_desk(&desk);
}

static void without_a_bundle_the_default_is_asked(void **state)
{
    struct desk desk;

    (void)state;
    open_desk(&desk, "lexical", 9, false);
    begin(&desk, AUTO, SUM);
    assert_int_equal(desk.decision.state, DECISION_READY);
    assert_int_equal(desk.decision.plan.reason, REASON_NO_BUNDLE);
    assert_int_equal(desk.decision.plan.choices[0].expert, SAGE);
    assert_int_equal(desk.decision.plan.n, 3);
    close_desk(&desk);
}

static void an_expert_by_name_is_the_whole_plan(void **state)
{
    struct desk desk;

    (void)state;
    open_desk(&desk, "lexical", 9, true);
    begin(&desk, "{\"model\":\"poet\"," MESSAGES "}", SUM);
    assert_int_equal(desk.decision.state, DECISION_READY);
    assert_int_equal(desk.decision.plan.reason, REASON_DIRECT);
    assert_int_equal(desk.decision.plan.n, 1);
    assert_int_equal(desk.decision.plan.choices[0].expert, POET);
    close_desk(&desk);
}

static void the_only_expert_allowed_needs_no_evidence(void **state)
{
    struct desk desk;

    (void)state;
    open_desk(&desk, "lexical", 9, true);
    begin(&desk, "{\"model\":\"auto\",\"frugal\":{\"experts\":[\"poet\"]}," MESSAGES "}",
          SUM);
    assert_int_equal(desk.decision.state, DECISION_READY);
    assert_int_equal(desk.decision.plan.reason, REASON_ONLY_EXPERT);
    assert_int_equal(desk.decision.plan.choices[0].expert, POET);
    close_desk(&desk);
}

static void where_the_bundle_knows_nobody_the_default_is_asked(void **state)
{
    struct desk desk;

    (void)state;
    open_desk(&desk, "lexical", 9, true);
    desk.snapshot->known = 0;
    begin(&desk, AUTO, SUM);
    assert_int_equal(desk.decision.plan.reason, REASON_DEFAULT);
    assert_int_equal(desk.decision.plan.choices[0].expert, SAGE);
    close_desk(&desk);
}

static void an_embedder_that_is_down_costs_only_the_evidence(void **state)
{
    struct desk desk;

    (void)state;
    open_desk(&desk, "remote", 1, true);
    begin(&desk, AUTO, SUM);
    drive(&desk);
    assert_int_equal(desk.decision.plan.reason, REASON_EMBEDDER_FAILED);
    assert_int_equal(desk.decision.plan.choices[0].expert, SAGE);
    assert_int_equal(desk.purse.spent_pico, 0);
    assert_int_equal(desk.snapshot->embedders[0].failed_in_row, 1);
    close_desk(&desk);
}

static void evidence_that_comes_too_late_is_not_waited_for(void **state)
{
    struct desk desk;
    unsigned port;
    int fd = silent_socket(&port);

    (void)state;
    open_desk(&desk, "remote", port, true);
    begin(&desk, AUTO, SUM);
    drive(&desk);
    assert_int_equal(desk.decision.plan.reason, REASON_DECISION_TIMEOUT);
    assert_int_equal(desk.decision.plan.choices[0].expert, SAGE);
    assert_true(desk.purse.bound_pico > 0);
    close_desk(&desk);
    close(fd);
}

static void an_embedder_that_is_another_model_is_not_asked(void **state)
{
    struct desk desk;

    (void)state;
    open_desk(&desk, "remote", 1, true);
    desk.snapshot->embedders[0].probe = PROBE_MISMATCH;
    begin(&desk, AUTO, SUM);
    drive(&desk);
    assert_int_equal(desk.decision.plan.reason, REASON_EMBEDDER_FAILED);
    assert_int_equal(desk.snapshot->embedders[0].failed_in_row, 0);
    close_desk(&desk);
}

/* A ceiling that holds the answer but not the evidence. */
static void evidence_is_not_bought_beyond_the_ceiling(void **state)
{
    struct desk desk;

    (void)state;
    open_desk(&desk, "remote", 1, true);
    begin(&desk, "{\"model\":\"auto\",\"frugal\":{\"budget_usd\":0}," MESSAGES "}", SUM);
    drive(&desk);
    assert_int_equal(desk.purse.bound_pico, 0);
    assert_int_equal(desk.snapshot->embedders[0].failed_in_row, 0);
    close_desk(&desk);
}

static void a_client_that_leaves_ends_the_call_of_the_embedder(void **state)
{
    struct desk desk;
    unsigned port;
    int fd = silent_socket(&port);

    (void)state;
    open_desk(&desk, "remote", port, true);
    begin(&desk, AUTO, SUM);
    while (desk.decision.calls[0].call == NULL) {
        if (decision_reserve(&desk.decision))
            decision_buy(&desk.decision);
        else
            loop_turn(desk.loop, 100);
    }
    loop_turn(desk.loop, 50);
    assert_int_equal(desk.snapshot->gauges[3]->in_flight, 1);
    assert_true(decision_end(&desk.decision));
    assert_int_equal(desk.snapshot->gauges[3]->in_flight, 0);
    assert_int_equal(desk.purse.held_pico, 0);
    close_desk(&desk);
    close(fd);
}

/* Decisions that are due in one turn are searched in one batch, and each gets its own. */
static void decisions_of_one_turn_are_stepped_together(void **state)
{
    struct desk desks[2];

    (void)state;
    open_desk(&desks[0], "lexical", 9, true);
    memset(&desks[1], 0, sizeof desks[1]);
    desks[1].decision.wake = woke;
    desks[1].decision.arg = &desks[1];
    desks[1].loop = desks[0].loop;
    desks[1].http = desks[0].http;
    desks[1].metrics = desks[0].metrics;
    desks[1].decider = desks[0].decider;
    desks[1].snapshot = desks[0].snapshot;
    begin(&desks[0], AUTO, SUM);
    begin(&desks[1], AUTO, POEM);
    loop_turn(desks[0].loop, 0);
    assert_int_equal(desks[0].woken, 1);
    assert_int_equal(desks[1].woken, 1);
    assert_int_equal(desks[0].decision.plan.choices[0].expert, MATHY);
    assert_int_equal(desks[1].decision.plan.choices[0].expert, POET);
    assert_true(decision_end(&desks[1].decision));
    request_release(&desks[1].request);
    close_desk(&desks[0]);
}

static void a_long_search_leaves_the_loop_and_comes_back(void **state)
{
    struct desk desk;
    struct pool *pool;

    (void)state;
    assert_int_equal(pool_new(1, 8, NULL, &pool), POOL_OK);
    open_desk(&desk, "lexical", 9, true);
    desk.decider->pool = pool;
    desk.snapshot->search_floats = SIZE_MAX;
    begin(&desk, AUTO, POEM);
    loop_turn(desk.loop, 0);
    assert_int_equal(desk.decider->away + desk.woken, 1);
    drive(&desk);
    assert_int_equal(desk.decision.plan.choices[0].expert, POET);
    assert_int_equal(desk.decider->away, 0);
    pool_free(pool);
    close_desk(&desk);
}

static void block(void *arg)
{
    pthread_barrier_wait(arg);
}

/* The session belongs to the pool's thread until it is back. */
static void a_client_that_leaves_during_a_long_search_waits_for_it(void **state)
{
    struct desk desk;
    struct pool *pool;
    pthread_barrier_t barrier;
    struct pool_job job = { .run = block, .arg = &barrier };

    (void)state;
    pthread_barrier_init(&barrier, NULL, 2);
    assert_int_equal(pool_new(1, 8, NULL, &pool), POOL_OK);
    assert_int_equal(pool_submit(pool, &job), POOL_OK);
    open_desk(&desk, "lexical", 9, true);
    desk.decider->pool = pool;
    desk.snapshot->search_floats = SIZE_MAX;
    begin(&desk, AUTO, SUM);
    loop_turn(desk.loop, 0);
    assert_int_equal(desk.decider->away, 1);
    assert_false(decision_end(&desk.decision));
    assert_int_equal(desk.woken, 0);
    pthread_barrier_wait(&barrier);
    while (desk.woken == 0)
        loop_turn(desk.loop, 1000);
    pool_free(pool);
    close_desk(&desk);
    pthread_barrier_destroy(&barrier);
}

/* -- conversations ----------------------------------------------------------------------- */

/* Money outweighs quality, so the prompt's price decides. */
#define MONEY_FIRST 1e7

static void a_conversation_stays_while_leaving_costs_more_than_it_gains(void **state)
{
    struct desk desk;

    (void)state;
    open_desk(&desk, "lexical", 9, true);
    desk.steering = MONEY_FIRST;
    desk.stick = (struct order_sticky){ .held = true, .expert = MATHY, .saved_pico = 0 };
    begin(&desk, AUTO, POEM);
    drive(&desk);
    assert_int_equal(desk.decision.plan.choices[0].expert, POET);
    assert_int_equal(desk.decision.plan.reason, REASON_ROUTED);
    close_desk(&desk);
    open_desk(&desk, "lexical", 9, true);
    desk.steering = MONEY_FIRST;
    desk.stick =
        (struct order_sticky){ .held = true, .expert = MATHY, .saved_pico = INT64_MAX };
    begin(&desk, AUTO, POEM);
    drive(&desk);
    assert_int_equal(desk.decision.plan.choices[0].expert, MATHY);
    assert_int_equal(desk.decision.plan.reason, REASON_STICKY);
    assert_int_equal(desk.decision.plan.choices[1].expert, POET);
    close_desk(&desk);
}

static void who_is_the_best_anyway_is_not_said_to_be_sticky(void **state)
{
    struct desk desk;

    (void)state;
    open_desk(&desk, "lexical", 9, true);
    desk.stick = (struct order_sticky){ .held = true, .expert = POET, .saved_pico = 1 };
    begin(&desk, AUTO, POEM);
    drive(&desk);
    assert_int_equal(desk.decision.plan.choices[0].expert, POET);
    assert_int_equal(desk.decision.plan.reason, REASON_ROUTED);
    close_desk(&desk);
}

static void in_a_tool_loop_no_evidence_is_bought(void **state)
{
    struct desk desk;

    (void)state;
    open_desk(&desk, "remote", 1, true);
    desk.stick = (struct order_sticky){ .held = true, .firm = true, .expert = MATHY };
    begin(&desk, AUTO, POEM);
    while (desk.decision.state == DECISION_WAITING)
        loop_turn(desk.loop, 1000);
    assert_int_equal(desk.decision.state, DECISION_READY);
    assert_int_equal(desk.decision.plan.reason, REASON_STICKY);
    assert_int_equal(desk.decision.plan.choices[0].expert, MATHY);
    assert_int_equal(desk.decision.plan.n, 3);
    close_desk(&desk);
}

static void in_a_tool_loop_the_ranking_says_who_comes_next(void **state)
{
    struct desk desk;

    (void)state;
    open_desk(&desk, "lexical", 9, true);
    desk.stick = (struct order_sticky){ .held = true, .firm = true, .expert = MATHY };
    begin(&desk, AUTO, POEM);
    drive(&desk);
    assert_int_equal(desk.decision.plan.choices[0].expert, MATHY);
    assert_true(desk.decision.plan.choices[0].quality < 0.5f);
    assert_int_equal(desk.decision.plan.choices[1].expert, POET);
    close_desk(&desk);
}

static void where_nothing_is_learned_a_conversation_stays(void **state)
{
    struct desk desk;

    (void)state;
    open_desk(&desk, "lexical", 9, false);
    desk.stick = (struct order_sticky){ .held = true, .expert = POET };
    begin(&desk, AUTO, SUM);
    assert_int_equal(desk.decision.plan.reason, REASON_STICKY);
    assert_int_equal(desk.decision.plan.choices[0].expert, POET);
    assert_int_equal(desk.decision.plan.n, 3);
    close_desk(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_goes_to_who_is_good_at_its_kind),
        cmocka_unit_test(everybody_allowed_stands_in_the_plan_once),
        cmocka_unit_test(without_a_bundle_the_default_is_asked),
        cmocka_unit_test(an_expert_by_name_is_the_whole_plan),
        cmocka_unit_test(the_only_expert_allowed_needs_no_evidence),
        cmocka_unit_test(where_the_bundle_knows_nobody_the_default_is_asked),
        cmocka_unit_test(an_embedder_that_is_down_costs_only_the_evidence),
        cmocka_unit_test(evidence_that_comes_too_late_is_not_waited_for),
        cmocka_unit_test(an_embedder_that_is_another_model_is_not_asked),
        cmocka_unit_test(evidence_is_not_bought_beyond_the_ceiling),
        cmocka_unit_test(a_client_that_leaves_ends_the_call_of_the_embedder),
        cmocka_unit_test(decisions_of_one_turn_are_stepped_together),
        cmocka_unit_test(a_long_search_leaves_the_loop_and_comes_back),
        cmocka_unit_test(a_client_that_leaves_during_a_long_search_waits_for_it),
        cmocka_unit_test(a_conversation_stays_while_leaving_costs_more_than_it_gains),
        cmocka_unit_test(who_is_the_best_anyway_is_not_said_to_be_sticky),
        cmocka_unit_test(in_a_tool_loop_no_evidence_is_bought),
        cmocka_unit_test(in_a_tool_loop_the_ranking_says_who_comes_next),
        cmocka_unit_test(where_nothing_is_learned_a_conversation_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
