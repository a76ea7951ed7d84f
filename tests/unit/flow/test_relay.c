/* test_relay.c - an expert's events on their way: the commit point, usage, honest ends. */
#include "gateway/flow/relay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ROLE "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n"
#define WORD "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n"
#define FINISH                                                                           \
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE                                                                            \
    "data: "                                                                             \
    "{\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2}}\n\n"
#define DONE  "data: [DONE]\n\n"
#define ERROR "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n"

static void ten_pico(void *arg, const struct usage *usage, struct usage_cost *ret_cost)
{
    (void)arg;
    *ret_cost = (struct usage_cost){ .cost_pico = 10 * usage->input_tokens,
                                     .decision_id = STR("dec_1"),
                                     .expert = STR("small") };
}

static void start(struct relay *relay, bool usage_wanted)
{
    struct relay_rules rules = { .hold_bytes = 1000,
                                 .hold_chunks = 4,
                                 .event_bytes = 4096,
                                 .usage_wanted = usage_wanted };

    relay_init(relay, &rules, ten_pico, NULL);
}

static void feed(struct relay *relay, const char *text)
{
    relay_feed(relay, text, strlen(text));
}

static void assert_out(const struct relay *relay, const char *text)
{
    assert_int_equal(relay->out.n, strlen(text));
    assert_memory_equal(relay->out.p, text, relay->out.n);
}

static void a_role_alone_is_held_and_content_commits(void **state)
{
    struct relay relay;

    (void)state;
    start(&relay, false);
    feed(&relay, ROLE);
    assert_int_equal(relay.state, RELAY_HOLDING);
    feed(&relay, WORD);
    assert_int_equal(relay.state, RELAY_OPEN);
    assert_out(&relay, ROLE WORD);
    relay_release(&relay);
}

static void as_many_empty_events_as_the_limit_are_held(void **state)
{
    struct relay relay;

    (void)state;
    start(&relay, false);
    feed(&relay, ROLE ROLE ROLE);
    assert_false(relay.committed);
    feed(&relay, ROLE);
    assert_true(relay.committed);
    assert_out(&relay, ROLE ROLE ROLE ROLE);
    relay_release(&relay);
}

static void as_many_bytes_as_the_limit_are_held(void **state)
{
    char event[1200] = "data: {\"choices\":[],\"pad\":null,\"x\":null,\"y\":\"\"";
    struct relay relay;

    (void)state;
    start(&relay, false);
    memset(event + strlen(event), ' ', 1100 - strlen(event));
    memcpy(event + 1100, "}\n\n", 4);
    feed(&relay, event);
    assert_true(relay.committed);
    relay_release(&relay);
}

static void when_the_hold_time_is_over_what_is_held_goes_out(void **state)
{
    struct relay relay;

    (void)state;
    start(&relay, false);
    feed(&relay, ROLE);
    relay_commit(&relay);
    assert_int_equal(relay.state, RELAY_OPEN);
    assert_out(&relay, ROLE);
    relay_release(&relay);
}

static void the_usage_chunk_is_dropped_for_who_did_not_ask(void **state)
{
    struct relay relay;

    (void)state;
    start(&relay, false);
    feed(&relay, ROLE WORD FINISH USAGE DONE);
    assert_int_equal(relay.state, RELAY_ENDED);
    assert_out(&relay, ROLE WORD FINISH DONE);
    assert_true(relay.usage.known);
    assert_int_equal(relay.usage.input_tokens, 10);
    assert_int_equal(relay.usage.output_tokens, 2);
    relay_release(&relay);
}

static void usage_beside_content_is_taken_out_for_who_did_not_ask(void **state)
{
    static const char both[] =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}],"
        "\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2}}\n\n";
    struct relay relay;

    (void)state;
    start(&relay, false);
    feed(&relay, both);
    assert_true(relay.usage.known);
    assert_null(memmem(relay.out.p, relay.out.n, "usage", 5));
    assert_non_null(memmem(relay.out.p, relay.out.n, "\"content\":\"hi\"", 14));
    relay_release(&relay);
}

static void the_usage_chunk_carries_the_cost_for_who_asked(void **state)
{
    struct relay relay;

    (void)state;
    start(&relay, true);
    feed(&relay, WORD USAGE DONE);
    assert_non_null(memmem(relay.out.p, relay.out.n, "\"cost\":0.0000000001,", 20));
    assert_non_null(memmem(relay.out.p, relay.out.n, "\"prompt_tokens\":10", 18));
    relay_release(&relay);
}

static void an_end_of_bytes_without_a_finish_is_a_cut(void **state)
{
    struct relay relay;

    (void)state;
    start(&relay, false);
    feed(&relay, ROLE WORD);
    relay_finish(&relay, true);
    assert_int_equal(relay.state, RELAY_BROKEN);
    assert_int_equal(relay.fault, RELAY_FAULT_CUT);
    relay_release(&relay);
}

static void a_finish_reason_in_a_whole_answer_is_an_end(void **state)
{
    struct relay relay;

    (void)state;
    start(&relay, false);
    feed(&relay, ROLE WORD FINISH);
    relay_finish(&relay, true);
    assert_int_equal(relay.state, RELAY_ENDED);
    assert_out(&relay, ROLE WORD FINISH);
    relay_release(&relay);
}

