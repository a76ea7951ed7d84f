/* tune_print.h - what tune tried, for people. */
#ifndef TOOLS_CTL_TUNE_PRINT_H
#define TOOLS_CTL_TUNE_PRINT_H

#include "tools/ctl/tune_search.h"

/* by: the score's name. */
void tune_print_attempts(const struct tune *tune, const char *by);
/* The curve has points. */
void tune_print_curve(const struct tune *tune);

#endif
