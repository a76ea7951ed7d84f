/* claim.c - open, lock, and look whether the file is still the one of that name. */
#include "tools/ctl/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/ctl/memory.h"

/* False: the holder before removed it between our open and our lock. */
static bool is_there(const char *path, int fd)
{
    struct stat named, held;

    return stat(path, &named) == 0 && fstat(fd, &held) == 0 &&
           named.st_dev == held.st_dev && named.st_ino == held.st_ino;
}

static int lock(int fd, const char *store, bool *said)
{
    int got = flock(fd, LOCK_EX | LOCK_NB);

    if (got != 0 && errno == EWOULDBLOCK) {
        if (!*said)
            (void)fprintf(stderr,
                          "waiting for another run that asks for '%s'; one that was "
                          "killed ends when it has what is paid for\n",
                          store);
        *said = true;
        got = flock(fd, LOCK_EX);
    }
    return got;
}

enum fault_err claim_take(const char *store, struct claim *ret_claim, struct fault *fault)
{
    char *path = memory_format("%s-asking", store);
    bool said = false;

    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || lock(fd, store, &said) != 0) {
            enum fault_err err = fault_set(fault, FAULT_STORE, "cannot lock '%s': %s",
                                           path, strerror(errno));
            if (fd >= 0)
                (void)close(fd);
            free(path);
            return err;
        }
        if (is_there(path, fd)) {
            *ret_claim = (struct claim){ .path = path, .fd = fd };
            return FAULT_OK;
        }
        (void)close(fd);
    }
}

void claim_release(struct claim *claim)
{
    if (claim->path == NULL)
        return;
    (void)unlink(claim->path);
    (void)close(claim->fd);
    free(claim->path);
    *claim = (struct claim){ 0 };
}
