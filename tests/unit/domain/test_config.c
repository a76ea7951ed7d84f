/* test_config.c - files, secrets, examples and the schema; what is wrong in a configuration
 * has its cases in tests/cases/config. Runs from the root of the tree. */
#include "gateway/domain/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "gateway/domain/models.h"

#define EXPERT(key)                                                                      \
    "{\"experts\":{\"small\":{\"endpoints\":[\"http://h/v1\"],\"free\":true," key        \
    "\"generator\":{\"model\":\"m\"}}}}"

static char folder[] = "/tmp/frugal-config-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static void write_file(const char *name, const char *text, char path[256])
{
    FILE *file;

    (void)snprintf(path, 256, "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct config *parse(const char *text)
{
    struct config_error error = { .set = false };
    struct config *config = NULL;
    char line[1200];

    if (config_parse(str_of(text), "x.json", &config, &error) != ERR_OK)
        fail_msg("%s", config_error_text(&error, line, sizeof(line)));
    return config;
}

static void examples_run_as_written(void **state)
{
    static const char *const names[] = { "config/frugal.example.json",
                                         "config/minimal.json" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct config_error error = { .set = false };
        struct config *config = NULL;
        char line[1200];

        if (config_load(names[i], &config, &error) != ERR_OK)
            fail_msg("%s", config_error_text(&error, line, sizeof(line)));
        assert_true(config->n_policies >= 1);
        config_unref(config);
    }
}

static void a_missing_file_is_an_error_with_its_name(void **state)
{
    struct config_error error = { .set = false };
    struct config *config = NULL;
    char line[1200];

    (void)state;
    assert_int_equal(config_load("no/such.json", &config, &error), ERR_IO);
    assert_null(config);
    assert_string_equal(config_error_text(&error, line, sizeof(line)),
                        "no/such.json: cannot open: No such file or directory");
    assert_int_equal(config_load("no/such.json", &config, NULL), ERR_IO);
}

static void relative_paths_belong_to_the_file(void **state)
{
    struct config *config = NULL;
    char path[256], secret[256], want[300];

    (void)state;
    write_file("k", "sk-file\n", secret);
    write_file(
        "c.json",
        "{\"bundle\":\"b\","
        "\"experts\":{\"a\":{\"endpoints\":[\"http://h\"],"
        "\"free\":true,\"key\":{\"file\":\"k\"},\"generator\":{\"model\":\"m\"}}}}",
        path);
    assert_int_equal(config_load(path, &config, NULL), ERR_OK);
    (void)snprintf(want, sizeof(want), "%s/b", folder);
    assert_string_equal(config->bundle, want);
    assert_string_equal(config->experts[0].key, "sk-file"); /* without the line feed */
    config_unref(config);
    assert_int_equal(unlink(path) | unlink(secret), 0);
}

static void secrets_come_from_the_environment(void **state)
{
    struct config *config;

    (void)state;
    assert_int_equal(setenv("FRUGAL_TEST_KEY", "sk-env", 1), 0);
    config = parse(EXPERT("\"key\":{\"env\":\"FRUGAL_TEST_KEY\"},"));
    assert_string_equal(config->experts[0].key, "sk-env");
    config_unref(config);
    assert_int_equal(unsetenv("FRUGAL_TEST_KEY"), 0);
}

static void a_secret_is_in_no_error(void **state)
{
    static const char *const bad[] = { "sk-sec ret", "", "  ", "sk-secret\nx: y" };
    char line[1200];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct config_error error = { .set = false };
        struct config *config;

        assert_int_equal(setenv("FRUGAL_TEST_KEY", bad[i], 1), 0);
        assert_int_equal(
            config_parse(STR(EXPERT("\"key\":{\"env\":\"FRUGAL_TEST_KEY\"},")), "x.json",
                         &config, &error),
            ERR_INVALID);
        config_error_text(&error, line, sizeof(line));
        assert_null(strstr(line, "sk-"));
        assert_non_null(strstr(line, "/experts/small/key"));
    }
    assert_int_equal(unsetenv("FRUGAL_TEST_KEY"), 0);
}

static void a_long_secret_file_is_refused(void **state)
{
    struct config_error error = { .set = false };
    struct config *config;
    char path[256], text[700], line[1200];
    static char big[CONFIG_MAX_SECRET + 2];

    (void)state;
    memset(big, 'x', sizeof(big) - 1);
    write_file("big", big, path);
    (void)snprintf(text, sizeof(text), EXPERT("\"key\":{\"file\":\"%s\"},"), path);
    assert_int_equal(config_parse(str_of(text), "x.json", &config, &error), ERR_INVALID);
    assert_non_null(strstr(config_error_text(&error, line, sizeof(line)), "longer than"));
    assert_int_equal(unlink(path), 0);
}

static void the_first_error_wins(void **state)
{
    struct config_error error = { .set = true, .text = "earlier" };
    struct config *config;

    (void)state;
    assert_int_equal(config_parse(STR("{}"), "x.json", &config, &error), ERR_INVALID);
    assert_string_equal(error.text, "earlier");
}

static void references_keep_a_config_alive(void **state)
{
    struct config *config = parse(EXPERT(""));

    (void)state;
    assert_ptr_equal(config_ref(config), config);
    config_unref(config);
    assert_string_equal(config->experts[0].name, "small");
    config_unref(config);
    config_unref(NULL);
}

static void names_are_found(void **state)
{
    struct config *config = parse(EXPERT(""));

    (void)state;
    assert_int_equal(config_find_expert(config, STR("small")), 0);
    assert_int_equal(config_find_expert(config, STR("smal")), -1);
    assert_int_equal(config_find_policy(config, STR("auto")), 0);
    assert_int_equal(config_find_policy(config, STR("small")), -1);
    config_unref(config);
}

static const char *buf_find(const struct buf *out, const char *text)
{
    return memmem(out->p, out->n, text, strlen(text));
}

static void models_list_is_json_in_openai_shape(void **state)
{
    struct config *config = NULL;
    struct buf out;
    json_t *list, *data;

    (void)state;
    assert_int_equal(config_load("config/frugal.example.json", &config, NULL), ERR_OK);
    buf_init(&out, 65536);
    models_list(config, &key_allow_all, 1700000000, 1700000000, &out);
    assert_false(out.failed);
    list = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
    data = json_object_get(list, "data");
    assert_int_equal(json_array_size(data), 6);
    for (size_t i = 0; i < 6; i++) {
        json_t *model = json_array_get(data, i);

        assert_string_equal(json_string_value(json_object_get(model, "object")), "model");
        assert_true(json_is_string(json_object_get(model, "id")));
        assert_int_equal(json_integer_value(json_object_get(model, "created")),
                         1700000000);
        assert_true(json_is_string(json_object_get(model, "owned_by")));
    }
    json_decref(list);
    buf_clear(&out);
    assert_true(models_one(config, &key_allow_all, STR("large"), 1, 1, &out));
    assert_non_null(memmem(out.p, out.n, "\"usd_per_million_cached_input\":1.25", 35));
    assert_non_null(
        buf_find(&out, "\"above\":[{\"tokens\":100000,\"usd_per_million_input\":5,"));
    assert_non_null(buf_find(&out, "\"prices_change\":1798761600}")); /* 2027-01-01 */
    buf_clear(&out);
    assert_true(models_one(config, &key_allow_all, STR("large"), 1, 1798761600, &out));
    assert_non_null(buf_find(&out, "\"usd_per_million_input\":2,"));
    assert_null(buf_find(&out, "prices_change"));
    assert_false(models_one(config, &key_allow_all, STR("none"), 1, 1, &out));
    buf_release(&out);
    config_unref(config);
}

#define PROMISE                                                                          \
    "\"expected\":{\"quality\":0.9,\"quality_se\":0.01,\"quality_low\":0.88,"            \
    "\"quality_high\":0.92,\"usd_per_1k\":2,\"usd_per_1k_se\":0.1,"                      \
    "\"usd_per_1k_low\":1.8,\"usd_per_1k_high\":2.2,\"rows\":300,\"bundle\":\"b7\"}"
#define WITH_POLICIES                                                                    \
    "{\"policies_file\":\"p.json\",\"experts\":{"                                        \
    "\"a\":{\"endpoints\":[\"http://"                                                    \
    "h\"],\"free\":true,\"generator\":{\"model\":\"m\"}},"                               \
    "\"b\":{\"endpoints\":[\"http://"                                                    \
    "h\"],\"free\":true,\"generator\":{\"model\":\"m\"}}}"

/* Loads a configuration beside a file of policies; the caller's to release. */
static enum err load_with(const char *policies, const char *text,
                          struct config **ret_config, struct config_error *error)
{
    char path[256], beside[256];
    enum err err;

    write_file("p.json", policies, beside);
    write_file("c.json", text, path);
    err = config_load(path, ret_config, error);
    assert_int_equal(unlink(path) | unlink(beside), 0);
    return err;
}

static void policies_of_a_file_stand_beside_those_of_the_section(void **state)
{
    struct config *config = NULL;

    (void)state;
    assert_int_equal(
        load_with("{\"auto\":{\"value_usd\":0.5,\"default\":\"b\"," PROMISE "}}",
                  WITH_POLICIES ",\"policies\":{\"mine\":{}}}", &config, NULL),
        ERR_OK);
    assert_int_equal(config->n_policies, 2);
    assert_string_equal(config->policies[0].name, "auto");
    assert_true(config->policies[0].lambda == 2);
    assert_int_equal(config->policies[0].default_expert, 1);
    assert_true(config->policies[0].has_expected);
    assert_true(config->policies[0].expected.quality_high == 0.92);
    assert_int_equal(config->policies[0].expected.rows, 300);
    assert_string_equal(config->policies[0].expected.bundle, "b7");
    assert_false(config->policies[1].has_expected);
    config_unref(config);
}

static void the_section_says_what_it_says_over_the_file(void **state)
{
    struct config *config = NULL;
    const struct config_policy *policy;

    (void)state;
    assert_int_equal(
        load_with("{\"auto\":{\"value_usd\":0.5,\"switch_z\":3,\"default\":\"b\"," PROMISE
                  "}}",
                  WITH_POLICIES ",\"policies\":{\"auto\":{\"max_output_tokens\":7}}}",
                  &config, NULL),
        ERR_OK);
    policy = &config->policies[0];
    assert_int_equal(config->n_policies, 1);
    assert_int_equal(policy->max_output_tokens, 7);
    assert_true(policy->lambda == 2 && policy->switch_z == 3 && !policy->silent_switch_z);
    assert_int_equal(policy->default_expert, 1);
    assert_true(policy->has_expected);
    config_unref(config);
}

static void a_promise_is_void_where_other_experts_are_chosen(void **state)
{
    static const char *const others[] = { "\"value_usd\":1", "\"switch_z\":0",
                                          "\"experts\":[\"b\"]", "\"min_quality\":0.5" };
    char text[1024];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        struct config *config = NULL;

        (void)snprintf(text, sizeof text, WITH_POLICIES ",\"policies\":{\"auto\":{%s}}}",
                       others[i]);
        assert_int_equal(
            load_with("{\"auto\":{\"value_usd\":0.5," PROMISE "}}", text, &config, NULL),
            ERR_OK);
        assert_false(config->policies[0].has_expected);
        config_unref(config);
    }
}

