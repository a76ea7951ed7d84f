/* tokenizer.h - asks an expert's free tokenizer how many tokens a prompt has
 *
 *      call = tokenizer_start(http, spec, fn, arg)
 *           fn(arg, tokens, why)             exactly once, unless cancelled
 *      or   tokenizer_cancel(call)
 *
 * Whatever goes wrong is no more than a count that is not known: the caller has another
 * bound. Threads: all on the loop's thread of `http`.
 */
#ifndef GATEWAY_IO_TOKENIZER_H
#define GATEWAY_IO_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/base/err.h"
#include "gateway/io/http.h"

struct tokenizer_call;

struct tokenizer_spec {
    const char *base; /* "http://host:port/v1": a "/v1" at its end is left out; copied */
    const char *path; /* "/tokenize"; copied */
    const char *key;  /* or NULL; copied */
    const char *key_header; /* as in http.h; copied */
    struct http_tls tls;
    const char *request_id; /* copied; empty: none */
    struct http_timeouts timeouts;
    size_t max_answer_bytes;
};

/* tokens -1: not known, and why says it: one of a closed set of words, with no text of the
 * prompt. */
typedef void tokenizer_fn(void *arg, int64_t tokens, const char *why);

/* question is *taken*, also on failure. NULL: out of memory, fn is not called. fn is never
 * called from inside this call. */
NODISCARD struct tokenizer_call *tokenizer_start(struct http *http,
                                                 const struct tokenizer_spec *spec,
                                                 struct buf *question, tokenizer_fn *fn,
                                                 void *arg);

/* fn is not called; the connection is closed in this turn. NULL is fine, and so is a call
 * whose fn is running. */
void tokenizer_cancel(struct tokenizer_call *call);

#endif
