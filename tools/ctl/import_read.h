/* import_read.h - the readers behind `frugalctl import --from`: a file becomes a haul.
 *
 *     format          reader            one record
 *     openai-jsonl    import_read_log   a line, log_line.h
 *     litellm         import_read_log   a line, or an element of a JSON list
 *     csv             import_read_csv   a row, import_csv.c
 *     decisions       import_read_decisions   a decision of the gateway's database
 *     routing         dataset_read      a folder, dataset.h; in import_routing.c
 *
 * What is wrong with one record goes into the misfits; a reader fails only when they say so, or when
 * the file cannot be read at all.
 */
#ifndef TOOLS_CTL_IMPORT_READ_H
#define TOOLS_CTL_IMPORT_READ_H

#include <stdbool.h>

#include "tools/ctl/fault.h"
#include "tools/ctl/haul.h"
#include "tools/ctl/log_line.h"
#include "tools/ctl/misfits.h"
#include "tools/ctl/progress.h"

struct import_reading {
    const char *path;
    const char *domain_field; /* "domain", or as --domain-by says */
    struct haul *haul;
    struct misfits *misfits;
    size_t records;      /* out: read in all, wrong ones included */
    struct progress bar; /* of this file */
};

NODISCARD enum fault_err import_read_log(struct import_reading *reading,
                                         enum log_kind kind, struct fault *fault);

/* A wrong header is a fault whatever the misfits say: no row means anything then. */
NODISCARD enum fault_err import_read_csv(struct import_reading *reading,
                                         struct fault *fault);
/* The gateway's own database, beside a running gateway. domain_field: a tag, "policy" or "expert". */
NODISCARD enum fault_err import_read_decisions(struct import_reading *reading,
                                               struct fault *fault);

/* A folder of recorded outcomes, whole or not at all; json: one document instead of a table. */
NODISCARD enum fault_err import_routing(const char *folder, const char *store,
                                        char *const *splits, size_t n_splits, bool json,
                                        struct fault *fault);

#endif
