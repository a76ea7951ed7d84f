/* gate.c - who asks, may he, and has he money left; see gate.h.
 *
 * What must always hold: a secret is looked at here and nowhere else, and is not kept; a
 * stranger costs one hash, one look-up and one short answer.
 */
#include "gateway/flow/gate.h"

#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/domain/price.h"
#include "gateway/flow/exchange_parts.h"
#include "gateway/flow/intake.h"

#define RESERVED_RETRY_S 1 /* when what is reserved for others may be free again */

static bool asks_for_key(const struct exchange *x)
{
    if (x->request->admin || x->keyring == NULL || keyring_open(x->keyring))
        return false;
    switch (x->route) {
    case EXCHANGE_HEALTHZ:
    case EXCHANGE_READYZ:
    case EXCHANGE_METRICS:
    case EXCHANGE_NOT_FOUND:
    case EXCHANGE_OPTIONS:
    case EXCHANGE_BAD_METHOD:
    case EXCHANGE_BAD_REQUEST:
    case EXCHANGE_LARGE_HEAD:
        return false;
    default:
        return true;
    }
}

static void count(struct exchange *x, enum metric_refusal why)
{
    metrics_add(x->metrics, METRIC_REFUSALS, why, 0, 1);
    x->refusal = why;
}

static bool refuse_key(struct exchange *x, enum metric_refusal why)
{
    count(x, why);
    (void)api_error_set(
        &x->error, API_NO_KEY, NULL,
        why == METRIC_REFUSAL_MISSING
            ? "no API key was given: send it as 'Authorization: Bearer' or "
              "as 'x-api-key'"
            : "the API key is not valid");
    return false;
}

static uint64_t experts_of(const struct key *key, const struct config *config)
{
    uint64_t mask = key->experts.given ? 0 : UINT64_MAX;

    for (size_t i = 0; i < config->n_experts; i++) {
        if (key_list_allows(&key->experts, config->experts[i].name))
            mask |= UINT64_C(1) << i;
    }
    return mask;
}

static uint64_t policies_of(const struct key *key, const struct config *config)
{
    uint64_t mask = key->policies.given ? 0 : UINT64_MAX;

    for (size_t i = 0; i < config->n_policies; i++) {
        if (key_list_allows(&key->policies, config->policies[i].name))
            mask |= UINT64_C(1) << i;
    }
    return mask;
}

/* -- rates ------------------------------------------------------------------------------- */

static bool too_fast(struct exchange *x, enum metric_refusal why, const char *what,
                     const struct account_rate *rate)
{
    count(x, why);
    x->error.retry_after = (rate->wait_us + 999999) / 1000000;
    (void)api_error_set(&x->error, API_RATE_LIMIT, NULL,
                        "this key may use %lld %s per minute: try again in %lld s",
                        (long long)rate->limit, what, (long long)x->error.retry_after);
    return false;
}

bool gate_enter(struct exchange *x)
{
    const struct config *config = exchange_config(x);
    const struct key *key = NULL;
    struct account *account = NULL;
    enum metric_refusal why;
    struct str secret;

    x->allow = key_allow_all;
    x->keyring = worker_keys(x->worker);
    if (x->keyring != NULL)
        (void)keyring_ref(x->keyring);
    if (!asks_for_key(x))
        return true;
    switch (intake_secret(x->request, &secret)) {
    case INTAKE_SECRET_NONE:
        return refuse_key(x, METRIC_REFUSAL_MISSING);
    case INTAKE_SECRET_BAD:
        return refuse_key(x, METRIC_REFUSAL_MALFORMED);
    case INTAKE_SECRET_GIVEN:
        break;
    }
    why = keyring_find(x->keyring, secret, clock_wall_us(&clock_system), &key, &account);
    if (why != METRIC_REFUSAL_NONE) {
        x->bad_key = key;
        return refuse_key(x, why);
    }
    x->key = key;
    x->account = account;
    x->allow.experts = experts_of(x->key, config);
    x->allow.policies = policies_of(x->key, config);
    x->allow.bounded = account_bounded(x->account);
    if (!account_request(x->account, &x->requests_rate))
        return too_fast(x, METRIC_REFUSAL_REQUESTS, "requests", &x->requests_rate);
    return true;
}

/* What the request may take of the minute's tokens: its prompt, and as much as it may
 * answer. */
static int64_t tokens_wanted(const struct exchange *x)
{
    const struct config_generator *g =
        chat_generator(&x->chat, &exchange_config(x)->experts[x->order.preferred]);
    int64_t output = price_output_limit(g, &x->chat, x->order.policy_tokens);

    if (x->route == EXCHANGE_DECISION || x->chat.shape == CHAT_INPUT)
        output = 0;
    else if (output == 0)
        output = ORDER_EXPECTED_TOKENS;
    return money_add(price_prompt_expected(g, &x->chat), money_mul(output, x->chat.n));
}

/* -- money ------------------------------------------------------------------------------- */

/* The least that anybody who may answer could cost in the worst case. */
static int64_t least_worst(const struct exchange *x)
{
    int64_t least = MONEY_NONE;

    for (size_t i = 0; i < exchange_config(x)->n_experts; i++) {
        int64_t worst =
            order_may_choose(&x->order, i) ? order_least_worst(&x->order, i) : MONEY_NONE;

        least = worst < least ? worst : least;
    }
    return least;
}

