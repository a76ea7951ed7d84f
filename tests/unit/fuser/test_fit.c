/* The fitted fusers against what they are defined by: refits, separable data, a function no line fits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fuser/logistic.h"
#include "fuser/mlp.h"
#include "fuser/random.h"
#include "fuser/ridge.h"

#define N 40
#define D 3

static float unit(struct rng *rng)
{
    return (float)(rng_next(rng) >> 40) / (float)(1 << 24);
}

struct sample {
    float x[N * D], y[N * 2];
};

/* Column 0 is linear in x with a little noise, column 1 another line, known on every second row. */
static struct sample sample_made(void)
{
    struct sample s;
    struct rng rng = rng_seeded(7);
    for (size_t i = 0; i < N; i++) {
        for (size_t d = 0; d < D; d++)
            s.x[i * D + d] = unit(&rng);
        const float *x = s.x + i * D;
        s.y[i * 2] = 0.2f + 0.3f * x[0] - 0.1f * x[1] + 0.02f * unit(&rng);
        s.y[i * 2 + 1] = i % 2 == 0 ? 0.5f - 0.2f * x[2] : NAN;
    }
    return s;
}

static void ridge_recovers_a_line_and_leaves_unknown_cells_out(void **state)
{
    struct sample s = sample_made();
    struct fit_data data = { s.x, s.y, N, D, 2 };
    struct fit_linear line = { 0 };
    float loo[N * 2];
    (void)state;
    assert_int_equal(ridge_fit(&data, &line, loo, NULL, NULL), FUSER_OK);
    assert_float_equal(line.w[0 * 2], 0.3f, 0.02f);
    assert_float_equal(line.w[2 * 2 + 1], -0.2f, 0.01f);
    assert_float_equal(line.w[D * 2 + 1], 0.5f, 0.01f);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(isnan(loo[i * 2 + 1]), i % 2 == 1);
    fit_linear_release(&line);
}

/* The closed form of the left-out prediction is what a fit without that row predicts; the penalty that each fit
 * chooses for itself is the same here, since the data are nearly noise-free. */
static void ridge_leave_one_out_equals_a_refit_without_the_row(void **state)
{
    struct sample s = sample_made();
    struct fit_data all = { s.x, s.y, N, D, 2 };
    struct fit_linear line = { 0 };
    float loo[N * 2];
    (void)state;
    assert_int_equal(ridge_fit(&all, &line, loo, NULL, NULL), FUSER_OK);
    fit_linear_release(&line);
    for (size_t out = 0; out < N; out += 13) {
        struct sample less = s;
        float predicted[2];
        less.y[out * 2] = less.y[out * 2 + 1] = NAN;
        struct fit_data rest = { less.x, less.y, N, D, 2 };
        assert_int_equal(ridge_fit(&rest, &line, NULL, NULL, NULL), FUSER_OK);
        fit_linear_apply(&line, s.x + out * D, 1, predicted);
        assert_float_equal(predicted[0], loo[out * 2], 1e-4f);
        fit_linear_release(&line);
    }
}

static void a_column_without_targets_predicts_one_half(void **state)
{
    struct sample s = sample_made();
    struct fit_linear line = { 0 };
    float predicted[2];
    (void)state;
    for (size_t i = 0; i < N; i++)
        s.y[i * 2 + 1] = NAN;
    struct fit_data data = { s.x, s.y, N, D, 2 };
    assert_int_equal(ridge_fit(&data, &line, NULL, NULL, NULL), FUSER_OK);
    fit_linear_apply(&line, s.x, 1, predicted);
    assert_float_equal(predicted[1], 0.5f, 0.0f);
    fit_linear_release(&line);
}

static void logistic_separates_and_keeps_probabilities_finite(void **state)
{
    struct sample s = sample_made();
    struct fit_linear line = { 0 };
    float p[N * 2];
    (void)state;
    for (size_t i = 0; i < N; i++) {
        s.y[i * 2] = s.x[i * D] > 0.5f;
        s.y[i * 2 + 1] = 1.0f - s.y[i * 2];
    }
    struct fit_data data = { s.x, s.y, N, D, 2 };
    for (int link = 0; link < 2; link++) {
        assert_int_equal(
            logistic_fit(&data, (enum logistic_link)link, 1000.0, 0, &line, NULL),
            FUSER_OK);
        fit_linear_apply(&line, s.x, N, p);
        if (link == LOGISTIC_SOFTMAX)
            fit_softmax(p, N, 2);
        else
            fit_sigmoid(p, N, 2);
        for (size_t i = 0; i < N; i++) {
            assert_true(isfinite(p[i * 2]));
            assert_int_equal(p[i * 2] > 0.5f, s.x[i * D] > 0.5f);
        }
        fit_linear_release(&line);
    }
}

static void an_mlp_learns_what_no_line_can_and_repeats_itself(void **state)
{
    float x[] = { 0, 0, 0, 1, 1, 0, 1, 1 }, y[] = { 0, 1, 1, 0 };
    struct fit_data data = { x, y, 4, 2, 1 };
    struct mlp_how how = { .hidden = 16, .epochs = 2000, .penalty = 0, .seed = 3 };
    float scratch[4 * 32], first[4], again[4];
    (void)state;
    for (int run = 0; run < 2; run++) {
        struct mlp net = { 0 };
        assert_int_equal(mlp_fit(&data, LOGISTIC_SIGMOID, &how, &net, NULL), FUSER_OK);
        mlp_apply(&net, x, 4, scratch, run == 0 ? first : again);
        mlp_release(&net);
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(first[i] > 0.5f, y[i] > 0.5f);
    assert_memory_equal(first, again, sizeof(first));
}

static void nothing_to_fit_is_refused(void **state)
{
    struct fit_data none = { NULL, NULL, 0, D, 2 };
    struct fit_linear line = { 0 };
    struct mlp net = { 0 };
    struct mlp_how how = { 0 };
    (void)state;
    assert_int_equal(ridge_fit(&none, &line, NULL, NULL, NULL), FUSER_INVALID);
    assert_int_equal(logistic_fit(&none, LOGISTIC_SOFTMAX, 1.0, 0, &line, NULL),
                     FUSER_INVALID);
    assert_int_equal(mlp_fit(&none, LOGISTIC_SOFTMAX, &how, &net, NULL), FUSER_INVALID);
    assert_null(line.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ridge_recovers_a_line_and_leaves_unknown_cells_out),
        cmocka_unit_test(ridge_leave_one_out_equals_a_refit_without_the_row),
        cmocka_unit_test(a_column_without_targets_predicts_one_half),
        cmocka_unit_test(logistic_separates_and_keeps_probabilities_finite),
        cmocka_unit_test(an_mlp_learns_what_no_line_can_and_repeats_itself),
        cmocka_unit_test(nothing_to_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
