/* record.c - the story of one exchange as JSON; see record.h.
 *
 * One pass and one buffer: it is rendered for every request, so nothing here allocates,
 * sorts or formats by printf. Member for member it is the Decision of openapi.yaml.
 */
#include "gateway/flow/record.h"

#include <math.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/jput.h"
#include "gateway/domain/ability.h"
#include "gateway/domain/excluded.h"
#include "gateway/domain/price.h"
#include "gateway/domain/routing_text.h"
#include "gateway/flow/record_parts.h"

static const char *expert_name(const struct record *record, size_t expert)
{
    return record_config(record)->experts[expert].name;
}

static const char *const bound_words[] = {
#define X(name, word) word,
    CONFIG_PROMPT_BOUNDS(X)
#undef X
};

/* -- the decision ------------------------------------------------------------------------ */

/* Its price is of a machine that is paid by the hour. */
static bool is_notional(const struct record *record, size_t expert)
{
    const struct config_prices *prices =
        &record_config(record)->experts[expert].generator.prices;

    return prices->n > 0 && price_at(prices, record->order->span.from_s)->hourly;
}

static void put_ranked(struct jput *j, const struct record *record,
                       const struct plan_choice *choice)
{
    const struct fuser_ranked *r = record_ranked(record, choice->expert);
    const double tokens = (double)choice->output_tokens;
    struct order_terms terms = { .worst_pico = MONEY_NONE };
    bool fits =
        order_fit(record->order, choice->expert, record->remaining_pico, tokens, &terms);

    jput_open(j, NULL, '{');
    jput_text(j, "expert", expert_name(record, choice->expert));
    jput_bool(j, "affordable", fits);
    jput_usd(j, "expected_usd",
             r != NULL ? r->expected_pico
                       : order_expected(record->order, choice->expert, tokens));
    jput_usd(j, "worst_usd",
             fits ? terms.worst_pico : order_least_worst(record->order, choice->expert));
    if (is_notional(record, choice->expert))
        jput_bool(j, "notional", true);
    jput_text(j, "prompt_bound", bound_words[order_bound(record->order, choice->expert)]);
    if (fits && terms.limit_tokens > 0)
        jput_int(j, "output_limit", terms.limit_tokens);
    jput_number(j, "quality", r != NULL ? r->quality : NAN);
    jput_number(j, "quality_se", r != NULL ? r->quality_se : NAN);
    jput_number(j, "utility", r != NULL ? r->utility : NAN);
    jput_number(j, "output_tokens", r != NULL ? r->output_tokens : NAN);
    jput_number(j, "latency_ms", r != NULL ? r->latency_ms : NAN);
    jput_int(j, "known", r != NULL ? r->known : 0);
    if (r != NULL && r->lent > 0) {
        jput_number(j, "lent", r->lent);
        jput_text(j, "lent_by",
                  record_config(record)->experts[choice->expert].prior_like);
    }
    if (r != NULL && !r->good_enough)
        jput_bool(j, "good_enough", false);
    jput_close(j, '}');
}

/* Those that were not tried, though another lends to them. */
static void put_unexplored(struct jput *j, const struct record *record)
{
    const struct fuser_verdict *verdict = record->decision->verdict;
    const struct plan *plan = &record->decision->plan;

    if (verdict == NULL || verdict->n_lent == 0)
        return;
    jput_open(j, "unexplored", '[');
    for (size_t i = 0; i < verdict->n_lent; i++) {
        const struct fuser_ranked *r = &verdict->ranked[verdict->n_ranked + i];
        size_t at = 0;

        while (at < plan->n && plan->choices[at].expert != r->generator)
            at++;
        if (at == plan->n)
            put_ranked(j, record,
                       &(struct plan_choice){ .expert = (uint8_t)r->generator,
                                              .output_tokens = (float)r->output_tokens });
    }
    jput_close(j, ']');
}

static void put_ranking(struct jput *j, const struct record *record)
{
    const struct plan *plan = &record->decision->plan;

    jput_open(j, "ranking", '[');
    for (size_t i = 0; i < plan->n; i++)
        put_ranked(j, record, &plan->choices[i]);
    jput_close(j, ']');
    put_unexplored(j, record);
}

