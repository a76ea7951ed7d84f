/* record_savings.c - what one expert for everything would have cost; see record.h. */
#include "gateway/flow/record.h"

#include <math.h>

#include "gateway/domain/price.h"
#include "gateway/flow/record_parts.h"

/* NAN: not known. */
static double predicted_tokens(const struct record *record, size_t expert)
{
    const struct fuser_ranked *r = record_ranked(record, expert);

    return r != NULL && isfinite(r->output_tokens) ? r->output_tokens : NAN;
}

/* Output tokens that an answer of this expert is taken to have, whole ones where an answer
 * was given; NAN: nobody knows. A prompt whose answer was longer than predicted would have
 * made others longer, too. */
static double tokens_of(const struct record *record, size_t expert)
{
    const double predicted = predicted_tokens(record, expert);
    const struct plan_choice *choice = record_choice(record);
    double given, of_choice;

    if (!record->usage.known || choice == NULL)
        return predicted;
    given = (double)record->usage.output_tokens;
    of_choice = predicted_tokens(record, choice->expert);
    if (!(of_choice > 0) || !(predicted >= 0))
        return given;
    return fmin(rint(given * predicted / of_choice), (double)USAGE_MAX_TOKENS);
}

/* What this expert would have cost. */
static int64_t cost_with(const struct record *record, size_t expert)
{
    const struct config_generator *g =
        chat_generator(record->order->chat, &record_config(record)->experts[expert]);
    const struct plan_choice *choice = record_choice(record);
    const double tokens = tokens_of(record, expert);
    struct usage usage = record->usage;

    if (!usage.known)
        return order_expected(record->order, expert, tokens);
    if (choice->expert != expert) {
        usage.cached_tokens = 0;
        usage.cache_write_tokens = 0;
        usage.reasoning_tokens = 0;
        usage.output_tokens = (int64_t)tokens;
    }
    return price_settle(price_at(&g->prices, record->order->span.from_s), &usage);
}

static struct record_baseline cheapest_of(const struct record *record)
{
    struct record_baseline cheapest = { .expert = -1, .pico = MONEY_NONE };
    int64_t least = MONEY_NONE;

    for (size_t i = 0; i < record_config(record)->n_experts; i++) {
        int64_t price;

        if (!order_allows(record->order, i))
            continue;
        price = order_expected(record->order, i, tokens_of(record, i));
        if (cheapest.expert >= 0 && price >= least)
            continue;
        least = price;
        cheapest.expert = (int)i;
    }
    if (cheapest.expert >= 0)
        cheapest.pico = cost_with(record, (size_t)cheapest.expert);
    return cheapest;
}

static struct record_baseline best_of(const struct record *record)
{
    const struct snapshot *snapshot = record->snapshot;
    struct record_baseline best = { .expert = -1, .pico = MONEY_NONE };

    for (size_t i = 0; i < record_config(record)->n_experts; i++) {
        if (order_allows(record->order, i) && (snapshot->known >> i & 1) != 0 &&
            (best.expert < 0 ||
             snapshot->mean_quality[i] > snapshot->mean_quality[best.expert]))
            best.expert = (int)i;
    }
    if (best.expert >= 0)
        best.pico = cost_with(record, (size_t)best.expert);
    return best;
}

struct record_baselines record_baselines(const struct record *record)
{
    const struct record_baseline same = { .expert = -1, .pico = record->generation_pico };

    if (record->order->policy == NULL || !record->answered)
        return (struct record_baselines){ .best = same, .cheapest = same };
    return (struct record_baselines){ .best = best_of(record),
                                      .cheapest = cheapest_of(record) };
}
