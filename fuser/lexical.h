/* lexical.h - the built-in embedder of words and characters, "lexical@1".
 *
 *     lexical_fit(texts) -> lexical_embed(text) -> unit vector of lexical_dim() floats
 *
 * A prompt becomes (1 + log count) * idf of its hashed n-grams (gram.h), of unit length,
 * and that is projected on the leading right singular vectors of the calibration prompts
 * (latent semantic analysis). Fitting takes a sample of LEXICAL_ROWS texts; embedding
 * takes some tens of microseconds and at most GLYPHS_MAX characters.
 *
 * Threads: immutable once fitted.
 */
#ifndef FUSER_LEXICAL_H
#define FUSER_LEXICAL_H

#include "fuser/glyphs.h"
#include "fuser/wire.h"

#define LEXICAL_MODEL   "lexical@1"
#define LEXICAL_DIM     128  /* unless the builder is told another */
#define LEXICAL_ROWS    8192 /* texts in a fit */
#define LEXICAL_DIM_MAX 1024

struct lexical; /* shared by reference count */

/* One prompt to fit on; borrowed during the call. */
struct lexical_text {
    const char *text;
    size_t bytes;
};

/* dim: wanted; fewer when the texts do not span as many. INVALID when no text says
 * anything. */
FUSER_NODISCARD enum fuser_err lexical_fit(const struct lexical_text *texts, size_t n,
                                           size_t dim, uint64_t seed,
                                           struct lexical **ret_lexical,
                                           struct fuser_error *error);
struct lexical *
lexical_ref(struct lexical *lexical);       /* bundles with rows added share it */
void lexical_free(struct lexical *lexical); /* drops one reference; takes NULL */
size_t lexical_dim(const struct lexical *lexical);

/* ret_vector: lexical_dim() floats. False when the text leaves nothing to go by:
 * untouched. */
bool lexical_embed(const struct lexical *lexical, const struct glyphs *glyphs,
                   float *ret_vector);

void lexical_save(const struct lexical *lexical, struct sink *sink);
FUSER_NODISCARD enum fuser_err lexical_load(struct source *source,
                                            struct lexical **ret_lexical);

#endif
