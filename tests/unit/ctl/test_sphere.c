/* test_sphere.c - groups that lie apart are found, and their number is the best one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tools/ctl/dice.h"
#include "tools/ctl/sphere.h"

#define N   120
#define DIM 8
#define K   3

/* Vector i is of group i % K: near axis i % K. */
static void make(float vectors[N * DIM])
{
    struct dice dice = dice_seeded(5);

    for (size_t i = 0; i < N; i++) {
        float length = 0;
        for (size_t d = 0; d < DIM; d++) {
            float noise = (float)dice_below(&dice, 1000) / 4000.0f;
            vectors[i * DIM + d] = noise + (d == i % K ? 1.0f : 0.0f);
            length += vectors[i * DIM + d] * vectors[i * DIM + d];
        }
        for (size_t d = 0; d < DIM; d++)
            vectors[i * DIM + d] /= sqrtf(length);
    }
}

static void groups_that_lie_apart_are_found(void **state)
{
    float vectors[N * DIM], centres[K * DIM];

    (void)state;
    make(vectors);
    assert_true(sphere_kmeans(vectors, N, DIM, K, centres) > 0.8);
    for (size_t i = K; i < N; i++)
        assert_int_equal(sphere_nearest(vectors + i * DIM, centres, DIM, K),
                         sphere_nearest(vectors + (i - K) * DIM, centres, DIM, K));
    assert_int_not_equal(sphere_nearest(vectors, centres, DIM, K),
                         sphere_nearest(vectors + DIM, centres, DIM, K));
}

static void their_number_has_the_best_silhouette(void **state)
{
    float vectors[N * DIM], centres[6 * DIM];
    double best = -2;
    size_t chosen = 0;

    (void)state;
    make(vectors);
    for (size_t k = 2; k <= 6; k++) {
        double quality = sphere_kmeans(vectors, N, DIM, k, centres);
        if (quality > best) {
            best = quality;
            chosen = k;
        }
    }
    assert_int_equal(chosen, K);
}

static void equal_vectors_and_one_group_are_no_trouble(void **state)
{
    float vectors[4 * DIM] = { 0 }, centres[4 * DIM];

    (void)state;
    for (size_t i = 0; i < 4; i++)
        vectors[i * DIM] = 1;
    (void)sphere_kmeans(vectors, 4, DIM, 1, centres);
    (void)sphere_kmeans(vectors, 4, DIM, 4, centres);
    assert_true(centres[0] == 1);
    /* A text that leaves nothing to go by has zeros. */
    memset(vectors, 0, sizeof vectors);
    assert_true(isfinite(sphere_kmeans(vectors, 4, DIM, 2, centres)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_that_lie_apart_are_found),
        cmocka_unit_test(their_number_has_the_best_silhouette),
        cmocka_unit_test(equal_vectors_and_one_group_are_no_trouble),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
