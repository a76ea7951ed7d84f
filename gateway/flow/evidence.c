/* evidence.c - a remote embedder is asked, paid for, and asked elsewhere if it fails.
 *
 *     decision_reserve   a place at an endpoint that may be called, and its worst case
 *     decision_buy       the call
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
#include "gateway/flow/probe.h"

const struct config_embedding *evidence_embedding(const struct decision *decision,
                                                  size_t embedder)
{
    const struct config *config = decision->snapshot->config;

    assert(config->embedders[embedder].kind == CONFIG_EMBEDDER_REMOTE);
    return &config->experts[config->embedders[embedder].expert].embedding;
}

/* Books what a call of the embedder cost and whether it works. */
static void count_call(struct decision *decision, enum metric_attempt how,
                       int64_t spent_before)
{
    const struct config *config = decision->snapshot->config;
    size_t expert = config->embedders[decision->embedder].expert;
    size_t slot = decision->snapshot->slots[expert];
    int64_t spent = decision->purse->spent_pico - spent_before;
    atomic_uint *in_row =
        &decision->snapshot->embedders[decision->embedder].failed_in_row;

    upstream_leave(&decision->place);
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

static void not_delivered(struct decision *decision, int64_t spent_before,
                          const char *error)
{
    decision->told[decision->embedder].error = error;
    decision->failed = true;
    decision->undelivered |= 1u << decision->embedder;
    fuser_fail(decision->session, decision->embedder,
               decision->purse->spent_pico - spent_before);
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
        break;
    default:
        return METRIC_ATTEMPT_MALFORMED;
    }
    switch (answer->transport) {
    case HTTP_CONNECT:
    case HTTP_DNS:
    case HTTP_TLS:
        return METRIC_ATTEMPT_CONNECT;
    case HTTP_TIMEOUT_CONNECT:
    case HTTP_TIMEOUT_FIRST_BYTE:
    case HTTP_TIMEOUT_IDLE:
    case HTTP_TIMEOUT_TOTAL:
        return METRIC_ATTEMPT_TIMEOUT;
    default:
        return METRIC_ATTEMPT_CUT;
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

/* An embedder that refused has sold nothing; one that broke may have. A text has tokens: who
 * reports none has not counted. */
static void pay(struct decision *decision, const struct embedder_answer *answer)
{
    const struct config *config = decision->snapshot->config;
    enum store_fate fate = STORE_FATE_UNKNOWN;
    const struct config_embedding *embedding =
        evidence_embedding(decision, decision->embedder);
    int64_t expected =
        price_embedding_expected(embedding, decision->asked_s, decision->text.n);

    held_drop(decision->tools.metrics, &decision->hold);
    if (answer->result == EMBEDDER_OK && answer->prompt_tokens > 0 &&
        answer->prompt_tokens <= USAGE_MAX_TOKENS) {
        if (purse_settle(decision->purse, &decision->hold,
                         price_embedding_settle(embedding, decision->asked_s,
                                                answer->prompt_tokens)))
            bars_set(decision->snapshot, config->embedders[decision->embedder].expert,
                     BARS_OVER_WORST, decision->tools.metrics);
        fate = STORE_FATE_REPORTED;
    } else if (!answer->sent ||
               (answer->result == EMBEDDER_STATUS && answer->status < 500)) {
        purse_release(decision->purse, &decision->hold);
        fate = STORE_FATE_FREE;
    } else {
        purse_unknown(decision->purse, &decision->hold, expected);
    }
    ledger_close(decision->tools.ledger, decision->purse, fate,
                 fate == STORE_FATE_REPORTED ? answer->prompt_tokens : -1, -1);
}

/* For the record. Without memory the vector is not kept, and nothing else is missing. */
static void keep_vector(struct decision *decision, const struct embedder_answer *answer)
{
    struct decision_told *told = &decision->told[decision->embedder];
    float *copy;

    if (!decision->tools.keep_vectors)
        return;
    copy = arena_alloc(decision->arena, answer->dim * sizeof *copy);
    if (copy == NULL)
        return;
    memcpy(copy, answer->vectors, answer->dim * sizeof *copy);
    told->vector = copy;
    told->dim = answer->dim;
}

/* -- kept vectors ------------------------------------------------------------------------ */

bool evidence_recall(struct decision *decision, size_t embedder)
{
    struct vector_cache *cache = decision->tools.cache;
    const struct fuser_bundle *bundle = fuser_bundle_of(decision->snapshot->fuser);
    int at = fuser_embedder_in_bundle(decision->snapshot->fuser, embedder);
    struct decision_told *told = &decision->told[embedder];
    size_t expert = decision->snapshot->config->embedders[embedder].expert;
    float *vector;
    size_t dim;

    if (cache == NULL || !vector_cache_on(cache) || at < 0)
        return false;
    told->key =
        vector_cache_key(cache, fuser_bundle_id(bundle),
                         decision->snapshot->config->embedders[embedder].name,
                         evidence_embedding(decision, embedder)->model, decision->text);
    dim = fuser_bundle_embedder(bundle, (size_t)at)->dim;
    vector = arena_array(decision->arena, dim, sizeof *vector);
    told->cached = vector != NULL && vector_cache_get(cache, told->key, vector, dim);
    if (told->cached) {
        told->vector = vector;
        told->dim = dim;
    }
    metrics_add(decision->tools.metrics, METRIC_EMBEDDING_CACHE,
                decision->snapshot->slots[expert],
                told->cached ? METRIC_CACHE_HIT : METRIC_CACHE_MISS, 1);
    return told->cached;
}

void evidence_tell_kept(struct decision *decision)
{
    const struct decision_told *told = &decision->told[decision->embedder];
    struct fuser_error error = { 0 };

    if (fuser_tell(decision->session, decision->embedder, told->vector, told->dim, 0, 0,
                   &error) != FUSER_OK) {
        not_delivered(decision, decision->purse->spent_pico, "unusable");
        evidence_log(decision, error.text);
    }
    decision_go_on(decision);
}

/* Only of an embedder that has shown to be the bundle's. */
static void keep_for_others(struct decision *decision,
                            const struct embedder_answer *answer)
{
    struct vector_cache *cache = decision->tools.cache;
    int probe = atomic_load_explicit(
        &decision->snapshot->embedders[decision->embedder].probe, memory_order_relaxed);

    if (cache != NULL && vector_cache_on(cache) && probe == PROBE_READY)
        vector_cache_put(cache, decision->told[decision->embedder].key, answer->vectors,
                         answer->dim);
}

/* -- a call ------------------------------------------------------------------------------ */

/* What the call says of the endpoint: as for generators, a 4xx says nothing. */
static void tell_health(struct decision *decision, const struct embedder_answer *answer)
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
        upstream_limit(&decision->place, answer->retry_after_ms);
    upstream_told(&decision->place, said, embedder_word(answer));
}

/* Nothing was bought, and it says nothing of the expert's other endpoints: one of them may
 * be asked, and paid for. */
static bool ask_elsewhere(struct decision *decision, const struct embedder_answer *answer)
{
    const struct config *config = decision->snapshot->config;
    size_t expert = config->embedders[decision->embedder].expert;
    bool free_of_charge = answer->result == EMBEDDER_TRANSPORT
                              ? !answer->sent
                              : answer->result == EMBEDDER_STATUS &&
                                    (answer->status == 429 || answer->status == 503);

    decision->tried |= UINT32_C(1) << decision->place.endpoint;
    if (!free_of_charge || decision->more + 1 >= config->limits.attempts ||
        (unsigned)__builtin_popcount(decision->tried) >=
            config->experts[expert].n_endpoints)
        return false;
    decision->more++;
    return true;
}

/* The embedder that was asked last is asked once more. */
static void ask_more(struct decision *decision, enum metric_attempt how,
                     int64_t spent_before)
{
    count_call(decision, how, spent_before);
    decision->state = DECISION_QUERY;
    decision->wake(decision->arg);
}

static void answered(void *arg, const struct embedder_answer *answer)
{
    struct decision *decision = arg;
    int64_t spent = decision->purse->spent_pico;
    enum metric_attempt how = how_it_ended(answer);
    const char *why =
        answer->detail != NULL ? answer->detail : embedder_result_text(answer->result);
    struct fuser_error error = { 0 };

    decision->call = NULL;
    pay(decision, answer);
    tell_health(decision, answer);
    if (answer->stale && !decision->again) {
        /* The kept connection had just been closed: asked and paid for once more. */
        decision->again = true;
        ask_more(decision, how, spent);
        return;
    }
    if (how != METRIC_ATTEMPT_OK && ask_elsewhere(decision, answer)) {
        evidence_log(decision, why);
        ask_more(decision, how, spent);
        return;
    }
    if (how == METRIC_ATTEMPT_OK &&
        fuser_tell(decision->session, decision->embedder, answer->vectors, answer->dim,
                   decision->purse->spent_pico - spent,
                   (double)answer->elapsed_us / 1000.0, &error) != FUSER_OK) {
        how = METRIC_ATTEMPT_MALFORMED;
        why = error.text;
    }
    decision->told[decision->embedder].waited_us = answer->elapsed_us;
    if (how != METRIC_ATTEMPT_OK) {
        not_delivered(decision, spent, embedder_word(answer));
        evidence_log(decision, why);
    } else {
        keep_vector(decision, answer);
        keep_for_others(decision, answer);
    }
    count_call(decision, how, spent);
    decision_go_on(decision);
    decision->wake(decision->arg);
}

void evidence_give_up(struct decision *decision, enum metric_attempt how)
{
    int64_t spent = decision->purse->spent_pico;

    if (decision->call == NULL)
        return;
    embedder_cancel(decision->call);
    decision->call = NULL;
    held_drop(decision->tools.metrics, &decision->hold);
    purse_unknown(
        decision->purse, &decision->hold,
        price_embedding_expected(evidence_embedding(decision, decision->embedder),
                                 decision->asked_s, decision->text.n));
    ledger_close(decision->tools.ledger, decision->purse, STORE_FATE_UNKNOWN, -1, -1);
    /* Who is too slow for the policy is as good as down; a client's own haste is no fault. */
    if (how == METRIC_ATTEMPT_TIMEOUT && !decision->hurried)
        upstream_told(&decision->place, HEALTH_FAILED, "late");
    not_delivered(decision, spent,
                  how == METRIC_ATTEMPT_CANCELLED ? "cancelled" : "late");
    count_call(decision, how, spent);
}

void evidence_take_back(struct decision *decision)
{
    if (!decision->reserved)
        return;
    decision->reserved = false;
    upstream_leave(&decision->place);
    held_drop(decision->tools.metrics, &decision->hold);
    purse_release(decision->purse, &decision->hold);
    ledger_close(decision->tools.ledger, decision->purse, STORE_FATE_FREE, -1, -1);
    decision->undelivered |= 1u << decision->embedder;
    decision->told[decision->embedder].error = "late";
    fuser_fail(decision->session, decision->embedder, 0);
}

/* Its worst case, from ceiling and key. */
static bool reserve(struct decision *decision, size_t expert)
{
    const struct config *config = decision->snapshot->config;
    const struct config_embedding *embedding =
        evidence_embedding(decision, decision->embedder);
    size_t n = decision->text.n;
    int64_t worst = price_embedding_worst(embedding, decision->order->span, n);

    decision->asked_s = clock_wall_s(&clock_system);
    if (worst > order_evidence_pico(decision->order, purse_remaining(decision->purse)) ||
        purse_reserve(decision->purse, worst, &decision->hold) != PURSE_OK)
        return false;
    if (ledger_open(decision->tools.ledger, decision->purse, STORE_KIND_EMBEDDING,
                    config->experts[expert].name, worst,
                    price_embedding_expected(embedding, decision->asked_s, n)) == ERR_OK)
        return true;
    purse_release(decision->purse, &decision->hold);
    return false;
}

/* A place at one of its endpoints; NULL: there it is, else why not. */
static const char *enter_expert(struct decision *decision, size_t expert)
{
    struct upstream_choice at = upstream_choose(
        decision->snapshot, expert, decision->tried, loop_now_us(decision->tools.loop));

    if (at.may == HEALTH_MAY_LIMITED)
        return "limited";
    if (!upstream_may_call(at.may))
        return "down";
    switch (upstream_enter(&decision->place, decision->snapshot, expert, at.endpoint,
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

bool decision_reserve(struct decision *decision)
{
    const char *why;
    size_t expert;

    if (decision->state != DECISION_QUERY)
        return false;
    if (decision->reserved)
        return true;
    expert = decision->snapshot->config->embedders[decision->embedder].expert;
    why = enter_expert(decision, expert);
    if (why != NULL) {
        not_delivered(decision, decision->purse->spent_pico, why);
        decision_go_on(decision);
        return false;
    }
    if (!reserve(decision, expert)) {
        upstream_leave(&decision->place);
        decision->undelivered |= 1u << decision->embedder;
        decision->told[decision->embedder].error = "ceiling";
        fuser_fail(decision->session, decision->embedder, 0);
        decision_go_on(decision);
        return false;
    }
    held_add(decision->tools.metrics, &decision->hold);
    decision->reserved = true;
    return true;
}

void decision_buy(struct decision *decision)
{
    const struct config *config = decision->snapshot->config;
    size_t expert = config->embedders[decision->embedder].expert;
    struct embedder_text text = { .p = decision->text.p, .n = decision->text.n };
    struct http_header id = { "x-request-id", decision->tools.request_id.p };
    struct embedder_spec spec;

    assert(decision->state == DECISION_QUERY && decision->reserved);
    decision->reserved = false;
    metrics_move(decision->tools.metrics, METRIC_UPSTREAM_IN_FLIGHT,
                 decision->snapshot->slots[expert], 1);
    decision->state = DECISION_WAITING;
    spec = upstream_embedder_spec(decision->snapshot, decision->embedder,
                                  decision->place.endpoint, &text, 1, 0);
    spec.headers = &id;
    spec.n_headers = decision->tools.request_id.n > 0;
    spec.once = true;
    spec.fresh = decision->again;
    decision->call = embedder_start(decision->tools.http, &spec, answered, decision);
    if (decision->call == NULL) {
        held_drop(decision->tools.metrics, &decision->hold);
        purse_release(decision->purse, &decision->hold);
        ledger_close(decision->tools.ledger, decision->purse, STORE_FATE_FREE, -1, -1);
        not_delivered(decision, decision->purse->spent_pico, "no_memory");
        count_call(decision, METRIC_ATTEMPT_CANCELLED, decision->purse->spent_pico);
        decision_go_on(decision);
    }
}
