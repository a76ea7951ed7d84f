/* memory.h - memory for a command line tool: it is there, or the program ends.
 *
 * frugalctl commits to its store what is paid for as it arrives, so ending at once loses
 * nothing and no function above has a second path for a failure that no test reaches.
 */
#ifndef TOOLS_CTL_MEMORY_H
#define TOOLS_CTL_MEMORY_H

#include <stddef.h>

/* Zeroed, never NULL, released by free(). */
void *memory_new(size_t count, size_t size)
    __attribute__((returns_nonnull, malloc, warn_unused_result));
/* Grows or shrinks; the new part is not zeroed. */
void *memory_resize(void *memory, size_t count, size_t size)
    __attribute__((returns_nonnull, warn_unused_result));
char *memory_text(const char *text)
    __attribute__((returns_nonnull, malloc, warn_unused_result));
char *memory_text_n(const char *text, size_t bytes)
    __attribute__((returns_nonnull, malloc, warn_unused_result));
char *memory_format(const char *format, ...)
    __attribute__((returns_nonnull, malloc, warn_unused_result, format(printf, 1, 2)));

#endif
