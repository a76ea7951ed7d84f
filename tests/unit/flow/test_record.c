/* test_record.c - the record of an exchange: with nothing known, with everything. */
#include "gateway/flow/record.h"

#include "tests/unit/flow/request.h"

#include <math.h>
#include <stdlib.h>

#include <jansson.h>

static const char settings[] =
    "{\"listen\":\"127.0.0.1:0\",\"experts\":{"
    "\"cheap\":{\"endpoints\":[\"http://127.0.0.1:9/v1\"],\"generator\":{\"model\":\"c\","
    "\"price\":{\"input\":1,\"output\":2}}},"
    "\"dear\":{\"endpoints\":[\"http://127.0.0.1:9/v1\"],\"generator\":{\"model\":\"d\","
    "\"price\":{\"input\":100,\"output\":200}}},"
    "\"eye\":{\"endpoints\":[\"http://127.0.0.1:9/v1\"],\"embedding\":{\"model\":\"e\","
    "\"dim\":2,\"price\":0.01}}},"
    "\"embedders\":[\"surface\",\"eye\"],"
    "\"policies\":{\"auto\":{\"value_usd\":0.02,\"default\":\"dear\"}}}";

enum { CHEAP, DEAR };
enum { SURFACE, EYE };

static struct config *config;

static int load(void **state)
{
    struct config_error error = { 0 };

    (void)state;
    if (config_parse(str_of(settings), "test.json", &config, &error) == ERR_OK)
        return 0;
    print_error("%s: %s\n", error.pointer, error.text);
    return -1;
}

static int unload(void **state)
{
    (void)state;
    config_unref(config);
    return 0;
}

struct fixture {
    struct request request;
    struct snapshot snapshot;
    struct order order;
    struct purse purse;
    struct decision decision;
    struct fuser_verdict verdict;
    struct api_error error;
    struct stay stay;
    struct record record;
};

static void open_record(struct fixture *f, const char *body)
{
    memset(f, 0, sizeof *f);
    request_init(&f->request, body);
    f->snapshot.config = config;
    assert_int_equal(order_make(&f->order, config, &f->request.chat, &f->request.options,
                                &key_allow_all, 0, 1000, &f->error),
                     API_OK);
    purse_init(&f->purse, f->order.ceiling_pico, NULL);
    f->record = (struct record){
        .snapshot = &f->snapshot,
        .order = &f->order,
        .decision = &f->decision,
        .purse = &f->purse,
        .options = &f->request.options,
        .stay = &f->stay,
        .decision_id = STR("dec_1"),
        .request_id = STR("req_1"),
        .model = f->request.chat.model,
        .chosen = -1,
        .decided = true,
        .reason = REASON_DIRECT,
        .terms = { .worst_pico = MONEY_NONE, .expected_pico = MONEY_NONE },
        .remaining_pico = purse_remaining(&f->purse),
        .route = "chat",
        .neighbours_max = FUSER_MAX_NEIGHBOURS,
    };
}

static void plan(struct fixture *f, size_t expert, double quality)
{
    struct plan_choice *choice = &f->decision.plan.choices[f->decision.plan.n++];

    *choice = (struct plan_choice){ .expert = (uint8_t)expert,
                                    .predicted = !isnan(quality),
                                    .quality = (float)quality,
                                    .quality_se = 0.03f,
                                    .output_tokens = isnan(quality) ? NAN : 50 };
}

/* Two ranked experts, one embedding bought, one that failed. */
static const struct fuser_verdict a_verdict = {
    .n_ranked = 2,
    .ranked = { { .generator = DEAR,
                  .quality = 0.9,
                  .quality_se = 0.02,
                  .utility = 0.4,
                  .output_tokens = 70,
                  .latency_ms = NAN,
                  .expected_pico = 10000000000,
                  .worst_pico = MONEY_NONE,
                  .known = 12,
                  .affordable = true,
                  .good_enough = true },
                { .generator = CHEAP,
                  .quality = 0.25,
                  .quality_se = 0.03,
                  .utility = 0.2,
                  .output_tokens = 50,
                  .latency_ms = 120,
                  .expected_pico = 100000000,
                  .worst_pico = MONEY_NONE,
                  .known = 7,
                  .affordable = true } },
    .n_neighbours = 2,
    .neighbours = { { .id = "row \"1\"", .domain = "sums", .distance = 0.5f },
                    { .id = "row 2", .distance = 0.75f, .weight = 0.25f } },
    .n_steps = 3,
    .steps = { { .embedder = SURFACE,
                 .loss_before = 0.5,
                 .candidates = { { true, 0.4, 0.01 }, { true, 0.3, INFINITY } } },
               { .embedder = EYE, .loss_before = 0.4, .price_pico = 30 },
               { .embedder = -1, .loss_before = 0.3 } },
    .stop = FUSER_STOP_ALL_BOUGHT,
    .evidence = FUSER_EVIDENCE_GOOD,
    .domain = "sums",
};

