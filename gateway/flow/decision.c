/* decision.c - which expert shall answer; see decision.h.
 *
 * Here is the walk; whether a piece of evidence is worth its price is the fuser's to say
 * (fuser_next), it is bought in evidence.c, and the plan is made in plan.c. Two rules hold
 * throughout: nothing is bought that the purse has not reserved, and whatever goes wrong
 * ends in a plan with a named reason.
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
#include "gateway/flow/probe.h"

/* -- the walk ---------------------------------------------------------------------------- */

static void look_over(struct decision *decision);

static void stepped(void *arg, const struct fuser_step *step)
{
    struct decision *decision = arg;

    if (!decision->ended) {
        if (decision->looking) {
            look_over(decision);
        } else if (step->action == FUSER_ANSWER || decision->late) {
            decision_conclude(decision);
        } else {
            decision->embedder = step->embedder;
            decision->tried = 0;
            decision->before_pico = decision->purse->spent_pico;
            if (decision->told[decision->embedder].cached) {
                evidence_tell_kept(decision);
                return;
            }
            decision->state = DECISION_QUERY;
        }
    }
    decision->wake(decision->arg);
}

void decision_go_on(struct decision *decision)
{
    decision->state = DECISION_WAITING;
    decider_add(decision->tools.decider, &decision->entry);
}

static void time_is_over(void *arg)
{
    struct decision *decision = arg;

    decision->late = true;
    evidence_take_back(decision);
    if (evidence_under_way(decision)) {
        evidence_give_up(decision, METRIC_ATTEMPT_TIMEOUT);
        evidence_log(decision, "the deadline of the decision has passed");
    } else if (!decider_remove(decision->tools.decider, &decision->entry)) {
        return;
    }
    if (decision->looking)
        look_over(decision);
    else
        decision_conclude(decision);
    decision->wake(decision->arg);
}

/* -- begin and end ----------------------------------------------------------------------- */

/* Whoever charges more than its worst case is not asked under ceilings any more. */
static bool is_barred(const struct decision *decision, size_t embedder)
{
    size_t expert = decision->snapshot->config->embedders[embedder].expert;

    return decision->order->capped && bars_has(decision->snapshot, expert);
}

/* It may not be called now: nobody waits for what will not come. */
static bool is_out(const struct decision *decision, size_t embedder)
{
    size_t expert = decision->snapshot->config->embedders[embedder].expert;
    struct upstream_choice at =
        upstream_choose(decision->snapshot, expert, 0, loop_now_us(decision->tools.loop));

    return !upstream_may_call(at.may);
}

/* The conversation's expert reads a part of its prompt from its cache: its tokens are cheaper
 * on average, for this prompt and for those of the calibration that purchases are judged by. */
static struct fuser_ask_generator generator_asked(const struct order *order,
                                                  size_t expert)
{
    const struct config_generator *g =
        chat_generator(order->chat, &order->config->experts[expert]);
    const struct config_rates *rates =
        price_expected_rates(g, order->chat, order->span.from_s);
    const int64_t list = price_prompt_pico(g, order->chat, order->span.from_s);
    struct fuser_ask_generator asked = {
        .allowed = true,
        .held = order->sticky.held && order->sticky.expert == expert,
        .prompt_pico = order_prompt_pico(order, expert),
        .input_pico = rates->input_pico,
        .output_pico = money_mul(rates->output_pico, order->chat->n),
        .request_pico = rates->request_pico,
        .worst_pico = order_least_worst(order, expert),
    };

    if (asked.prompt_pico < list)
        asked.input_pico = (int64_t)((double)asked.input_pico *
                                     (double)asked.prompt_pico / (double)list);
    return asked;
}

/* Who is asked is certain, or it is only looked at what is free. */
static bool buys_nothing(const struct decision *decision)
{
    return decision->looking || decision->order->sticky.firm ||
           decision->order->rules.pinned;
}

/* What is kept costs nothing, whatever has become of the embedder since. */
static struct fuser_ask_embedder remote_asked(struct decision *decision, size_t embedder)
{
    const struct order *order = decision->order;
    const struct config_embedding *embedding = evidence_embedding(decision, embedder);
    size_t expert = order->config->embedders[embedder].expert;
    struct fuser_ask_embedder asked = {
        .allowed = (order->reachable >> expert & 1) != 0 && decision->text.n > 0 &&
                   !buys_nothing(decision),
        .price_pico =
            price_embedding_expected(embedding, order->span.from_s, decision->text.n),
        .wait_ms = embedding->wait_ms,
    };

    if (!asked.allowed)
        return asked;
    if (evidence_recall(decision, embedder)) {
        asked.price_pico = 0;
        asked.wait_ms = 0;
    } else if (is_barred(decision, embedder)) {
        asked.allowed = false;
    } else if (is_out(decision, embedder)) {
        asked.allowed = false;
        decision->failed = true;
    }
    return asked;
}

