/* explain.c - a decision as a JSON object: why this expert, to the pico-dollar and to the
 * neighbour. For POST /v1/route and for cost_details where a client asked to explain.
 */
#include <math.h>

#include "gateway/flow/exchange_parts.h"

/* A number, or null where it is none. */
static void put_number(struct buf *out, const char *key, double value)
{
    if (isfinite(value))
        buf_putf(out, "\"%s\":%.6g", key, value);
    else
        buf_putf(out, "\"%s\":null", key);
}

static void put_usd(struct buf *out, const char *key, int64_t pico)
{
    char text[MONEY_TEXT_BYTES];

    if (pico == MONEY_NONE)
        buf_putf(out, "\"%s\":null", key);
    else
        buf_putf(out, "\"%s\":%s", key, money_format(pico, text));
}

static const struct fuser_ranked *ranked_of(const struct exchange *x, size_t expert)
{
    const struct fuser_verdict *verdict = x->decision.verdict;

    for (size_t i = 0; verdict != NULL && i < verdict->n_ranked; i++) {
        if (verdict->ranked[i].generator == expert)
            return &verdict->ranked[i];
    }
    return NULL;
}

static void put_ranking(const struct exchange *x, struct buf *out)
{
    const struct plan *plan = &x->decision.plan;

    buf_put(out, "\"ranking\":[");
    for (size_t i = 0; i < plan->n; i++) {
        const struct plan_choice *choice = &plan->choices[i];
        const struct fuser_ranked *r = ranked_of(x, choice->expert);
        struct order_terms terms = { .worst_pico = MONEY_NONE };
        bool fits = order_fit(&x->order, choice->expert, purse_remaining(&x->purse),
                              (double)choice->output_tokens, &terms);

        buf_put(out, i > 0 ? ",{\"expert\":" : "{\"expert\":");
        buf_put_json(out, str_of(exchange_config(x)->experts[choice->expert].name));
        buf_putf(out, ",\"affordable\":%s,", fits ? "true" : "false");
        put_usd(out, "expected_usd",
                order_expected(&x->order, choice->expert, (double)choice->output_tokens));
        buf_put(out, ",");
        put_usd(out, "worst_usd",
                fits ? terms.worst_pico : order_least_worst(&x->order, choice->expert));
        if (fits && terms.limit_tokens > 0)
            buf_putf(out, ",\"output_limit\":%lld", (long long)terms.limit_tokens);
        buf_put(out, ",");
        put_number(out, "quality", r != NULL ? r->quality : NAN);
        buf_put(out, ",");
        put_number(out, "quality_se", r != NULL ? r->quality_se : NAN);
        buf_put(out, ",");
        put_number(out, "utility", r != NULL ? r->utility : NAN);
        buf_put(out, ",");
        put_number(out, "output_tokens", r != NULL ? r->output_tokens : NAN);
        buf_putf(out, ",\"known\":%u}", r != NULL ? r->known : 0u);
    }
    buf_put(out, "]");
}

static void put_neighbours(const struct exchange *x, struct buf *out)
{
    const struct fuser_verdict *verdict = x->decision.verdict;

    buf_put(out, "\"neighbours\":[");
    for (size_t i = 0; verdict != NULL && i < verdict->n_neighbours; i++) {
        const struct fuser_neighbour *neighbour = &verdict->neighbours[i];

        buf_put(out, i > 0 ? ",{\"id\":" : "{\"id\":");
        buf_put_json(out, str_of(neighbour->id));
        buf_put(out, ",\"domain\":");
        if (neighbour->domain != NULL)
            buf_put_json(out, str_of(neighbour->domain));
        else
            buf_put(out, "null");
        buf_put(out, ",");
        put_number(out, "distance", (double)neighbour->distance);
        buf_put(out, ",");
        put_number(out, "weight", (double)neighbour->weight);
        buf_put(out, "}");
    }
    buf_put(out, "]");
}

static void put_candidates(const struct exchange *x, const struct fuser_walked *step,
                           struct buf *out)
{
    const struct config *config = exchange_config(x);
    const char *comma = "";

    buf_put(out, "\"candidates\":[");
    for (size_t j = 0; j < config->n_embedders; j++) {
        if (!step->candidates[j].open)
            continue;
        buf_putf(out, "%s{\"embedder\":", comma);
        buf_put_json(out, str_of(config->embedders[j].name));
        buf_put(out, ",");
        put_number(out, "loss", step->candidates[j].loss);
        buf_put(out, ",");
        put_number(out, "gain_se", step->candidates[j].gain_se);
        buf_put(out, "}");
        comma = ",";
    }
    buf_put(out, "]");
}

