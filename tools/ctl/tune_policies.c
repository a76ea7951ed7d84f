/* tune_policies.c - writes the three policies; the settings' names are those of the configuration. */
#include "tools/ctl/tune_policies.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/base/err.h"
#include "tools/ctl/table.h"

/* To four digits: what is more is not known. */
static json_t *rounded(double value)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%.4g", value);
    return json_real(strtod(text, NULL));
}

/* The configuration takes no finer money than a pico-USD. */
static json_t *value_usd(double lambda)
{
    return json_real(fmax(round(1e12 / lambda), 1) * 1e-12);
}

static json_t *expected(const struct tune_policies *policies,
                        const struct target_point *point)
{
    json_t *json = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "quality",
        rounded(point->quality), "quality_se", rounded(point->quality_se), "quality_low",
        rounded(point->quality_low), "quality_high", rounded(point->quality_high),
        "usd_per_1k", rounded(1000 * point->usd), "usd_per_1k_se",
        rounded(1000 * point->usd_se), "usd_per_1k_low", rounded(1000 * point->usd_low),
        "usd_per_1k_high", rounded(1000 * point->usd_high), "rows",
        (json_int_t)policies->outcomes->n);

    if (policies->bundle != NULL)
        (void)json_object_set_new(json, "bundle", json_string(policies->bundle));
    return json;
}

json_t *tune_policies_json(const struct tune_policies *policies)
{
    json_t *root = json_object();

    for (size_t p = 0; p < TARGET_N_POINTS; p++) {
        const struct target_point *point = &policies->choice->points[p];
        (void)json_object_set_new(
            root, target_name((enum target_name)p),
            json_pack("{s:o, s:f, s:f, s:s, s:o}", "value_usd", value_usd(point->lambda),
                      "switch_z", policies->how->switch_z, "gain_se",
                      policies->how->gain_se, "default",
                      policies->outcomes->models[policies->fixed[point->at]], "expected",
                      expected(policies, point)));
    }
    return root;
}

void tune_policies_print(const struct target_choice *choice, const char *target,
                         size_t rows)
{
    static const struct table_column columns[] = {
        { "policy", TABLE_LEFT },        { "value USD", TABLE_RIGHT },
        { "quality", TABLE_RIGHT },      { "95 % interval", TABLE_LEFT },
        { "USD per 1000", TABLE_RIGHT }, { "95 % interval", TABLE_LEFT },
    };
    struct table *table = table_new(columns, ARRAY_LEN(columns));

    for (size_t p = 0; p < TARGET_N_POINTS; p++) {
        const struct target_point *point = &choice->points[p];
        table_cell(table, "%s", target_name((enum target_name)p));
        table_cell(table, "%.3g", 1 / point->lambda);
        table_cell(table, "%.3f", point->quality);
        table_cell(table, "%.3f to %.3f", point->quality_low, point->quality_high);
        table_cell(table, "%.4g", 1000 * point->usd);
        table_cell(table, "%.4g to %.4g", 1000 * point->usd_low, 1000 * point->usd_high);
    }
    (void)printf("\nexpected of requests like these %zu prompts, target %s; corrected by "
                 "%.4f of quality for having been chosen on them\n",
                 rows, target != NULL ? target : "near the best",
                 choice->points[TARGET_AT_AUTO].too_good);
    table_print(table, stdout);
    table_free(table);
}
