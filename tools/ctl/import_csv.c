/* import_csv.c - a table of prompts, and of what experts said or are worth.
 *
 *   prompt | messages                       one of them: a text, or a JSON array
 *   id, reference, grade, split             where there is such a column
 *   domain                                  or another column, by --domain-by field:NAME
 *   quality:NAME answer:NAME input_tokens:NAME output_tokens:NAME cost_usd:NAME latency_ms:NAME
 *                                           of the expert NAME; an empty field is "not known"
 *
 * Other columns are passed over, but for those that look like one of an expert.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/arena.h"
#include "gateway/domain/jread.h"
#include "tools/ctl/csv.h"
#include "tools/ctl/import_read.h"
#include "tools/ctl/lines.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/names.h"
#include "tools/ctl/options.h"
#include "tools/ctl/question.h"
#include "tools/ctl/turns.h"

#define ARENA_BYTES (4 * (size_t)CSV_ROW_BYTES)

enum kind {
    KIND_OTHER,
    KIND_PROMPT,
    KIND_MESSAGES,
    KIND_ID,
    KIND_REFERENCE,
    KIND_GRADE,
    KIND_SPLIT,

    KIND_QUALITY, /* of an expert, from here on */
    KIND_ANSWER,
    KIND_INPUT_TOKENS,
    KIND_OUTPUT_TOKENS,
    KIND_COST_USD,
    KIND_LATENCY_MS,
};

static const struct {
    const char *name;
    enum kind kind;
} known[] = {
    { "prompt", KIND_PROMPT },
    { "messages", KIND_MESSAGES },
    { "id", KIND_ID },
    { "reference", KIND_REFERENCE },
    { "grade", KIND_GRADE },
    { "split", KIND_SPLIT },
    { "quality:", KIND_QUALITY },
    { "answer:", KIND_ANSWER },
    { "input_tokens:", KIND_INPUT_TOKENS },
    { "output_tokens:", KIND_OUTPUT_TOKENS },
    { "cost_usd:", KIND_COST_USD },
    { "latency_ms:", KIND_LATENCY_MS },
};

struct column {
    enum kind kind;
    bool is_domain; /* beside what else it is */
    size_t expert;
};

struct reader {
    struct import_reading *reading;
    struct csv *csv;
    struct column *columns;
    size_t n_columns;
    struct names experts;           /* name -> number */
    struct brought_answer *answers; /* one per expert; their names are owned */
    size_t n_experts;
    struct arena arena; /* of one row */
};

/* -- the header -------------------------------------------------------------------------- */

#define WRONG(reader, fault, ...)                                                        \
    fault_at(fault, FAULT_INPUT, csv_path((reader)->csv), csv_line((reader)->csv),       \
             __VA_ARGS__)

static size_t expert_of(struct reader *reader, const char *name)
{
    size_t number;

    if (names_find(&reader->experts, name, &number))
        return number;
    number = reader->n_experts++;
    (void)names_add(&reader->experts, name, number);
    reader->answers =
        memory_resize(reader->answers, reader->n_experts, sizeof(*reader->answers));
    reader->answers[number] = (struct brought_answer){ .expert = memory_text(name) };
    return number;
}

static enum fault_err read_column(struct reader *reader, const char *name,
                                  struct column *column, struct fault *fault)
{
    const char *colon = strchr(name, ':');

    column->is_domain = strcmp(name, reader->reading->domain_field) == 0;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        size_t n = strlen(known[i].name);
        bool of_expert = known[i].kind >= KIND_QUALITY;
        if (of_expert ? strncmp(name, known[i].name, n) != 0
                      : strcmp(name, known[i].name) != 0)
            continue;
        column->kind = known[i].kind;
        if (!of_expert)
            return FAULT_OK;
        if (name[n] == '\0' || strlen(name + n) > BROUGHT_MAX_EXPERT)
            return WRONG(reader, fault, "column '%s' names no expert", name);
        column->expert = expert_of(reader, name + n);
        return FAULT_OK;
    }
    if (colon != NULL && !column->is_domain)
        return WRONG(reader, fault,
                     "column '%s' is none of quality:, answer:, input_tokens:, "
                     "output_tokens:, cost_usd: and latency_ms: of an expert",
                     name);
    return FAULT_OK;
}

