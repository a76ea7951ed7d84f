/* classes.c - reads predictions.csv and takes items out of it. */
#include "tools/ctl/classes.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/csv.h"
#include "tools/ctl/memory.h"

#define FIXED 2 /* item, truth */

struct reader {
    struct csv *csv;
    size_t n_experts, n_classes; /* n_classes: of a vector; 0: labels and confidences */
    size_t room;
    struct classes_table table;
};

void classes_release(struct classes_table *table)
{
    free(table->label);
    free(table->confidence);
    free(table->truth);
    free(table->domain);
    free(table->probability);
    *table = (struct classes_table){ 0 };
}

/* Points the borrowed arrays of the set at the owned ones. */
static void connect(struct classes_table *table)
{
    table->set.label = table->label;
    table->set.confidence = table->confidence;
    table->set.truth = table->truth;
    table->set.domain = table->domain;
    table->set.probability = table->probability;
}

static enum fault_err read_number(struct reader *reader, const char *field,
                                  const char *what, double max, double *ret_value,
                                  struct fault *fault)
{
    char *end = NULL;
    errno = 0;
    double value = strtod(field, &end);
    if (end == field || *end != '\0' || errno != 0 || !(value >= 0 && value <= max))
        return fault_at(fault, FAULT_INPUT, csv_path(reader->csv), csv_line(reader->csv),
                        "%s '%s' is not a number of 0 to %g", what, field, max);
    *ret_value = value;
    return FAULT_OK;
}

static enum fault_err read_whole(struct reader *reader, const char *field,
                                 const char *what, double max, double *ret_value,
                                 struct fault *fault)
{
    enum fault_err err = read_number(reader, field, what, max, ret_value, fault);
    if (err == FAULT_OK && *ret_value != floor(*ret_value))
        return fault_at(fault, FAULT_INPUT, csv_path(reader->csv), csv_line(reader->csv),
                        "%s '%s' is not a whole number", what, field);
    return err;
}

/* label0,conf0,label1,.. or p0_0,p0_1,..: how many experts, and classes of a vector. */
static enum fault_err read_header(struct reader *reader, struct fault *fault)
{
    const char *const *fields;
    size_t n, expert, class;
    enum fault_err err = csv_next(reader->csv, &fields, &n, fault);
    if (err != FAULT_OK)
        return err;
    bool fixed = fields != NULL && n > FIXED && strcmp(fields[0], "item") == 0 &&
                 strcmp(fields[1], "truth") == 0;
    bool vectors = fixed && strncmp(fields[FIXED], "p0_", 3) == 0;
    for (size_t i = FIXED; fixed && i < n; i++) {
        char expected[64];
        size_t at = i - FIXED;
        if (vectors) {
            fixed = sscanf(fields[i], "p%zu_%zu", &expert, &class) == 2;
            reader->n_experts = expert + 1;
            reader->n_classes = class + 1;
        } else {
            (void)snprintf(expected, sizeof(expected), "%s%zu",
                           at % 2 == 0 ? "label" : "conf", at / 2);
            fixed = strcmp(fields[i], expected) == 0;
            reader->n_experts = (n - FIXED) / 2;
        }
    }
    size_t columns = reader->n_experts * (vectors ? reader->n_classes : 2);
    if (!fixed || columns != n - FIXED || reader->n_experts > FUSER_MAX_CLASS_EXPERTS ||
        reader->n_classes > FUSER_MAX_CLASSES)
        return fault_at(
            fault, FAULT_INPUT, csv_path(reader->csv), csv_line(reader->csv),
            "the header is not item,truth,label0,conf0,.. or item,truth,p0_0,p0_1,.. "
            "of at most %d experts and %d classes",
            FUSER_MAX_CLASS_EXPERTS, FUSER_MAX_CLASSES);
    return FAULT_OK;
}

static void make_room(struct reader *reader)
{
    struct classes_table *t = &reader->table;
    if (t->set.n_items < reader->room)
        return;
    reader->room = reader->room == 0 ? 1024 : reader->room * 2;
    size_t cells = reader->n_experts;
    t->label = memory_resize(t->label, reader->room, cells);
    t->confidence = memory_resize(t->confidence, reader->room, cells);
    t->truth = memory_resize(t->truth, reader->room, 1);
    if (reader->n_classes > 0)
        t->probability = memory_resize(t->probability, reader->room,
                                       cells * reader->n_classes * sizeof(float));
}

static enum fault_err read_vector(struct reader *reader, const char *const *fields,
                                  size_t cell, struct fault *fault)
{
    struct classes_table *t = &reader->table;
    float *p = t->probability + cell * reader->n_classes;
    size_t best = 0;
    for (size_t c = 0; c < reader->n_classes; c++) {
        double value;
        enum fault_err err =
            read_number(reader, fields[c], "the probability", 1, &value, fault);
        if (err != FAULT_OK)
            return err;
        p[c] = (float)value;
        if (p[c] > p[best])
            best = c;
    }
    t->label[cell] = (uint8_t)best;
    t->confidence[cell] = (uint8_t)lrint(100.0 * (double)p[best]);
    return FAULT_OK;
}

static enum fault_err read_row(struct reader *reader, const char *const *fields, size_t n,
                               struct fault *fault)
{
    struct classes_table *t = &reader->table;
    size_t item = t->set.n_items, width = reader->n_classes > 0 ? reader->n_classes : 2;
    double truth, number, label = 0, confidence = 0;

