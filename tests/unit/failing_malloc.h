/* failing_malloc.h - memory that fails at the nth allocation of this thread from now on.
 *
 *   calls_left = nth; ... calls_left = -1;       below 0 afterwards: it did fail
 *
 * For programs linked with --wrap of the four (Makefile), so that the calls of our objects come
 * here; those of libraries do not.
 */
#ifndef TESTS_UNIT_FAILING_MALLOC_H
#define TESTS_UNIT_FAILING_MALLOC_H

#include <stdbool.h>
#include <stddef.h>

static _Thread_local long calls_left = -1; /* until one fails; -1: none does */

static bool fails(void)
{
    return calls_left >= 0 && calls_left-- == 0;
}

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__real_reallocarray(void *old, size_t n, size_t bytes);
void *__wrap_reallocarray(void *old, size_t n, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    return fails() ? NULL : __real_calloc(n, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return fails() ? NULL : __real_realloc(old, bytes);
}

void *__wrap_reallocarray(void *old, size_t n, size_t bytes)
{
    return fails() ? NULL : __real_reallocarray(old, n, bytes);
}

#endif
