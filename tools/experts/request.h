/* request.h - what a client asked for: a chat completion or embeddings, checked.
 *
 *     request_init(&request)
 *     request_chat(&request, body, n, &error) or request_embeddings(...)      0: fine
 *     play_...(&request)                                                  see play.h
 *     request_release(&request)
 *
 * Bounds: the body is whatever the server let in; text copied out of it is at most as long. No
 * tree is built of it: a body of many megabytes costs two passes.
 */
#ifndef TOOLS_EXPERTS_REQUEST_H
#define TOOLS_EXPERTS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "tools/experts/expert.h"
#include "tools/experts/script.h"

#define REQUEST_MODEL_BYTES 256
#define REQUEST_TEXTS       256 /* inputs of one embeddings call */
#define REQUEST_CHOICES     128

struct request_error {
    int status;
    const char *code, *param; /* static strings or NULL */
    char message[REQUEST_MODEL_BYTES + 128];
};

struct request {
    char model[REQUEST_MODEL_BYTES];
    const struct expert *expert; /* NULL: scripted */
    struct script script;        /* defaults where not scripted */
    bool embeddings;
    bool stream, include_usage;
    bool base64;        /* embeddings only */
    int64_t max_tokens; /* -1: no limit */
    int choices;
    char tool[128];    /* name of the first tool, or "" */
    struct buf *texts; /* chat: one, the last user message */
    size_t n_texts;
    size_t prompt_tokens; /* all messages, or all inputs */
};

void request_init(struct request *request);
void request_release(struct request *request);

/* 0, or the HTTP status of the refusal, which is described in ret_error. */
int request_chat(struct request *request, const char *body, size_t bytes,
                 struct request_error *ret_error);
int request_embeddings(struct request *request, const char *body, size_t bytes,
                       struct request_error *ret_error);

#endif
