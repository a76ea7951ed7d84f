/* import.c - frugalctl import: prompts, and what is known of their answers, go into the store.
 *
 *   files --import_read--> haul --drop what is alike--> domains --sample--> split --> store
 *
 * Nothing is written before all of it is read, and then in one transaction: whole or not at all.
 */
#include <string.h>

#include <jansson.h>

#include "gateway/base/str.h"
#include "tools/ctl/alike.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/cluster.h"
#include "tools/ctl/command.h"
#include "tools/ctl/haul.h"
#include "tools/ctl/import_read.h"
#include "tools/ctl/import_report.h"
#include "tools/ctl/misfits.h"
#include "tools/ctl/plain.h"

struct import_options {
    const char *from, *store, *on_bad, *domain_by;
    int64_t sample, seed;
    double holdout, similarity;
    bool dedupe;
    struct option_list splits;
    bool json;
};

#define AT(member) .offset = offsetof(struct import_options, member)
static const struct option_spec import_specs[] = {
    { .name = "from",
      .kind = OPTION_CHOICE,
      .value = "FORMAT",
      .help = "what the operands are, see above",
      .choices = "openai-jsonl|litellm|decisions|csv|routing",
      .fallback = "routing",
      AT(from) },
    { .name = "store",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "calibration store (SQLite), made when absent",
      .rule = OPTION_REQUIRED,
      AT(store) },
    { .name = "dedupe",
      .kind = OPTION_FLAG,
      .help = "of prompts that say nearly the same the first stays; see --similarity",
      AT(dedupe) },
    { .name = "similarity",
      .kind = OPTION_NUMBER,
      .value = "X",
      .help = "of --dedupe: so large a part of their runs of three words must be shared, "
              "templates that many prompts begin with left aside",
      .fallback = "0.85",
      .min = ALIKE_LEAST,
      .max = 1,
      AT(similarity) },
    { .name = "domain-by",
      .kind = OPTION_TEXT,
      .value = "HOW",
      .help =
          "'field:NAME', a member of the record or of its request (a.b: a member of a "
          "member), or a column; 'cluster' or 'cluster:K', groups of like words, named "
          "by the most telling ones",
      .fallback = "field:domain",
      AT(domain_by) },
    { .name = "sample",
      .kind = OPTION_COUNT,
      .value = "N",
      .help =
          "keep so many prompts, drawn by a hash of what they say, each domain with its "
          "share; 0: all",
      .fallback = "0",
      .max = 1e9,
      AT(sample) },
    { .name = "seed",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "of --sample: another seed draws others, the same one the same",
      .fallback = "1",
      .max = 1e15,
      AT(seed) },
    { .name = "holdout",
      .kind = OPTION_NUMBER,
      .value = "SHARE",
      .help =
          "prompts without a split get the split dev, so large a share of them, or "
          "calib; "
          "by a hash of what they say, so that a log that has grown agrees. -1: what is "
          "new is calib, what the store knows stays",
      .fallback = "-1",
      .min = -1,
      .max = 1,
      AT(holdout) },
    { .name = "on-bad",
      .kind = OPTION_CHOICE,
      .value = "WHAT",
      .help = "a record that cannot be read: skip it, count it and show it, or stop with "
              "nothing written; default: skip, and of a folder stop",
      .choices = "skip|stop",
      AT(on_bad) },
    { .name = "split",
      .kind = OPTION_LIST,
      .value = "NAMES",
      .help = "of a folder: only prompts of these splits, separated by commas; all when "
              "absent",
      AT(splits) },
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "print one JSON document instead of a table",
      AT(json) },
};

struct import {
    const struct import_options *options;
    const char *domain_field; /* "": none is read */
    bool cluster;
    size_t clusters; /* 0: as many as there seem to be */
    struct haul haul;
    struct misfits misfits;
    struct import_counts counts;
};

static enum fault_err read_file(struct import *import, const char *path,
                                struct fault *fault)
{
    struct import_reading reading = { .path = path,
                                      .domain_field = import->domain_field,
                                      .haul = &import->haul,
                                      .misfits = &import->misfits };
    const char *from = import->options->from;
    enum fault_err err;

