/* bundle_show.c - frugalctl bundle show: what is in a bundle. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "fuser/fuser.h"
#include "gateway/base/err.h"
#include "tools/ctl/command.h"
#include "tools/ctl/report.h"
#include "tools/ctl/rowset.h"
#include "tools/ctl/table.h"

struct show_options {
    bool json;
};

static const struct option_spec specs[] = {
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "print one JSON document instead of a table",
      .offset = offsetof(struct show_options, json) },
};

static double bytes_of(const char *path)
{
    struct stat seen;

    return stat(path, &seen) == 0 ? (double)seen.st_size : 0;
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* What the tuner or the builder wrote: a document, or null where there is none. */
static json_t *document(const char *text)
{
    json_t *json = text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

    return json != NULL ? json : json_null();
}

static json_t *tuned_json(const struct fuser_tuned *tuned)
{
    if (tuned == NULL)
        return json_null();
    return json_pack("{s:o, s:o, s:o, s:o}", "lambda", number(tuned->lambda), "value_usd",
                     number(1 / tuned->lambda), "switch_z", number(tuned->switch_z),
                     "gain_se", number(tuned->gain_se));
}

static json_t *to_json(const struct fuser_bundle *bundle, const char *path)
{
    json_t *experts = json_array(), *embedders = json_array();
    uint32_t k, walk_m;
    double prior;

    for (size_t g = 0; g < fuser_bundle_generators(bundle); g++)
        (void)json_array_append_new(
            experts,
            json_pack("{s:s, s:I, s:o}", "name", fuser_bundle_generator(bundle, g),
                      "rows", (json_int_t)fuser_bundle_known_rows(bundle, g),
                      "mean_quality", number(fuser_bundle_mean_quality(bundle, g))));
    for (size_t e = 0; e < fuser_bundle_embedders(bundle); e++) {
        const struct fuser_embedder_info *info = fuser_bundle_embedder(bundle, e);
        (void)json_array_append_new(embedders, json_pack("{s:s, s:s, s:I}", "name",
                                                         info->name, "model", info->model,
                                                         "dim", (json_int_t)info->dim));
    }
    fuser_bundle_settings(bundle, &k, &walk_m, &prior);
    return json_pack("{s:s, s:s, s:f, s:I, s:s, s:o, s:o, s:I, s:I, s:f, s:o, s:o}", "id",
                     fuser_bundle_id(bundle), "path", path, "bytes", bytes_of(path),
                     "rows", (json_int_t)fuser_bundle_rows(bundle), "routing_text",
                     fuser_bundle_text_version(bundle), "experts", experts, "embedders",
                     embedders, "k", (json_int_t)k, "neighbours", (json_int_t)walk_m,
                     "prior", prior, "tuned", tuned_json(fuser_bundle_tuned(bundle)),
                     "origin", document(fuser_bundle_origin(bundle)));
}

static void print_tuned(const struct fuser_tuned *tuned)
{
    if (tuned == NULL) {
        (void)printf("not tuned\n");
        return;
    }
    (void)printf("tuned:");
    if (!isnan(tuned->lambda))
        (void)printf(" value_usd %.6g (lambda %.6g)", 1 / tuned->lambda, tuned->lambda);
    if (!isnan(tuned->switch_z))
        (void)printf(" switch_z %g", tuned->switch_z);
    if (!isnan(tuned->gain_se))
        (void)printf(" gain_se %g", tuned->gain_se);
    (void)printf("\n");
}

static void print_people(const struct fuser_bundle *bundle, const char *path)
{
    static const struct table_column columns[] = { { "expert", TABLE_LEFT },
                                                   { "rows", TABLE_RIGHT },
                                                   { "mean quality", TABLE_RIGHT } };
    struct table *table = table_new(columns, ARRAY_LEN(columns));
    uint32_t k, walk_m;
    double prior;

    fuser_bundle_settings(bundle, &k, &walk_m, &prior);
    (void)printf("bundle %s: %zu rows, %.1f MB\ntexts by %s\nembedders:",
                 fuser_bundle_id(bundle), fuser_bundle_rows(bundle), bytes_of(path) / 1e6,
                 fuser_bundle_text_version(bundle));
    for (size_t e = 0; e < fuser_bundle_embedders(bundle); e++) {
        const struct fuser_embedder_info *info = fuser_bundle_embedder(bundle, e);
        (void)printf("%s %s (%s, %u numbers)", e > 0 ? "," : "", info->name, info->model,
                     info->dim);
    }
    (void)printf("\nk %u, neighbours %u, prior %g\n", k, walk_m, prior);
    print_tuned(fuser_bundle_tuned(bundle));
    if (fuser_bundle_origin(bundle) != NULL)
        (void)printf("origin: %s\n", fuser_bundle_origin(bundle));
    (void)printf("\n");
    for (size_t g = 0; g < fuser_bundle_generators(bundle); g++) {
        table_cell(table, "%s", fuser_bundle_generator(bundle, g));
        table_cell(table, "%zu", fuser_bundle_known_rows(bundle, g));
        table_cell(table, "%.3f", fuser_bundle_mean_quality(bundle, g));
    }
    table_print(table, stdout);
    table_free(table);
}

static enum fault_err run(const void *given, const char *const *operands,
                          size_t n_operands, struct fault *fault)
{
    const struct show_options *options = given;
    struct fuser_bundle *bundle = NULL;
    struct fuser_error error = { 0 };

    (void)n_operands;
    if (fuser_bundle_load(operands[0], &bundle, &error) != FUSER_OK)
        return fault_set(fault, FAULT_FUSER, "cannot use '%s': %s", operands[0],
                         error.text[0] != '\0' ? error.text : fuser_err_text(error.code));
    if (options->json)
        report_print_json(to_json(bundle, operands[0]));
    else
        print_people(bundle, operands[0]);
    fuser_bundle_unref(bundle);
    return FAULT_OK;
}

const struct command command_bundle_show = {
    .operands = "FILE",
    .about =
        "Says what a bundle holds: its id, rows, experts with what is known of each,\n"
        "embedders, the rule of its routing texts, what it was tuned to, and its "
        "origin:\n"
        "who graded the answers it was built from, and how far people agreed.\n",
    .options = { specs, ARRAY_LEN(specs) },
    .options_bytes = sizeof(struct show_options),
    .min_operands = 1,
    .max_operands = 1,
    .run = run,
};
