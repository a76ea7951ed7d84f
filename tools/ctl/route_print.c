/* route_print.c - the decision from the evidence to the choice, in the order in which it
 * was made. */
#include "tools/ctl/route_print.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/money.h"
#include "gateway/flow/order.h"
#include "gateway/flow/purse.h"
#include "tools/ctl/table.h"

#define PRINT_TEXT_BYTES 160 /* of the prompt shown */

/* The choice that would be called first: the plan's first that can be paid for. */
static const struct plan_choice *chosen(const struct decision *decision,
                                        struct order_terms *ret_terms)
{
    const struct order *order = decision->order;
    const struct plan *plan = &decision->plan;
    bool reject =
        order->ceiling_pico != MONEY_NONE && order->on_budget == CONFIG_ON_BUDGET_REJECT;

    for (size_t i = 0; i < plan->n; i++) {
        const struct plan_choice *choice = &plan->choices[i];
        if (order_fit(order, choice->expert, purse_remaining(decision->purse),
                      (double)choice->output_tokens, ret_terms))
            return choice;
        if (reject)
            return NULL;
    }
    return NULL;
}

static const struct fuser_ranked *ranked_of(const struct decision *decision,
                                            size_t expert)
{
    const struct fuser_verdict *verdict = decision->verdict;

    for (size_t i = 0; verdict != NULL && i < verdict->n_ranked + verdict->n_lent; i++) {
        if (verdict->ranked[i].generator == expert)
            return &verdict->ranked[i];
    }
    return NULL;
}

static const char *embedder_name(const struct decision *decision, size_t embedder)
{
    return decision->snapshot->config->embedders[embedder].name;
}

static const char *expert_name(const struct decision *decision, size_t expert)
{
    return decision->snapshot->config->experts[expert].name;
}

/* -- for people -- */

static void cell_usd(struct table *table, int64_t pico)
{
    if (pico == MONEY_NONE)
        table_cell(table, "no bound");
    else
        table_cell(table, "%.8f", money_to_usd(pico));
}

static void print_order(const struct route_told *told)
{
    const struct order *order = told->decision->order;
    struct str shown = str_clip_utf8(told->text, PRINT_TEXT_BYTES);
    char usd[MONEY_TEXT_BYTES];

    (void)printf("prompt    ");
    for (size_t i = 0; i < shown.n; i++)
        (void)putchar((unsigned char)shown.p[i] < ' ' ? ' ' : shown.p[i]);
    (void)printf("%s\n", shown.n < told->text.n ? " ..." : "");
    if (order->policy == NULL) {
        (void)printf("model     %s, asked for by name\n",
                     expert_name(told->decision, order->preferred));
        return;
    }
    (void)printf("policy    %s: ", order->policy->name);
    if (order->lambda > 0)
        (void)printf("a right answer is worth %g USD (lambda %g)", 1 / order->lambda,
                     order->lambda);
    else
        (void)printf("cost is no matter (lambda 0)");
    if (order->ceiling_pico != MONEY_NONE)
        (void)printf(", ceiling %s USD", money_format(order->ceiling_pico, usd));
    if (order->min_quality > 0)
        (void)printf(", quality at least %g", order->min_quality);
    (void)printf(", default %s\n", expert_name(told->decision, order->preferred));
}

/* What each open candidate promised and the standard error of its gain,
 * "lexical 0.2310 +- 0.0100, small 0.2400 +- 0.0120". */
