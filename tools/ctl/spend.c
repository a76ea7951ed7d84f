/* spend.c - frugalctl spend: what was paid, by whatever it is to be told apart by, and what
 * one expert for everything would have cost.
 *
 * Sums come from the ledger's table of sums, which retention never touches; sums by a tag
 * come from the decisions that are kept.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/jput.h"
#include "gateway/base/money.h"
#include "gateway/domain/jread.h"
#include "gateway/domain/record_query.h"
#include "tools/ctl/archived.h"
#include "tools/ctl/command.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/table.h"

#define DAY_US       INT64_C(86400000000)
#define SAMPLE       200 /* newest decisions that are asked who their baselines are */
#define NAMES_MAX    8
#define OUTPUT_BYTES (256u << 20)
#define RECORD_DEPTH 16

struct spend_options {
    struct archived_options from;
    struct option_list by;
    const char *since, *until, *key, *expert, *policy;
    bool csv, json;
};

#define AT(member) .offset = offsetof(struct spend_options, member)
static const struct option_spec spend_specs[] = {
    ARCHIVED_FILE(offsetof(struct spend_options, from)),
    { .name = "by",
      .kind = OPTION_LIST,
      .value = "WHAT",
      .help = "day, key, policy, expert, kind, several of them, or tag:NAME alone",
      .fallback = "day",
      AT(by) },
    { .name = "since",
      .kind = OPTION_TEXT,
      .value = "DAY",
      .help = "first day (UTC): 2026-01-31, or 7d ago",
      AT(since) },
    { .name = "until",
      .kind = OPTION_TEXT,
      .value = "DAY",
      .help = "last day, included",
      AT(until) },
    { .name = "key",
      .kind = OPTION_TEXT,
      .value = "ID",
      .help = "only this key; empty: requests without one",
      AT(key) },
    { .name = "expert",
      .kind = OPTION_TEXT,
      .value = "NAME",
      .help = "only what went to this expert",
      AT(expert) },
    { .name = "policy",
      .kind = OPTION_TEXT,
      .value = "NAME",
      .help = "only requests to this policy",
      AT(policy) },
    { .name = "csv",
      .kind = OPTION_FLAG,
      .help = "print comma separated values instead of a table",
      AT(csv) },
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "print one JSON document instead of a table",
      AT(json) },
};
#undef AT

/* -- grouping ---------------------------------------------------------------------------- */

static const struct {
    const char *word;
    unsigned bit;
} groups[] = {
    { "day", STORE_GROUP_DAY },       { "key", STORE_GROUP_KEY },
    { "policy", STORE_GROUP_POLICY }, { "expert", STORE_GROUP_EXPERT },
    { "kind", STORE_GROUP_KIND },
};

struct line {
    char *labels[ARRAY_LEN(groups)]; /* owned, in the order of the columns */
    struct store_spend sums;         /* numbers only */
};

struct spend {
    const struct spend_options *options;
    struct archived from;
    struct store_spend_filter filter;
    unsigned group;
    const char *tag; /* NULL: by group */
    size_t n_columns;
    const char *columns[ARRAY_LEN(groups)];
    size_t n, room;
    struct line *lines;
    struct store_spend total;
    int64_t evidence_pico;
    struct names {
        size_t n;
        char *all[NAMES_MAX];
    } best, cheapest; /* who the baselines were, in the newest decisions */
};

static enum fault_err read_group(struct spend *spend, struct fault *fault)
{
    const struct option_list *by = &spend->options->by;

    if (by->count == 1 && strncmp(by->items[0], "tag:", 4) == 0 &&
        by->items[0][4] != '\0') {
        spend->tag = by->items[0] + 4;
        spend->columns[spend->n_columns++] = spend->tag;
        return FAULT_OK;
    }
    for (size_t i = 0; i < by->count; i++) {
        size_t g = 0;

        while (g < ARRAY_LEN(groups) && strcmp(by->items[i], groups[g].word) != 0)
            g++;
        if (g == ARRAY_LEN(groups))
            return fault_set(fault, FAULT_USAGE,
                             "'%s' is none of day, key, policy, expert, kind, nor "
                             "tag:NAME alone",
                             by->items[i]);
        spend->group |= groups[g].bit;
    }
    for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
        if ((spend->group & groups[g].bit) != 0)
            spend->columns[spend->n_columns++] = groups[g].word;
    }
    return FAULT_OK;
}

static enum fault_err read_day(const char *option, const char *text, int64_t *ret_day,
                               struct fault *fault)
{
    int64_t at_us;

