/* decisions.c - frugalctl decisions: what was decided, one line each, the newest first. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/ctl/archived.h"
#include "tools/ctl/command.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/report.h"
#include "tools/ctl/table.h"

#define PAGE 500 /* decisions asked for at once */

struct decisions_options {
    struct archived_options from;
    const char *since, *until, *expert, *policy, *key, *tag;
    const char *before, *after, *request_id, *response_id;
    int64_t limit;
    bool json;
};

#define AT(member) .offset = offsetof(struct decisions_options, member)
static const struct option_spec decisions_specs[] = {
    ARCHIVED_OPTIONS(offsetof(struct decisions_options, from)),
    { .name = "since",
      .kind = OPTION_TEXT,
      .value = "TIME",
      .help = "not older: 2026-01-31, 2026-01-31T12:00:00Z, or 15m, 24h, 7d ago",
      AT(since) },
    { .name = "until",
      .kind = OPTION_TEXT,
      .value = "TIME",
      .help = "older; the same forms",
      AT(until) },
    { .name = "expert",
      .kind = OPTION_TEXT,
      .value = "NAME",
      .help = "only those that chose this expert",
      AT(expert) },
    { .name = "policy",
      .kind = OPTION_TEXT,
      .value = "NAME",
      .help = "only requests to this policy",
      AT(policy) },
    { .name = "key",
      .kind = OPTION_TEXT,
      .value = "ID",
      .help = "only requests with this key; empty: without one",
      AT(key) },
    { .name = "tag",
      .kind = OPTION_TEXT,
      .value = "NAME=VALUE",
      .help = "only requests with this tag",
      AT(tag) },
    { .name = "limit",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "decisions to show",
      .fallback = "50",
      .min = 1,
      .max = 1e6,
      AT(limit) },
    { .name = "before",
      .kind = OPTION_TEXT,
      .value = "ID",
      .help = "go on behind this one, to older ones",
      AT(before) },
    { .name = "after",
      .kind = OPTION_TEXT,
      .value = "ID",
      .help = "those newer than this one, the oldest first",
      AT(after) },
    { .name = "request-id",
      .kind = OPTION_TEXT,
      .value = "ID",
      .help = "only requests with this x-request-id",
      AT(request_id) },
    { .name = "response-id",
      .kind = OPTION_TEXT,
      .value = "ID",
      .help = "only those whose answer has this id",
      AT(response_id) },
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "print one JSON document instead of a table",
      AT(json) },
};
#undef AT

/* One page; the cursor is the last id of the page before. */
static enum fault_err read_page(struct archived *from,
                                const struct decisions_options *options, int64_t limit,
                                const char *cursor, json_t **ret_page,
                                struct fault *fault)
{
    const bool forward = options->after != NULL;
    char count[24];
    const struct archived_param params[] = {
        { "since", options->since },
        { "until", options->until },
        { "expert", options->expert },
        { "policy", options->policy },
        { "key", options->key },
        { "tag", options->tag },
        { "request_id", options->request_id },
        { "response_id", options->response_id },
        { "limit", count },
        { "before", !forward && cursor != NULL ? cursor : options->before },
        { "after", forward && cursor != NULL ? cursor : options->after },
    };

    (void)snprintf(count, sizeof count, "%lld", (long long)limit);
    return archived_list(from, params, ARRAY_LEN(params), ret_page, fault);
}

/* Pages are put together until the limit is reached; `more` says that there are others. */
static enum fault_err read_all(struct archived *from,
                               const struct decisions_options *options, json_t *data,
                               bool *ret_more, struct fault *fault)
{
    enum fault_err err = FAULT_OK;
    char *cursor = NULL;
    bool more = true;

    while (err == FAULT_OK && more && (int64_t)json_array_size(data) < options->limit) {
        int64_t room = options->limit - (int64_t)json_array_size(data);
        json_t *page = NULL;

        err = read_page(from, options, room < PAGE ? room : PAGE, cursor, &page, fault);
        if (err != FAULT_OK)
            break;
        (void)json_array_extend(data, json_object_get(page, "data"));
        more = json_is_true(json_object_get(page, "has_more"));
        free(cursor);
        cursor = memory_text(archived_text(page, "last_id"));
        json_decref(page);
    }
    free(cursor);
    *ret_more = more;
    return err;
}

