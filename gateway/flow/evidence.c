/* evidence.c - a remote embedder is asked, paid for, and asked elsewhere if it fails.
 *
 *     decision_reserve   a place at an endpoint that may be called, and its worst case
 *     decision_buy       the call
 *     hedge_due          a second call beside it, when it takes longer than nearly all of late
 *     answered           settled; told to the fuser, or to be reserved once more elsewhere
 *
 * What must hold: nothing is bought that the purse has not reserved; the place at the endpoint
 * is left exactly once, and what the call says of its health is told before.
 */
#include <assert.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/domain/price.h"
#include "gateway/flow/bars.h"
#include "gateway/flow/decision_parts.h"
#include "gateway/flow/held.h"

const struct config_embedding *evidence_embedding(const struct decision *decision,
                                                  size_t embedder)
{
    const struct config *config = decision->snapshot->config;

    assert(config->embedders[embedder].kind == CONFIG_EMBEDDER_REMOTE);
    return &config->experts[config->embedders[embedder].expert].embedding;
}

/* Books what a call of the embedder cost and whether it works. */
static void count_call(struct decision_call *call, enum metric_attempt how,
                       int64_t spent_before)
{
    struct decision *decision = call->decision;
    const struct config *config = decision->snapshot->config;
    size_t expert = config->embedders[decision->embedder].expert;
    size_t slot = decision->snapshot->slots[expert];
    int64_t spent = decision->purse->spent_pico - spent_before;
    atomic_uint *in_row =
        &decision->snapshot->embedders[decision->embedder].failed_in_row;

    upstream_leave(&call->place);
    metrics_move(decision->tools.metrics, METRIC_UPSTREAM_IN_FLIGHT, slot, -1);
    metrics_add(decision->tools.metrics, METRIC_EMBEDDINGS, slot, how, 1);
    metrics_add(decision->tools.metrics, METRIC_COST, slot, METRIC_SPEND_EVIDENCE,
                (uint64_t)spent);
    decision->evidence_pico = money_add(decision->evidence_pico, spent);
    if (how == METRIC_ATTEMPT_OK)
        atomic_store_explicit(in_row, 0, memory_order_relaxed);
    else if (how != METRIC_ATTEMPT_CANCELLED)
        atomic_fetch_add_explicit(in_row, 1, memory_order_relaxed);
}

void evidence_log(const struct decision *decision, const char *why)
{
    struct log_line line;

    log_begin(&line, LOG_WARN, "embedder_failed");
    log_str(&line, "request_id", decision->tools.request_id);
    log_text(&line, "embedder",
             decision->snapshot->config->embedders[decision->embedder].name);
    log_text(&line, "why", why);
    log_end(&line);
}

void evidence_not_delivered(struct decision *decision, const char *error)
{
    decision->told[decision->embedder].error = error;
    decision->failed = true;
    decision->undelivered |= 1u << decision->embedder;
    fuser_fail(decision->session, decision->embedder,
               decision->purse->spent_pico - decision->before_pico);
}

static enum metric_attempt how_it_ended(const struct embedder_answer *answer)
{
    switch (answer->result) {
    case EMBEDDER_OK:
        return METRIC_ATTEMPT_OK;
    case EMBEDDER_STATUS:
        if (answer->status == 429)
            return METRIC_ATTEMPT_STATUS_429;
        return answer->status >= 500 ? METRIC_ATTEMPT_STATUS_5XX
                                     : METRIC_ATTEMPT_STATUS_4XX;
    case EMBEDDER_TRANSPORT:
        return upstream_broken(answer->transport);
    default:
        return METRIC_ATTEMPT_MALFORMED;
    }
}

/* A closed set of words: what the transport said, or what was wrong with the answer. */
static const char *embedder_word(const struct embedder_answer *answer)
{
    if (answer->result == EMBEDDER_TRANSPORT)
        return http_result_label(answer->transport);
    return answer->result == EMBEDDER_OK ? "unusable"
                                         : embedder_result_label(answer->result);
}