    if (text == NULL)
        return FAULT_OK;
    if (record_query_time(str_of(text), clock_wall_us(&clock_system), &at_us) != ERR_OK)
        return fault_set(fault, FAULT_USAGE, "--%s '%s' is no day like 2026-01-31 or 7d",
                         option, text);
    *ret_day = store_day(at_us);
    return FAULT_OK;
}

static enum fault_err read_filter(struct spend *spend, struct fault *fault)
{
    const struct spend_options *options = spend->options;
    struct store_spend_filter *filter = &spend->filter;
    enum fault_err err = read_day("since", options->since, &filter->first_day, fault);

    if (err == FAULT_OK)
        err = read_day("until", options->until, &filter->last_day, fault);
    filter->key = str_of(options->key);
    filter->by_key = options->key != NULL;
    filter->expert = str_of(options->expert);
    filter->policy = str_of(options->policy);
    return err;
}

/* -- sums -------------------------------------------------------------------------------- */

static char *label_of(const struct store_spend *sums, const char *column, bool tag)
{
    char text[CLOCK_TEXT_BYTES];

    if (!tag && strcmp(column, "day") == 0)
        return memory_text_n(clock_format(sums->day * DAY_US, text), 10);
    const struct str label = tag                             ? sums->key
                             : strcmp(column, "key") == 0    ? sums->key
                             : strcmp(column, "policy") == 0 ? sums->policy
                             : strcmp(column, "expert") == 0 ? sums->expert
                                                             : sums->kind;
    return memory_text_n(label.p != NULL ? label.p : "", label.n);
}

static void add_line(void *context, const struct store_spend *sums)
{
    struct spend *spend = context;
    struct line *line;

    if (spend->n == spend->room) {
        spend->room = spend->room == 0 ? 64 : spend->room * 2;
        spend->lines = memory_resize(spend->lines, spend->room, sizeof *spend->lines);
    }
    line = &spend->lines[spend->n++];
    line->sums = *sums;
    for (size_t i = 0; i < spend->n_columns; i++)
        line->labels[i] = label_of(sums, spend->columns[i], spend->tag != NULL);
    spend->total.requests += sums->requests;
    spend->total.calls += sums->calls;
    spend->total.spent_pico = money_add(spend->total.spent_pico, sums->spent_pico);
    spend->total.bound_pico = money_add(spend->total.bound_pico, sums->bound_pico);
    spend->total.input_tokens += sums->input_tokens;
    spend->total.output_tokens += sums->output_tokens;
    spend->total.best_pico = money_add(spend->total.best_pico, sums->best_pico);
    spend->total.cheapest_pico =
        money_add(spend->total.cheapest_pico, sums->cheapest_pico);
}

static void add_evidence(void *context, const struct store_spend *sums)
{
    struct spend *spend = context;

    if (str_is(sums->kind, store_kind_word(STORE_KIND_EMBEDDING)))
        spend->evidence_pico = sums->spent_pico;
}

static void add_name(struct names *names, struct jread_value baseline)
{
    struct jread_value expert = jread_get(baseline, "expert");
    struct str name = { expert.raw.p + 1, expert.raw.n - 2 };

    if (expert.type != JREAD_TEXT)
        return;
    for (size_t i = 0; i < names->n; i++) {
        if (str_is(name, names->all[i]))
            return;
    }
    if (names->n < NAMES_MAX)
        names->all[names->n++] = memory_text_n(name.p, name.n);
}

static bool add_baselines(void *context, const struct store_decision *decision)
{
    struct spend *spend = context;
    struct jread_value root, baselines;

    if (!jread_parse(decision->record, RECORD_DEPTH, &root))
        return true;
    baselines = jread_get(root, "baselines");
    add_name(&spend->best, jread_get(baselines, "always_best"));
    add_name(&spend->cheapest, jread_get(baselines, "always_cheapest"));
    return true;
}

static enum fault_err sum_up(struct spend *spend, struct fault *fault)
{
    const struct store_filter newest = { .key = spend->filter.key,
                                         .by_key = spend->filter.by_key,
                                         .policy = spend->filter.policy,
                                         .limit = SAMPLE };
    struct store_view *view = &spend->from.view;
    struct store_error error = { "" };
    enum store_err err;

    if (spend->tag != NULL)
        err = store_spend_by_tag(view, &spend->filter, str_of(spend->tag), add_line,
                                 spend, &error);
    else
        err = store_spend(view, &spend->filter, spend->group, add_line, spend, &error);
    if (err == STORE_OK)
        err = store_spend(view, &spend->filter, STORE_GROUP_KIND, add_evidence, spend,
                          &error);
    if (err == STORE_OK)
        err = store_list(view, &newest, add_baselines, spend, &error);
    return err == STORE_OK ? FAULT_OK : fault_set(fault, FAULT_STORE, "%s", error.text);
}

