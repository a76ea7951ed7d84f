/* label.c - frugalctl label: a person says which answers are better, and so how good the
 * judge is.
 *
 *   store: cells, answers --label_pairs.h--> pair --> screen --> key --> store: labels
 *                                             ^                   |
 *                                             +---- undo ---------+
 *   store: labels x cells --agreement.h--> agreement, interval, kappa
 *
 * Every key is on disk before the next pair is shown. Texts of strangers reach the terminal
 * without control characters.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <jansson.h>

#include "tools/ctl/agreement.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/command.h"
#include "tools/ctl/judge.h"
#include "tools/ctl/label_pairs.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/network.h"
#include "tools/ctl/report.h"
#include "tools/ctl/table.h"

#define KEYS "abtsuq"

struct label_options {
    const char *store, *config;
    int64_t pairs, seed;
    double least;
    bool json;
};

#define AT(member) .offset = offsetof(struct label_options, member)
static const struct option_spec label_specs[] = {
    { .name = "store",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help = "calibration store, as calibrate left it",
      .rule = OPTION_REQUIRED,
      AT(store) },
    { .name = "config",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .help =
          "the gateway's configuration: only answers of its experts are shown; of all "
          "in the store when absent",
      AT(config) },
    { .name = "pairs",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "pairs shown in all, those of earlier runs included; 0: only report",
      .fallback = "50",
      .max = 100000,
      AT(pairs) },
    { .name = "least-agreement",
      .kind = OPTION_NUMBER,
      .value = "X",
      .help = "a judge below it is named",
      .fallback = "0.7",
      .max = 1,
      AT(least) },
    { .name = "seed",
      .kind = OPTION_COUNT,
      .value = "N",
      .help = "which pairs are drawn, and which answer is A, follows from it",
      .fallback = "1",
      .max = 9e15,
      AT(seed) },
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "report as one JSON document; pairs are shown on standard error",
      AT(json) },
};
#undef AT

struct labelling {
    const struct label_options *options;
    struct config *config; /* NULL: no --config */
    struct calib *store;
    struct label_pairs pairs;
    FILE *screen; /* where pairs are shown */
    size_t done;  /* in this run */
};

/* -- the screen -- */

/* Letters and line breaks; whatever could move the cursor becomes '?'. */
static void put_text(FILE *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        bool c1 = p[0] == 0xC2 && p[1] >= 0x80 && p[1] <= 0x9F;
        if ((*p < ' ' && *p != '\n' && *p != '\t') || *p == 0x7F || c1)
            (void)fputc('?', out);
        else
            (void)fputc(*p, out);
        p += c1;
    }
    (void)fputc('\n', out);
}

static void put_block(FILE *out, const char *head, const char *text)
{
    (void)fprintf(out, "\n---- %s ----\n", head);
    put_text(out, text);
}

struct shown_prompt {
    int64_t row;
    char *question, *domain;
};

static enum fault_err take_prompt(void *context, int64_t row,
                                  const struct calib_prompt *prompt, struct fault *fault)
{
    struct shown_prompt *shown = context;

    (void)fault;
    if (row == shown->row) {
        shown->question = judge_question(prompt->messages);
        shown->domain = memory_text(prompt->domain != NULL ? prompt->domain : "");
    }
    return FAULT_OK;
}

static enum fault_err show(struct labelling *work, size_t at, struct fault *fault)
{
    const struct label_pair *pair = &work->pairs.all[at];
    struct shown_prompt prompt = { .row = pair->prompt };
    int64_t first = pair->swapped ? pair->second : pair->first;
    int64_t second = pair->swapped ? pair->first : pair->second;
    char *a = NULL, *b = NULL;
    enum fault_err err =
        calib_each_prompt(work->store, NULL, 0, take_prompt, &prompt, fault);

