/* calibrate.c - frugalctl calibrate: every expert answers every prompt once, and each
 * answer is on disk before the next is paid for.
 *
 *   prompts.jsonl --> store.prompts --+
 *   store.answers (of earlier runs) --+--> what is missing --> asker --> answers, cells
 *                                                                 |
 *                                          SIGINT: finish what is in flight, then stop
 */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "gateway/base/money.h"
#include "gateway/io/signals.h"
#include "tools/ctl/asker.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/command.h"
#include "tools/ctl/grade.h"
#include "tools/ctl/network.h"
#include "tools/ctl/progress.h"
#include "tools/ctl/report.h"
#include "tools/ctl/worklist.h"

struct calibrate_options {
    const char *config, *prompts, *store, *grade;
    struct option_list experts;
    int64_t concurrency, attempts, output_tokens;
    int64_t max_pico;
    bool json;
};

#define AT(member) .offset = offsetof(struct calibrate_options, member)
static const struct option_spec calibrate_specs[] = {
    { .name = "config",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "the gateway's configuration: who is asked, at what price",
      .rule = OPTION_REQUIRED,
      AT(config) },
    { .name = "prompts",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "prompts with references, one JSON object a line; - is standard input",
      .rule = OPTION_REQUIRED,
      AT(prompts) },
    { .name = "store",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "calibration store (SQLite), made when absent",
      .rule = OPTION_REQUIRED,
      AT(store) },
    { .name = "grade",
      .kind = OPTION_CHOICE,
      .value = "HOW",
      .help = "exact or number, for prompts that have no 'grade' of their own",
      .choices = GRADE_CHOICES,
      AT(grade) },
    { .name = "experts",
      .kind = OPTION_LIST,
      .value = "NAMES",
      .help = "only these experts; every expert with a generator when absent",
      AT(experts) },
    { .name = "concurrency",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "questions in flight at once; an expert's max_in_flight holds as well",
      .fallback = "8",
      .min = 1,
      .max = 1024,
      AT(concurrency) },
    { .name = "max-usd",
      .kind = OPTION_USD,
      .value = "USD",
      .help = "never spend more than this in this run, worst cases included",
      AT(max_pico) },
    { .name = "max-output-tokens",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "output limit of each answer",
      .fallback = "1024",
      .min = 1,
      .max = 1000000,
      AT(output_tokens) },
    { .name = "attempts",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "calls for one question before it counts as failed",
      .fallback = "4",
      .min = 1,
      .max = 20,
      AT(attempts) },
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "print one JSON document instead of a table",
      AT(json) },
};
#undef AT

struct calibration {
    const struct calibrate_options *options;
    struct config *config;
    struct calib *store;
    struct network network;
    struct asker *asker;
    struct worklist list;
    size_t answered, failed;
    struct progress bar;
    struct signals *signals;
    enum fault_err err; /* of the store, inside a callback */
    struct fault *fault;
    char example[600]; /* the last failure of a question, for the person */
};

/* -- asking -- */

static bool next_question(void *context, size_t expert,
                          struct asker_question *ret_question)
{
    struct calibration *work = context;
    struct asker_question question = { .expert = expert };

    if (work->err != FAULT_OK || !worklist_next(&work->list, expert, &question.prompt))
        return false;
    work->err =
        question_new(NULL, work->list.prompts[question.prompt].messages,
                     work->options->output_tokens, &question.question, work->fault);
    if (work->err != FAULT_OK)
        return false;
    *ret_question = question;
    return true;
}

static void show(struct calibration *work)
{
    char note[80];

    (void)snprintf(note, sizeof(note), "%zu/%zu  $%.4f%s",
                   work->list.before + work->answered + work->failed,
                   work->list.questions, money_to_usd(asker_spent_pico(work->asker)),
                   asker_stopped(work->asker) ? "  stopping" : "");
    progress_set(&work->bar, (double)(work->list.before + work->answered + work->failed),
                 note);
}

static void on_answered(void *context, const struct asker_question *question,
                        const struct asker_answer *answer)
{
    struct calibration *work = context;

    if (work->err == FAULT_OK && (answer->ok || answer->lost_pico > 0))
        work->err = worklist_keep(&work->list, question, answer, work->fault);
    if (answer->ok) {
        work->answered++;
    } else {
        work->failed++;
        work->list.report->lines[question->expert].failed++;
        (void)snprintf(work->example, sizeof(work->example),
                       "expert '%s', prompt '%s': %s",
                       work->config->experts[question->expert].name,
                       work->list.prompts[question->prompt].id, answer->error);
    }
    question_free(question->question);
    show(work);
    if (work->err != FAULT_OK && !asker_stopped(work->asker))
        asker_stop(work->asker);
}

static void on_signal(void *arg, int number)
{
    struct calibration *work = arg;

    (void)number;
    if (!asker_stopped(work->asker))
        (void)fprintf(stderr,
                      "\nstopping: waiting for %zu answers that are paid for; once more "
                      "drops them\n",
                      asker_in_flight(work->asker));
    asker_stop(work->asker);
}

static enum fault_err open_network(struct calibration *work, struct fault *fault)
{
    static const int numbers[] = { SIGINT, SIGTERM };
    enum fault_err err =
        network_init(&work->network, (unsigned)work->options->concurrency, fault);

    if (err != FAULT_OK)
        return err;
    if (signals_new(work->network.loop, numbers, ARRAY_LEN(numbers), on_signal, work,
                    &work->signals) != LOOP_OK)
        return fault_set(fault, FAULT_IO, "cannot watch signals");
    return FAULT_OK;
}

