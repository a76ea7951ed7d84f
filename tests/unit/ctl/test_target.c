/* A trade-off in words, the points of a curve, and whether what is promised of them holds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/err.h"
#include "tools/ctl/compare.h"
#include "tools/ctl/dice.h"
#include "tools/ctl/target.h"

#define LAMBDAS 24
#define ROWS    300

/* A world of two experts: the cheap one is right with `easy` of the prompts, the dear one with
 * 0.95; lambda l sends the l-th part of the prompts to the cheap one, the best for it first. */
struct world {
    double lambdas[LAMBDAS], quality[LAMBDAS * ROWS], usd[LAMBDAS * ROWS],
        single[ROWS * 2];
    double true_quality[LAMBDAS], true_usd[LAMBDAS]; /* of an endless number of prompts */
    struct target_curve curve;
};

static double chance(struct dice *dice)
{
    return (double)dice_below(dice, 1000000) / 1e6;
}

/* Of a prompt of hardness h, 0..1. */
static double cheap_skill(double h)
{
    return 0.97 - 0.5 * h;
}

static void world_make(struct world *world, uint64_t seed)
{
    struct dice dice = dice_seeded(seed);

    for (size_t l = 0; l < LAMBDAS; l++) {
        double part = (double)l / (LAMBDAS - 1);
        /* the mean of cheap_skill over h < part, and 0.95 beyond */
        world->lambdas[l] = pow(10, 1 + 0.1 * (double)l);
        world->true_quality[l] = part * (0.97 - 0.25 * part) + (1 - part) * 0.95;
        world->true_usd[l] = part * 0.001 + (1 - part) * 0.01;
    }
    for (size_t i = 0; i < ROWS; i++) {
        double h = chance(&dice), dear = chance(&dice) < 0.95,
               cheap = chance(&dice) < cheap_skill(h);
        world->single[i * 2] = cheap;
        world->single[i * 2 + 1] = dear;
        for (size_t l = 0; l < LAMBDAS; l++) {
            bool goes = h < (double)l / (LAMBDAS - 1);
            world->quality[l * ROWS + i] = goes ? cheap : dear;
            world->usd[l * ROWS + i] = goes ? 0.001 : 0.01;
        }
    }
    world->curve = (struct target_curve){ .n = ROWS,
                                          .n_lambdas = LAMBDAS,
                                          .n_models = 2,
                                          .lambdas = world->lambdas,
                                          .quality = world->quality,
                                          .usd = world->usd,
                                          .single = world->single,
                                          .model = 2,
                                          .seed = seed };
}

static struct target target_of(const char *text)
{
    struct target target;
    struct fault fault = { "" };

    if (target_parse(text, &target, &fault) != FAULT_OK)
        fail_msg("%s", fault.text);
    return target;
}

static void words_are_read(void **state)
{
    struct target target = target_of("quality=0.98x:best");

    (void)state;
    assert_int_equal(target.kind, TARGET_SHARE);
    assert_true(target.value == 0.98 && target.of == NULL);
    target = target_of("quality=1.1x:small");
    assert_string_equal(target.of, "small");
    target = target_of("quality=0.93");
    assert_true(target.kind == TARGET_QUALITY && target.value == 0.93);
    target = target_of("usd_per_1k=2.50");
    assert_true(target.kind == TARGET_COST && target.value == 2.5);
    target = target_of("value_usd=0.02");
    assert_true(target.kind == TARGET_VALUE && target.value == 0.02);
}

static void other_words_are_refused(void **state)
{
    static const char *const wrong[] = { "",
                                         "best",
                                         "quality",
                                         "quality=",
                                         "quality=good",
                                         "quality=0",
                                         "quality=-1",
                                         "quality=1.2",
                                         "quality=0.9x",
                                         "quality=0.9x:",
                                         "quality=0.9 x:best",
                                         "usd_per_1k=2x:best",
                                         "usd_per_1k=2 USD",
                                         "value_usd=nan",
                                         "value_usd=inf",
                                         "cost=2" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct target target = { .value = 7 };
        struct fault fault = { "" };

        if (target_parse(wrong[i], &target, &fault) != FAULT_USAGE)
            fail_msg("'%s' was taken", wrong[i]);
        assert_true(target.value == 7);
        assert_non_null(strstr(fault.text, "--target"));
    }
}

