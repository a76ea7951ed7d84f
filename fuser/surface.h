/* surface.h - the built-in embedder of a prompt's form, "surface@1".
 *
 *     surface_fit(features of n prompts)
 *     surface_embed(text) -> unit vector of SURFACE_DIM floats
 *
 * Eighteen features that need no vocabulary: length, shares of digits, capitals,
 * operators, brackets and CJK, lines, code words, options, questions. Standardised over
 * the calibration prompts, clipped to +-4, brought to unit length.
 *
 * Threads: plain values.
 */
#ifndef FUSER_SURFACE_H
#define FUSER_SURFACE_H

#include "fuser/glyphs.h"
#include "fuser/wire.h"

#define SURFACE_MODEL "surface@1"
#define SURFACE_DIM   18
#define SURFACE_CLIP  4.0f

struct surface {
    float mean[SURFACE_DIM];
    float scale[SURFACE_DIM]; /* 1 / standard deviation; 0 for a feature that never varies
                               */
};

/* The features as counted. */
void surface_features(const struct glyphs *glyphs, float ret[SURFACE_DIM]);

/* features: n x SURFACE_DIM */
void surface_fit(struct surface *surface, const float *features, size_t n);

/* False when the prompt is average in everything: it says nothing, ret is untouched. */
bool surface_embed(const struct surface *surface, const struct glyphs *glyphs,
                   float ret_vector[SURFACE_DIM]);

void surface_save(const struct surface *surface, struct sink *sink);
bool surface_load(struct surface *surface, struct source *source);

#endif