static void release(struct spend *spend)
{
    for (size_t i = 0; i < spend->n; i++) {
        for (size_t c = 0; c < spend->n_columns; c++)
            free(spend->lines[i].labels[c]);
    }
    free(spend->lines);
    for (size_t i = 0; i < spend->best.n; i++)
        free(spend->best.all[i]);
    for (size_t i = 0; i < spend->cheapest.n; i++)
        free(spend->cheapest.all[i]);
    archived_release(&spend->from);
}

/* -- output ------------------------------------------------------------------------------ */

/* Baselines belong to requests, not to single charges. */
static bool has_baselines(const struct spend *spend)
{
    return (spend->group & (STORE_GROUP_KIND | STORE_GROUP_EXPERT)) == 0 &&
           spend->filter.expert.n == 0;
}

static void put_sums(struct jput *j, const struct spend *spend,
                     const struct store_spend *sums)
{
    jput_int(j, "requests", sums->requests);
    jput_int(j, "calls", sums->calls);
    jput_usd(j, "spent_usd", sums->spent_pico);
    jput_usd(j, "bound_usd", sums->bound_pico);
    jput_int(j, "input_tokens", sums->input_tokens);
    jput_int(j, "output_tokens", sums->output_tokens);
    if (!has_baselines(spend))
        return;
    jput_usd(j, "always_best_usd", sums->best_pico);
    jput_usd(j, "always_cheapest_usd", sums->cheapest_pico);
}

static void put_names(struct jput *j, const char *key, const struct names *names)
{
    jput_open(j, key, '[');
    for (size_t i = 0; i < names->n; i++)
        jput_text(j, NULL, names->all[i]);
    jput_close(j, ']');
}

static void print_json(const struct spend *spend)
{
    struct buf out;
    struct jput j;

    buf_init(&out, OUTPUT_BYTES);
    jput_init(&j, &out);
    jput_open(&j, NULL, '{');
    jput_text(&j, "object", "spend");
    jput_open(&j, "data", '[');
    for (size_t i = 0; i < spend->n; i++) {
        jput_open(&j, NULL, '{');
        for (size_t c = 0; c < spend->n_columns; c++)
            jput_text(&j, spend->tag != NULL ? "tag" : spend->columns[c],
                      spend->lines[i].labels[c]);
        put_sums(&j, spend, &spend->lines[i].sums);
        jput_close(&j, '}');
    }
    jput_close(&j, ']');
    jput_open(&j, "total", '{');
    put_sums(&j, spend, &spend->total);
    jput_usd(&j, "evidence_usd", spend->evidence_pico);
    jput_close(&j, '}');
    jput_open(&j, "baselines", '{');
    put_names(&j, "always_best", &spend->best);
    put_names(&j, "always_cheapest", &spend->cheapest);
    jput_close(&j, '}');
    jput_close(&j, '}');
    (void)fwrite(out.p, 1, out.n, stdout);
    (void)putchar('\n');
    buf_release(&out);
}

/* Quotes where RFC 4180 wants them. */
static void csv_field(const char *text, const char *after)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        (void)printf("%s%s", text, after);
        return;
    }
    (void)putchar('"');
    for (; *text != '\0'; text++)
        (void)printf("%s%c", *text == '"' ? "\"" : "", *text);
    (void)printf("\"%s", after);
}

static void print_csv(const struct spend *spend)
{
    char usd[4][MONEY_TEXT_BYTES];

    for (size_t c = 0; c < spend->n_columns; c++)
        csv_field(spend->columns[c], ",");
    (void)printf("requests,calls,spent_usd,bound_usd,input_tokens,output_tokens%s\n",
                 has_baselines(spend) ? ",always_best_usd,always_cheapest_usd" : "");
    for (size_t i = 0; i < spend->n; i++) {
        const struct store_spend *s = &spend->lines[i].sums;

        for (size_t c = 0; c < spend->n_columns; c++)
            csv_field(spend->lines[i].labels[c], ",");
        (void)printf("%lld,%lld,%s,%s,%lld,%lld", (long long)s->requests,
                     (long long)s->calls, money_format(s->spent_pico, usd[0]),
                     money_format(s->bound_pico, usd[1]), (long long)s->input_tokens,
                     (long long)s->output_tokens);
        if (has_baselines(spend))
            (void)printf(",%s,%s", money_format(s->best_pico, usd[2]),
                         money_format(s->cheapest_pico, usd[3]));
        (void)putchar('\n');
    }
}

