/* Recorded outcomes: a sound folder is read, a wrong one is refused by file and line. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/base/money.h"
#include "tools/ctl/dataset.h"

static char folder[] = "/tmp/frugal-dataset-XXXXXX";

static const char models[] = "{\"models\": {\n"
                             " \"small\": {\"price_in\": 0.1, \"price_out\": 0.4},\n"
                             " \"large, dear\": {\"price_in\": 2.5, \"price_out\": 10}\n"
                             "}}\n";
static const char prompts[] =
    "{\"id\": \"a\", \"prompt\": \"twelve chars\", \"domain\": \"d\", \"split\": "
    "\"calib\"}\n"
    "{\"id\": \"b\", \"prompt\": \"\\u00e4\\u00f6\", \"split\": \"dev\"}\n"
    "\n"
    "{\"id\": \"c\", \"messages\": [{\"role\": \"user\", \"content\": \"hi\"}],"
    " \"split\": \"calib\"}\n";
static const char quality[] =
    "id,\"large, dear\",small\r\na,1,0.5\r\nb,0,\r\nc,0.25,1\r\n";
static const char cost[] = "id,small,\"large, dear\"\na,50.45,1000\nb,0,0\nc,0.1,\n";

static void put(const char *name, const char *text)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void put_all(void)
{
    put("models.json", models);
    put("prompts.jsonl", prompts);
    put("quality.csv", quality);
    put("cost.csv", cost);
}

static enum fault_err read_all(struct dataset **ret_dataset, struct fault *fault)
{
    return dataset_read(folder, NULL, 0, NULL, NULL, ret_dataset, fault);
}

static void cells_stand_under_their_model_whatever_the_columns_order(void **state)
{
    struct fault fault = { "" };
    struct dataset *dataset = NULL;

    (void)state;
    put_all();
    assert_int_equal(read_all(&dataset, &fault), FAULT_OK);
    assert_int_equal(dataset->n_models, 2);
    assert_int_equal(dataset->n_prompts, 3);
    assert_string_equal(dataset->models[1].name, "large, dear");
    assert_int_equal(dataset->models[1].output_pico, 10000000);
    assert_true(dataset->quality[0] == 0.5 && dataset->quality[1] == 1);
    assert_true(isnan(dataset->quality[2]));
    assert_int_equal(dataset->cost_pico[0], 50450000);
    assert_int_equal(dataset->cost_pico[5], MONEY_NONE);
    assert_string_equal(dataset->prompts[0].text, "twelve chars");
    assert_int_equal(dataset->prompts[1].characters, 2);
    assert_null(dataset->prompts[1].domain);
    dataset_free(dataset);
}

static void tokens_cost_what_was_recorded(void **state)
{
    struct fault fault = { "" };
    struct dataset *dataset = NULL;
    double input, output;

    (void)state;
    put_all();
    assert_int_equal(read_all(&dataset, &fault), FAULT_OK);
    dataset_tokens(dataset, 0, 0, &input, &output);
    assert_true(input == 3); /* 12 characters */
    assert_true(fabs(input * 1e5 + output * 4e5 - 50450000) < 1);
    dataset_tokens(dataset, 1, 1, &input, &output); /* free: no tokens, none negative */
    assert_true(input == 0 && output == 0);
    dataset_tokens(dataset, 2, 1, &input, &output);
    assert_true(isnan(input) && isnan(output));
    dataset_free(dataset);
}

static void a_split_chooses_rows(void **state)
{
    struct fault fault = { "" };
    struct dataset *dataset = NULL;
    char first[] = "calib", second[] = "test";
    char *calib[] = { first }, *none[] = { first, second };

    (void)state;
    put_all();
    assert_int_equal(dataset_read(folder, calib, 1, NULL, NULL, &dataset, &fault),
                     FAULT_OK);
    assert_int_equal(dataset->n_prompts, 2);
    assert_string_equal(dataset->prompts[1].id, "c");
    assert_true(dataset->quality[2] == 1);
    dataset_free(dataset);
    assert_int_equal(dataset_read(folder, none, 2, NULL, NULL, &dataset, &fault),
                     FAULT_INPUT);
    assert_non_null(strstr(fault.text, "prompts.jsonl: no prompt is of split 'test'"));
}

