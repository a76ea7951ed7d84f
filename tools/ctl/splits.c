/* splits.c - see splits.h. */
#include "tools/ctl/splits.h"

#include <stdbool.h>
#include <stdint.h>

static enum fault_err found(void *context, int64_t prompt,
                            const struct calib_prompt *known, struct fault *fault)
{
    bool *any = context;

    (void)prompt;
    (void)known;
    (void)fault;
    *any = true;
    return FAULT_OK;
}

enum fault_err splits_find(struct splits *splits, struct calib *store,
                           const struct option_list *named, const char *usual,
                           struct fault *fault)
{
    bool any = false;

    if (named->count > 0) {
        splits->list = *named;
        return FAULT_OK;
    }
    splits->own[0] = (char *)(uintptr_t)usual;
    enum fault_err err = calib_each_prompt(store, splits->own, 1, found, &any, fault);
    splits->list = (struct option_list){ splits->own, any ? 1 : 0 };
    return err;
}
