/* aside.h - files that somebody may be reading are written aside, synced and renamed. */
#ifndef TOOLS_CTL_ASIDE_H
#define TOOLS_CTL_ASIDE_H

#include <stddef.h>

#include <jansson.h>

#include "tools/ctl/fault.h"

#define ASIDE_SUFFIX ".new" /* of the file that is written aside */

NODISCARD enum fault_err aside_write(const char *path, const void *bytes, size_t n,
                                     struct fault *fault);
/* The document, indented, and a newline. */
NODISCARD enum fault_err aside_json(const char *path, const json_t *json,
                                    struct fault *fault);
/* A copy of `from` under the name `path`. */
NODISCARD enum fault_err aside_copy(const char *from, const char *path,
                                    struct fault *fault);
/* The folder of a path on the disk, too: so that a rename in it survives a power cut. */
NODISCARD enum fault_err aside_sync_folder(const char *path, struct fault *fault);

#endif
