/* lexical.h - the built-in embedder of words, characters and form.
 *
 *     lexical_fit(texts) -> lexical_embed(text) -> unit vector of lexical_dim() floats
 *
 * A prompt becomes (1 + log count) * idf of its hashed n-grams (gram.h), of unit length,
 * and that is projected on the leading right singular vectors of the calibration prompts
 * (latent semantic analysis), of unit length again. Fitting takes a sample of LEXICAL_ROWS
 * texts; embedding takes some tens of microseconds and at most GLYPHS_MAX characters.
 *
 *   "lexical@1"  that
 *   "lexical@2"  that and, behind it, the eighteen features of form (surface.h): a tenth of every squared
 *                distance is theirs. What is said does not tell how long and how intricate it is, and
 *                where all prompts are of one kind that is what tells the experts apart.
 *
 * Threads: immutable once fitted.
 */
#ifndef FUSER_LEXICAL_H
#define FUSER_LEXICAL_H

#include "fuser/glyphs.h"
#include "fuser/surface.h"
#include "fuser/wire.h"

#define LEXICAL_MODEL      "lexical@2" /* the newest, unless the builder is told another */
#define LEXICAL_DIM        (128 + SURFACE_DIM) /* the same */
#define LEXICAL_FORM_SHARE 0.1f /* of the squared length, part of "lexical@2" */
#define LEXICAL_ROWS       8192 /* texts in a fit */
#define LEXICAL_DIM_MAX    1024

struct lexical; /* shared by reference count */

/* One prompt to fit on; borrowed during the call. */
struct lexical_text {
    const char *text;
    size_t bytes;
};

/* 1 or 2 of "lexical@1" and "lexical@2"; 0: there is no such model. */
unsigned lexical_version(const char *model);

/* dim: wanted, of words and form together; fewer when the texts do not span as many, and of words at
 * least one. INVALID when no text says anything. */
FUSER_NODISCARD enum fuser_err lexical_fit(const struct lexical_text *texts, size_t n,
                                           unsigned version, size_t dim, uint64_t seed,
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
FUSER_NODISCARD enum fuser_err lexical_load(struct source *source, unsigned version,
                                            struct lexical **ret_lexical);

#endif
