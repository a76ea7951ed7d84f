/* plan.c - who is to be asked, in which order, and for which reason: a verdict becomes a
 * plan. What must hold: a plan names every allowed expert once, and one reason. */
#include <math.h>

#include <xxhash.h>

#include "gateway/base/clock.h"
#include "gateway/flow/decision_parts.h"

static bool planned(const struct plan *plan, size_t expert)
{
    for (size_t i = 0; i < plan->n; i++) {
        if (plan->choices[i].expert == expert)
            return true;
    }
    return false;
}

static void plan_add(struct decision *decision, size_t expert,
                     const struct fuser_ranked *ranked)
{
    struct plan *plan = &decision->plan;

    if (!order_allows(decision->order, expert) || planned(plan, expert))
        return;
    plan->choices[plan->n] = (struct plan_choice){
        .expert = (uint8_t)expert,
        .predicted = ranked != NULL,
        .quality = ranked != NULL ? (float)ranked->quality : NAN,
        .quality_se = ranked != NULL ? (float)ranked->quality_se : NAN,
        .output_tokens = ranked != NULL ? (float)ranked->output_tokens : NAN,
    };
    plan->n++;
}

/* Those of whom nothing is known of this prompt stand at the end, the cheapest first. */
static void plan_add_rest(struct decision *decision)
{
    const struct order *order = decision->order;

    for (;;) {
        size_t cheapest = CONFIG_MAX_EXPERTS;
        int64_t least = 0;

        for (size_t i = 0; i < order->config->n_experts; i++) {
            int64_t price;

            if (!order_may_choose(order, i) || planned(&decision->plan, i))
                continue;
            price = order_expected(order, i, NAN);
            if (cheapest == CONFIG_MAX_EXPERTS || price < least) {
                cheapest = i;
                least = price;
            }
        }
        if (cheapest == CONFIG_MAX_EXPERTS)
            return;
        plan_add(decision, cheapest, NULL);
    }
}

/* A rule that kept somebody away has chosen with the evidence; that something is wrong is
 * still said. */
static enum reason with_rules(const struct order *order, enum reason reason)
{
    if (order->rules.decided == NULL)
        return reason;
    return reason == REASON_ROUTED || reason == REASON_NOT_WORTH ||
                   reason == REASON_ONLY_EXPERT || reason == REASON_DEFAULT
               ? REASON_RULE
               : reason;
}

static void ready(struct decision *decision, enum reason reason)
{
    decision->plan.reason = with_rules(decision->order, reason);
    if (reason != REASON_DIRECT && !decision->denied)
        plan_add_rest(decision);
    decision->state = DECISION_READY;
    decision->ready_us = clock_us(&clock_system);
    loop_timer_clear(decision->tools.loop, &decision->timer);
}

/* Where nothing speaks for anybody a conversation's expert is the default; what is broken is
 * still said. */
static enum reason reason_of_default(const struct order *order, enum reason reason)
{
    if (order->rules.pinned)
        return REASON_RULE;
    if (!order->sticky.held || order->sticky.expert == order->policy->default_expert)
        return reason;
    return reason == REASON_NO_BUNDLE || reason == REASON_TOO_FAR ||
                   reason == REASON_TOO_FEW || reason == REASON_DEFAULT
               ? REASON_STICKY
               : reason;
}

void decision_deny(struct decision *decision)
{
    ready(decision, REASON_RULE);
}

void decision_default(struct decision *decision, enum reason reason)
{
    reason = reason_of_default(decision->order, reason);
    plan_add(decision, decision->order->preferred, NULL);
    if (decision->verdict != NULL) {
        for (size_t i = 0; i < decision->verdict->n_ranked; i++)
            plan_add(decision, decision->verdict->ranked[i].generator, NULL);
    }
    ready(decision, reason);
}

/* The best by utility whether it can be afforded or not. */
static const struct fuser_ranked *best_of(const struct fuser_verdict *verdict)
{
    const struct fuser_ranked *best = NULL;

    for (size_t i = 0; i < verdict->n_ranked; i++) {
        const struct fuser_ranked *r = &verdict->ranked[i];

        if (best == NULL || (r->good_enough && !best->good_enough) ||
            (r->good_enough == best->good_enough && r->utility > best->utility))
            best = r;
    }
    return best;
}

/* Would another stand first if nothing were lost by leaving? */
static bool is_held(const struct decision *decision, const struct fuser_ranked *first)
{
    const struct order_sticky *sticky = &decision->order->sticky;
    const struct fuser_verdict *verdict = decision->verdict;
    double lost;

    if (!sticky->held || sticky->expert != first->generator)
        return false;
    lost = decision->order->lambda * money_to_usd(sticky->saved_pico);
    for (size_t i = 0; i < verdict->n_ranked; i++) {
        const struct fuser_ranked *r = &verdict->ranked[i];

        if (r != first && r->affordable == first->affordable &&
            r->good_enough == first->good_enough && r->utility > first->utility - lost)
            return true;
    }
    return false;
}

