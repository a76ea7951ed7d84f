/* probe_call.c - one call, awaited. */
#include "tools/ctl/probe_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "tools/ctl/memory.h"

#define WORDS_BYTES 200

struct under_way {
    struct loop *loop;
    struct probe_answer *answer;
    int64_t began_us;
    enum http_result_code code;
    char detail[HTTP_DETAIL_BYTES];
};

static enum http_flow on_body(void *arg, const void *bytes, size_t n)
{
    struct under_way *way = arg;
    struct probe_answer *answer = way->answer;

    IGNORE(buf_add(&answer->body, bytes, n));
    if (answer->n_pieces < PROBE_PIECES) {
        answer->pieces[answer->n_pieces].end = answer->body.n;
        answer->pieces[answer->n_pieces++].at_ms =
            (double)(clock_us(&clock_system) - way->began_us) / 1000;
    }
    return HTTP_CONTINUE;
}

static void on_done(void *arg, const struct http_result *result)
{
    struct under_way *way = arg;
    const char *detail = result->detail != NULL && result->detail[0] != '\0'
                             ? result->detail
                             : http_result_text(result->code);

    way->code = result->code;
    way->answer->status = result->status;
    way->answer->connect_ms = (double)result->timings.connected_us / 1000;
    way->answer->first_ms = (double)result->timings.first_byte_us / 1000;
    way->answer->done_ms = (double)result->timings.done_us / 1000;
    (void)snprintf(way->detail, sizeof way->detail, "%s", detail);
    loop_stop(way->loop);
}

enum fault_err probe_call(const struct probe_line *line, const char *method,
                          const char *url, const char *body,
                          struct probe_answer *ret_answer, struct fault *fault)
{
    static const struct http_events events = { .body = on_body, .done = on_done };
    static const struct http_header headers[] = { { "Content-Type", "application/json" },
                                                  { "anthropic-version", "2023-06-01" } };
    struct iovec piece = { .iov_base = (void *)(uintptr_t)body,
                           .iov_len = body != NULL ? strlen(body) : 0 };
    struct http_spec spec = { .method = method,
                              .url = url,
                              .headers = headers,
                              .n_headers = body != NULL ? ARRAY_LEN(headers) : 0,
                              .key = line->key,
                              .key_header = line->key_header,
                              .body = &piece,
                              .n_body = body != NULL,
                              .timeouts = { .total_ms = line->wait_ms },
                              .max_answer_bytes = PROBE_ANSWER_BYTES,
                              .once = true,
                              .fresh = true };
    struct under_way way = { .loop = line->network->loop,
                             .answer = ret_answer,
                             .began_us = clock_us(&clock_system) };

    *ret_answer = (struct probe_answer){ .status = 0 };
    buf_init(&ret_answer->body, PROBE_ANSWER_BYTES);
    if (http_start(line->network->http, &spec, &events, &way) == NULL)
        return fault_set(fault, FAULT_IO, "out of memory");
    loop_run(line->network->loop);
    if (way.code != HTTP_OK)
        return fault_set(fault, FAULT_EXPERT, "cannot ask '%s': %s", url, way.detail);
    return FAULT_OK;
}

void probe_answer_release(struct probe_answer *answer)
{
    buf_release(&answer->body);
}

struct jread_value probe_json(const struct probe_answer *answer)
{
    struct jread_value root;

    if (!str_is_utf8(buf_str(&answer->body)) ||
        !jread_parse(buf_str(&answer->body), JREAD_MAX_DEPTH, &root))
        return (struct jread_value){ .type = JREAD_NOTHING };
    return root;
}

double probe_byte_ms(const struct probe_answer *answer, size_t at)
{
    for (size_t i = 0; i < answer->n_pieces; i++)
        if (at < answer->pieces[i].end)
            return answer->pieces[i].at_ms;
    return answer->done_ms;
}

char *probe_refusal(const struct probe_answer *answer)
{
    struct jread_value root = probe_json(answer), error = jread_get(root, "error");
    struct jread_value said = jread_get(error, "message");
    struct buf words;

    if (said.type != JREAD_TEXT)
        said = error.type == JREAD_TEXT ? error : jread_get(root, "detail");
    buf_init(&words, WORDS_BYTES + 1);
    (void)jread_put_string(said, WORDS_BYTES, &words);
    for (size_t i = 0; i < words.n; i++)
        if ((unsigned char)words.p[i] < ' ')
            words.p[i] = ' ';
    char *text = memory_format("status %u%s" STR_FMT, answer->status,
                               words.n > 0 ? ": " : "", STR_ARG(buf_str(&words)));
    buf_release(&words);
    return text;
}
