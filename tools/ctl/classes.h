/* classes.h - recorded class outputs of experts: predictions.csv, and which of its items to take.
 *
 *   item,truth,label0,conf0,label1,conf1,...        classes as numbers, confidences in hundredths
 *   item,truth,p0_0,p0_1,..,p1_0,p1_1,..            or whole probability vectors, 0..1
 *
 * Items stand in blocks of equal size, one block an expert's own domain.
 *
 * A selection is `all`, `even`, `odd` (by the item's number), or `blocks:A-B`.
 */
#ifndef TOOLS_CTL_CLASSES_H
#define TOOLS_CTL_CLASSES_H

#include "fuser/fuser_classes.h"
#include "tools/ctl/fault.h"

/* The arrays of `set` are owned here. */
struct classes_table {
    struct fuser_class_set set;
    uint8_t *label, *confidence, *truth, *domain;
    float *probability;
};

/* Reads DIR/predictions.csv. Faults carry file and line. */
NODISCARD enum fault_err classes_read(const char *folder, struct classes_table *ret_table,
                                      struct fault *fault);
/* Copies the selected items. FAULT_USAGE for a selection that is none or is empty. */
NODISCARD enum fault_err classes_select(const struct classes_table *table,
                                        const char *selection,
                                        struct classes_table *ret_part,
                                        struct fault *fault);
void classes_release(struct classes_table *table);

#endif
