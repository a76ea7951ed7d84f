/* compare.h - two bundles decide on the same prompts, which neither was built from.
 *
 *   compare_bundles(wish, &comparison, fault)
 *
 * Every prompt is decided twice, by the old bundle and by the new one, at one lambda, as the gateway
 * decides. The differences of quality, cost and utility (quality - lambda * cost) are paired: their 95 %
 * intervals are percentiles of means over bootstrap samples of the prompts. The verdict is of the
 * utility, with a margin of non-inferiority:
 *
 *     better        the interval is above 0
 *     not_worse     ... or above -margin
 *     worse         ... or, neither, below 0
 *     cannot_tell   ... or none of these: more prompts are needed
 *
 *      -margin    0
 *         |       |   [----]          better
 *         |  [----|--]                not_worse
 *    [----|--]    |                   worse
 *    [----|-------|--]                cannot_tell
 */
#ifndef TOOLS_CTL_COMPARE_H
#define TOOLS_CTL_COMPARE_H

#include <stddef.h>
#include <stdint.h>

#include "fuser/fuser.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/options.h"

#define COMPARE_RESAMPLES 2000

#define COMPARE_VERDICTS(X)                                                              \
    X(BETTER, "better")                                                                  \
    X(NOT_WORSE, "not_worse")                                                            \
    X(WORSE, "worse")                                                                    \
    X(CANNOT_TELL, "cannot_tell")

enum compare_verdict {
#define X(name, word) COMPARE_##name,
    COMPARE_VERDICTS(X)
#undef X
};

/* All borrowed. */
struct compare_wish {
    const char *older, *newer; /* files */
    const char *store, *config, *policy;
    const struct option_list *folders, *splits, *models;
    int64_t
        value_pico; /* 0: the policy's, or what the old bundle was tuned to, or the new one */
    double margin;
    uint64_t seed;
    uint32_t threads;
};

struct compare_mean {
    double older, newer, change, low, high; /* change: newer - older, with its interval */
};

struct comparison {
    size_t rows, dropped; /* compared; dropped: one of the bundles was built from them */
    size_t moved;         /* prompts on which they choose another expert */
    double lambda;
    char older[FUSER_MAX_NAME], newer[FUSER_MAX_NAME]; /* ids */
    struct compare_mean quality, usd, utility;         /* of one request */
    enum compare_verdict verdict;
};

NODISCARD enum fault_err compare_bundles(const struct compare_wish *wish,
                                         struct comparison *ret_comparison,
                                         struct fault *fault);
/* By that interval of the utility's change. */
enum compare_verdict compare_verdict_of(double low, double high, double margin);
const char *compare_word(enum compare_verdict verdict);
/* For people, and for programs. */
void compare_print(const struct comparison *comparison, double margin);
void compare_print_json(const struct comparison *comparison, double margin);
/* WORSE and UNSURE as faults of their own exit codes; otherwise OK. */
NODISCARD enum fault_err compare_fault(const struct comparison *comparison,
                                       struct fault *fault);

#endif
