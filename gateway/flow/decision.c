/* decision.c - which expert shall answer; see decision.h.
 *
 * Here the purchase of evidence is carried out; whether a piece is worth its price is the
 * fuser's to say (fuser_next). Two rules hold throughout: nothing is bought that the purse
 * has not reserved, and whatever goes wrong ends in a plan with a named reason. The plan
 * itself is made in plan.c.
 */
#include "gateway/flow/decision.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/domain/price.h"
#include "gateway/flow/bars.h"
#include "gateway/flow/decision_parts.h"
#include "gateway/flow/held.h"
#include "gateway/flow/probe.h"
#include "gateway/flow/upstream.h"

static const struct config_embedding *embedding_of(const struct decision *decision,
                                                   size_t embedder)
{
    const struct config *config = decision->snapshot->config;

    assert(config->embedders[embedder].kind == CONFIG_EMBEDDER_REMOTE);
    return &config->experts[config->embedders[embedder].expert].embedding;
}

/* -- the walk ---------------------------------------------------------------------------- */

static void stepped(void *arg, const struct fuser_step *step)
{
    struct decision *decision = arg;

    if (!decision->ended) {
        if (step->action == FUSER_ANSWER || decision->late) {
            decision_conclude(decision);
        } else {
            decision->embedder = step->embedder;
            decision->state = DECISION_QUERY;
        }
    }
    decision->wake(decision->arg);
}

static void go_on(struct decision *decision)
{
    decision->state = DECISION_WAITING;
    decider_add(decision->tools.decider, &decision->entry);
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

    upstream_leave(decision->snapshot, expert);
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

static void log_failure(const struct decision *decision, const char *why)
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
    const struct config_embedding *embedding = embedding_of(decision, decision->embedder);
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
    if (answer->stale && !decision->again) {
        /* The kept connection had just been closed: asked and paid for once more. */
        decision->again = true;
        count_call(decision, how, spent);
        decision->state = DECISION_QUERY;
        decision->wake(decision->arg);
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
        log_failure(decision, why);
    } else {
        keep_vector(decision, answer);
    }
    count_call(decision, how, spent);
    go_on(decision);
    decision->wake(decision->arg);
}

/* Of a call that is given up the fate is unknown. */
static void give_up_call(struct decision *decision, enum metric_attempt how)
{
    int64_t spent = decision->purse->spent_pico;

    if (decision->call == NULL)
        return;
    embedder_cancel(decision->call);
    decision->call = NULL;
    held_drop(decision->tools.metrics, &decision->hold);
    purse_unknown(decision->purse, &decision->hold,
                  price_embedding_expected(embedding_of(decision, decision->embedder),
                                           decision->asked_s, decision->text.n));
    ledger_close(decision->tools.ledger, decision->purse, STORE_FATE_UNKNOWN, -1, -1);
    not_delivered(decision, spent,
                  how == METRIC_ATTEMPT_CANCELLED ? "cancelled" : "late");
    count_call(decision, how, spent);
}

/* What is reserved for a call that is not made after all. */
static void take_back(struct decision *decision)
{
    const struct config *config = decision->snapshot->config;

    if (!decision->reserved)
        return;
    decision->reserved = false;
    upstream_leave(decision->snapshot, config->embedders[decision->embedder].expert);
    held_drop(decision->tools.metrics, &decision->hold);
    purse_release(decision->purse, &decision->hold);
    ledger_close(decision->tools.ledger, decision->purse, STORE_FATE_FREE, -1, -1);
    decision->undelivered |= 1u << decision->embedder;
    decision->told[decision->embedder].error = "late";
    fuser_fail(decision->session, decision->embedder, 0);
}

static void time_is_over(void *arg)
{
    struct decision *decision = arg;

    decision->late = true;
    take_back(decision);
    if (decision->call != NULL) {
        give_up_call(decision, METRIC_ATTEMPT_TIMEOUT);
        log_failure(decision, "the deadline of the decision has passed");
    } else if (!decider_remove(decision->tools.decider, &decision->entry)) {
        return;
    }
    decision_conclude(decision);
    decision->wake(decision->arg);
}