static void another_file_of_policies_is_another_version(void **state)
{
    struct config *one = NULL, *two = NULL;

    (void)state;
    assert_int_equal(
        load_with("{\"auto\":{\"value_usd\":1}}", WITH_POLICIES "}", &one, NULL), ERR_OK);
    assert_int_equal(
        load_with("{\"auto\":{\"value_usd\":2}}", WITH_POLICIES "}", &two, NULL), ERR_OK);
    assert_string_not_equal(one->version, two->version);
    config_unref(one);
    config_unref(two);
}

static void a_mistake_in_the_file_of_policies_is_shown_there(void **state)
{
    static const struct {
        const char *policies, *text;
    } wrong[] = {
        { "{\"auto\":\n {\"value_usd\":0}}",
          "p.json:2:15: /auto/value_usd: must be more than 0" },
        { "{\"auto\":{}", "p.json:1:10: '}' expected" },
        { "{\"auto\":{\"expected\":{}}}",
          "p.json:1:21: /auto/expected: 'quality' is missing" },
        { "[]", "p.json:1:1: must be an object with at most 64 policies" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct config_error error = { .set = false };
        struct config *config = NULL;
        char line[1200], want[512];

        assert_int_equal(load_with(wrong[i].policies, WITH_POLICIES "}", &config, &error),
                         ERR_INVALID);
        (void)snprintf(want, sizeof want, "%s/%s", folder, wrong[i].text);
        assert_string_equal(config_error_text(&error, line, sizeof line), want);
    }
}

static void models_tell_what_a_policy_was_tuned_to(void **state)
{
    struct config *config = NULL;
    struct buf out;

    (void)state;
    assert_int_equal(load_with("{\"auto\":{\"value_usd\":0.5," PROMISE "}}",
                               WITH_POLICIES "}", &config, NULL),
                     ERR_OK);
    buf_init(&out, 65536);
    assert_true(models_one(config, &key_allow_all, STR("auto"), 1, 1, &out));
    assert_non_null(
        buf_find(&out, ",\"expected\":{\"quality\":0.9,\"quality_se\":0.01,"));
    assert_non_null(buf_find(&out, "\"usd_per_1k\":2,\"usd_per_1k_se\":0.1,"));
    assert_non_null(buf_find(&out, "\"rows\":300,\"bundle\":\"b7\"}}}"));
    buf_release(&out);
    config_unref(config);
}

/* -- the schema -- */

static const json_t *schema_of(const json_t *root, struct str path)
{
    const json_t *node = root;
    struct str part;
    char key[64];

    while (node && str_cut(&path, '.', &part)) {
        (void)snprintf(key, sizeof(key), STR_FMT, STR_ARG(part));
        node = str_is(part, "NAME") ? json_object_get(node, "additionalProperties")
               : str_is(part, "N")
                   ? json_object_get(node, "items")
                   : json_object_get(json_object_get(node, "properties"), key);
    }
    return node;
}

static void same_default(const json_t *setting, const char *text)
{
    const json_t *value = json_object_get(setting, "default");

    if (json_is_boolean(value))
        assert_string_equal(text, json_is_true(value) ? "true" : "false");
    else if (json_is_number(value))
        assert_true(json_number_value(value) == strtod(text, NULL));
    else
        assert_string_equal(text, json_string_value(value));
}

/* "limits.depth  integer, 8 to 512, default 128: nesting of a request's JSON" */
static void same_as_help(const json_t *root, struct str line)
{
    struct str attributes = line, attribute, path;
    const json_t *setting;
    char text[300];
    double low, high;

    (void)str_cut(&attributes, ' ', &path);
    setting = schema_of(root, path);
    if (!setting)
        fail_msg("'" STR_FMT "' is not in the schema", STR_ARG(path));
    if (memmem(attributes.p, attributes.n, " structure", 10))
        return;
    attributes.n = (size_t)((const char *)memmem(attributes.p, attributes.n, ": ", 2) -
                            attributes.p);
    while (str_cut(&attributes, ',', &attribute)) {
        (void)snprintf(text, sizeof(text), STR_FMT, STR_ARG(str_trim(attribute)));
        if (strncmp(text, "default ", 8) == 0) {
            same_default(setting, text + 8);
        } else if (sscanf(text, "%lf to %lf", &low, &high) == 2) {
            assert_true(json_number_value(json_object_get(setting, "minimum")) == low);
            assert_true(json_number_value(json_object_get(setting, "maximum")) == high);
        }
    }
}

static void the_schema_says_what_the_tables_say(void **state)
{
    json_t *root = json_load_file("config/frugal.schema.json", 0, NULL);
    struct str rest, line;
    struct buf help;
    size_t n = 0;

    (void)state;
    assert_non_null(root);
    buf_init(&help, 65536);
    config_print_help(&help);
    rest = buf_str(&help);
    while (str_cut(&rest, '\n', &line) && line.n > 0) {
        same_as_help(root, line);
        n++;
    }
    assert_true(n > 60);
    buf_release(&help);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_run_as_written),
        cmocka_unit_test(a_missing_file_is_an_error_with_its_name),
        cmocka_unit_test(relative_paths_belong_to_the_file),
        cmocka_unit_test(secrets_come_from_the_environment),
        cmocka_unit_test(a_secret_is_in_no_error),
        cmocka_unit_test(a_long_secret_file_is_refused),
        cmocka_unit_test(the_first_error_wins),
        cmocka_unit_test(references_keep_a_config_alive),
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(models_list_is_json_in_openai_shape),
        cmocka_unit_test(policies_of_a_file_stand_beside_those_of_the_section),
        cmocka_unit_test(the_section_says_what_it_says_over_the_file),
        cmocka_unit_test(a_promise_is_void_where_other_experts_are_chosen),
        cmocka_unit_test(another_file_of_policies_is_another_version),
        cmocka_unit_test(a_mistake_in_the_file_of_policies_is_shown_there),
        cmocka_unit_test(models_tell_what_a_policy_was_tuned_to),
        cmocka_unit_test(the_schema_says_what_the_tables_say),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
