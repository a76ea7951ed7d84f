/* forward.c - who is asked, on which terms, and what is said when nobody answered.
 *
 * exchange.c decides when; here is how. Whoever is chosen fits into what the purse still
 * has: the terms of order_fit are the only ones an expert is ever asked on.
 */
#include <assert.h>

#include "gateway/base/clock.h"
#include "gateway/domain/price.h"
#include "gateway/flow/exchange_parts.h"
#include "gateway/flow/held.h"
#include "gateway/flow/upstream.h"

/* The first in the plan that can be afforded now, from `choice` on; false: nobody. */
bool forward_choose(struct exchange *x)
{
    const struct plan *plan = &x->decision.plan;

    for (; x->choice < plan->n; x->choice++) {
        const struct plan_choice *choice = &plan->choices[x->choice];

        if (order_fit(&x->order, choice->expert, purse_remaining(&x->purse),
                      (double)choice->output_tokens, &x->terms)) {
            x->chosen = (int)x->choice++;
            x->expert = choice->expert;
            x->turn = upstream_turn(x->snapshot, x->expert);
            x->endpoints = 1;
            return true;
        }
        if (x->order.on_budget == CONFIG_ON_BUDGET_REJECT)
            return false;
        x->passed_over = true;
    }
    return false;
}

bool forward_next_endpoint(struct exchange *x)
{
    const struct plan_choice *choice = exchange_choice(x);

    if (!attempt_of_endpoint(x->attempt.end) ||
        x->endpoints >= exchange_config(x)->experts[x->expert].n_endpoints)
        return false;
    /* What the failed try may have cost is settled, so the terms are looked at again. */
    if (!order_fit(&x->order, x->expert, purse_remaining(&x->purse),
                   (double)choice->output_tokens, &x->terms))
        return false;
    x->endpoints++;
    x->turn++;
    return true;
}

/* Others with the same key may have reserved since the terms were made: then there are new
 * terms, or the next who fits. */
bool forward_reserve(struct exchange *x)
{
    while (purse_take(&x->purse, x->terms.worst_pico, &x->hold) != PURSE_OK) {
        assert(x->purse.account != NULL); /* a ceiling is ours alone: order_fit agrees */
        x->choice = (size_t)x->chosen;
        if (forward_choose(x))
            continue;
        if (x->attempt.end == ATTEMPT_IDLE)
            gate_too_dear(x);
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
        .turn = x->turn,
        .chat = x->form,
        .limit_tokens = x->terms.limit_tokens,
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
    attempt_start(&x->attempt, &spec);
    if (x->attempt.end == ATTEMPT_FULL)
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
    if (end == ATTEMPT_LIMITED || end == ATTEMPT_FULL || end == ATTEMPT_DOWN)
        x->error.retry_after =
            x->attempt.retry_after_ms > 0 ? (x->attempt.retry_after_ms + 999) / 1000 : 1;
    (void)api_error_set(&x->error, attempt_error(end), NULL, "expert '%s' failed: %s",
                        exchange_config(x)->experts[x->expert].name,
                        x->attempt.detail != NULL ? x->attempt.detail
                                                  : attempt_word(end));
}
