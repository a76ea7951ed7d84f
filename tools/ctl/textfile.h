/* textfile.h - a file that is read whole, and replaced by a new text without losing the old one.
 *
 *   textfile_read(path, CONFIG_MAX_FILE, &text, &fault)
 *   textfile_replace(path, buf_str(&text), &backup, &fault)     path and path.DATE.bak
 *
 * Replacing writes aside, syncs and renames, so that a reader sees the old text or the new one;
 * a link is followed, and owner and mode stay. The old text is kept beside it under a name that
 * is not taken.
 */
#ifndef TOOLS_CTL_TEXTFILE_H
#define TOOLS_CTL_TEXTFILE_H

#include <stddef.h>

#include "gateway/base/buf.h"
#include "gateway/base/str.h"
#include "tools/ctl/fault.h"

/* *ret_text is initialised here and the caller's to release, also on failure. */
NODISCARD enum fault_err textfile_read(const char *path, size_t max_bytes,
                                       struct buf *ret_text, struct fault *fault);
/* *ret_backup: the name of the old text, the caller's to free. */
NODISCARD enum fault_err textfile_replace(const char *path, struct str text,
                                          char **ret_backup, struct fault *fault);

#endif
