/* estimate.h - what a calibration will cost and how long it will take, before any call.
 *
 *      estimate = estimate_new(&settings, fault)   answers of the store -> what experts say
 *      estimate_asking(estimate, work, fault)      a line per wanted expert
 *      estimate_calls(estimate, &calls)            calls that follow: a judge's
 *      estimate_print(estimate)  or  estimate_json(estimate)
 *      estimate_free(estimate)
 *
 * Tokens in: of the prompts, by their bytes, times what this expert's tokenizer (else those
 * of all asked ones) counted so far over that. Tokens out, per call, the first of
 *
 *   measured   the expert's mean over ESTIMATE_KNOWN of its answers or more, of any prompt;
 *              within two standard errors of that mean and of a sum of so many calls
 *   others     what others said to this prompt, else the mean of others' answers; between
 *              half and twice of it
 *   assumed    ESTIMATE_OUTPUT, between ESTIMATE_OUTPUT_LOW and ESTIMATE_OUTPUT_HIGH
 *
 * never more than the output limit. At most: the worst case of each call (price.h), once;
 * a call of unknown fate that is repeated may cost more, which --max-usd binds. Time: calls x
 * latency / calls at once, the latency measured, others', or ESTIMATE_HEAD_MS and
 * ESTIMATE_TOKEN_MS a token.
 *
 * A run with --limit 20 makes measured numbers of all of them.
 */
#ifndef TOOLS_CTL_ESTIMATE_H
#define TOOLS_CTL_ESTIMATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "gateway/domain/config.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/worklist.h"

#define ESTIMATE_KNOWN       3
#define ESTIMATE_OUTPUT      200 /* tokens */
#define ESTIMATE_OUTPUT_LOW  10
#define ESTIMATE_OUTPUT_HIGH 1000
#define ESTIMATE_HEAD_MS     500
#define ESTIMATE_TOKEN_MS    20

struct estimate_settings {
    const struct config *config; /* borrowed */
    struct calib *store;         /* borrowed */
    size_t concurrency;          /* of each expert */
    bool by_expert;
    bool ask_again;
    int64_t max_pico; /* MONEY_NONE: no limit */
};

/* X(name, word) */
#define ESTIMATE_BASES(X)                                                                \
    X(MEASURED, "measured")                                                              \
    X(OTHERS, "others")                                                                  \
    X(ASSUMED, "assumed")

enum estimate_basis {
#define X(name, word) ESTIMATE_##name,
    ESTIMATE_BASES(X)
#undef X
};

/* Tokens of one answer. */
struct estimate_output {
    enum estimate_basis basis;
    double mean, low, high;
};

/* Calls of one expert for one purpose; sums over all of them. */
struct estimate_calls {
    size_t expert;    /* index in the configuration */
    const char *what; /* "answers", "verdicts"; borrowed */
    enum estimate_basis basis;
    size_t calls;
    double input_tokens, output_tokens, output_low, output_high;
    int64_t expected_pico, low_pico, high_pico;
    int64_t most_pico; /* MONEY_NONE: not bounded */
    double seconds;    /* filled by the estimate */
};

struct estimate;

NODISCARD enum fault_err estimate_new(const struct estimate_settings *settings,
                                      struct estimate **ret_estimate,
                                      struct fault *fault);
void estimate_free(struct estimate *estimate); /* takes NULL */
/* Of the phase that worklist_phase gives: every question that is open and not in doubt. */
NODISCARD enum fault_err estimate_asking(struct estimate *estimate,
                                         const struct worklist *work,
                                         struct fault *fault);
/* Calls that come after those given before; of one `what`, experts work at the same time. */
void estimate_calls(struct estimate *estimate, const struct estimate_calls *calls);
/* What an answer of the expert comes to, whether asked for or not; `prompt` is a row of the
 * store. limit: of an answer. */
struct estimate_output estimate_output(const struct estimate *estimate, size_t expert,
                                       int64_t prompt, size_t calls, int64_t limit);

void estimate_print(const struct estimate *estimate);
/* {"calls", "usd_expected", "usd_low", "usd_high", "usd_at_most", "seconds", "parts":
 * [{"expert", "what", "calls", "input_tokens", "output_tokens", "basis", ..}]} */
json_t *estimate_json(const struct estimate *estimate);

#endif
