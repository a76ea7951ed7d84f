/* reply.h - what an expert said, read out of the body of its answer.
 *
 *      reply_read(body, max_bytes, &reply)      of a status 200
 *      reply_release(&reply)
 *      reply_refusal(body, status, text, n)     of any other
 *
 * Pure; any thread.
 */
#ifndef TOOLS_CTL_REPLY_H
#define TOOLS_CTL_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/str.h"
#include "gateway/domain/usage.h"

struct reply { /* all owned */
    struct usage_answer usage;
    char *text;          /* content of the first choice, or its refusal; "" for nothing */
    char *finish_reason; /* NULL: none was given */
};

/* max_bytes: of the text, the rest is cut off. False: it is no whole chat completion. */
bool reply_read(struct str body, size_t max_bytes, struct reply *ret_reply);
void reply_release(struct reply *reply);

/* "status 400: the first words of its error's message", in one line. */
void reply_refusal(struct str body, unsigned status, char *text, size_t bytes);

#endif
