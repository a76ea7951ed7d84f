/* textfile.c - reads a file whole, and replaces one. */
#include "tools/ctl/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "tools/ctl/memory.h"

#define PIECE_BYTES 65536
#define NAMES_MOST  100 /* backups of one second */

enum fault_err textfile_read(const char *path, size_t max_bytes, struct buf *ret_text,
                             struct fault *fault)
{
    FILE *file = fopen(path, "re");
    enum fault_err err = FAULT_OK;
    size_t n = 1;
    char *room;

    buf_init(ret_text, max_bytes + PIECE_BYTES);
    if (file == NULL)
        return fault_set(fault, FAULT_IO, "cannot open '%s': %s", path, strerror(errno));
    while (n > 0 && ret_text->n <= max_bytes &&
           buf_room(ret_text, PIECE_BYTES, &room) == ERR_OK) {
        n = fread(room, 1, PIECE_BYTES, file);
        buf_commit(ret_text, n);
    }
    if (ferror(file) != 0)
        err = fault_set(fault, FAULT_IO, "cannot read '%s': %s", path, strerror(errno));
    else if (n > 0 || ret_text->n > max_bytes)
        err = fault_set(fault, FAULT_INPUT, "'%s' is larger than %zu bytes", path,
                        max_bytes);
    (void)fclose(file);
    return err;
}

static enum fault_err fail_write(const char *path, struct fault *fault)
{
    return fault_set(fault, FAULT_IO, "cannot write '%s': %s", path, strerror(errno));
}

/* The old file under a second name, which is not taken. */
static enum fault_err keep(const char *path, char **ret_backup, struct fault *fault)
{
    time_t now = clock_wall_s(&clock_system);
    struct tm utc;
    char stamp[32];

    (void)gmtime_r(&now, &utc);
    (void)strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &utc);
    for (int i = 0; i < NAMES_MOST; i++) {
        char *name = i == 0 ? memory_format("%s.%s.bak", path, stamp)
                            : memory_format("%s.%s-%d.bak", path, stamp, i);

        if (link(path, name) == 0) {
            *ret_backup = name;
            return FAULT_OK;
        }
        bool taken = errno == EEXIST;
        if (!taken)
            (void)fault_set(fault, FAULT_IO, "cannot keep the old file as '%s': %s", name,
                            strerror(errno));
        free(name);
        if (!taken)
            return FAULT_IO;
    }
    return fault_set(fault, FAULT_IO, "there are too many backups of '%s'", path);
}

static enum fault_err write_aside(const char *aside, const struct stat *like,
                                  struct str text, struct fault *fault)
{
    int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, like->st_mode & 0777);
    size_t done = 0;
    bool good;

    if (fd < 0)
        return fail_write(aside, fault);
    /* Who may not give the file away leaves it his own. */
    good = fchmod(fd, like->st_mode & 07777) == 0;
    if (good && fchown(fd, like->st_uid, like->st_gid) != 0)
        good = errno == EPERM;
    while (good && done < text.n) {
        ssize_t n = write(fd, text.p + done, text.n - done);

        good = n > 0 || (n < 0 && errno == EINTR);
        done += n > 0 ? (size_t)n : 0;
    }
    good = good && fsync(fd) == 0;
    enum fault_err err = good ? FAULT_OK : fail_write(aside, fault);
    if (close(fd) != 0 && err == FAULT_OK)
        err = fail_write(aside, fault);
    return err;
}

enum fault_err textfile_replace(const char *path, struct str text, char **ret_backup,
                                struct fault *fault)
{
    char *real = realpath(path, NULL);
    struct stat old;

    if (real == NULL || stat(real, &old) != 0) {
        enum fault_err err = fail_write(path, fault);
        free(real);
        return err;
    }
    char *aside = memory_format("%s.%ld.new", real, (long)getpid());
    char *backup = NULL;
    enum fault_err err = write_aside(aside, &old, text, fault);

    if (err == FAULT_OK)
        err = keep(real, &backup, fault);
    if (err == FAULT_OK && rename(aside, real) != 0)
        err = fail_write(path, fault);
    if (err != FAULT_OK)
        (void)unlink(aside);
    if (err == FAULT_OK)
        *ret_backup = backup;
    else
        free(backup);
    free(aside);
    free(real);
    return err;
}
