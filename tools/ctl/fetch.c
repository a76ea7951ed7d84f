/* fetch.c - one question over HTTP; see fetch.h. */
#include "tools/ctl/fetch.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/base/buf.h"
#include "gateway/flow/recall.h"

#define ANSWER_BYTES (RECALL_BYTES + 4096)

struct fetched {
    struct loop *loop;
    struct buf body;
    enum http_result_code code;
    unsigned status;
    char detail[256];
};

static enum http_flow on_body(void *arg, const void *bytes, size_t n)
{
    struct fetched *fetched = arg;

    IGNORE(buf_add(&fetched->body, bytes, n));
    return HTTP_CONTINUE;
}

static void on_done(void *arg, const struct http_result *result)
{
    struct fetched *fetched = arg;

    fetched->code = result->code;
    fetched->status = result->status;
    (void)snprintf(fetched->detail, sizeof fetched->detail, "%s",
                   result->detail != NULL && result->detail[0] != '\0'
                       ? result->detail
                       : http_result_text(result->code));
    loop_stop(fetched->loop);
}

enum fault_err fetch_refused(const char *url, unsigned status, const json_t *document,
                             struct fault *fault)
{
    const json_t *error = json_object_get(document, "error");
    const char *message = json_string_value(json_object_get(error, "message"));

    if (message != NULL && message[0] != '\0')
        return fault_set(fault, FAULT_STORE, "%s", message);
    return fault_set(fault, FAULT_IO, "'%s' answered with status %u", url, status);
}

enum fault_err fetch_json(struct network *network, const struct fetch *fetch,
                          unsigned *ret_status, json_t **ret_document,
                          struct fault *fault)
{
    static const struct http_events events = { .body = on_body, .done = on_done };
    const struct http_spec spec = { .method = fetch->method,
                                    .url = fetch->url,
                                    .key = getenv(FETCH_KEY),
                                    .timeouts = { .total_ms = fetch->wait_ms },
                                    .max_answer_bytes = ANSWER_BYTES };
    struct fetched fetched = { .loop = network->loop };
    enum fault_err err = FAULT_OK;

    buf_init(&fetched.body, ANSWER_BYTES);
    if (http_start(network->http, &spec, &events, &fetched) == NULL) {
        buf_release(&fetched.body);
        return fault_set(fault, FAULT_IO, "out of memory");
    }
    loop_run(network->loop);
    if (fetched.code != HTTP_OK) {
        err =
            fault_set(fault, FAULT_IO, "cannot ask '%s': %s", fetch->url, fetched.detail);
    } else {
        *ret_status = fetched.status;
        *ret_document = json_loadb(fetched.body.p != NULL ? fetched.body.p : "",
                                   fetched.body.n, 0, NULL);
    }
    buf_release(&fetched.body);
    return err;
}
