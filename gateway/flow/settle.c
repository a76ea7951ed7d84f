/* settle.c - what a request cost, counted once and said in one line.
 *
 * Money is settled when an attempt is over, on the usage that the expert reported. Where
 * it reported none the cost is estimated and marked, and against the ceiling the worst
 * case counts. Neither prompt text nor a key ever gets into the line.
 */
#include <math.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/domain/price.h"
#include "gateway/flow/bars.h"
#include "gateway/flow/exchange_parts.h"
#include "gateway/flow/held.h"
#include "gateway/flow/till.h"

#define LIMIT_SLACK_TOKENS 32 /* of an answer above its limit: not yet worth a bar */

static size_t slot_of(const struct exchange *x)
{
    return x->snapshot->slots[x->expert];
}

static const struct config_generator *generator_of(const struct exchange *x)
{
    return chat_generator(&x->chat, &exchange_config(x)->experts[x->expert]);
}

static size_t text_bytes(const struct exchange *x)
{
    if (x->attempt.streaming)
        return x->relay.output_bytes;
    return x->attempt.end == ATTEMPT_ANSWERED ? x->attempt.answer.output_bytes : 0;
}

/* What the expert says, if that can be and can be paid. */
static struct usage believed(const struct exchange *x, struct usage usage)
{
    usage = usage_beside_text(usage, text_bytes(x));
    if (usage.known && price_settle(x->price, &usage) == MONEY_NONE)
        return (struct usage){ .absurd = true };
    return usage;
}

static struct usage reported(const struct exchange *x)
{
    if (x->attempt.end != ATTEMPT_ANSWERED)
        return (struct usage){ 0 };
    return believed(x, x->attempt.streaming ? x->relay.usage : x->attempt.answer.usage);
}

static struct usage guess(const struct exchange *x)
{
    return (struct usage){ .known = true,
                           .input_tokens =
                               price_prompt_expected(generator_of(x), &x->chat),
                           .output_tokens = usage_estimate_tokens(text_bytes(x)) };
}

/* What an attempt without usage probably cost: its prompt, and as many tokens as its text is
 * long. Where it was cut off, what it was expected to cost, if that is more: the expert may
 * have got further than its answer, and a cut shows as much of a stream as it hides of an
 * answer in one piece. Never more than its worst case. */
static int64_t estimate(const struct exchange *x, bool whole)
{
    const struct usage usage = guess(x);
    int64_t pico = price_settle(x->price, &usage);

    if (!whole && pico < x->terms.expected_pico)
        pico = x->terms.expected_pico;
    return pico < x->hold.worst_pico ? pico : x->hold.worst_pico;
}

/* Far more tokens than it was allowed: also where a wide bound on the prompt hides it in the
 * price. Some count an end or a marker more; that is no sign of a limit that is not kept. */
static bool broke_limit(const struct exchange *x, const struct usage *usage)
{
    int64_t limit =
        x->terms.limit_tokens > 0 ? x->terms.limit_tokens : x->chat.output_limit;

    return limit > 0 &&
           usage->output_tokens >
               money_mul(money_add(money_mul(limit, 2), LIMIT_SLACK_TOKENS), x->chat.n);
}

static void settle_bought(struct exchange *x)
{
    struct usage usage = reported(x);
    size_t slot = slot_of(x);

    if (!usage.known) {
        metrics_add(x->metrics, usage.absurd ? METRIC_ABSURD_USAGE : METRIC_NO_USAGE,
                    slot, 0, 1);
        if (usage.absurd)
            log_message(LOG_WARN, "usage_not_believed",
                        "expert '%s' reported a usage that cannot be; the worst case "
                        "counts",
                        exchange_config(x)->experts[x->expert].name);
        purse_unknown(&x->purse, &x->hold, estimate(x, true));
        return;
    }
    x->usage = usage;
    metrics_add(x->metrics, METRIC_TOKENS, slot, METRIC_TOKENS_INPUT,
                (uint64_t)usage.input_tokens);
    metrics_add(x->metrics, METRIC_TOKENS, slot, METRIC_TOKENS_OUTPUT,
                (uint64_t)usage.output_tokens);
    if (purse_settle(&x->purse, &x->hold, price_settle(x->price, &usage))) {
        bars_set(x->snapshot, x->expert, BARS_OVER_WORST, x->metrics);
    } else if (broke_limit(x, &usage)) {
        bars_set(x->snapshot, x->expert, BARS_OVER_LIMIT, x->metrics);
        ledger_over_limit(&x->ledger);
    }
}