static const struct {
    const char *file, *text, *says;
} wrong[] = {
    { "models.json", "{\"models\": {\n\"small\": }}", "models.json:2: not valid JSON" },
    { "models.json", "{\"model\": {}}", "models.json:1: there is no object 'models'" },
    { "models.json", "{\"models\": {}}", "models.json:1: 'models' is empty" },
    { "models.json", "{\"models\": {\n\"small\": {\"price_in\": 1}}}",
      "models.json:2: 'price_out' of 'small' is missing" },
    { "models.json", "{\"models\": {\"small\":\n{\"price_in\": -1, \"price_out\": 1}}}",
      "models.json:2: 'price_in' of 'small' is not a price" },
    { "prompts.jsonl", "{\"id\": \"a\", \"prompt\": \"x\"}\n{\"id\":\n",
      "prompts.jsonl:2: not valid JSON" },
    { "prompts.jsonl", "[1]\n", "prompts.jsonl:1: the line must be an object" },
    { "prompts.jsonl", "{\"prompt\": \"x\"}\n", "prompts.jsonl:1: 'id' is missing" },
    { "prompts.jsonl", "{\"id\": \"a\"}\n", "prompts.jsonl:1: 'prompt' is missing" },
    { "prompts.jsonl", "{\"id\": \"a\", \"prompt\": \" \"}\n",
      "prompts.jsonl:1: 'prompt' is empty" },
    { "prompts.jsonl", "{\"id\": \"a\", \"prompt\": 3}\n",
      "prompts.jsonl:1: 'prompt' must be a string" },
    { "prompts.jsonl", "{\"id\": \"a\", \"prompt\": \"x\\u0000\"}\n",
      "prompts.jsonl:1: 'prompt' holds a NUL" },
    { "prompts.jsonl", "{\"id\": \"a\", \"prompt\": \"\xff\"}\n",
      "prompts.jsonl:1: the line is not UTF-8" },
    { "prompts.jsonl", "{\"id\": \"a\", \"messages\": []}\n",
      "prompts.jsonl:1: the messages are wrong" },
    { "prompts.jsonl", "{\"id\": \"a\", \"prompt\": \"x\", \"grade\": \"guess\"}\n",
      "prompts.jsonl:1: 'grade' is 'guess'" },
    { "prompts.jsonl",
      "{\"id\": \"a\", \"prompt\": \"x\"}\n{\"id\": \"a\", \"prompt\": \"y\"}\n",
      "prompts.jsonl:2: id 'a' is a duplicate of line 1" },
    { "prompts.jsonl", "\n", "prompts.jsonl: there is no prompt in it" },
    { "quality.csv", "", "quality.csv:1: the header must be" },
    { "quality.csv", "name,small,\"large, dear\"\n",
      "quality.csv:1: the header must be" },
    { "quality.csv", "id,small\n", "quality.csv:1: model 'large, dear' of models.json" },
    { "quality.csv", "id,small,\"large, dear\",huge\n",
      "quality.csv:1: model 'huge' is not in models.json" },
    { "quality.csv", "id,small,small\n", "quality.csv:1: column 'small' is a duplicate" },
    { "quality.csv", "id,small,\"large, dear\"\na,1.5,0\n",
      "quality.csv:2: '1.5' of 'small' is not a quality" },
    { "quality.csv", "id,small,\"large, dear\"\na,1,nan\n",
      "quality.csv:2: 'nan' of 'large, dear' is not a quality" },
    { "quality.csv", "id,small,\"large, dear\"\na,1\n", "quality.csv:2: 2 fields" },
    { "quality.csv", "id,small,\"large, dear\"\nz,1,1\n",
      "quality.csv:2: id 'z' is not in prompts.jsonl" },
    { "quality.csv", "id,small,\"large, dear\"\na,1,1\n\na,1,1\n",
      "quality.csv:4: id 'a' is a duplicate of line 2" },
    { "quality.csv", "id,small,\"large, dear\n", "quality.csv:1: field 3: a quote" },
    { "cost.csv", "id,small,\"large, dear\"\na,-1,0\n",
      "cost.csv:2: '-1' of 'small' is not a cost" },
    { "cost.csv", "id,small,\"large, dear\"\na,inf,0\n", "cost.csv:2: 'inf'" },
};

static void what_is_wrong_is_said_with_file_and_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct fault fault = { "" };
        struct dataset *dataset = NULL;
        put_all();
        put(wrong[i].file, wrong[i].text);
        assert_int_equal(read_all(&dataset, &fault), FAULT_INPUT);
        assert_null(dataset);
        if (strstr(fault.text, wrong[i].says) == NULL)
            fail_msg("'%s' does not say '%s'", fault.text, wrong[i].says);
    }
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    static const char *const names[] = { "models.json", "prompts.jsonl", "quality.csv",
                                         "cost.csv" };
    char path[256];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_stand_under_their_model_whatever_the_columns_order),
        cmocka_unit_test(tokens_cost_what_was_recorded),
        cmocka_unit_test(a_split_chooses_rows),
        cmocka_unit_test(what_is_wrong_is_said_with_file_and_line),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
