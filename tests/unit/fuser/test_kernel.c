/* The inner loops against FAISS and against plain restatements of what they do. */
#include "fuser/index.h"
#include "fuser/kernel.h"
#include "fuser/nearest.h"
#include "tests/unit/fuser/world.h"

static float *random_floats(struct rng *rng, size_t n)
{
    float *v = calloc(n, sizeof *v);

    assert_non_null(v);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)(world_uniform(rng) - 0.5);
    return v;
}

static void check_against_faiss(size_t n, size_t dim, size_t k, uint64_t seed)
{
    struct rng rng = rng_seeded(seed);
    float *rows = random_floats(&rng, n * dim), *query = random_floats(&rng, dim);
    float *distance = calloc(n, sizeof *distance), *oracle = calloc(k, sizeof *oracle);
    int64_t *labels = calloc(k, sizeof *labels);
    struct near *near = calloc(k, sizeof *near);
    struct index *index = NULL;
    size_t found;

    assert_int_equal(index_new(dim, &index, NULL), FUSER_OK);
    assert_int_equal(index_add(index, n, rows, NULL), FUSER_OK);
    assert_memory_equal(index_vectors(index), rows, n * dim * sizeof *rows);
    kernel_l2_add(index_vectors(index), n, dim, query, distance);
    found = nearest_exact(distance, n, k, KERNEL_NO_ROW, near);
    assert_int_equal(found, k < n ? k : n);
    assert_int_equal(index_search(index, 1, query, k, oracle, labels, NULL), FUSER_OK);
    for (size_t i = 0; i < found; i++) {
        assert_true(fabsf(near[i].distance - oracle[i]) <= 1e-5f * (1 + oracle[i]));
        /* Random distances differ by more than both computations' noise, nearly always. */
        if (i + 1 < found && oracle[i + 1] - oracle[i] > 1e-4f &&
            (i == 0 || oracle[i] - oracle[i - 1] > 1e-4f))
            assert_int_equal(near[i].row, labels[i]);
    }
    index_free(index);
    free(rows);
    free(query);
    free(distance);
    free(oracle);
    free(labels);
    free(near);
}

static void scan_finds_what_faiss_finds(void **state)
{
    static const size_t dims[] = { 1, 3, 15, 16, 17, 18, 31, 32, 33, 64, 128, 130, 384 };
    static const size_t counts[] = { 1, 2, 3, 4, 5, 63, 64, 65, 127, 500 };

    (void)state;
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
        for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
            check_against_faiss(counts[n], dims[d], 10, dims[d] * 1000 + counts[n]);
    check_against_faiss(5000, 18, 80, 1);
    check_against_faiss(5000, 128, 300, 2);
}

static void a_distance_is_the_same_number_alone_and_in_a_block(void **state)
{
    struct rng rng = rng_seeded(3);
    size_t n = 37, dim = 77;
    float *rows = random_floats(&rng, n * dim), *query = random_floats(&rng, dim);
    float together[37] = { 0 };

    (void)state;
    kernel_l2_add(rows, n, dim, query, together);
    for (size_t i = 0; i < n; i++) {
        float alone = 0;

        kernel_l2_add(rows + i * dim, 1, dim, query, &alone);
        assert_memory_equal(&alone, &together[i], sizeof alone);
    }
    free(rows);
    free(query);
}

static void a_vector_is_at_distance_zero_from_itself(void **state)
{
    struct rng rng = rng_seeded(4);
    float *rows = random_floats(&rng, 8 * 50), distance[8] = { 0 };

    (void)state;
    kernel_l2_add(rows, 8, 50, rows + 5 * 50, distance);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(distance[i] == 0, i == 5);
    free(rows);
}

static void distances_add_up_over_embedders(void **state)
{
    float row[2] = { 1, 2 }, query[2] = { 4, 6 }, acc = 7;

    (void)state;
    kernel_l2_add(row, 1, 2, query, &acc);
    assert_true(acc == 32);
}

static void equal_distances_go_to_the_lower_row(void **state)
{
    float distance[200];
    struct near near[5];

    (void)state;
    for (size_t i = 0; i < 200; i++)
        distance[i] = i % 50 == 49 ? 1.0f : 2.0f;
    assert_int_equal(nearest_exact(distance, 200, 5, KERNEL_NO_ROW, near), 5);
    assert_int_equal(near[0].row, 49);
    assert_int_equal(near[1].row, 99);
    assert_int_equal(near[2].row, 149);
    assert_int_equal(near[3].row, 199);
    assert_int_equal(near[4].row, 0);
}

