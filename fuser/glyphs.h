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

/* The same beyond ASCII. */
uint32_t glyph_lower_beyond(uint32_t c);
bool glyph_is_space_beyond(uint32_t c);
bool glyph_is_letter_beyond(uint32_t c);
bool glyph_is_cjk_beyond(uint32_t c);

/* Each character is asked for its kind several times, so what most of them are is inline. */

/* Lower case of Latin, Greek and Cyrillic letters; everything else stays. */
static inline uint32_t glyph_lower(uint32_t c)
{
    if (c >= 0x80)
        return glyph_lower_beyond(c);
    return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static inline bool glyph_is_space(uint32_t c)
{
    if (c >= 0x80)
        return glyph_is_space_beyond(c);
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* 0-9 */
static inline bool glyph_is_digit(uint32_t c)
{
    return c >= '0' && c <= '9';
}

/* Part of a word: a letter of any script; not a digit, space or ASCII punctuation. */
static inline bool glyph_is_letter(uint32_t c)
{
    if (c >= 0x80)
        return glyph_is_letter_beyond(c);
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static inline bool glyph_is_cjk(uint32_t c)
{
    return c >= 0x80 && glyph_is_cjk_beyond(c);
}

#endif