static int64_t expected_pico(const struct decision *decision)
{
    return price_embedding_expected(evidence_embedding(decision, decision->embedder),
                                    decision->asked_s, decision->text.n);
}

static void close_charge(struct decision_call *call, enum store_fate fate, int64_t tokens)
{
    struct decision *decision = call->decision;

    if (call->beside)
        ledger_close_beside(decision->tools.ledger, decision->purse, fate, tokens, -1);
    else
        ledger_close(decision->tools.ledger, decision->purse, fate, tokens, -1);
}

/* It was surely not carried out: never sent, or refused. Whoever waited (408) may have been
 * answered since. */
static bool is_free(const struct embedder_answer *answer)
{
    if (answer->result != EMBEDDER_STATUS)
        return !answer->sent;
    return answer->status == 503 || (answer->status < 500 && answer->status != 408);
}

/* An embedder that refused has sold nothing; one that broke may have. A text has tokens: who
 * reports none has not counted. */
static void pay(struct decision_call *call, const struct embedder_answer *answer)
{
    struct decision *decision = call->decision;
    const struct config *config = decision->snapshot->config;
    enum store_fate fate = STORE_FATE_UNKNOWN;
    const struct config_embedding *embedding =
        evidence_embedding(decision, decision->embedder);

    held_drop(decision->tools.metrics, &call->hold);
    if (answer->result == EMBEDDER_OK && answer->prompt_tokens > 0 &&
        answer->prompt_tokens <= USAGE_MAX_TOKENS) {
        if (purse_settle(decision->purse, &call->hold,
                         price_embedding_settle(embedding, decision->asked_s,
                                                answer->prompt_tokens)))
            bars_set(decision->snapshot, config->embedders[decision->embedder].expert,
                     BARS_OVER_WORST, decision->tools.metrics);
        fate = STORE_FATE_REPORTED;
    } else if (is_free(answer)) {
        purse_release(decision->purse, &call->hold);
        fate = STORE_FATE_FREE;
    } else {
        purse_unknown(decision->purse, &call->hold, expected_pico(decision));
    }
    close_charge(call, fate, fate == STORE_FATE_REPORTED ? answer->prompt_tokens : -1);
}

/* -- a call ------------------------------------------------------------------------------ */

/* What the call says of the endpoint: as for generators, a 4xx says nothing. */
static void tell_health(struct decision_call *call, const struct embedder_answer *answer)
{
    enum health_said said = HEALTH_FAILED;

    if (answer->result == EMBEDDER_OK)
        said = HEALTH_WORKED;
    else if (answer->result == EMBEDDER_NOMEM || answer->stale)
        said = HEALTH_NOTHING;
    else if (answer->result == EMBEDDER_STATUS && answer->status < 500 &&
             answer->status != 401 && answer->status != 402)
        said = answer->status == 429 ? HEALTH_WORKED : HEALTH_NOTHING;
    if (answer->result == EMBEDDER_STATUS &&
        (answer->status == 429 || answer->status == 503))
        upstream_limit(&call->place, answer->retry_after_ms);
    upstream_told(&call->place, said, embedder_word(answer));
}

/* Nothing was bought, and it says nothing of the expert's other endpoints: one of them may
 * be asked, and paid for. */
static bool ask_elsewhere(struct decision_call *call,
                          const struct embedder_answer *answer)
{
    struct decision *decision = call->decision;
    const struct config *config = decision->snapshot->config;
    size_t expert = config->embedders[decision->embedder].expert;
    bool of_endpoint = answer->result == EMBEDDER_TRANSPORT ||
                       (answer->result == EMBEDDER_STATUS &&
                        (answer->status == 429 || answer->status == 503));

    decision->tried |= UINT32_C(1) << call->place.endpoint;
    if (!of_endpoint || !is_free(answer) ||
        decision->more + 1 >= config->limits.attempts ||
        (unsigned)__builtin_popcount(decision->tried) >=
            config->experts[expert].n_endpoints)
        return false;
    decision->more++;
    return true;
}

