/* request.h - what a client asked for, in one of the APIs below, checked.
 *
 *     request_init(&request)
 *     request_read(&request, REQUEST_CHAT, body, n, &error)                   0: fine
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
#include "tools/experts/alias.h"
#include "tools/experts/expert.h"
#include "tools/experts/script.h"

#define REQUEST_MODEL_BYTES 256
#define REQUEST_TEXTS       256 /* inputs of one embeddings call */
#define REQUEST_CHOICES     128

enum request_api {
    REQUEST_CHAT,
    REQUEST_COMPLETIONS,
    REQUEST_EMBEDDINGS,
    REQUEST_RESPONSES, /* OpenAI's */
    REQUEST_MESSAGES,  /* Anthropic's */
};

struct request_error {
    int status;
    const char *code, *param; /* static strings or NULL */
    char message[REQUEST_MODEL_BYTES + 128];
};

struct request {
    const struct aliases *aliases; /* borrowed; NULL: none. Set before request_read */
    enum request_api api;
    char model[REQUEST_MODEL_BYTES];
    const struct expert *expert; /* NULL: scripted */
    struct script script;        /* defaults where not scripted */
    bool stream, include_usage;
    bool base64;        /* embeddings only */
    int64_t max_tokens; /* -1: no limit */
    int choices;        /* of all prompts together */
    char tool[128];     /* name of the first tool, or "" */
    struct buf *texts;  /* one, the last user message; of embeddings the inputs */
    size_t n_texts;
    size_t prompt_tokens; /* all messages, or all inputs */
};

void request_init(struct request *request);
void request_release(struct request *request);

/* 0, or the HTTP status of the refusal, which is described in ret_error. */
int request_read(struct request *request, enum request_api api, const char *body,
                 size_t bytes, struct request_error *ret_error);

#endif
