/* gram.c - hashed word and character n-grams.
 *
 * The character runs are bounded by blanks, not by the kind of character, so that "f(x)"
 * and "3rd" leave traces of their shape; the words are bounded by kind, so that "x+1" is
 * three.
 */
#include "fuser/gram.h"

#include <assert.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SHORTEST      3
#define LONGEST       5

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE void bag_add(struct gram_bag *bag, uint32_t base, uint64_t hash)
{
    uint32_t feature = base + (uint32_t)(hash >> (64 - GRAM_BITS));

    assert(bag->n_used < GRAM_USED_MAX);
    bag->used[bag->n_used] = (uint16_t)feature;
    bag->n_used += bag->count[feature]++ == 0; /* nobody could foretell a branch */
}

/* Words, digits, symbols, and each pair of neighbours. */
static void count_words(struct gram_bag *bag, const uint32_t *at, size_t n)
{
    uint64_t pair[2] = { 0, 0 };
    bool has_previous = false;

    for (size_t i = 0; i < n;) {
        size_t start = i;

        if (glyph_is_space(at[i])) {
            i++;
            continue;
        }
        if (glyph_is_letter(at[i]) && !glyph_is_cjk(at[i]))
            while (i < n && glyph_is_letter(at[i]) && !glyph_is_cjk(at[i]))
                i++;
        else
            i++;
        pair[0] = pair[1];
        pair[1] = XXH3_64bits(at + start, (i - start) * sizeof *at);
        bag_add(bag, 0, pair[1]);
        if (has_previous)
            bag_add(bag, 0, XXH3_64bits(pair, sizeof pair));
        has_previous = true;
    }
}

/* Runs of so many characters of one padded word; where it has no more than that, the word itself. False: longer ones
 * would be the same. */
ALWAYS_INLINE bool count_length(struct gram_bag *bag, const uint32_t *word, size_t n,
                                size_t length)
{
    if (n <= length) {
        bag_add(bag, GRAM_SPACE, XXH3_64bits(word, n * sizeof *word));
        return false;
    }
    for (size_t i = 0; i + length <= n; i++)
        bag_add(bag, GRAM_SPACE, XXH3_64bits(word + i, length * sizeof *word));
    return true;
}

/* Each length by itself: the hash of so many bytes is then a dozen instructions. */
static void count_runs(struct gram_bag *bag, const uint32_t *word, size_t n)
{
    _Static_assert(SHORTEST == 3 && LONGEST == 5, "these are all lengths");
    (void)(count_length(bag, word, n, 3) && count_length(bag, word, n, 4) &&
           count_length(bag, word, n, 5));
}

void gram_count(struct gram_bag *bag, const struct glyphs *glyphs)
{
    /* The text between two blanks: bounds are real blanks or these. */
    uint32_t text[GLYPHS_MAX + 2];
    size_t n = glyphs->n + 2;

    _Static_assert(GRAM_FEATURES <= UINT16_MAX + 1, "a feature fits into used[]");
    _Static_assert(GRAM_USED_MAX <= UINT16_MAX, "a count fits into count[]");
    assert(glyphs->n <= GLYPHS_MAX);
    memset(bag->count, 0, sizeof bag->count);
    bag->n_used = 0;
    text[0] = ' ';
    text[n - 1] = ' ';
    for (size_t i = 0; i < glyphs->n; i++) {
        uint32_t c = glyphs->at[i];

        text[i + 1] = glyph_is_space(c) ? ' ' : glyph_lower(c);
    }
    count_words(bag, text, n);
    for (size_t i = 1; i < n; i++) {
        size_t start = i;

        while (i < n && text[i] != ' ')
            i++;
        if (i > start)
            count_runs(bag, text + start - 1, i - start + 2);
    }
}
