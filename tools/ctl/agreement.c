/* agreement.c - see agreement.h. */
#include "tools/ctl/agreement.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/memory.h"

#define Z_95 1.959963984540054

/* A cell that somebody graded. */
struct graded {
    int64_t prompt, expert;
    double quality;
    size_t line;
};

struct reading {
    struct agreements *all;
    struct graded *cells; /* by prompt, then expert */
    size_t n, room;
};

void agreement_wilson(size_t good, size_t n, double *ret_low, double *ret_high)
{
    double count = (double)n, p = (double)good / count, z = Z_95;
    double middle = p + z * z / (2 * count);
    double half = z * sqrt(p * (1 - p) / count + z * z / (4 * count * count));

    *ret_low = n > 0 ? fmax(0, (middle - half) / (1 + z * z / count)) : NAN;
    *ret_high = n > 0 ? fmin(1, (middle + half) / (1 + z * z / count)) : NAN;
}

enum agreement_said agreement_by_quality(double first, double second)
{
    if (isnan(first) || isnan(second))
        return AGREEMENT_N;
    if (fabs(first - second) < AGREEMENT_TIE - 1e-9)
        return AGREEMENT_T;
    return first > second ? AGREEMENT_A : AGREEMENT_B;
}

void agreement_of(const size_t said[AGREEMENT_N][AGREEMENT_N],
                  struct agreement *ret_agreement)
{
    struct agreement sum = { .share = NAN, .kappa = NAN };
    double person_ties = 0, grader_ties = 0, by_chance;

    for (size_t i = 0; i < AGREEMENT_N; i++) {
        for (size_t j = 0; j < AGREEMENT_N; j++)
            sum.labels += said[i][j];
        sum.agreed += said[i][i];
        person_ties += (double)said[AGREEMENT_T][i];
        grader_ties += (double)said[i][AGREEMENT_T];
    }
    sum.decided_agreed = said[AGREEMENT_A][AGREEMENT_A] + said[AGREEMENT_B][AGREEMENT_B];
    sum.decided = sum.decided_agreed + said[AGREEMENT_A][AGREEMENT_B] +
                  said[AGREEMENT_B][AGREEMENT_A];
    agreement_wilson(sum.agreed, sum.labels, &sum.low, &sum.high);
    person_ties /= (double)sum.labels;
    grader_ties /= (double)sum.labels;
    by_chance = person_ties * grader_ties + (1 - person_ties) * (1 - grader_ties) / 2;
    if (sum.labels > 0)
        sum.share = (double)sum.agreed / (double)sum.labels;
    if (sum.labels > 0 && by_chance < 1 - 1e-12)
        sum.kappa = (sum.share - by_chance) / (1 - by_chance);
    *ret_agreement = sum;
}

/* Bytes of its name: what judges and programs are told belongs to it; all regular expressions
 * are one grader, and so are all schemas. */
static size_t name_bytes(const char *grader)
{
    static const char *const one[] = { "regex:", "json-schema:" };

    for (size_t i = 0; i < ARRAY_LEN(one); i++) {
        size_t n = strlen(one[i]);
        if (strncmp(grader, one[i], n) == 0)
            return n - 1;
    }
    return strlen(grader);
}

static size_t line_of(struct agreements *all, const char *grader)
{
    size_t i = 0, n = name_bytes(grader);

    while (i < all->n && (strncmp(all->lines[i].grader, grader, n) != 0 ||
                          all->lines[i].grader[n] != '\0'))
        i++;
    if (i == all->n) {
        all->lines = memory_resize(all->lines, all->n + 1, sizeof(*all->lines));
        all->lines[all->n++] =
            (struct agreement_line){ .grader = memory_text_n(grader, n) };
    }
    return i;
}

static enum fault_err take_cell(void *context, int64_t prompt, int64_t expert,
                                const struct calib_cell *cell, struct fault *fault)
{
    struct reading *reading = context;

    (void)fault;
    if (cell->grader == NULL || isnan(cell->quality))
        return FAULT_OK;
    if (reading->n == reading->room) {
        reading->room = reading->room > 0 ? reading->room * 2 : 1024;
        reading->cells =
            memory_resize(reading->cells, reading->room, sizeof(*reading->cells));
    }
    size_t line = line_of(reading->all, cell->grader);
    reading->all->lines[line].cells++;
    reading->cells[reading->n++] = (struct graded){ prompt, expert, cell->quality, line };
    return FAULT_OK;
}

static int compare_cells(const void *a, const void *b)
{
    const struct graded *left = a, *right = b;

    if (left->prompt != right->prompt)
        return left->prompt < right->prompt ? -1 : 1;
    return (left->expert > right->expert) - (left->expert < right->expert);
}

static const struct graded *find_cell(const struct reading *reading, int64_t prompt,
                                      int64_t expert)
{
    struct graded wanted = { .prompt = prompt, .expert = expert };

    return bsearch(&wanted, reading->cells, reading->n, sizeof(wanted), compare_cells);
}

static enum fault_err take_label(void *context, const struct calib_label *label,
                                 struct fault *fault)
{
    struct reading *reading = context;
    const struct graded *first = find_cell(reading, label->prompt, label->first);
    const struct graded *second = find_cell(reading, label->prompt, label->second);
    const char *known = strchr("abt", label->said);

    (void)fault;
    if (known == NULL || first == NULL || second == NULL || first->line != second->line)
        return FAULT_OK;
    struct agreement_line *line = &reading->all->lines[first->line];
    size_t person = (size_t)(label->said == 'a'   ? AGREEMENT_A
                             : label->said == 'b' ? AGREEMENT_B
                                                  : AGREEMENT_T);
    size_t grader = (size_t)agreement_by_quality(first->quality, second->quality);
    line->said[person][grader]++;
    if (fabs(first->quality - second->quality) < AGREEMENT_CLOSE)
        line->close[person][grader]++;
    return FAULT_OK;
}

enum fault_err agreements_read(struct agreements *ret_all, struct calib *store,
                               struct fault *fault)
{
    struct agreements all = { 0 };
    struct reading reading = { .all = &all };
    enum fault_err err = calib_each_cell(store, take_cell, &reading, fault);

    if (err == FAULT_OK && reading.n > 0)
        qsort(reading.cells, reading.n, sizeof(*reading.cells), compare_cells);
    if (err == FAULT_OK && reading.n > 0)
        err = calib_each_label(store, take_label, &reading, fault);
    free(reading.cells);
    if (err != FAULT_OK) {
        agreements_release(&all);
        return err;
    }
    *ret_all = all;
    return FAULT_OK;
}

void agreements_release(struct agreements *all)
{
    for (size_t i = 0; i < all->n; i++)
        free(all->lines[i].grader);
    free(all->lines);
    *all = (struct agreements){ 0 };
}

static json_t *number_or_null(double value)
{
    return isnan(value) ? json_null() : json_real(value);
}

json_t *agreement_json(const struct agreement_line *line)
{
    struct agreement sum, close;

    agreement_of(line->said, &sum);
    agreement_of(line->close, &close);
    return json_pack(
        "{s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:o}", "grader", line->grader,
        "cells", (json_int_t)line->cells, "labels", (json_int_t)sum.labels, "agreement",
        number_or_null(sum.share), "low", number_or_null(sum.low), "high",
        number_or_null(sum.high), "kappa", number_or_null(sum.kappa), "decided",
        (json_int_t)sum.decided, "decided_agreed", (json_int_t)sum.decided_agreed,
        "close_labels", (json_int_t)close.labels, "close_agreement",
        number_or_null(close.share));
}
