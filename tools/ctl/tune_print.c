/* tune_print.c - tables of attempts and of the curve. */
#include "tools/ctl/tune_print.h"

#include <stdio.h>

#include "gateway/base/err.h"
#include "tools/ctl/table.h"

void tune_print_attempts(const struct tune *tune, const char *by)
{
    static const struct table_column columns[] = {
        { "", TABLE_LEFT },       { "k", TABLE_RIGHT },
        { "prior", TABLE_RIGHT }, { "switch z", TABLE_RIGHT },
        { "score", TABLE_RIGHT }, { "\302\261", TABLE_RIGHT },
        { "gain", TABLE_RIGHT },  { "\302\261", TABLE_RIGHT },
    };
    struct table *table = table_new(columns, ARRAY_LEN(columns));

    for (size_t a = 0; a < tune->n_attempts; a++) {
        const struct tune_attempt *one = &tune->attempts[a];
        table_cell(table, "%s", a == tune->stands ? ">" : "");
        table_cell(table, "%u", one->how.k);
        table_cell(table, "%g", one->how.prior_rows);
        table_cell(table, "%g", one->how.switch_z);
        table_cell(table, "%.4f", one->score);
        table_cell(table, "%.4f", one->score_se);
        table_cell(table, a > 0 ? "%+.4f" : "", one->gain);
        table_cell(table, a > 0 ? "%.4f" : "", one->gain_se);
    }
    (void)printf("%zu prompts in %zu parts, scored by %s; gains over what stood, taken "
                 "when beyond one standard error\n",
                 tune->outcomes->n, tune->folds, by);
    table_print(table, stdout);
    table_free(table);
}

/* Of the finer lambdas only those that were chosen. */
static bool is_shown(const struct tune *tune, size_t l)
{
    const struct trial_how *coarse = &tune->attempts[tune->stands].how;

    for (size_t p = 0; p < TARGET_N_POINTS; p++)
        if (tune->choice.points[p].at == l)
            return true;
    for (size_t c = 0; c < coarse->n_lambdas; c++)
        if (coarse->lambdas[c] == tune->points[l].lambda)
            return true;
    return false;
}

void tune_print_curve(const struct tune *tune)
{
    static const struct table_column columns[] = {
        { "", TABLE_LEFT },          { "value USD", TABLE_RIGHT },
        { "lambda", TABLE_RIGHT },   { "USD a request", TABLE_RIGHT },
        { "quality", TABLE_RIGHT },  { "below the best", TABLE_RIGHT },
        { "\302\261", TABLE_RIGHT },
    };
    struct table *table = table_new(columns, ARRAY_LEN(columns));

    for (size_t l = 0; l < tune->n_points; l++) {
        const struct tune_point *point = &tune->points[l];
        const char *name = "";
        if (!is_shown(tune, l))
            continue;
        for (size_t p = 0; p < TARGET_N_POINTS; p++)
            if (tune->choice.points[p].at == l && (*name == '\0' || p == TARGET_AT_AUTO))
                name = target_name((enum target_name)p);
        table_cell(table, "%s", name);
        table_cell(table, "%.3g", 1 / point->lambda);
        table_cell(table, "%.4g", point->lambda);
        table_cell(table, "%.3g", point->usd);
        table_cell(table, "%.4f", point->quality);
        table_cell(table, "%.4f", point->loss);
        table_cell(table, "%.4f", point->loss_se);
    }
    (void)printf("\n");
    table_print(table, stdout);
    table_free(table);
}