/* Its worst case, from ceiling and key. */
static bool reserve(struct decision *decision, size_t expert)
{
    const struct config *config = decision->snapshot->config;
    const struct config_embedding *embedding = embedding_of(decision, decision->embedder);
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

bool decision_reserve(struct decision *decision)
{
    size_t expert;

    if (decision->state != DECISION_QUERY)
        return false;
    if (decision->reserved)
        return true;
    expert = decision->snapshot->config->embedders[decision->embedder].expert;
    if (!upstream_enter(decision->snapshot, expert)) {
        not_delivered(decision, decision->purse->spent_pico, "full");
        log_failure(decision, "too many calls under way");
        go_on(decision);
        return false;
    }
    if (!reserve(decision, expert)) {
        upstream_leave(decision->snapshot, expert);
        decision->undelivered |= 1u << decision->embedder;
        decision->told[decision->embedder].error = "ceiling";
        fuser_fail(decision->session, decision->embedder, 0);
        go_on(decision);
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
    spec = upstream_embedder_spec(decision->snapshot, decision->embedder, &text, 1, 0);
    spec.headers = &id;
    spec.n_headers = decision->tools.request_id.n > 0;
    spec.once = decision->hold.worst_pico > 0;
    spec.fresh = decision->again;
    decision->call = embedder_start(decision->tools.http, &spec, answered, decision);
    if (decision->call == NULL) {
        held_drop(decision->tools.metrics, &decision->hold);
        purse_release(decision->purse, &decision->hold);
        ledger_close(decision->tools.ledger, decision->purse, STORE_FATE_FREE, -1, -1);
        not_delivered(decision, decision->purse->spent_pico, "no_memory");
        count_call(decision, METRIC_ATTEMPT_CANCELLED, decision->purse->spent_pico);
        go_on(decision);
    }
}

/* -- begin and end ----------------------------------------------------------------------- */

/* Whoever charges more than its worst case is not asked under ceilings any more. */
static bool is_barred(const struct decision *decision, size_t embedder)
{
    size_t expert = decision->snapshot->config->embedders[embedder].expert;

    return decision->order->capped && bars_has(decision->snapshot, expert);
}

static enum fuser_err open_session(struct decision *decision, struct fuser_error *error)
{
    const struct order *order = decision->order;
    const struct config *config = order->config;
    struct fuser_ask_generator generators[CONFIG_MAX_EXPERTS] = { 0 };
    struct fuser_ask_embedder embedders[CONFIG_MAX_EMBEDDERS] = { 0 };
    struct fuser_ask ask = {
        .lambda = order->lambda,
        .wait = order->wait_per_s,
        .min_quality = order->min_quality,
        .switch_z = order->switch_z,
        .gain_se = order->gain_se,
        .look = true,
        .ceiling_pico = purse_remaining(decision->purse),
        .text = decision->text.p != NULL ? decision->text.p : "",
        .text_bytes = decision->text.n,
        .max_output_tokens = (uint32_t)order->chat->output_limit,
        .generators = generators,
        .embedders = embedders,
    };

    if (order->chat->output_limit > UINT32_MAX)
        ask.max_output_tokens = 0;
    for (size_t i = 0; i < config->n_experts; i++) {
        const struct config_generator *g =
            chat_generator(order->chat, &config->experts[i]);
        const struct config_rates *rates;

        if (!order_allows(order, i))
            continue;
        rates = price_expected_rates(g, order->chat, order->span.from_s);
        generators[i] = (struct fuser_ask_generator){
            .allowed = true,
            .prompt_pico = price_prompt_pico(g, order->chat, order->span.from_s),
            .input_pico = rates->input_pico,
            .output_pico = money_mul(rates->output_pico, order->chat->n),
            .request_pico = rates->request_pico,
            .worst_pico = order_least_worst(order, i),
        };
    }
    for (size_t j = 0; j < config->n_embedders; j++) {
        enum probe_state probe = atomic_load_explicit(
            &decision->snapshot->embedders[j].probe, memory_order_relaxed);
        bool remote = config->embedders[j].kind == CONFIG_EMBEDDER_REMOTE;
        bool mine = !remote || (order->reachable >> config->embedders[j].expert & 1) != 0;

        embedders[j].allowed =
            mine && probe_state_usable(probe) &&
            (!remote || (decision->text.n > 0 && !is_barred(decision, j)));
        decision->failed |= probe == PROBE_MISMATCH;
        if (remote) {
            embedders[j].price_pico = price_embedding_expected(
                embedding_of(decision, j), order->span.from_s, decision->text.n);
            embedders[j].wait_ms = embedding_of(decision, j)->wait_ms;
        }
    }
    return fuser_session_new(decision->snapshot->fuser, &ask, &decision->session, error);
}

static void start_walk(struct decision *decision)
{
    struct loop *loop = decision->tools.loop;
    struct fuser_error error = { 0 };
    uint64_t wait_us = (uint64_t)decision->order->decision_deadline_ms * 1000;

    decision->verdict = arena_zalloc(decision->arena, sizeof(*decision->verdict));
    if (decision->verdict == NULL || open_session(decision, &error) != FUSER_OK) {
        struct log_line line;

        log_begin(&line, LOG_ERROR, "decision_failed");
        log_str(&line, "request_id", decision->tools.request_id);
        log_text(&line, "why", error.text[0] != '\0' ? error.text : "out of memory");
        log_end(&line);
        decision->verdict = NULL;
        decision_default(decision, REASON_DEFAULT);
        return;
    }
    decision->entry = (struct decider_entry){
        .fuser = decision->snapshot->fuser,
        .session = decision->session,
        .floats = decision->snapshot->search_floats,
        .fn = stepped,
        .arg = decision,
    };
    decision->timer = (struct loop_timer){ .fn = time_is_over, .arg = decision };
    if (loop_timer_set(loop, &decision->timer, loop_now_us(loop) + wait_us) != LOOP_OK)
        log_message(LOG_ERROR, "no_memory", "a decision has no deadline");
    go_on(decision);
}

void decision_begin(struct decision *decision, const struct decision_tools *tools,
                    struct snapshot *snapshot, const struct order *order,
                    struct purse *purse, struct str text, struct arena *arena)
{
    void (*wake)(void *) = decision->wake;
    void *arg = decision->arg;

    *decision = (struct decision){ .tools = *tools,
                                   .snapshot = snapshot,
                                   .order = order,
                                   .purse = purse,
                                   .arena = arena,
                                   .text = text,
                                   .wake = wake,
                                   .arg = arg };
    decision->began_us = clock_us(&clock_system);
    if (order->policy == NULL)
        decision_default(decision, REASON_DIRECT);
    else if (snapshot->fuser == NULL)
        decision_default(decision, REASON_NO_BUNDLE);
    else if (order_allowed_count(order) == 1)
        decision_default(decision, REASON_ONLY_EXPERT);
    else if ((order->allowed & snapshot->known) == 0)
        decision_default(decision, REASON_DEFAULT);
    else
        start_walk(decision);
}

bool decision_end(struct decision *decision)
{
    if (decision->state == DECISION_IDLE)
        return true;
    take_back(decision);
    give_up_call(decision, METRIC_ATTEMPT_CANCELLED);
    loop_timer_clear(decision->tools.loop, &decision->timer);
    if (decision->session != NULL &&
        !decider_remove(decision->tools.decider, &decision->entry)) {
        decision->ended = true;
        return false;
    }
    fuser_session_free(decision->session);
    decision->session = NULL;
    decision->state = DECISION_IDLE;
    return true;
}

struct str decision_queried(const struct decision *decision, struct arena *arena)
{
    const struct config *config = decision->snapshot->config;
    const struct fuser_verdict *verdict = decision->verdict;
    char text[CONFIG_MAX_EMBEDDERS * (CONFIG_MAX_NAME + 1)];
    struct str copy = { 0 };
    size_t n = 0;

    for (size_t s = 0; verdict != NULL && s < verdict->n_steps; s++) {
        int j = verdict->steps[s].embedder;
        struct str name;

        if (j < 0 || (decision->undelivered >> j & 1) != 0)
            continue;
        name = str_of(config->embedders[j].name);
        if (n > 0)
            text[n++] = ',';
        for (size_t i = 0; i < name.n && n < sizeof text - 1; i++)
            text[n++] = name.p[i];
    }
    if (arena_copy(arena, (struct str){ .p = text, .n = n }, &copy) != ERR_OK)
        return (struct str){ 0 };
    return copy;
}
