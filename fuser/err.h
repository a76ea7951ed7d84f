/* err.h - how the library reports an error: a code, and details in the caller's struct.
 *
 *     ferr_clear(error)                               at the entry of a public function
 *     return ferr_set(error, FUSER_INVALID, "...");   where it fails; the first one wins
 *
 * Threads: none of it is shared.
 */
#ifndef FUSER_ERR_H
#define FUSER_ERR_H

#include "fuser/fuser.h"

/* Forgets an earlier error. Takes NULL. */
void ferr_clear(struct fuser_error *error);

/* Notes code and text unless an error is noted already, or `error` is NULL. Returns code.
 */
enum fuser_err ferr_set(struct fuser_error *error, enum fuser_err code,
                        const char *format, ...) __attribute__((format(printf, 3, 4)));

/* FUSER_NOMEM, with its text. Here, so that an analyser sees that it is a failure. */
static inline enum fuser_err ferr_nomem(struct fuser_error *error)
{
    (void)ferr_set(error, FUSER_NOMEM, "out of memory");
    return FUSER_NOMEM;
}

#endif
