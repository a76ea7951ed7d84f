/* Folders of recorded outcomes side by side: which rows, which models, and what is not known. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/ctl/outcomes.h"

static char folder[] = "/tmp/frugal-outcomes-XXXXXX";
static char first[64], second[64];

static void put(const char *in, const char *name, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", in, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

/* The first folder knows "small" and "large", the second "large" and "other"; both have a row "a". */
static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(first, sizeof(first), "%s/first", folder);
    (void)snprintf(second, sizeof(second), "%s/second", folder);
    assert_int_equal(mkdir(first, 0700), 0);
    assert_int_equal(mkdir(second, 0700), 0);
    put(first, "models.json",
        "{\"models\": {\"small\": {\"price_in\": 1, \"price_out\": 2},"
        " \"large\": {\"price_in\": 10, \"price_out\": 20}}}");
    put(first, "prompts.jsonl",
        "{\"id\": \"a\", \"prompt\": \"eight ch\", \"domain\": \"x\", \"split\": "
        "\"calib\"}\n"
        "{\"id\": \"b\", \"prompt\": \"hi\", \"split\": \"dev\"}\n"
        "{\"id\": \"c\", \"prompt\": \"ho\", \"split\": \"rest\"}\n");
    put(first, "quality.csv", "id,small,large\na,1,0.5\nb,0,\nc,1,1\n");
    put(first, "cost.csv", "id,small,large\na,10,100\nb,20,\nc,30,300\n");
    put(second, "models.json",
        "{\"models\": {\"other\": {\"price_in\": 1, \"price_out\": 2},"
        " \"large\": {\"price_in\": 10, \"price_out\": 20}}}");
    put(second, "prompts.jsonl",
        "{\"id\": \"a\", \"prompt\": \"hm\", \"split\": \"calib\"}\n");
    put(second, "quality.csv", "id,other,large\na,0.25,0.75\n");
    put(second, "cost.csv", "id,other,large\na,1,2\n");
    return 0;
}

static int teardown(void **state)
{
    static const char *const files[] = { "models.json", "prompts.jsonl", "quality.csv",
                                         "cost.csv" };
    (void)state;
    for (size_t i = 0; i < 8; i++) {
        char path[256];
        (void)snprintf(path, sizeof(path), "%s/%s", i / 4 ? second : first, files[i % 4]);
        assert_int_equal(unlink(path), 0);
    }
    return rmdir(first) + rmdir(second) + rmdir(folder);
}

/* Up to three specs and two models, NULL for none. */
static enum fault_err read_all(const char *const specs[3], const char *const models[2],
                               struct outcomes **ret_outcomes, struct fault *fault)
{
    char text[3][128], name[2][32], *spec_items[3], *model_items[2];
    struct option_list spec_list = { spec_items, 0 }, model_list = { model_items, 0 };
    for (size_t i = 0; i < 3 && specs[i] != NULL; i++) {
        (void)snprintf(text[i], sizeof(text[i]), "%s", specs[i]);
        spec_items[spec_list.count++] = text[i];
    }
    for (size_t i = 0; i < 2 && models[i] != NULL; i++) {
        (void)snprintf(name[i], sizeof(name[i]), "%s", models[i]);
        model_items[model_list.count++] = name[i];
    }
    return outcomes_read(&spec_list, &model_list, ret_outcomes, fault);
}

static struct outcomes *sound(const char *const specs[3], const char *const models[2])
{
    struct outcomes *outcomes = NULL;
    struct fault fault = { "" };
    if (read_all(specs, models, &outcomes, &fault) != FAULT_OK)
        fail_msg("%s", fault.text);
    return outcomes;
}

static void refused(const char *const specs[3], const char *const models[2],
                    const char *word)
{
    struct outcomes *outcomes = NULL;
    struct fault fault = { "" };
    assert_int_not_equal(read_all(specs, models, &outcomes, &fault), FAULT_OK);
    assert_null(outcomes);
    if (strstr(fault.text, word) == NULL)
        fail_msg("'%s' does not say '%s'", fault.text, word);
}

static const char *of(const char *in, const char *split)
{
    static char text[4][128];
    static size_t next;
    char *to = text[next++ % 4];
    (void)snprintf(to, sizeof(text[0]), "%s%s", in, split);
    return to;
}

