/* prices_diff.c - frugalctl prices diff: where a list has other prices than the configuration. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "gateway/base/clock.h"
#include "gateway/domain/price.h"
#include "tools/ctl/command.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/price_form.h"
#include "tools/ctl/prices.h"
#include "tools/ctl/report.h"
#include "tools/ctl/table.h"

#define REQUESTS 1000

struct diff_options {
    struct prices_options prices;
    int64_t input, output;
    bool json;
};

static const struct {
    const char *name;
    size_t offset;
    bool of_request; /* USD, not per million tokens */
} rates[] = {
    { "input", offsetof(struct config_rates, input_pico), false },
    { "cached_input", offsetof(struct config_rates, cached_input_pico), false },
    { "cache_write", offsetof(struct config_rates, cache_write_pico), false },
    { "output", offsetof(struct config_rates, output_pico), false },
    { "reasoning", offsetof(struct config_rates, reasoning_pico), false },
    { "request", offsetof(struct config_rates, request_pico), true },
};

/* One line of the table: pico-USD of whatever, old MONEY_NONE where there was none. */
struct change {
    const char *rate;
    int64_t above; /* tokens of the prompt; 0: any */
    int64_t old, new;
};

static void put_change(json_t *changes, const struct change *change)
{
    double percent =
        change->old > 0 && change->old != MONEY_NONE
            ? 100 * ((double)change->new - (double)change->old) / (double)change->old
            : NAN;

    (void)json_array_append_new(
        changes,
        json_pack("{s:s, s:I, s:o, s:f, s:o}", "rate", change->rate, "above",
                  (json_int_t)change->above, "old",
                  change->old != MONEY_NONE ? json_real(money_to_usd(change->old))
                                            : json_null(),
                  "new", money_to_usd(change->new), "percent",
                  isnan(percent) ? json_null() : json_real(percent)));
}

/* Rates of the old price for prompts of that tier. */
static const struct config_rates *old_rates(const struct config_price *old, int64_t above)
{
    return old != NULL ? price_rates(old, above + 1) : NULL;
}

static void put_tiers(json_t *changes, const struct config_price *old,
                      const struct config_price *new, bool embedding)
{
    for (size_t t = 0; t < new->n_tiers; t++) {
        const struct config_rates *was = old_rates(old, new->tiers[t].above_tokens);

        for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
            const char *after = (const char *)&new->tiers[t].rates;
            struct change change = { rates[i].name, new->tiers[t].above_tokens,
                                     MONEY_NONE, 0 };
            int64_t scale = rates[i].of_request ? 1 : 1000000;

            memcpy(&change.new, after + rates[i].offset, sizeof change.new);
            if (was != NULL)
                memcpy(&change.old, (const char *)was + rates[i].offset,
                       sizeof change.old);
            if (change.old == change.new || (was == NULL && change.new == 0) ||
                (embedding && i > 0 && !rates[i].of_request))
                continue;
            change.new = money_mul(change.new, scale);
            change.old = money_mul(change.old, scale);
            put_change(changes, &change);
        }
    }
}

static int64_t effect(const struct config_price *price,
                      const struct diff_options *options, bool embedding)
{
    struct usage usage = { .known = true,
                           .input_tokens = options->input,
                           .output_tokens = embedding ? 0 : options->output };

    return price != NULL ? money_mul(price_settle(price, &usage), REQUESTS) : MONEY_NONE;
}

static json_t *compare(const struct prices_pick *pick, size_t i,
                       const struct diff_options *options)
{
    const struct price_part *part = &pick->config->parts[i];
    const struct prices_row *row = &pick->rows[i];
    const struct config_price *old =
        part->prices.n > 0 ? price_at(&part->prices, clock_wall_s(&clock_system)) : NULL;
    json_t *changes = json_array();

    put_tiers(changes, old, &row->listed.price, part->embedding);
    /* A tier that is gone is a change of what longer prompts cost. */
    for (size_t t = 1; old != NULL && t < old->n_tiers; t++) {
        const struct config_rates *now =
            price_rates(&row->listed.price, old->tiers[t].above_tokens + 1);
        struct config_price gone = { .n_tiers = 1,
                                     .tiers = { { old->tiers[t].above_tokens, *now } } };
        bool there = false;

        for (size_t n = 0; n < row->listed.price.n_tiers; n++)
            there = there ||
                    row->listed.price.tiers[n].above_tokens == old->tiers[t].above_tokens;
        if (!there)
            put_tiers(changes, old, &gone, part->embedding);
    }
    if (json_array_size(changes) > 0)
        put_change(changes, &(struct change){
                                "1000 requests", 0, effect(old, options, part->embedding),
                                effect(&row->listed.price, options, part->embedding) });
    return json_pack("{s:s, s:b, s:s, s:s, s:o}", "expert", part->expert, "embedding",
                     part->embedding, "source", price_list_source(pick->list), "name",
                     row->name, "changes", changes);
}

