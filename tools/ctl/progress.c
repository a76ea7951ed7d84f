/* progress.c - one line on the terminal, redrawn in place. */
#include "tools/ctl/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "gateway/base/clock.h"

#define PROGRESS_EVERY_US 100000
#define PROGRESS_CELLS    24

void progress_init(struct progress *bar, const char *label, double total)
{
    *bar = (struct progress){
        .label = label,
        .total = total,
        .started_us = clock_us(&clock_system),
        .shown = isatty(STDERR_FILENO) == 1,
    };
}

void progress_resume(struct progress *bar, double done)
{
    bar->first = done;
}

static void progress_left(const struct progress *bar, double done, int64_t now_us,
                          char *text, size_t bytes)
{
    double fresh = done - bar->first;
    double elapsed_s = (double)(now_us - bar->started_us) / 1e6;

    text[0] = '\0';
    if (fresh <= 0 || done >= bar->total || elapsed_s < 0.5)
        return;
    long left_s = (long)(elapsed_s / fresh * (bar->total - done) + 0.5);
    if (left_s >= 3600)
        (void)snprintf(text, bytes, "  ETA %ld:%02ld:%02ld", left_s / 3600,
                       left_s / 60 % 60, left_s % 60);
    else
        (void)snprintf(text, bytes, "  ETA %ld:%02ld", left_s / 60, left_s % 60);
}

void progress_set(struct progress *bar, double done, const char *note)
{
    char cells[PROGRESS_CELLS + 1], left[32];

    if (!bar->shown)
        return;
    int64_t now_us = clock_us(&clock_system);
    if (now_us - bar->drawn_us < PROGRESS_EVERY_US && done < bar->total)
        return;
    bar->drawn_us = now_us;
    double share = bar->total > 0 ? done / bar->total : 0;
    int filled = (int)(share * PROGRESS_CELLS);
    for (int i = 0; i < PROGRESS_CELLS; i++)
        cells[i] = i < filled ? '#' : '.';
    cells[PROGRESS_CELLS] = '\0';
    progress_left(bar, done, now_us, left, sizeof(left));
    (void)fprintf(stderr, "\r\033[K%s [%s] %3.0f%%%s%s%s", bar->label, cells, share * 100,
                  left, note != NULL ? "  " : "", note != NULL ? note : "");
    (void)fflush(stderr);
}

void progress_end(struct progress *bar)
{
    if (!bar->shown)
        return;
    (void)fputs("\r\033[K", stderr);
    (void)fflush(stderr);
    bar->shown = false;
}