#define NO_MODELS ((const char *const[2]){ NULL, NULL })

static void splits_choose_rows_and_a_bare_item_is_one_more_split(void **state)
{
    (void)state;
    const char *const specs[3] = { of(first, ":calib"), "dev", NULL };
    struct outcomes *outcomes = sound(specs, NO_MODELS);
    assert_int_equal(outcomes->n, 2);
    assert_string_equal(outcomes->rows[1].id, "b");
    assert_string_equal(outcomes->rows[0].domain, "x");
    assert_null(outcomes->rows[1].domain);
    assert_true(outcomes->rows[0].input_tokens == 2);
    outcomes_free(outcomes);
}

static void a_folder_alone_is_all_of_its_rows(void **state)
{
    (void)state;
    struct outcomes *outcomes =
        sound((const char *const[3]){ first, NULL, NULL }, NO_MODELS);
    assert_int_equal(outcomes->n, 3);
    assert_int_equal(outcomes->n_models, 2);
    outcomes_free(outcomes);
}

static void an_empty_cell_is_not_known_and_never_zero(void **state)
{
    (void)state;
    struct outcomes *outcomes =
        sound((const char *const[3]){ first, NULL, NULL }, NO_MODELS);
    assert_true(outcomes->quality[1 * 2 + 0] == 0);
    assert_true(isnan(outcomes->quality[1 * 2 + 1]));
    assert_true(isnan(outcomes->cost_usd[1 * 2 + 1]));
    assert_true(fabs(outcomes->cost_usd[0] - 10e-6) < 1e-15);
    outcomes_free(outcomes);
}

static void folders_are_joined_by_the_names_of_their_models(void **state)
{
    (void)state;
    struct outcomes *outcomes =
        sound((const char *const[3]){ of(first, ":calib"), second, NULL }, NO_MODELS);
    assert_int_equal(outcomes->n, 2);
    assert_int_equal(outcomes->n_models, 3);
    assert_string_equal(outcomes->models[1], "large");
    assert_string_equal(outcomes->models[2], "other");
    assert_string_not_equal(outcomes->rows[0].id, outcomes->rows[1].id);
    assert_true(isnan(outcomes->quality[0 * 3 + 2]));
    assert_true(isnan(outcomes->quality[1 * 3 + 0]));
    assert_true(outcomes->quality[1 * 3 + 1] == 0.75);
    assert_true(outcomes->quality[1 * 3 + 2] == 0.25);
    outcomes_free(outcomes);
}

static void models_come_in_the_order_they_are_named_in(void **state)
{
    (void)state;
    const char *const specs[3] = { of(first, ":calib"), second, NULL };
    struct outcomes *outcomes = sound(specs, (const char *const[2]){ "other", "large" });
    assert_int_equal(outcomes->n_models, 2);
    assert_true(isnan(outcomes->quality[0]));
    assert_true(outcomes->quality[1] == 0.5);
    assert_true(outcomes->quality[1 * 2 + 0] == 0.25);
    assert_true(outcomes->input_pico[1] == 10000000);
    outcomes_free(outcomes);
}

static void wrong_names_are_said(void **state)
{
    (void)state;
    const char *const sound_one[3] = { first, NULL, NULL };
    refused((const char *const[3]){ "/nowhere/at-all", NULL, NULL }, NO_MODELS,
            "/nowhere/at-all");
    refused((const char *const[3]){ of(first, ":cailb"), NULL, NULL }, NO_MODELS,
            "cailb");
    refused(sound_one, (const char *const[2]){ "smal", NULL }, "smal");
    refused(sound_one, (const char *const[2]){ "small", "small" }, "small");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_choose_rows_and_a_bare_item_is_one_more_split),
        cmocka_unit_test(a_folder_alone_is_all_of_its_rows),
        cmocka_unit_test(an_empty_cell_is_not_known_and_never_zero),
        cmocka_unit_test(folders_are_joined_by_the_names_of_their_models),
        cmocka_unit_test(models_come_in_the_order_they_are_named_in),
        cmocka_unit_test(wrong_names_are_said),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
