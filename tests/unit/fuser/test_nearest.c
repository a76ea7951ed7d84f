/* The nearest by coarse distances are those of measuring every row, whatever the errors are. */
#include "fuser/nearest.h"

#include "fuser/session.h"
#include "tests/unit/fuser/world.h"

#define ROWS_MAX 9000

/* Exact distances, what they look like, and how many were measured. */
struct field {
    size_t n, measured;
    float exact[ROWS_MAX], coarse[ROWS_MAX];
};

static struct field field;

static void measure(const void *context, struct near *near, size_t n)
{
    const struct field *of = context;

    assert_ptr_equal(of, &field);
    field.measured += n;
    for (size_t i = 0; i < n; i++)
        near[i].distance = of->exact[near[i].row];
}

/* `steps` different distances (many ties where they are few), each seen with an error. */
static void make_field(struct rng *rng, size_t n, uint64_t steps, double error)
{
    field.n = n;
    field.measured = 0;
    for (size_t i = 0; i < n; i++) {
        double far = (double)(rng_next(rng) % steps) / (double)steps;
        bool missing = rng_next(rng) % 16 == 0;

        field.exact[i] = missing ? INFINITY : (float)far;
        field.coarse[i] =
            missing ? INFINITY : (float)(far + error * (2 * world_uniform(rng) - 1));
    }
}

static int by_distance(const void *a, const void *b)
{
    const struct near *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* The k nearest of the rows, all of them measured and sorted. */
static size_t oracle(const uint32_t *rows, size_t n, uint32_t except, size_t k,
                     struct near *ret)
{
    static struct near all[ROWS_MAX];
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t row = rows ? rows[i] : (uint32_t)i;

        if (field.exact[row] < INFINITY && row != except)
            all[found++] = (struct near){ field.exact[row], row };
    }
    qsort(all, found, sizeof *all, by_distance);
    found = found < k ? found : k;
    memcpy(ret, all, found * sizeof *ret);
    return found;
}

static void the_nearest_are_those_of_a_full_scan(void **state)
{
    static const size_t counts[] = {
        1, 5, 63, 64, 65, 500, 2047, 2048, 2049, 5000, 9000
    };
    static const double errors[] = { 0, 1e-3, 0.05, 0.6 };
    static const uint64_t steps[] = { 3, 1000, UINT64_C(1) << 40 };
    static struct near near[3000], wanted[3000];
    struct rng rng = rng_seeded(1);

    (void)state;
    for (size_t round = 0; round < 400; round++) {
        size_t n = counts[rng_next(&rng) % 11], k = 1 + rng_next(&rng) % 250, found;
        double error = errors[rng_next(&rng) % 4];
        struct nearest nearest = { .distance = field.coarse,
                                   .n = n,
                                   .error = error,
                                   .except = KERNEL_NO_ROW,
                                   .measure = measure,
                                   .context = &field };

        k = round % 50 == 0 ? 2900 : k;
        if (round % 3 == 0)
            nearest.except = (uint32_t)(rng_next(&rng) % n);
        make_field(&rng, n, steps[rng_next(&rng) % 3], error);
        found = nearest_find(&nearest, k, near);
        assert_int_equal(found, oracle(NULL, n, nearest.except, k, wanted));
        assert_memory_equal(near, wanted, found * sizeof *near);
        found = nearest_exact(field.exact, n, k, nearest.except, near);
        assert_int_equal(found, oracle(NULL, n, nearest.except, k, wanted));
        assert_memory_equal(near, wanted, found * sizeof *near);
    }
}

static void the_nearest_of_some_rows_are_found_by_their_own_numbers(void **state)
{
    static uint32_t rows[ROWS_MAX / 3];
    static float distance[ROWS_MAX / 3];
    struct near near[40], wanted[40];
    struct rng rng = rng_seeded(2);

    (void)state;
    make_field(&rng, ROWS_MAX, UINT64_C(1) << 40, 0.01);
    for (size_t i = 0; i < ROWS_MAX / 3; i++) {
        rows[i] = (uint32_t)(3 * i + 1);
        distance[i] = field.coarse[rows[i]];
    }
    struct nearest nearest = { .distance = distance,
                               .n = ROWS_MAX / 3,
                               .error = 0.01,
                               .rows = rows,
                               .except = KERNEL_NO_ROW,
                               .measure = measure,
                               .context = &field };

    assert_int_equal(nearest_find(&nearest, 40, near), 40);
    assert_int_equal(oracle(rows, ROWS_MAX / 3, KERNEL_NO_ROW, 40, wanted), 40);
    assert_memory_equal(near, wanted, sizeof near);
}