static void a_finish_reason_in_a_torn_answer_is_a_cut(void **state)
{
    struct relay relay;

    (void)state;
    start(&relay, false);
    feed(&relay, ROLE WORD FINISH);
    relay_finish(&relay, false);
    assert_int_equal(relay.fault, RELAY_FAULT_CUT);
    relay_release(&relay);
}

static void half_an_event_at_the_end_is_a_cut_not_a_malformed_one(void **state)
{
    struct relay relay;

    (void)state;
    start(&relay, false);
    feed(&relay, WORD "data: {\"choices\":[{\"ind");
    relay_finish(&relay, true);
    assert_int_equal(relay.fault, RELAY_FAULT_CUT);
    assert_out(&relay, WORD);
    relay_release(&relay);
}

static void an_error_before_the_commit_point_stays_unseen(void **state)
{
    struct relay relay;

    (void)state;
    start(&relay, false);
    feed(&relay, ROLE ERROR);
    assert_int_equal(relay.fault, RELAY_FAULT_IN_BAND);
    assert_false(relay.committed);
    assert_int_equal(relay.error_status, 503);
    relay_release(&relay);
}

static void an_error_after_the_commit_point_is_shown_as_it_came(void **state)
{
    struct relay relay;

    (void)state;
    start(&relay, false);
    feed(&relay, WORD ERROR DONE);
    assert_int_equal(relay.fault, RELAY_FAULT_IN_BAND);
    assert_true(relay.shown_error);
    assert_out(&relay, WORD ERROR);
    relay_release(&relay);
}

static void what_is_no_chunk_breaks_the_stream(void **state)
{
    struct relay relay;

    (void)state;
    start(&relay, false);
    feed(&relay, ROLE "data: {\"choices\":[\n\n" WORD);
    assert_int_equal(relay.fault, RELAY_FAULT_MALFORMED);
    relay_release(&relay);
}

static void done_and_nothing_before_it_is_no_answer(void **state)
{
    struct relay relay;

    (void)state;
    start(&relay, false);
    feed(&relay, DONE);
    assert_int_equal(relay.fault, RELAY_FAULT_MALFORMED);
    relay_release(&relay);
}

static void an_event_without_end_breaks_the_stream(void **state)
{
    char filler[512];
    struct relay relay;

    (void)state;
    start(&relay, false);
    memset(filler, 'x', sizeof filler);
    feed(&relay, "data: ");
    for (int i = 0; i < 20; i++)
        relay_feed(&relay, filler, sizeof filler);
    assert_int_equal(relay.fault, RELAY_FAULT_TOO_LARGE);
    relay_release(&relay);
}

static void comments_are_dropped_before_and_passed_after_the_commit_point(void **state)
{
    struct relay relay;

    (void)state;
    start(&relay, false);
    feed(&relay, ": waiting\n\n" ROLE WORD ": waiting\n\n" FINISH);
    assert_out(&relay, ROLE WORD ": waiting\n\n" FINISH);
    relay_release(&relay);
}

static void however_the_bytes_are_sliced_the_client_gets_the_same(void **state)
{
    static const char stream[] = ROLE ": c\n\n" WORD WORD FINISH USAGE DONE;
    struct relay whole;

    (void)state;
    start(&whole, true);
    feed(&whole, stream);
    for (size_t slice = 1; slice < 40; slice++) {
        struct relay relay;

        start(&relay, true);
        for (size_t at = 0; at < sizeof stream - 1; at += slice) {
            size_t n = sizeof stream - 1 - at;

            relay_feed(&relay, stream + at, n < slice ? n : slice);
        }
        assert_int_equal(relay.state, RELAY_ENDED);
        assert_int_equal(relay.out.n, whole.out.n);
        assert_memory_equal(relay.out.p, whole.out.p, whole.out.n);
        relay_release(&relay);
    }
    relay_release(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_role_alone_is_held_and_content_commits),
        cmocka_unit_test(as_many_empty_events_as_the_limit_are_held),
        cmocka_unit_test(as_many_bytes_as_the_limit_are_held),
        cmocka_unit_test(when_the_hold_time_is_over_what_is_held_goes_out),
        cmocka_unit_test(the_usage_chunk_is_dropped_for_who_did_not_ask),
        cmocka_unit_test(usage_beside_content_is_taken_out_for_who_did_not_ask),
        cmocka_unit_test(the_usage_chunk_carries_the_cost_for_who_asked),
        cmocka_unit_test(an_end_of_bytes_without_a_finish_is_a_cut),
        cmocka_unit_test(a_finish_reason_in_a_whole_answer_is_an_end),
        cmocka_unit_test(a_finish_reason_in_a_torn_answer_is_a_cut),
        cmocka_unit_test(half_an_event_at_the_end_is_a_cut_not_a_malformed_one),
        cmocka_unit_test(an_error_before_the_commit_point_stays_unseen),
        cmocka_unit_test(an_error_after_the_commit_point_is_shown_as_it_came),
        cmocka_unit_test(what_is_no_chunk_breaks_the_stream),
        cmocka_unit_test(done_and_nothing_before_it_is_no_answer),
        cmocka_unit_test(an_event_without_end_breaks_the_stream),
        cmocka_unit_test(comments_are_dropped_before_and_passed_after_the_commit_point),
        cmocka_unit_test(however_the_bytes_are_sliced_the_client_gets_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
