/* forward.c - who is asked, on which terms, and what is said when nobody answered.
 *
 * exchange.c decides when; here is how. Whoever is chosen fits into what the purse still
 * has: the terms of order_fit are the only ones an expert is ever asked on. And whoever is
 * chosen may be called: an endpoint that is down, or that named a time before which it wants
 * no calls, is not asked, and who is in slow start only in turn or when nobody else is left.
 *
 * Nobody is left, since those that did not fail here are down: one of them is tried before its
 * time (health.h, "Early"); while another request makes that trial it is waited for, but
 * no longer than until it has failed.
 */
#include <assert.h>

#include "gateway/base/clock.h"
#include "gateway/domain/price.h"
#include "gateway/flow/exchange_parts.h"
#include "gateway/flow/held.h"
#include "gateway/flow/upstream.h"

static enum excluded excluded_by(enum health_may may)
{
    if (may == HEALTH_MAY_LIMITED)
        return EXCLUDED_LIMITED;
    return may == HEALTH_MAY_SLOW ? EXCLUDED_SLOW_START : EXCLUDED_DOWN;
}

/* Told in the record, and remembered for who is left with nobody. */
static void pass_by(struct exchange *x, size_t i, const struct upstream_choice *at)
{
    size_t expert = x->decision.plan.choices[i].expert;

    x->passed |= UINT64_C(1) << i;
    x->order.excluded[expert] = (uint8_t)excluded_by(at->may);
    if (at->may == HEALTH_MAY_SLOW) {
        x->spared |= UINT64_C(1) << i;
        return;
    }
    x->unwell |= UINT64_C(1) << i;
    if (!x->ill || at->until_us < x->well_us)
        x->well_us = at->until_us;
    x->ill = true;
}

static void choose(struct exchange *x, size_t i, const struct upstream_choice *at)
{
    x->chosen = (int)i;
    x->expert = x->decision.plan.choices[i].expert;
    x->endpoint = at->endpoint;
    x->early = at->early;
    x->tried = 0;
    x->passed &= ~(UINT64_C(1) << i);
    x->unwell &= ~(UINT64_C(1) << i);
    x->order.excluded[x->expert] = EXCLUDED_NOT;
    /* Whoever stands before it and is not asked was down, limited or spared. */
    x->failed_over |= x->ill || x->spared != 0;
}

static bool fits(struct exchange *x, size_t i)
{
    const struct plan_choice *choice = &x->decision.plan.choices[i];

    return order_fit(&x->order, choice->expert, purse_remaining(&x->purse),
                     (double)choice->output_tokens, &x->terms);
}

/* Nobody else is left: whoever was spared. */
static bool choose_spared(struct exchange *x)
{
    uint64_t now = loop_now_us(exchange_loop(x));

    for (; x->spared != 0; x->spared &= x->spared - 1) {
        size_t i = (size_t)__builtin_ctzll(x->spared);
        struct upstream_choice at =
            upstream_choose(x->snapshot, x->decision.plan.choices[i].expert, 0, now);

        if (!upstream_may_call(at.may) || !fits(x, i))
            continue;
        x->spared &= x->spared - 1;
        choose(x, i, &at);
        return true;
    }
    return false;
}

/* Nobody at all is left: of those that are down whoever's trial is due next. */
static bool choose_early(struct exchange *x)
{
    uint64_t now = loop_now_us(exchange_loop(x)), left = x->unwell;

    while (left != 0) {
        struct upstream_choice best = { .early = false };
        size_t first = 0;

        for (uint64_t rest = left; rest != 0; rest &= rest - 1) {
            size_t i = (size_t)__builtin_ctzll(rest);
            struct upstream_choice at = upstream_choose_early(
                x->snapshot, x->decision.plan.choices[i].expert, now);

            if (!at.early || (best.early && best.until_us <= at.until_us))
                continue;
            best = at;
            first = i;
        }
        if (!best.early)
            return false;
        if (fits(x, first)) {
            choose(x, first, &best);
            return true;
        }
        left &= ~(UINT64_C(1) << first);
    }
    return false;
}

bool forward_choose(struct exchange *x)
{
    const struct plan *plan = &x->decision.plan;
    uint64_t now = loop_now_us(exchange_loop(x));

    for (size_t i = 0; i < plan->n; i++) {
        struct upstream_choice at;

        if ((x->passed >> i & 1) != 0)
            continue;
        at = upstream_choose(x->snapshot, plan->choices[i].expert, 0, now);
        if (at.may >= HEALTH_MAY_SLOW) {
            pass_by(x, i, &at);
            continue;
        }
        if (fits(x, i)) {
            choose(x, i, &at);
            return true;
        }
        if (x->order.on_budget == CONFIG_ON_BUDGET_REJECT)
            return false;
        x->passed |= UINT64_C(1) << i;
        x->passed_over = true;
    }
    return choose_spared(x) || choose_early(x);
}