/* What may have been meant by the columns that there are. */
static enum fault_err no_prompt(const struct reader *reader, const char *const *fields,
                                size_t count, struct fault *fault)
{
    static const char *const wanted[] = { "prompt", "messages" };

    for (size_t i = 0; i < count; i++) {
        const char *meant = options_closest(fields[i], wanted, ARRAY_LEN(wanted));
        if (meant != NULL)
            return fault_at(
                fault, FAULT_INPUT, csv_path(reader->csv), csv_line(reader->csv),
                "the header has no column 'prompt' or 'messages'; did you mean "
                "'%s' by '%s'?",
                meant, fields[i]);
    }
    return WRONG(
        reader, fault,
        "the header has no column 'prompt' or 'messages'; its first column is '%s'",
        fields[0]);
}

static enum fault_err read_header(struct reader *reader, struct fault *fault)
{
    const char *const *fields = NULL;
    size_t count = 0, prompts = 0, domains = 0;
    struct names seen = { 0 };
    enum fault_err err = csv_next(reader->csv, &fields, &count, fault);

    if (err != FAULT_OK)
        return err;
    if (fields == NULL)
        return WRONG(reader, fault, "there is no header");
    reader->columns = memory_new(count, sizeof(*reader->columns));
    reader->n_columns = count;
    for (size_t i = 0; err == FAULT_OK && i < count; i++) {
        struct column *column = &reader->columns[i];
        if (!names_add(&seen, fields[i], i))
            err = WRONG(reader, fault, "column '%s' is a duplicate", fields[i]);
        else
            err = read_column(reader, fields[i], column, fault);
        prompts += column->kind == KIND_PROMPT || column->kind == KIND_MESSAGES;
        domains += column->is_domain;
    }
    if (err == FAULT_OK && prompts == 0)
        err = no_prompt(reader, fields, count, fault);
    const char *field = reader->reading->domain_field;
    if (err == FAULT_OK && domains == 0 && field[0] != '\0' &&
        strcmp(field, "domain") != 0)
        err = WRONG(reader, fault, "--domain-by: there is no column '%s'", field);
    names_release(&seen);
    return err;
}

/* -- rows -------------------------------------------------------------------------------- */

static bool take_number(const char *text, double most, double *ret_number)
{
    char *end;
    double number = strtod(text, &end);

    if (end == text || *end != '\0' || !(number >= 0 && number <= most))
        return false;
    *ret_number = number;
    return true;
}

/* False: not a value of this column. */
static bool take_of_expert(enum kind kind, const char *text,
                           struct brought_answer *answer)
{
    double usd;

    switch (kind) {
    case KIND_QUALITY:
        return take_number(text, 1, &answer->quality);
    case KIND_INPUT_TOKENS:
        return take_number(text, 1e12, &answer->input_tokens);
    case KIND_OUTPUT_TOKENS:
        return take_number(text, 1e12, &answer->output_tokens);
    case KIND_LATENCY_MS:
        return take_number(text, 1e12, &answer->latency_ms);
    case KIND_COST_USD:
        if (!take_number(text, 1e6, &usd))
            return false;
        answer->cost_pico = llround(usd * (double)MONEY_USD);
        return true;
    default:
        answer->text = text;
        return true;
    }
}

static enum fault_err take_messages(struct reader *reader, const char *text,
                                    struct brought *brought, struct fault *fault)
{
    struct turns turns = { .text = NULL };

    if (!jread_parse(str_of(text), LOG_LINE_DEPTH, &turns.messages) ||
        turns.messages.type != JREAD_LIST)
        return fault_set(fault, FAULT_INPUT, "'messages' is no JSON array");
    enum fault_err err = turns_read(&turns, false, &reader->arena, fault);
    brought->messages = turns.text;
    return err;
}

static enum fault_err take_prompt(struct reader *reader, const char *text,
                                  struct brought *brought, struct fault *fault)
{
    struct str kept;

    if (str_trim(str_of(text)).n == 0)
        return fault_set(fault, FAULT_INPUT, "'prompt' is empty");
    char *messages = question_messages(str_of(text));
    bool copied = arena_copy(&reader->arena, str_of(messages), &kept) == ERR_OK;
    free(messages);
    if (!copied)
        return fault_set(fault, FAULT_INPUT, "the row is too large");
    brought->messages = kept.p;
    return FAULT_OK;
}

