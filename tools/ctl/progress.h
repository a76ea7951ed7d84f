/* progress.h - a bar with the time left, on a terminal only.
 *
 *   progress_init(&bar, "asking", total);
 *   progress_set(&bar, done, "$0.0123");      as often as one likes: drawn 10 times a
 *   progress_end(&bar);                       second at most
 *
 * Where standard error is no terminal nothing is written at all: logs stay readable.
 */
#ifndef TOOLS_CTL_PROGRESS_H
#define TOOLS_CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *label; /* borrowed */
    double total;      /* in the caller's unit; 0: not known, no time left is shown */
    double first;      /* done at the start: what a resumed run need not do again */
    int64_t started_us, drawn_us;
    bool shown; /* standard error is a terminal */
};

void progress_init(struct progress *bar, const char *label, double total);
/* What was done before this run began; the rate is of the rest. */
void progress_resume(struct progress *bar, double done);
/* note: a few words behind the bar, or NULL. */
void progress_set(struct progress *bar, double done, const char *note);
/* Clears the line. */
void progress_end(struct progress *bar);

#endif
