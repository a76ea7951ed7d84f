/* lines.c - lines with a limit, and the checks that every reader above would repeat.
 *
 *   file --fread--> block [ read | line .. \n | rest ] --> text, until a line is whole
 */
#include "tools/ctl/lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/base/str.h"
#include "tools/ctl/memory.h"

#define LINES_BLOCK 65536

struct lines {
    char *path;
    FILE *file;
    char *block; /* LINES_BLOCK bytes */
    size_t at, end;
    char *text; /* the line, with its 0 */
    size_t n, room, number;
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
    lines->block = memory_new(LINES_BLOCK, 1);
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
    free(lines->block);
    free(lines->text);
    free(lines->path);
    free(lines);
}

static void lines_take(struct lines *lines, const char *bytes, size_t n)
{
    if (lines->n + n + 1 > lines->room) {
        lines->room = 2 * (lines->n + n + 1);
        lines->text = memory_resize(lines->text, lines->room, 1);
    }
    memcpy(lines->text + lines->n, bytes, n);
    lines->n += n;
}

/* The bytes up to the next line feed, which is taken and not kept. *ret_any: there was a line.
 * *ret_whole: it is all in lines->text, not only its beginning. */
static enum fault_err lines_read(struct lines *lines, bool *ret_any, bool *ret_whole,
                                 struct fault *fault)
{
    const char *feed = NULL;

    lines->n = 0;
    *ret_any = false;
    *ret_whole = true;
    while (feed == NULL) {
        if (lines->at == lines->end) {
            lines->at = 0;
            lines->end = fread(lines->block, 1, LINES_BLOCK, lines->file);
        }
        if (lines->end == 0 && ferror(lines->file) != 0)
            return fault_set(fault, FAULT_IO, "cannot read '%s': %s", lines->path,
                             strerror(errno));
        if (lines->end == 0)
            break;
        const char *from = lines->block + lines->at;
        size_t left = lines->end - lines->at;
        feed = memchr(from, '\n', left);
        size_t n = feed != NULL ? (size_t)(feed - from) : left;
        size_t taken = feed != NULL ? n + 1 : n;
        if (lines->n + n > LINES_MAX_BYTES)
            *ret_whole = false;
        else
            lines_take(lines, from, n);
        lines->at += taken;
        lines->read += (double)taken;
        *ret_any = true;
    }
    lines->number += *ret_any;
    return FAULT_OK;
}

enum fault_err lines_next(struct lines *lines, const char **ret_text, size_t *ret_bytes,
                          struct fault *fault)
{
    static const char mark[] = "\xEF\xBB\xBF";
    bool any, whole;
    enum fault_err err = lines_read(lines, &any, &whole, fault);

    if (err != FAULT_OK)
        return err;
    *ret_text = NULL;
    *ret_bytes = 0;
    if (!any)
        return FAULT_OK;
    if (!whole)
        return fault_at(fault, FAULT_INPUT, lines->path, lines->number,
                        "the line is longer than %u bytes", LINES_MAX_BYTES);
    lines_take(lines, "", 0);
    if (lines->n > 0 && lines->text[lines->n - 1] == '\r')
        lines->n--;
    lines->text[lines->n] = '\0';
    const char *text = lines->text;
    size_t n = lines->n;
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