static enum fault_err open_list(struct calibration *work, struct fault *fault)
{
    work->list.config = work->config;
    work->list.store = work->store;
    work->list.grade = work->options->grade;
    enum fault_err err = worklist_read(&work->list, work->options->prompts, fault);
    if (err == FAULT_OK)
        err = worklist_open(&work->list, &work->options->experts, fault);
    return err;
}

static enum fault_err ask_all(struct calibration *work, struct fault *fault)
{
    static const struct asker_source source = { next_question, on_answered };
    const struct calibrate_options *options = work->options;
    struct asker_settings settings = {
        .loop = work->network.loop,
        .http = work->network.http,
        .config = work->config,
        .concurrency = (size_t)options->concurrency,
        .attempts = (unsigned)options->attempts,
        .ceiling_pico = options->max_pico > 0 ? options->max_pico : MONEY_NONE,
    };

    work->fault = fault;
    work->asker = asker_new(&settings, &source, work);
    progress_init(&work->bar, "asking", (double)work->list.questions);
    progress_resume(&work->bar, (double)work->list.before);
    show(work);
    asker_run(work->asker);
    progress_end(&work->bar);
    return work->err;
}

/* -- the end -- */

/* Lines of experts that were not asked for leave the report. */
static void trim_report(struct calibration *work)
{
    size_t kept = 0;

    for (size_t i = 0; i < work->list.report->n_lines; i++) {
        if (work->list.experts[i].wanted)
            work->list.report->lines[kept++] = work->list.report->lines[i];
    }
    work->list.report->n_lines = kept;
}

static void print_summary(struct calibration *work)
{
    const struct worklist *list = &work->list;
    size_t missing = list->questions - list->before - work->answered;
    int64_t spent = asker_spent_pico(work->asker), bound = asker_bound_pico(work->asker);
    char usd[MONEY_TEXT_BYTES], most[MONEY_TEXT_BYTES];

    trim_report(work);
    if (work->options->json) {
        report_print_json(json_pack(
            "{s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:o}", "store",
            work->options->store, "prompts", (json_int_t)list->n_prompts, "questions",
            (json_int_t)list->questions, "answered_before", (json_int_t)list->before,
            "answered", (json_int_t)work->answered, "missing", (json_int_t)missing,
            "spent_usd", money_to_usd(spent), "spent_bound_usd", money_to_usd(bound),
            "experts", report_json(list->report)));
        return;
    }
    (void)printf("%zu prompts, %zu questions: %zu answered before, %zu now for %s USD",
                 list->n_prompts, list->questions, list->before, work->answered,
                 money_format(spent, usd));
    if (bound > spent)
        (void)printf(" (at most %s)", money_format(bound, most));
    (void)printf(", %zu missing -> %s\n\n", missing, work->options->store);
    report_print(list->report);
}

static enum fault_err judge(struct calibration *work, struct fault *fault)
{
    size_t missing = work->list.questions - work->list.before - work->answered;

    for (size_t i = 0; i < work->config->n_experts; i++) {
        const char *why = asker_given_up(work->asker, i);
        if (why != NULL)
            (void)fprintf(stderr, "frugalctl calibrate: expert '%s' was given up: %s\n",
                          work->config->experts[i].name, why);
    }
    if (missing == 0)
        return FAULT_OK;
    if (asker_short(work->asker))
        return fault_set(fault, FAULT_STOPPED,
                         "--max-usd is reached, %zu questions are not answered; run "
                         "again to go on",
                         missing);
    if (asker_stopped(work->asker))
        return fault_set(fault, FAULT_STOPPED,
                         "stopped, %zu questions are not answered; run again to go on",
                         missing);
    return fault_set(fault, FAULT_EXPERT,
                     "%zu questions have no answer; run again to ask them; the last "
                     "failure: %s",
                     missing, work->example);
}

static void release(struct calibration *work)
{
    signals_free(work->signals);
    asker_free(work->asker);
    network_release(&work->network);
    worklist_release(&work->list);
    calib_close(work->store);
    config_unref(work->config);
}

static enum fault_err calibrate_run(const void *given, const char *const *operands,
                                    size_t n_operands, struct fault *fault)
{
    struct calibration work = { .options = given };

    (void)operands;
    (void)n_operands;
    enum fault_err err = network_config(work.options->config, &work.config, fault);
    if (err == FAULT_OK)
        err = calib_open(work.options->store, CALIB_CREATE, &work.store, fault);
    if (err == FAULT_OK)
        err = open_list(&work, fault);
    if (err == FAULT_OK)
        err = open_network(&work, fault);
    if (err == FAULT_OK)
        err = ask_all(&work, fault);
    if (err == FAULT_OK) {
        print_summary(&work);
        err = judge(&work, fault);
    }
    release(&work);
    return err;
}

const struct command command_calibrate = {
    .operands = "",
    .about =
        "Asks every expert with a generator in the configuration each prompt of the "
        "file\n"
        "once, at the same time as far as --concurrency and max_in_flight allow, grades\n"
        "the answers against the prompt's reference and keeps answers, usage, cost and\n"
        "latency in the store. What is in the store is never asked again: after Ctrl-C,\n"
        "a crash or --max-usd the same command goes on where it ended. Old answers are\n"
        "graded again, which costs nothing.\n\n"
        "A line of the prompts: {\"id\": .., \"prompt\": .. (or \"messages\": [..]),\n"
        "\"reference\": .., \"grade\": \"exact\" or \"number\", \"domain\": ..}\n"
        "  exact   the answer equals the reference, white space at both ends aside\n"
        "  number  the answer's last number (of \\boxed{}, after ####, or at all) does\n",
    .options = { calibrate_specs, ARRAY_LEN(calibrate_specs) },
    .options_bytes = sizeof(struct calibrate_options),
    .run = calibrate_run,
};
