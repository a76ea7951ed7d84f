/* estimate.c - sums over questions that nobody was asked yet. */
#include "tools/ctl/estimate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/money.h"
#include "gateway/domain/price.h"
#include "gateway/domain/usage.h"
#include "tools/ctl/estimate_private.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/quote.h"

/* -- what is known -- */

static void known_add(struct estimate_known *known, const struct calib_usage *usage)
{
    double output = isnan(usage->output_tokens)
                        ? (double)usage_estimate_tokens((size_t)usage->text_bytes)
                        : usage->output_tokens;

    known->n++;
    known->output_tokens += output;
    known->squares += output * output;
    if (isnan(usage->latency_ms))
        return;
    known->n_timed++;
    known->latency_ms += usage->latency_ms;
}

/* Ordered by prompt. */
static enum fault_err take_usage(void *context, const struct calib_usage *usage,
                                 struct fault *fault)
{
    struct estimate *estimate = context;

    (void)fault;
    if (estimate->n_prompts == 0 ||
        estimate->prompts[estimate->n_prompts - 1].row != usage->prompt) {
        if (estimate->n_prompts == estimate->room) {
            estimate->room = estimate->room > 0 ? estimate->room * 2 : 256;
            estimate->prompts = memory_resize(estimate->prompts, estimate->room,
                                              sizeof(*estimate->prompts));
        }
        estimate->prompts[estimate->n_prompts++] =
            (struct estimate_prompt){ .row = usage->prompt };
    }
    known_add(&estimate->prompts[estimate->n_prompts - 1].known, usage);
    known_add(&estimate->all, usage);
    for (size_t i = 0; i < estimate->settings.config->n_experts; i++) {
        if (estimate->rows[i] == usage->expert)
            known_add(&estimate->experts[i], usage);
    }
    return FAULT_OK;
}

static enum fault_err take_expert(void *context, const struct calib_expert *known,
                                  struct fault *fault)
{
    struct estimate *estimate = context;
    int expert = config_find_expert(estimate->settings.config, str_of(known->name));

    (void)fault;
    if (expert >= 0)
        estimate->rows[expert] = known->expert;
    return FAULT_OK;
}

enum fault_err estimate_new(const struct estimate_settings *settings,
                            struct estimate **ret_estimate, struct fault *fault)
{
    struct estimate *estimate = memory_new(1, sizeof(*estimate));
    size_t n = settings->config->n_experts;

    estimate->settings = *settings;
    estimate->experts = memory_new(n, sizeof(*estimate->experts));
    estimate->rows = memory_new(n, sizeof(*estimate->rows));
    for (size_t i = 0; i < n; i++)
        estimate->rows[i] = -1;
    enum fault_err err = calib_each_expert(settings->store, take_expert, estimate, fault);
    if (err == FAULT_OK)
        err = calib_each_usage(settings->store, take_usage, estimate, fault);
    if (err != FAULT_OK) {
        estimate_free(estimate);
        return err;
    }
    *ret_estimate = estimate;
    return FAULT_OK;
}

void estimate_free(struct estimate *estimate)
{
    if (estimate == NULL)
        return;
    free(estimate->experts);
    free(estimate->rows);
    free(estimate->prompts);
    free(estimate->lines);
    free(estimate);
}

/* -- one answer -- */

static int compare_prompts(const void *a, const void *b)
{
    const struct estimate_prompt *left = a, *right = b;

    return (left->row > right->row) - (left->row < right->row);
}

static double mean_output(const struct estimate_known *known)
{
    return known->output_tokens / (double)known->n;
}

/* Two standard errors of the expert's mean, and of the mean of `calls` answers around it. */
static struct estimate_output measured(const struct estimate_known *known, size_t calls)
{
    double n = (double)known->n, mean = mean_output(known);
    double variance = (known->squares - n * mean * mean) / (n - 1);
    double around =
        variance > 0 && calls > 0 ? 2 * sqrt(variance * (1 / n + 1 / (double)calls)) : 0;

