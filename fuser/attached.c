/* attached.c - texts and bytes that a bundle carries for others. */
#include "fuser/attached.h"

#include <stdlib.h>
#include <string.h>

#include "fuser/err.h"

/* The bytes and a 0 behind them, which a text ends with. */
static void *copied(const void *bytes, size_t n)
{
    char *copy = malloc(n + 1);

    if (!copy)
        return NULL;
    memcpy(copy, bytes, n);
    copy[n] = '\0';
    return copy;
}

enum fuser_err attached_set(struct attached *attached, const char *origin,
                            const void *text_extra, size_t text_extra_bytes,
                            struct fuser_error *error)
{
    struct attached made = { .origin_bytes = origin ? strlen(origin) : 0,
                             .text_extra_bytes = text_extra ? text_extra_bytes : 0 };

    if (made.origin_bytes > FUSER_ORIGIN_MAX)
        return ferr_set(error, FUSER_TOO_LARGE,
                        "the origin of the bundle is longer than %d bytes",
                        FUSER_ORIGIN_MAX);
    if (made.text_extra_bytes > FUSER_TEXT_EXTRA_MAX)
        return ferr_set(error, FUSER_TOO_LARGE,
                        "what belongs to the routing texts is longer than %d bytes",
                        FUSER_TEXT_EXTRA_MAX);
    if (made.origin_bytes > 0)
        made.origin = copied(origin, made.origin_bytes);
    if (made.text_extra_bytes > 0)
        made.text_extra = copied(text_extra, text_extra_bytes);
    if ((made.origin_bytes > 0 && !made.origin) ||
        (made.text_extra_bytes > 0 && !made.text_extra)) {
        attached_release(&made);
        return ferr_nomem(error);
    }
    *attached = made;
    return FUSER_OK;
}

void attached_release(struct attached *attached)
{
    free(attached->origin);
    free(attached->text_extra);
    *attached = (struct attached){ 0 };
}

/* All that is left of a source, 1..most bytes. */
static enum fuser_err take_rest(struct source *source, size_t most, void **ret_bytes,
                                size_t *ret_n)
{
    size_t n = source->left;
    void *bytes;

    if (n == 0 || n > most)
        return FUSER_CORRUPT;
    bytes = copied(source->at, n);
    if (!bytes)
        return FUSER_NOMEM;
    source->at += n;
    source->left = 0;
    *ret_bytes = bytes;
    *ret_n = n;
    return FUSER_OK;
}

enum fuser_err attached_load_origin(struct attached *attached, struct source *source)
{
    if (memchr(source->at, '\0', source->left))
        return FUSER_CORRUPT;
    return take_rest(source, FUSER_ORIGIN_MAX, (void **)&attached->origin,
                     &attached->origin_bytes);
}

enum fuser_err attached_load_text_extra(struct attached *attached, struct source *source)
{
    return take_rest(source, FUSER_TEXT_EXTRA_MAX, &attached->text_extra,
                     &attached->text_extra_bytes);
}