static void count_attempt(struct exchange *x, int64_t spent)
{
    const struct attempt *attempt = &x->attempt;
    size_t slot = slot_of(x);

    if (attempt->end == ATTEMPT_SHUT)
        return;
    metrics_add(x->metrics, METRIC_ATTEMPTS, slot, attempt_metric(attempt->end), 1);
    metrics_add(x->metrics, METRIC_COST, slot, METRIC_SPEND_GENERATION, (uint64_t)spent);
    if (attempt->end == ATTEMPT_FULL)
        return;
    metrics_move(x->metrics, METRIC_UPSTREAM_IN_FLIGHT, slot, -1);
    metrics_observe(x->metrics, METRIC_ATTEMPT_DURATION, slot,
                    (int64_t)(loop_now_us(exchange_loop(x)) - attempt->started_us));
    if (attempt->end != ATTEMPT_ANSWERED && attempt->end != ATTEMPT_CANCELLED &&
        x->head_sent)
        metrics_add(x->metrics, METRIC_STREAMS_CUT, slot, 0, 1);
}

/* A time after the attempt began, for one that the loop's clock has begin `early`; what was reached stays
 * more than 0. */
static uint64_t less_early(uint64_t us, uint64_t early)
{
    return us > early ? us - early : us > 0;
}

/* For the record; without memory it lacks this one. The loop's clock stands still within a turn, so it may have
 * the attempt begin before the request was accepted. */
static void note_attempt(struct exchange *x, int64_t spent)
{
    const struct attempt *attempt = &x->attempt;
    const bool answered = attempt->end == ATTEMPT_ANSWERED;
    struct record_attempt *note = arena_alloc(&x->arena, sizeof *note);
    const uint64_t began =
        attempt->started_us > x->accepted_us ? attempt->started_us : x->accepted_us;
    const uint64_t early = began - attempt->started_us;
    struct str id = { 0 };

    if (note == NULL)
        return;
    (void)!arena_copy(&x->arena, str_of(attempt->expert_request_id), &id);
    *note = (struct record_attempt){
        .expert = x->expert,
        .path = chat_path(attempt->spec.chat->shape),
        .end = attempt->word != NULL ? attempt->word : attempt_word(attempt->end),
        .status = attempt->status,
        .error = answered                  ? NULL
                 : attempt->detail != NULL ? attempt->detail
                                           : attempt_word(attempt->end),
        .sent = answered || attempt->sent,
        .expert_request_id = id.p != NULL ? id.p : "",
        .adapted = attempt->adapted,
        .began_us = (int64_t)(began - x->accepted_us),
        .head_us = less_early(attempt->timings.head_us, early),
        .first_byte_us = less_early(attempt->timings.first_byte_us, early),
        .done_us = less_early(loop_now_us(exchange_loop(x)) - attempt->started_us, early),
        .spent_pico = spent,
    };
    if (x->last_try != NULL)
        x->last_try->next = note;
    else
        x->first_try = note;
    x->last_try = note;
}

static void log_failed_attempt(const struct exchange *x)
{
    struct log_line line;

    log_begin(&line, LOG_WARN, "attempt_failed");
    log_str(&line, "request_id", x->request_id);
    log_text(&line, "expert", exchange_config(x)->experts[x->expert].name);
    log_text(&line, "end", attempt_word(x->attempt.end));
    if (x->attempt.status != 0)
        log_int(&line, "status", x->attempt.status);
    log_text(&line, "why", x->attempt.detail);
    log_end(&line);
}

/* The purse is settled: what the ledger is told of it. */
static void close_charge(struct exchange *x, enum attempt_fate fate)
{
    const struct usage usage = reported(x);

    if (fate == ATTEMPT_FREE)
        ledger_close(&x->ledger, &x->purse, STORE_FATE_FREE, -1, -1);
    else if (fate == ATTEMPT_BOUGHT && usage.known)
        ledger_close(&x->ledger, &x->purse, STORE_FATE_REPORTED, usage.input_tokens,
                     usage.output_tokens);
    else
        ledger_close(&x->ledger, &x->purse, STORE_FATE_UNKNOWN, -1, -1);
}

void settle_attempt(struct exchange *x)
{
    int64_t spent = x->purse.spent_pico;
    enum attempt_fate fate = attempt_fate(x->attempt.end);

    if (!x->attempt.sent && fate == ATTEMPT_UNKNOWN)
        fate = ATTEMPT_FREE;
    held_drop(x->metrics, &x->hold);
    if (fate == ATTEMPT_BOUGHT) {
        settle_bought(x);
    } else if (fate == ATTEMPT_FREE) {
        purse_release(&x->purse, &x->hold);
    } else {
        purse_unknown(&x->purse, &x->hold, estimate(x, false));
    }
    close_charge(x, fate);
    spent = x->purse.spent_pico - spent;
    x->generation_pico = money_add(x->generation_pico, spent);
    count_attempt(x, spent);
    if (x->attempt.end == ATTEMPT_SHUT)
        return; /* nobody was called */
    note_attempt(x, spent);
    if (x->attempt.end != ATTEMPT_ANSWERED && x->attempt.end != ATTEMPT_CANCELLED)
        log_failed_attempt(x);
}