static void print_change(struct table *table, const json_t *row, const json_t *change)
{
    const json_t *old = json_object_get(change, "old");
    const json_t *percent = json_object_get(change, "percent");
    json_int_t above = json_integer_value(json_object_get(change, "above"));
    bool embedding = json_is_true(json_object_get(row, "embedding"));

    table_cell(table, "%s%s", json_string_value(json_object_get(row, "expert")),
               embedding ? " (embedding)" : "");
    if (above > 0)
        table_cell(table, "%s above %lld",
                   json_string_value(json_object_get(change, "rate")), (long long)above);
    else
        table_cell(table, "%s", json_string_value(json_object_get(change, "rate")));
    if (json_is_null(old))
        table_cell(table, "-");
    else
        table_cell(table, "%.10g", json_number_value(old));
    table_cell(table, "%.10g", json_number_value(json_object_get(change, "new")));
    if (json_is_null(percent))
        table_cell(table, "new");
    else
        table_cell(table, "%+.1f %%", json_number_value(percent));
}

static void print_table(const json_t *list, const struct diff_options *options)
{
    static const struct table_column columns[] = { { "expert", TABLE_LEFT },
                                                   { "price", TABLE_LEFT },
                                                   { "now", TABLE_RIGHT },
                                                   { "in the list", TABLE_RIGHT },
                                                   { "change", TABLE_RIGHT } };
    struct table *table = table_new(columns, ARRAY_LEN(columns));
    size_t same = 0, other = 0, i, c;
    json_t *row, *change;

    json_array_foreach(list, i, row)
    {
        json_t *changes = json_object_get(row, "changes");

        *(json_array_size(changes) > 0 ? &other : &same) += 1;
        json_array_foreach(changes, c, change)
        {
            print_change(table, row, change);
        }
    }
    if (other > 0) {
        table_print(table, stdout);
        (void)printf(
            "\nUSD per million tokens; 1000 requests: USD for prompts of %lld and "
            "answers of %lld tokens\n",
            (long long)options->input, (long long)options->output);
    }
    (void)printf("%zu price%s changed, %zu the same\n", other, other == 1 ? "" : "s",
                 same);
    table_free(table);
}

static enum fault_err run(const void *given, const char *const *operands,
                          size_t n_operands, struct fault *fault)
{
    const struct diff_options *options = given;
    struct prices_pick pick = { 0 };
    enum fault_err err = prices_pick(&options->prices, operands[0], &pick, fault);
    json_t *list = json_array();

    (void)n_operands;
    if (err == FAULT_OK) {
        prices_tell(&pick);
        for (size_t i = 0; i < pick.config->n; i++)
            if (pick.rows[i].name != NULL)
                (void)json_array_append_new(list, compare(&pick, i, options));
        if (options->json)
            report_print_json(json_incref(list));
        else
            print_table(list, options);
        err = prices_wrong(&pick, fault);
    }
    json_decref(list);
    prices_release(&pick);
    return err;
}

static const struct option_spec specs[] = {
    PRICES_OPTIONS(offsetof(struct diff_options, prices)),
    { .name = "prompt-tokens",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "of the request whose cost is compared",
      .fallback = "1000",
      .offset = offsetof(struct diff_options, input),
      .min = 0,
      .max = 1e9 },
    { .name = "answer-tokens",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "of its answer",
      .fallback = "300",
      .offset = offsetof(struct diff_options, output),
      .min = 0,
      .max = 1e9 },
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "one JSON document instead of the table",
      .offset = offsetof(struct diff_options, json) },
};

const struct command command_prices_diff = {
    .operands = "FILE",
    .about = "Compares the prices in force with those of a downloaded list (see `prices\n"
             "import`), expert by expert and rate by rate, and says what the difference\n"
             "does to the cost of a request. Nothing is written.\n",
    .options = { specs, ARRAY_LEN(specs) },
    .options_bytes = sizeof(struct diff_options),
    .min_operands = 1,
    .max_operands = 1,
    .run = run,
};
