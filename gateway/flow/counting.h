/* counting.h - experts' tokenizers are asked where the bytes of a prompt are too many
 *
 *      while (counting_waiting(&counting, ...)) the exchange waits, arg is woken
 *      counting_stop(&counting)                  nothing is asked any more
 *
 * Asked are, all at once, those of the order for whom it can matter (order_wants_count), each
 * for `tokenizer_ms` at most; what they say becomes the order's bound. Whatever else comes of it
 * leaves the bound by bytes as it is. All on the loop's thread.
 */
#ifndef GATEWAY_FLOW_COUNTING_H
#define GATEWAY_FLOW_COUNTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/arena.h"
#include "gateway/base/str.h"
#include "gateway/flow/order.h"
#include "gateway/flow/snapshot.h"
#include "gateway/io/http.h"

struct counting_call;

struct counting {
    bool begun;
    unsigned waiting;
    struct counting_call *calls; /* a list in the arena */
};

struct counting_tools {
    struct http *http;
    struct snapshot *snapshot; /* borrowed, as all here, until the counting is stopped */
    struct order *order;
    struct arena *arena;
    struct str request_id;   /* NUL-terminated */
    void (*wake)(void *arg); /* once, when the last answer is here */
    void *arg;
};

/* Asks when it is first called; true: an answer is still to come. */
bool counting_waiting(struct counting *counting, const struct counting_tools *tools,
                      int64_t remaining_pico);
void counting_stop(struct counting *counting);

#endif