void settle_cost(const struct exchange *x, const struct usage *usage,
                 struct usage_cost *ret_cost)
{
    struct usage_cost cost = {
        .cost_pico = x->purse.spent_pico,
        .estimated = x->purse.estimated,
        .bound_pico = x->purse.bound_pico,
        .generation_pico = x->generation_pico,
        .evidence_pico = x->decision.evidence_pico,
        .decision_id = str_of(x->decision_id),
        .expert = str_of(exchange_config(x)->experts[x->expert].name),
    };

    if (usage != NULL) {
        struct usage known = believed(x, *usage);
        int64_t pico = known.known ? price_settle(x->price, &known) : estimate(x, true);
        int64_t bound =
            known.known || x->hold.worst_pico == MONEY_NONE ? pico : x->hold.worst_pico;

        cost.cost_pico = money_add(cost.cost_pico, pico);
        cost.generation_pico = money_add(cost.generation_pico, pico);
        cost.bound_pico = money_add(cost.bound_pico, bound);
        cost.estimated |= !known.known;
    }
    cost.guess_input = guess(x).input_tokens;
    cost.guess_output = guess(x).output_tokens;
    cost.explain = x->explanation;
    *ret_cost = cost;
}

/* -- the request ------------------------------------------------------------------------- */

static enum metric_route metric_route(enum exchange_route route)
{
    switch (route) {
    case EXCHANGE_CHAT:
        return METRIC_ROUTE_CHAT;
    case EXCHANGE_COMPLETIONS:
        return METRIC_ROUTE_COMPLETIONS;
    case EXCHANGE_EMBEDDINGS:
        return METRIC_ROUTE_EMBEDDINGS;
    case EXCHANGE_RESPONSES:
        return METRIC_ROUTE_RESPONSES;
    case EXCHANGE_MESSAGES:
        return METRIC_ROUTE_MESSAGES;
    case EXCHANGE_DECISION:
        return METRIC_ROUTE_ROUTE;
    case EXCHANGE_MODELS:
    case EXCHANGE_MODEL:
        return METRIC_ROUTE_MODELS;
    case EXCHANGE_RECORDS:
    case EXCHANGE_RECORD:
    case EXCHANGE_FEEDBACK:
        return METRIC_ROUTE_DECISIONS;
    case EXCHANGE_HEALTHZ:
    case EXCHANGE_READYZ:
    case EXCHANGE_METRICS:
    case EXCHANGE_EXPERTS:
        return METRIC_ROUTE_HEALTH;
    default:
        return METRIC_ROUTE_OTHER;
    }
}

static void count_request(const struct exchange *x)
{
    enum metric_route route = metric_route(x->route);
    uint64_t now = x->done_us, expert_us = 0;
    /* until the answer began, without the wait for a place */
    uint64_t all_us = x->first_us - x->accepted_us - x->place.waited_us;
    const struct plan_choice *choice = exchange_choice(x);

    if (x->route == EXCHANGE_METRICS)
        return; /* a scrape does not see itself */
    metrics_add(x->metrics, METRIC_REQUESTS, route, x->error.code, 1);
    metrics_observe(x->metrics, METRIC_DURATION, route, (int64_t)(now - x->accepted_us));
    if (x->left)
        metrics_add(x->metrics, METRIC_CLIENTS_GONE, 0, 0, 1);
    if (x->decided_us != 0) {
        metrics_observe(x->metrics, METRIC_DECISION, 0,
                        (int64_t)(x->decided_us - x->parsed_us));
        if (choice != NULL)
            metrics_add(x->metrics, METRIC_DECISIONS, x->snapshot->slots[choice->expert],
                        exchange_reason(x), 1);
    }
    if (x->attempts == 0 || x->first_us == 0)
        return;
    if (x->attempt.timings.first_byte_us != 0 && x->attempts == 1)
        expert_us = x->attempt.timings.first_byte_us;
    if (x->attempt.streaming && x->error.code == API_OK)
        metrics_observe(x->metrics, METRIC_FIRST_TOKEN, slot_of(x),
                        (int64_t)(x->first_us - x->accepted_us));
    if (expert_us != 0)
        metrics_observe(x->metrics, METRIC_OVERHEAD, 0,
                        expert_us < all_us ? (int64_t)(all_us - expert_us) : 0);
}

static double ms_since(uint64_t from_us, uint64_t to_us)
{
    return to_us > from_us ? (double)(to_us - from_us) / 1000.0 : 0;
}

