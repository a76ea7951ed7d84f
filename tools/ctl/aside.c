/* aside.c - write aside, sync, rename, sync the folder. */
#include "tools/ctl/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/ctl/memory.h"

#define COPY_BYTES (1u << 20)

static enum fault_err fail(const char *what, const char *path, struct fault *fault)
{
    return fault_set(fault, FAULT_IO, "cannot %s '%s': %s", what, path, strerror(errno));
}

static enum fault_err put(int fd, const char *path, const char *bytes, size_t n,
                          struct fault *fault)
{
    while (n > 0) {
        ssize_t written = write(fd, bytes, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return fail("write", path, fault);
        bytes += written;
        n -= (size_t)written;
    }
    return FAULT_OK;
}

enum fault_err aside_sync_folder(const char *path, struct fault *fault)
{
    char *copy = memory_text(path);
    const char *folder = dirname(copy);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum fault_err err = FAULT_OK;

    if (fd < 0 || fsync(fd) != 0)
        err = fail("sync", folder, fault);
    if (fd >= 0)
        (void)close(fd);
    free(copy);
    return err;
}

/* The new file is filled and open as fd; it takes its place or is removed. */
static enum fault_err settle(int fd, const char *aside, const char *path,
                             enum fault_err err, struct fault *fault)
{
    if (err == FAULT_OK && fsync(fd) != 0)
        err = fail("sync", aside, fault);
    if (close(fd) != 0 && err == FAULT_OK)
        err = fail("close", aside, fault);
    if (err == FAULT_OK && rename(aside, path) != 0)
        err = fail("rename", aside, fault);
    if (err != FAULT_OK) {
        (void)unlink(aside);
        return err;
    }
    return aside_sync_folder(path, fault);
}

enum fault_err aside_write(const char *path, const void *bytes, size_t n,
                           struct fault *fault)
{
    char *aside = memory_format("%s" ASIDE_SUFFIX, path);
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    enum fault_err err = fd < 0 ? fail("create", aside, fault) : FAULT_OK;

    if (err == FAULT_OK)
        err = settle(fd, aside, path, put(fd, aside, bytes, n, fault), fault);
    free(aside);
    return err;
}

enum fault_err aside_json(const char *path, const json_t *json, struct fault *fault)
{
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    char *line = memory_format("%s\n", text);
    enum fault_err err = aside_write(path, line, strlen(line), fault);

    free(line);
    free(text);
    return err;
}

enum fault_err aside_copy(const char *from, const char *path, struct fault *fault)
{
    char *aside = memory_format("%s" ASIDE_SUFFIX, path),
         *room = memory_new(COPY_BYTES, 1);
    int in = open(from, O_RDONLY | O_CLOEXEC), out = -1;
    enum fault_err err = in < 0 ? fail("open", from, fault) : FAULT_OK;

    if (err == FAULT_OK) {
        out = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (out < 0)
            err = fail("create", aside, fault);
    }
    for (ssize_t n = 1; out >= 0 && err == FAULT_OK && n != 0;) {
        n = read(in, room, COPY_BYTES);
        if (n < 0 && errno != EINTR)
            err = fail("read", from, fault);
        else if (n > 0)
            err = put(out, aside, room, (size_t)n, fault);
    }
    if (out >= 0)
        err = settle(out, aside, path, err, fault);
    if (in >= 0)
        (void)close(in);
    free(room);
    free(aside);
    return err;
}