    if (n != FIXED + reader->n_experts * width)
        return fault_at(fault, FAULT_INPUT, csv_path(reader->csv), csv_line(reader->csv),
                        "%zu fields, not %zu", n, FIXED + reader->n_experts * width);
    enum fault_err err = read_whole(reader, fields[0], "the item", 1e15, &number, fault);
    if (err == FAULT_OK && number != (double)item)
        err = fault_at(fault, FAULT_INPUT, csv_path(reader->csv), csv_line(reader->csv),
                       "item %g stands where item %zu is due", number, item);
    if (err == FAULT_OK)
        err = read_whole(reader, fields[1], "the truth", FUSER_MAX_CLASSES - 1, &truth,
                         fault);
    if (err != FAULT_OK)
        return err;
    make_room(reader);
    t->truth[item] = (uint8_t)truth;
    t->set.n_classes = fmax((double)t->set.n_classes, truth + 1);
    for (size_t e = 0; err == FAULT_OK && e < reader->n_experts; e++) {
        const char *const *cell = fields + FIXED + e * width;
        size_t at = item * reader->n_experts + e;
        if (reader->n_classes > 0) {
            err = read_vector(reader, cell, at, fault);
            continue;
        }
        err = read_whole(reader, cell[0], "the label", FUSER_MAX_CLASSES - 1, &label,
                         fault);
        if (err == FAULT_OK)
            err = read_whole(reader, cell[1], "the confidence", 100, &confidence, fault);
        t->label[at] = (uint8_t)label;
        t->confidence[at] = (uint8_t)confidence;
        t->set.n_classes = fmax((double)t->set.n_classes, label + 1);
    }
    t->set.n_items += err == FAULT_OK;
    return err;
}

enum fault_err classes_read(const char *folder, struct classes_table *ret_table,
                            struct fault *fault)
{
    struct reader reader = { 0 };
    struct classes_table *t = &reader.table;
    char *path = memory_format("%s/predictions.csv", folder);
    const char *const *fields = NULL;
    size_t n = 0;

    enum fault_err err = csv_open(path, &reader.csv, fault);
    free(path);
    if (err != FAULT_OK)
        return err;
    err = read_header(&reader, fault);
    while (err == FAULT_OK) {
        err = csv_next(reader.csv, &fields, &n, fault);
        if (err != FAULT_OK || fields == NULL)
            break;
        err = read_row(&reader, fields, n, fault);
    }
    if (err == FAULT_OK && t->set.n_items == 0)
        err = fault_at(fault, FAULT_INPUT, csv_path(reader.csv), csv_line(reader.csv),
                       "there are no items");
    csv_close(reader.csv);
    if (err != FAULT_OK) {
        classes_release(t);
        return err;
    }
    t->set.n_experts = reader.n_experts;
    if (reader.n_classes > 0)
        t->set.n_classes = reader.n_classes;
    t->domain = memory_new(t->set.n_items, 1);
    for (size_t i = 0; i < t->set.n_items; i++)
        t->domain[i] = (uint8_t)(i * t->set.n_experts / t->set.n_items);
    connect(t);
    *ret_table = *t;
    return FAULT_OK;
}

static bool selected(const char *selection, const struct classes_table *table,
                     size_t item, bool *ret_known)
{
    unsigned first, last;
    int end = 0;
    *ret_known = true;
    if (strcmp(selection, "all") == 0)
        return true;
    if (strcmp(selection, "even") == 0)
        return item % 2 == 0;
    if (strcmp(selection, "odd") == 0)
        return item % 2 == 1;
    *ret_known = sscanf(selection, "blocks:%u-%u%n", &first, &last, &end) == 2 &&
                 selection[end] == '\0' && first <= last;
    return *ret_known && table->domain[item] >= first && table->domain[item] <= last;
}

enum fault_err classes_select(const struct classes_table *table, const char *selection,
                              struct classes_table *ret_part, struct fault *fault)
{
    size_t n = table->set.n_items, k = table->set.n_experts;
    size_t vector = table->probability == NULL ? 0 : k * table->set.n_classes;
    struct classes_table part = { .set = table->set };

    part.label = memory_new(n, k);
    part.confidence = memory_new(n, k);
    part.truth = memory_new(n, 1);
    part.domain = memory_new(n, 1);
    if (vector > 0)
        part.probability = memory_new(n, vector * sizeof(float));
    part.set.n_items = 0;
    for (size_t i = 0; i < n; i++) {
        bool known;
        size_t to = part.set.n_items;
        if (!selected(selection, table, i, &known)) {
            if (known)
                continue;
            classes_release(&part);
            return fault_set(fault, FAULT_USAGE,
                             "'%s' is not a selection: all, even, odd or blocks:A-B",
                             selection);
        }
        memcpy(part.label + to * k, table->label + i * k, k);
        memcpy(part.confidence + to * k, table->confidence + i * k, k);
        part.truth[to] = table->truth[i];
        part.domain[to] = table->domain[i];
        if (vector > 0)
            memcpy(part.probability + to * vector, table->probability + i * vector,
                   vector * sizeof(float));
        part.set.n_items++;
    }
    connect(&part);
    if (part.set.n_items == 0) {
        classes_release(&part);
        return fault_set(fault, FAULT_USAGE, "the selection '%s' has no items",
                         selection);
    }
    *ret_part = part;
    return FAULT_OK;
}