static void put_row(struct table *table, const struct spend *spend,
                    const struct store_spend *sums)
{
    table_cell(table, "%lld", (long long)sums->requests);
    table_cell(table, "%lld", (long long)sums->calls);
    table_cell(table, "%.6f", money_to_usd(sums->spent_pico));
    table_cell(table, "%.6f", money_to_usd(sums->bound_pico));
    table_cell(table, "%lld", (long long)sums->input_tokens);
    table_cell(table, "%lld", (long long)sums->output_tokens);
    if (!has_baselines(spend))
        return;
    table_cell(table, "%.6f", money_to_usd(sums->best_pico));
    table_cell(table, "%.6f", money_to_usd(sums->cheapest_pico));
}

static void print_names(const char *what, const struct names *names)
{
    (void)printf("%s", what);
    for (size_t i = 0; i < names->n; i++)
        (void)printf("%s%s", i > 0 ? ", " : "", names->all[i]);
    if (names->n == 0)
        (void)printf("not known");
}

static void print_saved(const struct spend *spend)
{
    const double spent = money_to_usd(spend->total.spent_pico);
    const double best = money_to_usd(spend->total.best_pico);
    const double cheapest = money_to_usd(spend->total.cheapest_pico);

    if (!has_baselines(spend) || spend->total.requests == 0)
        return;
    (void)printf("\nspent %.6f USD, of which the router's own cost (evidence) is %.6f\n",
                 spent, money_to_usd(spend->evidence_pico));
    (void)printf("always the best expert on average would have cost %.6f: saved %.6f",
                 best, best - spent);
    if (best > 0)
        (void)printf(" (%.1f %%)", 100 * (best - spent) / best);
    print_names("; that is ", &spend->best);
    (void)printf("\nalways the cheapest expert would have cost %.6f: paid %.6f more for "
                 "quality",
                 cheapest, spent - cheapest);
    print_names("; that is ", &spend->cheapest);
    (void)puts("\nestimated by the tokens of the answers given; what had no choice or no "
               "answer saved nothing");
}

static void print_table(const struct spend *spend)
{
    static const char *const sums[] = { "requests",    "calls",          "USD",
                                        "at most",     "tokens in",      "out",
                                        "always best", "always cheapest" };
    struct table_column columns[ARRAY_LEN(groups) + ARRAY_LEN(sums)];
    const size_t n_sums = has_baselines(spend) ? ARRAY_LEN(sums) : ARRAY_LEN(sums) - 2;
    struct table *table;

    for (size_t c = 0; c < spend->n_columns; c++)
        columns[c] = (struct table_column){ spend->columns[c], TABLE_LEFT };
    for (size_t c = 0; c < n_sums; c++)
        columns[spend->n_columns + c] = (struct table_column){ sums[c], TABLE_RIGHT };
    table = table_new(columns, spend->n_columns + n_sums);
    for (size_t i = 0; i < spend->n; i++) {
        for (size_t c = 0; c < spend->n_columns; c++)
            table_cell(table, "%s",
                       spend->lines[i].labels[c][0] != '\0' ? spend->lines[i].labels[c]
                                                            : "-");
        put_row(table, spend, &spend->lines[i].sums);
    }
    for (size_t c = 0; c < spend->n_columns; c++)
        table_cell(table, "%s", c == 0 ? "in all" : "");
    put_row(table, spend, &spend->total);
    table_print(table, stdout);
    table_free(table);
    print_saved(spend);
}

static enum fault_err spend_run(const void *given, const char *const *operands,
                                size_t n_operands, struct fault *fault)
{
    const struct spend_options *options = given;
    struct spend spend = { .options = options };

    (void)operands, (void)n_operands;
    enum fault_err err = read_group(&spend, fault);
    if (err == FAULT_OK && options->csv && options->json)
        err = fault_set(fault, FAULT_USAGE, "of --csv and --json only one can be given");
    if (err == FAULT_OK)
        err = read_filter(&spend, fault);
    if (err == FAULT_OK)
        err = archived_open(&spend.from, &options->from, fault);
    if (err == FAULT_OK)
        err = sum_up(&spend, fault);
    if (err == FAULT_OK)
        (options->json ? print_json : options->csv ? print_csv : print_table)(&spend);
    release(&spend);
    return err;
}

const struct command command_spend = {
    .operands = "",
    .about =
        "Sums what was paid by UTC day, key, policy, expert or kind (evidence or "
        "answers), or "
        "by\n"
        "the values of a tag, and compares it with one expert for everything: always the "
        "best on\n"
        "average, always the cheapest. A day is that of the reservation. `at most` is "
        "what "
        "counts\n"
        "against budgets: calls of unknown fate at their worst case. Sums outlive the "
        "decisions\n"
        "that retention removes; those by tag do not.\n",
    .options = { spend_specs, ARRAY_LEN(spend_specs) },
    .options_bytes = sizeof(struct spend_options),
    .max_operands = 0,
    .run = spend_run,
};
