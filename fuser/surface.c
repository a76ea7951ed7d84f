/* surface.c - what the form of a prompt says about it.
 *
 * The features are those of routing.md's prototype. Counts are taken over the clipped
 * characters (glyphs.h), lengths over the whole text.
 */
#include "fuser/surface.h"

#include <math.h>
#include <string.h>

#include "fuser/kernel.h"

/* One slot of the vector each, in this order, which is part of "surface@1". */
enum feature {
    LOG_CHARACTERS,
    LOG_WORDS,
    DIGITS,
    CAPITALS,
    OPERATORS,
    BRACKETS,
    CJK,
    LINES,
    CODE_WORDS,
    OPTIONS,
    QUESTIONS,
    WORD_LENGTH,
    BACKSLASHES,
    WHICH_OF,
    NEGATIONS,
    DISTINCT_WORDS,
    HOW_MANY,
    HOW_MUCH,
    N_FEATURES
};

_Static_assert(N_FEATURES == SURFACE_DIM, "every feature has its slot");

static const char *const code_words[] = { "def",   "return", "class",  "import",
                                          "int",   "void",   "print",  "for",
                                          "while", "string", "assert", "function" };

#define DISTINCT_BITS 11 /* more slots than words in a clipped text of ordinary words */

struct words {
    size_t n, letters, distinct, code, negations, which_of, how_many, how_much;
    uint8_t seen[1 << DISTINCT_BITS];
};

static bool is_word(const uint32_t *at, size_t n, const char *word)
{
    size_t i = 0;

    for (; i < n && word[i]; i++)
        if (glyph_lower(at[i]) != (unsigned char)word[i])
            return false;
    return i == n && !word[i];
}

/* The words from `at` on, one blank between them, are those of `phrase`. */
static bool begins_with(const uint32_t *at, size_t n, const char *phrase)
{
    for (size_t i = 0; phrase[i]; i++)
        if (i >= n || (phrase[i] == ' ' ? !glyph_is_space(at[i])
                                        : glyph_lower(at[i]) != (unsigned char)phrase[i]))
            return false;
    return true;
}

static void count_word(struct words *words, const uint32_t *at, size_t n, size_t rest)
{
    uint32_t hash = 2166136261u;         /* FNV-1a: only to tell words apart */
    uint32_t first = glyph_lower(at[0]); /* most words are none of those below */

    for (size_t i = 0; i < n; i++)
        hash = (hash ^ glyph_lower(at[i])) * 16777619u;
    hash = (hash ^ hash >> 15) & ((1u << DISTINCT_BITS) - 1);
    words->distinct += !words->seen[hash];
    words->seen[hash] = 1;
    words->n++;
    words->letters += n;
    for (size_t i = 0; i < sizeof code_words / sizeof *code_words; i++)
        if (first == (unsigned char)code_words[i][0])
            words->code += is_word(at, n, code_words[i]);
    if (first == 'n')
        words->negations += is_word(at, n, "not");
    if (first == 'w')
        words->which_of += begins_with(at, rest, "which of the following");
    if (first == 'h') {
        words->how_many += begins_with(at, rest, "how many");
        words->how_much += begins_with(at, rest, "how much");
    }
}

static void count_words(struct words *words, const struct glyphs *glyphs)
{
    memset(words, 0, sizeof *words);
    for (size_t i = 0; i < glyphs->n;) {
        size_t start = i;

        while (i < glyphs->n && glyph_is_letter(glyphs->at[i]))
            i++;
        if (i > start)
            count_word(words, glyphs->at + start, i - start, glyphs->n - start);
        else
            i++;
    }
}

/* "A." "A)" "(A)" "A:" at the beginning of a line or after a blank: the options of a
 * test. */
static bool is_option(const struct glyphs *glyphs, size_t i)
{
    uint32_t c = glyphs->at[i], next = i + 1 < glyphs->n ? glyphs->at[i + 1] : 0;
    uint32_t before = i > 0 ? glyphs->at[i - 1] : '\n';

    return c >= 'A' && c <= 'J' && (next == '.' || next == ')' || next == ':') &&
           (glyph_is_space(before) || before == '(');
}

static bool is_one_of(uint32_t c, const char *set)
{
    return c > 0 && c < 0x80 && strchr(set, (int)c);
}