    return (struct estimate_output){ ESTIMATE_MEASURED, mean, mean - around,
                                     mean + around };
}

struct estimate_output estimate_output(const struct estimate *estimate, size_t expert,
                                       int64_t prompt, size_t calls, int64_t limit)
{
    struct estimate_prompt wanted = { .row = prompt };
    const struct estimate_prompt *said = NULL;
    struct estimate_output output = { ESTIMATE_ASSUMED, ESTIMATE_OUTPUT,
                                      ESTIMATE_OUTPUT_LOW, ESTIMATE_OUTPUT_HIGH };
    double most = limit > 0 ? (double)limit : INFINITY;

    if (estimate->n_prompts > 0)
        said = bsearch(&wanted, estimate->prompts, estimate->n_prompts, sizeof(wanted),
                       compare_prompts);
    if (estimate->experts[expert].n >= ESTIMATE_KNOWN) {
        output = measured(&estimate->experts[expert], calls);
    } else if (estimate->all.n >= ESTIMATE_KNOWN) {
        double mean = mean_output(said != NULL ? &said->known : &estimate->all);
        output = (struct estimate_output){ ESTIMATE_OTHERS, mean, mean / 2, mean * 2 };
    }
    output.mean = fmin(output.mean, most);
    output.low = fmin(fmax(output.low, 0), most);
    output.high = fmin(output.high, most);
    return output;
}

static double call_ms(const struct estimate *estimate, size_t expert, double tokens)
{
    const struct estimate_known *own = &estimate->experts[expert];

    if (own->n_timed >= ESTIMATE_KNOWN)
        return own->latency_ms / (double)own->n_timed;
    if (estimate->all.n_timed >= ESTIMATE_KNOWN)
        return estimate->all.latency_ms / (double)estimate->all.n_timed;
    return ESTIMATE_HEAD_MS + ESTIMATE_TOKEN_MS * tokens;
}

/* -- lines -- */

void estimate_calls(struct estimate *estimate, const struct estimate_calls *calls)
{
    const struct config_expert *expert =
        &estimate->settings.config->experts[calls->expert];
    double n = (double)calls->calls;
    double at_once =
        fmin((double)estimate->settings.concurrency, (double)expert->max_in_flight);

    if (calls->calls == 0)
        return;
    if (estimate->n_lines == estimate->room_lines) {
        estimate->room_lines = estimate->room_lines > 0 ? estimate->room_lines * 2 : 16;
        estimate->lines = memory_resize(estimate->lines, estimate->room_lines,
                                        sizeof(*estimate->lines));
    }
    struct estimate_calls *line = &estimate->lines[estimate->n_lines++];
    *line = *calls;
    line->seconds = call_ms(estimate, calls->expert, calls->output_tokens / n) / 1000 *
                    ceil(n / fmin(at_once, n));
}

static int64_t money_of(const struct config_expert *expert, double input, double output)
{
    return quote_tokens(expert, (int64_t)(input + 0.5), (int64_t)(output + 0.5));
}

static void line_add(const struct estimate *estimate, struct estimate_calls *line,
                     const struct question *question, double input,
                     const struct estimate_output *output)
{
    const struct config_expert *expert =
        &estimate->settings.config->experts[line->expert];

    line->basis = output->basis;
    line->calls++;
    line->input_tokens += input;
    line->output_tokens += output->mean;
    line->output_low += output->low;
    line->output_high += output->high;
    line->expected_pico =
        money_add(line->expected_pico, money_of(expert, input, output->mean));
    line->low_pico = money_add(line->low_pico, money_of(expert, input, output->low));
    line->high_pico = money_add(line->high_pico, money_of(expert, input, output->high));
    line->most_pico =
        money_add(line->most_pico, quote_worst(expert, question_chat(question)));
}

