/* keys_show.c - frugalctl keys list, show, hash: what there is, and a line for the mounted
 * file. No secret and no hash of the database is ever shown. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/io/store_query.h"
#include "tools/ctl/command.h"
#include "tools/ctl/keys.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/report.h"
#include "tools/ctl/table.h"

#define LINE_BYTES 4096

/* -- keys and what they spent ------------------------------------------------------------ */

struct seen {
    struct key_set set;
    int64_t now_us;
    int64_t (*spent)[KEY_WINDOW_COUNT]; /* owned; of set.keys[i] */
};

static void add_spent(void *context, const struct store_windows *windows)
{
    struct seen *seen = context;
    const struct key *key = key_set_find(&seen->set, windows->key);
    int64_t *spent;

    if (key == NULL)
        return;
    spent = seen->spent[key - seen->set.keys];
    spent[KEY_DAY] = windows->day_pico;
    spent[KEY_MONTH] = windows->month_pico;
    spent[KEY_TOTAL] = windows->total_pico;
}

static enum fault_err see(const struct keys_place *place, struct seen *seen,
                          struct fault *fault)
{
    struct store_view view = { .file = NULL };
    struct store_error error = { .text = "" };
    enum fault_err err = keys_open(place, STORE_FILE_READ, &view.file, fault);
    enum store_err why;

    seen->now_us = clock_wall_us(&clock_system);
    key_set_init(&seen->set);
    if (err != FAULT_OK)
        return err;
    why = store_keys_read(view.file, &seen->set, &error);
    seen->spent = memory_new(seen->set.n + 1, sizeof(*seen->spent));
    if (why == STORE_OK)
        why = store_each_spend(&view, store_day(seen->now_us), add_spent, seen, &error);
    if (why != STORE_OK)
        err = keys_failed(why, &error, fault);
    store_file_close(view.file);
    return err;
}

static void forget(struct seen *seen)
{
    key_set_release(&seen->set);
    free(seen->spent);
}

static json_t *seen_json(const struct seen *seen, size_t i)
{
    json_t *json = keys_json(&seen->set.keys[i], seen->now_us);

    (void)json_object_set_new(
        json, "bound",
        json_pack("{s:f, s:f, s:f}", "day_usd", money_to_usd(seen->spent[i][KEY_DAY]),
                  "month_usd", money_to_usd(seen->spent[i][KEY_MONTH]), "total_usd",
                  money_to_usd(seen->spent[i][KEY_TOTAL])));
    return json;
}

/* -- list -------------------------------------------------------------------------------- */

struct list_options {
    struct keys_place place;
    bool json;
};

static const struct option_spec list_specs[] = {
    KEYS_PLACE(offsetof(struct list_options, place)),
    KEYS_JSON(offsetof(struct list_options, json)),
};

/* "0.12 / 5", or "0.12" without a budget. */
static void window_cell(struct table *table, int64_t spent, int64_t budget)
{
    char a[MONEY_TEXT_BYTES], b[MONEY_TEXT_BYTES];

    if (budget == MONEY_NONE)
        table_cell(table, "%s", money_format(spent, a));
    else
        table_cell(table, "%s / %s", money_format(spent, a), money_format(budget, b));
}

static void rate_cell(struct table *table, int64_t per_minute)
{
    if (per_minute == 0)
        table_cell(table, "-");
    else
        table_cell(table, "%lld", (long long)per_minute);
}

static void list_print(const struct seen *seen)
{
    static const struct table_column columns[] = {
        { "id", TABLE_LEFT },          { "name", TABLE_LEFT },
        { "state", TABLE_LEFT },       { "secrets", TABLE_RIGHT },
        { "USD today", TABLE_RIGHT },  { "this month", TABLE_RIGHT },
        { "in all", TABLE_RIGHT },     { "requests/min", TABLE_RIGHT },
        { "tokens/min", TABLE_RIGHT },
    };
    struct table *table = table_new(columns, ARRAY_LEN(columns));

    for (size_t i = 0; i < seen->set.n; i++) {
        const struct key *key = &seen->set.keys[i];

        table_cell(table, "%s", key->id);
        table_cell(table, "%s", key->name);
        table_cell(table, "%s", keys_state(key, seen->now_us));
        table_cell(table, "%zu", key->n_hashes);
        for (int w = 0; w < KEY_WINDOW_COUNT; w++)
            window_cell(table, seen->spent[i][w], key->limits.budget_pico[w]);
        rate_cell(table, key->limits.requests_per_minute);
        rate_cell(table, key->limits.tokens_per_minute);
    }
    table_print(table, stdout);
    table_free(table);
}

static enum fault_err list_run(const void *given, const char *const *operands,
                               size_t n_operands, struct fault *fault)
{
    const struct list_options *options = given;
    struct seen seen = { .spent = NULL };
    enum fault_err err = see(&options->place, &seen, fault);
    json_t *list;

    (void)operands;
    (void)n_operands;
    if (err == FAULT_OK && options->json) {
        list = json_array();
        for (size_t i = 0; i < seen.set.n; i++)
            (void)json_array_append_new(list, seen_json(&seen, i));
        report_print_json(list);
    } else if (err == FAULT_OK) {
        list_print(&seen);
    }
    forget(&seen);
    return err;
}

const struct command command_keys_list = {
    .operands = "",
    .about =
        "Lists the keys of the gateway's database: what each has bound in this UTC day,\n"
        "this month and in all, of which budget, and its limits. What counts against\n"
        "budgets is what binds: the worst case where an expert reported no usage. Keys\n"
        "of the mounted file and the bootstrap key are not in the database.\n",
    .options = { list_specs, ARRAY_LEN(list_specs) },
    .options_bytes = sizeof(struct list_options),
    .max_operands = 0,
    .run = list_run,
};

