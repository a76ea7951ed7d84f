/* experts.c - frugalctl experts: which endpoints of a running gateway's experts may be called,
 * and what failed last.
 */
#include <stdio.h>

#include "tools/ctl/admin.h"
#include "tools/ctl/archived.h"
#include "tools/ctl/command.h"
#include "tools/ctl/table.h"

#define WAIT_MS 30000

static void put_text(struct table *table, const json_t *of, const char *key)
{
    const char *text = archived_text(of, key);

    table_cell(table, "%s", text[0] != '\0' ? text : "-");
}

static void put_endpoint(struct table *table, const json_t *expert,
                         const json_t *endpoint)
{
    put_text(table, expert, "expert");
    if (json_is_true(json_object_get(expert, "generator")))
        table_cell(table, "%.0f", archived_number(expert, "rows"));
    else
        table_cell(table, "-");
    put_text(table, endpoint, "url");
    put_text(table, endpoint, "state");
    put_text(table, endpoint, "since");
    put_text(table, endpoint, "until");
    table_cell(table, "%.0f", archived_number(endpoint, "in_flight"));
    put_text(table, endpoint, "last_error");
    put_text(table, endpoint, "last_error_at");
}

static void print_experts(const json_t *answer)
{
    static const struct table_column columns[] = {
        { "expert", TABLE_LEFT },     { "rows", TABLE_RIGHT },
        { "endpoint", TABLE_LEFT },   { "state", TABLE_LEFT },
        { "since", TABLE_LEFT },      { "until", TABLE_LEFT },
        { "in flight", TABLE_RIGHT }, { "last error", TABLE_LEFT },
        { "at", TABLE_LEFT },
    };
    const json_t *experts = json_object_get(answer, "experts");
    struct table *table = table_new(columns, ARRAY_LEN(columns));

    for (size_t i = 0; i < json_array_size(experts); i++) {
        const json_t *expert = json_array_get(experts, i);
        const json_t *endpoints = json_object_get(expert, "endpoints");

        for (size_t e = 0; e < json_array_size(endpoints); e++)
            put_endpoint(table, expert, json_array_get(endpoints, e));
    }
    table_print(table, stdout);
    table_free(table);
}

static enum fault_err run(const void *given, const char *const *operands,
                          size_t n_operands, struct fault *fault)
{
    const struct admin_options *options = given;
    json_t *answer = NULL;
    enum fault_err err =
        admin_ask(options, "GET", "/admin/experts", WAIT_MS, &answer, fault);

    (void)operands, (void)n_operands;
    if (err == FAULT_OK && options->json) {
        admin_print_json(answer);
    } else if (err == FAULT_OK) {
        print_experts(answer);
    }
    json_decref(answer);
    return err;
}

const struct command command_experts = {
    .operands = "",
    .about =
        "Each endpoint of each expert of a running gateway: whether it may be called\n"
        "(ready, slow_start, trial), is left alone until when and why (down, limited),\n"
        "and what its last failure was. Rows are those of the bundle that know the\n"
        "expert's quality: with none it is only asked directly, as a default, or, where\n"
        "another's outcomes are lent to it (prior_like), to explore what it is like.\n",
    .options = { admin_specs, ADMIN_SPECS },
    .options_bytes = sizeof(struct admin_options),
    .run = run,
};
