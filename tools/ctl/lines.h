/* lines.h - a text file, line by line, with the line's number for messages.
 *
 *   lines_open(path, &lines, fault)
 *   while (lines_next(lines, &text, &bytes, &line) ...)
 *   lines_close(lines)
 *
 * A line may be LINES_MAX_BYTES long. CR LF ends a line too; a UTF-8 byte order mark at
 * the start of the file is skipped. A line that is longer, has a NUL byte, or bytes that are
 * not UTF-8 is FAULT_INPUT, after which the next one may be asked for: whoever reads logs goes
 * on. Never more than such a line is held, however long the file's lines are. "-" reads
 * standard input.
 */
#ifndef TOOLS_CTL_LINES_H
#define TOOLS_CTL_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/ctl/fault.h"

#define LINES_MAX_BYTES (64u << 20)

struct lines; /* owned by one thread */

NODISCARD enum fault_err lines_open(const char *path, struct lines **ret_lines,
                                    struct fault *fault);
void lines_close(struct lines *lines); /* takes NULL */

/* The next line without its end, 0-terminated, borrowed until the next call; *ret_text is
 * NULL at the end of the file. */
NODISCARD enum fault_err lines_next(struct lines *lines, const char **ret_text,
                                    size_t *ret_bytes, struct fault *fault);
/* Number of the line last given, from 1. */
size_t lines_number(const struct lines *lines);
/* 0..1: how much of the file is read; 0 where the size is not known. */
double lines_done(const struct lines *lines);

#endif