static void put_lacks(struct jput *j, uint32_t abilities)
{
    jput_open(j, "lacks", '[');
    for (size_t i = 0; i < ABILITY_COUNT; i++)
        if ((abilities >> i & 1) != 0)
            jput_text(j, NULL, ability_word((enum ability)i));
    jput_close(j, ']');
}

/* Who the key may not use is not named to it. */
static void put_excluded(struct jput *j, const struct record *record)
{
    const struct order *order = record->order;

    jput_open(j, "excluded", '[');
    for (size_t i = 0; i < record_config(record)->n_experts; i++) {
        if (order->excluded[i] == EXCLUDED_NOT || order->excluded[i] == EXCLUDED_KEY)
            continue;
        jput_open(j, NULL, '{');
        jput_text(j, "expert", expert_name(record, i));
        jput_text(j, "why", excluded_word(order->excluded[i]));
        if (order->excluded[i] == EXCLUDED_ABILITY)
            put_lacks(j, order->chat->needs &
                             ~record_config(record)->experts[i].generator.abilities);
        jput_close(j, '}');
    }
    jput_close(j, ']');
}

static void put_neighbours(struct jput *j, const struct record *record)
{
    const struct fuser_verdict *verdict = record->decision->verdict;

    jput_open(j, "neighbours", '[');
    for (size_t i = 0;
         verdict != NULL && i < verdict->n_neighbours && i < record->neighbours_max;
         i++) {
        const struct fuser_neighbour *neighbour = &verdict->neighbours[i];

        jput_open(j, NULL, '{');
        jput_text(j, "id", neighbour->id);
        jput_text(j, "domain", neighbour->domain);
        jput_number(j, "distance", (double)neighbour->distance);
        jput_number(j, "weight", (double)neighbour->weight);
        jput_close(j, '}');
    }
    jput_close(j, ']');
}

static void put_bought(struct jput *j, const struct record *record, size_t embedder)
{
    const struct decision *decision = record->decision;
    const struct decision_told *told = &decision->told[embedder];

    jput_text(j, "bought", record_config(record)->embedders[embedder].name);
    jput_bool(j, "delivered", (decision->undelivered >> embedder & 1) == 0);
    if (told->cached)
        jput_bool(j, "cached", true);
    if (told->waited_us > 0)
        jput_number(j, "waited_ms", (double)told->waited_us / 1000.0);
    if (told->error != NULL)
        jput_text(j, "error", told->error);
}

static void put_step(struct jput *j, const struct record *record,
                     const struct fuser_walked *step)
{
    const struct config *config = record_config(record);

    jput_open(j, NULL, '{');
    if (step->embedder < 0)
        jput_null(j, "bought");
    else
        put_bought(j, record, (size_t)step->embedder);
    jput_number(j, "loss_before", step->loss_before);
    jput_usd(j, "price_usd", step->price_pico);
    jput_open(j, "candidates", '[');
    for (size_t e = 0; e < config->n_embedders; e++) {
        if (!step->candidates[e].open)
            continue;
        jput_open(j, NULL, '{');
        jput_text(j, "embedder", config->embedders[e].name);
        jput_number(j, "loss", step->candidates[e].loss);
        jput_number(j, "gain_se", step->candidates[e].gain_se);
        jput_close(j, '}');
    }
    jput_close(j, ']');
    jput_close(j, '}');
}

static void put_steps(struct jput *j, const struct record *record)
{
    const struct fuser_verdict *verdict = record->decision->verdict;

    jput_open(j, "steps", '[');
    for (size_t s = 0; verdict != NULL && s < verdict->n_steps; s++)
        put_step(j, record, &verdict->steps[s]);
    jput_close(j, ']');
}

static void put_evidence(struct jput *j, const struct fuser_verdict *verdict)
{
    jput_text(j, "evidence",
              verdict != NULL ? fuser_evidence_word(verdict->evidence) : NULL);
    jput_text(j, "stop", verdict != NULL ? fuser_stop_word(verdict->stop) : NULL);
    jput_text(j, "domain", verdict != NULL ? verdict->domain : NULL);
    jput_bool(j, "kept_default", verdict != NULL && verdict->kept_default);
}

