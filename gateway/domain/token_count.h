/* token_count.h - what an expert's tokenizer is asked, and what its answer says
 *
 *      token_question(chat, generator, &body)          the body of the POST, or false
 *      tokens = token_answer(answer)                    how many, or -1
 *
 *   takes "content"   {"content":"user\nwhat is ...\nassistant\n..."}      as llama.cpp does
 *   takes "messages"  {"model":"m","messages":[...]}                      as vLLM does
 *   answers           {"tokens":[1,2,3]}  or  {"count":3,...}             either
 *
 * Only conversations of plain text are asked about: roles, names, and content that is text. For
 * images, tool calls and whatever else a template prints in its own way the endpoint's count
 * would say too little. Pure; any thread.
 */
#ifndef GATEWAY_DOMAIN_TOKEN_COUNT_H
#define GATEWAY_DOMAIN_TOKEN_COUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/domain/chat.h"
#include "gateway/domain/config.h"

/* Serialised messages beyond it are not asked about: question and answer are written and read
 * on the loop. */
#define TOKEN_QUESTION_BYTES (256u << 10)
/* What the answer to so many bytes may have: no token is less than a byte, none is longer than
 * seven digits and a comma. */
#define TOKEN_ANSWER_BYTES(bytes) ((bytes)*8 + 4096)

/* Adds the question to out, which has room for the messages and TOKEN_QUESTION_MORE. False:
 * this request is none to be asked about, or out has failed. */
#define TOKEN_QUESTION_MORE 2048
NODISCARD bool token_question(const struct chat_request *chat,
                              const struct config_generator *generator, struct buf *out);

/* The greater of "count" and the number of "tokens"; -1: neither is there. */
int64_t token_answer(struct str answer);

#endif
