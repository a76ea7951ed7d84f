/* build.c - frugalctl build: the store's rows become the bundle that the gateway loads.
 *
 *   prompts, cells, vectors --> fuser_rows --> fuser_bundle_build --> FILE.new --> FILE
 *
 * Vectors of remote embedders that the store lacks are fetched first and kept there.
 */
#include "tools/ctl/build.h"

#include <math.h>
#include <sys/stat.h>

#include <jansson.h>

#include "fuser/fuser.h"
#include "gateway/base/clock.h"
#include "gateway/base/money.h"
#include "gateway/domain/routing_text.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/command.h"
#include "tools/ctl/network.h"
#include "tools/ctl/origin.h"
#include "tools/ctl/progress.h"
#include "tools/ctl/report.h"
#include "tools/ctl/rowset.h"
#include "tools/ctl/scores.h"
#include "tools/ctl/splits.h"
#include "tools/ctl/table.h"
#include "tools/ctl/text_rule.h"

#define AT(member) .offset = offsetof(struct build_options, member)
static const struct option_spec build_specs[] = {
    { .name = "store",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "calibration store, filled by import or calibrate",
      .rule = OPTION_REQUIRED,
      AT(store) },
    { .name = "out",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help =
          "the bundle; written aside and renamed, so a running gateway never sees half "
          "of it",
      .rule = OPTION_REQUIRED,
      AT(out) },
    { .name = "embedders",
      .kind = OPTION_LIST,
      .value = "NAMES",
      .help =
          "surface and lexical are built in and free; other names are experts with an "
          "embedding, see --config",
      .fallback = "surface,lexical",
      AT(embedders) },
    { .name = "config",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "the gateway's configuration: where remote embedders are asked for vectors "
              "that the store lacks",
      AT(config) },
    { .name = "split",
      .kind = OPTION_LIST,
      .value = "NAMES",
      .help = "only prompts of these splits; when absent 'calib', or all where there is "
              "no such split",
      AT(splits) },
    { .name = "experts",
      .kind = OPTION_LIST,
      .value = "NAMES",
      .help = "only these experts; every one with a known quality when absent",
      AT(experts) },
    { .name = "k",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "neighbours of an estimate; 0: the fuser's default",
      .fallback = "0",
      .max = 4096,
      AT(k) },
    { .name = "neighbours",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "neighbours whose losses decide whether more evidence is bought; 0: the "
              "fuser's default",
      .fallback = "0",
      .max = 4096,
      AT(neighbours) },
    { .name = "prior",
      .kind = OPTION_NUMBER,
      .value = "ROWS",
      .help = "weight of the domain's mean, in rows; -1: the fuser's default",
      .fallback = "-1",
      .min = -1,
      .max = 1e6,
      AT(prior) },
    { .name = "routing-text",
      .kind = OPTION_TEXT,
      .value = "RULE",
      .help =
          "what of a conversation is embedded: 'text@1', the last user turn, or "
          "'system=S,earlier=E,bytes=B', shares of so many bytes for the system prompt "
          "and "
          "for earlier user turns; kept in the bundle, and the gateway reads requests by "
          "it",
      .fallback = ROUTING_TEXT_VERSION,
      AT(routing_text) },
    { .name = "strip-common-prefix",
      .kind = OPTION_FLAG,
      .help = TEXT_RULE_STRIP_HELP,
      AT(strip) },
    { .name = "with-feedback",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "the gateway's database: scores that clients gave become rows, where the "
              "prompt's text or vectors were kept",
      AT(with_feedback) },
    { .name = "feedback-key",
      .kind = OPTION_TEXT,
      .value = "ID",
      .help =
          "a bundle for this key: its scores are taken also where they are to teach it "
          "alone; empty: requests without a key",
      AT(feedback_key) },
    { .name = "feedback-share",
      .kind = OPTION_NUMBER,
      .value = "X",
      .help =
          "rows of one key's scores, at most, as a share of the calibration rows; its "
          "newest are taken",
      .fallback = "0.1",
      .min = 0,
      .max = 1,
      AT(feedback_share) },
    { .name = "least-agreement",
      .kind = OPTION_NUMBER,
      .value = "X",
      .help =
          "a judge that agrees less with a person (see label) is named, here and in the "
          "bundle",
      .fallback = "0.7",
      .max = 1,
      AT(least_agreement) },
    { .name = "seed",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "every random choice follows from it",
      .fallback = "1",
      .max = 9e15,
      AT(seed) },
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "print one JSON document instead of a table",
      AT(json) },
};
#undef AT