static struct fuser_ask_embedder embedder_asked(struct decision *decision,
                                                size_t embedder)
{
    enum probe_state probe = atomic_load_explicit(
        &decision->snapshot->embedders[embedder].probe, memory_order_relaxed);
    bool remote =
        decision->order->config->embedders[embedder].kind == CONFIG_EMBEDDER_REMOTE;

    decision->failed |= probe == PROBE_MISMATCH;
    if (!probe_state_usable(probe))
        return (struct fuser_ask_embedder){ .allowed = false };
    return remote ? remote_asked(decision, embedder)
                  : (struct fuser_ask_embedder){ .allowed = true };
}

static enum fuser_err open_session(struct decision *decision, struct fuser_error *error)
{
    const struct order *order = decision->order;
    const struct config *config = order->config;
    struct fuser_ask_generator generators[CONFIG_MAX_EXPERTS] = { 0 };
    struct fuser_ask_embedder embedders[CONFIG_MAX_EMBEDDERS] = { 0 };
    struct fuser_ask ask = {
        /* Who only looks takes whatever tells anything. */
        .lambda = decision->looking ? 0 : order->lambda,
        .wait = decision->looking ? 0 : order->wait_per_s,
        .min_quality = order->min_quality,
        .switch_z = order->switch_z,
        .gain_se = decision->looking ? 0 : order->gain_se,
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
        if (order_allows(order, i))
            generators[i] = generator_asked(order, i);
    }
    for (size_t j = 0; j < config->n_embedders; j++)
        embedders[j] = embedder_asked(decision, j);
    return fuser_session_new(decision->snapshot->fuser, &ask, &decision->session, error);
}

static void start_walk(struct decision *decision)
{
    struct loop *loop = decision->tools.loop;
    struct fuser_error error = { 0 };
    uint64_t wait_us = (uint64_t)decision->order->decision_deadline_ms * 1000;
    uint64_t most_us = (uint64_t)decision->order->deadline_ms * 1000 / 2;

    /* Half of a short deadline is for the answer. */
    decision->hurried = most_us < wait_us;
    if (decision->hurried)
        wait_us = most_us;
    decision->verdict = arena_zalloc(decision->arena, sizeof(*decision->verdict));
    if (decision->verdict == NULL || open_session(decision, &error) != FUSER_OK) {
        struct log_line line;

        log_begin(&line, LOG_ERROR, "decision_failed");
        log_str(&line, "request_id", decision->tools.request_id);
        log_text(&line, "why", error.text[0] != '\0' ? error.text : "out of memory");
        log_end(&line);
        decision->verdict = NULL;
        decision->looking = false;
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
    decision_go_on(decision);
}

static void choose(struct decision *decision)
{
    const struct order *order = decision->order;

    if (order->policy == NULL)
        decision_default(decision, REASON_DIRECT);
    else if (decision->snapshot->fuser == NULL)
        decision_default(decision, REASON_NO_BUNDLE);
    else if (order_allowed_count(order) == 1)
        decision_default(decision, REASON_ONLY_EXPERT);
    else if ((order->allowed & decision->snapshot->known) == 0)
        decision_default(decision, REASON_DEFAULT);
    else
        start_walk(decision);
}

/* What the rules of domains make of the prompt's. Far from all that is known its label says
 * nothing. */
static void look_over(struct decision *decision)
{
    struct fuser_verdict *verdict = decision->verdict;
    bool near;

    fuser_verdict(decision->session, INT64_MAX, verdict);
    near = verdict->evidence == FUSER_EVIDENCE_GOOD ||
           verdict->evidence == FUSER_EVIDENCE_TOO_FEW;
    fuser_session_free(decision->session);
    loop_timer_clear(decision->tools.loop, &decision->timer);
    decision->session = NULL;
    decision->looking = false;
    decision->denied = !order_rule_domain(decision->order, near ? verdict->domain : NULL);
    if (decision->denied)
        decision_deny(decision);
    else
        choose(decision);
}

void decision_begin(struct decision *decision, const struct decision_tools *tools,
                    struct snapshot *snapshot, struct order *order, struct purse *purse,
                    struct str text, struct arena *arena)
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
    decision->looking = order->rules.found.open != 0 && snapshot->fuser != NULL;
    if (decision->looking)
        start_walk(decision);
    else
        choose(decision);
}

bool decision_end(struct decision *decision)
{
    if (decision->state == DECISION_IDLE)
        return true;
    evidence_take_back(decision);
    evidence_give_up(decision, METRIC_ATTEMPT_CANCELLED);
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
