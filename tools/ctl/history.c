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

static char *gone_name(const char *path)
{
    return memory_format("%s.gone", path);
}

static enum fault_err move_number(const char *path, size_t from, size_t to,
                                  struct fault *fault)
{
    char *before = history_name(path, from), *after = history_name(path, to);
    enum fault_err err = move(before, after, fault);

    free(before);
    free(after);
    return err;
}

/* path.1 becomes path.2 and so on; the last is path.gone. */
static enum fault_err age(const char *path, size_t keep, struct fault *fault)
{
    char *last = history_name(path, keep), *gone = gone_name(path);

    (void)unlink(gone); /* of a run that was cut short */
    enum fault_err err = move(last, gone, fault);
    for (size_t number = keep; err == FAULT_OK && number > 1; number--)
        err = move_number(path, number - 1, number, fault);
    free(last);
    free(gone);
    return err;
}

/* The younger again, and `path` from path.1 where there is one. */
static enum fault_err rejuvenate(const char *path, size_t keep, struct fault *fault)
{
    char *former = history_name(path, 1), *last = history_name(path, keep),
         *gone = gone_name(path);
    enum fault_err err = move(former, path, fault);

    for (size_t number = 2; err == FAULT_OK && number <= keep; number++)
        err = move_number(path, number, number - 1, fault);
    if (err == FAULT_OK)
        err = move(gone, last, fault);
    free(former);
    free(last);
    free(gone);
    return err;
}

enum fault_err history_put(const char *path, const char *from, size_t keep,
                           struct fault *fault)
{
    bool had = keep > 0 && access(path, F_OK) == 0;
    enum fault_err err = FAULT_OK;

    if (had) {
        char *former = history_name(path, 1);
        err = age(path, keep, fault);
        if (err == FAULT_OK) {
            err = aside_copy(path, former, fault);
            if (err == FAULT_OK)
                err = aside_copy(from, path, fault);
            if (err != FAULT_OK)
                IGNORE(rejuvenate(path, keep, NULL));
        }
        free(former);
        return err;
    }
    return aside_copy(from, path, fault);
}

enum fault_err history_undo(const char *path, bool had, size_t keep, struct fault *fault)
{
    enum fault_err err = FAULT_OK;

    if (had)
        err = rejuvenate(path, keep, fault);
    else if (unlink(path) != 0 && errno != ENOENT)
        err = fault_set(fault, FAULT_IO, "cannot remove '%s': %s", path, strerror(errno));
    return err == FAULT_OK ? aside_sync_folder(path, fault) : err;
}

void history_forget(const char *path)
{
    char *gone = gone_name(path);

    (void)unlink(gone);
    free(gone);
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