static void put_steps(const struct exchange *x, struct buf *out)
{
    const struct fuser_verdict *verdict = x->decision.verdict;

    buf_put(out, "\"steps\":[");
    for (size_t s = 0; verdict != NULL && s < verdict->n_steps; s++) {
        const struct fuser_walked *step = &verdict->steps[s];
        bool stopped = step->embedder < 0;

        buf_put(out, s > 0 ? ",{\"bought\":" : "{\"bought\":");
        if (stopped) {
            buf_put(out, "null");
        } else {
            buf_put_json(out, str_of(exchange_config(x)->embedders[step->embedder].name));
            buf_putf(out, ",\"delivered\":%s",
                     x->decision.undelivered >> step->embedder & 1 ? "false" : "true");
        }
        buf_put(out, ",");
        put_number(out, "loss_before", step->loss_before);
        buf_put(out, ",");
        put_usd(out, "price_usd", step->price_pico);
        buf_put(out, ",");
        put_candidates(x, step, out);
        buf_put(out, "}");
    }
    buf_put(out, "]");
}

static void put_evidence(const struct exchange *x, struct buf *out)
{
    const struct fuser_verdict *verdict = x->decision.verdict;

    if (verdict == NULL) {
        buf_put(out, "\"evidence\":null,\"stop\":null,\"domain\":null");
        return;
    }
    buf_putf(out, "\"evidence\":\"%s\",\"stop\":\"%s\",\"domain\":",
             fuser_evidence_word(verdict->evidence), fuser_stop_word(verdict->stop));
    if (verdict->domain != NULL)
        buf_put_json(out, str_of(verdict->domain));
    else
        buf_put(out, "null");
}

void explain_decision(const struct exchange *x, struct buf *out)
{
    const struct plan_choice *choice = exchange_choice(x);
    enum reason reason = exchange_reason(x);

    buf_putf(out, "{\"object\":\"decision\",\"decision_id\":\"%s\",\"model\":",
             x->decision_id);
    buf_put_json(out, x->chat.model);
    buf_put(out, ",\"expert\":");
    if (choice != NULL)
        buf_put_json(out, str_of(exchange_config(x)->experts[choice->expert].name));
    else
        buf_put(out, "null");
    buf_putf(out, ",\"reason\":\"%s\",\"reason_text\":\"%s\",", reason_word(reason),
             reason_text(reason));
    put_number(out, "predicted_quality",
               choice != NULL && choice->predicted ? (double)choice->quality : NAN);
    buf_put(out, ",");
    put_number(out, "lambda", x->order.lambda);
    buf_put(out, ",\"cost\":{");
    put_usd(out, "evidence_usd", x->decision.evidence_pico);
    buf_put(out, ",");
    put_usd(out, "expected_usd",
            money_add(x->decision.evidence_pico, x->terms.expected_pico));
    buf_put(out, ",");
    put_usd(out, "worst_usd", money_add(x->purse.bound_pico, x->terms.worst_pico));
    buf_put(out, ",");
    put_usd(out, "ceiling_usd", x->order.ceiling_pico);
    buf_put(out, "},");
    put_evidence(x, out);
    buf_put(out, ",");
    put_ranking(x, out);
    buf_put(out, ",");
    put_steps(x, out);
    buf_put(out, ",");
    put_neighbours(x, out);
    buf_putf(out, ",\"decision_ms\":%.3f,\"bundle\":",
             (double)(x->decision.ready_us - x->decision.began_us) / 1000.0);
    if (x->snapshot->fuser != NULL)
        buf_put_json(out, str_of(fuser_bundle_id(fuser_bundle_of(x->snapshot->fuser))));
    else
        buf_put(out, "null");
    buf_put(out, "}");
}

/* For a client who wants to know, and for /v1/route. Explanations are worth less than
 * answers: without memory there is none. */
void explain_keep(struct exchange *x)
{
    struct buf out;

    if (!x->options.explain || x->route != EXCHANGE_CHAT)
        return;
    buf_init(&out, 64u << 10);
    explain_decision(x, &out);
    if (!out.failed && arena_copy(&x->arena, buf_str(&out), &x->explanation) != ERR_OK)
        x->explanation = (struct str){ 0 };
    buf_release(&out);
}
