/* JSON Schema: each keyword says yes and no; what is not checked is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/ctl/schema.h"

static char path[] = "/tmp/frugal-schema-XXXXXX";

static enum fault_err load(const char *text, struct schema **ret_schema,
                           struct fault *fault)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
    return schema_load(path, ret_schema, fault);
}

static const struct {
    const char *schema, *yes, *no; /* NULL: there is no such value */
} pairs[] = {
    { "true", "1", NULL },
    { "false", NULL, "1" },
    { "{\"type\":\"integer\"}", "1.0", "1.5" },
    { "{\"type\":[\"string\",\"null\"]}", "null", "1" },
    { "{\"type\":\"boolean\"}", "false", "0" },
    { "{\"const\":{\"a\":[1,2]}}", "{\"a\":[1.0,2]}", "{\"a\":[2,1]}" },
    { "{\"enum\":[1,\"a\",null]}", "null", "\"b\"" },
    { "{\"minimum\":2}", "2", "1.9" },
    { "{\"minimum\":2}", "\"text\"", "1" },
    { "{\"exclusiveMaximum\":2}", "1.9", "2" },
    { "{\"multipleOf\":0.1}", "0.3", "0.35" },
    { "{\"minLength\":2,\"maxLength\":3}", "\"\303\244\303\266\"", "\"\303\244\"" },
    { "{\"pattern\":\"^a+$\"}", "\"aaa\"", "\"aab\"" },
    { "{\"minItems\":1}", "[0]", "[]" },
    { "{\"uniqueItems\":true}", "[1,\"1\",[1]]", "[1,1.0]" },
    { "{\"prefixItems\":[{\"type\":\"string\"}],\"items\":{\"type\":\"number\"}}",
      "[\"a\",1,2]", "[\"a\",\"b\"]" },
    { "{\"prefixItems\":[true],\"items\":false}", "[1]", "[1,2]" },
    { "{\"contains\":{\"const\":1},\"maxContains\":2}", "[1,2,1]", "[1,1,1]" },
    { "{\"contains\":{\"const\":1},\"minContains\":0}", "[]", NULL },
    { "{\"required\":[\"a\"]}", "{\"a\":null}", "{}" },
    { "{\"properties\":{\"a\":{\"type\":\"string\"}},\"additionalProperties\":false}",
      "{\"a\":\"x\"}", "{\"a\":\"x\",\"b\":1}" },
    { "{\"patternProperties\":{\"^x\":true,\"^y\":{\"type\":\"null\"}},"
      "\"additionalProperties\":{\"const\":0}}",
      "{\"x1\":1,\"y\":null,\"z\":0}", "{\"y\":1}" },
    { "{\"propertyNames\":{\"maxLength\":2}}", "{\"ab\":1}", "{\"abc\":1}" },
    { "{\"minProperties\":1,\"maxProperties\":1}", "{\"a\":1}", "{}" },
    { "{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1,\"b\":2}", "{\"a\":1}" },
    { "{\"dependentSchemas\":{\"a\":{\"required\":[\"c\"]}}}", "{\"b\":1}", "{\"a\":1}" },
    { "{\"allOf\":[{\"minimum\":1},{\"maximum\":2}]}", "1.5", "3" },
    { "{\"anyOf\":[{\"type\":\"null\"},{\"minimum\":5}]}", "null", "4" },
    { "{\"oneOf\":[{\"minimum\":1},{\"maximum\":2}]}", "3", "1.5" },
    { "{\"not\":{\"type\":\"string\"}}", "1", "\"a\"" },
    { "{\"if\":{\"type\":\"string\"},\"then\":{\"minLength\":2},\"else\":{\"minimum\":0}"
      "}",
      "\"ab\"", "-1" },
    { "{\"$defs\":{\"list\":{\"type\":\"object\",\"required\":[\"v\"],\"properties\":"
      "{\"next\":{\"$ref\":\"#/$defs/list\"}}}},\"$ref\":\"#/$defs/list\"}",
      "{\"v\":1,\"next\":{\"v\":2}}", "{\"v\":1,\"next\":{}}" },
    { "{\"definitions\":{\"a/b~c\":{\"const\":7}},\"$ref\":\"#/definitions/a~1b~0c\"}",
      "7", "8" },
    { "{\"title\":\"t\",\"description\":\"d\",\"default\":1,\"examples\":[2],"
      "\"format\":\"date\"}",
      "\"no date\"", NULL },
    { "{\"type\":\"integer\"}", "123456789012345678901234567890", "\"1\"" },
};