/* Of a call that is given up the fate is unknown. */
static void give_up(struct decision_call *call, enum metric_attempt how)
{
    struct decision *decision = call->decision;
    int64_t spent = decision->purse->spent_pico;

    embedder_cancel(call->call);
    call->call = NULL;
    held_drop(decision->tools.metrics, &call->hold);
    purse_unknown(decision->purse, &call->hold, expected_pico(decision));
    close_charge(call, STORE_FATE_UNKNOWN, -1);
    /* Who is too slow for the policy is as good as down; a client's own haste is no fault. */
    if (how == METRIC_ATTEMPT_TIMEOUT && !decision->hurried)
        upstream_told(&call->place, HEALTH_FAILED, "late");
    count_call(call, how, spent);
}

/* Reserved, and not made after all. */
static void give_back(struct decision_call *call)
{
    struct decision *decision = call->decision;

    if (!call->reserved)
        return;
    call->reserved = false;
    upstream_leave(&call->place);
    held_drop(decision->tools.metrics, &call->hold);
    purse_release(decision->purse, &call->hold);
    close_charge(call, STORE_FATE_FREE, -1);
}

/* One of the two calls has decided: the other one is not waited for any more. */
static void end_other(struct decision_call *call)
{
    struct decision *decision = call->decision;
    struct decision_call *other = &decision->calls[!call->beside];

    loop_timer_clear(decision->tools.loop, &decision->hedge);
    if (other->decision == NULL)
        return;
    give_back(other);
    if (other->call != NULL)
        give_up(other, METRIC_ATTEMPT_CANCELLED);
}

static struct latency *latency_of(const struct decision *decision)
{
    size_t expert = decision->snapshot->config->embedders[decision->embedder].expert;

    return &decision->snapshot->gauges[expert]->latency;
}

/* The vector, if it is one: told to the fuser and kept. Else what is wrong with it. */
static const char *take_vector(struct decision_call *call,
                               const struct embedder_answer *answer,
                               struct fuser_error *error)
{
    struct decision *decision = call->decision;

    if (fuser_tell(decision->session, decision->embedder, answer->vectors, answer->dim,
                   decision->purse->spent_pico - decision->before_pico,
                   (double)answer->elapsed_us / 1000.0, error) != FUSER_OK)
        return error->text;
    latency_note(latency_of(decision), answer->elapsed_us);
    if (call->beside)
        metrics_add(
            decision->tools.metrics, METRIC_HEDGES_WON,
            decision->snapshot
                ->slots[decision->snapshot->config->embedders[decision->embedder].expert],
            0, 1);
    evidence_keep(decision, answer);
    return NULL;
}

/* The embedder that was asked last is asked once more; false: it is not. */
static bool ask_more(struct decision_call *call, const struct embedder_answer *answer)
{
    struct decision *decision = call->decision;

    if (answer->stale && !decision->again) {
        /* The kept connection had just been closed: asked and paid for once more. */
        decision->again = true;
    } else if (answer->result == EMBEDDER_OK || !ask_elsewhere(call, answer)) {
        return false;
    }
    decision->state = DECISION_QUERY;
    return true;
}

static void answered(void *arg, const struct embedder_answer *answer)
{
    struct decision_call *call = arg;
    struct decision *decision = call->decision;
    int64_t spent = decision->purse->spent_pico;
    enum metric_attempt how = how_it_ended(answer);
    const char *why =
        answer->detail != NULL ? answer->detail : embedder_result_text(answer->result);
    struct fuser_error error = { 0 };

    call->call = NULL;
    pay(call, answer);
    tell_health(call, answer);
    spent = decision->purse->spent_pico - spent;
    if (how != METRIC_ATTEMPT_OK && decision->calls[!call->beside].call != NULL) {
        evidence_log(decision, why); /* the other one may still deliver */
        count_call(call, how, decision->purse->spent_pico - spent);
        return;
    }
    end_other(call);
    if (ask_more(call, answer)) {
        if (!answer->stale)
            evidence_log(decision, why);
    } else {
        const char *wrong =
            how == METRIC_ATTEMPT_OK ? take_vector(call, answer, &error) : why;

        decision->told[decision->embedder].waited_us = answer->elapsed_us;
        if (wrong != NULL) {
            how = how == METRIC_ATTEMPT_OK ? METRIC_ATTEMPT_MALFORMED : how;
            evidence_not_delivered(decision, embedder_word(answer));
            evidence_log(decision, wrong);
        }
        decision_go_on(decision);
    }
    count_call(call, how, decision->purse->spent_pico - spent);
    decision->wake(decision->arg);
}

