/* import_report.h - what an import tells when it is done: for people and as JSON. */
#ifndef TOOLS_CTL_IMPORT_REPORT_H
#define TOOLS_CTL_IMPORT_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/ctl/haul.h"
#include "tools/ctl/misfits.h"

struct import_counts {
    size_t records;      /* read, wrong ones included */
    size_t lost_answers; /* of prompts that nobody brought */
};

/* On standard output. */
void import_report(const struct haul *haul, const struct misfits *misfits,
                   const struct import_counts *counts, const char *store, bool json);

#endif
