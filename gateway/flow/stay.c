/* stay.c - a request's conversation; see stay.h. */
#include "gateway/flow/stay.h"

#include "gateway/domain/price.h"
#include "gateway/flow/exchange_parts.h"
#include "gateway/flow/upstream.h"

const char *stay_state_word(enum stay_state state)
{
    static const char *const words[] = {
#define X(name, word) word,
        STAY_STATES(X)
#undef X
    };

    return words[state];
}

static int64_t now_s(void)
{
    return (int64_t)(exchange_now_us() / 1000000);
}

static struct sticky_key key_of(const struct exchange *x)
{
    const uint64_t *hash = x->stay.conversation.hash;

    return (struct sticky_key){ .tenant = x->account, .hash = { hash[0], hash[1] } };
}

static int expert_in(const struct snapshot *snapshot, size_t slot)
{
    for (size_t i = 0; i < snapshot->config->n_experts; i++)
        if (snapshot->slots[i] == slot)
            return (int)i;
    return -1;
}

/* Allowed, not known to be down, and affordable as far as can be said before any evidence is
 * bought. */
static bool is_able(const struct exchange *x, int expert)
{
    const uint64_t now_us = loop_now_us(exchange_loop(x));

    if (expert < 0 || !order_allows(&x->order, (size_t)expert) ||
        (x->order.rules.pinned && x->order.preferred != (size_t)expert) ||
        !upstream_may_call(upstream_choose(x->snapshot, (size_t)expert, 0, now_us).may))
        return false;
    return !x->order.capped ||
           order_least_worst(&x->order, (size_t)expert) <= purse_remaining(&x->purse);
}

/* What the expert's cache takes off this prompt. */
static void reckon(struct stay *stay, const struct order *order, int64_t cache_s)
{
    const struct config_generator *generator =
        chat_generator(order->chat, &order->config->experts[stay->expert]);
    const struct config_rates *rates =
        price_expected_rates(generator, order->chat, order->span.from_s);
    int64_t prompt = price_prompt_expected(generator, order->chat);
    int64_t off = rates->input_pico - rates->cached_input_pico;

    if (stay->place.idle_s > cache_s)
        return;
    if (prompt > stay->place.tokens)
        prompt = stay->place.tokens;
    stay->cached_tokens = (int64_t)((double)prompt * stay->place.hit);
    stay->saved_pico = off > 0 ? money_mul(off, stay->cached_tokens) : 0;
}

/* Whether what is remembered is this conversation, further on. Few-shot examples begin all
 * requests alike and do not grow. */
static bool has_grown(const struct stay *stay)
{
    return stay->conversation.kind == CONVERSATION_HEADER ||
           stay->conversation.tool_loop ||
           stay->conversation.messages > stay->place.messages;
}

static enum stay_state find(struct exchange *x, struct sticky *table)
{
    const struct config_stickiness *settings = &exchange_config(x)->stickiness;
    struct stay *stay = &x->stay;
    struct sticky_key key = key_of(x);

    if (!stay->conversation.begun && stay->conversation.kind != CONVERSATION_HEADER)
        return STAY_FIRST;
    if (!sticky_find(table, &key, settings->keep_s, now_s(), &stay->place))
        return STAY_NEW;
    if (!has_grown(stay))
        return STAY_OTHER;
    stay->expert = expert_in(x->snapshot, stay->place.slot);
    if (!is_able(x, stay->expert))
        return STAY_UNABLE;
    return stay->conversation.tool_loop ? STAY_TOOL_LOOP : STAY_WEIGHED;
}

void stay_look(struct exchange *x)
{
    struct sticky *table = worker_service(x->worker)->sticky;
    const struct config_policy *policy = x->order.policy;
    struct stay *stay = &x->stay;

    if (table == NULL || policy == NULL || !policy->sticky)
        return;
    conversation_of(&x->chat, x->options.conversation_id, &stay->conversation);
    if (stay->conversation.kind == CONVERSATION_NONE)
        return;
    stay->state = find(x, table);
    if (stay->state != STAY_WEIGHED && stay->state != STAY_TOOL_LOOP)
        return;
    reckon(stay, &x->order, exchange_config(x)->stickiness.cache_s);
    order_stick(&x->order, (size_t)stay->expert, stay->state == STAY_TOOL_LOOP,
                stay->saved_pico);
}

/* An expert's answer has begun to reach the client, or would have. */
static bool has_answered(const struct exchange *x)
{
    return x->attempts > 0 && x->chosen >= 0 &&
           (x->attempt.end == ATTEMPT_ANSWERED || x->relay.committed);
}

static void learn(const struct exchange *x, struct sticky *table)
{
    const struct config_generator *generator =
        chat_generator(&x->chat, &exchange_config(x)->experts[x->expert]);
    struct sticky_key key = key_of(x);
    struct sticky_lesson lesson = {
        .slot = x->snapshot->slots[x->expert],
        .messages = x->stay.conversation.messages,
        .input_tokens = price_prompt_expected(generator, &x->chat),
        .begun = x->stay.conversation.begun,
    };

    if (lesson.slot == 0)
        return; /* one of the nameless */
    if (x->usage.known) {
        lesson.input_tokens = x->usage.input_tokens;
        lesson.cached_tokens = x->usage.cached_tokens;
        lesson.output_tokens = x->usage.output_tokens;
    }
    sticky_learn(table, &key, &lesson, now_s());
}

static enum metric_conversation what_became(const struct exchange *x)
{
    const struct stay *stay = &x->stay;
    const bool stayed = x->chosen >= 0 && (int)x->expert == stay->expert;

    switch (stay->state) {
    case STAY_UNABLE:
        return METRIC_CONVERSATION_UNABLE;
    case STAY_WEIGHED:
    case STAY_TOOL_LOOP:
        if (x->failed_over)
            return METRIC_CONVERSATION_FAILED;
        if (!stayed)
            return METRIC_CONVERSATION_SWITCHED;
        return stay->state == STAY_WEIGHED ? METRIC_CONVERSATION_STAYED
                                           : METRIC_CONVERSATION_TOOL_LOOP;
    default:
        return METRIC_CONVERSATION_NEW;
    }
}

void stay_settle(struct exchange *x)
{
    struct sticky *table = worker_service(x->worker)->sticky;

    if (x->stay.state == STAY_NONE)
        return;
    if (has_answered(x))
        learn(x, table);
    if (x->stay.state != STAY_FIRST && x->decided_us != 0)
        metrics_add(x->metrics, METRIC_CONVERSATIONS, what_became(x), 0, 1);
}
