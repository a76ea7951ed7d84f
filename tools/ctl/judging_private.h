/* judging_private.h - what the files of judging share. */
#ifndef TOOLS_CTL_JUDGING_PRIVATE_H
#define TOOLS_CTL_JUDGING_PRIVATE_H

#include "tools/ctl/judge.h"
#include "tools/ctl/judging.h"

/* An answer: of an expert of the configuration, its sample. */
struct judging_who {
    size_t expert, sample;
};

struct judging_task {
    size_t prompt, judge;             /* in the worklist; in the configuration */
    struct judging_who first, second; /* in the order shown; second: of pairwise */
    bool strict;
    char shown[JUDGE_SHOWN_BYTES];
};

/* The answer's text from the store, to be freed; NULL: there is none. */
NODISCARD enum fault_err judging_text(const struct judging *judging, size_t prompt,
                                      struct judging_who who, char **ret_text,
                                      struct fault *fault);
/* Has a generator that speaks chat: its place in the configuration, else -1. */
int judging_expert(const struct judging *judging, const char *name);
/* What the judge is to see as right, to be freed: the trusted expert's answer of `agree`,
 * else the prompt's reference. NULL: there is none. */
NODISCARD enum fault_err judging_reference(const struct judging *judging, size_t prompt,
                                           char **ret_text, struct fault *fault);

/* What a prompt's verdicts mean: `plan` puts what is open on the list of tasks, otherwise
 * qualities go to the worklist. */
NODISCARD enum fault_err judging_prompt(struct judging *judging, size_t prompt, bool plan,
                                        struct fault *fault);
/* The same of a prompt that a program grades, without starting it. */
NODISCARD enum fault_err judging_program_prompt(struct judging *judging, size_t prompt,
                                                struct fault *fault);
/* Unless it is there. */
void judging_add(struct judging *judging, const struct judging_task *task);

#endif