/* -- show -------------------------------------------------------------------------------- */

static void show_value(const char *name, const json_t *value)
{
    char *text;

    if (json_is_string(value)) {
        (void)printf("%-20s %s\n", name, json_string_value(value));
        return;
    }
    if (json_is_null(value)) {
        (void)printf("%-20s -\n", name);
        return;
    }
    text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
    (void)printf("%-20s %s\n", name, text != NULL ? text : "");
    free(text);
}

static void show_print(json_t *json)
{
    const char *name;
    json_t *value;

    json_object_foreach(json, name, value) show_value(name, value);
    json_decref(json);
}

static enum fault_err show_run(const void *given, const char *const *operands,
                               size_t n_operands, struct fault *fault)
{
    const struct list_options *options = given;
    struct seen seen = { .spent = NULL };
    enum fault_err err = see(&options->place, &seen, fault);
    const struct key *key = NULL;

    (void)n_operands;
    if (err == FAULT_OK) {
        key = key_set_find(&seen.set, str_of(operands[0]));
        if (key == NULL)
            err = fault_set(fault, FAULT_STORE, "there is no key '%s'", operands[0]);
    }
    if (key != NULL && options->json)
        report_print_json(seen_json(&seen, (size_t)(key - seen.set.keys)));
    else if (key != NULL)
        show_print(seen_json(&seen, (size_t)(key - seen.set.keys)));
    forget(&seen);
    return err;
}

const struct command command_keys_show = {
    .operands = "ID",
    .about =
        "Shows all that is known of one key of the gateway's database, its secrets and\n"
        "their hashes left out; `bound` is what counts against its budgets so far.\n",
    .options = { list_specs, ARRAY_LEN(list_specs) },
    .options_bytes = sizeof(struct list_options),
    .min_operands = 1,
    .max_operands = 1,
    .run = show_run,
};

/* -- hash -------------------------------------------------------------------------------- */

struct hash_options {
    bool fresh;
    struct keys_fields fields;
};

#define X(field, option, value, help)                                                    \
    KEYS_FIELD(struct hash_options, field, option, value, help)
static const struct option_spec hash_specs[] = {
    { .name = "new",
      .kind = OPTION_FLAG,
      .help = "make a secret, shown once on standard error, instead of reading one",
      .offset = offsetof(struct hash_options, fresh) },
    KEYS_FIELDS(X)
};
#undef X

/* From a pipe or a terminal, one line; never from the command line, which others can see. */
static enum fault_err read_secret(char secret[LINE_BYTES], struct fault *fault)
{
    size_t n;

    if (fgets(secret, LINE_BYTES, stdin) == NULL)
        return fault_set(fault, FAULT_IO, "no secret on standard input");
    n = strcspn(secret, "\r\n");
    secret[n] = '\0';
    if (!key_secret_ok(str_of(secret)))
        return fault_set(fault, FAULT_INPUT,
                         "a secret must be %d to %d printable characters without blanks",
                         KEY_SECRET_LEAST, KEY_SECRET_MOST);
    return FAULT_OK;
}

static enum fault_err hash_secret(const struct hash_options *options, struct key *key,
                                  struct fault *fault)
{
    char secret[LINE_BYTES];
    enum fault_err err = FAULT_OK;

    if (options->fresh)
        key_secret_new(secret);
    else
        err = read_secret(secret, fault);
    if (err == FAULT_OK) {
        key_hash(str_of(secret), key->hashes[0]);
        key->n_hashes = 1;
    }
    if (err == FAULT_OK && options->fresh)
        (void)fprintf(stderr, "%s\nthe secret of key '%s' is shown this once\n", secret,
                      key->id);
    key_wipe(secret, sizeof secret);
    return err;
}

static enum fault_err hash_run(const void *given, const char *const *operands,
                               size_t n_operands, struct fault *fault)
{
    const struct hash_options *options = given;
    struct key_file_error error = { .text = "" };
    struct key_reader reader = { .error = NULL };
    struct buf line;
    enum fault_err err = FAULT_OK;

    (void)n_operands;
    key_init(&reader.key);
    buf_init(&line, KEY_FILE_MAX);
    if (!key_start())
        err = fault_set(fault, FAULT_IO, "the system has no source of randomness");
    else if (!key_id_ok(str_of(operands[0])))
        err = fault_set(fault, FAULT_USAGE, "'%s' cannot be an id", operands[0]);
    reader.key.id = operands[0];
    if (err == FAULT_OK)
        err = keys_apply(&reader, &options->fields, &error, fault);
    if (err == FAULT_OK)
        err = hash_secret(options, &reader.key, fault);
    if (err == FAULT_OK) {
        key_file_put(&reader.key, &line);
        (void)printf("%.*s\n", (int)line.n, line.p);
    }
    buf_release(&line);
    arena_release(&reader.scratch);
    return err;
}

const struct command command_keys_hash = {
    .operands = "ID",
    .about =
        "Prints a line for the mounted file of keys (\"keys\": {\"file\": ...} in the\n"
        "configuration): id, hash and what the options say. The secret is read from\n"
        "standard input, or made with --new. `b2sum -l 256` gives the same hash.\n"
        "\n"
        "  frugalctl keys hash team-a --new --day-usd 5 >>keys.txt\n"
        "  printf %s \"$SECRET\" | frugalctl keys hash team-b >>keys.txt\n",
    .options = { hash_specs, ARRAY_LEN(hash_specs) },
    .options_bytes = sizeof(struct hash_options),
    .min_operands = 1,
    .max_operands = 1,
    .run = hash_run,
};
