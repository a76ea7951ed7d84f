/* prompts.h - reads prompts.jsonl: one prompt a line.
 *
 *   {"id": "q1", "prompt": "What is 2 + 2?", "domain": "arithmetic", "split": "calib",
 *    "reference": "4", "grade": "number"}
 *
 * `messages` (a list, as in a chat request) may stand in place of `prompt`. id and one of
 * the two are required; `reference` may be a number; other keys are not read. Ids are
 * unique in a file. Errors name file and line.
 */
#ifndef TOOLS_CTL_PROMPTS_H
#define TOOLS_CTL_PROMPTS_H

#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/question.h"

#define PROMPTS_MAX_ID 200 /* bytes of an id, a domain or a split */

/* Borrowed until the callback returns. */
struct prompts_item {
    const char *id;
    const char *messages;                           /* JSON array */
    const char *domain, *split, *reference, *grade; /* NULL: none */
    const struct question *question; /* made of messages, without an output limit */
    size_t characters;               /* code points of the prompt */
    size_t line;
    double done; /* 0..1 of the file */
};

typedef enum fault_err (*prompts_fn)(void *context, const struct prompts_item *item,
                                     struct fault *fault);

/* A fault of `each` gets path and line in front. */
NODISCARD enum fault_err prompts_read(const char *path, prompts_fn each, void *context,
                                      struct fault *fault);

#endif
