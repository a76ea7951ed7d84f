/* dataset.c - reads the folder in the order models, prompts, quality, cost: each file is
 * checked against those before it. */
#include "tools/ctl/dataset.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "gateway/base/money.h"
#include "gateway/base/str.h"
#include "gateway/domain/jread.h"
#include "tools/ctl/csv.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/names.h"
#include "tools/ctl/prompts.h"

#define DATASET_MODELS_BYTES (16u << 20) /* of models.json */
#define DATASET_SKIP         SIZE_MAX    /* number of a prompt of another split */

struct reader {
    struct dataset *dataset;
    const char *folder;
    char *const *splits;
    size_t n_splits;
    bool *split_seen;
    struct names models;  /* name -> index */
    struct names prompts; /* id -> index, or DATASET_SKIP */
    size_t room;          /* of dataset->prompts */
    dataset_progress_fn progress;
    void *context;
};

static void report(const struct reader *reader, double from, double share, double done)
{
    if (reader->progress != NULL)
        reader->progress(reader->context, from + share * done);
}

/* -- models.json -- */

static enum fault_err read_whole(const char *path, char **ret_text, size_t *ret_bytes,
                                 struct fault *fault)
{
    FILE *file = fopen(path, "re");
    char *text;
    size_t n;

    if (file == NULL)
        return fault_set(fault, FAULT_IO, "cannot open '%s': %s", path, strerror(errno));
    text = memory_new(DATASET_MODELS_BYTES + 1, 1);
    n = fread(text, 1, DATASET_MODELS_BYTES, file);
    bool whole = ferror(file) == 0 && fgetc(file) == EOF;
    (void)fclose(file);
    if (!whole) {
        free(text);
        return fault_set(fault, FAULT_IO, "cannot read '%s', or it is too large", path);
    }
    *ret_text = text;
    *ret_bytes = n;
    return FAULT_OK;
}

static size_t line_of(const char *text, const char *at)
{
    size_t line = 1;

    for (size_t i = 0; i < (size_t)(at - text); i++)
        line += text[i] == '\n';
    return line;
}

static enum fault_err read_price(const char *path, const char *text,
                                 struct jread_value entry, const char *model,
                                 const char *key, int64_t *ret_pico, struct fault *fault)
{
    struct jread_value value = jread_get(entry, key);

    if (value.type == JREAD_NOTHING)
        return fault_at(fault, FAULT_INPUT, path, line_of(text, entry.raw.p),
                        "'%s' of '%s' is missing", key, model);
    if (value.type != JREAD_NUMBER ||
        money_parse_per_million(value.raw, ret_pico) != ERR_OK)
        return fault_at(fault, FAULT_INPUT, path, line_of(text, value.raw.p),
                        "'%s' of '%s' is not a price in USD per million tokens", key,
                        model);
    return FAULT_OK;
}

static enum fault_err read_model(struct reader *reader, const char *path,
                                 const char *text, struct str name,
                                 struct jread_value entry, struct fault *fault)
{
    struct dataset *dataset = reader->dataset;
    struct dataset_model model = { 0 };
    size_t line = line_of(text, entry.raw.p);

    if (entry.type != JREAD_MAP || name.n == 0)
        return fault_at(fault, FAULT_INPUT, path, line,
                        "'%s' must be an object with price_in and price_out", name.p);
    if (!names_add(&reader->models, name.p, dataset->n_models))
        return fault_at(fault, FAULT_INPUT, path, line, "model '%s' is a duplicate",
                        name.p);
    enum fault_err err =
        read_price(path, text, entry, name.p, "price_in", &model.input_pico, fault);
    if (err == FAULT_OK)
        err =
            read_price(path, text, entry, name.p, "price_out", &model.output_pico, fault);
    if (err != FAULT_OK)
        return err;
    model.name = memory_text(name.p);
    dataset->models =
        memory_resize(dataset->models, dataset->n_models + 1, sizeof(model));
    dataset->models[dataset->n_models++] = model;
    return FAULT_OK;
}

