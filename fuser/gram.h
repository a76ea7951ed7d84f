/* gram.h - a prompt as a bag of hashed word and character n-grams.
 *
 *     gram_count(bag, glyphs)
 *
 * Afterwards bag->used[0..n_used) lists the features met, in the order of their first
 * occurrence, and bag->count[] says how often.
 *
 * Features [0, GRAM_SPACE) are words, single digits, single symbols and pairs of them in
 * a row; [GRAM_SPACE, 2 * GRAM_SPACE) are runs of 3 to 5 characters inside a
 * blank-bounded word, its bounds included. Lower case. Hashed by XXH3: another hash is
 * another version of the lexical embedder.
 */
#ifndef FUSER_GRAM_H
#define FUSER_GRAM_H

#include <stdint.h>

#include "fuser/glyphs.h"

#define GRAM_BITS     13
#define GRAM_SPACE    (1u << GRAM_BITS)
#define GRAM_FEATURES (2 * GRAM_SPACE)

/* A character ends at most three runs, one word and one pair. */
#define GRAM_USED_MAX (5 * (GLYPHS_MAX + 2))

struct gram_bag {
    uint16_t count[GRAM_FEATURES]; /* at most GRAM_USED_MAX: it cannot overflow */
    uint16_t used[GRAM_USED_MAX];
    size_t n_used;
};

/* Fills the bag; what it held before is forgotten. */
void gram_count(struct gram_bag *bag, const struct glyphs *glyphs);

#endif
