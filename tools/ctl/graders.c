/* graders.c - see graders.h. */
#include "tools/ctl/graders.h"

#include <stdlib.h>

#include "tools/ctl/memory.h"

enum fault_err graders_get(struct graders *graders, const char *spec,
                           const struct grader **ret_grader, struct fault *fault)
{
    struct grader *made;
    size_t at;

    if (names_find(&graders->specs, spec, &at)) {
        *ret_grader = graders->all[at];
        return FAULT_OK;
    }
    enum fault_err err = grader_new(spec, &made, fault);
    if (err != FAULT_OK)
        return err;
    graders->all = memory_resize(graders->all, graders->n + 1, sizeof(struct grader *));
    (void)names_add(&graders->specs, spec, graders->n);
    graders->all[graders->n++] = made;
    *ret_grader = made;
    return FAULT_OK;
}

void graders_release(struct graders *graders)
{
    for (size_t i = 0; i < graders->n; i++)
        grader_free(graders->all[i]);
    free(graders->all);
    names_release(&graders->specs);
    *graders = (struct graders){ 0 };
}
