/* estimate_print.c - the estimate for people and for programs. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/money.h"
#include "tools/ctl/estimate_private.h"
#include "tools/ctl/table.h"

const char *estimate_basis_word(enum estimate_basis basis)
{
    static const char *const words[] = {
#define X(name, word) [ESTIMATE_##name] = word,
        ESTIMATE_BASES(X)
#undef X
    };

    return words[basis];
}

/* Lines of one purpose run at the same time, unless by_expert; purposes follow each other. */
static double total_seconds(const struct estimate *estimate)
{
    double total = 0, longest = 0;

    for (size_t i = 0; i < estimate->n_lines; i++) {
        const struct estimate_calls *line = &estimate->lines[i];
        if (i > 0 && strcmp(line->what, line[-1].what) != 0) {
            total += longest;
            longest = 0;
        }
        if (estimate->settings.by_expert)
            longest += line->seconds;
        else
            longest = fmax(longest, line->seconds);
    }
    return total + longest;
}

struct estimate_calls estimate_total(const struct estimate *estimate)
{
    struct estimate_calls sum = { .what = "in all" };

    for (size_t i = 0; i < estimate->n_lines; i++) {
        const struct estimate_calls *line = &estimate->lines[i];
        sum.calls += line->calls;
        sum.input_tokens += line->input_tokens;
        sum.output_tokens += line->output_tokens;
        sum.output_low += line->output_low;
        sum.output_high += line->output_high;
        sum.expected_pico = money_add(sum.expected_pico, line->expected_pico);
        sum.low_pico = money_add(sum.low_pico, line->low_pico);
        sum.high_pico = money_add(sum.high_pico, line->high_pico);
        sum.most_pico = money_add(sum.most_pico, line->most_pico);
        if (line->basis > sum.basis)
            sum.basis = line->basis;
    }
    sum.seconds = total_seconds(estimate);
    return sum;
}

static void cell_usd(struct table *table, int64_t pico)
{
    if (pico == MONEY_NONE)
        table_cell(table, "no bound");
    else
        table_cell(table, "%.4f", money_to_usd(pico));
}

static void cell_time(struct table *table, double seconds)
{
    long whole = lround(ceil(seconds));

    if (whole >= 3600)
        table_cell(table, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        table_cell(table, "%ld:%02ld", whole / 60, whole % 60);
}

static void print_line(struct table *table, const struct estimate_calls *line,
                       const char *name, const char *basis)
{
    double calls = line->calls > 0 ? (double)line->calls : 1;

    table_cell(table, "%s", name);
    table_cell(table, "%s", line->what);
    table_cell(table, "%zu", line->calls);
    table_cell(table, "%.0f", line->input_tokens / calls);
    table_cell(table, "%.0f", line->output_tokens / calls);
    table_cell(table, "%.0f-%.0f", line->output_low / calls, line->output_high / calls);
    cell_usd(table, line->expected_pico);
    table_cell(table, "%.4f-%.4f", money_to_usd(line->low_pico),
               money_to_usd(line->high_pico));
    cell_usd(table, line->most_pico);
    cell_time(table, line->seconds);
    table_cell(table, "%s", basis);
}

void estimate_print(const struct estimate *estimate)
{
    static const struct table_column columns[] = {
        { "expert", TABLE_LEFT },      { "for", TABLE_LEFT },
        { "calls", TABLE_RIGHT },      { "tokens in", TABLE_RIGHT },
        { "tokens out", TABLE_RIGHT }, { "between", TABLE_RIGHT },
        { "USD", TABLE_RIGHT },        { "between", TABLE_RIGHT },
        { "at most", TABLE_RIGHT },    { "time", TABLE_RIGHT },
        { "answers are", TABLE_LEFT },
    };
    struct estimate_calls sum = estimate_total(estimate);
    struct table *table = table_new(columns, ARRAY_LEN(columns));

    for (size_t i = 0; i < estimate->n_lines; i++) {
        const struct estimate_calls *line = &estimate->lines[i];
        print_line(table, line, estimate->settings.config->experts[line->expert].name,
                   estimate_basis_word(line->basis));
    }
    print_line(table, &sum, "all", "");
    table_print(table, stdout);
    table_free(table);
    if (sum.basis != ESTIMATE_MEASURED && sum.calls > 0)
        (void)printf(
            "\nanswers are not measured for every expert: `--limit 20` asks a few "
            "first, and the next estimate knows\n");
    if (sum.expected_pico > estimate->settings.max_pico)
        (void)printf(
            "\nthis is more than --max-usd: a run stops there, and goes on when it "
            "is run again\n");
}

static json_t *usd_or_null(int64_t pico)
{
    return pico == MONEY_NONE ? json_null() : json_real(money_to_usd(pico));
}

static json_t *line_json(const struct estimate_calls *line)
{
    double calls = line->calls > 0 ? (double)line->calls : 1;

    return json_pack(
        "{s:s, s:I, s:s, s:f, s:f, s:f, s:f, s:o, s:o, s:o, s:o, s:f}", "what",
        line->what, "calls", (json_int_t)line->calls, "basis",
        estimate_basis_word(line->basis), "input_tokens", line->input_tokens / calls,
        "output_tokens", line->output_tokens / calls, "output_tokens_low",
        line->output_low / calls, "output_tokens_high", line->output_high / calls,
        "usd_expected", usd_or_null(line->expected_pico), "usd_low",
        usd_or_null(line->low_pico), "usd_high", usd_or_null(line->high_pico),
        "usd_at_most", usd_or_null(line->most_pico), "seconds", line->seconds);
}

json_t *estimate_json(const struct estimate *estimate)
{
    struct estimate_calls sum = estimate_total(estimate);
    json_t *whole = line_json(&sum), *parts = json_array();

    (void)json_object_del(whole, "what");
    for (size_t i = 0; i < estimate->n_lines; i++) {
        const struct estimate_calls *line = &estimate->lines[i];
        json_t *one = line_json(line);
        (void)json_object_set_new(
            one, "expert",
            json_string(estimate->settings.config->experts[line->expert].name));
        (void)json_array_append_new(parts, one);
    }
    (void)json_object_set_new(whole, "parts", parts);
    return whole;
}
