/* estimate_private.h - what estimate*.c share. */
#ifndef TOOLS_CTL_ESTIMATE_PRIVATE_H
#define TOOLS_CTL_ESTIMATE_PRIVATE_H

#include "tools/ctl/estimate.h"

/* What the store knows of answers. */
struct estimate_known {
    size_t n, n_timed;
    double output_tokens, squares; /* sums over n */
    double latency_ms;             /* sum over n_timed */
};

struct estimate_prompt {
    int64_t row; /* ascending */
    struct estimate_known known;
};

struct estimate {
    struct estimate_settings settings;
    struct estimate_known *experts; /* per expert of the configuration */
    struct estimate_known all;
    int64_t *rows; /* per expert of the configuration: in the store */
    struct estimate_prompt *prompts;
    size_t n_prompts, room;
    struct estimate_calls *lines;
    size_t n_lines, room_lines;
};

struct estimate_calls estimate_total(const struct estimate *estimate);
const char *estimate_basis_word(enum estimate_basis basis);

#endif