/* What a coarse look is for. */
static void few_more_than_the_nearest_are_measured(void **state)
{
    static struct near near[160];
    struct rng rng = rng_seeded(3);
    struct nearest nearest = { .distance = field.coarse,
                               .n = ROWS_MAX,
                               .error = 1e-4,
                               .except = KERNEL_NO_ROW,
                               .measure = measure,
                               .context = &field };

    (void)state;
    make_field(&rng, ROWS_MAX, UINT64_C(1) << 40, 1e-4);
    assert_int_equal(nearest_find(&nearest, 160, near), 160);
    assert_true(field.measured < 200);
}

/* -- and so are the estimates that are made of them -- */

/* The estimates of a session's head when the distances of all rows are exact, and when they are as the walk
 * left them. */
static void estimate(const struct fuser_session *session, bool exact,
                     struct head_estimate *ret)
{
    static float distance[ROWS_MAX];
    const struct fuser_bundle *bundle = session->fuser->bundle;
    struct head_view view = { .bundle = bundle,
                              .subset = session->subset,
                              .near = session->near,
                              .n_near = session->n_near,
                              .n_listed = session->n_listed,
                              .vectors = (const float *const *)session->vectors,
                              .distance = session->distance,
                              .error = session->error,
                              .scratch = session->scratch,
                              .row = KERNEL_NO_ROW,
                              .output_limit = INFINITY };

    for (size_t i = 0; exact && i < bundle->cells.n; i++) {
        struct near one = { 0, (uint32_t)i };

        bundle_measure(bundle, session->subset, (const float *const *)session->vectors,
                       &one, 1);
        distance[i] = one.distance;
    }
    if (exact) {
        view.distance = distance;
        view.error = 0;
    }
    head_look(&view);
    head_estimate(&view, ret);
}

static void estimates_are_those_of_exact_distances_to_the_bit(void **state)
{
    struct fuser_bundle *bundle = world_bundle(1500, 0.1);
    struct fuser *fuser = world_fuser(bundle);
    struct rng rng = rng_seeded(4);
    size_t seen = 0;

    (void)state;
    assert_string_equal(bundle->head->name, "blend");
    for (size_t i = 0; i < 60; i++) {
        struct world_prompt prompt = world_prompt(&rng);
        struct head_estimate nearly[WORLD_GENERATORS], exactly[WORLD_GENERATORS];
        struct fuser_session *session;
        struct world_ask ask;

        world_ask(&ask, &prompt);
        ask.ask.lambda = 0;
        for (size_t e = 0; e < WORLD_EMBEDDERS; e++)
            ask.embedders[e].allowed = i % 4 == 3 || e == i % 4;
        session = world_walk(fuser, &ask, &prompt);
        if (session->subset) {
            estimate(session, false, nearly);
            estimate(session, true, exactly);
            for (size_t g = 0; g < WORLD_GENERATORS; g++) {
                assert_true(nearly[g].quality == exactly[g].quality);
                assert_true(nearly[g].quality_se == exactly[g].quality_se);
                assert_true(nearly[g].rows == exactly[g].rows);
            }
            seen++;
        }
        fuser_session_free(session);
    }
    assert_true(seen > 20);
    fuser_unref(fuser);
    fuser_bundle_unref(bundle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_are_those_of_a_full_scan),
        cmocka_unit_test(the_nearest_of_some_rows_are_found_by_their_own_numbers),
        cmocka_unit_test(few_more_than_the_nearest_are_measured),
        cmocka_unit_test(estimates_are_those_of_exact_distances_to_the_bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