static void know_everything(struct fixture *f)
{
    static const struct usage usage = {
        .known = true, .input_tokens = 20, .cached_tokens = 4, .output_tokens = 60
    };
    static struct record_attempt second = { .expert = CHEAP,
                                            .end = "answered",
                                            .status = 200,
                                            .sent = true,
                                            .expert_request_id = "theirs",
                                            .began_us = 9000,
                                            .head_us = 100,
                                            .first_byte_us = 200,
                                            .done_us = 5000,
                                            .spent_pico = 140000000 };
    static struct record_attempt first = { .next = &second,
                                           .expert = DEAR,
                                           .end = "timeout_idle",
                                           .error = "nothing came",
                                           .sent = true,
                                           .expert_request_id = "",
                                           .done_us = 8000 };
    static const float vector[] = { 1, 0 };

    f->verdict = a_verdict;
    f->decision.verdict = &f->verdict;
    f->decision.evidence_pico = 30;
    f->decision.undelivered = 1u << EYE;
    f->decision.told[EYE] = (struct decision_told){
        .waited_us = 2500, .error = "status", .vector = vector, .dim = 2
    };
    f->decision.began_us = 1000;
    f->decision.ready_us = 4500;
    plan(f, DEAR, 0.9);
    plan(f, CHEAP, 0.25);
    f->snapshot.known = 3;
    f->snapshot.mean_quality[CHEAP] = 0.3;
    f->snapshot.mean_quality[DEAR] = 0.8;
    f->purse.spent_pico = 140000030;
    f->purse.bound_pico = 150000030;
    f->record.chosen = 1;
    f->record.reason = REASON_FAILOVER;
    f->record.terms.expected_pico = 100000000;
    f->record.key = STR("key_1");
    f->record.stream = true;
    f->record.attempts = &first;
    f->record.usage = usage;
    f->record.names = (struct usage_names){ STR("chatcmpl-1"), STR("c-2024"), { 0 } };
    f->record.generation_pico = 140000000;
    f->record.answered = true;
    f->record.status = 200;
    f->record.error = &f->error;
    f->record.at_us = 1000000;
    f->record.first_us = 9200;
    f->record.total_us = 15000;
    f->record.prompt = STR("the prompt");
    f->record.vectors = true;
}

static json_t *render(const struct fixture *f, bool whole)
{
    json_error_t error;
    struct buf out;
    json_t *json;

    buf_init(&out, RECORD_BYTES);
    if (whole)
        record_whole(&f->record, &out);
    else
        record_decision(&f->record, &out);
    assert_false(out.failed);
    json = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, &error);
    if (json == NULL)
        fail_msg("%s: %.*s", error.text, (int)out.n, out.p);
    buf_release(&out);
    return json;
}

/* "a.b.0.c" */
static const json_t *at(const json_t *json, const char *path)
{
    char part[64];

    while (json != NULL && *path != '\0') {
        size_t n = strcspn(path, ".");

        assert_true(n < sizeof part);
        memcpy(part, path, n);
        part[n] = '\0';
        json = json_is_array(json) ? json_array_get(json, strtoul(part, NULL, 10))
                                   : json_object_get(json, part);
        path += n + (path[n] == '.');
    }
    return json;
}