static enum fault_err take_label(const char *text, const char *what, const char **member,
                                 struct fault *fault)
{
    if (strlen(text) > BROUGHT_MAX_ID)
        return fault_set(fault, FAULT_INPUT, "'%s' is longer than %d bytes", what,
                         BROUGHT_MAX_ID);
    *member = text;
    return FAULT_OK;
}

static enum fault_err take_field(struct reader *reader, const struct column *column,
                                 const char *text, struct brought *brought,
                                 struct fault *fault)
{
    enum fault_err err = FAULT_OK;

    if (column->is_domain)
        err = take_label(text, "domain", &brought->domain, fault);
    if (err != FAULT_OK)
        return err;
    switch (column->kind) {
    case KIND_OTHER:

        return FAULT_OK;
    case KIND_PROMPT:
        return take_prompt(reader, text, brought, fault);
    case KIND_MESSAGES:
        return take_messages(reader, text, brought, fault);
    case KIND_ID:
        return take_label(text, "id", &brought->id, fault);
    case KIND_REFERENCE:
        brought->reference = text;
        return FAULT_OK;
    case KIND_GRADE:
        return take_label(text, "grade", &brought->grade, fault);
    case KIND_SPLIT:
        return take_label(text, "split", &brought->split, fault);
    default:
        if (!take_of_expert(column->kind, text, &reader->answers[column->expert]))
            return fault_set(fault, FAULT_INPUT, "'%.40s' is no %s of '%s'", text,
                             column->kind == KIND_QUALITY ? "quality within 0 and 1"
                                                          : "number",
                             reader->answers[column->expert].expert);
        return FAULT_OK;
    }
}

static enum fault_err take_row(struct reader *reader, const char *const *fields,
                               size_t count, struct fault *fault)
{
    struct brought brought = { .answers = reader->answers,
                               .n_answers = reader->n_experts };
    enum fault_err err = FAULT_OK;

    if (count != reader->n_columns)
        return fault_set(fault, FAULT_INPUT, "%zu fields, the header has %zu", count,
                         reader->n_columns);
    for (size_t i = 0; i < reader->n_experts; i++)
        reader->answers[i] = (struct brought_answer){
            .expert = reader->answers[i].expert,
            .input_tokens = NAN,
            .output_tokens = NAN,
            .latency_ms = NAN,
            .quality = NAN,
            .cost_pico = MONEY_NONE,
        };
    for (size_t i = 0; err == FAULT_OK && i < count; i++) {
        if (fields[i][0] != '\0')
            err = take_field(reader, &reader->columns[i], fields[i], &brought, fault);
    }
    if (err == FAULT_OK && brought.messages == NULL)
        err = fault_set(fault, FAULT_INPUT, "the row has no prompt");
    if (err == FAULT_OK)
        err = haul_add(reader->reading->haul, &brought, csv_line(reader->csv), fault);
    return err;
}

static enum fault_err read_rows(struct reader *reader, struct fault *fault)
{
    struct import_reading *reading = reader->reading;
    enum fault_err err = FAULT_OK;

    while (err == FAULT_OK) {
        struct fault local = { "" }, placed = { "" };
        const char *const *fields = NULL;
        size_t count = 0;
        err = csv_next(reader->csv, &fields, &count, &placed);
        if (err == FAULT_OK && fields == NULL)
            break;
        reading->records++;
        if (err == FAULT_OK) {
            err = take_row(reader, fields, count, &local);
            if (err != FAULT_OK)
                (void)fault_at(&placed, err, reading->path, csv_line(reader->csv), "%s",
                               fault_text(&local, err));
        }
        arena_clear(&reader->arena);
        if (err != FAULT_OK)
            err = misfits_add(reading->misfits, err, &placed, fault);
        progress_set(&reading->bar, csv_done(reader->csv), NULL);
    }
    return err;
}

enum fault_err import_read_csv(struct import_reading *reading, struct fault *fault)
{
    struct reader reader = { .reading = reading };
    enum fault_err err = csv_open(reading->path, &reader.csv, fault);

    if (err != FAULT_OK)
        return err;
    arena_init(&reader.arena, ARENA_BYTES);
    err = read_header(&reader, fault);
    if (err == FAULT_OK)
        err = read_rows(&reader, fault);
    arena_release(&reader.arena);
    for (size_t i = 0; i < reader.n_experts; i++)
        free((char *)reader.answers[i].expert);
    free(reader.answers);
    free(reader.columns);
    names_release(&reader.experts);
    csv_close(reader.csv);
    return err;
}