static void cell_candidates(struct table *table, const struct decision *decision,
                            const struct fuser_walked *step)
{
    char text[256] = "";
    size_t used = 0;

    for (size_t j = 0; j < decision->snapshot->config->n_embedders; j++) {
        if (!step->candidates[j].open || used >= sizeof(text))
            continue;
        int wrote = snprintf(text + used, sizeof(text) - used, "%s%s %.4f \302\261 %.4f",
                             used > 0 ? ", " : "", embedder_name(decision, j),
                             step->candidates[j].loss, step->candidates[j].gain_se);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
    table_cell(table, "%s", used > 0 ? text : "-");
}

static void print_evidence(const struct route_told *told)
{
    static const struct table_column columns[] = {
        { "step", TABLE_RIGHT },      { "loss if answered now", TABLE_RIGHT },
        { "loss after", TABLE_LEFT }, { "bought", TABLE_LEFT },
        { "price USD", TABLE_RIGHT },
    };
    const struct decision *decision = told->decision;
    const struct fuser_verdict *verdict = decision->verdict;
    struct table *table;

    if (verdict == NULL || verdict->n_steps == 0)
        return;
    table = table_new(columns, ARRAY_LEN(columns));
    for (size_t s = 0; s < verdict->n_steps; s++) {
        const struct fuser_walked *step = &verdict->steps[s];
        table_cell(table, "%zu", s + 1);
        table_cell(table, "%.4f", step->loss_before);
        cell_candidates(table, decision, step);
        if (step->embedder < 0) {
            table_cell(table, "stop: %s", fuser_stop_word(verdict->stop));
            table_cell(table, "-");
        } else {
            bool failed = decision->undelivered >> step->embedder & 1;
            table_cell(table, "%s%s", embedder_name(decision, (size_t)step->embedder),
                       failed ? " (failed)" : "");
            cell_usd(table, step->price_pico);
        }
    }
    (void)printf("\nevidence: %s%s%s\n", fuser_evidence_word(verdict->evidence),
                 verdict->domain != NULL ? ", domain " : "",
                 verdict->domain != NULL ? verdict->domain : "");
    table_print(table, stdout);
    table_free(table);
}

static void print_neighbours(const struct route_told *told)
{
    static const struct table_column columns[] = {
        { "calibration prompt", TABLE_LEFT },
        { "domain", TABLE_LEFT },
        { "distance", TABLE_RIGHT },
        { "weight", TABLE_RIGHT },
    };
    const struct fuser_verdict *verdict = told->decision->verdict;
    struct table *table;

    if (verdict == NULL || verdict->n_neighbours == 0 || told->neighbours == 0)
        return;
    table = table_new(columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < verdict->n_neighbours && i < told->neighbours; i++) {
        const struct fuser_neighbour *neighbour = &verdict->neighbours[i];
        table_cell(table, "%s", neighbour->id);
        table_cell(table, "%s", neighbour->domain != NULL ? neighbour->domain : "-");
        table_cell(table, "%.4f", (double)neighbour->distance);
        table_cell(table, "%.4f", (double)neighbour->weight);
    }
    (void)printf("\nnearest of the bundle's prompts\n");
    table_print(table, stdout);
    table_free(table);
}

static void row_expert(struct table *table, const struct decision *decision, size_t rank,
                       const struct plan_choice *first)
{
    const struct plan_choice *choice = &decision->plan.choices[rank];
    const struct fuser_ranked *ranked = ranked_of(decision, choice->expert);
    struct order_terms terms = { .worst_pico = MONEY_NONE };
    bool fits =
        order_fit(decision->order, choice->expert, purse_remaining(decision->purse),
                  (double)choice->output_tokens, &terms);

    table_cell(table, "%s", choice == first ? ">" : "");
    table_cell(table, "%zu", rank + 1);
    table_cell(table, "%s", expert_name(decision, choice->expert));
    if (ranked != NULL) {
        table_cell(table, "%.3f \302\261 %.3f", ranked->quality, ranked->quality_se);
        table_cell(table, "%.4f", ranked->utility);
        table_cell(table, "%u", ranked->known);
        table_cell(table, "%.0f", ranked->output_tokens);
    } else {
        for (size_t i = 0; i < 4; i++)
            table_cell(table, "-");
    }
    cell_usd(table, order_expected(decision->order, choice->expert,
                                   (double)choice->output_tokens));
    cell_usd(table, fits ? terms.worst_pico
                         : order_least_worst(decision->order, choice->expert));
    if (!fits)
        table_cell(table, "over the ceiling");
    else if (terms.trimmed)
        table_cell(table, "trimmed to %lld tokens", (long long)terms.limit_tokens);
    else if (ranked != NULL && !ranked->good_enough)
        table_cell(table, "below the minimum");
    else if (ranked == NULL && decision->verdict != NULL)
        table_cell(table, "no calibration rows");
    else if (ranked != NULL && ranked->lent > 0)
        table_cell(table, "%.0f %% lent by %s", 100 * ranked->lent,
                   decision->snapshot->config->experts[choice->expert].prior_like);
    else
        table_cell(table, "%s", "");
}

static void print_experts(const struct route_told *told, const struct plan_choice *first)
{
    static const struct table_column columns[] = {
        { "", TABLE_LEFT },           { "rank", TABLE_RIGHT },
        { "expert", TABLE_LEFT },     { "quality", TABLE_RIGHT },
        { "utility", TABLE_RIGHT },   { "known", TABLE_RIGHT },
        { "tokens", TABLE_RIGHT },    { "expected USD", TABLE_RIGHT },
        { "worst USD", TABLE_RIGHT }, { "", TABLE_LEFT },
    };
    struct table *table = table_new(columns, ARRAY_LEN(columns));

    for (size_t i = 0; i < told->decision->plan.n; i++)
        row_expert(table, told->decision, i, first);
    (void)printf("\nexperts\n");
    table_print(table, stdout);
    table_free(table);
}

void route_print(const struct route_told *told)
{
    const struct decision *decision = told->decision;
    struct order_terms terms = { 0 };
    const struct plan_choice *first = chosen(decision, &terms);
    char evidence[MONEY_TEXT_BYTES];

    print_order(told);
    print_evidence(told);
    print_neighbours(told);
    print_experts(told, first);
    if (first == NULL) {
        struct api_error error = { 0 };
        (void)order_too_dear(decision->order, decision->purse->bound_pico, &error);
        (void)printf("\nchoice: none, the answer is 402: %s\n", error.message);
        return;
    }
    (void)printf("\nchoice: %s (%s: %s)\n", expert_name(decision, first->expert),
                 order_reason_word(decision->order, decision->plan.reason),
                 reason_text(decision->plan.reason));
    (void)printf("price: %s USD for evidence, %.8f USD expected for the answer, decided "
                 "in %.2f ms\n",
                 money_format(decision->evidence_pico, evidence),
                 money_to_usd(terms.expected_pico),
                 (double)(decision->ready_us - decision->began_us) / 1000);
}

/* -- for programs -- */

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *usd(int64_t pico)
{
    return pico == MONEY_NONE ? json_null() : json_real(money_to_usd(pico));
}

static json_t *text_or_null(const char *text)
{
    return text != NULL ? json_string(text) : json_null();
}

static json_t *json_ranking(const struct decision *decision)
{
    json_t *list = json_array();

    for (size_t i = 0; i < decision->plan.n; i++) {
        const struct plan_choice *choice = &decision->plan.choices[i];
        const struct fuser_ranked *ranked = ranked_of(decision, choice->expert);
        struct order_terms terms = { .worst_pico = MONEY_NONE };
        bool fits =
            order_fit(decision->order, choice->expert, purse_remaining(decision->purse),
                      (double)choice->output_tokens, &terms);
        (void)json_array_append_new(
            list,
            json_pack(
                "{s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "expert",
                expert_name(decision, choice->expert), "affordable", fits, "expected_usd",
                usd(order_expected(decision->order, choice->expert,
                                   (double)choice->output_tokens)),
                "worst_usd",
                usd(fits ? terms.worst_pico
                         : order_least_worst(decision->order, choice->expert)),
                "quality", number(ranked != NULL ? ranked->quality : NAN), "quality_se",
                number(ranked != NULL ? ranked->quality_se : NAN), "utility",
                number(ranked != NULL ? ranked->utility : NAN), "output_tokens",
                number(ranked != NULL ? ranked->output_tokens : NAN), "known",
                (json_int_t)(ranked != NULL ? ranked->known : 0)));
    }
    return list;
}

static json_t *json_steps(const struct decision *decision)
{
    const struct fuser_verdict *verdict = decision->verdict;
    json_t *list = json_array();

    for (size_t s = 0; verdict != NULL && s < verdict->n_steps; s++) {
        const struct fuser_walked *step = &verdict->steps[s];
        json_t *candidates = json_array();
        const char *bought =
            step->embedder < 0 ? NULL : embedder_name(decision, (size_t)step->embedder);
        for (size_t j = 0; j < decision->snapshot->config->n_embedders; j++) {
            if (step->candidates[j].open)
                (void)json_array_append_new(
                    candidates,
                    json_pack("{s:s, s:o, s:o}", "embedder", embedder_name(decision, j),
                              "loss", number(step->candidates[j].loss), "gain_se",
                              number(step->candidates[j].gain_se)));
        }
        (void)json_array_append_new(
            list, json_pack("{s:o, s:b, s:o, s:o, s:o}", "bought", text_or_null(bought),
                            "delivered",
                            bought != NULL &&
                                (decision->undelivered >> step->embedder & 1) == 0,
                            "loss_before", number(step->loss_before), "price_usd",
                            usd(step->price_pico), "candidates", candidates));
    }
    return list;
}

static json_t *json_neighbours(const struct route_told *told)
{
    const struct fuser_verdict *verdict = told->decision->verdict;
    json_t *list = json_array();

    for (size_t i = 0;
         verdict != NULL && i < verdict->n_neighbours && i < told->neighbours; i++) {
        const struct fuser_neighbour *neighbour = &verdict->neighbours[i];
        (void)json_array_append_new(
            list, json_pack("{s:s, s:o, s:o, s:o}", "id", neighbour->id, "domain",
                            text_or_null(neighbour->domain), "distance",
                            number((double)neighbour->distance), "weight",
                            number((double)neighbour->weight)));
    }
    return list;
}

json_t *route_json(const struct route_told *told)
{
    const struct decision *decision = told->decision;
    const struct order *order = decision->order;
    const struct fuser_verdict *verdict = decision->verdict;
    const struct fuser *fuser = decision->snapshot->fuser;
    struct order_terms terms = { .expected_pico = MONEY_NONE, .worst_pico = MONEY_NONE };
    const struct plan_choice *first = chosen(decision, &terms);

    return json_pack(
        "{s:s%, s:o, s:s, s:s, s:o, s:o, s:{s:o, s:o, s:o, s:o}, s:o, s:o, s:o, s:o, s:o,"
        " s:o, s:o, s:o}",
        "model", order->chat->model.p, order->chat->model.n, "expert",
        text_or_null(first != NULL ? expert_name(decision, first->expert) : NULL),
        "reason", order_reason_word(decision->order, decision->plan.reason),
        "reason_text", reason_text(decision->plan.reason), "predicted_quality",
        number(first != NULL && first->predicted ? (double)first->quality : NAN),
        "lambda", number(order->lambda), "cost", "evidence_usd",
        usd(decision->evidence_pico), "expected_usd",
        usd(money_add(decision->evidence_pico, terms.expected_pico)), "worst_usd",
        usd(money_add(decision->purse->bound_pico, terms.worst_pico)), "ceiling_usd",
        usd(order->ceiling_pico), "evidence",
        text_or_null(verdict != NULL ? fuser_evidence_word(verdict->evidence) : NULL),
        "stop", text_or_null(verdict != NULL ? fuser_stop_word(verdict->stop) : NULL),
        "domain", text_or_null(verdict != NULL ? verdict->domain : NULL), "ranking",
        json_ranking(decision), "steps", json_steps(decision), "neighbours",
        json_neighbours(told), "decision_ms",
        number((double)(decision->ready_us - decision->began_us) / 1000), "bundle",
        text_or_null(fuser != NULL ? fuser_bundle_id(fuser_bundle_of(fuser)) : NULL));
}