    progress_init(&reading.bar, "reading", 1);
    if (strcmp(from, "csv") == 0)
        err = import_read_csv(&reading, fault);
    else if (strcmp(from, "decisions") == 0)
        err = import_read_decisions(&reading, fault);
    else
        err = import_read_log(
            &reading, strcmp(from, "litellm") == 0 ? LOG_LITELLM : LOG_OPENAI, fault);
    progress_end(&reading.bar);
    import->counts.records += reading.records;
    return err;
}

static enum fault_err nothing_there(const struct import *import, struct fault *fault)
{
    const struct misfits *misfits = &import->misfits;

    if (misfits->n > 0)
        return fault_set(fault, FAULT_INPUT, "no record can be taken; the first: %s",
                         misfits->shown[0]);
    if (misfits->n_kinds > 0)
        return fault_set(fault, FAULT_INPUT, "no record has a prompt for us; %zu: %s",
                         misfits->left_out[0].n, misfits->left_out[0].why);
    return fault_set(fault, FAULT_INPUT, "there is no prompt in it");
}

/* --domain-by */
static enum fault_err take_domain_by(struct import *import, struct fault *fault)
{
    const char *how = import->options->domain_by;
    uint64_t clusters = 0;

    import->domain_field = "";
    import->cluster = strcmp(how, "cluster") == 0;
    if (import->cluster)
        return FAULT_OK;
    if (strcmp(how, "field") == 0) {
        import->domain_field = "domain";
    } else if (str_starts(str_of(how), "field:") && how[6] != '\0') {
        import->domain_field = how + 6;
    } else if (str_starts(str_of(how), "cluster:") &&
               str_to_u64(str_of(how + 8), &clusters) == ERR_OK && clusters > 0 &&
               clusters <= CLUSTER_LIMIT) {
        import->cluster = true;
        import->clusters = (size_t)clusters;
    } else {
        return fault_set(fault, FAULT_USAGE,
                         "--domain-by: '%s' is neither field:NAME nor cluster nor "
                         "cluster:K, for K from 1 to %d",
                         how, CLUSTER_LIMIT);
    }
    return FAULT_OK;
}

/* What prompts say, compared with each other. */
static enum fault_err compare(struct import *import, struct fault *fault)
{
    struct plain plain = { .n = 0 };
    enum fault_err err = FAULT_OK;

    if (!import->options->dedupe && !import->cluster)
        return FAULT_OK;
    err = plain_cut(&import->haul, &plain, fault);
    if (err == FAULT_OK && import->options->dedupe)
        alike_drop(&import->haul, &plain, import->options->similarity);
    if (err == FAULT_OK && import->cluster)
        err = cluster_domains(&import->haul, &plain, import->clusters, fault);
    plain_release(&plain);
    return err;
}

static enum fault_err choose(struct import *import, struct fault *fault)
{
    const struct import_options *options = import->options;

    import->counts.lost_answers = haul_settle(&import->haul);
    enum fault_err err = compare(import, fault);
    if (err != FAULT_OK)
        return err;
    haul_sample(&import->haul, (size_t)options->sample, (uint64_t)options->seed);
    if (options->holdout >= 0)
        haul_hold_out(&import->haul, options->holdout);
    return FAULT_OK;
}

static enum fault_err write_all(struct import *import, struct fault *fault)
{
    struct calib *store = NULL;
    struct progress bar;
    enum fault_err err = calib_open(import->options->store, CALIB_CREATE, &store, fault);

    progress_init(&bar, "writing", 1);
    if (err == FAULT_OK)
        err = calib_begin(store, fault);
    if (err == FAULT_OK)
        err = haul_write(&import->haul, store, HAUL_CALIB, &bar, fault);
    if (err == FAULT_OK)
        err = calib_commit(store, fault);
    progress_end(&bar);
    calib_close(store);
    return err;
}

static enum fault_err import_records(const struct import_options *options,
                                     const char *const *operands, size_t n_operands,
                                     struct fault *fault)
{
    struct import import = { .options = options };
    enum fault_err err = take_domain_by(&import, fault);