static enum fault_err parse_models(struct reader *reader, const char *path,
                                   const char *text, size_t bytes, struct fault *fault)
{
    struct jread_value root, models, key, entry;
    struct arena arena;
    enum fault_err err = FAULT_OK;

    if (!str_is_utf8((struct str){ text, bytes }) ||
        !jread_parse((struct str){ text, bytes }, JREAD_MAX_DEPTH, &root)) {
        json_error_t error = { .line = 0, .text = "not UTF-8, or nested too deeply" };
        json_decref(json_loadb(text, bytes, 0, &error));
        return fault_at(fault, FAULT_INPUT, path, error.line > 0 ? (size_t)error.line : 0,
                        "not valid JSON: %s", error.text);
    }
    models = jread_get(root, "models");
    if (models.type != JREAD_MAP)
        return fault_at(fault, FAULT_INPUT, path, 1, "there is no object 'models'");
    arena_init(&arena, DATASET_MODELS_BYTES);
    struct jread_iter it = jread_iter(models);
    while (err == FAULT_OK && jread_next_member(&it, &key, &entry)) {
        struct str name;
        if (jread_string(key, &arena, &name) != ERR_OK)
            err = fault_at(fault, FAULT_INPUT, path, line_of(text, key.raw.p),
                           "the name of a model is no string");
        else
            err = read_model(reader, path, text, name, entry, fault);
    }
    arena_release(&arena);
    if (err == FAULT_OK && reader->dataset->n_models == 0)
        err = fault_at(fault, FAULT_INPUT, path, 1, "'models' is empty");
    return err;
}

static enum fault_err read_models(struct reader *reader, struct fault *fault)
{
    char *path = memory_format("%s/models.json", reader->folder);
    char *text = NULL;
    size_t bytes = 0;
    enum fault_err err = read_whole(path, &text, &bytes, fault);

    if (err == FAULT_OK && text != NULL)
        err = parse_models(reader, path, text, bytes, fault);
    free(text);
    free(path);
    return err;
}

/* -- prompts.jsonl -- */

static bool split_wanted(struct reader *reader, const char *split)
{
    for (size_t i = 0; i < reader->n_splits; i++) {
        if (split != NULL && strcmp(split, reader->splits[i]) == 0) {
            reader->split_seen[i] = true;
            return true;
        }
    }
    return reader->n_splits == 0;
}

static char *copy_or_null(const char *text)
{
    return text != NULL ? memory_text(text) : NULL;
}

static enum fault_err keep_prompt(void *context, const struct prompts_item *item,
                                  struct fault *fault)
{
    struct reader *reader = context;
    struct dataset *dataset = reader->dataset;
    struct str text = question_text(item->question);

    (void)fault;
    report(reader, 0, 0.5, item->done);
    if (!split_wanted(reader, item->split)) {
        (void)names_add(&reader->prompts, item->id, DATASET_SKIP);
        return FAULT_OK;
    }
    (void)names_add(&reader->prompts, item->id, dataset->n_prompts);
    if (dataset->n_prompts == reader->room) {
        reader->room = reader->room > 0 ? reader->room * 2 : 1024;
        dataset->prompts =
            memory_resize(dataset->prompts, reader->room, sizeof(*dataset->prompts));
    }
    dataset->prompts[dataset->n_prompts++] = (struct dataset_prompt){
        .id = memory_text(item->id),
        .messages = memory_text(item->messages),
        .text = memory_text_n(text.p, text.n),
        .domain = copy_or_null(item->domain),
        .split = copy_or_null(item->split),
        .reference = copy_or_null(item->reference),
        .grade = copy_or_null(item->grade),
        .characters = item->characters,
    };
    return FAULT_OK;
}

static enum fault_err read_prompts(struct reader *reader, struct fault *fault)
{
    char *path = memory_format("%s/prompts.jsonl", reader->folder);
    enum fault_err err = prompts_read(path, keep_prompt, reader, fault);

    for (size_t i = 0; err == FAULT_OK && i < reader->n_splits; i++) {
        if (!reader->split_seen[i])
            err = fault_at(fault, FAULT_INPUT, path, 0, "no prompt is of split '%s'",
                           reader->splits[i]);
    }
    free(path);
    return err;
}

/* -- quality.csv and cost.csv -- */