static struct target_choice choose(const char *text, const struct world *world)
{
    struct target target = target_of(text);
    struct target_choice choice;

    target_choose(&target, &world->curve, &choice);
    return choice;
}

static double mean_at(const struct world *world, const double *values, size_t l)
{
    double sum = 0;

    for (size_t i = 0; i < ROWS; i++)
        sum += values[l * ROWS + i];
    (void)world;
    return sum / ROWS;
}

static void a_quality_is_reached_at_the_least_cost(void **state)
{
    static struct world world;
    struct target_choice choice;
    const struct target_point *at;

    (void)state;
    world_make(&world, 1);
    choice = choose("quality=0.9", &world);
    at = &choice.points[TARGET_AT_AUTO];
    assert_true(choice.reached && choice.goal == 0.9);
    assert_true(mean_at(&world, world.quality, at->at) >= 0.9);
    for (size_t l = at->at + 1; l < LAMBDAS; l++)
        assert_true(mean_at(&world, world.quality, l) < 0.9 + at->too_good + 0.005);
}

static void a_cost_buys_the_best_that_it_allows(void **state)
{
    static struct world world;
    struct target_choice choice;
    const struct target_point *at;

    (void)state;
    world_make(&world, 2);
    choice = choose("usd_per_1k=5", &world);
    at = &choice.points[TARGET_AT_AUTO];
    assert_true(choice.reached && choice.goal == 0.005);
    assert_true(mean_at(&world, world.usd, at->at) <= 0.005);
    assert_true(at->at == 0 || mean_at(&world, world.usd, at->at - 1) > 0.0045);
    assert_true(at->usd_low < at->usd && at->usd < at->usd_high);
}

static void a_value_is_its_lambda(void **state)
{
    static struct world world;
    char text[64];

    (void)state;
    world_make(&world, 3);
    (void)snprintf(text, sizeof text, "value_usd=%.12f", 1 / world.lambdas[9]);
    struct target_choice choice = choose(text, &world);
    assert_int_equal(choice.points[TARGET_AT_AUTO].at, 9);
    assert_true(isnan(choice.goal));
}

static void three_points_stand_in_order(void **state)
{
    static const char *const texts[] = { "quality=0.9", "usd_per_1k=3", "value_usd=0.02",
                                         "quality=0.98x:best" };
    static struct world world;

    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        world_make(&world, seed);
        for (size_t t = 0; t < ARRAY_LEN(texts); t++) {
            struct target_choice choice = choose(texts[t], &world);
            const struct target_point *cheap = &choice.points[TARGET_AT_CHEAP],
                                      *middle = &choice.points[TARGET_AT_AUTO],
                                      *best = &choice.points[TARGET_AT_BEST];
            assert_true(best->at <= middle->at && middle->at <= cheap->at);
            assert_true(mean_at(&world, world.quality, cheap->at) >=
                        0.95 * mean_at(&world, world.quality, middle->at) - 1e-9);
        }
    }
}

static void what_cannot_be_had_is_told_with_the_nearest(void **state)
{
    static struct world world;
    struct target_choice choice;

    (void)state;
    world_make(&world, 4);
    choice = choose("quality=0.999", &world);
    assert_false(choice.reached);
    assert_true(choice.points[TARGET_AT_AUTO].quality > 0.9);
    choice = choose("usd_per_1k=0.5", &world);
    assert_false(choice.reached);
    assert_int_equal(choice.points[TARGET_AT_AUTO].at, LAMBDAS - 1);
}

static void what_is_not_known_does_not_count(void **state)
{
    static struct world world;

    (void)state;
    world_make(&world, 5);
    for (size_t l = 0; l < LAMBDAS; l++)
        for (size_t i = 0; i < ROWS; i += 3)
            world.quality[l * ROWS + i] = NAN;
    struct target_choice choice = choose("quality=0.9", &world);
    assert_true(choice.points[TARGET_AT_AUTO].quality >= 0.88);
    assert_true(choice.points[TARGET_AT_AUTO].quality_se > 0.01);
}

