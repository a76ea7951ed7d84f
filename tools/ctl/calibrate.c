/* calibrate.c - frugalctl calibrate: every expert answers every prompt, and each answer is
 * on disk before the next is paid for.
 *
 *   prompts.jsonl --> store.prompts --+
 *   store.answers (of earlier runs) --+--> what is missing --> phase --> answers, cells
 *                                                                |
 *                                  SIGINT, kill: finish what is in flight, then stop
 *
 * All of it but the waiting happens in a child that outlives a kill of the command
 * (shelter.h), and one run at a time asks for a store (claim.h).
 *
 * The phases are run one after the other by the same asker; phase.h is the seam.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "gateway/base/money.h"
#include "gateway/io/signals.h"
#include "tools/ctl/asker.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/claim.h"
#include "tools/ctl/command.h"
#include "tools/ctl/estimate.h"
#include "tools/ctl/grader.h"
#include "tools/ctl/informative.h"
#include "tools/ctl/judging.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/network.h"
#include "tools/ctl/phase.h"
#include "tools/ctl/report.h"
#include "tools/ctl/shelter.h"
#include "tools/ctl/worklist.h"

struct calibrate_options {
    const char *config, *prompts, *store, *grade;
    const char *expert;
    struct option_list experts;
    int64_t concurrency, repeat, limit, attempts, output_tokens;
    int64_t max_pico;
    bool by_expert, estimate, ask_again, json;
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
      .help = "prompts with references, one JSON object a line, - is standard input; "
              "every prompt of the store when absent",
      AT(prompts) },
    { .name = "store",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "calibration store (SQLite), made when absent",
      .rule = OPTION_REQUIRED,
      AT(store) },
    { .name = "grade",
      .kind = OPTION_TEXT,
      .value = "HOW",
      .help = "a grader, see above, for prompts that have no 'grade' of their own",
      AT(grade) },
    { .name = "experts",
      .kind = OPTION_LIST,
      .value = "NAMES",
      .help = "only these experts; every expert with a generator when absent",
      AT(experts) },
    { .name = "expert",
      .kind = OPTION_TEXT,
      .value = "NAME",
      .help =
          "only this one, new to the store, the most informative prompts first: where "
          "the others disagree or fail, spread over all",
      AT(expert) },
    { .name = "concurrency",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "questions in flight at each expert; its max_in_flight holds as well",
      .fallback = "8",
      .min = 1,
      .max = 1024,
      AT(concurrency) },
    { .name = "by-expert",
      .kind = OPTION_FLAG,
      .help = "one expert after the other, all its prompts first: where several share a "
              "machine, models are not swapped",
      AT(by_expert) },
    { .name = "repeat",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "ask each prompt so many times; a cell is the mean over its answers",
      .fallback = "1",
      .min = 1,
      .max = WORKLIST_MAX_REPEAT,
      AT(repeat) },
    { .name = "limit",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "only so many prompts of each expert, those that it knows already included",
      .min = 1,
      .max = 1e9,
      AT(limit) },
    { .name = "max-usd",
      .kind = OPTION_USD,
      .value = "USD",
      .help = "never spend more than this in this run, worst cases included; 0: ask only "
              "who is free; no limit when absent",
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
    { .name = "estimate",
      .kind = OPTION_FLAG,
      .help = "ask nobody; say what the run would cost, and how long it would take",
      AT(estimate) },
    { .name = "ask-again",
      .kind = OPTION_FLAG,
      .help = "ask again what was in flight when an earlier run was killed, and may have "
              "been paid for",
      AT(ask_again) },
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "print one JSON document instead of a table",
      AT(json) },
};
#undef AT

struct calibration {
    const struct calibrate_options *options;
    struct config *config;
    struct claim claim;
    struct calib *store;
    struct network network;
    struct asker *asker;
    struct signals *signals;
    struct worklist list;
    struct judging judging;
    struct phase asking, verdicts;
};

/* -- before the first question -- */

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

static enum fault_err open_asker(struct calibration *work, struct fault *fault)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    const struct calibrate_options *options = work->options;
    size_t calls = (size_t)options->concurrency * work->config->n_experts;
    enum fault_err err = network_init(&work->network, (unsigned)calls, fault);

    if (err != FAULT_OK)
        return err;
    struct asker_settings settings = {
        .loop = work->network.loop,
        .http = work->network.http,
        .config = work->config,
        .concurrency = (size_t)options->concurrency,
        .by_expert = options->by_expert,
        .attempts = (unsigned)options->attempts,
        .ceiling_pico = options->max_pico,
    };
    work->asker = asker_new(&settings);
    if (signals_new(work->network.loop, numbers, ARRAY_LEN(numbers), on_signal, work,
                    &work->signals) != LOOP_OK)
        return fault_set(fault, FAULT_IO, "cannot watch signals");
    return FAULT_OK;
}

/* The column of --expert, or those of --experts. */
static enum fault_err open_experts(struct calibration *work, struct fault *fault)
{
    const struct calibrate_options *options = work->options;

