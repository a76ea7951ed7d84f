/* judging.h - answers that are graded by an expert, a trusted expert's answers or a program.
 *
 *      judging_open(&judging, work, fault)         are the judges there? who judges itself?
 *      judging_programs(&judging, stop, ...)       `cmd` graders, one line at a time
 *      judging_phase(&judging, &phase, fault)      what judges have still to be asked
 *      phase_run(&phase, ...)                      verdicts -> store
 *      judging_settle(&judging, fault)             all verdicts -> qualities, cells
 *      judging_outcome(&judging, fault)          was anything graded?
 *      judging_release(&judging)
 *
 * The store is the only memory: a verdict is kept under the judge, its model and the name of
 * all it was shown (judge_shown()), and what is kept is never asked again. So equal answers
 * of two experts are judged once, a changed answer, reference, criterion or model is judged
 * anew, and a run that was killed goes on where it ended.
 *
 * From verdicts to quality (adr/0023):
 *   rubric     the score as a tenth
 *   pairwise   each pair in both orders, equal answers tie unasked; per prompt the chance to
 *              be preferred to an average answer, bradley.h; NAN where no pair has both verdicts
 *   agree      agree.h; the trusted expert agrees with itself, so its own quality is 1
 *   cmd        what the program says
 * Words without a verdict are asked for once more, strictly; then the quality is missing.
 *
 * Threads: one.
 */
#ifndef TOOLS_CTL_JUDGING_H
#define TOOLS_CTL_JUDGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "tools/ctl/estimate.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/names.h"
#include "tools/ctl/phase.h"
#include "tools/ctl/worklist.h"

#define JUDGING_LIMIT_MS 60000 /* of a program, for one answer */

/* What came of it; all counts of answers or verdicts. */
struct judging_counts {
    size_t verdicts;         /* that qualities were made of */
    size_t silent;           /* judgements without a verdict, asked twice */
    size_t open;             /* not asked, failed, in doubt */
    size_t pairs, agreeing;  /* in both orders; the same answer won, or tied, in both */
    size_t own;              /* a judge's own answers that it judged */
    size_t programs, failed; /* answers that programs graded; could not */
};

struct judging_task;

struct judging {
    struct worklist *work; /* borrowed */
    struct phase *phase;   /* borrowed while it runs */
    struct judging_task *tasks;
    size_t n_tasks, room;
    size_t *next;       /* per expert of the configuration: first task not looked at */
    struct names known; /* "judge shown": tasks that are on the list */
    struct judging_counts counts;
    char example[200]; /* what the last program that failed said */
};

/* FAULT_CONFIG: a judge is no expert that speaks chat. Judges that grade their own answers
 * are named on standard error. */
NODISCARD enum fault_err judging_open(struct judging *judging, struct worklist *work,
                                      struct fault *fault);
/* stop: asked between two answers, true ends it early. */
NODISCARD enum fault_err judging_programs(struct judging *judging,
                                          bool (*stop)(void *context), void *context,
                                          struct fault *fault);
/* Zeroes *ret_phase and fills it; both borrow each other. */
NODISCARD enum fault_err judging_phase(struct judging *judging, struct phase *ret_phase,
                                       struct fault *fault);
NODISCARD enum fault_err judging_settle(struct judging *judging, struct fault *fault);
/* After judging_settle(), where nothing is left to be asked. FAULT_EXPERT: a grader graded none
 * of the answers that it was given; what others left out is said on standard error. */
NODISCARD enum fault_err judging_outcome(const struct judging *judging,
                                         struct fault *fault);
void judging_release(struct judging *judging); /* takes a zeroed one */

/* Is there any prompt that needs this at all? */
bool judging_needed(const struct judging *judging);
/* The calls that follow: of answers that are there, and of those that will be. Asks nobody; the
 * judging is used up by it. */
NODISCARD enum fault_err judging_estimate(struct judging *judging,
                                          struct estimate *estimate, bool ask_again,
                                          struct fault *fault);
/* Two or three lines for people; an object for programs. */
void judging_print(const struct judging *judging);
json_t *judging_json(const struct judging *judging);

#endif
