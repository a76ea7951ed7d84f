/* history.h - a file and its former versions: FILE, FILE.1 the last, FILE.2 the one before, ...
 *
 * FILE is there at every moment: what comes is written aside and renamed, what goes is copied first.
 * The version that is one too many is FILE.gone until it is sure that the new one stays.
 */
#ifndef TOOLS_CTL_HISTORY_H
#define TOOLS_CTL_HISTORY_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/ctl/fault.h"

#define HISTORY_MAX 99

/* Puts a copy of `from` in the place of `path`; what was there becomes path.1, and of older ones
 * `keep` remain. Without a file at `path` nothing is kept. */
NODISCARD enum fault_err history_put(const char *path, const char *from, size_t keep,
                                     struct fault *fault);
/* After history_put with the same `keep`: all names and contents as before it. `had`: there was a
 * file at `path`. */
NODISCARD enum fault_err history_undo(const char *path, bool had, size_t keep,
                                      struct fault *fault);
/* After history_put that nobody will undo: the version that was one too many goes. */
void history_forget(const char *path);
/* path and path.1 change places: done twice it is undone. */
NODISCARD enum fault_err history_swap(const char *path, struct fault *fault);
/* Is there a path.1? */
bool history_has(const char *path);
/* path.number; to be freed. */
char *history_name(const char *path, size_t number);

#endif
