/* reload.c - frugalctl reload: a running gateway reads its configuration anew, and says what
 * came of it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tools/ctl/archived.h"
#include "tools/ctl/command.h"
#include "tools/ctl/fetch.h"
#include "tools/ctl/table.h"

#define WAIT_MS 300000 /* a large bundle is read and checked */

struct reload_options {
    const char *admin;
    bool json;
};

#define AT(member) .offset = offsetof(struct reload_options, member)
static const struct option_spec reload_specs[] = {
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

static void put_row(struct table *table, const char *name, const json_t *answer,
                    const char *key)
{
    const char *before = archived_text(json_object_get(answer, "before"), key);
    const char *now = archived_text(json_object_get(answer, "now"), key);

    table_cell(table, "%s", name);
    table_cell(table, "%s", before[0] != '\0' ? before : "-");
    table_cell(table, "%s", now[0] != '\0' ? now : "-");
}

static void print_table(const json_t *answer)
{
    static const struct table_column columns[] = { { "", TABLE_LEFT },
                                                   { "before", TABLE_LEFT },
                                                   { "now", TABLE_LEFT } };
    const json_t *warnings = json_object_get(answer, "warnings");
    struct table *table = table_new(columns, ARRAY_LEN(columns));

    put_row(table, "configuration", answer, "config");
    put_row(table, "bundle", answer, "bundle");
    table_print(table, stdout);
    table_free(table);
    (void)printf("\n%.0f keys are in force\n", archived_number(answer, "keys"));
    for (size_t i = 0; i < json_array_size(warnings); i++)
        (void)printf("warning: %s\n", archived_text(json_array_get(warnings, i), "text"));
}

static enum fault_err ask(const struct reload_options *options, json_t **ret_answer,
                          struct fault *fault)
{
    struct network network = { 0 };
    struct fetch question = { "POST", .wait_ms = WAIT_MS };
    char *base = NULL, *url = NULL;
    unsigned status = 0;
    enum fault_err err = network_listener(&network, options->admin, &base, fault);

    if (err == FAULT_OK && asprintf(&url, "%s/admin/reload", base) < 0)
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
    const struct reload_options *options = given;
    json_t *answer = NULL;
    enum fault_err err = ask(options, &answer, fault);

    (void)operands, (void)n_operands;
    /* A refusal is a document, too. */
    if (options->json && answer != NULL) {
        (void)json_dumpf(answer, stdout, JSON_INDENT(2));
        (void)putchar('\n');
    } else if (err == FAULT_OK) {
        print_table(answer);
    }
    json_decref(answer);
    return err;
}

const struct command command_reload = {
    .operands = "",
    .about = "The gateway reads configuration, prices, keys and bundle anew, checks\n"
             "all of it, and takes it over as a whole or not at all: requests under\n"
             "way end by what they began with. A refusal says where the mistake is,\n"
             "and the old configuration stays in force. Settings that only a start\n"
             "takes over are named as warnings.\n",
    .options = { reload_specs, ARRAY_LEN(reload_specs) },
    .options_bytes = sizeof(struct reload_options),
    .run = run,
};
