/* tokenizer.c - one POST to a tokenizer: the answer is collected, bounded, and counted
 *
 * Question and answer are owned until fn has returned. */
#include "gateway/io/tokenizer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/domain/token_count.h"

#define URL_BYTES_MAX 4096

struct tokenizer_call {
    struct http_call *call;
    tokenizer_fn *fn;
    void *arg;
    struct buf question, answer, url;
    struct iovec piece;
    bool telling; /* fn runs: a cancel in it has nothing to do any more */
};

static void call_free(struct tokenizer_call *call)
{
    buf_release(&call->question);
    buf_release(&call->answer);
    buf_release(&call->url);
    free(call);
}

static enum http_flow on_body(void *arg, const void *bytes, size_t n)
{
    struct tokenizer_call *call = arg;

    buf_put_str(&call->answer, (struct str){ bytes, n }); /* tested at the end */
    return HTTP_CONTINUE;
}

static void on_done(void *arg, const struct http_result *result)
{
    struct tokenizer_call *call = arg;
    int64_t tokens = -1;
    const char *why = NULL;

    call->call = NULL;
    if (result->code != HTTP_OK)
        why = http_result_label(result->code);
    else if (result->status != 200)
        why = "status";
    else if (call->answer.failed)
        why = "nomem";
    else
        tokens = token_answer(buf_str(&call->answer));
    if (tokens < 0 && why == NULL)
        why = "invalid";
    call->telling = true;
    call->fn(call->arg, tokens, why);
    call_free(call);
}

static bool write_url(struct buf *url, const struct tokenizer_spec *spec)
{
    struct str base = str_of(spec->base);

    if (base.n > 3 && memcmp(base.p + base.n - 3, "/v1", 3) == 0)
        base.n -= 3;
    buf_put_str(url, base);
    buf_put_str(url, (struct str){ spec->path, strlen(spec->path) + 1 });
    return !url->failed;
}

struct tokenizer_call *tokenizer_start(struct http *http,
                                       const struct tokenizer_spec *spec,
                                       struct buf *question, tokenizer_fn *fn, void *arg)
{
    static const struct http_events events = { .body = on_body, .done = on_done };
    const struct http_header headers[] = { { "Content-Type", "application/json" },
                                           { "x-request-id", spec->request_id } };
    struct tokenizer_call *call = calloc(1, sizeof *call);

    if (call == NULL) {
        buf_release(question);
        return NULL;
    }
    call->fn = fn;
    call->arg = arg;
    call->question = *question;
    *question = (struct buf){ 0 };
    call->piece = (struct iovec){ call->question.p, call->question.n };
    buf_init(&call->answer, spec->max_answer_bytes);
    buf_init(&call->url, URL_BYTES_MAX);
    if (write_url(&call->url, spec)) {
        const struct http_spec request = {
            .method = "POST",
            .url = call->url.p,
            .headers = headers,
            .n_headers = spec->request_id[0] != '\0' ? 2 : 1,
            .key = spec->key,
            .key_header = spec->key_header,
            .body = &call->piece,
            .n_body = 1,
            .timeouts = spec->timeouts,
            .max_answer_bytes = spec->max_answer_bytes,
            .tls = spec->tls,
        };

        call->call = http_start(http, &request, &events, call);
    }
    if (call->call != NULL)
        return call;
    call_free(call);
    return NULL;
}

void tokenizer_cancel(struct tokenizer_call *call)
{
    if (call == NULL || call->telling)
        return;
    http_cancel(call->call);
    call_free(call);
}