/* Who set the price of cost: the request, the policy, or the tuned bundle where the policy
 * is silent. */
static const char *lambda_from(const struct record *record)
{
    const struct config_policy *policy = record->order->policy;

    if (policy == NULL)
        return NULL;
    if (frugal_has_lambda(record->options))
        return "request";
    if (!policy->silent_value)
        return "policy";
    return policy->lambda > 0 ? "bundle" : "default";
}

static void put_order(struct jput *j, const struct record *record)
{
    const struct order *order = record->order;

    jput_text(j, "policy", order->policy != NULL ? order->policy->name : NULL);
    jput_number(j, "lambda", order->lambda);
    jput_text(j, "lambda_from", lambda_from(record));
    jput_number(j, "steering", order->steering);
    jput_number(j, "min_quality", order->min_quality);
    jput_number(j, "wait_per_s", order->wait_per_s);
    jput_number(j, "switch_z", order->switch_z);
    jput_number(j, "gain_se", order->gain_se);
}

static void put_head(struct jput *j, const struct record *record)
{
    const struct plan_choice *choice = record_choice(record);

    jput_text(j, "object", "decision");
    jput_str(j, "decision_id", record->decision_id);
    jput_str(j, "model", record->model);
    jput_text(j, "expert", choice != NULL ? expert_name(record, choice->expert) : NULL);
    jput_text(j, "reason",
              record->decided ? order_reason_word(record->order, record->reason) : NULL);
    jput_text(j, "reason_text", record->decided ? reason_text(record->reason) : NULL);
    jput_number(j, "predicted_quality",
                choice != NULL && choice->predicted ? (double)choice->quality : NAN);
    jput_int(j, "propensity", 1);
    put_order(j, record);
}

/* Members of `cost` that are known as soon as it is decided. */
static void put_estimate(struct jput *j, const struct record *record)
{
    const struct decision *decision = record->decision;

    jput_usd(j, "evidence_usd", decision->evidence_pico);
    jput_usd(j, "expected_usd",
             money_add(decision->evidence_pico, record->terms.expected_pico));
    jput_usd(j, "ceiling_usd", record->order->ceiling_pico);
}

/* How much of what the client said was looked at; the text itself is not told. */
static void put_text(struct jput *j, const struct record *record)
{
    const struct decision *decision = record->decision;

    if (decision->text.n == 0 &&
        (record->snapshot->fuser == NULL || record->order->policy == NULL)) {
        jput_null(j, "text");
        return;
    }
    jput_open(j, "text", '{');
    jput_text(j, "version", record->snapshot->text_rule.version);
    jput_int(j, "bytes", (int64_t)decision->text.n);
    jput_int(j, "turns", (int64_t)record->order->chat->n_messages);
    jput_close(j, '}');
}

static void put_why(struct jput *j, const struct record *record)
{
    const struct decision *decision = record->decision;
    const struct fuser *fuser = record->snapshot->fuser;
    const int64_t took_us = decision->ready_us - decision->began_us;

    put_evidence(j, decision->verdict);
    put_ranking(j, record);
    put_excluded(j, record);
    record_put_rules(j, record);
    record_put_conversation(j, record);
    put_steps(j, record);
    put_neighbours(j, record);
    jput_number(j, "decision_ms", record->decided ? (double)took_us / 1000.0 : NAN);
    put_text(j, record);
    jput_text(j, "bundle",
              fuser != NULL ? fuser_bundle_id(fuser_bundle_of(fuser)) : NULL);
    jput_text(j, "config", record_config(record)->version);
}

void record_decision(const struct record *record, struct buf *out)
{
    struct jput j;

    jput_init(&j, out);
    jput_open(&j, NULL, '{');
    put_head(&j, record);
    jput_open(&j, "cost", '{');
    put_estimate(&j, record);
    jput_usd(&j, "worst_usd",
             money_add(record->purse->bound_pico, record->terms.worst_pico));
    jput_close(&j, '}');
    put_why(&j, record);
    jput_close(&j, '}');
}

