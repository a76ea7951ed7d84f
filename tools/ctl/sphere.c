/* sphere.c - k-means++ and Lloyd's rounds by cosine. */
#include "tools/ctl/sphere.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/dice.h"
#include "tools/ctl/memory.h"

static float dot(const float *a, const float *b, size_t dim)
{
    float sum = 0;

    for (size_t d = 0; d < dim; d++)
        sum += a[d] * b[d];
    return sum;
}

size_t sphere_nearest(const float *vector, const float *centres, size_t dim, size_t k)
{
    size_t best = 0;
    float most = -2;

    for (size_t c = 0; c < k; c++) {
        float cosine = dot(vector, centres + c * dim, dim);
        if (cosine > most) {
            most = cosine;
            best = c;
        }
    }
    return best;
}

/* The next beginning: a vector, the likelier the farther it is from those chosen. */
static size_t draw(const double *far, size_t n, struct dice *dice)
{
    double all = 0;

    for (size_t i = 0; i < n; i++)
        all += far[i];
    double at = all * (double)dice_below(dice, 1u << 30) / (double)(1u << 30);
    for (size_t i = 0; i < n; i++) {
        at -= far[i];
        if (at < 0)
            return i;
    }
    return dice_below(dice, n);
}

static void begin(const float *vectors, size_t n, size_t dim, size_t k, float *centres)
{
    struct dice dice = dice_seeded(k);
    double *far = memory_new(n, sizeof(*far));

    for (size_t i = 0; i < n; i++)
        far[i] = 1;
    for (size_t c = 0; c < k; c++) {
        size_t chosen = draw(far, n, &dice);
        memcpy(centres + c * dim, vectors + chosen * dim, dim * sizeof(*centres));
        for (size_t i = 0; i < n; i++) {
            double distance = 1 - dot(vectors + i * dim, centres + c * dim, dim);
            distance = distance > 0 ? distance : 0;
            far[i] = c == 0 || distance < far[i] ? distance : far[i];
        }
    }
    free(far);
}

/* A group without members keeps its centre. */
static void move(const float *vectors, const size_t *of, size_t n, size_t dim, size_t k,
                 float *centres)
{
    float *sums = memory_new(k * dim, sizeof(*sums));

    for (size_t i = 0; i < n; i++) {
        for (size_t d = 0; d < dim; d++)
            sums[of[i] * dim + d] += vectors[i * dim + d];
    }
    for (size_t c = 0; c < k; c++) {
        float length = sqrtf(dot(sums + c * dim, sums + c * dim, dim));
        for (size_t d = 0; length > 0 && d < dim; d++)
            centres[c * dim + d] = sums[c * dim + d] / length;
    }
    free(sums);
}

static double silhouette(const float *vectors, const size_t *of, size_t n, size_t dim,
                         size_t k, const float *centres)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        double own = 1 - dot(vectors + i * dim, centres + of[i] * dim, dim), next = 2;
        for (size_t c = 0; c < k; c++) {
            double distance = 1 - dot(vectors + i * dim, centres + c * dim, dim);
            if (c != of[i] && distance < next)
                next = distance;
        }
        double larger = own > next ? own : next;
        sum += larger > 0 ? (next - own) / larger : 0;
    }
    return sum / (double)n;
}

double sphere_kmeans(const float *vectors, size_t n, size_t dim, size_t k,
                     float *ret_centres)
{
    size_t *of = memory_new(n, sizeof(*of));
    bool moved = true;

    begin(vectors, n, dim, k, ret_centres);
    for (size_t round = 0; round < SPHERE_ROUNDS && moved; round++) {
        moved = round == 0;
        for (size_t i = 0; i < n; i++) {
            size_t now = sphere_nearest(vectors + i * dim, ret_centres, dim, k);
            moved = moved || now != of[i];
            of[i] = now;
        }
        move(vectors, of, n, dim, k, ret_centres);
    }
    double quality = silhouette(vectors, of, n, dim, k, ret_centres);
    free(of);
    return quality;
}
