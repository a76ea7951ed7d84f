/* lines.c - getline with limits and the checks that every reader above would repeat. */
#include "tools/ctl/lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/base/str.h"
#include "tools/ctl/memory.h"

struct lines {
    char *path;
    FILE *file;
    char *text; /* of getline */
    size_t room, number;
    double size, read; /* bytes */
};

enum fault_err lines_open(const char *path, struct lines **ret_lines, struct fault *fault)
{
    struct stat status;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");

    if (file == NULL)
        return fault_set(fault, FAULT_IO, "cannot open '%s': %s", path, strerror(errno));
    struct lines *lines = memory_new(1, sizeof(*lines));
    lines->path = memory_text(path);
    lines->file = file;
    if (fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode))
        lines->size = (double)status.st_size;
    *ret_lines = lines;
    return FAULT_OK;
}

void lines_close(struct lines *lines)
{
    if (lines == NULL)
        return;
    if (lines->file != stdin)
        (void)fclose(lines->file);
    free(lines->text);
    free(lines->path);
    free(lines);
}

enum fault_err lines_next(struct lines *lines, const char **ret_text, size_t *ret_bytes,
                          struct fault *fault)
{
    static const char mark[] = "\xEF\xBB\xBF";

    errno = 0;
    ssize_t got = getline(&lines->text, &lines->room, lines->file);
    if (got < 0) {
        if (ferror(lines->file) != 0)
            return fault_set(fault, FAULT_IO, "cannot read '%s': %s", lines->path,
                             strerror(errno));
        *ret_text = NULL;
        *ret_bytes = 0;
        return FAULT_OK;
    }
    size_t n = (size_t)got;
    lines->number++;
    lines->read += (double)n;
    if (n > LINES_MAX_BYTES)
        return fault_at(fault, FAULT_INPUT, lines->path, lines->number,
                        "the line is longer than %u bytes", LINES_MAX_BYTES);
    if (n > 0 && lines->text[n - 1] == '\n')
        n--;
    if (n > 0 && lines->text[n - 1] == '\r')
        n--;
    lines->text[n] = '\0';
    const char *text = lines->text;
    if (lines->number == 1 && n >= 3 && memcmp(text, mark, 3) == 0) {
        text += 3;
        n -= 3;
    }
    if (memchr(text, 0, n) != NULL || !str_is_utf8((struct str){ text, n }))
        return fault_at(fault, FAULT_INPUT, lines->path, lines->number,
                        "the line is not UTF-8 text");
    *ret_text = text;
    *ret_bytes = n;
    return FAULT_OK;
}

size_t lines_number(const struct lines *lines)
{
    return lines->number;
}

double lines_done(const struct lines *lines)
{
    return lines->size > 0 ? lines->read / lines->size : 0;
}