/* Puts field `text` of cell `at` where it belongs. False: not a value of this file. */
typedef bool (*cell_fn)(struct dataset *dataset, size_t at, const char *text);

static bool take_quality(struct dataset *dataset, size_t at, const char *text)
{
    char *end;
    double quality = strtod(text, &end);

    if (end == text || *end != '\0' || !(quality >= 0 && quality <= 1))
        return false;
    dataset->quality[at] = quality;
    return true;
}

static bool take_cost(struct dataset *dataset, size_t at, const char *text)
{
    char *end;
    double micro = strtod(text, &end);

    if (end == text || *end != '\0' || !(micro >= 0 && micro < 1e12))
        return false;
    /* Micro-USD to pico-USD is the same factor as USD per million tokens to pico-USD per
     * token. What is finer than a pico-USD is rounded. */
    if (money_parse_per_million(str_of(text), &dataset->cost_pico[at]) != ERR_OK)
        dataset->cost_pico[at] = llround(micro * 1e6);
    return true;
}

/* ret_columns[c]: the model in column c + 1. */
static enum fault_err read_header(struct reader *reader, struct csv *csv,
                                  size_t **ret_columns, struct fault *fault)
{
    struct dataset *dataset = reader->dataset;
    const char *const *fields = NULL;
    size_t count = 0;
    struct names seen = { 0 };
    size_t *columns = memory_new(dataset->n_models, sizeof(*columns));
    enum fault_err err = csv_next(csv, &fields, &count, fault);

    if (err == FAULT_OK && (fields == NULL || strcmp(fields[0], "id") != 0))
        err = fault_at(fault, FAULT_INPUT, csv_path(csv), 1,
                       "the header must be 'id' and the models' names");
    for (size_t c = 1; err == FAULT_OK && fields != NULL && c < count; c++) {
        size_t model;
        if (!names_find(&reader->models, fields[c], &model))
            err = fault_at(fault, FAULT_INPUT, csv_path(csv), csv_line(csv),
                           "model '%s' is not in models.json", fields[c]);
        else if (!names_add(&seen, fields[c], c))
            err = fault_at(fault, FAULT_INPUT, csv_path(csv), csv_line(csv),
                           "column '%s' is a duplicate", fields[c]);
        else
            columns[c - 1] = model;
    }
    for (size_t j = 0; err == FAULT_OK && j < dataset->n_models; j++) {
        size_t column;
        if (!names_find(&seen, dataset->models[j].name, &column))
            err = fault_at(fault, FAULT_INPUT, csv_path(csv), csv_line(csv),
                           "model '%s' of models.json has no column",
                           dataset->models[j].name);
    }
    names_release(&seen);
    if (err != FAULT_OK) {
        free(columns);
        return err;
    }
    *ret_columns = columns;
    return FAULT_OK;
}

static enum fault_err read_row(struct reader *reader, struct csv *csv,
                               const size_t *columns, const char *const *fields,
                               size_t count, struct names *seen, cell_fn take,
                               const char *what, struct fault *fault)
{
    struct dataset *dataset = reader->dataset;
    size_t line = csv_line(csv);
    size_t prompt, before;

    if (count != dataset->n_models + 1)
        return fault_at(fault, FAULT_INPUT, csv_path(csv), line,
                        "%zu fields, the header has %zu", count, dataset->n_models + 1);
    if (!names_find(&reader->prompts, fields[0], &prompt))
        return fault_at(fault, FAULT_INPUT, csv_path(csv), line,
                        "id '%s' is not in prompts.jsonl", fields[0]);
    if (!names_add(seen, fields[0], line)) {
        (void)names_find(seen, fields[0], &before);
        return fault_at(fault, FAULT_INPUT, csv_path(csv), line,
                        "id '%s' is a duplicate of line %zu", fields[0], before);
    }
    for (size_t c = 1; c < count && prompt != DATASET_SKIP; c++) {
        size_t at = prompt * dataset->n_models + columns[c - 1];
        if (fields[c][0] != '\0' && !take(dataset, at, fields[c]))
            return fault_at(fault, FAULT_INPUT, csv_path(csv), line,
                            "'%s' of '%s' is not %s", fields[c],
                            dataset->models[columns[c - 1]].name, what);
    }
    return FAULT_OK;
}