/* -- what came of it --------------------------------------------------------------------- */

static double milliseconds(int64_t us)
{
    return us > 0 ? (double)us / 1000.0 : NAN;
}

static void put_rules(struct jput *j, const char *key, enum adapt_way way,
                      const struct adapt *adapt, uint32_t rules)
{
    jput_open(j, key, way == ADAPT_RENAME ? '{' : '[');
    for (size_t i = 0; i < adapt->n; i++) {
        const struct adapt_rule *rule = &adapt->rules[i];

        if ((rules >> i & 1) == 0 || rule->way != way)
            continue;
        if (way == ADAPT_RENAME)
            jput_text(j, rule->field, rule->to);
        else
            jput_text(j, NULL, rule->field);
    }
    jput_close(j, way == ADAPT_RENAME ? '}' : ']');
}

/* In the members of the setting: what of it was applied. */
static void put_adapted(struct jput *j, const struct record *record,
                        const struct record_attempt *attempt)
{
    const struct adapt *adapt =
        &record_config(record)->experts[attempt->expert].generator.adapt;

    jput_open(j, "adapted", '{');
    put_rules(j, "rename", ADAPT_RENAME, adapt, attempt->adapted);
    put_rules(j, "drop", ADAPT_DROP, adapt, attempt->adapted);
    put_rules(j, "set", ADAPT_SET, adapt, attempt->adapted);
    jput_close(j, '}');
}

static void put_attempt(struct jput *j, const struct record *record,
                        const struct record_attempt *attempt)
{
    jput_open(j, NULL, '{');
    jput_text(j, "expert", expert_name(record, attempt->expert));
    jput_text(j, "end", attempt->end);
    if (attempt->status != 0)
        jput_int(j, "status", attempt->status);
    else
        jput_null(j, "status");
    jput_text(j, "error", attempt->error);
    jput_text(j, "path", attempt->path);
    jput_bool(j, "sent", attempt->sent);
    if (attempt->expert_request_id[0] != '\0')
        jput_text(j, "expert_request_id", attempt->expert_request_id);
    if (attempt->adapted != 0)
        put_adapted(j, record, attempt);
    jput_number(j, "began_ms", (double)attempt->began_us / 1000.0);
    jput_number(j, "head_ms", milliseconds((int64_t)attempt->head_us));
    jput_number(j, "first_byte_ms", milliseconds((int64_t)attempt->first_byte_us));
    jput_number(j, "total_ms", milliseconds((int64_t)attempt->done_us));
    jput_usd(j, "spent_usd", attempt->spent_pico);
    jput_close(j, '}');
}

static void put_attempts(struct jput *j, const struct record *record)
{
    jput_open(j, "attempts", '[');
    for (const struct record_attempt *a = record->attempts; a != NULL; a = a->next)
        put_attempt(j, record, a);
    jput_close(j, ']');
}

static void put_usage(struct jput *j, const struct usage *usage)
{
    if (!usage->known) {
        jput_null(j, "tokens");
        return;
    }
    jput_open(j, "tokens", '{');
    jput_int(j, "input", usage->input_tokens);
    jput_int(j, "cached_input", usage->cached_tokens);
    jput_int(j, "output", usage->output_tokens);
    jput_close(j, '}');
}

static void put_answer(struct jput *j, const struct usage_names *names)
{
    jput_open(j, "answer", '{');
    jput_str(j, "id", names->id);
    jput_str(j, "model", names->model);
    jput_str(j, "system_fingerprint", names->fingerprint);
    jput_close(j, '}');
}

/* No expert was asked; what one may cost is still to come. */
static bool is_to_come(const struct record *record)
{
    return strcmp(record->route, "route") == 0;
}

