/* alias.h - other names under which experts and scripts are served, as an Ollama would have them.
 *
 *   aliases_new("llama3.2:1b=arithmetic nomic-embed-text=embed-small", &aliases, error, bytes)
 *   aliases_find(aliases, "llama3.2:1b")     "arithmetic"; a name that is none comes back as it is
 *   aliases_free(aliases)
 *
 * With aliases GET /v1/models lists them alone. Read-only once made; any thread.
 */
#ifndef TOOLS_EXPERTS_ALIAS_H
#define TOOLS_EXPERTS_ALIAS_H

#include <stddef.h>

#include "gateway/base/err.h"

#define ALIASES_MAX 64

struct aliases;

/* Pairs NAME=MODEL with blanks between them. error: what is wrong with them. */
NODISCARD enum err aliases_new(const char *text, struct aliases **ret_aliases,
                               char *error, size_t error_bytes);
void aliases_free(struct aliases *aliases); /* takes NULL */

/* aliases NULL: there are none. */
const char *aliases_find(const struct aliases *aliases, const char *name);
size_t aliases_count(const struct aliases *aliases);
const char *aliases_name(const struct aliases *aliases, size_t i);

#endif
