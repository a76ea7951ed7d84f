/* compare_print.c - a comparison's verdict, in words and numbers. */
#include <stdio.h>

#include <jansson.h>

#include "tools/ctl/compare.h"
#include "tools/ctl/report.h"
#include "tools/ctl/table.h"

enum compare_verdict compare_verdict_of(double low, double high, double margin)
{
    if (low > 0)
        return COMPARE_BETTER;
    if (low >= -margin)
        return COMPARE_NOT_WORSE;
    return high < 0 ? COMPARE_WORSE : COMPARE_CANNOT_TELL;
}

const char *compare_word(enum compare_verdict verdict)
{
    static const char *const words[] = {
#define X(name, word) word,
        COMPARE_VERDICTS(X)
#undef X
    };

    return words[verdict];
}

static void put_row(struct table *table, const char *name,
                    const struct compare_mean *mean, double times)
{
    table_cell(table, "%s", name);
    table_cell(table, "%.5g", times * mean->older);
    table_cell(table, "%.5g", times * mean->newer);
    table_cell(table, "%+.4g", times * mean->change);
    table_cell(table, "%+.4g to %+.4g", times * mean->low, times * mean->high);
}

void compare_print(const struct comparison *comparison, double margin)
{
    static const struct table_column columns[] = {
        { "", TABLE_LEFT },
        { "old", TABLE_RIGHT },
        { "new", TABLE_RIGHT },
        { "change", TABLE_RIGHT },
        { "95 % interval", TABLE_LEFT },
    };
    static const char *const sentences[] = {
        [COMPARE_BETTER] = "better",
        [COMPARE_NOT_WORSE] = "not worse",
        [COMPARE_WORSE] = "worse",
        [COMPARE_CANNOT_TELL] = "cannot tell: more prompts, or a wider --margin",
    };
    struct table *table = table_new(columns, ARRAY_LEN(columns));

    put_row(table, "quality", &comparison->quality, 1);
    put_row(table, "USD per 1000", &comparison->usd, 1000);
    put_row(table, "utility", &comparison->utility, 1);
    (void)printf("%s (old) and %s (new) on %zu prompts that neither was built from",
                 comparison->older, comparison->newer, comparison->rows);
    if (comparison->dropped > 0)
        (void)printf("; %zu that one of them was built from are left out",
                     comparison->dropped);
    (void)printf("\nlambda %.6g; another expert for %zu prompts\n", comparison->lambda,
                 comparison->moved);
    table_print(table, stdout);
    table_free(table);
    (void)printf("\nverdict, of the utility with a margin of %g: %s\n", margin,
                 sentences[comparison->verdict]);
}

static json_t *mean_json(const struct compare_mean *mean)
{
    return json_pack("{s:f, s:f, s:f, s:[f, f]}", "old", mean->older, "new", mean->newer,
                     "change", mean->change, "interval", mean->low, mean->high);
}

void compare_print_json(const struct comparison *comparison, double margin)
{
    report_print_json(json_pack(
        "{s:s, s:f, s:s, s:s, s:I, s:I, s:I, s:f, s:o, s:o, s:o}", "verdict",
        compare_word(comparison->verdict), "margin", margin, "old", comparison->older,
        "new", comparison->newer, "rows", (json_int_t)comparison->rows, "dropped",
        (json_int_t)comparison->dropped, "moved", (json_int_t)comparison->moved, "lambda",
        comparison->lambda, "quality", mean_json(&comparison->quality), "usd_per_request",
        mean_json(&comparison->usd), "utility", mean_json(&comparison->utility)));
}

enum fault_err compare_fault(const struct comparison *comparison, struct fault *fault)
{
    const struct compare_mean *utility = &comparison->utility;

    if (comparison->verdict == COMPARE_WORSE)
        return fault_set(fault, FAULT_WORSE,
                         "the new bundle is worse: utility %+.4g, %+.4g to %+.4g",
                         utility->change, utility->low, utility->high);
    if (comparison->verdict == COMPARE_CANNOT_TELL)
        return fault_set(fault, FAULT_UNSURE,
                         "cannot tell from %zu prompts: utility %+.4g, %+.4g to %+.4g",
                         comparison->rows, utility->change, utility->low, utility->high);
    return FAULT_OK;
}
