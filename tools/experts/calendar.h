/* calendar.h - an expert in dates: weekdays, spans, shifted dates, weeks.
 *
 * It counts days year by year from a known Saturday. Its skill says which rules it knows.
 */
#ifndef TOOLS_EXPERTS_CALENDAR_H
#define TOOLS_EXPERTS_CALENDAR_H

#include <stdbool.h>

#include "tools/experts/prompt.h"
#include "tools/experts/reply.h"

struct calendar_skill {
    bool century_rule;   /* 1900 and 2100 are no leap years */
    bool day_first;      /* 3/4/2021 is the third of April where the prompt says so */
    bool iso_weeks;      /* week 1 holds the first Thursday; otherwise 1 January */
    int exact_span_days; /* longer spans are estimated by mean months and years */
    int exact_shift;     /* larger shifts of a date or weekday: by rule of thumb */
};

void calendar_answer(const struct calendar_skill *skill, const struct prompt *prompt,
                     struct reply *reply);

#endif
