/* FoE-classification against plain restatements of its definitions, on small random tables. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fuser/fuser_classes.h"
#include "fuser/random.h"

#define ITEMS   60
#define EXPERTS 5
#define CLASSES 4
#define ALL     ((1u << EXPERTS) - 1)

struct table {
    uint8_t label[ITEMS * EXPERTS], confidence[ITEMS * EXPERTS], truth[ITEMS];
    float probability[ITEMS * EXPERTS * CLASSES];
    struct fuser_class_set set;
};

/* Experts are right on two of three items, surer when they are. */
static struct table table_made(uint64_t seed)
{
    struct table t = { 0 };
    struct rng rng = rng_seeded(seed);
    for (size_t i = 0; i < ITEMS; i++) {
        t.truth[i] = (uint8_t)(rng_next(&rng) % CLASSES);
        for (size_t e = 0; e < EXPERTS; e++) {
            bool right = rng_next(&rng) % 3 != 0;
            t.label[i * EXPERTS + e] =
                right ? t.truth[i] : (uint8_t)(rng_next(&rng) % CLASSES);
            t.confidence[i * EXPERTS + e] =
                (uint8_t)(20 + rng_next(&rng) % 60 + (right ? 20 : 0));
        }
    }
    return t;
}

static struct fuser_class_set *set_of(struct table *t)
{
    t->set = (struct fuser_class_set){ .n_items = ITEMS,
                                       .n_experts = EXPERTS,
                                       .n_classes = CLASSES,
                                       .label = t->label,
                                       .confidence = t->confidence,
                                       .truth = t->truth };
    return &t->set;
}

static int distance(const struct fuser_class_set *a, size_t i,
                    const struct fuser_class_set *b, size_t j, uint32_t mask)
{
    int sum = 0;
    for (size_t e = 0; e < EXPERTS; e++) {
        int x = a->confidence[i * EXPERTS + e], y = b->confidence[j * EXPERTS + e];
        bool same = a->label[i * EXPERTS + e] == b->label[j * EXPERTS + e];
        if (mask >> e & 1)
            sum += same ? (x - y) * (x - y) : x * x + y * y;
    }
    return sum;
}

/* The k nearest rows of `fit` to item i of `set`, one minimum after the other. */
static void nearest(const struct fuser_class_set *fit, const struct fuser_class_set *set,
                    size_t i, uint32_t mask, size_t k, bool leave_out, uint32_t *ret)
{
    bool taken[ITEMS] = { 0 };
    for (size_t n = 0; n < k; n++) {
        size_t best = SIZE_MAX;
        for (size_t j = 0; j < ITEMS; j++)
            if (!taken[j] && !(leave_out && i == j) &&
                (best == SIZE_MAX ||
                 distance(set, i, fit, j, mask) < distance(set, i, fit, best, mask)))
                best = j;
        taken[best] = true;
        ret[n] = (uint32_t)best;
    }
}

static void neighbours_are_the_exact_ones_by_distance_then_row(void **state)
{
    struct table fit = table_made(1), test = table_made(2);
    struct fuser_classes *classes = NULL;
    (void)state;
    assert_int_equal(fuser_classes_new(set_of(&fit), 3, &classes, NULL), FUSER_OK);
    for (uint32_t mask = 1; mask <= ALL; mask++)
        for (size_t i = 0; i < ITEMS; i++) {
            uint32_t rows[7], expected[7];
            float distances[7];
            assert_int_equal(fuser_classes_neighbours(classes, set_of(&test), i, mask, 7,
                                                      rows, distances),
                             7);
            nearest(&fit.set, &test.set, i, mask, 7, false, expected);
            assert_memory_equal(rows, expected, sizeof(rows));
            for (size_t n = 0; n < 7; n++)
                assert_true(distances[n] ==
                            (float)distance(&test.set, i, &fit.set, rows[n], mask));
        }
    fuser_classes_free(classes);
}

static void losses_leave_their_own_row_out(void **state)
{
    struct table fit = table_made(3);
    struct fuser_classes *classes = NULL;
    (void)state;
    assert_int_equal(fuser_classes_new(set_of(&fit), 3, &classes, NULL), FUSER_OK);
    for (uint32_t mask = 1; mask <= ALL; mask++) {
        double soft = 0, hard = 0;
        for (size_t i = 0; i < ITEMS; i++) {
            uint32_t rows[3];
            int hits = 0;
            nearest(&fit.set, &fit.set, i, mask, 3, true, rows);
            for (size_t n = 0; n < 3; n++)
                hits += fit.truth[rows[n]] == fit.truth[i];
            soft += 1.0 - hits / 3.0;
            hard += fuser_classes_vote(classes, rows, 3) != fit.truth[i];
        }
        assert_float_equal(fuser_classes_loss(classes, mask, true), soft / ITEMS, 1e-9);
        assert_float_equal(fuser_classes_loss(classes, mask, false), hard / ITEMS, 1e-9);
    }
    fuser_classes_free(classes);
}

