/* experts.c - frugalctl experts: which endpoints of a running gateway's experts may be called,
 * and what failed last.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tools/ctl/archived.h"
#include "tools/ctl/command.h"
#include "tools/ctl/fetch.h"
#include "tools/ctl/table.h"

#define WAIT_MS 30000

struct experts_options {
    const char *admin;
    bool json;
};

#define AT(member) .offset = offsetof(struct experts_options, member)
static const struct option_spec experts_specs[] = {
    { .name = "admin",
      .kind = OPTION_TEXT,
      .value = "URL",
      .help = "its admin listener, as http://127.0.0.1:8081 or "
              "unix:/run/frugal/admin.sock",
      .fallback = "http://127.0.0.1:8081",
      AT(admin) },
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "print the gateway's answer instead of a table",
      AT(json) },
};
#undef AT

static void put_text(struct table *table, const json_t *of, const char *key)
{
    const char *text = archived_text(of, key);

    table_cell(table, "%s", text[0] != '\0' ? text : "-");
}

static void put_endpoint(struct table *table, const json_t *expert,
                         const json_t *endpoint)
{
    put_text(table, expert, "expert");
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
        { "expert", TABLE_LEFT },     { "endpoint", TABLE_LEFT },
        { "state", TABLE_LEFT },      { "since", TABLE_LEFT },
        { "until", TABLE_LEFT },      { "in flight", TABLE_RIGHT },
        { "last error", TABLE_LEFT }, { "at", TABLE_LEFT },
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

static enum fault_err ask(const struct experts_options *options, json_t **ret_answer,
                          struct fault *fault)
{
    struct network network = { 0 };
    struct fetch question = { "GET", .wait_ms = WAIT_MS };
    char *base = NULL, *url = NULL;
    unsigned status = 0;
    enum fault_err err = network_listener(&network, options->admin, &base, fault);

    if (err == FAULT_OK && asprintf(&url, "%s/admin/experts", base) < 0)
        err = fault_set(fault, FAULT_IO, "out of memory");
    question.url = url;
    if (err == FAULT_OK)
        err = fetch_json(&network, &question, &status, ret_answer, fault);
    if (err == FAULT_OK && status != 200)
        err = fetch_refused(options->admin, status, *ret_answer, fault);
    else if (err == FAULT_OK && *ret_answer == NULL)
        err = fault_set(fault, FAULT_IO, "'%s' answered something else than JSON",
                        options->admin);
    network_release(&network);
    free(base);
    free(url);
    return err;
}

static enum fault_err run(const void *given, const char *const *operands,
                          size_t n_operands, struct fault *fault)
{
    const struct experts_options *options = given;
    json_t *answer = NULL;
    enum fault_err err = ask(options, &answer, fault);

    (void)operands, (void)n_operands;
    if (err == FAULT_OK && options->json) {
        (void)json_dumpf(answer, stdout, JSON_INDENT(2));
        (void)putchar('\n');
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
        "and what its last failure was.\n",
    .options = { experts_specs, ARRAY_LEN(experts_specs) },
    .options_bytes = sizeof(struct experts_options),
    .run = run,
};
