/* reload.c - frugalctl reload: a running gateway reads its configuration anew, and says what
 * came of it.
 */
#include <stdio.h>

#include "tools/ctl/admin.h"
#include "tools/ctl/archived.h"
#include "tools/ctl/command.h"
#include "tools/ctl/table.h"

#define WAIT_MS 300000 /* a large bundle is read and checked */

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

enum fault_err admin_reload(const struct admin_options *options, struct fault *fault)
{
    json_t *answer = NULL;
    enum fault_err err =
        admin_ask(options, "POST", "/admin/reload", WAIT_MS, &answer, fault);

    /* A refusal is a document, too. */
    if (options->json && answer != NULL) {
        admin_print_json(answer);
    } else if (err == FAULT_OK) {
        print_table(answer);
    }
    json_decref(answer);
    return err;
}

static enum fault_err run(const void *given, const char *const *operands,
                          size_t n_operands, struct fault *fault)
{
    (void)operands, (void)n_operands;
    return admin_reload(given, fault);
}

const struct command command_reload = {
    .operands = "",
    .about = "The gateway reads configuration, prices, keys and bundle anew, checks\n"
             "all of it, and takes it over as a whole or not at all: requests under\n"
             "way end by what they began with. A refusal says where the mistake is,\n"
             "and the old configuration stays in force. Settings that only a start\n"
             "takes over are named as warnings.\n",
    .options = { admin_specs, ADMIN_SPECS },
    .options_bytes = sizeof(struct admin_options),
    .run = run,
};