    if (err == FAULT_OK)
        err = calib_latest_text(work->store, pair->prompt, first, &a, fault);
    if (err == FAULT_OK)
        err = calib_latest_text(work->store, pair->prompt, second, &b, fault);
    if (err == FAULT_OK) {
        (void)fprintf(work->screen, "\n==== %zu of %zu ", at + 1, work->pairs.n);
        if (prompt.domain[0] != '\0')
            (void)fprintf(work->screen, "(%s) ", prompt.domain);
        (void)fputs("====\n", work->screen);
        put_block(work->screen, "question", prompt.question);
        put_block(work->screen, "A", a != NULL ? a : "");
        put_block(work->screen, "B", b != NULL ? b : "");
        (void)fputs("\nBetter: a or b, t(ie); s(kip), u(ndo), q(uit)? ", work->screen);
        (void)fflush(work->screen);
    }
    free(prompt.question);
    free(prompt.domain);
    free(a);
    free(b);
    return err;
}

/* One key; on a terminal without Enter. 'q' at the end of the input. */
static char read_key(void)
{
    struct termios before, raw;
    bool terminal = tcgetattr(STDIN_FILENO, &before) == 0;
    int key;

    if (terminal) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)ICANON;
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    do
        key = getchar();
    while (key != EOF && isspace(key));
    if (terminal)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return key == EOF ? 'q' : (char)tolower(key);
}

/* -- labels -- */

/* What A and B mean for the first and the second expert. */
static char turned(const struct label_pair *pair, char key)
{
    if (!pair->swapped || (key != 'a' && key != 'b'))
        return key;
    return key == 'a' ? 'b' : 'a';
}

static struct calib_label label_of(const struct label_pair *pair)
{
    return (struct calib_label){ pair->prompt, pair->first, pair->second, pair->said };
}

/* *at moves on, or back; *ret_quit: the person has had enough. */
static enum fault_err act(struct labelling *work, size_t *at, char key, bool *ret_quit,
                          struct fault *fault)
{
    struct label_pair *pair = &work->pairs.all[*at];
    struct calib_label label;

    if (strchr(KEYS, key) == NULL) {
        (void)fprintf(work->screen, "\n'%c' is none of a b t s u q\n",
                      isprint((unsigned char)key) ? key : '?');
        return FAULT_OK;
    }
    *ret_quit = key == 'q';
    if (key == 'q')
        return FAULT_OK;
    if (key == 'u') {
        if (*at == work->pairs.before) {
            (void)fputs("\nthere is nothing to undo in this run\n", work->screen);
            return FAULT_OK;
        }
        (*at)--;
        work->done--;
        label = label_of(&work->pairs.all[*at]);
        return calib_drop_label(work->store, &label, fault);
    }
    pair->said = turned(pair, key);
    (*at)++;
    work->done++;
    label = label_of(pair);
    return calib_put_label(work->store, &label, fault);
}

static enum fault_err ask_person(struct labelling *work, struct fault *fault)
{
    size_t at = work->pairs.before;
    enum fault_err err = FAULT_OK;
    bool quit = false;

    while (err == FAULT_OK && !quit && at < work->pairs.n) {
        err = show(work, at, fault);
        if (err == FAULT_OK)
            err = act(work, &at, read_key(), &quit, fault);
    }
    (void)fputc('\n', work->screen);
    return err;
}

/* -- the report -- */

static void put_share(struct table *table, size_t agreed, size_t n)
{
    if (n == 0)
        table_cell(table, "-");
    else
        table_cell(table, "%zu of %zu", agreed, n);
}

static void print_people(const struct labelling *work, const struct agreements *all)
{
    static const struct table_column columns[] = {
        { "grader", TABLE_LEFT },  { "agrees", TABLE_RIGHT }, { "share", TABLE_RIGHT },
        { "95 %", TABLE_RIGHT },   { "kappa", TABLE_RIGHT },  { "close", TABLE_RIGHT },
        { "no tie", TABLE_RIGHT },
    };
    struct table *table = table_new(columns, ARRAY_LEN(columns));

    for (size_t i = 0; i < all->n; i++) {
        struct agreement sum, close;
        agreement_of(all->lines[i].said, &sum);
        agreement_of(all->lines[i].close, &close);
        table_cell(table, "%s", all->lines[i].grader);
        put_share(table, sum.agreed, sum.labels);
        if (sum.labels == 0) {
            table_cell(table, "-");
            table_cell(table, "-");
        } else {
            table_cell(table, "%.3f", sum.share);
            table_cell(table, "%.3f .. %.3f", sum.low, sum.high);
        }
        if (isnan(sum.kappa))
            table_cell(table, "-");
        else
            table_cell(table, "%.3f", sum.kappa);
        put_share(table, close.agreed, close.labels);
        put_share(table, sum.decided_agreed, sum.decided);
    }
    (void)printf("%zu pairs in this run, %zu in all -> %s\n\n", work->done,
                 work->pairs.before + work->done, work->options->store);
    table_print(table, stdout);
    table_free(table);
    for (size_t i = 0; i < all->n; i++) {
        struct agreement sum;
        agreement_of(all->lines[i].said, &sum);
        if (sum.labels > 0 && sum.share < work->options->least)
            (void)printf(
                "\n'%s' agrees on %.3f, below %.3f: do not trust its qualities\n",
                all->lines[i].grader, sum.share, work->options->least);
    }
}