/* -- exploration ------------------------------------------------------------------------- */

#define EXPLORE_SEED                                                                     \
    UINT64_C(0x6578706C6F7265) /* "explore": no other use of an id's hash */

/* Is this one of the policy's share of requests? By its id alone, so that it can be said again. */
static bool is_to_explore(const struct decision *decision)
{
    const struct order *order = decision->order;
    const struct str id = decision->tools.request_id;
    const double percent = order->policy->explore_percent;
    uint64_t hash;

    if (!(percent > 0) || order->sticky.held || order->rules.pinned)
        return false;
    hash = XXH3_64bits_withSeed(id.p != NULL ? id.p : "", id.n, EXPLORE_SEED);
    return (double)(hash >> 11) * 0x1p-53 * 100 < percent;
}

/* The most promising of those that others lend to, if it may be better than the first; NULL: none. What
 * the ceiling does not reach, or is expected below the least quality, is not tried. */
static const struct fuser_ranked *find_explorer(const struct decision *decision,
                                                const struct fuser_ranked *first)
{
    const struct fuser_verdict *verdict = decision->verdict;

    for (size_t i = 0; i < verdict->n_lent; i++) {
        const struct fuser_ranked *r = &verdict->ranked[verdict->n_ranked + i];

        if (r->affordable && r->good_enough &&
            order_allows(decision->order, r->generator) &&
            r->utility + r->quality_se > first->utility)
            return r;
    }
    return NULL;
}

/* -- the plan ---------------------------------------------------------------------------- */

/* By the verdict's ranking. Under "reject" the best expert stands first even when it is
 * not affordable: the attempt then ends in the 402 that was asked for. */
static void ready_with_ranking(struct decision *decision, enum reason reason)
{
    const struct fuser_verdict *verdict = decision->verdict;
    const struct fuser_ranked *first = &verdict->ranked[0];
    const struct fuser_ranked *best = best_of(verdict);
    const struct fuser_ranked *explorer =
        is_to_explore(decision) ? find_explorer(decision, first) : NULL;

    if (explorer != NULL) {
        plan_add(decision, explorer->generator, explorer);
        reason = REASON_EXPLORE;
    } else if (decision->order->capped &&
               decision->order->on_budget == CONFIG_ON_BUDGET_REJECT)
        first = best;
    else if (first != best && !best->affordable)
        reason = REASON_CEILING;
    else if (is_held(decision, first))
        reason = REASON_STICKY;
    if (explorer == NULL && !first->good_enough && decision->order->min_quality > 0)
        reason = REASON_MIN_QUALITY;
    plan_add(decision, first->generator, first);
    for (size_t i = 0; i < verdict->n_ranked; i++)
        plan_add(decision, verdict->ranked[i].generator, &verdict->ranked[i]);
    ready(decision, reason);
}

/* Pinned, or in a tool loop: the others stand behind in case it fails. */
static void ready_firmly(struct decision *decision)
{
    const struct fuser_verdict *verdict = decision->verdict;
    const struct order *order = decision->order;
    const size_t expert = order->rules.pinned ? order->preferred : order->sticky.expert;

    for (size_t i = 0; i < verdict->n_ranked; i++)
        if (verdict->ranked[i].generator == expert)
            plan_add(decision, expert, &verdict->ranked[i]);
    plan_add(decision, expert, NULL);
    for (size_t i = 0; i < verdict->n_ranked; i++)
        plan_add(decision, verdict->ranked[i].generator, &verdict->ranked[i]);
    ready(decision, order->rules.pinned ? REASON_RULE : REASON_STICKY);
}

void decision_conclude(struct decision *decision)
{
    struct fuser_verdict *verdict = decision->verdict;

    fuser_verdict(decision->session, purse_remaining(decision->purse), verdict);
    if (decision->order->sticky.firm || decision->order->rules.pinned)
        ready_firmly(decision);
    else if (verdict->n_ranked == 0)
        decision_default(decision, REASON_DEFAULT);
    else if (verdict->stop == FUSER_STOP_NOT_WORTH && !decision->late &&
             !decision->failed)
        ready_with_ranking(decision, REASON_NOT_WORTH);
    else if (verdict->evidence == FUSER_EVIDENCE_GOOD)
        ready_with_ranking(decision, REASON_ROUTED);
    else if (verdict->evidence == FUSER_EVIDENCE_TOO_FAR)
        decision_default(decision, REASON_TOO_FAR);
    else if (verdict->evidence == FUSER_EVIDENCE_TOO_FEW)
        decision_default(decision, REASON_TOO_FEW);
    else if (decision->late)
        decision_default(decision, REASON_DECISION_TIMEOUT);
    else if (decision->failed)
        decision_default(decision, REASON_EMBEDDER_FAILED);
    else if (verdict->stop == FUSER_STOP_CEILING)
        ready_with_ranking(decision, REASON_CEILING);
    else
        decision_default(decision, REASON_DEFAULT);
}
