/* report.h - the summary that import and calibrate end with: one line per expert.
 *
 *   report_new(n)
 *   lines[j].name = ...; report_add(&lines[j], quality, cost, latency) per cell
 *   report_print(report)   or   report_print_json(report_json(report))
 *   report_free(report)
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
    size_t priced;     /* cells with a cost */
    int64_t cost_pico; /* their sum */
    size_t timed;      /* cells with a latency */
    double latency_ms; /* their sum */
    size_t failed;     /* questions without an answer */
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
void report_print(const struct report *report);
/* A list: {"name", "graded", "accuracy", "usd", "usd_per_request", "latency_ms",
 * "failed"}; null where nothing is known. */
json_t *report_json(const struct report *report);
/* Prints the document, indented, and a newline. Takes the reference. */
void report_print_json(json_t *root);

#endif
