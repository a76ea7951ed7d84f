/* glyphs.c - decoding and clipping of a prompt, and what kind of character each is.
 *
 * The classes are tables of our own rather than <wctype.h>: a locale must not change a
 * vector. What must always hold: no more than GLYPHS_MAX code points, and time bounded by
 * them however long the text is (the last thousand are found backwards from the end).
 */
#include "fuser/glyphs.h"

#define REPLACEMENT 0xFFFDu

/* Decodes one code point at text (bytes >= 1). Returns the bytes it takes. */
static size_t decode(const unsigned char *text, size_t bytes, uint32_t *ret)
{
    unsigned char first = text[0];
    size_t length = first < 0x80   ? 1
                    : first < 0xC2 ? 0
                    : first < 0xE0 ? 2
                    : first < 0xF0 ? 3
                    : first < 0xF5 ? 4
                                   : 0;
    uint32_t c;

    *ret = first;
    if (length == 1)
        return 1;
    *ret = REPLACEMENT;
    if (length == 0 || length > bytes)
        return 1;
    c = first & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 1;
        c = c << 6 | (text[i] & 0x3Fu);
    }
    if ((length == 3 && c < 0x800) || (length == 4 && (c < 0x10000 || c > 0x10FFFF)) ||
        (c >= 0xD800 && c < 0xE000))
        return 1;
    *ret = c;
    return length;
}

/* Where the last `n` code points before `end` begin; not before `floor`. */
static size_t step_back(const unsigned char *text, size_t floor, size_t end, size_t n)
{
    while (end > floor && n > 0) {
        size_t tail = 0;

        end--;
        while (end > floor && tail < 3 && (text[end] & 0xC0) == 0x80) {
            end--;
            tail++;
        }
        n--;
    }
    return end;
}

void glyphs_read(struct glyphs *glyphs, const char *text, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t i = 0, n = 0;

    glyphs->bytes = bytes;
    while (i < bytes && n < GLYPHS_SIDE)
        i += decode(at + i, bytes - i, &glyphs->at[n++]);
    if (i < bytes) {
        size_t tail = step_back(at, i, bytes, GLYPHS_SIDE);

        if (tail > i)
            glyphs->at[n++] = ' ';
        for (i = tail; i < bytes && n < GLYPHS_MAX;)
            i += decode(at + i, bytes - i, &glyphs->at[n++]);
    }
    glyphs->n = n;
}

uint32_t glyph_lower_beyond(uint32_t c)
{
    if (c >= 0xC0 && c <= 0xDE && c != 0xD7)
        return c + 32;
    if ((c >= 0x100 && c <= 0x137) || (c >= 0x14A && c <= 0x177))
        return c | 1;
    if (c >= 0x391 && c <= 0x3A9 && c != 0x3A2)
        return c + 32;
    if (c >= 0x410 && c <= 0x42F)
        return c + 32;
    if (c >= 0x400 && c <= 0x40F)
        return c + 80;
    return c;
}

bool glyph_is_space_beyond(uint32_t c)
{
    return c == 0x85 || c == 0xA0 || c == 0x3000 || (c >= 0x2000 && c <= 0x200A) ||
           c == 0x2028 || c == 0x2029;
}

bool glyph_is_letter_beyond(uint32_t c)
{
    if (c < 0xC0) /* Latin-1 signs, but for the ordinals and the micro sign */
        return c == 0xAA || c == 0xB5 || c == 0xBA;
    return c != 0xD7 && c != 0xF7 && !(c >= 0x2000 && c < 0x2C00) &&
           !(c >= 0x3000 && c < 0x3040) && !(c >= 0xFF00 && c < 0xFF21) &&
           c != REPLACEMENT && !(c >= 0x1F000 && c < 0x20000);
}

bool glyph_is_cjk_beyond(uint32_t c)
{
    return (c >= 0x3040 && c < 0xA000) || (c >= 0xAC00 && c < 0xD7B0) ||
           (c >= 0xF900 && c < 0xFB00) || (c >= 0x20000 && c < 0x32000);
}
