/* order.h - what a client asked for: a chat completion or embeddings, checked.
 *
 *     order_init(&order)
 *     order_chat(&order, body, n, &error) or order_embeddings(...)      0: fine
 *     play_...(&order)                                                  see play.h
 *     order_release(&order)
 *
 * Bounds: the body is whatever the server let in; text copied out of it is at most as long.
 */
#ifndef TOOLS_EXPERTS_ORDER_H
#define TOOLS_EXPERTS_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/experts/expert.h"
#include "tools/experts/script.h"

#define ORDER_MODEL_BYTES 256
#define ORDER_TEXTS       256 /* inputs of one embeddings call */
#define ORDER_CHOICES     128

struct order_error {
    int status;
    const char *code, *param; /* static strings or NULL */
    char message[ORDER_MODEL_BYTES + 128];
};

struct order_text {
    char *p; /* owned by the order */
    size_t n;
};

struct order {
    char model[ORDER_MODEL_BYTES];
    const struct expert *expert; /* NULL: scripted */
    struct script script;        /* defaults where not scripted */
    bool embeddings;
    bool stream, include_usage;
    bool base64;        /* embeddings only */
    int64_t max_tokens; /* -1: no limit */
    int choices;
    char tool[128];           /* name of the first tool, or "" */
    struct order_text *texts; /* chat: one, the last user message */
    size_t n_texts;
    size_t prompt_tokens; /* all messages, or all inputs */
};

void order_init(struct order *order);
void order_release(struct order *order);

/* 0, or the HTTP status of the refusal, which is described in ret_error. */
int order_chat(struct order *order, const char *body, size_t bytes,
               struct order_error *ret_error);
int order_embeddings(struct order *order, const char *body, size_t bytes,
                     struct order_error *ret_error);

#endif
