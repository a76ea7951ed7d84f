/* brought.h - one prompt that somebody brings, as every format of import gives it.
 *
 *     log line, row of a CSV, record of the gateway  -->  struct brought  -->  haul_add()
 *
 * Shapes: `messages` is a JSON array as in a chat request; money is pico-USD, MONEY_NONE where it
 * is not known; tokens, milliseconds and quality are NAN where they are not known.
 */
#ifndef TOOLS_CTL_BROUGHT_H
#define TOOLS_CTL_BROUGHT_H

#include <stddef.h>
#include <stdint.h>

#define BROUGHT_MAX_ID      200  /* bytes of an id, a domain or a split */
#define BROUGHT_MAX_EXPERT  200  /* of an expert's name or a model's */
#define BROUGHT_MAX_ANSWERS 1024 /* by a single line */

/* What one expert said or is worth. */
struct brought_answer {
    const char *expert; /* NULL: who was asked, by the prompt's own record */
    const char *model;  /* what answered; NULL: as the expert. One of the two is given */
    const char *text;   /* NULL: not recorded */
    const char *finish_reason; /* or NULL */
    double input_tokens, output_tokens, latency_ms;
    double quality; /* 0..1, already graded */
    int64_t cost_pico;
};

/* Borrowed while the call lasts. */
struct brought {
    const char *id; /* NULL: it follows from the messages */
    const char
        *messages; /* NULL: these are answers to the prompt of that id, given elsewhere */
    const char *asked; /* the model that the request names, or NULL */
    const char *domain, *split, *reference, *grade; /* NULL: none */
    const struct brought_answer *answers;
    size_t n_answers;
};

#endif
