/* log_response.h - what a log kept of an answer, as the answer of an expert.
 *
 * The expert has the name that the client asked for (`model` of the request, LiteLLM's
 * `model_group`): the name under which people know it. Its model is what was called. Answers
 * without text (tool calls alone, refusals, errors) cannot be graded and are not taken.
 */
#ifndef TOOLS_CTL_LOG_RESPONSE_H
#define TOOLS_CTL_LOG_RESPONSE_H

#include <stdbool.h>

#include "gateway/base/arena.h"
#include "gateway/domain/jread.h"
#include "tools/ctl/brought.h"
#include "tools/ctl/fault.h"

struct log_response {
    bool litellm; /* spend and times stand beside it */
    struct jread_value record, request,
        response; /* of type NOTHING where there is none */
};

/* Adds at most one answer to `brought`, in the arena. */
NODISCARD enum fault_err log_response_read(const struct log_response *said,
                                           struct arena *arena, struct brought *brought,
                                           struct fault *fault);

#endif
