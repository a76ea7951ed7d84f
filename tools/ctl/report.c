/* report.c - means where there is something to take the mean of, a dash elsewhere. */
#include "tools/ctl/report.h"

#include <math.h>
#include <stdbool.h>
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
    for (size_t i = 0; i < report->n_lines; i++)
        free(report->lines[i].answers_ms);
    free(report->lines);
    free(report);
}

void report_add(struct report_line *line, double quality, int64_t cost_pico,
                double latency_ms)
{
    if (!isnan(quality)) {
        line->graded++;
        line->quality += quality;
        line->squares += quality * quality;
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

void report_answer(struct report_line *line, double latency_ms, double output_tokens)
{
    if (!isnan(latency_ms)) {
        if (line->n_answers == line->room) {
            line->room = line->room > 0 ? line->room * 2 : 256;
            line->answers_ms =
                memory_resize(line->answers_ms, line->room, sizeof(*line->answers_ms));
        }
        line->answers_ms[line->n_answers++] = latency_ms;
    }
    if (!isnan(output_tokens)) {
        line->output_tokens += output_tokens;
        line->n_output++;
    }
    if (!isnan(latency_ms) && !isnan(output_tokens)) {
        line->timed_tokens += output_tokens;
        line->answering_ms += latency_ms;
    }
}

/* -- the numbers -- */

enum number {
    ACCURACY,
    SE,
    USD,
    USD_PER_REQUEST,
    LATENCY,
    P50,
    P95,
    TOKENS,
    TOKENS_PER_SECOND,
    TOKENS_PER_SECOND_ALL,
    N_NUMBERS,
};

/* JSON's name, the table's head (NULL: not shown there) and how it is written. */
static const struct {
    const char *name, *head;
    int digits;
} numbers[N_NUMBERS] = {
    [ACCURACY] = { "accuracy", "accuracy", 4 },
    [SE] = { "se", "se", 4 },
    [USD] = { "usd", "USD", 6 },
    [USD_PER_REQUEST] = { "usd_per_request", "USD per request", 8 },
    [LATENCY] = { "latency_ms", "mean ms", 1 },
    [P50] = { "latency_p50_ms", "p50 ms", 1 },
    [P95] = { "latency_p95_ms", "p95 ms", 1 },
    [TOKENS] = { "output_tokens", "tokens out", 1 },
    [TOKENS_PER_SECOND] = { "tokens_per_second", "tokens/s", 1 },
    [TOKENS_PER_SECOND_ALL] = { "tokens_per_second_all", NULL, 1 },
};

static double ratio(double sum, double count)
{
    return count > 0 ? sum / count : NAN;
}

static int compare_ms(const void *a, const void *b)
{
    const double *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

/* The smallest latency that so many per cent of the answers do not exceed; sorted. */
static double percentile(const struct report_line *line, size_t percent)
{
    if (line->n_answers == 0)
        return NAN;
    return line->answers_ms[(line->n_answers * percent + 99) / 100 - 1];
}

/* Of the mean of a sample: its standard deviation by n - 1, over the root of n. */
static double standard_error(double sum, double squares, size_t n)
{
    if (n < 2)
        return NAN;
    double count = (double)n, spread = squares - sum * sum / count;
    return spread > 0 ? sqrt(spread / (count - 1) / count) : 0;
}

static void numbers_of(const struct report_line *line, double ret[N_NUMBERS])
{
    double usd = line->priced > 0 ? money_to_usd(line->cost_pico) : NAN;

    if (line->n_answers > 0)
        qsort(line->answers_ms, line->n_answers, sizeof(double), compare_ms);
    ret[ACCURACY] = ratio(line->quality, (double)line->graded);
    ret[SE] = standard_error(line->quality, line->squares, line->graded);
    ret[USD] = usd;
    ret[USD_PER_REQUEST] = ratio(usd, (double)line->priced);
    ret[LATENCY] = ratio(line->latency_ms, (double)line->timed);
    ret[P50] = percentile(line, 50);
    ret[P95] = percentile(line, 95);
    ret[TOKENS] = ratio(line->output_tokens, (double)line->n_output);
    ret[TOKENS_PER_SECOND] = ratio(line->timed_tokens * 1000, line->answering_ms);
    ret[TOKENS_PER_SECOND_ALL] = ratio(line->busy_tokens * 1000, line->busy_ms);
}

/* -- telling them -- */

/* What the table has beside the name, in its order: some lines know it. */
static size_t columns_of(const struct report *report, enum number ret[N_NUMBERS])
{
    size_t n = 0;

    for (int number = 0; number < N_NUMBERS; number++) {
        bool known = number == ACCURACY;
        for (size_t i = 0; i < report->n_lines && !known; i++) {
            double values[N_NUMBERS];
            numbers_of(&report->lines[i], values);
            known = !isnan(values[number]);
        }
        /* With percentiles the mean says little. */
        if (number == LATENCY && report->n_lines > 0 && report->lines[0].n_answers > 0)
            known = false;
        if (known && numbers[number].head != NULL)
            ret[n++] = (enum number)number;
    }
    return n;
}

void report_print(const struct report *report)
{
    struct table_column columns[N_NUMBERS + 5] = { { "expert", TABLE_LEFT },
                                                   { "graded", TABLE_RIGHT } };
    enum number shown[N_NUMBERS];
    size_t n_shown = columns_of(report, shown), n = 2;

    for (size_t i = 0; i < n_shown; i++)
        columns[n++] = (struct table_column){ numbers[shown[i]].head, TABLE_RIGHT };
    columns[n++] = (struct table_column){ "failed", TABLE_RIGHT };
    columns[n++] = (struct table_column){ "empty", TABLE_RIGHT };
    columns[n++] = (struct table_column){ "cut", TABLE_RIGHT };
    struct table *table = table_new(columns, n);
    for (size_t i = 0; i < report->n_lines; i++) {
        const struct report_line *line = &report->lines[i];
        double values[N_NUMBERS];
        numbers_of(line, values);
        table_cell(table, "%s", line->name);
        table_cell(table, "%zu", line->graded);
        for (size_t k = 0; k < n_shown; k++) {
            if (isnan(values[shown[k]]))
                table_cell(table, "-");
            else
                table_cell(table, "%.*f", numbers[shown[k]].digits, values[shown[k]]);
        }
        table_cell(table, "%zu", line->failed);
        table_cell(table, "%zu", line->empty);
        table_cell(table, "%zu", line->cut);
    }
    table_print(table, stdout);
    table_free(table);
}

json_t *report_json(const struct report *report)
{
    json_t *list = json_array();

    for (size_t i = 0; i < report->n_lines; i++) {
        const struct report_line *line = &report->lines[i];
        double values[N_NUMBERS];
        json_t *one =
            json_pack("{s:s, s:I, s:I, s:I, s:I}", "name", line->name, "graded",
                      (json_int_t)line->graded, "failed", (json_int_t)line->failed,
                      "empty", (json_int_t)line->empty, "cut", (json_int_t)line->cut);
        numbers_of(line, values);
        for (int number = 0; number < N_NUMBERS; number++)
            (void)json_object_set_new(one, numbers[number].name,
                                      isnan(values[number]) ? json_null()
                                                            : json_real(values[number]));
        (void)json_array_append_new(list, one);
    }
    return list;
}

void report_print_json(json_t *root)
{
    (void)json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    (void)putchar('\n');
    json_decref(root);
}
