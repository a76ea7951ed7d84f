/* plain.h - what prompts say, without what they share: for whoever compares them with each other.
 *
 *     plain_cut(haul, &plain, fault)
 *     plain.at[i]                        of haul->prompts[i]; never NULL
 *     plain_words(plain.at[i], each, ..) its words
 *     plain_release(&plain)
 *
 * A text is cut by the gateway's own function from the last turn, earlier turns and the system prompt,
 * 16 KiB at most, and templates that many prompts begin with (templates.h) are taken off: where all
 * share one, all would be alike.
 */
#ifndef TOOLS_CTL_PLAIN_H
#define TOOLS_CTL_PLAIN_H

#include <stddef.h>

#include "gateway/base/str.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/haul.h"
#include "tools/ctl/progress.h"

#define PLAIN_RULE "system=0.2,earlier=0.3,bytes=16384"

struct plain {
    char **at; /* owned */
    size_t n;
    size_t templates; /* that were found */
};

NODISCARD enum fault_err plain_cut(const struct haul *haul, struct plain *ret_plain,
                                   struct fault *fault);
void plain_release(struct plain *plain);

/* Words in their order, not in lower case: runs of letters, digits and characters beyond ASCII; each
 * character of scripts without spaces is one. Borrowed from the text. */
typedef void (*plain_word_fn)(void *context, struct str word);
void plain_words(const char *text, plain_word_fn each, void *context);

#endif
