/* phase.h - one round of paid questions: who is asked what, and how an answer is kept.
 *
 *   calibrate is a list of phases under one asker, so under one limit of money and one
 *   Ctrl-C:
 *
 *      asking   prompts -> experts          worklist.h
 *      judging  answers -> a judge          whoever fills a struct phase
 *
 *      struct phase phase = { .label = "asking", .total = 1500, .before = 300,
 *                             .source = &source, .context = list };
 *      phase_run(&phase, &crew, fault)      until nothing is left, or the asker stops
 *      phase_verdict(&phase, &crew, fault)  FAULT_OK: every question has its answer
 *
 *   source->next --> mark in store: sent --> call --+--> keep, mark away     one transaction
 *                                                   +--> mark: failed, money lost
 *
 * What holds: before an expert may be paid for a question the store says so; an answer and
 * the end of its mark are one transaction. So whenever the program ends, each question is
 * answered, failed, never asked, or *in doubt*: sent by a run that did not live to see the
 * answer. Those are not asked again unless crew->ask_again says so, and their bound moves
 * to `spending` then.
 *
 * Each question has an id, which its expert is told as x-request-id: a hash of expert, model,
 * prompt and use, the same in every attempt and every run. So invoices and logs of an expert
 * can be held against the store.
 *
 * Threads: one.
 */
#ifndef TOOLS_CTL_PHASE_H
#define TOOLS_CTL_PHASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/domain/config.h"
#include "tools/ctl/asker.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/progress.h"

#define PHASE_WHAT_BYTES 200

/* What all phases of a run share; borrowed. */
struct phase_crew {
    const struct config *config;
    struct calib *store;
    struct asker *asker;
    bool ask_again; /* what is in doubt */
};

/* The name of a question for the store and for people. */
struct phase_name {
    int64_t prompt, expert; /* rows in the store */
    const char *prompt_id;  /* borrowed */
    char what[PHASE_WHAT_BYTES];
};

struct phase_source {
    /* The expert's next question, whose `question` the phase takes over. *ret_any false:
     * nothing for it, until an answer brings more. A question is given once. */
    enum fault_err (*next)(void *context, size_t expert,
                           struct asker_question *ret_question, bool *ret_any,
                           struct fault *fault);
    void (*name)(void *context, const struct asker_question *question,
                 struct phase_name *ret_name);
    /* Inside a transaction; answer->ok holds. */
    enum fault_err (*keep)(void *context, const struct asker_question *question,
                           const struct asker_answer *answer, struct fault *fault);
    /* Was asked, and has no answer in this run: for counts. May be NULL. */
    void (*failed)(void *context, const struct asker_question *question);
};

struct phase {
    const char *label;                 /* of the bar: "asking" */
    const struct phase_source *source; /* borrowed */
    void *context;
    size_t total, before; /* questions, and of them answered by earlier runs */
    /* What came of it; zeroed by the caller. */
    size_t answered, failed, doubtful;
    int64_t doubt_pico; /* bounds of the doubtful ones */
    char example[600];  /* the last failure, for the person */
    /* While it runs. */
    const struct phase_crew *crew;
    struct progress bar;
    enum fault_err err;
    struct fault *fault;
};

/* Faults are those of store and source; a failing expert is none. */
NODISCARD enum fault_err phase_run(struct phase *phase, const struct phase_crew *crew,
                                   struct fault *fault);
/* Questions without an answer, the doubtful ones included. */
size_t phase_missing(const struct phase *phase);
/* Says what to do when questions have no answer: FAULT_STOPPED or FAULT_EXPERT. */
NODISCARD enum fault_err phase_verdict(const struct phase *phase,
                                       const struct phase_crew *crew,
                                       struct fault *fault);

#endif
