/* prices_age.c - frugalctl prices age: when somebody last looked whether a price is right. */
#include <math.h>
#include <stdio.h>

#include <jansson.h>

#include "gateway/base/clock.h"
#include "gateway/domain/price.h"
#include "tools/ctl/command.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/price_config.h"
#include "tools/ctl/price_form.h"
#include "tools/ctl/report.h"
#include "tools/ctl/table.h"

#define DAY_S 86400

struct age_options {
    const char *config;
    int64_t max_days;
    bool json;
};

/* The day on which the price was last known to be right; INT64_MIN: nobody says. */
static int64_t looked_at(const struct config_price *price)
{
    return price->as_of_s != INT64_MIN ? price->as_of_s : price->from_s;
}

static json_t *row_of(const struct price_part *part, int64_t now_s,
                      const struct age_options *options, size_t *n_old)
{
    const struct config_price *price =
        part->prices.n > 0 ? price_at(&part->prices, now_s) : NULL;
    int64_t at_s = price != NULL ? looked_at(price) : INT64_MIN;
    bool known = at_s != INT64_MIN;
    long long days = known ? (long long)((now_s - at_s) / DAY_S) : 0;
    bool old = !part->free && (!known || days > options->max_days);
    char day[16] = "";

    if (known)
        price_form_day(at_s, day);
    *n_old += old;
    return json_pack(
        "{s:s, s:b, s:o, s:o, s:o, s:s, s:b}", "expert", part->expert, "embedding",
        part->embedding, "as_of", known ? json_string(day) : json_null(), "days",
        known ? json_integer(days) : json_null(), "source",
        price != NULL && price->source != NULL ? json_string(price->source) : json_null(),
        "kind",
        part->free      ? "free"
        : price == NULL ? "none"
        : price->hourly ? "by the hour"
                        : "per token",
        "old", old);
}

static void print_table(const json_t *list)
{
    static const struct table_column columns[] = { { "expert", TABLE_LEFT },
                                                   { "price", TABLE_LEFT },
                                                   { "as of", TABLE_LEFT },
                                                   { "days", TABLE_RIGHT },
                                                   { "source", TABLE_LEFT } };
    struct table *table = table_new(columns, ARRAY_LEN(columns));
    json_t *row;
    size_t i;

    json_array_foreach(list, i, row)
    {
        const char *as_of = json_string_value(json_object_get(row, "as_of"));
        const char *source = json_string_value(json_object_get(row, "source"));
        const json_t *days = json_object_get(row, "days");

        table_cell(table, "%s%s", json_string_value(json_object_get(row, "expert")),
                   json_is_true(json_object_get(row, "embedding")) ? " (embedding)" : "");
        table_cell(table, "%s%s", json_string_value(json_object_get(row, "kind")),
                   json_is_true(json_object_get(row, "old")) ? ", old" : "");
        table_cell(table, "%s", as_of != NULL ? as_of : "unknown");
        if (json_is_null(days))
            table_cell(table, "-");
        else
            table_cell(table, "%lld", (long long)json_integer_value(days));
        table_cell(table, "%s", source != NULL ? source : "-");
    }
    table_print(table, stdout);
    table_free(table);
}

static enum fault_err run(const void *given, const char *const *operands,
                          size_t n_operands, struct fault *fault)
{
    const struct age_options *options = given;
    int64_t now_s = clock_wall_s(&clock_system);
    struct price_config *config = NULL;
    json_t *list = json_array();
    size_t n_old = 0;
    enum fault_err err = price_config_open(options->config, &config, fault);

    (void)operands, (void)n_operands;
    for (size_t i = 0; err == FAULT_OK && i < config->n; i++)
        (void)json_array_append_new(list,
                                    row_of(&config->parts[i], now_s, options, &n_old));
    if (err == FAULT_OK && options->json)
        report_print_json(json_incref(list));
    else if (err == FAULT_OK)
        print_table(list);
    if (err == FAULT_OK && n_old > 0)
        err =
            fault_set(fault, FAULT_INPUT,
                      "%zu price%s older than %lld days, or nobody says of when: look "
                      "with `prices diff`, then `prices import` or write \"as_of\"",
                      n_old, n_old == 1 ? " is" : "s are", (long long)options->max_days);
    json_decref(list);
    price_config_close(config);
    return err;
}

static const struct option_spec specs[] = {
    { .name = "config",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .rule = OPTION_REQUIRED,
      .help = "the gateway's configuration",
      .offset = offsetof(struct age_options, config) },
    { .name = "max-days",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "fail where a price is older, or nobody says how old",
      .fallback = "90",
      .offset = offsetof(struct age_options, max_days),
      .min = 0,
      .max = 36500 },
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "one JSON document instead of the table",
      .offset = offsetof(struct age_options, json) },
};

const struct command command_prices_age = {
    .operands = "",
    .about =
        "Says of each price in force when somebody last looked whether it is right: its\n"
        "`as_of`, or the date from which it holds. Exit code 1 where one is older than\n"
        "--max-days, so that a cron job tells in time. Experts that are free have "
        "none.\n",
    .options = { specs, ARRAY_LEN(specs) },
    .options_bytes = sizeof(struct age_options),
    .run = run,
};
