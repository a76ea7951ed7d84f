/* embedder.c - one POST /v1/embeddings: the request is written, the answer collected and read
 *
 * Request and call are one allocation's worth of buffers, owned until fn has returned. The
 * text is never copied into a message or a detail. */
#include "gateway/io/embedder.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/clock.h"
#include "gateway/base/str.h"
#include "gateway/domain/floats.h"
#include "gateway/domain/retry_after.h"

#define ANSWER_BYTES_PER_TEXT (1U << 20)
#define REQUEST_BYTES_MAX     (64U << 20)
#define URL_BYTES_MAX         4096
#define DIM_MAX               16384 /* when none is expected */

struct embedder_call {
    struct http_call *call;
    void (*fn)(void *arg, const struct embedder_answer *answer);
    void *arg;
    unsigned dim;
    size_t n_texts;
    struct buf request, answer, url;
    struct iovec piece;
    int64_t retry_after_ms;
    bool overflow;
    bool telling; /* fn runs: a cancel in it has nothing to do any more */
};

static const char *const result_labels[] = {
#define X(name, label, text) label,
    EMBEDDER_RESULTS(X)
#undef X
};

static const char *const result_texts[] = {
#define X(name, label, text) text,
    EMBEDDER_RESULTS(X)
#undef X
};

const char *embedder_result_label(enum embedder_result result)
{
    return result_labels[result];
}

const char *embedder_result_text(enum embedder_result result)
{
    return result_texts[result];
}

static void call_free(struct embedder_call *call)
{
    buf_release(&call->request);
    buf_release(&call->answer);
    buf_release(&call->url);
    free(call);
}

static void on_head(void *arg, unsigned status, const struct http_header *headers,
                    size_t n)
{
    struct embedder_call *call = arg;

    (void)status;
    for (size_t i = 0; i < n; i++) {
        const struct str value = str_of(headers[i].value);
        int64_t ms;

        if (strcmp(headers[i].name, "retry-after-ms") == 0) {
            if (retry_after_parse_ms(value, &ms) == ERR_OK)
                call->retry_after_ms = ms;
        } else if (strcmp(headers[i].name, "retry-after") == 0) {
            if (call->retry_after_ms < 0 &&
                retry_after_parse(value, clock_wall_s(&clock_system), &ms) == ERR_OK)
                call->retry_after_ms = ms;
        }
    }
}

static enum http_flow on_body(void *arg, const void *bytes, size_t n)
{
    struct embedder_call *call = arg;
    if (buf_add(&call->answer, bytes, n) != ERR_OK)
        call->overflow = true; /* memory: the size is bounded by the HTTP client */
    return HTTP_CONTINUE;
}

/* Reads row after row into *vectors; the first row fixes the width when none is expected. */
static enum embedder_result read_vectors(const struct embedder_call *call,
                                         float **vectors, unsigned *dim, int64_t *tokens,
                                         const char **detail)
{
    const struct str body = buf_str(&call->answer);
    unsigned width = call->dim;
    float *rows = malloc(sizeof *rows * (width != 0 ? call->n_texts * width : DIM_MAX));
    if (rows == NULL)
        return EMBEDDER_NOMEM;
    for (size_t i = 0; i < call->n_texts; i++) {
        size_t n = 0;
        const enum floats_err err =
            floats_read(body, i, rows + i * width, width != 0 ? width : DIM_MAX, &n,
                        i == 0 ? tokens : NULL);
        if (err != FLOATS_OK) {
            free(rows);
            *detail = floats_err_text(err);
            return err == FLOATS_TOO_LONG && width != 0 ? EMBEDDER_DIM : EMBEDDER_INVALID;
        }
        if (width == 0) {
            width = (unsigned)n;
            float *all = realloc(rows, sizeof *rows * call->n_texts * width);
            if (all == NULL) {
                free(rows);
                return EMBEDDER_NOMEM;
            }
            rows = all;
        }
        if (n != width) {
            free(rows);
            return EMBEDDER_DIM;
        }
    }
    *vectors = rows;
    *dim = width;
    return EMBEDDER_OK;
}

