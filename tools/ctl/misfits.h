/* misfits.h - lines that cannot be taken: counted, shown with file and line, skipped or stopped at.
 *
 *     struct misfits misfits;
 *     misfits_init(&misfits, stop);
 *     err = read_line(..., &fault);
 *     if (err != FAULT_OK) err = misfits_add(&misfits, err, &fault, into);  goes on, or not
 *     misfits_leave_out(&misfits, "no chat request");                       nothing is wrong with it
 *     misfits_print(&misfits, stderr);
 *     misfits_release(&misfits);
 *
 * Only FAULT_INPUT is of a line; every other fault stops. The first MISFITS_SHOWN texts are kept,
 * the others counted.
 */
#ifndef TOOLS_CTL_MISFITS_H
#define TOOLS_CTL_MISFITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

#include "tools/ctl/fault.h"

#define MISFITS_SHOWN 20
#define MISFITS_KINDS 16 /* reasons to leave something out */

struct misfits {
    bool stop; /* at the first */
    size_t n;
    char *shown[MISFITS_SHOWN];
    struct misfits_kind {
        const char *why; /* a literal */
        size_t n;
    } left_out[MISFITS_KINDS];
    size_t n_kinds;
};

void misfits_init(struct misfits *misfits, bool stop);
void misfits_release(struct misfits *misfits);

/* What became of a line: FAULT_OK when one goes on, else the fault is in `into`. `fault` is empty
 * again afterwards. */
NODISCARD enum fault_err misfits_add(struct misfits *misfits, enum fault_err err,
                                     struct fault *fault, struct fault *into);
/* why: a literal; the same pointer or text is the same reason. */
void misfits_leave_out(struct misfits *misfits, const char *why);
size_t misfits_left_out(const struct misfits *misfits);

void misfits_print(const struct misfits *misfits, FILE *out);
/* {"bad": 2, "first": ["log.jsonl:3: ..."], "left_out": {"no chat request": 7}} */
json_t *misfits_json(const struct misfits *misfits);

#endif