static void assert_at(const json_t *json, const char *path, const char *expected)
{
    const json_t *found = at(json, path);
    char *text;

    if (found == NULL)
        fail_msg("there is no '%s'", path);
    text = json_dumps(found, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
    if (strcmp(text, expected) != 0)
        fail_msg("'%s' is %s, not %s", path, text, expected);
    free(text);
}

static void close_record(struct fixture *f, json_t *json)
{
    json_decref(json);
    request_release(&f->request);
}

static void what_is_not_known_is_null_and_not_zero(void **state)
{
    struct fixture f;
    json_t *json;

    (void)state;
    open_record(&f, "{\"model\":\"dear\",\"messages\":[{}]}");
    json = render(&f, true);
    assert_at(json, "expert", "null");
    assert_at(json, "predicted_quality", "null");
    assert_at(json, "policy", "null");
    assert_at(json, "lambda_from", "null");
    assert_at(json, "key", "null");
    assert_at(json, "tags", "{}");
    assert_at(json, "tokens", "null");
    assert_at(json, "error", "null");
    assert_at(json, "answer", "{\"id\":null,\"model\":null,\"system_fingerprint\":null}");
    assert_at(json, "cost.expected_usd", "null");
    assert_at(json, "cost.ceiling_usd", "null");
    assert_at(json, "cost.spent_usd", "0");
    assert_at(json, "attempts", "[]");
    assert_at(json, "ranking", "[]");
    assert_at(json, "steps", "[]");
    assert_at(json, "neighbours", "[]");
    assert_at(json, "evidence", "null");
    assert_at(json, "bundle", "null");
    assert_at(json, "first_ms", "null");
    assert_at(json, "propensity", "1");
    assert_null(at(json, "prompt"));
    assert_null(at(json, "vectors"));
    close_record(&f, json);
}

static void what_was_decided_stands_there_with_its_reasons(void **state)
{
    struct fixture f;
    json_t *json;

    (void)state;
    open_record(&f, "{\"model\":\"auto\",\"messages\":[{}]}");
    know_everything(&f);
    json = render(&f, true);
    assert_at(json, "expert", "\"cheap\"");
    assert_at(json, "reason", "\"failover\"");
    assert_at(json, "policy", "\"auto\"");
    assert_at(json, "lambda", "50");
    assert_at(json, "lambda_from", "\"policy\"");
    assert_at(json, "ranking.0.expert", "\"dear\"");
    assert_at(json, "ranking.0.expected_usd", "0.01");
    assert_at(json, "ranking.0.latency_ms", "null");
    assert_null(at(json, "ranking.0.good_enough"));
    assert_at(json, "ranking.1.good_enough", "false");
    assert_at(json, "excluded", "[]");
    assert_at(json, "ranking.1.quality_se", "0.029999999999999999");
    assert_at(json, "steps.0.delivered", "true");
    assert_at(json, "steps.0.candidates.1.gain_se", "null");
    assert_at(json, "steps.1.bought", "\"eye\"");
    assert_at(json, "steps.1.delivered", "false");
    assert_at(json, "steps.1.waited_ms", "2.5");
    assert_at(json, "steps.1.error", "\"status\"");
    assert_at(json, "steps.2.bought", "null");
    assert_at(json, "stop", "\"all_bought\"");
    assert_at(json, "neighbours.0.id", "\"row \\\"1\\\"\"");
    assert_at(json, "neighbours.1.domain", "null");
    assert_at(json, "decision_ms", "3.5");
    close_record(&f, json);
}

static void what_was_done_and_paid_stands_there_too(void **state)
{
    struct fixture f;
    json_t *json;

    (void)state;
    open_record(&f, "{\"model\":\"auto\",\"messages\":[{}],"
                    "\"frugal\":{\"tags\":{\"team\":\"search\"}}}");
    know_everything(&f);
    json = render(&f, true);
    assert_at(json, "at", "\"1970-01-01T00:00:01.000Z\"");
    assert_at(json, "tags", "{\"team\":\"search\"}");
    assert_at(json, "key", "\"key_1\"");
    assert_at(json, "answer.model", "\"c-2024\"");
    assert_at(json, "tokens", "{\"cached_input\":4,\"input\":20,\"output\":60}");
    assert_at(json, "attempts.0.end", "\"timeout_idle\"");
    assert_at(json, "attempts.0.error", "\"nothing came\"");
    assert_at(json, "attempts.0.status", "null");
    assert_at(json, "attempts.1.error", "null");
    assert_at(json, "attempts.1.expert_request_id", "\"theirs\"");
    assert_at(json, "attempts.1.first_byte_ms", "0.20000000000000001");
    assert_at(json, "cost.spent_usd", "0.00014000003");
    assert_at(json, "cost.bound_usd", "0.00015000003");
    assert_at(json, "first_ms", "9.1999999999999993");
    assert_at(json, "prompt", "\"the prompt\"");
    assert_at(json, "vectors", "{\"eye\":{\"f32\":\"AACAPwAAAAA=\",\"model\":\"e\"}}");
    close_record(&f, json);
}

static void what_ended_before_it_was_decided_has_no_reason(void **state)
{
    struct fixture f;
    json_t *json;

    (void)state;
    open_record(&f, "{\"model\":\"auto\",\"messages\":[{}]}");
    f.record.decided = false;
    json = render(&f, true);
    assert_at(json, "reason", "null");
    assert_at(json, "reason_text", "null");
    assert_at(json, "decision_ms", "null");
    close_record(&f, json);
}

static void neighbours_are_as_many_as_are_wanted(void **state)
{
    struct fixture f;
    json_t *json;

    (void)state;
    open_record(&f, "{\"model\":\"auto\",\"messages\":[{}]}");
    know_everything(&f);
    f.record.neighbours_max = 1;
    json = render(&f, true);
    assert_int_equal(json_array_size(at(json, "neighbours")), 1);
    close_record(&f, json);
}

static void a_decision_alone_is_the_same_without_what_came_of_it(void **state)
{
    static const char *const later[] = { "status", "attempts", "tokens", "answer",
                                         "error",  "prompt",   "vectors" };
    struct fixture f;
    json_t *decision, *whole;
    const char *key;
    json_t *value;

    (void)state;
    open_record(&f, "{\"model\":\"auto\",\"messages\":[{}]}");
    know_everything(&f);
    decision = render(&f, false);
    whole = render(&f, true);
    for (size_t i = 0; i < ARRAY_LEN(later); i++)
        assert_null(json_object_get(decision, later[i]));
    json_object_foreach(decision, key, value)
    {
        if (strcmp(key, "cost") != 0)
            assert_true(json_equal(value, json_object_get(whole, key)));
    }
    json_decref(decision);
    close_record(&f, whole);
}

static void the_request_and_the_tuned_bundle_set_lambda_too(void **state)
{
    struct fixture f;
    json_t *json;

    (void)state;
    open_record(&f, "{\"model\":\"auto\",\"messages\":[{}],\"frugal\":{\"lambda\":7}}");
    json = render(&f, false);
    assert_at(json, "lambda", "7");
    assert_at(json, "lambda_from", "\"request\"");
    close_record(&f, json);
    open_record(&f, "{\"model\":\"auto\",\"messages\":[{}]}");
    config->policies[0].silent_value = true;
    json = render(&f, false);
    assert_at(json, "lambda_from", "\"bundle\"");
    config->policies[0].silent_value = false;
    close_record(&f, json);
}

/* Prices are per million tokens: 1 USD is 1,000,000 pico-USD a token. */
static void baselines_are_priced_by_the_tokens_of_the_answer(void **state)
{
    const int64_t million = 1000000;
    struct fixture f;
    struct record_baselines both;

    (void)state;
    open_record(&f, "{\"model\":\"auto\",\"messages\":[{}]}");
    know_everything(&f);
    both = record_baselines(&f.record);
    assert_int_equal(both.best.expert, DEAR);
    assert_int_equal(both.best.pico, million * (20 * 100 + 84 * 200));
    assert_int_equal(both.cheapest.expert, CHEAP);
    assert_int_equal(both.cheapest.pico, million * (20 * 1 + 60 * 2));
    request_release(&f.request);
}

static void without_a_bundle_nobody_is_known_to_be_best(void **state)
{
    struct fixture f;
    struct record_baselines both;

    (void)state;
    open_record(&f, "{\"model\":\"auto\",\"messages\":[{}]}");
    know_everything(&f);
    f.snapshot.known = 0;
    both = record_baselines(&f.record);
    assert_int_equal(both.best.expert, -1);
    assert_true(both.best.pico == MONEY_NONE);
    assert_int_equal(both.cheapest.expert, CHEAP);
    request_release(&f.request);
}

static void who_had_no_choice_saves_nothing(void **state)
{
    struct fixture f;
    struct record_baselines both;

    (void)state;
    open_record(&f, "{\"model\":\"dear\",\"messages\":[{}]}");
    f.record.generation_pico = 5;
    f.record.answered = true;
    both = record_baselines(&f.record);
    assert_int_equal(both.best.pico, 5);
    assert_int_equal(both.cheapest.pico, 5);
    request_release(&f.request);
    open_record(&f, "{\"model\":\"auto\",\"messages\":[{}]}");
    know_everything(&f);
    f.record.answered = false;
    both = record_baselines(&f.record);
    assert_int_equal(both.best.pico, f.record.generation_pico);
    request_release(&f.request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_known_is_null_and_not_zero),
        cmocka_unit_test(what_was_decided_stands_there_with_its_reasons),
        cmocka_unit_test(what_was_done_and_paid_stands_there_too),
        cmocka_unit_test(what_ended_before_it_was_decided_has_no_reason),
        cmocka_unit_test(neighbours_are_as_many_as_are_wanted),
        cmocka_unit_test(a_decision_alone_is_the_same_without_what_came_of_it),
        cmocka_unit_test(the_request_and_the_tuned_bundle_set_lambda_too),
        cmocka_unit_test(baselines_are_priced_by_the_tokens_of_the_answer),
        cmocka_unit_test(without_a_bundle_nobody_is_known_to_be_best),
        cmocka_unit_test(who_had_no_choice_saves_nothing),
    };

    return cmocka_run_group_tests(tests, load, unload);
}
