/* memory.c - ends the program where the machine has no more memory. */
#include "tools/ctl/memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *memory_checked(void *memory)
{
    if (memory == NULL) {
        (void)fputs("frugalctl: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

void *memory_new(size_t count, size_t size)
{
    return memory_checked(calloc(count > 0 ? count : 1, size > 0 ? size : 1));
}

void *memory_resize(void *memory, size_t count, size_t size)
{
    return memory_checked(
        reallocarray(memory, count > 0 ? count : 1, size > 0 ? size : 1));
}

char *memory_text(const char *text)
{
    return memory_checked(strdup(text));
}

char *memory_text_n(const char *text, size_t bytes)
{
    return memory_checked(strndup(text, bytes));
}

char *memory_format(const char *format, ...)
{
    va_list arguments;
    char *text = NULL;

    va_start(arguments, format);
    int written = vasprintf(&text, format, arguments);
    va_end(arguments);
    return memory_checked(written < 0 ? NULL : text);
}
