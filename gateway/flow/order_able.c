/* order_able.c - who is able to what is asked for, and has room for it; see order_parts.h.
 *
 * An ability is there or not: who lacks one is never asked, whoever else fails, and where
 * nobody has all of them the client is told which are missing, and who could. Room is a guess,
 * as long as no tokenizer has counted: who probably has none goes only while others stay,
 * since the last one's own refusal says more than ours could.
 */
#include "gateway/flow/order_parts.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "gateway/domain/ability.h"
#include "gateway/domain/price.h"

#define NAMED_MOST 3 /* experts that a message names of each kind */

static const struct config_generator *generator_of(const struct order *order,
                                                   size_t expert)
{
    return chat_generator(order->chat, &order->config->experts[expert]);
}

static uint32_t lacks(const struct order *order, size_t expert)
{
    return order->chat->needs & ~generator_of(order, expert)->abilities;
}

/* -- abilities --------------------------------------------------------------------------- */

struct sentence {
    size_t n;
    char text[sizeof(((struct api_error *)0)->message)];
};

PRINTF_LIKE(2, 3) static void say(struct sentence *s, const char *format, ...)
{
    va_list args;
    int wrote;

    va_start(args, format);
    wrote = vsnprintf(s->text + s->n, sizeof s->text - s->n, format, args);
    va_end(args);
    s->n += wrote > 0 ? (size_t)wrote : 0;
    if (s->n >= sizeof s->text)
        s->n = sizeof s->text - 1;
}

/* ": 'a' lacks images, 'b' lacks tools, and 4 others". Of those who were left. */
static void say_lacking(struct sentence *s, const struct order *order)
{
    size_t left = order_allowed_count(order), named = 0;
    char words[ABILITY_TEXT_BYTES];

    for (size_t i = 0; i < order->config->n_experts && named < NAMED_MOST; i++) {
        if (!order_allows(order, i))
            continue;
        say(s, "%s'%s' lacks %s", named == 0 ? ": " : ", ",
            order->config->experts[i].name, ability_words(lacks(order, i), words));
        named++;
    }
    if (left > named)
        say(s, ", and so on for %zu others", left - named);
}

/* "; 'c', 'd' could". Of those who may not answer here but whom the key may ask. */
static void say_able(struct sentence *s, const struct order *order)
{
    size_t named = 0;

    for (size_t i = 0; i < order->config->n_experts && named < NAMED_MOST; i++) {
        if (order_allows(order, i) || (order->reachable >> i & 1) == 0 ||
            !order_speaks(order, i) || lacks(order, i) != 0)
            continue;
        say(s, "%s'%s'", named == 0 ? "; this could be answered by " : ", ",
            order->config->experts[i].name);
        named++;
    }
}

/* What nobody has, or else the first of what nobody has together. */
static enum ability first_missing(const struct order *order)
{
    uint32_t missing = order->chat->needs;

    for (size_t i = 0; i < order->config->n_experts; i++)
        if (order_allows(order, i))
            missing &= lacks(order, i);
    if (missing == 0)
        missing = order->chat->needs;
    return (enum ability)__builtin_ctz(missing);
}

static enum api_err refuse(const struct order *order, struct api_error *error)
{
    const uint32_t needs = order->chat->needs;
    const bool several = (needs & (needs - 1)) != 0;
    struct sentence s = { .n = 0 };
    char words[ABILITY_TEXT_BYTES];

    if (order->policy == NULL)
        say(&s, "the expert '%s' does not support %s",
            order->config->experts[order->preferred].name,
            ability_words(lacks(order, order->preferred), words));
    else
        say(&s, "no expert that '%s' allows supports %s%s", order->policy->name,
            ability_words(needs, words), several ? " together" : "");
    if (order->policy != NULL && several)
        say_lacking(&s, order);
    say_able(&s, order);
    return api_error_set(error, API_UNABLE, ability_param(first_missing(order)), "%s",
                         s.text);
}

enum api_err order_drop_unable(struct order *order, struct api_error *error)
{
    uint64_t unable = 0;

    if (order->chat->needs == 0)
        return API_OK;
    for (size_t i = 0; i < order->config->n_experts; i++)
        if (order_allows(order, i) && lacks(order, i) != 0)
            unable |= UINT64_C(1) << i;
    if (unable == order->allowed)
        return refuse(order, error);
    order_exclude(order, unable, EXCLUDED_ABILITY);
    return API_OK;
}

/* -- room -------------------------------------------------------------------------------- */

/* The answer that is asked for, at this expert; 0: of no certain length. Where an API wants a
 * limit from everybody, the expert's own is as good. */
static int64_t answer_tokens(const struct config_generator *g,
                             const struct chat_request *chat)
{
    if (chat->limit_is_duty && g->max_output_tokens > 0 &&
        g->max_output_tokens < chat->output_limit)
        return g->max_output_tokens;
    return chat->output_limit;
}

static bool fits(const struct config_generator *g, const struct chat_request *chat,
                 int64_t answer)
{
    return g->context_tokens == 0 ||
           money_add(price_prompt_expected(g, chat), answer) <= g->context_tokens;
}

/* First those go who are too small for prompt and answer; if these are all, those who are too
 * small for the prompt; if these are all, nobody. */
void order_drop_narrow(struct order *order)
{
    const struct chat_request *chat = order->chat;
    uint64_t brief = 0, tight = 0, small = 0;

    for (size_t i = 0; i < order->config->n_experts; i++) {
        const struct config_generator *g = generator_of(order, i);
        const uint64_t bit = UINT64_C(1) << i;

        if (!order_allows(order, i))
            continue;
        if (g->max_output_tokens > 0 && answer_tokens(g, chat) > g->max_output_tokens)
            brief |= bit;
        if (!fits(g, chat, answer_tokens(g, chat)))
            tight |= bit;
        if (!fits(g, chat, 0))
            small |= bit;
    }
    if ((order->allowed & ~(brief | tight)) != 0) {
        order_exclude(order, tight, EXCLUDED_CONTEXT);
        order_exclude(order, brief, EXCLUDED_OUTPUT);
    } else if ((order->allowed & ~small) != 0) {
        order_exclude(order, small, EXCLUDED_CONTEXT);
    }
}

enum api_err order_counted(struct order *order, struct api_error *error)
{
    uint64_t small = 0;
    int64_t most = 0, least = 0;

    for (size_t i = 0; i < order->config->n_experts; i++) {
        const int64_t context = generator_of(order, i)->context_tokens;

        if (!order_allows(order, i) || context == 0 || order->counted[i] <= context)
            continue;
        small |= UINT64_C(1) << i;
        most = context > most ? context : most;
        least = least == 0 || order->counted[i] < least ? order->counted[i] : least;
    }
    if (small == order->allowed)
        return api_error_set(error, API_CONTEXT_LENGTH, "messages",
                             "the prompt has %" PRId64 " tokens at least, as counted, "
                             "and no expert that may answer has a context of more than "
                             "%" PRId64,
                             least, most);
    order_exclude(order, small, EXCLUDED_CONTEXT);
    order_prefer(order);
    return API_OK;
}