    if (options->expert == NULL)
        return worklist_open(&work->list, &options->experts, fault);
    char *name = memory_text(options->expert);
    struct option_list one = { .items = &name, .count = 1 };
    enum fault_err err = worklist_open(&work->list, &one, fault);
    if (err == FAULT_OK)
        err = informative_plan(
            &work->list, (size_t)config_find_expert(work->config, str_of(name)), fault);
    free(name);
    return err;
}

static enum fault_err open_list(struct calibration *work, struct fault *fault)
{
    const struct calibrate_options *options = work->options;
    enum fault_err err;

    work->list.config = work->config;
    work->list.store = work->store;
    work->list.grade = options->grade;
    work->list.output_tokens = options->output_tokens;
    work->list.repeat = (size_t)options->repeat;
    work->list.limit = (size_t)options->limit;
    if (options->prompts != NULL)
        err = worklist_read(&work->list, options->prompts, fault);
    else
        err = worklist_load(&work->list, fault);
    if (err == FAULT_OK)
        err = open_experts(work, fault);
    if (err == FAULT_OK)
        err = judging_open(&work->judging, &work->list, fault);
    return err;
}

/* -- before a cent is spent -- */

static enum fault_err estimate_phases(struct calibration *work, struct fault *fault)
{
    struct estimate_settings settings = {
        .config = work->config,
        .store = work->store,
        .concurrency = (size_t)work->options->concurrency,
        .by_expert = work->options->by_expert,
        .ask_again = work->options->ask_again,
        .max_pico = work->options->max_pico,
    };
    struct estimate *estimate = NULL;
    enum fault_err err = estimate_new(&settings, &estimate, fault);

    if (err == FAULT_OK)
        err = estimate_asking(estimate, &work->list, fault);
    if (err == FAULT_OK)
        err = judging_estimate(&work->judging, estimate, settings.ask_again, fault);
    if (err == FAULT_OK && work->options->json)
        report_print_json(estimate_json(estimate));
    else if (err == FAULT_OK)
        estimate_print(estimate);
    estimate_free(estimate);
    return err;
}

/* -- the phases -- */

/* Between two answers of a program signals have their turn. */
static bool stop_wanted(void *context)
{
    struct calibration *work = context;

    loop_turn(work->network.loop, 0);
    return asker_stopped(work->asker);
}

/* What is known becomes quality also when the run was stopped. */
static enum fault_err grade_all(struct calibration *work, const struct phase_crew *crew,
                                struct fault *fault)
{
    enum fault_err err = FAULT_OK;

    if (!asker_stopped(work->asker))
        err = judging_programs(&work->judging, stop_wanted, work, fault);
    if (err == FAULT_OK)
        err = judging_phase(&work->judging, &work->verdicts, fault);
    if (err == FAULT_OK && !asker_stopped(work->asker))
        err = phase_run(&work->verdicts, crew, fault);
    if (err == FAULT_OK)
        err = judging_settle(&work->judging, fault);
    return err;
}

static enum fault_err run_phases(struct calibration *work, struct phase_crew *crew,
                                 struct fault *fault)
{
    *crew = (struct phase_crew){
        .config = work->config,
        .store = work->store,
        .asker = work->asker,
        .ask_again = work->options->ask_again,
    };
    worklist_phase(&work->list, &work->asking);
    enum fault_err err = phase_run(&work->asking, crew, fault);
    if (err == FAULT_OK && judging_needed(&work->judging))
        err = grade_all(work, crew, fault);
    return err;
}

/* -- the end -- */

static void print_summary(struct calibration *work)
{
    const struct worklist *list = &work->list;
    const struct phase *asking = &work->asking;
    int64_t spent = asker_spent_pico(work->asker), bound = asker_bound_pico(work->asker);
    char usd[MONEY_TEXT_BYTES], most[MONEY_TEXT_BYTES];
    struct report *report = worklist_report(list, work->asker);

    if (work->options->json) {
        report_print_json(json_pack(
            "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:o, s:o}", "store",
            work->options->store, "prompts", (json_int_t)list->n_prompts, "questions",
            (json_int_t)list->questions, "answered_before", (json_int_t)list->before,
            "answered", (json_int_t)asking->answered, "missing",
            (json_int_t)phase_missing(asking), "in_doubt", (json_int_t)asking->doubtful,
            "in_doubt_bound_usd", money_to_usd(asking->doubt_pico), "spent_usd",
            money_to_usd(spent), "spent_bound_usd", money_to_usd(bound), "experts",
            report_json(report), "graded", judging_json(&work->judging)));
    } else {
        (void)printf(
            "%zu prompts, %zu questions: %zu answered before, %zu now for %s USD",
            list->n_prompts, list->questions, list->before, asking->answered,
            money_format(spent, usd));
        if (bound > spent)
            (void)printf(" (at most %s)", money_format(bound, most));
        (void)printf(", %zu missing -> %s\n", phase_missing(asking),
                     work->options->store);
        if (asking->doubtful > 0)
            (void)printf("%zu of the missing were in flight when an earlier run was "
                         "killed, for at most %s USD; --ask-again asks them\n",
                         asking->doubtful, money_format(asking->doubt_pico, usd));
        (void)putchar('\n');
        judging_print(&work->judging);
        report_print(report);
    }
    report_free(report);
}