static void nearest_leaves_out_the_excepted_and_the_infinite(void **state)
{
    float distance[] = { 3, INFINITY, 1, 2 };
    uint32_t of[] = { 0, 1, 3 };
    struct near near[4];

    (void)state;
    assert_int_equal(nearest_exact(distance, 4, 4, 2, near), 2);
    assert_int_equal(near[0].row, 3);
    assert_int_equal(near[1].row, 0);
    assert_int_equal(kernel_nearest_of(distance, of, 3, 4, near), 2);
    assert_int_equal(near[0].row, 3);
    assert_int_equal(nearest_exact(distance, 4, 0, 2, near), 0);
}

static int by_distance(const void *a, const void *b)
{
    const struct near *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static void nearest_is_the_head_of_a_full_sort(void **state)
{
    struct rng rng = rng_seeded(5);
    struct kernel_sample sample;

    (void)state;
    for (size_t round = 0; round < 200; round++) {
        size_t n = 1 + rng_next(&rng) % 400, k = 1 + rng_next(&rng) % 100, found;
        float distance[400];
        struct near all[400], near[100];

        for (size_t i = 0; i < n; i++) {
            distance[i] = (float)(rng_next(&rng) % 50); /* many ties */
            all[i] = (struct near){ distance[i], (uint32_t)i };
        }
        qsort(all, n, sizeof *all, by_distance);
        found = nearest_exact(distance, n, k, KERNEL_NO_ROW, near);
        assert_int_equal(found, k < n ? k : n);
        assert_memory_equal(near, all, found * sizeof *near);
        /* At least k are within the bound, whatever it is. */
        kernel_sample(distance, n, &sample);
        assert_true(kernel_bound(&sample, k) >= all[found - 1].distance);
    }
}

static void a_weighted_sum_is_the_sum_of_its_rows(void **state)
{
    static const size_t dims[] = { 1, 15, 16, 17, 63, 64, 65, 96, 110, 128, 200 };
    struct rng rng = rng_seeded(6);

    (void)state;
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
        size_t dim = dims[d];
        float *rows = random_floats(&rng, 30 * dim), *weight = random_floats(&rng, 50);
        float out[200];
        uint16_t which[50];

        for (size_t i = 0; i < 50; i++)
            which[i] = (uint16_t)(rng_next(&rng) % 30);
        kernel_weighted_sum(rows, dim, which, weight, 50, out);
        for (size_t c = 0; c < dim; c++) {
            double sum = 0;

            for (size_t i = 0; i < 50; i++)
                sum += (double)weight[i] * (double)rows[which[i] * dim + c];
            assert_true(fabs(sum - (double)out[c]) < 1e-5);
        }
        free(rows);
        free(weight);
    }
}

static void unit_refuses_what_has_no_direction(void **state)
{
    float good[3] = { 3, 0, 4 }, zero[3] = { 0 }, nan[3] = { 1, NAN, 0 };
    float infinite[3] = { INFINITY, 1, 1 }, tiny[1] = { 1e-42f };

    (void)state;
    assert_true(kernel_unit(good, 3));
    assert_true(fabsf(good[0] - 0.6f) < 1e-6f && fabsf(good[2] - 0.8f) < 1e-6f);
    assert_false(kernel_unit(zero, 3));
    assert_false(kernel_unit(nan, 3));
    assert_false(kernel_unit(infinite, 3));
    assert_true(!kernel_unit(tiny, 1) || tiny[0] == 1.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scan_finds_what_faiss_finds),
        cmocka_unit_test(a_distance_is_the_same_number_alone_and_in_a_block),
        cmocka_unit_test(a_vector_is_at_distance_zero_from_itself),
        cmocka_unit_test(distances_add_up_over_embedders),
        cmocka_unit_test(equal_distances_go_to_the_lower_row),
        cmocka_unit_test(nearest_leaves_out_the_excepted_and_the_infinite),
        cmocka_unit_test(nearest_is_the_head_of_a_full_sort),
        cmocka_unit_test(a_weighted_sum_is_the_sum_of_its_rows),
        cmocka_unit_test(unit_refuses_what_has_no_direction),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
