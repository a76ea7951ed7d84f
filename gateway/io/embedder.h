/* embedder.h - asks an expert's POST /v1/embeddings for vectors
 *
 *      call = embedder_start(http, spec, fn, arg)
 *           fn(arg, answer)                  exactly once, unless cancelled
 *      or   embedder_cancel(call)
 *
 * One text or several in one call (calibration). The answer is read without building a
 * JSON tree (domain/floats.h); floats and base64 are both understood, floats are asked for
 * as every server speaks them.
 *
 * Threads: all on the loop's thread of `http`.
 */
#ifndef GATEWAY_IO_EMBEDDER_H
#define GATEWAY_IO_EMBEDDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/io/http.h"

#define EMBEDDER_TEXTS_MAX 64

/* name, label (closed set, for logs and metrics), text */
#define EMBEDDER_RESULTS(X)                                                              \
    X(OK, "ok", "every text has its vector")                                             \
    X(TRANSPORT, "transport", "the call failed")                                         \
    X(STATUS, "status", "the embedder answered with an error")                           \
    X(INVALID, "invalid", "the answer is not an embedding")                              \
    X(DIM, "dim", "the vector has another width")                                        \
    X(NOMEM, "nomem", "out of memory")

enum embedder_result {
#define X(name, label, text) EMBEDDER_##name,
    EMBEDDER_RESULTS(X)
#undef X
};

const char *embedder_result_label(enum embedder_result result);
const char *embedder_result_text(enum embedder_result result);

struct embedder_call;

struct embedder_text {
    const char *p; /* UTF-8, need not be NUL-terminated */
    size_t n;
};

struct embedder_spec {
    const char *base;       /* "http://host:port/v1": "/embeddings" is appended; copied */
    const char *key;        /* or NULL; copied */
    const char *key_header; /* as in http.h; copied */
    const char *model;      /* copied */
    struct http_tls tls;
    const struct http_header *headers; /* further ones (traceparent...); copied */
    size_t n_headers;
    unsigned dim;                      /* expected width; 0: whatever comes */
    const struct embedder_text *texts; /* 1..EMBEDDER_TEXTS_MAX; copied */
    size_t n_texts;
    struct http_timeouts timeouts;
    size_t max_answer_bytes; /* 0: 1 MiB per text */
    bool once, fresh;        /* as in http.h */
};

struct embedder_answer {
    enum embedder_result result;
    enum http_result_code transport; /* of the call beneath */
    unsigned status;                 /* HTTP status, 0 = none */
    const char *detail;              /* borrowed for the event; no text, no key in it */
    bool sent;                       /* see http_result.sent: was it possibly bought? */
    bool stale;                      /* see http_result.stale */
    int64_t retry_after_ms;          /* of a 429 or 503; -1: not said */
    /* OK only. n x dim floats, row i for text i, borrowed for the event. */
    const float *vectors;
    size_t n;
    unsigned dim;
    int64_t prompt_tokens; /* as reported; -1 = not reported */
    uint64_t elapsed_us;
};

/* NULL: out of memory, fn is not called. What else goes wrong is told by fn, never from
 * inside this call. */
NODISCARD struct embedder_call *
embedder_start(struct http *http, const struct embedder_spec *spec,
               void (*fn)(void *arg, const struct embedder_answer *answer), void *arg);

/* fn is not called; the connection is closed in this turn. NULL is fine, and so is a call
 * whose fn is running. */
void embedder_cancel(struct embedder_call *call);

#endif
