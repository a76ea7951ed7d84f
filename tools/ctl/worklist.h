/* worklist.h - which expert has still to answer which prompt, and what the answers are
 * worth.
 *
 *      worklist_read(&work, prompts file)         prompts -> store
 *      worklist_open(&work, experts)              answers of earlier runs -> cells
 *      worklist_next(&work, expert)               a prompt that it has not answered
 *      worklist_keep(&work, question, answer)     answer -> store, cell, report
 *      worklist_release(&work)
 *
 * Prompts stand in the order of the store. An answer counts for one upstream model: an
 * expert that has become another model is asked anew.
 */
#ifndef TOOLS_CTL_WORKLIST_H
#define TOOLS_CTL_WORKLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/domain/config.h"
#include "tools/ctl/asker.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/grade.h"
#include "tools/ctl/options.h"
#include "tools/ctl/report.h"

struct worklist_prompt {
    int64_t row; /* in the store */
    char *id, *messages, *reference;
    enum grade_kind grade;
};

struct worklist_expert {
    int64_t row; /* in the store */
    bool wanted; /* has a generator and is asked for */
    size_t next; /* first prompt that was not looked at */
    bool *known; /* per prompt: answered, in this run or before */
};

struct worklist {
    const struct config *config; /* borrowed */
    struct calib *store;         /* borrowed */
    const char *grade;           /* for prompts without their own, or NULL; borrowed */
    struct worklist_prompt *prompts;
    size_t n_prompts, room;
    struct worklist_expert *experts; /* per expert of the configuration */
    struct report *report;           /* one line per expert of the configuration */
    size_t questions;                /* prompts x wanted experts */
    size_t before;                   /* of them, answered in earlier runs */
    size_t reading;                  /* index of the expert whose old answers are read */
};

NODISCARD enum fault_err worklist_read(struct worklist *work, const char *path,
                                       struct fault *fault);
/* experts: names, or an empty list for every expert with a generator. */
NODISCARD enum fault_err worklist_open(struct worklist *work,
                                       const struct option_list *experts,
                                       struct fault *fault);
/* False: there is none. A prompt is given once in a run. */
bool worklist_next(struct worklist *work, size_t expert, size_t *ret_prompt);
/* On disk when it returns. */
NODISCARD enum fault_err worklist_keep(struct worklist *work,
                                       const struct asker_question *question,
                                       const struct asker_answer *said,
                                       struct fault *fault);
void worklist_release(struct worklist *work); /* takes a zeroed one */

#endif
