/* tokens.h - the experts' own tokenizer.
 *
 * A token is up to five letters, up to three digits, or one other character (a whole UTF-8
 * sequence), together with the one blank before it. Counts are therefore real: what is
 * billed is what was read and what was written.
 */
#ifndef TOOLS_EXPERTS_TOKENS_H
#define TOOLS_EXPERTS_TOKENS_H

#include <stddef.h>

/* Bytes of the token that begins at p; 0 only if n is 0. */
size_t tokens_next(const char *p, size_t n);

size_t tokens_count(const char *p, size_t n);

/* Bytes of the first `tokens` tokens. */
size_t tokens_prefix(const char *p, size_t n, size_t tokens);

#endif
