/* explain.c - what an exchange knows of itself, handed to the one renderer (record.h): for
 * POST /v1/route, for cost_details where a client asked to explain, and for the record.
 */
#include "gateway/base/clock.h"
#include "gateway/flow/exchange_parts.h"

static int64_t since_us(uint64_t from_us, uint64_t to_us)
{
    return to_us > from_us ? (int64_t)(to_us - from_us) : 0;
}

static const struct usage_names *names_of(const struct exchange *x)
{
    static const struct usage_names nobody;

    if (x->attempts == 0)
        return &nobody;
    return x->attempt.streaming ? &x->relay.names : &x->attempt.answer.names;
}

static const char *route_word(enum exchange_route route)
{
    switch (route) {
    case EXCHANGE_DECISION:
        return "route";
    case EXCHANGE_RESPONSES:
        return "responses";
    case EXCHANGE_MESSAGES:
        return "messages";
    case EXCHANGE_COMPLETIONS:
        return "completions";
    case EXCHANGE_EMBEDDINGS:
        return "embeddings";
    default:
        return "chat";
    }
}

struct record explain_record(const struct exchange *x)
{
    const uint64_t now = x->done_us != 0 ? x->done_us : exchange_now_us();

    return (struct record){
        .snapshot = x->snapshot,
        .order = &x->order,
        .decision = &x->decision,
        .purse = &x->purse,
        .options = &x->options,
        .stay = &x->stay,
        .decision_id = str_of(x->decision_id),
        .request_id = x->request_id,
        .key = str_of(x->key != NULL ? x->key->id : NULL),
        .model = x->chat.model,
        .chosen = x->chosen,
        .decided = x->decided_us != 0,
        .reason = exchange_reason(x),
        .terms = x->terms,
        .remaining_pico = x->remaining_pico,
        .route = route_word(x->route),
        .stream = x->chat.stream,
        .attempts = x->first_try,
        .usage = x->usage,
        .names = *names_of(x),
        .generation_pico = x->generation_pico,
        .answered = x->attempts > 0 && x->attempt.end == ATTEMPT_ANSWERED,
        .estimated = x->purse.estimated,
        .status = x->left ? (unsigned)api_error_status(API_CLIENT_GONE) : x->status,
        .left = x->left,
        .error = &x->error,
        .at_us = clock_wall_us(&clock_system) - since_us(x->accepted_us, now),
        .first_us = since_us(x->accepted_us, x->first_us),
        .total_us = since_us(x->accepted_us, now),
        .neighbours_max = FUSER_MAX_NEIGHBOURS,
    };
}

void explain_decision(const struct exchange *x, struct buf *out)
{
    const struct record record = explain_record(x);

    record_decision(&record, out);
}

/* For a client who wants to know, and for /v1/route. Explanations are worth less than
 * answers: without memory there is none. */
void explain_keep(struct exchange *x)
{
    struct buf out;

    if (!x->options.explain || x->route != EXCHANGE_CHAT)
        return;
    buf_init(&out, RECORD_BYTES);
    explain_decision(x, &out);
    if (!out.failed && arena_copy(&x->arena, buf_str(&out), &x->explanation) != ERR_OK)
        x->explanation = (struct str){ 0 };
    buf_release(&out);
}