bool evidence_under_way(const struct decision *decision)
{
    return decision->calls[0].call != NULL || decision->calls[1].call != NULL;
}

void evidence_give_up(struct decision *decision, enum metric_attempt how)
{
    if (!evidence_under_way(decision))
        return;
    loop_timer_clear(decision->tools.loop, &decision->hedge);
    for (size_t i = 0; i < ARRAY_LEN(decision->calls); i++) {
        if (decision->calls[i].decision != NULL)
            give_back(&decision->calls[i]);
        if (decision->calls[i].call != NULL)
            give_up(&decision->calls[i], how);
    }
    evidence_not_delivered(decision,
                           how == METRIC_ATTEMPT_CANCELLED ? "cancelled" : "late");
}

void evidence_take_back(struct decision *decision)
{
    if (!decision->calls[0].reserved)
        return;
    give_back(&decision->calls[0]);
    give_back(&decision->calls[1]);
    decision->undelivered |= 1u << decision->embedder;
    decision->told[decision->embedder].error = "late";
    fuser_fail(decision->session, decision->embedder, 0);
}

/* -- reserving and calling --------------------------------------------------------------- */

/* Its worst case, from ceiling and key. */
static bool reserve(struct decision_call *call, size_t expert)
{
    struct decision *decision = call->decision;
    const char *name = decision->snapshot->config->experts[expert].name;
    int64_t worst =
        price_embedding_worst(evidence_embedding(decision, decision->embedder),
                              decision->order->span, decision->text.n);
    int64_t expected;
    enum err err;

    decision->asked_s = clock_wall_s(&clock_system);
    if (worst > order_evidence_pico(decision->order, purse_remaining(decision->purse)) ||
        purse_reserve(decision->purse, worst, &call->hold) != PURSE_OK)
        return false;
    expected = expected_pico(decision);
    err = call->beside ? ledger_open_beside(decision->tools.ledger, decision->purse,
                                            STORE_KIND_EMBEDDING, name, worst, expected)
                       : ledger_open(decision->tools.ledger, decision->purse,
                                     STORE_KIND_EMBEDDING, name, worst, expected);
    if (err != ERR_OK) {
        purse_release(decision->purse, &call->hold);
        return false;
    }
    held_add(decision->tools.metrics, &call->hold);
    call->reserved = true;
    return true;
}

/* A place at one of its endpoints; NULL: there it is, else why not. */
static const char *enter_expert(struct decision_call *call, size_t expert, uint32_t tried)
{
    struct decision *decision = call->decision;
    struct upstream_choice at = upstream_choose(decision->snapshot, expert, tried,
                                                loop_now_us(decision->tools.loop));

    if (at.may == HEALTH_MAY_LIMITED)
        return "limited";
    if (!upstream_may_call(at.may))
        return "down";
    switch (upstream_enter(&call->place, decision->snapshot, expert, at.endpoint, false,
                           decision->tools.metrics)) {
    case UPSTREAM_FULL:
        return "full";
    case UPSTREAM_SHUT:
        return "down";
    case UPSTREAM_ENTERED:
        break;
    }
    return NULL;
}

/* The money of a second call is reserved with the first one's, so that the ledger has both
 * before either is made. Where it does not fit there is no second call. */