static void probability_vectors_with_one_class_equal_labels(void **state)
{
    struct table labels = table_made(4);
    struct fuser_classes *a = NULL, *b = NULL;
    (void)state;
    struct fuser_class_set vectors = *set_of(&labels);
    for (size_t i = 0; i < ITEMS * EXPERTS; i++)
        labels.probability[i * CLASSES + labels.label[i]] =
            (float)labels.confidence[i] / 100.0f;
    vectors.probability = labels.probability;
    assert_int_equal(fuser_classes_new(&labels.set, 5, &a, NULL), FUSER_OK);
    assert_int_equal(fuser_classes_new(&vectors, 5, &b, NULL), FUSER_OK);
    for (uint32_t mask = 1; mask <= ALL; mask++)
        assert_float_equal(fuser_classes_loss(a, mask, true),
                           fuser_classes_loss(b, mask, true), 0.02);
    fuser_classes_free(a);
    fuser_classes_free(b);
}

static void a_walk_stops_on_equality(void **state)
{
    struct table fit = table_made(5), test = table_made(6);
    struct fuser_classes *classes = NULL;
    struct fuser_class_walk how = { .soft = true, .m = 10, .max_experts = EXPERTS };
    (void)state;
    assert_int_equal(fuser_classes_new(set_of(&fit), 5, &classes, NULL), FUSER_OK);
    for (size_t i = 0; i < ITEMS; i++) {
        struct fuser_class_path path;
        assert_int_equal(fuser_classes_walk(classes, &how, set_of(&test), i, &path, NULL),
                         FUSER_OK);
        for (size_t n = 1; n < path.n; n++) {
            double exactly = path.gain[n] / (5.0 * 10.0);
            assert_true(path.gain[n] > 0);
            assert_true(fuser_class_path_stop(classes, &how, &path, exactly) <= n);
            assert_true(path.gain[n] == rint(path.gain[n]));
        }
    }
    fuser_classes_free(classes);
}

static void one_path_serves_every_lambda(void **state)
{
    struct table fit = table_made(7), test = table_made(8);
    struct fuser_classes *classes = NULL;
    struct fuser_class_walk all = { .soft = true, .m = 10, .max_experts = EXPERTS };
    (void)state;
    assert_int_equal(fuser_classes_new(set_of(&fit), 3, &classes, NULL), FUSER_OK);
    for (int step = 0; step < 10; step++) {
        double lambda = step * 0.05;
        struct fuser_class_walk one = all;
        one.stop_lambda = lambda;
        for (size_t i = 0; i < ITEMS; i++) {
            struct fuser_class_path long_path, path;
            assert_int_equal(
                fuser_classes_walk(classes, &all, set_of(&test), i, &long_path, NULL), 0);
            assert_int_equal(fuser_classes_walk(classes, &one, &test.set, i, &path, NULL),
                             0);
            assert_int_equal(path.n,
                             fuser_class_path_stop(classes, &all, &long_path, lambda));
        }
    }
    fuser_classes_free(classes);
}

static void bad_tables_are_refused_with_the_item(void **state)
{
    struct table t = table_made(9);
    struct fuser_classes *classes = NULL;
    struct fuser_error error = { 0 };
    (void)state;
    t.label[7 * EXPERTS + 2] = CLASSES;
    assert_int_equal(fuser_classes_new(set_of(&t), 3, &classes, &error), FUSER_INVALID);
    assert_non_null(strstr(error.text, "item 7, expert 2"));
    t = table_made(9);
    t.confidence[0] = 101;
    assert_int_equal(fuser_classes_new(set_of(&t), 3, &classes, NULL), FUSER_INVALID);
    t = table_made(9);
    assert_int_equal(fuser_classes_new(set_of(&t), 0, &classes, NULL), FUSER_INVALID);
    t.set.n_items = 0;
    assert_int_equal(fuser_classes_new(&t.set, 3, &classes, NULL), FUSER_INVALID);
    assert_null(classes);
}

