/* arena.c - a list of blocks, filled from the newest.
 *
 * Holds always: taken_bytes is the sum over the list and never above max_bytes; in every
 * block header <= used <= size. A piece larger than a block gets a block of its own behind
 * the newest, so that the newest keeps its room.
 */
#include "gateway/base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#    define ARENA_ASAN 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define ARENA_ASAN 1
#    endif
#endif

#ifdef ARENA_ASAN
#    include <sanitizer/asan_interface.h>
#    define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#    define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#    define REDZONE_BYTES  16
#else
#    define POISON(p, n)   ((void)(p), (void)(n))
#    define UNPOISON(p, n) ((void)(p), (void)(n))
#    define REDZONE_BYTES  0
#endif

#define ALIGNMENT   16
#define BLOCK_BYTES 4096

struct arena_block {
    struct arena_block *older;
    size_t size; /* of the block, this header included */
    size_t used;
    size_t unused; /* keeps the header a multiple of ALIGNMENT */
};

static_assert(sizeof(struct arena_block) % ALIGNMENT == 0, "pieces start aligned");

void arena_init(struct arena *arena, size_t max_bytes)
{
    *arena = (struct arena){ .max_bytes = max_bytes };
}

static void free_from(struct arena *arena, struct arena_block *block)
{
    while (block) {
        struct arena_block *older = block->older;

        arena->taken_bytes -= block->size;
        UNPOISON(block, block->size);
        free(block);
        block = older;
    }
}

void arena_release(struct arena *arena)
{
    free_from(arena, arena->newest);
    arena->newest = NULL;
    assert(arena->taken_bytes == 0);
}

void arena_clear(struct arena *arena)
{
    struct arena_block *kept = arena->newest;

    if (!kept)
        return;
    free_from(arena, kept->older);
    kept->older = NULL;
    kept->used = sizeof(*kept);
    POISON((char *)kept + kept->used, kept->size - kept->used);
}

static struct arena_block *block_new(struct arena *arena, size_t piece)
{
    size_t room = arena->max_bytes - arena->taken_bytes;
    size_t size = BLOCK_BYTES;
    struct arena_block *block;

    if (piece > SIZE_MAX - sizeof(*block))
        return NULL;
    if (size < piece + sizeof(*block))
        size = piece + sizeof(*block);
    if (size > room)
        size = piece + sizeof(*block);
    if (size > room)
        return NULL;
    block = malloc(size);
    if (!block)
        return NULL;
    *block = (struct arena_block){ .size = size, .used = sizeof(*block) };
    POISON((char *)block + block->used, block->size - block->used);
    arena->taken_bytes += size;
    return block;
}

static struct arena_block *block_with_room(struct arena *arena, size_t piece)
{
    struct arena_block *newest = arena->newest;
    struct arena_block *block;

    if (newest && newest->size - newest->used >= piece)
        return newest;
    block = block_new(arena, piece);
    if (!block)
        return NULL;
    if (newest && piece > BLOCK_BYTES / 2) {
        block->older = newest->older;
        newest->older = block;
    } else {
        block->older = newest;
        arena->newest = block;
    }
    return block;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    struct arena_block *block;
    size_t piece;
    char *p;

    if (bytes > SIZE_MAX / 2)
        return NULL;
    piece = (bytes + REDZONE_BYTES + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    block = block_with_room(arena, piece);
    if (!block)
        return NULL;
    p = (char *)block + block->used;
    block->used += piece;
    UNPOISON(p, bytes);
    return p;
}

void *arena_zalloc(struct arena *arena, size_t bytes)
{
    void *p = arena_alloc(arena, bytes);

    if (p)
        memset(p, 0, bytes);
    return p;
}

void *arena_array(struct arena *arena, size_t n, size_t bytes_each)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, bytes_each, &bytes))
        return NULL;
    return arena_zalloc(arena, bytes);
}

enum err arena_copy(struct arena *arena, struct str s, struct str *ret_copy)
{
    char *p = s.n < SIZE_MAX ? arena_alloc(arena, s.n + 1) : NULL;

    if (!p)
        return ERR_NOMEM;
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    *ret_copy = (struct str){ p, s.n };
    return ERR_OK;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list arguments, again;
    char text[256]; /* most fit: one pass */
    char *p = NULL;
    int n;

    va_start(arguments, format);
    va_copy(again, arguments);
    n = vsnprintf(text, sizeof(text), format, arguments);
    if (n >= 0)
        p = arena_alloc(arena, (size_t)n + 1);
    if (p && (size_t)n < sizeof(text))
        memcpy(p, text, (size_t)n + 1);
    else if (p)
        (void)vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    va_end(arguments);
    return p;
}
