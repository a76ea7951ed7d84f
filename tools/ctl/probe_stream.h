/* probe_stream.h - how fast a stream was, and whether it told its usage. */
#ifndef TOOLS_CTL_PROBE_STREAM_H
#define TOOLS_CTL_PROBE_STREAM_H

#include <stddef.h>

#include "gateway/domain/usage.h"
#include "tools/ctl/probe_call.h"

struct probe_streamed {
    size_t n_contents;  /* events with content, reasoning or a tool call */
    struct usage usage; /* the last one that was told */
    double first_ms;    /* from the request to the first content; 0: there is none */
    double tokens_per_second; /* 0: unknown */
};

/* Of an answer in server-sent events of chat completions. The speed is that of the tokens behind
 * the first content, over the time from it to the last; of an answer that came in one
 * piece that of all tokens over all of the time, which is slower. Without usage an event is a
 * token. */
void probe_read_stream(const struct probe_answer *answer,
                       struct probe_streamed *ret_streamed);

#endif
