/* worklist.h - which expert has still to answer which prompt, and what the answers are
 * worth.
 *
 *      worklist_read(&work, prompts file)         prompts -> store -> work
 *      worklist_load(&work)                       or: every prompt of the store
 *      worklist_open(&work, experts)              answers of earlier runs -> cells
 *      worklist_phase(&work, &phase)              what is missing, as a phase
 *      phase_run(&phase, ...)                     answers -> store, cells
 *      worklist_quality(&work, ...)               a grade that came later -> cell
 *      worklist_report(&work, report)             the cells, summed up
 *      worklist_release(&work)
 *
 * Prompts stand in the order of the store. An answer counts for one upstream model: an
 * expert that has become another model is asked anew. A prompt is asked `repeat` times, all
 * prompts once before any of them twice; its cell is the mean over all samples that the
 * store has, in their order, so that rows do not depend on who answered first. What failed
 * in an earlier run is asked last.
 *
 * Answers of free graders are graded as they come; the quality of others is NAN until
 * worklist_quality says it. A grader that runs a program is taken from `grade` alone: a file
 * of prompts that somebody sent cannot start one.
 */
#ifndef TOOLS_CTL_WORKLIST_H
#define TOOLS_CTL_WORKLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/domain/config.h"
#include "gateway/domain/routing_text.h"
#include "tools/ctl/asker.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/graders.h"
#include "tools/ctl/options.h"
#include "tools/ctl/phase.h"
#include "tools/ctl/report.h"

#define WORKLIST_MAX_REPEAT 64

struct worklist_prompt {
    int64_t row;                 /* in the store */
    char *id, *messages, *text;  /* text: routing text */
    char *reference;             /* NULL: none */
    const struct grader *grader; /* in the work's graders */
};

/* One answer; NAN and MONEY_NONE where not known. */
struct worklist_sample {
    bool known;  /* answered, in this run or before */
    bool failed; /* in an earlier run */
    bool empty;  /* no words */
    bool cut;    /* it ended at its output limit */
    double quality, input_tokens, output_tokens, latency_ms;
    int64_t cost_pico;
};

struct worklist_expert {
    int64_t row;   /* in the store */
    bool wanted;   /* has a generator and is asked for */
    size_t *plan;  /* prompts that are its work, in their order */
    bool *planned; /* per prompt */
    size_t n_plan;
    size_t next;                     /* first question that was not looked at */
    size_t failed;                   /* questions asked in this run, without an answer */
    double tokens;                   /* of the answers of this run */
    struct worklist_sample *samples; /* [prompt * n_samples + sample]; NULL: not wanted */
};

struct worklist {
    const struct config *config;    /* borrowed */
    struct calib *store;            /* borrowed */
    const char *grade;              /* for prompts without their own, or NULL; borrowed */
    int64_t output_tokens;          /* limit of each answer */
    char stamp[ROUTING_TEXT_STAMP]; /* of the prompts' routing texts */
    size_t repeat;                  /* 1..WORKLIST_MAX_REPEAT */
    size_t limit;                   /* prompts of each expert; 0: all */
    struct worklist_prompt *prompts;
    size_t n_prompts, room;
    struct graders graders;
    struct worklist_expert *experts; /* per expert of the configuration */
    size_t n_samples;                /* room for, per prompt; at least repeat */
    size_t questions;                /* planned prompts x repeat, over wanted experts */
    size_t before;                   /* of them, answered in earlier runs */
    size_t reading;                  /* index of the expert whose answers are read */
};

NODISCARD enum fault_err worklist_read(struct worklist *work, const char *path,
                                       struct fault *fault);
NODISCARD enum fault_err worklist_load(struct worklist *work, struct fault *fault);
/* experts: names, or an empty list for every expert with a generator. */
NODISCARD enum fault_err worklist_open(struct worklist *work,
                                       const struct option_list *experts,
                                       struct fault *fault);
/* The prompt of that row of the store, once the work is open. */
bool worklist_find(const struct worklist *work, int64_t row, size_t *ret_prompt);
/* Answers that this run need not ask for. */
size_t worklist_known(const struct worklist *work, size_t expert, size_t prompt);
bool worklist_planned(const struct worklist *work, size_t expert, size_t prompt);
/* Another order of work for an expert, before its first question: all prompts, each once;
 * the first ones up to the limit are planned, after those that it knows already. */
void worklist_plan(struct worklist *work, size_t expert, const size_t *order);
/* Zeroes *ret_phase and fills it; it borrows the work. */
void worklist_phase(struct worklist *work, struct phase *ret_phase);
/* Will it be asked in this run, when its expert and prompt are planned? ask_again: what is
 * in doubt. */
NODISCARD enum fault_err worklist_open_question(const struct worklist *work,
                                                size_t expert, size_t prompt,
                                                size_t sample, bool ask_again,
                                                bool *ret_open, struct fault *fault);
struct worklist_sample *worklist_sample(const struct worklist *work, size_t expert,
                                        size_t prompt, size_t sample);
/* An answer of the store as a sample, graded where that costs nothing. */
void worklist_take(struct worklist *work, size_t expert, size_t prompt,
                   const struct calib_answer *answer);
/* The cell to the store; nothing where it has no sample. */
NODISCARD enum fault_err worklist_put_cell(struct worklist *work, size_t expert,
                                           size_t prompt, struct fault *fault);
/* The quality of an answer, 0..1 or NAN, and with it the cell. */
NODISCARD enum fault_err worklist_quality(struct worklist *work, size_t expert,
                                          size_t prompt, size_t sample, double quality,
                                          struct fault *fault);
/* The mean over the known samples. False: there is none. */
bool worklist_cell(const struct worklist *work, size_t expert, size_t prompt,
                   struct calib_cell *ret_cell);
/* A line per wanted expert, in the order of the configuration. asker: that asked, or NULL.
 * Free with report_free. */
struct report *worklist_report(const struct worklist *work, const struct asker *asker);
void worklist_release(struct worklist *work); /* takes a zeroed one */

#endif
