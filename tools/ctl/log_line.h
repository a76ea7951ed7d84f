/* log_line.h - one record of a log of requests: the prompt in it, and what was answered.
 *
 *   openai-jsonl   a line of a batch          {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {..}}
 *                  a line of its output       {"custom_id": "a", "response": {"status_code": 200, "body": {..}}}
 *                  a request, or a dataset    {"messages": [..]}: the last assistant turn is the reference
 *                  both sides                 {"request": {..}, "response": {..}}, or the response as a
 *                                             member of the request
 *   litellm        a row of the spend log     {"request_id", "model_group", "model", "messages", "response", "spend",
 *                  or a standard log payload   "prompt_tokens", "completion_tokens", "startTime", "endTime", ..}
 *
 * Members that hold JSON as a string are read like the JSON in it: exports of databases write them
 * so. Requests of /v1/completions and /v1/responses are told as chats, by the gateway's own
 * translation. Pure but for memory.
 */
#ifndef TOOLS_CTL_LOG_LINE_H
#define TOOLS_CTL_LOG_LINE_H

#include "gateway/base/arena.h"
#include "gateway/domain/jread.h"
#include "tools/ctl/brought.h"
#include "tools/ctl/fault.h"

#define LOG_LINE_DEPTH 128

enum log_kind {
    LOG_OPENAI,
    LOG_LITELLM,
};

struct log_wish {
    enum log_kind kind;
    const char *domain_field; /* names joined by dots, of the record or of its request */
};

/* ret_brought: borrowed from the arena. *ret_left_out: why there is nothing in it for us though
 * nothing is wrong (a literal), or NULL. FAULT_INPUT without file and line says what is wrong. */
NODISCARD enum fault_err log_line_read(const struct log_wish *wish,
                                       struct jread_value record, struct arena *arena,
                                       struct brought *ret_brought,
                                       const char **ret_left_out, struct fault *fault);

#endif