static void the_same_seed_promises_alike(void **state)
{
    static struct world world;

    (void)state;
    world_make(&world, 6);
    struct target_choice one = choose("quality=0.9", &world),
                         two = choose("quality=0.9", &world);
    assert_memory_equal(&one, &two, sizeof one);
}

/* The reason for all of it: over many worlds the promise is neither too good nor too sure. The true
 * quality of the lambda that was chosen is known here. */
static void promises_hold_over_many_worlds(void **state)
{
    enum { WORLDS = 300 };
    static struct world world;
    double promised = 0, shown = 0, truth = 0;
    size_t held = 0, cost_held = 0;

    (void)state;
    for (uint64_t seed = 1000; seed < 1000 + WORLDS; seed++) {
        world_make(&world, seed);
        struct target_choice choice = choose("quality=0.93", &world);
        const struct target_point *at = &choice.points[TARGET_AT_AUTO];
        double off = at->quality - world.true_quality[at->at];
        promised += at->quality / WORLDS;
        shown += mean_at(&world, world.quality, at->at) / WORLDS;
        truth += world.true_quality[at->at] / WORLDS;
        held += fabs(off) <= 2 * at->quality_se;
        cost_held += fabs(at->usd - world.true_usd[at->at]) <= 2 * at->usd_se + 1e-9;
    }
    print_message("curve %.4f, promised %.4f, true %.4f; within two standard errors: "
                  "quality %zu, cost %zu of %d\n",
                  shown, promised, truth, held, cost_held, WORLDS);
    assert_true(shown - truth > 0.002); /* the curve shows too much */
    assert_true(fabs(promised - truth) < (shown - truth) / 2);
    assert_true(held >= WORLDS * 92 / 100);
    assert_true(cost_held >= WORLDS * 88 / 100);
}

static void verdicts_follow_the_interval_and_the_margin(void **state)
{
    (void)state;
    assert_int_equal(compare_verdict_of(0.01, 0.03, 0.01), COMPARE_BETTER);
    assert_int_equal(compare_verdict_of(0, 0, 0), COMPARE_NOT_WORSE);
    assert_int_equal(compare_verdict_of(-0.009, 0.03, 0.01), COMPARE_NOT_WORSE);
    assert_int_equal(compare_verdict_of(-0.009, -0.001, 0.01), COMPARE_NOT_WORSE);
    assert_int_equal(compare_verdict_of(-0.02, -0.001, 0.01), COMPARE_WORSE);
    assert_int_equal(compare_verdict_of(-0.02, 0.001, 0.01), COMPARE_CANNOT_TELL);
    assert_int_equal(compare_verdict_of(-0.001, 0.001, 0), COMPARE_CANNOT_TELL);
}

static void verdicts_have_exit_codes_of_their_own(void **state)
{
    struct comparison comparison = { .verdict = COMPARE_BETTER };

    (void)state;
    assert_int_equal(compare_fault(&comparison, NULL), FAULT_OK);
    comparison.verdict = COMPARE_NOT_WORSE;
    assert_int_equal(compare_fault(&comparison, NULL), FAULT_OK);
    comparison.verdict = COMPARE_WORSE;
    assert_int_equal(fault_exit_code(compare_fault(&comparison, NULL)), 3);
    comparison.verdict = COMPARE_CANNOT_TELL;
    assert_int_equal(fault_exit_code(compare_fault(&comparison, NULL)), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_read),
        cmocka_unit_test(other_words_are_refused),
        cmocka_unit_test(a_quality_is_reached_at_the_least_cost),
        cmocka_unit_test(a_cost_buys_the_best_that_it_allows),
        cmocka_unit_test(a_value_is_its_lambda),
        cmocka_unit_test(three_points_stand_in_order),
        cmocka_unit_test(what_cannot_be_had_is_told_with_the_nearest),
        cmocka_unit_test(what_is_not_known_does_not_count),
        cmocka_unit_test(the_same_seed_promises_alike),
        cmocka_unit_test(promises_hold_over_many_worlds),
        cmocka_unit_test(verdicts_follow_the_interval_and_the_margin),
        cmocka_unit_test(verdicts_have_exit_codes_of_their_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
