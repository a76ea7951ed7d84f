/* why_print.c - a record for people: what is not there is left out. */
#include "tools/ctl/why_print.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/err.h"
#include "gateway/domain/excluded.h"
#include "tools/ctl/archived.h"
#include "tools/ctl/rivals.h"
#include "tools/ctl/table.h"

#define PROMPT_SHOWN 160 /* bytes of a kept prompt */

static void cell(struct table *table, const char *format, double value)
{
    if (isnan(value)) {
        table_cell(table, "-");
        return;
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    table_cell(table, format, value);
#pragma GCC diagnostic pop
}

static void cell_text(struct table *table, const char *text)
{
    table_cell(table, "%s", text[0] != '\0' ? text : "-");
}

static void say_usd(const char *before, double usd, const char *after)
{
    if (isnan(usd))
        (void)printf("%snot known%s", before, after);
    else
        (void)printf("%s%.9g USD%s", before, usd, after);
}

/* -- the request ------------------------------------------------------------------------- */

static void print_ids(const json_t *record)
{
    const char *request = archived_text(record, "request_id");
    const char *answer = archived_text(json_object_get(record, "answer"), "id");

    (void)printf("decision  %s, %s", archived_text(record, "decision_id"),
                 archived_text(record, "at"));
    if (request[0] != '\0')
        (void)printf(", request %s", request);
    if (answer[0] != '\0')
        (void)printf(", answer %s", answer);
    (void)puts("");
}

static void print_tags(const json_t *record)
{
    json_t *tags = json_object_get(record, "tags");
    const char *name, *comma = "tags      ";
    json_t *value;

    json_object_foreach(tags, name, value)
    {
        (void)printf("%s%s=%s", comma, name, json_string_value(value));
        comma = ", ";
    }
    if (json_object_size(tags) > 0)
        (void)puts("");
}

static void print_prompt(const json_t *record)
{
    const struct str prompt = str_of(archived_text(record, "prompt"));
    const struct str shown = str_clip_utf8(prompt, PROMPT_SHOWN);

    if (prompt.n == 0)
        return;
    (void)printf("prompt    ");
    for (size_t i = 0; i < shown.n; i++)
        (void)putchar((unsigned char)shown.p[i] < ' ' ? ' ' : shown.p[i]);
    (void)printf("%s\n", shown.n < prompt.n ? " ..." : "");
}

static void print_outcome(const json_t *record)
{
    const json_t *error = json_object_get(record, "error");
    const double status = archived_number(record, "status");

    (void)printf("outcome   ");
    if (isnan(status))
        (void)printf("%s: the gateway ended before it was settled",
                     archived_text(record, "state"));
    else
        (void)printf("status %.0f", status);
    if (json_is_object(error))
        (void)printf(", %s: %s", archived_text(error, "result"),
                     archived_text(error, "message"));
    if (!isnan(archived_number(record, "total_ms")))
        (void)printf(", %.4g ms in all", archived_number(record, "total_ms"));
    if (!isnan(archived_number(record, "first_ms")))
        (void)printf(", %.4g ms until the answer began",
                     archived_number(record, "first_ms"));
    (void)puts("");
}

static void print_request(const json_t *record)
{
    const char *policy = archived_text(record, "policy");
    const char *key = archived_text(record, "key");
    const double lambda = archived_number(record, "lambda");

    print_ids(record);
    (void)printf("asked     ");
    if (policy[0] == '\0')
        (void)printf("an expert by name: %s", archived_text(record, "model"));
    else if (lambda > 0)
        (void)printf(
            "policy %s: a right answer is worth %.4g USD (lambda %.6g, set by the %s)",
            policy, 1 / lambda, lambda, archived_text(record, "lambda_from"));
    else
        (void)printf("policy %s: cost is no matter", policy);
    if (key[0] != '\0')
        (void)printf(", with key %s", key);
    if (fabs(archived_number(record, "steering") - 1) > 1e-9)
        (void)printf(", times %.4g by what it spent today",
                     archived_number(record, "steering"));
    (void)puts(json_is_true(json_object_get(record, "stream")) ? ", streamed" : "");
    print_tags(record);
    print_prompt(record);
    print_outcome(record);
}

/* -- the evidence ------------------------------------------------------------------------ */

static void cell_candidates(struct table *table, const json_t *step)
{
    const json_t *candidates = json_object_get(step, "candidates");
    char text[256] = "-";
    size_t used = 0;

    for (size_t i = 0; i < json_array_size(candidates) && used < sizeof text; i++) {
        const json_t *candidate = json_array_get(candidates, i);
        const int wrote = snprintf(
            text + used, sizeof text - used, "%s%s %.4f", used > 0 ? ", " : "",
            archived_text(candidate, "embedder"), archived_number(candidate, "loss"));

        used += wrote > 0 ? (size_t)wrote : 0;
    }
    table_cell(table, "%s", text);
}

static void print_steps(const json_t *record)
{
    static const struct table_column columns[] = {
        { "loss if answered now", TABLE_RIGHT },
        { "loss after", TABLE_LEFT },
        { "bought", TABLE_LEFT },
        { "USD", TABLE_RIGHT },
        { "ms", TABLE_RIGHT },
    };
    const json_t *steps = json_object_get(record, "steps");
    struct table *table;

    if (json_array_size(steps) == 0)
        return;
    (void)printf("\nevidence: %s%s%s\n", archived_text(record, "evidence"),
                 archived_text(record, "domain")[0] != '\0' ? ", domain " : "",
                 archived_text(record, "domain"));
    table = table_new(columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        const char *bought = archived_text(step, "bought");
        const bool failed = json_is_false(json_object_get(step, "delivered"));

        cell(table, "%.4f", archived_number(step, "loss_before"));
        cell_candidates(table, step);
        if (bought[0] == '\0')
            table_cell(table, "stop: %s", archived_text(record, "stop"));
        else
            table_cell(table, "%s%s%s%s", bought, failed ? " (failed: " : "",
                       failed ? archived_text(step, "error") : "", failed ? ")" : "");
        cell(table, "%.9f", archived_number(step, "price_usd"));
        cell(table, "%.1f", archived_number(step, "waited_ms"));
    }
    table_print(table, stdout);
    table_free(table);
}

static void print_neighbours(const json_t *record)
{
    static const struct table_column columns[] = {
        { "distance", TABLE_RIGHT },
        { "weight", TABLE_RIGHT },
        { "domain", TABLE_LEFT },
        { "prompt", TABLE_LEFT },
    };
    const json_t *neighbours = json_object_get(record, "neighbours");
    struct table *table;

    if (json_array_size(neighbours) == 0)
        return;
    (void)puts("\nthe nearest calibration prompts");
    table = table_new(columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < json_array_size(neighbours); i++) {
        const json_t *neighbour = json_array_get(neighbours, i);

        cell(table, "%.4f", archived_number(neighbour, "distance"));
        cell(table, "%.4f", archived_number(neighbour, "weight"));
        cell_text(table, archived_text(neighbour, "domain"));
        cell_text(table, archived_text(neighbour, "id"));
    }
    table_print(table, stdout);
    table_free(table);
}

/* -- the choice -------------------------------------------------------------------------- */

static void print_ranking(const json_t *record)
{
    static const struct table_column columns[] = {
        { "", TABLE_LEFT },         { "expert", TABLE_LEFT },
        { "quality", TABLE_RIGHT }, { "\302\261 SE", TABLE_RIGHT },
        { "USD", TABLE_RIGHT },     { "at most", TABLE_RIGHT },
        { "utility", TABLE_RIGHT }, { "known", TABLE_RIGHT },
        { "", TABLE_LEFT },
    };
    const json_t *ranking = json_object_get(record, "ranking");
    const json_t *lent = json_object_get(record, "unexplored");
    const size_t n_ranked = json_array_size(ranking);
    struct table *table;

    if (n_ranked == 0)
        return;
    (void)puts("\nthe experts");
    table = table_new(columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < n_ranked + json_array_size(lent); i++) {
        const json_t *ranked = i < n_ranked ? json_array_get(ranking, i)
                                            : json_array_get(lent, i - n_ranked);
        const char *expert = archived_text(ranked, "expert");
        const bool chosen = strcmp(expert, archived_text(record, "expert")) == 0;

        table_cell(table, "%s", chosen ? "*" : " ");
        table_cell(table, "%s", expert);
        cell(table, "%.4f", archived_number(ranked, "quality"));
        cell(table, "%.4f", archived_number(ranked, "quality_se"));
        cell(table, "%.9f", archived_number(ranked, "expected_usd"));
        cell(table, "%.9f", archived_number(ranked, "worst_usd"));
        cell(table, "%.4f", archived_number(ranked, "utility"));
        cell(table, "%.0f", archived_number(ranked, "known"));
        if (json_is_false(json_object_get(ranked, "affordable")))
            table_cell(table, "over the ceiling");
        else if (json_is_false(json_object_get(ranked, "good_enough")))
            table_cell(table, "below the least quality");
        else if (json_object_get(ranked, "lent") != NULL)
            table_cell(table, "%s%.0f %% lent by %s", i < n_ranked ? "" : "not tried: ",
                       100 * archived_number(ranked, "lent"),
                       archived_text(ranked, "lent_by"));
        else
            table_cell(table, "%s", "");
    }
    table_print(table, stdout);
    table_free(table);
}

static void print_lacks(const json_t *lacks)
{
    for (size_t i = 0; i < json_array_size(lacks); i++)
        (void)printf("%s%s", i == 0 ? " (lacks " : ", ",
                     json_string_value(json_array_get(lacks, i)));
    if (json_array_size(lacks) > 0)
        (void)printf(")");
}

/* For each reason, who was excluded by it. */
static void print_excluded(const json_t *record)
{
    const json_t *excluded = json_object_get(record, "excluded");

    for (int why = EXCLUDED_NOT; why < EXCLUDED_COUNT; why++) {
        const char *comma = "";

        for (size_t i = 0; i < json_array_size(excluded); i++) {
            const json_t *out = json_array_get(excluded, i);

            if (strcmp(archived_text(out, "why"), excluded_word((enum excluded)why)) != 0)
                continue;
            if (comma[0] == '\0')
                (void)printf("\nexcluded  %s: ", excluded_text((enum excluded)why));
            (void)printf("%s%s", comma, archived_text(out, "expert"));
            print_lacks(json_object_get(out, "lacks"));
            comma = ", ";
        }
    }
    if (json_array_size(excluded) > 0)
        (void)puts("");
}

static void print_rules(const json_t *record)
{
    const json_t *rules = json_object_get(record, "rules");

    for (size_t i = 0; i < json_array_size(rules); i++) {
        const json_t *rule = json_array_get(rules, i);
        const bool matched = json_is_true(json_object_get(rule, "matched"));

        (void)printf("%srule      %s: %s%s\n", i == 0 ? "\n" : "",
                     archived_text(rule, "name"), archived_text(rule, "action"),
                     matched ? "" : ", not known: the text takes its regex too long");
    }
}

/* Where its conversation was, and what leaving would have lost. */
static void print_conversation(const json_t *record)
{
    const json_t *conversation = json_object_get(record, "conversation");
    const char *expert = archived_text(conversation, "expert");
    const double lost = archived_number(conversation, "switch_cost_usd");
    const double idle = archived_number(conversation, "idle_s");

    if (!json_is_object(conversation))
        return;
    (void)printf("\nconversation by %s, %s", archived_text(conversation, "id_kind"),
                 archived_text(conversation, "state"));
    if (expert[0] != '\0')
        (void)printf(": was at %s, and %s", expert,
                     json_is_true(json_object_get(conversation, "stayed")) ? "stays"
                                                                           : "leaves");
    if (!isnan(idle))
        (void)printf(", idle for %.0f s", idle);
    if (!isnan(lost))
        (void)printf("; leaving loses %.0f cached tokens, %.9f USD",
                     archived_number(conversation, "cached_tokens"), lost);
    (void)puts("");
}

static void print_flip(const char *which, double lambda, const char *expert)
{
    if (lambda > 0)
        (void)printf(
            "          by utility alone %s would lead at a lambda %s %.6g (a right "
            "answer worth %s than %.4g USD)\n",
            expert, which, lambda, which[0] == 'b' ? "more" : "less", 1 / lambda);
    else
        (void)printf(
            "          by utility alone %s would be level at lambda 0, with cost no "
            "matter\n",
            expert);
}

static void print_rivals(const json_t *record)
{
    struct rivals rivals;
    const struct rival *a, *b;

    rivals_of(record, &rivals);
    if (rivals.chosen < 0 || rivals.runner_up < 0)
        return;
    a = &rivals.all[rivals.chosen];
    b = &rivals.all[rivals.runner_up];
    (void)printf("runner-up %s: its utility is %.4f %s", b->expert, fabs(rivals.margin),
                 rivals.margin >= 0 ? "lower" : "higher");
    if (rivals.margin_se > 0)
        (void)printf(", %.2f standard errors", fabs(rivals.margin) / rivals.margin_se);
    (void)printf(" (quality %+.4f, cost %+.9f USD)\n", b->quality - a->quality,
                 b->usd - a->usd);
    if (!isnan(rivals.below))
        print_flip("below", rivals.below, rivals.all[rivals.if_below].expert);
    if (!isnan(rivals.above))
        print_flip("above", rivals.above, rivals.all[rivals.if_above].expert);
    if (isnan(rivals.below) && isnan(rivals.above))
        (void)puts("          no lambda would have flipped the choice");
    if (!(isnan(rivals.below) && isnan(rivals.above)))
        (void)printf(
            "          (near there the best fixed expert is kept, where evidence does "
            "not pay or a gain is within %.4g standard errors)\n",
            archived_number(record, "switch_z"));
    if (json_is_true(json_object_get(record, "kept_default")))
        (void)printf("          another one promised more, but not by more than the %.4g "
                     "standard errors that the policy asks for\n",
                     archived_number(record, "switch_z"));
}

static void print_choice(const json_t *record)
{
    const char *expert = archived_text(record, "expert");
    const double quality = archived_number(record, "predicted_quality");

    (void)printf("\nchosen    %s", expert[0] != '\0' ? expert : "nobody");
    if (archived_text(record, "reason")[0] != '\0')
        (void)printf(": %s", archived_text(record, "reason"));
    if (archived_text(record, "reason_text")[0] != '\0')
        (void)printf(" (%s)", archived_text(record, "reason_text"));
    if (!isnan(quality))
        (void)printf(", predicted quality %.4f", quality);
    (void)puts("");
    print_rivals(record);
}

/* -- what was done and paid -------------------------------------------------------------- */

static void print_attempts(const json_t *record)
{
    static const struct table_column columns[] = {
        { "expert", TABLE_LEFT },      { "end", TABLE_LEFT },
        { "status", TABLE_RIGHT },     { "began ms", TABLE_RIGHT },
        { "first byte", TABLE_RIGHT }, { "total", TABLE_RIGHT },
        { "USD", TABLE_RIGHT },        { "error", TABLE_LEFT },
    };
    const json_t *attempts = json_object_get(record, "attempts");
    struct table *table;

    if (json_array_size(attempts) == 0)
        return;
    (void)puts("\nthe attempts");
    table = table_new(columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < json_array_size(attempts); i++) {
        const json_t *attempt = json_array_get(attempts, i);

        cell_text(table, archived_text(attempt, "expert"));
        cell_text(table, archived_text(attempt, "end"));
        cell(table, "%.0f", archived_number(attempt, "status"));
        cell(table, "%.1f", archived_number(attempt, "began_ms"));
        cell(table, "%.1f", archived_number(attempt, "first_byte_ms"));
        cell(table, "%.1f", archived_number(attempt, "total_ms"));
        cell(table, "%.9f", archived_number(attempt, "spent_usd"));
        table_cell(table, "%s", archived_text(attempt, "error"));
    }
    table_print(table, stdout);
    table_free(table);
}

static const char *say_names(const json_t *names, const char *verb, const char *comma)
{
    for (size_t i = 0; i < json_array_size(names); i++) {
        (void)printf("%s%s%s", comma, i == 0 ? verb : "",
                     json_string_value(json_array_get(names, i)));
        comma = ", ";
    }
    return comma;
}

/* What was changed of the request for an expert with a dialect. */
static void print_adapted(const json_t *record)
{
    const json_t *attempts = json_object_get(record, "attempts");

    for (size_t i = 0; i < json_array_size(attempts); i++) {
        const json_t *attempt = json_array_get(attempts, i);
        json_t *adapted = json_object_get(attempt, "adapted"), *to;
        const char *comma = ": ", *field;

        if (!json_is_object(adapted))
            continue;
        (void)printf("adapted   for %s", archived_text(attempt, "expert"));
        json_object_foreach(json_object_get(adapted, "rename"), field, to)
        {
            (void)printf("%s%s renamed to %s", comma, field, json_string_value(to));
            comma = ", ";
        }
        comma = say_names(json_object_get(adapted, "drop"), "without ", comma);
        (void)say_names(json_object_get(adapted, "set"), "with ", comma);
        (void)puts("");
    }
}

static void print_charges(const json_t *record)
{
    static const struct table_column columns[] = {
        { "charge", TABLE_LEFT },     { "expert", TABLE_LEFT },
        { "fate", TABLE_LEFT },       { "reserved", TABLE_RIGHT },
        { "bound", TABLE_RIGHT },     { "spent USD", TABLE_RIGHT },
        { "tokens in", TABLE_RIGHT }, { "out", TABLE_RIGHT },
    };
    const json_t *charges = json_object_get(record, "charges");
    struct table *table;

    if (json_array_size(charges) == 0)
        return;
    (void)puts("\nthe charges");
    table = table_new(columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < json_array_size(charges); i++) {
        const json_t *charge = json_array_get(charges, i);

        cell_text(table, archived_text(charge, "kind"));
        cell_text(table, archived_text(charge, "expert"));
        cell_text(table, archived_text(charge, "fate"));
        cell(table, "%.9f", archived_number(charge, "worst_usd"));
        cell(table, "%.9f", archived_number(charge, "bound_usd"));
        cell(table, "%.9f", archived_number(charge, "spent_usd"));
        cell(table, "%.0f", archived_number(charge, "input_tokens"));
        cell(table, "%.0f", archived_number(charge, "output_tokens"));
    }
    table_print(table, stdout);
    table_free(table);
}

static void print_baseline(const json_t *baselines, const char *key, const char *words)
{
    const json_t *baseline = json_object_get(baselines, key);

    if (archived_text(baseline, "expert")[0] == '\0')
        return;
    (void)printf("          %s, %s, would have cost %.9g USD\n", words,
                 archived_text(baseline, "expert"), archived_number(baseline, "usd"));
}

static void print_cost(const json_t *record)
{
    const json_t *cost = json_object_get(record, "cost");
    const json_t *baselines = json_object_get(record, "baselines");

    say_usd("\ncost      ", archived_number(cost, "spent_usd"), "");
    if (json_is_true(json_object_get(cost, "estimated")))
        say_usd(", estimated, at most ", archived_number(cost, "bound_usd"), "");
    say_usd(" (evidence ", archived_number(cost, "evidence_usd"), ", ");
    say_usd("answer ", archived_number(cost, "generation_usd"), ")");
    if (!isnan(archived_number(cost, "ceiling_usd")))
        say_usd(", ceiling ", archived_number(cost, "ceiling_usd"), "");
    (void)puts("");
    print_baseline(baselines, "always_best", "always the best expert on average");
    print_baseline(baselines, "always_cheapest", "always the cheapest expert");
}

static void print_scores(const json_t *record)
{
    const json_t *scores = json_object_get(record, "feedback");

    for (size_t i = 0; i < json_array_size(scores); i++) {
        const json_t *score = json_array_get(scores, i);

        (void)printf("score     %.4g of %s, weight %.4g, %s\n",
                     archived_number(score, "score"), archived_text(score, "expert"),
                     archived_number(score, "weight"), archived_text(score, "at"));
    }
}

void why_print(const json_t *record)
{
    print_request(record);
    print_steps(record);
    print_neighbours(record);
    print_ranking(record);
    print_excluded(record);
    print_rules(record);
    print_conversation(record);
    print_choice(record);
    print_attempts(record);
    print_adapted(record);
    print_charges(record);
    print_cost(record);
    print_scores(record);
    if (archived_text(record, "bundle")[0] != '\0')
        (void)printf("bundle    %s\n", archived_text(record, "bundle"));
    if (archived_text(record, "config")[0] != '\0')
        (void)printf("config    %s\n", archived_text(record, "config"));
}