struct building {
    const struct build_options *options;
    const struct fuser_tuned *tuned; /* NULL: none */
    struct calib *store;
    struct splits splits;
    struct config *config; /* NULL: no --config */
    struct routing_rule rule;
    char stamp[ROUTING_TEXT_STAMP];
    struct buf extra; /* the rule's templates */
    struct rowset set;
    struct fuser_rows *rows;
    struct fuser_bundle *bundle;
    struct progress bar;
    struct lessons_taken scores;
    struct origin origin;
};

static bool show_building(void *context, const char *stage, double done)
{
    struct building *build = context;

    if (build->bar.label != stage) {
        progress_end(&build->bar);
        progress_init(&build->bar, stage, 1);
    }
    progress_set(&build->bar, done, NULL);
    return true;
}

static double now_us(void)
{
    return (double)clock_us(&clock_system);
}

static enum fault_err make_bundle(struct building *build, struct fault *fault)
{
    const struct build_options *options = build->options;
    struct fuser_error error = { 0 };
    struct fuser_build how = {
        .k = (uint32_t)options->k,
        .walk_m = (uint32_t)options->neighbours,
        .prior_rows = options->prior,
        .seed = (uint64_t)options->seed,
        .text_version = build->stamp,
        .text_extra = build->extra.p,
        .text_extra_bytes = build->extra.n,
        .origin = build->origin.text,
        .tuned = build->tuned,
        .now_us = now_us,
        .progress = show_building,
        .progress_context = build,
    };

    progress_init(&build->bar, "building", 1);
    enum fuser_err code = fuser_bundle_build(build->rows, &how, &build->bundle, &error);
    if (code == FUSER_OK)
        code = fuser_bundle_save(build->bundle, options->out, &error);
    progress_end(&build->bar);
    return code == FUSER_OK ? FAULT_OK : rowset_fuser_fault(code, &error, fault);
}

static double file_bytes(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 ? (double)status.st_size : NAN;
}

static void print_review(const struct fuser_bundle *bundle)
{
    struct fuser_review review;

    fuser_bundle_review(bundle, &review);
    if (review.rows == 0)
        return;
    (void)printf(
        "\nleave-one-out over %zu rows, cost no matter: router %.4f, best single "
        "expert %.4f (%s), gain %+.4f \302\261 %.4f\n",
        review.rows, review.router_quality, review.best_quality,
        fuser_bundle_generator(bundle, review.best),
        review.router_quality - review.best_quality, review.gain_se);
    if (review.router_quality - review.best_quality <= review.gain_se)
        (void)printf(
            "the gain is within one standard error: more calibration prompts, or "
            "experts that differ more, would tell\n");
}

static json_t *review_json(const struct fuser_bundle *bundle)
{
    struct fuser_review review;

    fuser_bundle_review(bundle, &review);
    if (review.rows < 2)
        return json_null();
    return json_pack("{s:I, s:f, s:f, s:s, s:f}", "rows", (json_int_t)review.rows,
                     "router", review.router_quality, "best_single", review.best_quality,
                     "best_single_expert", fuser_bundle_generator(bundle, review.best),
                     "gain_se", review.gain_se);
}

/* What a decision searches by; nothing is said of a small bundle, which is read row by row. */
static void print_indexes(const struct fuser_bundle *bundle)
{
    for (size_t e = 0; e < fuser_bundle_embedders(bundle); e++) {
        struct fuser_index_info info;

        fuser_bundle_index(bundle, e, &info);
        if (isnan(info.flat_us))
            continue;
        (void)printf("%s %s by %s", e == 0 ? "search:" : ",",
                     fuser_bundle_embedder(bundle, e)->name, info.kind);
        if (info.lists > 0)
            (void)printf(" (%u of %u lists, %u numbers)", info.effort, info.lists,
                         info.width);
        if (isnan(info.search_us))
            (void)printf(" in %.0f us", info.flat_us);
        else
            (void)printf(" in %.0f us for %.0f, recall at 32 %.3f", info.search_us,
                         info.flat_us, info.recall);
        (void)printf("%s", e + 1 == fuser_bundle_embedders(bundle) ? "\n" : "");
    }
}

static json_t *index_json(const struct fuser_bundle *bundle, size_t e)
{
    struct fuser_index_info info;

    fuser_bundle_index(bundle, e, &info);
    return json_pack("{s:s, s:I, s:I, s:I, s:f, s:o, s:o}", "kind", info.kind, "width",
                     (json_int_t)info.width, "lists", (json_int_t)info.lists, "effort",
                     (json_int_t)info.effort, "recall_at_32", info.recall, "search_us",
                     isnan(info.search_us) ? json_null() : json_real(info.search_us),
                     "flat_us",
                     isnan(info.flat_us) ? json_null() : json_real(info.flat_us));
}