static void on_done(void *arg, const struct http_result *result)
{
    struct embedder_call *call = arg;
    struct embedder_answer answer = {
        .transport = result->code,
        .status = result->status,
        .sent = result->sent,
        .stale = result->stale,
        .retry_after_ms = call->retry_after_ms,
        .prompt_tokens = -1,
        .elapsed_us = result->timings.done_us,
    };
    float *vectors = NULL;
    call->call = NULL;
    if (result->code != HTTP_OK) {
        answer.result = EMBEDDER_TRANSPORT;
        answer.detail = result->detail;
    } else if (result->status != 200) {
        answer.result = EMBEDDER_STATUS;
    } else if (call->overflow) {
        answer.result = EMBEDDER_NOMEM;
    } else {
        answer.result = read_vectors(call, &vectors, &answer.dim, &answer.prompt_tokens,
                                     &answer.detail);
        answer.vectors = vectors;
        answer.n = vectors != NULL ? call->n_texts : 0;
    }
    if (answer.detail == NULL)
        answer.detail = result_texts[answer.result];
    call->telling = true;
    call->fn(call->arg, &answer);
    free(vectors);
    call_free(call);
}

static bool write_request(struct embedder_call *call, const struct embedder_spec *spec)
{
    struct buf *to = &call->request;
    buf_put(to, "{\"model\":");
    buf_put_json(to, str_of(spec->model));
    buf_put(to, ",\"input\":");
    if (spec->n_texts > 1)
        buf_put(to, "[");
    for (size_t i = 0; i < spec->n_texts; i++) {
        if (i > 0)
            buf_put(to, ",");
        buf_put_json(to, (struct str){ spec->texts[i].p, spec->texts[i].n });
    }
    buf_put(to, spec->n_texts > 1 ? "]}" : "}");
    call->piece = (struct iovec){ .iov_base = to->p, .iov_len = to->n };

    const size_t n = strlen(spec->base);
    buf_put_str(
        &call->url,
        (struct str){ spec->base, n > 0 && spec->base[n - 1] == '/' ? n - 1 : n });
    buf_put_str(&call->url, (struct str){ "/embeddings", sizeof "/embeddings" });
    return !to->failed && !call->url.failed;
}

struct embedder_call *
embedder_start(struct http *http, const struct embedder_spec *spec,
               void (*fn)(void *arg, const struct embedder_answer *answer), void *arg)
{
    static const struct http_events events = { .head = on_head,
                                               .body = on_body,
                                               .done = on_done };
    struct http_header headers[HTTP_CALLER_HEADERS_MAX] = {
        { "Content-Type", "application/json" },
    };
    assert(spec->n_texts >= 1 && spec->n_texts <= EMBEDDER_TEXTS_MAX);
    assert(spec->n_headers < HTTP_CALLER_HEADERS_MAX);
    struct embedder_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return NULL;
    call->fn = fn;
    call->arg = arg;
    call->dim = spec->dim;
    call->n_texts = spec->n_texts;
    call->retry_after_ms = -1;
    const size_t most = spec->max_answer_bytes != 0
                            ? spec->max_answer_bytes
                            : ANSWER_BYTES_PER_TEXT * spec->n_texts;
    buf_init(&call->request, REQUEST_BYTES_MAX);
    buf_init(&call->answer, most);
    buf_init(&call->url, URL_BYTES_MAX);
    if (!write_request(call, spec))
        goto fail;
    for (size_t i = 0; i < spec->n_headers; i++)
        headers[i + 1] = spec->headers[i];
    const struct http_spec request = {
        .method = "POST",
        .url = call->url.p,
        .headers = headers,
        .n_headers = spec->n_headers + 1,
        .key = spec->key,
        .key_header = spec->key_header,
        .body = &call->piece,
        .n_body = 1,
        .timeouts = spec->timeouts,
        .max_answer_bytes = most,
        .tls = spec->tls,
        .once = spec->once,
        .fresh = spec->fresh,
    };
    call->call = http_start(http, &request, &events, call);
    if (call->call == NULL)
        goto fail;
    return call;

fail:
    call_free(call);
    return NULL;
}

void embedder_cancel(struct embedder_call *call)
{
    if (call == NULL || call->telling)
        return;
    http_cancel(call->call);
    call_free(call);
}