static void log_money(struct log_line *line, const struct exchange *x)
{
    if (!x->ordered)
        return;
    if (x->attempts > 0 || x->route == EXCHANGE_DECISION)
        log_usd(line, "estimate_usd",
                money_add(x->decision.evidence_pico, x->terms.expected_pico));
    log_usd(line, "cost_usd", x->purse.spent_pico);
    if (x->purse.bound_pico != x->purse.spent_pico)
        log_usd(line, "bound_usd", x->purse.bound_pico);
    if (x->purse.estimated)
        log_bool(line, "estimated", true);
    log_usd(line, "ceiling_usd", x->order.ceiling_pico);
    if (x->usage.known) {
        log_int(line, "input_tokens", x->usage.input_tokens);
        log_int(line, "output_tokens", x->usage.output_tokens);
    }
}

static void log_decision(struct log_line *line, struct exchange *x)
{
    const struct plan_choice *choice = exchange_choice(x);
    struct str queried;

    if (x->decision_id[0] == '\0')
        return;
    log_text(line, "decision_id", x->decision_id);
    if (x->order.policy != NULL)
        log_text(line, "policy", x->order.policy->name);
    if (choice == NULL)
        return;
    log_text(line, "expert", exchange_config(x)->experts[choice->expert].name);
    log_text(line, "reason", order_reason_word(&x->order, exchange_reason(x)));
    if (choice->predicted)
        log_fixed(line, "predicted_quality", (double)choice->quality, 4);
    queried = decision_queried(&x->decision, &x->arena);
    if (queried.n > 0)
        log_str(line, "queried", queried);
    log_int(line, "attempts", x->attempts);
}

/* Ids only: a name is for people, and a secret for nobody. */
static void log_key(struct log_line *line, const struct exchange *x)
{
    const struct key *key = x->key != NULL ? x->key : x->bad_key;

    if (key != NULL)
        log_text(line, "key", key->id);
    if (x->refusal != METRIC_REFUSAL_NONE)
        log_text(line, "key_refusal", metric_refusal_word(x->refusal));
}

static void log_request(struct exchange *x)
{
    struct log_line line;
    bool health = metric_route(x->route) == METRIC_ROUTE_HEALTH && x->status == 200;

    if (!exchange_config(x)->log_requests)
        return;
    log_begin(&line, health ? LOG_DEBUG : LOG_INFO, "request");
    log_str(&line, "request_id", x->request_id);
    log_str(&line, "method", x->method);
    log_str(&line, "path", x->path);
    log_int(&line, "status",
            x->left ? api_error_status(API_CLIENT_GONE) : (int)x->status);
    log_text(&line, "result", api_error_word(x->error.code));
    log_key(&line, x);
    log_decision(&line, x);
    if (x->error.code != API_OK && x->chosen >= 0)
        log_text(&line, "expert_end", x->attempt.word);
    if (x->attempts > 0)
        log_bool(&line, "stream", x->chat.stream);
    log_money(&line, x);
    if (x->decided_us != 0)
        log_fixed(&line, "decision_ms", ms_since(x->parsed_us, x->decided_us), 3);
    if (x->first_us != 0)
        log_fixed(&line, "first_ms", ms_since(x->accepted_us, x->first_us), 3);
    if (x->place.since_us != 0)
        log_fixed(&line, "queued_ms", (double)x->place.waited_us / 1000, 3);
    log_fixed(&line, "total_ms", ms_since(x->accepted_us, x->done_us), 3);
    log_str(&line, "peer", x->peer);
    log_int(&line, "snapshot", (int64_t)x->snapshot->number);
    log_end(&line);
}

void settle_steer(struct exchange *x)
{
    const struct config_policy *policy = x->order.policy;
    size_t i = policy != NULL ? (size_t)(policy - exchange_config(x)->policies) : 0;

    if (policy != NULL)
        order_steer(&x->order, till_factor(x->snapshot->tills[i], policy,
                                           clock_wall_s(&clock_system),
                                           x->snapshot->policy_slots[i], x->metrics));
}

static void fill_till(const struct exchange *x)
{
    const struct config_policy *policy = x->ordered ? x->order.policy : NULL;
    size_t i = policy != NULL ? (size_t)(policy - exchange_config(x)->policies) : 0;

    if (policy != NULL && x->purse.spent_pico > 0)
        till_add(x->snapshot->tills[i], clock_wall_s(&clock_system), x->purse.spent_pico,
                 x->snapshot->policy_slots[i], x->metrics);
}

void settle_request(struct exchange *x)
{
    fill_till(x);
    x->done_us = exchange_now_us();
    count_request(x);
    log_request(x);
}
