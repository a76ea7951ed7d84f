/* worklist_cells.c - what the answers to a prompt come to: samples, their means, the report. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"
#include "tools/ctl/worklist.h"

struct worklist_sample *worklist_sample(const struct worklist *work, size_t expert,
                                        size_t prompt, size_t sample)
{
    return &work->experts[expert].samples[prompt * work->n_samples + sample];
}

/* Mean of what is known; NAN: nothing is. */
struct mean {
    double sum;
    size_t n;
};

static void mean_add(struct mean *mean, double value)
{
    if (isnan(value))
        return;
    mean->sum += value;
    mean->n++;
}

static double mean_of(const struct mean *mean)
{
    return mean->n > 0 ? mean->sum / (double)mean->n : NAN;
}

bool worklist_cell(const struct worklist *work, size_t expert, size_t prompt,
                   struct calib_cell *ret_cell)
{
    struct mean quality = { 0 }, input = { 0 }, output = { 0 }, latency = { 0 };
    int64_t cost_pico = 0, n_priced = 0;
    size_t n = 0;

    for (size_t i = 0; i < work->n_samples; i++) {
        const struct worklist_sample *sample = worklist_sample(work, expert, prompt, i);
        if (!sample->known)
            continue;
        n++;
        mean_add(&quality, sample->quality);
        mean_add(&input, sample->input_tokens);
        mean_add(&output, sample->output_tokens);
        mean_add(&latency, sample->latency_ms);
        if (sample->cost_pico != MONEY_NONE) {
            cost_pico = money_add(cost_pico, sample->cost_pico);
            n_priced++;
        }
    }
    if (n == 0)
        return false;
    *ret_cell = (struct calib_cell){
        .quality = mean_of(&quality),
        .input_tokens = mean_of(&input),
        .output_tokens = mean_of(&output),
        .latency_ms = mean_of(&latency),
        .cost_pico = n_priced > 0 ? cost_pico / n_priced : MONEY_NONE,
    };
    return true;
}

enum fault_err worklist_put_cell(struct worklist *work, size_t expert, size_t prompt,
                                 struct fault *fault)
{
    struct calib_cell cell;

    if (!worklist_cell(work, expert, prompt, &cell))
        return FAULT_OK;
    cell.grader = grader_spec(work->prompts[prompt].grader);
    return calib_put_cell(work->store, work->prompts[prompt].row,
                          work->experts[expert].row, &cell, fault);
}

enum fault_err worklist_quality(struct worklist *work, size_t expert, size_t prompt,
                                size_t sample, double quality, struct fault *fault)
{
    worklist_sample(work, expert, prompt, sample)->quality = quality;
    return worklist_put_cell(work, expert, prompt, fault);
}

void worklist_take(struct worklist *work, size_t expert, size_t prompt,
                   const struct calib_answer *answer)
{
    const struct worklist_prompt *asked = &work->prompts[prompt];
    struct grade_subject subject = { asked->text, asked->reference, answer->text };
    bool at_once = grader_is_free(asked->grader);

    *worklist_sample(work, expert, prompt, (size_t)answer->sample) =
        (struct worklist_sample){
            .known = true,
            .quality = at_once ? grader_grade(asked->grader, &subject) : NAN,
            .input_tokens = answer->input_tokens,
            .output_tokens = answer->output_tokens,
            .latency_ms = answer->latency_ms,
            .cost_pico = answer->cost_pico,
            .empty = str_trim(str_of(answer->text)).n == 0,
            .cut = answer->finish_reason != NULL &&
                   strcmp(answer->finish_reason, "length") == 0,
        };
}

/* -- the report -- */

static void report_expert(const struct worklist *work, size_t expert,
                          struct report_line *line)
{
    struct calib_cell cell;

    for (size_t prompt = 0; prompt < work->n_prompts; prompt++) {
        if (!worklist_cell(work, expert, prompt, &cell))
            continue;
        report_add(line, cell.quality, cell.cost_pico, cell.latency_ms);
        for (size_t i = 0; i < work->n_samples; i++) {
            const struct worklist_sample *sample =
                worklist_sample(work, expert, prompt, i);
            if (!sample->known)
                continue;
            report_answer(line, sample->latency_ms, sample->output_tokens);
            line->empty += sample->empty;
            line->cut += sample->cut;
        }
    }
}

struct report *worklist_report(const struct worklist *work, const struct asker *asker)
{
    struct report *report = report_new(work->config->n_experts);

    report->n_lines = 0;
    for (size_t i = 0; i < work->config->n_experts; i++) {
        if (!work->experts[i].wanted)
            continue;
        struct report_line *line = &report->lines[report->n_lines++];
        line->name = work->config->experts[i].name;
        line->failed = work->experts[i].failed;
        line->busy_tokens = work->experts[i].tokens;
        line->busy_ms = asker != NULL ? asker_busy_ms(asker, i) : 0;
        report_expert(work, i, line);
    }
    return report;
}