/* What others reserved and do not use comes free again, so this one may come again. */
static void budget_reserved(struct exchange *x, int64_t left_pico, int64_t least)
{
    char left[MONEY_TEXT_BYTES], unspent[MONEY_TEXT_BYTES], needed[MONEY_TEXT_BYTES];

    count(x, METRIC_REFUSAL_RESERVED);
    (void)money_format(left_pico, left);
    (void)money_format(account_unspent(x->account), unspent);
    (void)money_format(least, needed);
    x->error.retry_after = RESERVED_RETRY_S;
    (void)api_error_set(
        &x->error, API_KEY_RESERVED, NULL,
        "of the %s USD that this key has left all but %s are reserved for its requests "
        "under way, and this one can cost %s USD at least in the worst case: try again",
        unspent, left, needed);
}

/* left_pico: with what is reserved for this request itself. */
static void budget_spent(struct exchange *x, int64_t left_pico, int64_t least)
{
    struct account_window window = { .resets_us = 0 };
    enum key_window which = account_tightest(x->account, &window);
    char budget[MONEY_TEXT_BYTES], left[MONEY_TEXT_BYTES], needed[MONEY_TEXT_BYTES];
    char resets[CLOCK_TEXT_BYTES] = "never";
    const char *name = which == KEY_DAY     ? "daily"
                       : which == KEY_MONTH ? "monthly"
                                            : "total";
    const char *at = window.resets_us > 0 ? "at " : "";

    count(x, METRIC_REFUSAL_BUDGET);
    if (which == KEY_WINDOW_COUNT || least == MONEY_NONE) {
        (void)api_error_set(&x->error, API_KEY_BUDGET, NULL,
                            "no allowed expert has an upper bound for this request, so "
                            "the budget of this key cannot be kept");
        return;
    }
    if (window.resets_us > 0)
        (void)clock_format(window.resets_us, resets);
    (void)money_format(left_pico, left);
    (void)money_format(window.budget_pico, budget);
    (void)money_format(least, needed);
    if (least <= left_pico) {
        (void)api_error_set(
            &x->error, API_KEY_BUDGET, NULL,
            "the expert for this request does not fit into the %s budget of this key in "
            "the worst case, and nobody else may answer ('on_budget'): %s of %s USD are "
            "left and not reserved, the cheapest can cost %s USD; it resets %s%s",
            name, left, budget, needed, at, resets);
        return;
    }
    (void)api_error_set(
        &x->error, API_KEY_BUDGET, NULL,
        "the %s budget of this key is spent: %s of %s USD are left and not reserved, "
        "this request can cost %s USD at least in the worst case; it resets %s%s",
        name, left, budget, needed, at, resets);
}

void gate_too_dear(struct exchange *x)
{
    int64_t own = x->order.ceiling_pico, left = MONEY_NONE, least;

    if (own != MONEY_NONE)
        own = money_sub(own, x->purse.bound_pico);
    if (x->account != NULL)
        left = account_remaining(x->account, &x->purse.seat);
    if (left < own) {
        least = least_worst(x);
        if (least > left && least <= account_unspent(x->account))
            budget_reserved(x, left, least);
        else
            budget_spent(x, left, least);
    } else {
        (void)order_too_dear(&x->order, x->purse.bound_pico, &x->error);
    }
}

/* Evidence that is bought must not end in a refusal since others spent the rest meanwhile.
 * Where not everybody fits under "reject", no evidence is bought, and the least is enough. */
static bool take_seat(struct exchange *x)
{
    return purse_seat(&x->purse, order_answer_pico(&x->order)) == PURSE_OK ||
           purse_seat(&x->purse, least_worst(x)) == PURSE_OK;
}

bool gate_admit(struct exchange *x)
{
    int64_t tokens;

    /* Nothing is bought for a request that nobody could answer. */
    if (!order_possible(&x->order, purse_remaining(&x->purse))) {
        gate_too_dear(x);
        return false;
    }
    if (x->key == NULL)
        return true;
    if (x->allow.bounded && !take_seat(x)) {
        gate_too_dear(x);
        return false;
    }
    tokens = tokens_wanted(x);
    if (!account_tokens(x->account, tokens, &x->tokens_rate))
        return too_fast(x, METRIC_REFUSAL_TOKENS, "tokens", &x->tokens_rate);
    x->tokens_taken = tokens;
    return true;
}

/* -- the end ----------------------------------------------------------------------------- */

void gate_settle(struct exchange *x)
{
    int64_t used = 0;

    purse_leave(&x->purse);
    if (x->tokens_taken == 0)
        return;
    if (x->usage.known)
        used = money_add(x->usage.input_tokens, x->usage.output_tokens);
    else if (x->attempt.sent && attempt_fate(x->attempt.end) != ATTEMPT_FREE)
        used = x->tokens_taken;
    account_tokens_used(x->account, x->tokens_taken, used);
    x->tokens_taken = 0;
}

void gate_release(struct exchange *x)
{
    keyring_unref(x->keyring);
}
