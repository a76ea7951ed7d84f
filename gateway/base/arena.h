/* arena.h - memory of one request: taken in pieces, given back all at once.
 *
 *   struct arena a;
 *   arena_init(&a, 1 << 20);
 *   char *p = arena_alloc(&a, n);        NULL: out of memory, or over the maximum
 *   ...
 *   arena_release(&a);
 *
 *   blocks:  newest -> [hdr|used....|free ] -> [hdr|used.........] -> NULL
 *
 * Pieces are never freed singly. Under AddressSanitizer what was not handed out is
 * poisoned and pieces are kept apart, so that an overrun is found as on the heap. One
 * thread.
 */
#ifndef GATEWAY_BASE_ARENA_H
#define GATEWAY_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "gateway/base/err.h"
#include "gateway/base/str.h"

struct arena_block;

struct arena {
    struct arena_block *newest; /* owned list */
    size_t taken_bytes;         /* held from malloc, headers included */
    size_t max_bytes;           /* taken_bytes never exceeds this */
};

void arena_init(struct arena *arena, size_t max_bytes); /* allocates nothing */
void arena_release(
    struct arena *arena);              /* frees all; a released arena may be used again */
void arena_clear(struct arena *arena); /* like release, but keeps the first block */

/* Aligned to 16 bytes, not zeroed; bytes == 0 gives a valid pointer. NULL: out of memory
 * or over the maximum. The piece lives until release or clear. */
NODISCARD void *arena_alloc(struct arena *arena, size_t bytes);
NODISCARD void *arena_zalloc(struct arena *arena, size_t bytes);
NODISCARD void *arena_array(struct arena *arena, size_t n,
                            size_t bytes_each); /* zeroed */

/* Copies; both end in a 0 that ret.n does not count. ERR_NOMEM. */
NODISCARD enum err arena_copy(struct arena *arena, struct str s, struct str *ret_copy);
/* Formats; NULL when there is no room. */
NODISCARD char *arena_printf(struct arena *arena, const char *format, ...)
    PRINTF_LIKE(2, 3);

#endif