static void print_scores(const struct lessons_taken *scores)
{
    const struct {
        size_t n;
        const char *why;
    } left_out[] = {
        { scores->foreign, "teach another key alone" },
        { scores->unknown, "are of experts that are not built in" },
        { scores->textless, "lack the prompt's text and vectors" },
        { scores->crowded, "are beyond their key's share" },
    };

    (void)printf("feedback: %zu of %zu scores became rows", scores->taken, scores->given);
    for (size_t i = 0; i < ARRAY_LEN(left_out); i++) {
        if (left_out[i].n > 0)
            (void)printf("; %zu %s", left_out[i].n, left_out[i].why);
    }
    (void)printf("\n");
}

static json_t *scores_json(const struct building *build)
{
    const struct lessons_taken *scores = &build->scores;

    if (build->options->with_feedback == NULL)
        return json_null();
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "given", (json_int_t)scores->given,
                     "taken", (json_int_t)scores->taken, "foreign",
                     (json_int_t)scores->foreign, "unknown", (json_int_t)scores->unknown,
                     "textless", (json_int_t)scores->textless, "crowded",
                     (json_int_t)scores->crowded);
}

static void print_people(const struct building *build)
{
    static const struct table_column columns[] = { { "expert", TABLE_LEFT },
                                                   { "known rows", TABLE_RIGHT } };
    const struct fuser_bundle *bundle = build->bundle;
    struct table *table = table_new(columns, ARRAY_LEN(columns));

    (void)printf("bundle %s: %zu rows, %.1f MB -> %s\n", fuser_bundle_id(bundle),
                 fuser_bundle_rows(bundle), file_bytes(build->options->out) / 1e6,
                 build->options->out);
    (void)printf("embedders:");
    for (size_t e = 0; e < fuser_bundle_embedders(bundle); e++) {
        const struct fuser_embedder_info *info = fuser_bundle_embedder(bundle, e);
        (void)printf("%s %s (%s, %u numbers)", e > 0 ? "," : "", info->name, info->model,
                     info->dim);
    }
    (void)printf("\ntexts by %s", build->rule.version);
    if (build->rule.strip != NULL)
        (void)printf(", %zu templates taken off",
                     build->rule.strip->turn.n + build->rule.strip->system.n);
    if (build->set.n_recut > 0)
        (void)printf(", %zu prompts of the store cut anew", build->set.n_recut);
    (void)printf("\n");
    print_indexes(bundle);
    if (build->set.fetched.texts > 0)
        (void)printf("fetched %zu vectors for %.6f USD\n", build->set.fetched.texts,
                     money_to_usd(build->set.fetched.cost_pico));
    if (build->options->with_feedback != NULL)
        print_scores(&build->scores);
    (void)printf("\n");
    for (size_t j = 0; j < fuser_bundle_generators(bundle); j++) {
        table_cell(table, "%s", fuser_bundle_generator(bundle, j));
        table_cell(table, "%zu", fuser_bundle_known_rows(bundle, j));
    }
    table_print(table, stdout);
    table_free(table);
    origin_print(&build->origin);
    print_review(bundle);
}

static void print_json(const struct building *build)
{
    const struct fuser_bundle *bundle = build->bundle;
    json_t *experts = json_array(), *embedders = json_array();

    for (size_t j = 0; j < fuser_bundle_generators(bundle); j++)
        (void)json_array_append_new(
            experts,
            json_pack("{s:s, s:I}", "name", fuser_bundle_generator(bundle, j),
                      "known_rows", (json_int_t)fuser_bundle_known_rows(bundle, j)));
    for (size_t e = 0; e < fuser_bundle_embedders(bundle); e++) {
        const struct fuser_embedder_info *info = fuser_bundle_embedder(bundle, e);
        (void)json_array_append_new(embedders, json_pack("{s:s, s:s, s:I, s:o}", "name",
                                                         info->name, "model", info->model,
                                                         "dim", (json_int_t)info->dim,
                                                         "index", index_json(bundle, e)));
    }
    report_print_json(json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:I, s:f, s:o, s:o, s:o, s:o}", "id",
        fuser_bundle_id(bundle), "path", build->options->out, "routing_text",
        build->rule.version, "routing_text_stamp", build->stamp, "templates",
        (json_int_t)(build->rule.strip != NULL
                         ? build->rule.strip->turn.n + build->rule.strip->system.n
                         : 0),
        "recut", (json_int_t)build->set.n_recut, "rows",
        (json_int_t)fuser_bundle_rows(bundle), "bytes", file_bytes(build->options->out),
        "fetched_vectors", (json_int_t)build->set.fetched.texts, "fetched_usd",
        money_to_usd(build->set.fetched.cost_pico), "embedders", embedders, "experts",
        experts, "leave_one_out", review_json(bundle), "feedback", scores_json(build)));
}