static void reserve_hedge(struct decision *decision, size_t expert)
{
    struct decision_call *call = &decision->calls[1];

    *call = (struct decision_call){ .decision = decision, .beside = true };
    if (evidence_embedding(decision, decision->embedder)->hedge && decision->more == 0 &&
        !decision->again && latency_p95(latency_of(decision)) > 0)
        (void)!reserve(call, expert);
}

bool decision_reserve(struct decision *decision)
{
    struct decision_call *call = &decision->calls[0];
    const char *why;
    size_t expert;

    if (decision->state != DECISION_QUERY)
        return false;
    if (call->reserved)
        return true;
    expert = decision->snapshot->config->embedders[decision->embedder].expert;
    *call = (struct decision_call){ .decision = decision };
    why = enter_expert(call, expert, decision->tried);
    if (why == NULL && !reserve(call, expert)) {
        upstream_leave(&call->place);
        why = "ceiling";
    }
    if (why == NULL) {
        reserve_hedge(decision, expert);
        return true;
    }
    if (strcmp(why, "ceiling") == 0) {
        decision->undelivered |= 1u << decision->embedder;
        decision->told[decision->embedder].error = why;
        fuser_fail(decision->session, decision->embedder,
                   decision->purse->spent_pico - decision->before_pico);
    } else {
        evidence_not_delivered(decision, why);
    }
    decision_go_on(decision);
    return false;
}

/* It has a place and its money. False: no memory, nothing is called. */
static bool call_embedder(struct decision_call *call, bool fresh)
{
    struct decision *decision = call->decision;
    struct embedder_text text = { .p = decision->text.p, .n = decision->text.n };
    struct http_header id = { "x-request-id", decision->tools.request_id.p };
    struct embedder_spec spec = upstream_embedder_spec(
        decision->snapshot, decision->embedder, call->place.endpoint, &text, 1, 0);

    spec.headers = &id;
    spec.n_headers = decision->tools.request_id.n > 0;
    spec.once = true;
    spec.fresh = fresh;
    call->call = embedder_start(decision->tools.http, &spec, answered, call);
    if (call->call == NULL)
        return false;
    call->reserved = false;
    metrics_move(decision->tools.metrics, METRIC_UPSTREAM_IN_FLIGHT,
                 decision->snapshot->slots[call->place.expert], 1);
    return true;
}

/* The first call takes longer than nearly all of late: another endpoint is asked as well, or
 * the same one where there is no other. Who is late because everybody is gets no second call. */
static void hedge_due(void *arg)
{
    struct decision *decision = arg;
    struct decision_call *call = &decision->calls[1];
    size_t expert = decision->calls[0].place.expert;
    uint32_t tried = UINT32_C(1) << decision->calls[0].place.endpoint;

    if (decision->snapshot->config->experts[expert].n_endpoints == 1)
        tried = 0;
    if (!latency_hedge(latency_of(decision)) ||
        enter_expert(call, expert, tried) != NULL || !call_embedder(call, false)) {
        give_back(call);
        return;
    }
    metrics_add(decision->tools.metrics, METRIC_HEDGES, decision->snapshot->slots[expert],
                0, 1);
}

static void arm_hedge(struct decision *decision)
{
    struct loop *loop = decision->tools.loop;
    uint64_t due_us = loop_now_us(loop) + latency_p95(latency_of(decision));

    decision->hedge = (struct loop_timer){ .fn = hedge_due, .arg = decision };
    if (due_us >= decision->timer.due_us ||
        loop_timer_set(loop, &decision->hedge, due_us) != LOOP_OK)
        give_back(&decision->calls[1]);
}

void decision_buy(struct decision *decision)
{
    struct decision_call *call = &decision->calls[0];

    assert(decision->state == DECISION_QUERY && call->reserved);
    decision->state = DECISION_WAITING;
    if (!call_embedder(call, decision->again)) {
        give_back(call);
        give_back(&decision->calls[1]);
        evidence_not_delivered(decision, "no_memory");
        decision_go_on(decision);
        return;
    }
    if (decision->calls[1].reserved)
        arm_hedge(decision);
}
