/* report.h - the summary that import and calibrate end with: one line per expert.
 *
 *   report_new(n)
 *   lines[j].name = ...; report_add(&lines[j], quality, cost, latency) per cell
 *   report_answer(&lines[j], latency, tokens)                          per answer, if known
 *   report_print(report)   or   report_print_json(report_json(report))
 *   report_free(report)
 *
 * Columns that nothing is known of in any line are left out of the table.
 */
#ifndef TOOLS_CTL_REPORT_H
#define TOOLS_CTL_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct report_line {
    const char *name;  /* borrowed */
    size_t graded;     /* cells with a quality */
    double quality;    /* their sum */
    double squares;    /* sum of their squares */
    size_t priced;     /* cells with a cost */
    int64_t cost_pico; /* their sum */
    size_t timed;      /* cells with a latency */
    double latency_ms; /* their sum */
    size_t failed;     /* questions that were asked and have no answer */
    size_t empty;      /* answers without a word */
    size_t cut;        /* answers that ended at their output limit */
    /* Of single answers. */
    double *answers_ms; /* latencies, owned */
    size_t n_answers, room;
    size_t n_output;                   /* answers of known tokens */
    double output_tokens;              /* their sum */
    double timed_tokens, answering_ms; /* sums over answers where both are known */
    /* Of this run; 0: not known. */
    double busy_ms;     /* at least one of its calls was in flight */
    double busy_tokens; /* output of the answers of that time */
};

struct report {
    size_t n_lines;
    struct report_line *lines; /* zeroed, owned */
};

struct report *report_new(size_t n_lines);
void report_free(struct report *report); /* takes NULL */
/* NAN and MONEY_NONE: not known, not counted. */
void report_add(struct report_line *line, double quality, int64_t cost_pico,
                double latency_ms);
/* NAN: not known, not counted. */
void report_answer(struct report_line *line, double latency_ms, double output_tokens);
void report_print(const struct report *report);
/* A list: {"name", "graded", "accuracy", "se", "usd", "usd_per_request", "latency_ms",
 * "latency_p50_ms", "latency_p95_ms", "output_tokens", "tokens_per_second",
 * "tokens_per_second_all", "failed", "empty", "cut"}; null where nothing is known. se is the
 * standard error of the accuracy over prompts; output_tokens the mean of an answer;
 * tokens_per_second what one call writes, tokens_per_second_all what all calls in flight
 * together wrote in this run. */
json_t *report_json(const struct report *report);
/* Prints the document, indented, and a newline. Takes the reference. */
void report_print_json(json_t *root);

#endif
