/* refusal.h - why an expert refused a request: can another one take it?
 *
 *   switch (refusal_of(body)) ...         of an answer with status 400, 413 or 422
 *
 * Two kinds of refusal say more of the expert than of the request: the prompt is too long for
 * it, and it does not support what is asked for. All others are the client's to know at once.
 * OpenAI says it with a code, others with a type or in words only; the tables in refusal.c have
 * what the servers in use are known to write.
 *
 *   {"error":{"message":"..","type":"..","param":..,"code":".."}}      OpenAI, vLLM, llama.cpp, Ollama
 *   {"error":".."}  {"detail":".."}  {"detail":[{"type":"..","msg":".."}]}  {"message":"..",..}
 *
 * A wrong guess costs one more attempt that nobody is paid for. Bounded: what is longer than
 * REFUSAL_BYTES, nested or not JSON is of no kind. Pure; any thread.
 */
#ifndef GATEWAY_DOMAIN_REFUSAL_H
#define GATEWAY_DOMAIN_REFUSAL_H

#include "gateway/base/str.h"

#define REFUSAL_BYTES 16384

enum refusal {
    REFUSAL_OTHER,
    REFUSAL_TOO_LONG,
    REFUSAL_UNSUPPORTED,
};

enum refusal refusal_of(struct str body);
/* By a code or type, or by words that a server writes for nothing else: of an error in the place
 * of an answer, or with a 5xx, where other words could be about anything. */
enum refusal refusal_for_sure(struct str body);
const char *refusal_word(enum refusal refusal);

#endif