static enum schema_answer ask(const struct schema *schema, const char *value)
{
    return schema_allows(schema, value, strlen(value));
}

static void each_keyword_says_yes_and_no(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct fault fault = { "" };
        struct schema *schema = NULL;
        if (load(pairs[i].schema, &schema, &fault) != FAULT_OK)
            fail_msg("%s: %s", pairs[i].schema, fault.text);
        if (pairs[i].yes != NULL && ask(schema, pairs[i].yes) != SCHEMA_YES)
            fail_msg("%s does not allow %s", pairs[i].schema, pairs[i].yes);
        if (pairs[i].no != NULL && ask(schema, pairs[i].no) != SCHEMA_NO)
            fail_msg("%s allows %s", pairs[i].schema, pairs[i].no);
        assert_int_equal(ask(schema, "{\"a\":"), SCHEMA_NO);
        schema_free(schema);
    }
}

static const struct {
    const char *schema, *says;
} refused[] = {
    { "{\"unevaluatedProperties\":false}", "'#/unevaluatedProperties' is a keyword" },
    { "{\"properties\":{\"a\":{\"requierd\":[]}}}", "'#/properties/a/requierd'" },
    { "{\"type\":\"text\"}", "must be a type" },
    { "{\"items\":[true]}", "prefixItems" },
    { "{\"pattern\":\"(\"}", "no regular expression" },
    { "{\"patternProperties\":{\"[\":true}}", "no regular expression" },
    { "{\"$ref\":\"other.json#/x\"}", "must name a place in this file" },
    { "{\"$ref\":\"#/$defs/none\"}", "must name a place in this file" },
    { "{\"minLength\":-1}", "whole number" },
    { "{\"multipleOf\":0}", "above 0" },
    { "{\"required\":\"a\"}", "list of strings" },
    { "{\"anyOf\":[]}", "not empty" },
    { "{\"not\":1}", "must be a schema" },
    { "{\"$schema\":\"http://json-schema.org/draft-03/schema#\"}", "no draft" },
    { "{\"type\":", "not valid JSON" },
    { "{\"type\":\"null\",\"type\":\"null\"}", "not valid JSON" },
};

static void what_is_not_checked_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct fault fault = { "" };
        struct schema *schema = NULL;
        enum fault_err err = load(refused[i].schema, &schema, &fault);
        if (err != FAULT_INPUT || strstr(fault.text, refused[i].says) == NULL)
            fail_msg("%s: '%s'", refused[i].schema, fault.text);
        assert_null(schema);
    }
}

static void a_check_without_an_end_is_unknown(void **state)
{
    struct fault fault = { "" };
    struct schema *schema = NULL;
    char *many = malloc(40000);
    size_t n = 0;

    (void)state;
    assert_int_equal(load("{\"$ref\":\"#\"}", &schema, &fault), FAULT_OK);
    assert_int_equal(ask(schema, "1"), SCHEMA_UNKNOWN);
    schema_free(schema);
    assert_int_equal(load("{\"not\":{\"uniqueItems\":true}}", &schema, &fault), FAULT_OK);
    assert_non_null(many);
    many[n++] = '[';
    for (int i = 0; i < 5000; i++)
        n += (size_t)snprintf(many + n, 40000 - n, "%s%d", i > 0 ? "," : "", i);
    (void)snprintf(many + n, 40000 - n, "]");
    assert_int_equal(ask(schema, many), SCHEMA_UNKNOWN);
    free(many);
    schema_free(schema);
}

static int temporary(void **state)
{
    int file = mkstemp(path);

    (void)state;
    return file < 0 ? -1 : close(file);
}

static int removed(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_keyword_says_yes_and_no),
        cmocka_unit_test(what_is_not_checked_is_refused),
        cmocka_unit_test(a_check_without_an_end_is_unknown),
    };

    return cmocka_run_group_tests(tests, temporary, removed);
}
