/* glyphs.h - the characters of a prompt that the built-in embedders look at.
 *
 * A prompt of any length becomes at most GLYPHS_MAX code points: all of it, or its first
 * and its last thousand with a space between. So the cost of a built-in embedder is
 * bounded. Bytes that are not UTF-8 become U+FFFD, one each; nothing is refused.
 */
#ifndef FUSER_GLYPHS_H
#define FUSER_GLYPHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GLYPHS_SIDE 1000 /* code points kept at either end */
#define GLYPHS_MAX  (2 * GLYPHS_SIDE + 1)

struct glyphs {
    uint32_t at[GLYPHS_MAX];
    size_t n;
    size_t bytes; /* length of the whole text */
};

/* text: need not end in 0; may be NULL when bytes is 0. */
void glyphs_read(struct glyphs *glyphs, const char *text, size_t bytes);

/* Lower case of Latin, Greek and Cyrillic letters; everything else stays. */
uint32_t glyph_lower(uint32_t c);
bool glyph_is_space(uint32_t c);
bool glyph_is_digit(uint32_t c); /* 0-9 */
/* Part of a word: a letter of any script; not a digit, space or ASCII punctuation. */
bool glyph_is_letter(uint32_t c);
bool glyph_is_cjk(uint32_t c);

#endif