static void put_cost(struct jput *j, const struct record *record)
{
    const struct purse *purse = record->purse;

    jput_open(j, "cost", '{');
    put_estimate(j, record);
    jput_usd(
        j, "worst_usd",
        money_add(purse->bound_pico, is_to_come(record) ? record->terms.worst_pico : 0));
    jput_usd(j, "spent_usd", purse->spent_pico);
    jput_usd(j, "bound_usd", purse->bound_pico);
    jput_usd(j, "generation_usd", record->generation_pico);
    jput_bool(j, "estimated", record->estimated);
    jput_close(j, '}');
}

static void put_baseline(struct jput *j, const char *key, const struct record *record,
                         const struct record_baseline *baseline)
{
    jput_open(j, key, '{');
    jput_text(j, "expert",
              baseline->expert < 0 ? NULL
                                   : expert_name(record, (size_t)baseline->expert));
    jput_usd(j, "usd", baseline->pico);
    jput_close(j, '}');
}

static void put_baselines(struct jput *j, const struct record *record)
{
    const struct record_baselines all = record_baselines(record);

    jput_open(j, "baselines", '{');
    put_baseline(j, "always_best", record, &all.best);
    put_baseline(j, "always_cheapest", record, &all.cheapest);
    jput_close(j, '}');
}

static void put_tags(struct jput *j, const char *key,
                     const struct frugal_options *options)
{
    jput_open(j, key, '{');
    for (size_t i = 0; i < options->n_tags; i++) {
        const struct frugal_tag *tag = &options->tags[i];
        char name[FRUGAL_MAX_TAG_NAME + 1];

        memcpy(name, tag->name.p, tag->name.n);
        name[tag->name.n] = '\0';
        jput_str(j, name, tag->value);
    }
    jput_close(j, '}');
}

void record_tags(const struct frugal_options *options, struct buf *out)
{
    struct jput j;

    if (options->n_tags == 0)
        return;
    jput_init(&j, out);
    put_tags(&j, NULL, options);
}

static void put_kept(struct jput *j, const struct record *record)
{
    const struct config *config = record_config(record);

    if (record->prompt.n > 0)
        jput_str(j, "prompt", record->prompt);
    if (record->messages.n > 0)
        jput_raw(j, "messages", record->messages);
    if (!record->vectors)
        return;
    jput_open(j, "vectors", '{');
    for (size_t e = 0; e < config->n_embedders; e++) {
        const struct decision_told *told = &record->decision->told[e];

        if (told->vector == NULL)
            continue;
        jput_open(j, config->embedders[e].name, '{');
        jput_text(j, "model",
                  config->experts[config->embedders[e].expert].embedding.model);
        jput_floats(j, "f32", told->vector, told->dim);
        jput_close(j, '}');
    }
    jput_close(j, '}');
}

static void put_error(struct jput *j, const struct api_error *error)
{
    if (error == NULL || error->code == API_OK) {
        jput_null(j, "error");
        return;
    }
    jput_open(j, "error", '{');
    jput_text(j, "result", api_error_word(error->code));
    jput_text(j, "message",
              error->message[0] != '\0' ? error->message : api_error_text(error->code));
    jput_close(j, '}');
}

void record_whole(const struct record *record, struct buf *out)
{
    char at[CLOCK_TEXT_BYTES];
    struct jput j;

    jput_init(&j, out);
    jput_open(&j, NULL, '{');
    put_head(&j, record);
    jput_text(&j, "at", clock_format(record->at_us, at));
    jput_str(&j, "request_id", record->request_id);
    jput_str(&j, "key",
             record->key.n > 0 ? record->key : (struct str){ .p = NULL, .n = 0 });
    put_tags(&j, "tags", record->options);
    jput_text(&j, "route", record->route);
    jput_bool(&j, "stream", record->stream);
    jput_int(&j, "status", record->status);
    jput_bool(&j, "client_left", record->left);
    put_error(&j, record->error);
    put_answer(&j, &record->names);
    put_usage(&j, &record->usage);
    put_cost(&j, record);
    put_baselines(&j, record);
    put_attempts(&j, record);
    jput_number(&j, "first_ms", milliseconds(record->first_us));
    jput_number(&j, "total_ms", milliseconds(record->total_us));
    put_why(&j, record);
    put_kept(&j, record);
    jput_close(&j, '}');
}