static enum fault_err read_cells(struct reader *reader, const char *name, cell_fn take,
                                 const char *what, double from, struct fault *fault)
{
    char *path = memory_format("%s/%s", reader->folder, name);
    struct names seen = { 0 };
    size_t *columns = NULL;
    struct csv *csv = NULL;
    enum fault_err err = csv_open(path, &csv, fault);

    if (err == FAULT_OK)
        err = read_header(reader, csv, &columns, fault);
    while (err == FAULT_OK) {
        const char *const *fields;
        size_t count;
        err = csv_next(csv, &fields, &count, fault);
        if (err != FAULT_OK || fields == NULL)
            break;
        err = read_row(reader, csv, columns, fields, count, &seen, take, what, fault);
        report(reader, from, 0.25, csv_done(csv));
    }
    names_release(&seen);
    free(columns);
    csv_close(csv);
    free(path);
    return err;
}

/* -- the whole -- */

static void make_cells(struct dataset *dataset)
{
    size_t n = dataset->n_prompts * dataset->n_models;

    dataset->quality = memory_new(n, sizeof(*dataset->quality));
    dataset->cost_pico = memory_new(n, sizeof(*dataset->cost_pico));
    for (size_t i = 0; i < n; i++) {
        dataset->quality[i] = NAN;
        dataset->cost_pico[i] = MONEY_NONE;
    }
}

enum fault_err dataset_read(const char *folder, char *const *splits, size_t n_splits,
                            dataset_progress_fn progress, void *context,
                            struct dataset **ret_dataset, struct fault *fault)
{
    struct reader reader = {
        .dataset = memory_new(1, sizeof(struct dataset)),
        .folder = folder,
        .splits = splits,
        .n_splits = n_splits,
        .split_seen = memory_new(n_splits, sizeof(bool)),
        .progress = progress,
        .context = context,
    };
    enum fault_err err = read_models(&reader, fault);

    if (err == FAULT_OK)
        err = read_prompts(&reader, fault);
    if (err == FAULT_OK) {
        make_cells(reader.dataset);
        err = read_cells(&reader, "quality.csv", take_quality, "a quality within 0 and 1",
                         0.5, fault);
    }
    if (err == FAULT_OK)
        err = read_cells(&reader, "cost.csv", take_cost, "a cost in micro-USD", 0.75,
                         fault);
    names_release(&reader.models);
    names_release(&reader.prompts);
    free(reader.split_seen);
    if (err != FAULT_OK) {
        dataset_free(reader.dataset);
        return err;
    }
    *ret_dataset = reader.dataset;
    return FAULT_OK;
}

void dataset_free(struct dataset *dataset)
{
    if (dataset == NULL)
        return;
    for (size_t i = 0; i < dataset->n_prompts; i++) {
        struct dataset_prompt *prompt = &dataset->prompts[i];
        free(prompt->id);
        free(prompt->messages);
        free(prompt->text);
        free(prompt->domain);
        free(prompt->split);
        free(prompt->reference);
        free(prompt->grade);
    }
    for (size_t j = 0; j < dataset->n_models; j++)
        free(dataset->models[j].name);
    free(dataset->models);
    free(dataset->prompts);
    free(dataset->quality);
    free(dataset->cost_pico);
    free(dataset);
}

void dataset_tokens(const struct dataset *dataset, size_t prompt, size_t model,
                    double *ret_input, double *ret_output)
{
    int64_t cost = dataset->cost_pico[prompt * dataset->n_models + model];
    double input_pico = (double)dataset->models[model].input_pico;
    double output_pico = (double)dataset->models[model].output_pico;
    double input = ceil((double)dataset->prompts[prompt].characters / 4);

    if (cost == MONEY_NONE) {
        *ret_input = NAN;
        *ret_output = NAN;
        return;
    }
    if (input * input_pico > (double)cost)
        input = (double)cost / input_pico;
    *ret_input = input;
    *ret_output = output_pico > 0 ? ((double)cost - input * input_pico) / output_pico : 0;
    if (*ret_output < 0)
        *ret_output = 0;
}