void forward_refuse(struct exchange *x)
{
    if (x->decision.denied) {
        (void)order_ruled_out(&x->order, &x->error);
        return;
    }
    uint64_t now = exchange_now_us();

    if (!x->ill) {
        gate_too_dear(x);
        return;
    }
    x->error.retry_after =
        x->well_us > now ? (int64_t)((x->well_us - now + 999999) / 1000000) : 1;
    (void)api_error_set(&x->error, API_EXPERT_BUSY, NULL,
                        "every expert that could answer is down or has reached its "
                        "limit");
}

bool forward_next_endpoint(struct exchange *x)
{
    struct upstream_choice at;

    x->tried |= UINT32_C(1) << x->endpoint;
    if (!attempt_of_endpoint(x->attempt.end) ||
        (unsigned)__builtin_popcount(x->tried) >=
            exchange_config(x)->experts[x->expert].n_endpoints)
        return false;
    at = upstream_choose(x->snapshot, x->expert, x->tried, loop_now_us(exchange_loop(x)));
    /* What the failed try may have cost is settled, so the terms are looked at again. */
    if (!upstream_may_call(at.may) || !fits(x, (size_t)x->chosen))
        return false;
    x->endpoint = at.endpoint;
    x->early = false;
    return true;
}

/* -- once more --------------------------------------------------------------------------- */

static bool unsure(const struct exchange *x)
{
    return x->attempt.sent && attempt_fate(x->attempt.end) == ATTEMPT_UNKNOWN;
}

bool forward_may_resend(const struct exchange *x)
{
    return !unsure(x) || exchange_config(x)->resend != CONFIG_UNSURE_NEVER;
}

void forward_failed(struct exchange *x)
{
    uint64_t bit = UINT64_C(1) << x->chosen;

    x->passed |= bit;
    if (attempt_same(x->attempt.end) &&
        (!unsure(x) || exchange_config(x)->resend == CONFIG_UNSURE_ANYWHERE))
        x->sorry |= bit;
    if (x->attempt.end == ATTEMPT_SHUT) /* somebody else was quicker with its trial */
        x->unwell |= bit;
}

