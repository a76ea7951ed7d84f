/* embed.c - see embed.h. */
#include "tools/experts/embed.h"

#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "tools/experts/dice.h"

enum { GRAM = 4, TEXT_BYTES = 4096 };

static uint64_t hash(const char *p, size_t n, uint64_t seed)
{
    uint64_t h = 0xcbf29ce484222325u ^ seed;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
    return h;
}

/* Eight coordinates of a feature's sign vector are not zero. */
static void add(uint64_t feature, float weight, size_t dim, float *vector)
{
    struct dice dice = { feature };
    for (int i = 0; i < 8; i++) {
        uint64_t draw = dice_next(&dice);
        vector[(draw >> 1) % dim] += draw & 1 ? weight : -weight;
    }
}

/* Lower case, digits all alike but for their number: "1987" and "2024" are both "0000". */
static size_t fold(const char *text, size_t bytes, char *ret)
{
    size_t n = 0;
    ret[n++] = ' ';
    for (size_t i = 0; i < bytes && n < TEXT_BYTES - 1; i++) {
        unsigned char c = (unsigned char)text[i];
        ret[n++] = isdigit(c) != 0 ? '0' : isspace(c) != 0 ? ' ' : (char)tolower(c);
    }
    ret[n++] = ' ';
    return n;
}

void embed_text(const char *text, size_t bytes, size_t dim, float *ret_vector)
{
    char folded[TEXT_BYTES];
    size_t n = fold(text, bytes, folded);
    memset(ret_vector, 0, dim * sizeof *ret_vector);
    for (size_t i = 0; i + GRAM <= n; i++)
        add(hash(folded + i, GRAM, 1), 1, dim, ret_vector);
    for (size_t start = 1, i = 1; i < n; i++) {
        if (folded[i] != ' ')
            continue;
        /* Words near the ends of a prompt say more of what is asked. */
        float near_end = start < 40 || n - i < 40 ? 3.0f : 1.5f;
        if (i > start)
            add(hash(folded + start, i - start, 2), near_end, dim, ret_vector);
        start = i + 1;
    }
    add(hash("", 0, 3), 0.5f, dim, ret_vector);
    add(hash("length", 6, 4 + (uint64_t)log2((double)n + 1)), 3, dim, ret_vector);
    double square = 0;
    for (size_t d = 0; d < dim; d++) {
        float v = ret_vector[d];
        ret_vector[d] = v < 0 ? -sqrtf(-v) : sqrtf(v);
        square += fabs((double)v);
    }
    if (square == 0) {
        ret_vector[0] = 1;
        return;
    }
    for (size_t d = 0; d < dim; d++)
        ret_vector[d] = (float)(ret_vector[d] / sqrt(square));
}