static void cell_or_dash(struct table *table, const char *text)
{
    table_cell(table, "%s", text[0] != '\0' ? text : "-");
}

static void cell_count(struct table *table, double number)
{
    if (isnan(number))
        table_cell(table, "-");
    else
        table_cell(table, "%.0f", number);
}

static void put_row(struct table *table, const json_t *summary)
{
    const json_t *cost = json_object_get(summary, "cost");
    const json_t *tokens = json_object_get(summary, "tokens");

    table_cell(table, "%.19s", archived_text(summary, "at"));
    cell_or_dash(table, archived_text(summary, "decision_id"));
    cell_or_dash(table, archived_text(summary, "key"));
    cell_or_dash(table, archived_text(summary, "policy"));
    cell_or_dash(table, archived_text(summary, "expert"));
    cell_or_dash(table, archived_text(summary, "reason"));
    if (json_is_null(json_object_get(summary, "status")))
        table_cell(table, "%s", archived_text(summary, "state"));
    else
        cell_count(table, archived_number(summary, "status"));
    table_cell(table, "%s%.9f",
               json_is_true(json_object_get(cost, "estimated")) ? "~" : "",
               archived_number(cost, "spent_usd"));
    cell_count(table, archived_number(tokens, "input"));
    cell_count(table, archived_number(tokens, "output"));
}

static void print_table(const json_t *data, bool more,
                        const struct decisions_options *options)
{
    static const struct table_column columns[] = {
        { "at (UTC)", TABLE_LEFT }, { "decision", TABLE_LEFT }, { "key", TABLE_LEFT },
        { "policy", TABLE_LEFT },   { "expert", TABLE_LEFT },   { "reason", TABLE_LEFT },
        { "status", TABLE_RIGHT },  { "USD", TABLE_RIGHT },     { "in", TABLE_RIGHT },
        { "out", TABLE_RIGHT },
    };
    struct table *table = table_new(columns, ARRAY_LEN(columns));
    size_t n = json_array_size(data);

    for (size_t i = 0; i < n; i++)
        put_row(table, json_array_get(data, i));
    table_print(table, stdout);
    table_free(table);
    if (n == 0)
        (void)puts("no decision is kept that fits");
    else if (more)
        (void)printf("there are more: --%s %s\n",
                     options->after != NULL ? "after" : "before",
                     archived_text(json_array_get(data, n - 1), "decision_id"));
}

static enum fault_err decisions_run(const void *given, const char *const *operands,
                                    size_t n_operands, struct fault *fault)
{
    const struct decisions_options *options = given;
    json_t *data = json_array();
    struct archived from;
    bool more = false;

    (void)operands, (void)n_operands;
    enum fault_err err = archived_open(&from, &options->from, fault);
    if (err == FAULT_OK)
        err = read_all(&from, options, data, &more, fault);
    if (err == FAULT_OK && options->json)
        report_print_json(json_pack("{s:s, s:O, s:b}", "object", "list", "data", data,
                                    "has_more", more));
    else if (err == FAULT_OK)
        print_table(data, more, options);
    json_decref(data);
    archived_release(&from);
    return err;
}

const struct command command_decisions = {
    .operands = "",
    .about =
        "Lists what the gateway decided, the newest first: for whom, which expert and "
        "why,\n"
        "what it cost (~ where that is an estimate). The records are read from the "
        "database,\n"
        "which may be in use, or asked for on the admin listener. `frugalctl why ID` "
        "tells the\n"
        "whole story of one.\n",
    .options = { decisions_specs, ARRAY_LEN(decisions_specs) },
    .options_bytes = sizeof(struct decisions_options),
    .max_operands = 0,
    .run = decisions_run,
};