    haul_init(&import.haul);
    misfits_init(&import.misfits,
                 options->on_bad != NULL && strcmp(options->on_bad, "stop") == 0);
    for (size_t i = 0; err == FAULT_OK && i < n_operands; i++)
        err = read_file(&import, operands[i], fault);
    if (err == FAULT_OK && import.haul.n == 0)
        err = nothing_there(&import, fault);
    if (err == FAULT_OK)
        err = choose(&import, fault);
    if (err == FAULT_OK)
        err = write_all(&import, fault);
    if (err == FAULT_OK) {
        misfits_print(&import.misfits, stderr);
        import_report(&import.haul, &import.misfits, &import.counts, options->store,
                      options->json);
    }
    misfits_release(&import.misfits);
    haul_release(&import.haul);
    return err;
}

static enum fault_err import_folder(const struct import_options *options,
                                    const char *const *operands, size_t n_operands,
                                    struct fault *fault)
{
    if (n_operands != 1)
        return fault_set(fault, FAULT_USAGE, "--from routing takes one folder");
    if (options->on_bad != NULL && strcmp(options->on_bad, "skip") == 0)
        return fault_set(
            fault, FAULT_USAGE,
            "--on-bad skip: a folder's files belong together, so it is taken "
            "whole or not at all");
    if (options->sample > 0 || options->holdout >= 0 || options->dedupe ||
        strcmp(options->domain_by, "field:domain") != 0)
        return fault_set(
            fault, FAULT_USAGE,
            "--sample, --dedupe, --domain-by and --holdout are not for a folder: its "
            "prompts.jsonl says domains and splits");
    return import_routing(operands[0], options->store, options->splits.items,
                          options->splits.count, options->json, fault);
}

static enum fault_err import_run(const void *given, const char *const *operands,
                                 size_t n_operands, struct fault *fault)
{
    const struct import_options *options = given;

    if (strcmp(options->from, "routing") == 0)
        return import_folder(options, operands, n_operands, fault);
    if (options->splits.count > 0)
        return fault_set(fault, FAULT_USAGE, "--split is for --from routing alone");
    return import_records(options, operands, n_operands, fault);
}

const struct command command_import = {
    .operands = "FILE..",
    .about =
        "Brings prompts into the calibration store, with what is known of their "
        "answers:\n"
        "\n"
        "  openai-jsonl  a line each: a batch's request or its output, a request with "
        "its\n"
        "                response, {\"messages\": [..]}, or an example for fine-tuning, "
        "whose\n"
        "                last assistant turn becomes the reference\n"
        "  litellm       LiteLLM's spend log or standard log payloads, as JSON lines or "
        "as\n"
        "                a list; with store_prompts_in_spend_logs\n"
        "  decisions     the gateway's own database, beside a running gateway, where it "
        "keeps\n"
        "                prompts (\"keep_prompts\"); a domain is a tag, policy or "
        "expert\n"
        "  csv           a header with prompt (or messages), and where there are such: "
        "id,\n"
        "                domain, reference, grade, split, and of an expert NAME "
        "quality:NAME,\n"
        "                answer:NAME, input_tokens:NAME, output_tokens:NAME, "
        "cost_usd:NAME,\n"
        "                latency_ms:NAME\n"
        "  routing       a folder of outcomes: models.json (prices in USD per million\n"
        "                tokens), prompts.jsonl (id, prompt, domain, split), quality.csv "
        "(id\n"
        "                and one column per model, 0 to 1, empty where not known), "
        "cost.csv\n"
        "                (the same shape, micro-USD per answer)\n"
        "\n"
        "'-' reads standard input. Answers in a log are kept as those of the expert "
        "that\n"
        "the client named, so that nobody pays for them again; the same prompt in "
        "several\n"
        "records is one prompt. What is wrong is said with file and line. All is "
        "written\n"
        "or nothing is; importing the same again changes nothing.\n",
    .options = { import_specs, ARRAY_LEN(import_specs) },
    .options_bytes = sizeof(struct import_options),
    .min_operands = 1,
    .max_operands = 64,
    .run = import_run,
};