static enum fault_err open_set(struct building *build, struct fault *fault)
{
    const struct build_options *options = build->options;
    struct rowset_wish wish = {
        .calib_path = options->store,
        .embedders = &options->embedders,
        .experts = &options->experts,
        .splits = &build->splits.list,
        .rule = &build->rule,
    };
    enum fault_err err = FAULT_OK;

    buf_init(&build->extra, 2 * (size_t)ROUTING_STRIP_BYTES);
    if (options->config != NULL)
        err = network_config(options->config, &build->config, fault);
    if (err == FAULT_OK)
        err = calib_open(options->store, CALIB_EXISTING, &build->store, fault);
    if (err == FAULT_OK)
        err = splits_find(&build->splits, build->store, &options->splits, SPLIT_CALIB,
                          fault);
    if (err == FAULT_OK)
        err = text_rule_make(build->store, &build->splits.list, options->routing_text,
                             options->strip, &build->rule, fault);
    if (err == FAULT_OK && (routing_rule_extra(&build->rule, &build->extra) != ERR_OK ||
                            routing_rule_stamp(&build->rule, build->stamp) != ERR_OK))
        err = fault_set(fault, FAULT_IO, "out of memory");
    wish.config = build->config;
    wish.store = build->store;
    if (err == FAULT_OK)
        err = rowset_open(&build->set, &wish, fault);
    if (err == FAULT_OK)
        err = rowset_rows(&build->set, &build->rows, fault);
    if (err == FAULT_OK)
        err = origin_read(&build->origin, build->store, options->least_agreement, fault);
    if (err == FAULT_OK && options->with_feedback != NULL) {
        const struct scores_wish scores = { .store = options->with_feedback,
                                            .key = options->feedback_key,
                                            .share = options->feedback_share };

        err = scores_add(&scores, &build->set, build->rows, &build->scores, fault);
    }
    return err;
}

static void release(struct building *build)
{
    fuser_bundle_unref(build->bundle);
    fuser_rows_free(build->rows);
    origin_release(&build->origin);
    rowset_release(&build->set);
    buf_release(&build->extra);
    routing_rule_release(&build->rule);
    calib_close(build->store);
    config_unref(build->config);
}

enum fault_err build_tuned(const struct build_options *options,
                           const struct fuser_tuned *tuned, struct fault *fault)
{
    struct building build = { .options = options, .tuned = tuned };
    enum fault_err err = open_set(&build, fault);

    if (err == FAULT_OK)
        err = make_bundle(&build, fault);
    if (err == FAULT_OK)
        origin_warn("tune", &build.origin);
    release(&build);
    return err;
}

static enum fault_err build_run(const void *given, const char *const *operands,
                                size_t n_operands, struct fault *fault)
{
    struct building build = { .options = given };

    (void)operands;
    (void)n_operands;
    enum fault_err err = open_set(&build, fault);
    if (err == FAULT_OK)
        err = make_bundle(&build, fault);
    if (err == FAULT_OK)
        origin_warn("build", &build.origin);
    if (err == FAULT_OK && build.options->json)
        print_json(&build);
    else if (err == FAULT_OK)
        print_people(&build);
    release(&build);
    return err;
}

const struct command command_build = {
    .operands = "",
    .about =
        "Makes the bundle that the gateway routes by from the calibration store: the\n"
        "rows, their vectors, the search index and the tables. Load it by \"bundle\" in\n"
        "the gateway's configuration; a running gateway takes a new one on SIGHUP.\n\n"
        "Prices are not in it: they come from the configuration, and a new price needs\n"
        "no new bundle. Vectors of remote embedders are paid for once and kept in the\n"
        "store.\n\n"
        "Scores that clients gave (--with-feedback) are rows of one expert each, with "
        "the\n"
        "quality weight * score + (1 - weight) * what was predicted; they have the "
        "vectors\n"
        "that the gateway kept, and none is bought for them.\n",
    .options = { build_specs, ARRAY_LEN(build_specs) },
    .options_bytes = sizeof(struct build_options),
    .run = build_run,
};