void surface_features(const struct glyphs *glyphs, float ret[SURFACE_DIM])
{
    float count[SURFACE_DIM] = { 0 };
    float n = glyphs->n ? (float)glyphs->n : 1.0f;
    struct words words;
    float n_words;

    for (size_t i = 0; i < glyphs->n; i++) {
        uint32_t c = glyphs->at[i];

        if ((c >= 'a' && c <= 'z') || c == ' ')
            continue; /* nine in ten, and nothing that is counted here */
        count[DIGITS] += glyph_is_digit(c);
        count[CAPITALS] += c != glyph_lower(c);
        count[OPERATORS] += is_one_of(c, "+-*/=<>^%");
        count[BRACKETS] += is_one_of(c, "()[]{}");
        count[CJK] += glyph_is_cjk(c);
        count[LINES] += c == '\n';
        count[QUESTIONS] += c == '?';
        count[BACKSLASHES] += c == '\\';
        count[OPTIONS] += is_option(glyphs, i);
    }
    count_words(&words, glyphs);
    n_words = words.n ? (float)words.n : 1.0f;
    for (size_t f = 0; f < SURFACE_DIM; f++)
        ret[f] = count[f];
    ret[LOG_CHARACTERS] = logf(1.0f + (float)glyphs->bytes);
    ret[LOG_WORDS] = logf(1.0f + (float)words.n);
    for (enum feature f = DIGITS; f <= CJK; f++)
        ret[f] = count[f] / n;
    ret[LINES] = logf(1.0f + count[LINES]);
    ret[CODE_WORDS] = logf(1.0f + (float)words.code);
    ret[OPTIONS] = logf(1.0f + count[OPTIONS]);
    ret[QUESTIONS] = logf(1.0f + count[QUESTIONS]);
    ret[BACKSLASHES] = logf(1.0f + count[BACKSLASHES]);
    ret[WORD_LENGTH] = (float)words.letters / n_words;
    ret[DISTINCT_WORDS] = (float)words.distinct / n_words;
    ret[WHICH_OF] = words.which_of > 0;
    ret[NEGATIONS] = words.negations > 0;
    ret[HOW_MANY] = words.how_many > 0;
    ret[HOW_MUCH] = words.how_much > 0;
}

void surface_fit(struct surface *surface, const float *features, size_t n)
{
    memset(surface, 0, sizeof *surface);
    for (size_t f = 0; n > 0 && f < SURFACE_DIM; f++) {
        double sum = 0, squares = 0;

        for (size_t i = 0; i < n; i++)
            sum += (double)features[i * SURFACE_DIM + f];
        sum /= (double)n;
        for (size_t i = 0; i < n; i++) {
            double off = (double)features[i * SURFACE_DIM + f] - sum;

            squares += off * off;
        }
        squares = sqrt(squares / (double)n);
        surface->mean[f] = (float)sum;
        surface->scale[f] = squares > 1e-6 ? (float)(1.0 / squares) : 0.0f;
    }
}

static void standardise(const struct surface *surface, float *v)
{
    for (size_t f = 0; f < SURFACE_DIM; f++) {
        float x = (v[f] - surface->mean[f]) * surface->scale[f];

        v[f] = x > SURFACE_CLIP ? SURFACE_CLIP : x < -SURFACE_CLIP ? -SURFACE_CLIP : x;
    }
}

bool surface_embed(const struct surface *surface, const struct glyphs *glyphs,
                   float ret_vector[SURFACE_DIM])
{
    float v[SURFACE_DIM];

    surface_features(glyphs, v);
    standardise(surface, v);
    if (!kernel_unit(v, SURFACE_DIM))
        return false;
    memcpy(ret_vector, v, sizeof v);
    return true;
}

void surface_save(const struct surface *surface, struct sink *sink)
{
    sink_bytes(sink, surface->mean, sizeof surface->mean);
    sink_bytes(sink, surface->scale, sizeof surface->scale);
}

bool surface_load(struct surface *surface, struct source *source)
{
    for (size_t f = 0; f < SURFACE_DIM; f++)
        surface->mean[f] = source_f32(source);
    for (size_t f = 0; f < SURFACE_DIM; f++)
        surface->scale[f] = source_f32(source);
    return source_done(source) &&
           wire_floats_within(surface->mean, SURFACE_DIM, -1e9f, 1e9f, false) &&
           wire_floats_within(surface->scale, SURFACE_DIM, 0, 1e9f, false);
}