static void one_row_answers_with_its_truth(void **state)
{
    struct table fit = table_made(10), test = table_made(11);
    struct fuser_classes *classes = NULL;
    struct fuser_class_walk how = { .soft = true, .m = 10, .max_experts = EXPERTS };
    struct fuser_class_path path;
    (void)state;
    set_of(&fit)->n_items = 1;
    assert_int_equal(fuser_classes_new(&fit.set, 9, &classes, NULL), FUSER_OK);
    assert_int_equal(fuser_classes_walk(classes, &how, set_of(&test), 0, &path, NULL),
                     FUSER_OK);
    assert_int_equal(path.answer[0], fit.truth[0]);
    fuser_classes_free(classes);
}

static void majority_ties_go_to_the_surer_class(void **state)
{
    uint8_t label[] = { 1, 0, 1, 0, 3 }, truth[] = { 0 };
    uint8_t confidence[] = { 50, 60, 40, 31, 99 };
    struct fuser_class_set set = { 1,          EXPERTS, CLASSES, label,
                                   confidence, NULL,    truth,   NULL };
    (void)state;
    assert_int_equal(fuser_class_majority(&set, 0, ALL), 0);
    assert_int_equal(fuser_class_weighted(&set, 0, ALL), 3);
    assert_int_equal(fuser_class_confident(&set, 0, ALL), 3);
    assert_int_equal(fuser_class_confident(&set, 0, ALL & ~(1u << 4)), 0);
}

static void frugalml_asks_the_add_on_only_below_its_threshold(void **state)
{
    /* Expert 0 is right when sure, expert 1 always. */
    uint8_t label[] = { 0, 0, 0, 1, 1, 1, 1, 0 }, truth[] = { 0, 1, 1, 0 };
    uint8_t confidence[] = { 90, 50, 20, 50, 90, 50, 20, 50 };
    struct fuser_class_set set = { 4, 2, 2, label, confidence, NULL, truth, NULL };
    struct fuser_frugalml rule;
    uint32_t calls;
    (void)state;
    assert_int_equal(fuser_frugalml_fit(&set, 2.0, &rule, NULL), FUSER_OK);
    assert_int_equal(rule.base, 1);
    assert_int_equal(fuser_frugalml_answer(&rule, &set, 1, &calls), 1);
    assert_int_equal(calls, 1);
    assert_int_equal(fuser_frugalml_fit(&set, -1.0, &rule, NULL), FUSER_INVALID);
}

static void frugalml_asks_as_seldom_as_equal_gains_allow(void **state)
{
    /* Expert 0 is wrong at its confidences 0 and 10 of class 0, where expert 1 is right, which knows nothing of class 2.
     * At lambda .1 the second right answer costs ten more calls: asking once is as good as asking always. */
    enum { FIRST = 11, ALL_ITEMS = 33 };
    uint8_t label[2 * ALL_ITEMS], confidence[2 * ALL_ITEMS], truth[ALL_ITEMS];
    struct fuser_class_set set = {
        ALL_ITEMS, 2, 4, label, confidence, NULL, truth, NULL
    };
    struct fuser_frugalml rule;
    (void)state;
    for (unsigned i = 0; i < ALL_ITEMS; i++) {
        bool wrong = i == 0 || i == FIRST - 1;
        truth[i] = i >= FIRST ? 2 : wrong;
        label[2 * i] = i >= FIRST ? 2 : 0;
        label[2 * i + 1] = i >= FIRST ? 3 : wrong;
        confidence[2 * i] = confidence[2 * i + 1] = (uint8_t)(i % FIRST);
    }
    assert_int_equal(fuser_frugalml_fit(&set, 0.1, &rule, NULL), FUSER_OK);
    assert_int_equal(rule.base, 0);
    assert_int_equal(rule.addon[0], 1);
    assert_int_equal(rule.below[0], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_are_the_exact_ones_by_distance_then_row),
        cmocka_unit_test(losses_leave_their_own_row_out),
        cmocka_unit_test(probability_vectors_with_one_class_equal_labels),
        cmocka_unit_test(a_walk_stops_on_equality),
        cmocka_unit_test(one_path_serves_every_lambda),
        cmocka_unit_test(bad_tables_are_refused_with_the_item),
        cmocka_unit_test(one_row_answers_with_its_truth),
        cmocka_unit_test(majority_ties_go_to_the_surer_class),
        cmocka_unit_test(frugalml_asks_the_add_on_only_below_its_threshold),
        cmocka_unit_test(frugalml_asks_as_seldom_as_equal_gains_allow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
