/* embed.h - embed-small: a real, if small, embedding model.
 *
 * Character 4-grams across word borders and whole words are hashed, weighted by position
 * and square-rooted frequency, and projected by a fixed random matrix of signs (sparse
 * random projection; Achlioptas 2003). It sees other things than the gateway's `lexical`:
 * no idf and nothing fitted, but numbers by their size and the order of the text.
 */
#ifndef TOOLS_EXPERTS_EMBED_H
#define TOOLS_EXPERTS_EMBED_H

#include <stddef.h>

#define EMBED_MODEL   "embed-small"
#define EMBED_DIM     64
#define EMBED_DIM_MAX 4096

/* ret_vector: dim floats of unit length; an empty text has one too. */
void embed_text(const char *text, size_t bytes, size_t dim, float *ret_vector);

#endif