static void print_json(const struct labelling *work, const struct agreements *all)
{
    json_t *lines = json_array();

    for (size_t i = 0; i < all->n; i++) {
        struct agreement sum;
        json_t *line = agreement_json(&all->lines[i]);
        agreement_of(all->lines[i].said, &sum);
        (void)json_object_set_new(
            line, "below",
            json_boolean(sum.labels > 0 && sum.share < work->options->least));
        (void)json_array_append_new(lines, line);
    }
    report_print_json(json_pack("{s:s, s:I, s:I, s:I, s:f, s:o}", "store",
                                work->options->store, "shown", (json_int_t)work->done,
                                "before", (json_int_t)work->pairs.before, "candidates",
                                (json_int_t)work->pairs.candidates, "least_agreement",
                                work->options->least, "graders", lines));
}

static enum fault_err report(struct labelling *work, struct fault *fault)
{
    struct agreements all = { 0 };
    enum fault_err err = agreements_read(&all, work->store, fault);

    if (err == FAULT_OK && work->options->json)
        print_json(work, &all);
    else if (err == FAULT_OK)
        print_people(work, &all);
    agreements_release(&all);
    return err;
}

static enum fault_err label_run(const void *given, const char *const *operands,
                                size_t n_operands, struct fault *fault)
{
    struct labelling work = { .options = given };

    (void)operands;
    (void)n_operands;
    work.screen = work.options->json ? stderr : stdout;
    enum fault_err err = FAULT_OK;
    if (work.options->config != NULL)
        err = network_config(work.options->config, &work.config, fault);
    if (err == FAULT_OK)
        err = calib_open(work.options->store, CALIB_EXISTING, &work.store, fault);
    if (err == FAULT_OK)
        err = label_pairs_read(&work.pairs, work.store, work.config,
                               (uint64_t)work.options->seed, (size_t)work.options->pairs,
                               fault);
    if (err == FAULT_OK && work.pairs.n == 0 && work.options->pairs > 0)
        err = fault_set(fault, FAULT_INPUT,
                        "'%s' has no two graded answers to a prompt that differ",
                        work.options->store);
    if (err == FAULT_OK && work.pairs.n > work.pairs.before)
        err = ask_person(&work, fault);
    if (err == FAULT_OK)
        err = report(&work, fault);
    label_pairs_release(&work.pairs);
    calib_close(work.store);
    config_unref(work.config);
    return err;
}

const struct command command_label = {
    .operands = "",
    .about =
        "Shows pairs of answers to the same prompt, without names and in random order,\n"
        "and asks which one is better: a, b, t(ie), s(kip), u(ndo), q(uit); Enter is "
        "not\n"
        "needed. Pairs come in turn from every domain, from those on which the judge "
        "was\n"
        "close and from those on which it was sure. Every answer is kept at once; run "
        "the\n"
        "same command to go on. Keys may come from a file on standard input.\n\n"
        "Reports how often each grader and the person say the same of three (a, b, tie;\n"
        "qualities that differ by less than 0.05 tie), with Wilson's interval and "
        "Cohen's\n"
        "kappa; also among pairs on which the grader was close, and those without a "
        "tie.\n"
        "build names a judge below --least-agreement in the bundle.\n",
    .options = { label_specs, ARRAY_LEN(label_specs) },
    .options_bytes = sizeof(struct label_options),
    .run = label_run,
};