static void say_given_up(const struct calibration *work)
{
    for (size_t i = 0; i < work->config->n_experts; i++) {
        const char *why = asker_given_up(work->asker, i);
        if (why != NULL)
            (void)fprintf(stderr, "frugalctl calibrate: expert '%s' was given up: %s\n",
                          work->config->experts[i].name, why);
    }
}

static void release(struct calibration *work)
{
    signals_free(work->signals);
    asker_free(work->asker);
    network_release(&work->network);
    judging_release(&work->judging);
    worklist_release(&work->list);
    calib_close(work->store);
    claim_release(&work->claim);
    config_unref(work->config);
}

/* Asks and reports. */
static enum fault_err run(struct calibration *work, struct fault *fault)
{
    struct phase_crew crew;
    enum fault_err err = shelter_close(fault);

    if (err == FAULT_OK)
        err = open_asker(work, fault);
    if (err == FAULT_OK)
        err = run_phases(work, &crew, fault);
    if (err != FAULT_OK)
        return err;
    print_summary(work);
    say_given_up(work);
    err = phase_verdict(&work->asking, &crew, fault);
    if (err == FAULT_OK)
        err = phase_verdict(&work->verdicts, &crew, fault);
    if (err == FAULT_OK && !asker_stopped(work->asker))
        err = judging_outcome(&work->judging, fault);
    return err;
}

static enum fault_err calibrate_run(const void *given, const char *const *operands,
                                    size_t n_operands, struct fault *fault)
{
    struct calibration work = { .options = given };
    bool asks = !work.options->estimate;

    (void)operands;
    (void)n_operands;
    if (work.options->expert != NULL && work.options->experts.count > 0)
        return fault_set(fault, FAULT_USAGE, "--expert and --experts exclude each other");
    enum fault_err err = network_config(work.options->config, &work.config, fault);
    if (err == FAULT_OK && asks)
        err = shelter_enter(fault);
    if (err == FAULT_OK && asks)
        err = claim_take(work.options->store, &work.claim, fault);
    if (err == FAULT_OK)
        err = calib_open(work.options->store, CALIB_CREATE, &work.store, fault);
    if (err == FAULT_OK)
        err = open_list(&work, fault);
    if (err == FAULT_OK)
        err = asks ? run(&work, fault) : estimate_phases(&work, fault);
    release(&work);
    return err;
}

const struct command command_calibrate = {
    .operands = "",
    .about =
        "Asks every expert with a generator in the configuration each prompt once, at\n"
        "the same time as far as --concurrency and max_in_flight allow, grades the "
        "answers\n"
        "and keeps answers, usage, cost and latency in the store. --estimate says first\n"
        "what that costs and how long it takes.\n\n"
        "What is in the store is never asked again: after Ctrl-C, a kill or --max-usd "
        "the\n"
        "same command goes on where it ended. Ctrl-C waits for the answers that are "
        "under\n"
        "way; so does a process that outlives the command when it is killed. Old "
        "answers\n"
        "are graded again, which costs nothing. What failed is asked last.\n\n"
        "A line of the prompts: {\"id\": .., \"prompt\": .. (or \"messages\": [..]),\n"
        "\"reference\": .., \"grade\": HOW, \"domain\": ..}. HOW is one of\n" GRADE_HELP
        "\nA judge is blind to who answered; the settings behind its name, with commas:\n"
        "  rubric         one answer at a time, 0 to 10 (the default)\n"
        "  pairwise       two answers at a time, in both orders: a win counts only "
        "where\n"
        "                 both agree; quality is the chance to be preferred\n"
        "  opponents=N    pairwise: so many for each expert (2)\n"
        "  against=NAME   pairwise: all others against this expert\n"
        "  criteria=FILE  what counts, in your words\n"
        "  tokens=N       output limit of a verdict (512)\n"
        "Verdicts are paid for and kept: nothing is judged twice. Words without a "
        "verdict\n"
        "are asked for once more and leave the quality missing then. agree: compares "
        "the\n"
        "letter, number or few words of the trusted expert's answer; longer ones by "
        "judge=,\n"
        "else by their wording (ROUGE-L).\n\n"
        "cmd: starts the program once and gives it a line for each answer,\n"
        "  {\"id\", \"prompt\", \"messages\", \"reference\", \"answer\"}\n"
        "and reads one, {\"id\", \"quality\": 0..1 or null, \"note\"}, within a minute.\n"
        "One that crashes loses that answer's quality and is started again. A prompt's "
        "own\n"
        "'grade' runs a program only where --grade is the same. A judge or a program "
        "that\n"
        "graded none of its answers is exit code 1, one that left out some a warning.\n",
    .options = { calibrate_specs, ARRAY_LEN(calibrate_specs) },
    .options_bytes = sizeof(struct calibrate_options),
    .run = calibrate_run,
};
