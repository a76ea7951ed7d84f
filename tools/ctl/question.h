/* question.h - a prompt as the gateway would see it: a checked chat request.
 *
 * The tools go through the daemon's own scan, chat and routing_text, so that what is
 * calibrated, built and explained is what will be routed.
 */
#ifndef TOOLS_CTL_QUESTION_H
#define TOOLS_CTL_QUESTION_H

#include "gateway/base/str.h"
#include "gateway/domain/chat.h"
#include "gateway/domain/routing_text.h"
#include "tools/ctl/fault.h"

struct question; /* owned by one thread */

/* model: policy or expert that is asked; NULL where it does not matter. messages: JSON
 * array, copied. output_limit: tokens of an answer; 0: none is asked for. FAULT_INPUT says
 * what is wrong. */
NODISCARD enum fault_err question_new(const char *model, const char *messages,
                                      int64_t output_limit,
                                      struct question **ret_question,
                                      struct fault *fault);
/* Makes its routing text again, by another rule than the default. */
NODISCARD enum fault_err question_cut(struct question *question,
                                      const struct routing_rule *rule,
                                      struct fault *fault);
/* Of the default rule: what rows have as text_version. */
NODISCARD enum fault_err question_stamp(char ret_stamp[ROUTING_TEXT_STAMP],
                                        struct fault *fault);
void question_free(struct question *question); /* takes NULL */
/* The messages of one user turn with that text; to be freed. */
char *question_messages(struct str text);

const struct chat_request *question_chat(const struct question *question);
/* The routing text, 0-terminated; borrowed. */
struct str question_text(const struct question *question);

#endif