/* Half of it by chance, so that who failed together does not come back together. */
static uint64_t pause_us(const struct exchange *x, unsigned pauses, uint64_t now)
{
    const struct config_limits *limits = &exchange_config(x)->limits;
    int64_t ms = limits->backoff_ms;
    uint64_t us, chance;

    for (unsigned i = 0; i < pauses && ms < limits->backoff_max_ms; i++)
        ms *= 2;
    if (ms > limits->backoff_max_ms)
        ms = limits->backoff_max_ms;
    us = (uint64_t)ms * 1000;
    chance = (now ^ (uintptr_t)x >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    return us / 2 + chance % (us / 2 + 1);
}

/* Whoever may be well again is looked at anew. */
static void pause_for(struct exchange *x, uint64_t until_us)
{
    exchange_arm(x, &x->pause_timer, until_us);
    x->pausing = true;
    x->passed &= ~x->unwell;
    x->unwell = 0;
    x->ill = false;
}

/* In short pauses, as long as one that did not fail here may be well at the end of
 * backoff_max_ms, and until it was tried by somebody and has failed. */
static bool wait_for_health(struct exchange *x)
{
    const struct config_limits *limits = &exchange_config(x)->limits;
    /* Not the loop's, which stands still for a turn: what failed in this turn, before this request
     * came, would have failed since. */
    uint64_t now = exchange_now_us();
    uint64_t until = now + pause_us(x, 0, now);
    uint64_t since = x->waits_us != 0 ? x->waits_us : now;
    uint64_t by = since + (uint64_t)limits->backoff_max_ms * 1000;
    bool hope = false;

    if (by > x->deadline.due_us)
        by = x->deadline.due_us;
    for (uint64_t rest = x->unwell; rest != 0 && !hope; rest &= rest - 1) {
        size_t i = (size_t)__builtin_ctzll(rest);

        hope = upstream_hope(x->snapshot, x->decision.plan.choices[i].expert, since, now,
                             by);
    }
    if (!hope || until >= by)
        return false;
    x->waits_us = since;
    pause_for(x, until);
    return true;
}

/* An expert that named a time is waited for until then. */
static bool pause_for_failed(struct exchange *x)
{
    const struct config_limits *limits = &exchange_config(x)->limits;
    uint64_t now = loop_now_us(exchange_loop(x));
    uint64_t us = pause_us(x, x->pauses, now), said = 0;

    if (x->sorry == 0 || x->pauses >= (unsigned)limits->attempts_again)
        return false;
    if (x->attempt.retry_after_ms > 0 && (x->sorry & (x->sorry - 1)) == 0)
        said = (uint64_t)x->attempt.retry_after_ms * 1000;
    if (said > (uint64_t)limits->backoff_max_ms * 1000 ||
        now + us + said >= x->deadline.due_us)
        return false;
    x->pauses++;
    x->passed &= ~x->sorry;
    x->sorry = 0;
    pause_for(x, now + us + said);
    return true;
}

bool forward_pause(struct exchange *x)
{
    return pause_for_failed(x) || wait_for_health(x);
}

/* -- asking ------------------------------------------------------------------------------ */

/* Others with the same key may have reserved since the terms were made: then there are new
 * terms, or the next who fits. */
bool forward_reserve(struct exchange *x)
{
    while (purse_take(&x->purse, x->terms.worst_pico, &x->hold) != PURSE_OK) {
        assert(x->purse.account != NULL); /* a ceiling is ours alone: order_fit agrees */
        if (forward_choose(x))
            continue;
        if (x->attempt.end == ATTEMPT_IDLE)
            forward_refuse(x);
        else
            forward_give_up(x);
        return false;
    }
    held_add(x->metrics, &x->hold);
    x->asking = true;
    if (ledger_open(&x->ledger, &x->purse, STORE_KIND_GENERATION,
                    exchange_config(x)->experts[x->expert].name, x->terms.worst_pico,
                    x->terms.expected_pico) == ERR_OK)
        return true;
    (void)api_error_set(&x->error, API_NOMEM, NULL, NULL);
    return false;
}

bool forward_again(struct exchange *x)
{
    const struct plan_choice *choice = exchange_choice(x);

    if (x->attempt.end != ATTEMPT_STALE || x->again ||
        !order_fit(&x->order, x->expert, purse_remaining(&x->purse),
                   (double)choice->output_tokens, &x->terms))
        return false;
    x->again = true;
    return true;
}

static void cost_of_usage(void *arg, const struct usage *usage, struct usage_cost *ret)
{
    settle_cost(arg, usage, ret);
}

static void fresh_relay(struct exchange *x)
{
    const struct config_limits *limits = &exchange_config(x)->limits;
    struct relay_rules rules = { .hold_bytes = (size_t)limits->hold_bytes,
                                 .hold_chunks = (size_t)limits->hold_chunks,
                                 .event_bytes = (size_t)limits->event_bytes,
                                 .usage_wanted = x->chat.include_usage,
                                 .shape = x->form->shape,
                                 .voice = tongue_voice(x),
                                 .voice_bytes = tongue_voice_bytes(x) };

    relay_release(&x->relay);
    relay_init(&x->relay, &rules, cost_of_usage, x);
}

void forward_ask(struct exchange *x)
{
    uint64_t now = loop_now_us(exchange_loop(x));
    const struct config_expert *expert = &exchange_config(x)->experts[x->expert];
    uint64_t due = x->deadline.due_us > now ? x->deadline.due_us - now : 1000;
    struct attempt_spec spec;

    x->form = order_form(&x->order, x->expert);
    if (x->order.capped) /* nobody knows what a beta costs */
        x->versions[1].name = NULL;
    spec = (struct attempt_spec){
        .http = worker_http(x->worker),
        .snapshot = x->snapshot,
        .expert = x->expert,
        .endpoint = x->endpoint,
        .metrics = x->metrics,
        .chat = x->form,
        .limit_tokens = x->terms.limit_tokens,
        .early = x->early,
        .fresh = x->attempt.end == ATTEMPT_STALE,
        .request_id = x->request_id,
        .forwarded = x->forwarded,
        .n_forwarded = x->n_forwarded,
        .versions = x->versions,
        .now_us = now,
        .within_ms = (unsigned)(due / 1000 + 1),
        .arena = &x->arena,
        .relay = x->chat.stream ? &x->relay : NULL,
        .progress = exchange_progressed,
        .arg = x,
    };

    x->price =
        price_at(&chat_generator(&x->chat, expert)->prices, clock_wall_s(&clock_system));
    x->asking = false;
    attempt_release(&x->attempt);
    loop_timer_clear(exchange_loop(x), &x->hold_timer);
    if (x->chat.stream)
        fresh_relay(x);
    ping_asked(x);
    attempt_start(&x->attempt, &spec);
    if (x->attempt.end == ATTEMPT_FULL || x->attempt.end == ATTEMPT_SHUT)
        return;
    x->attempts++;
    metrics_move(x->metrics, METRIC_UPSTREAM_IN_FLIGHT, x->snapshot->slots[x->expert], 1);
}

/* All who could be asked were asked: the last failure is the client's answer. */
void forward_give_up(struct exchange *x)
{
    enum attempt_end end = x->attempt.end;

    if (end == ATTEMPT_REFUSED || end == ATTEMPT_TOO_LONG || end == ATTEMPT_UNSUPPORTED)
        return;
    if (end == ATTEMPT_LIMITED || end == ATTEMPT_FULL || end == ATTEMPT_DOWN ||
        end == ATTEMPT_SHUT)
        x->error.retry_after =
            x->attempt.retry_after_ms > 0 ? (x->attempt.retry_after_ms + 999) / 1000 : 1;
    (void)api_error_set(&x->error, attempt_error(end), NULL, "expert '%s' failed: %s",
                        exchange_config(x)->experts[x->expert].name,
                        x->attempt.detail != NULL ? x->attempt.detail
                                                  : attempt_word(end));
}
