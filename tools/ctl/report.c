/* report.c - means where there is something to take the mean of, a dash elsewhere. */
#include "tools/ctl/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/base/money.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/table.h"

struct report *report_new(size_t n_lines)
{
    struct report *report = memory_new(1, sizeof(*report));

    report->n_lines = n_lines;
    report->lines = memory_new(n_lines, sizeof(*report->lines));
    return report;
}

void report_free(struct report *report)
{
    if (report == NULL)
        return;
    free(report->lines);
    free(report);
}

void report_add(struct report_line *line, double quality, int64_t cost_pico,
                double latency_ms)
{
    if (!isnan(quality)) {
        line->graded++;
        line->quality += quality;
    }
    if (cost_pico != MONEY_NONE) {
        line->priced++;
        line->cost_pico = money_add(line->cost_pico, cost_pico);
    }
    if (!isnan(latency_ms)) {
        line->timed++;
        line->latency_ms += latency_ms;
    }
}

static double mean(double sum, size_t count)
{
    return count > 0 ? sum / (double)count : NAN;
}

static void cell_number(struct table *table, const char *format, double value)
{
    char text[64];

    if (isnan(value)) {
        table_cell(table, "-");
        return;
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)snprintf(text, sizeof(text), format, value);
#pragma GCC diagnostic pop
    table_cell(table, "%s", text);
}

void report_print(const struct report *report)
{
    static const struct table_column columns[] = {
        { "expert", TABLE_LEFT },           { "graded", TABLE_RIGHT },
        { "accuracy", TABLE_RIGHT },        { "USD", TABLE_RIGHT },
        { "USD per request", TABLE_RIGHT }, { "mean ms", TABLE_RIGHT },
        { "failed", TABLE_RIGHT },
    };
    struct table *table = table_new(columns, ARRAY_LEN(columns));

    for (size_t i = 0; i < report->n_lines; i++) {
        const struct report_line *line = &report->lines[i];
        double usd = line->priced > 0 ? money_to_usd(line->cost_pico) : NAN;
        table_cell(table, "%s", line->name);
        table_cell(table, "%zu", line->graded);
        cell_number(table, "%.4f", mean(line->quality, line->graded));
        cell_number(table, "%.6f", usd);
        cell_number(table, "%.8f", mean(usd, line->priced));
        cell_number(table, "%.1f", mean(line->latency_ms, line->timed));
        table_cell(table, "%zu", line->failed);
    }
    table_print(table, stdout);
    table_free(table);
}

static json_t *number_or_null(double value)
{
    return isnan(value) ? json_null() : json_real(value);
}

json_t *report_json(const struct report *report)
{
    json_t *list = json_array();

    for (size_t i = 0; i < report->n_lines; i++) {
        const struct report_line *line = &report->lines[i];
        double usd = line->priced > 0 ? money_to_usd(line->cost_pico) : NAN;
        (void)json_array_append_new(
            list, json_pack("{s:s, s:I, s:o, s:o, s:o, s:o, s:I}", "name", line->name,
                            "graded", (json_int_t)line->graded, "accuracy",
                            number_or_null(mean(line->quality, line->graded)), "usd",
                            number_or_null(usd), "usd_per_request",
                            number_or_null(mean(usd, line->priced)), "latency_ms",
                            number_or_null(mean(line->latency_ms, line->timed)), "failed",
                            (json_int_t)line->failed));
    }
    return list;
}

void report_print_json(json_t *root)
{
    (void)json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    (void)putchar('\n');
    json_decref(root);
}