/* The prompt as it will be sent, and how many tokens its bytes make. */
static enum fault_err read_prompt(const struct worklist *work, size_t expert,
                                  size_t prompt, struct question **ret_question,
                                  double *ret_tokens, struct fault *fault)
{
    enum fault_err err = question_new(NULL, work->prompts[prompt].messages,
                                      work->output_tokens, ret_question, fault);

    if (err == FAULT_OK)
        *ret_tokens = (double)price_prompt_expected(
            &work->config->experts[expert].generator, question_chat(*ret_question));
    return err;
}

/* Adds what the expert's tokenizer counted, and what the bytes of the same prompts said. */
static enum fault_err add_counted(const struct worklist *work, size_t expert,
                                  double *counted, double *said, struct fault *fault)
{
    for (size_t prompt = 0; prompt < work->n_prompts; prompt++) {
        const struct worklist_sample *sample = worklist_sample(work, expert, prompt, 0);
        struct question *question;
        double tokens;
        if (!sample->known || isnan(sample->input_tokens))
            continue;
        enum fault_err err = read_prompt(work, expert, prompt, &question, &tokens, fault);
        if (err != FAULT_OK)
            return err;
        question_free(question);
        *counted += sample->input_tokens;
        *said += tokens;
    }
    return FAULT_OK;
}

static enum fault_err count_open(const struct estimate *estimate,
                                 const struct worklist *work, size_t expert,
                                 size_t prompt, size_t *ret_open, struct fault *fault)
{
    size_t open = 0;

    for (size_t sample = 0; sample < work->repeat; sample++) {
        bool is_open;
        enum fault_err err = worklist_open_question(
            work, expert, prompt, sample, estimate->settings.ask_again, &is_open, fault);
        if (err != FAULT_OK)
            return err;
        open += is_open;
    }
    *ret_open = open;
    return FAULT_OK;
}

static enum fault_err ask_expert(struct estimate *estimate, const struct worklist *work,
                                 size_t expert, double factor, struct fault *fault)
{
    const struct worklist_expert *state = &work->experts[expert];
    struct estimate_calls line = { .expert = expert, .what = "answers" };
    size_t *open = memory_new(state->n_plan, sizeof(*open)), total = 0;
    enum fault_err err = FAULT_OK;

    for (size_t i = 0; err == FAULT_OK && i < state->n_plan; i++) {
        err = count_open(estimate, work, expert, state->plan[i], &open[i], fault);
        total += open[i];
    }
    for (size_t i = 0; err == FAULT_OK && i < state->n_plan; i++) {
        struct question *question;
        double tokens;
        if (open[i] == 0)
            continue;
        err = read_prompt(work, expert, state->plan[i], &question, &tokens, fault);
        if (err != FAULT_OK)
            break;
        int64_t limit = price_output_limit(&work->config->experts[expert].generator,
                                           question_chat(question), 0);
        struct estimate_output output = estimate_output(
            estimate, expert, work->prompts[state->plan[i]].row, total, limit);
        for (; open[i] > 0; open[i]--)
            line_add(estimate, &line, question, tokens * factor, &output);
        question_free(question);
    }
    free(open);
    if (err == FAULT_OK)
        estimate_calls(estimate, &line);
    return err;
}

enum fault_err estimate_asking(struct estimate *estimate, const struct worklist *work,
                               struct fault *fault)
{
    size_t n = work->config->n_experts;
    double *counted = memory_new(n, sizeof(double)),
           *said = memory_new(n, sizeof(double));
    double all_counted = 0, all_said = 0;
    enum fault_err err = FAULT_OK;

    for (size_t i = 0; err == FAULT_OK && i < n; i++) {
        if (work->experts[i].wanted)
            err = add_counted(work, i, &counted[i], &said[i], fault);
        all_counted += counted[i];
        all_said += said[i];
    }
    for (size_t i = 0; err == FAULT_OK && i < n; i++) {
        double factor = said[i] > 0    ? counted[i] / said[i]
                        : all_said > 0 ? all_counted / all_said
                                       : 1;
        if (work->experts[i].wanted)
            err = ask_expert(estimate, work, i, factor, fault);
    }
    free(counted);
    free(said);
    return err;
}
