/* history.c - former versions of a file, by number. */
#include "tools/ctl/history.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/ctl/aside.h"
#include "tools/ctl/memory.h"

char *history_name(const char *path, size_t number)
{
    return memory_format("%s.%zu", path, number);
}

bool history_has(const char *path)
{
    char *former = history_name(path, 1);
    bool has = access(former, F_OK) == 0;

    free(former);
    return has;
}

static enum fault_err move(const char *from, const char *to, struct fault *fault)
{
    if (rename(from, to) != 0 && errno != ENOENT)
        return fault_set(fault, FAULT_IO, "cannot rename '%s': %s", from,
                         strerror(errno));
    return FAULT_OK;
}

/* path.1 becomes path.2 and so on; the last is overwritten. */
static enum fault_err age(const char *path, size_t keep, struct fault *fault)
{
    enum fault_err err = FAULT_OK;

    for (size_t number = keep; err == FAULT_OK && number > 1; number--) {
        char *younger = history_name(path, number - 1),
             *older = history_name(path, number);
        err = move(younger, older, fault);
        free(younger);
        free(older);
    }
    return err;
}

enum fault_err history_put(const char *path, const char *from, size_t keep,
                           struct fault *fault)
{
    enum fault_err err = FAULT_OK;

    if (keep > 0 && access(path, F_OK) == 0) {
        char *former = history_name(path, 1);
        err = age(path, keep, fault);
        if (err == FAULT_OK)
            err = aside_copy(path, former, fault);
        free(former);
    }
    return err == FAULT_OK ? aside_copy(from, path, fault) : err;
}

enum fault_err history_swap(const char *path, struct fault *fault)
{
    char *former = history_name(path, 1), *aside = memory_format("%s.swap", path);
    enum fault_err err = FAULT_OK;

    (void)unlink(aside); /* of a swap that was cut short: path has it still */
    if (link(path, aside) != 0)
        err = fault_set(fault, FAULT_IO, "cannot link '%s': %s", aside, strerror(errno));
    if (err == FAULT_OK)
        err = move(former, path, fault);
    if (err == FAULT_OK)
        err = move(aside, former, fault);
    if (err == FAULT_OK)
        err = aside_sync_folder(path, fault);
    free(former);
    free(aside);
    return err;
}
