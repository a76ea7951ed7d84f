/* import_report.c - counts, one line each, then domains and experts as tables. */
#include "tools/ctl/import_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tools/ctl/memory.h"
#include "tools/ctl/names.h"
#include "tools/ctl/report.h"
#include "tools/ctl/table.h"

#define NOT_SAID    "(none)"
#define ALIKE_SHOWN 5    /* to people */
#define ALIKE_TOLD  1000 /* to programs */

/* Names in the order in which they came, with counts; of experts, domains, splits. */
struct tally {
    struct names index;
    struct tally_line {
        const char *name; /* borrowed from the haul */
        size_t n, graded;
    } * lines;
    size_t n;
};

static struct tally_line *tally_line(struct tally *tally, const char *name)
{
    size_t at;

    if (names_find(&tally->index, name, &at))
        return &tally->lines[at];
    (void)names_add(&tally->index, name, tally->n);
    tally->lines = memory_resize(tally->lines, tally->n + 1, sizeof(*tally->lines));
    tally->lines[tally->n] = (struct tally_line){ .name = name };
    return &tally->lines[tally->n++];
}

static void tally_release(struct tally *tally)
{
    names_release(&tally->index);
    free(tally->lines);
}

static int by_count(const void *a, const void *b)
{
    const struct tally_line *left = a, *right = b;

    if (left->n != right->n)
        return left->n < right->n ? 1 : -1;
    return strcmp(left->name, right->name);
}

struct telling {
    const struct haul *haul;
    const struct misfits *misfits;
    const struct import_counts *counts;
    const char *store;
    struct tally experts, domains, splits;
    size_t kept, references;
};

static void count(struct telling *telling)
{
    for (size_t i = 0; i < telling->haul->n; i++) {
        const struct haul_prompt *prompt = &telling->haul->prompts[i];
        if (prompt->fate != HAUL_KEPT)
            continue;
        telling->kept++;
        telling->references += prompt->reference != NULL;
        tally_line(&telling->domains, prompt->domain != NULL ? prompt->domain : NOT_SAID)
            ->n++;
        tally_line(&telling->splits, prompt->split != NULL ? prompt->split : NOT_SAID)
            ->n++;
        for (size_t k = 0; k < prompt->n_answers; k++) {
            const struct haul_answer *answer = &prompt->answers[k];
            struct tally_line *line = tally_line(&telling->experts, answer->expert);
            line->n += answer->text != NULL;
            line->graded += !isnan(answer->quality);
        }
    }
    struct tally *tallies[] = { &telling->experts, &telling->domains, &telling->splits };
    for (size_t i = 0; i < ARRAY_LEN(tallies); i++) {
        if (tallies[i]->n > 0)
            qsort(tallies[i]->lines, tallies[i]->n, sizeof(*tallies[i]->lines), by_count);
    }
}

static void print_table(const struct tally *tally, const char *head, const char *number,
                        bool graded)
{
    const struct table_column columns[] = { { head, TABLE_LEFT },
                                            { number, TABLE_RIGHT },
                                            { "graded", TABLE_RIGHT } };
    struct table *table = table_new(columns, graded ? 3 : 2);

    for (size_t i = 0; i < tally->n; i++) {
        table_cell(table, "%s", tally->lines[i].name);
        table_cell(table, "%zu", tally->lines[i].n);
        if (graded)
            table_cell(table, "%zu", tally->lines[i].graded);
    }
    (void)printf("\n");
    table_print(table, stdout);
    table_free(table);
}

/* What was dropped, and for which: the first of them. */
static void print_alike(const struct telling *telling)
{
    const struct haul *haul = telling->haul;
    size_t n = haul_count(haul, HAUL_ALIKE), shown = 0;

    if (n == 0)
        return;
    (void)printf("%zu say nearly what another one says, and were dropped\n", n);
    for (size_t i = 0; i < haul->n && shown < ALIKE_SHOWN; i++) {
        const struct haul_prompt *prompt = &haul->prompts[i];
        if (prompt->fate != HAUL_ALIKE)
            continue;
        (void)printf("  line %zu is %.2f like line %zu\n", prompt->line,
                     prompt->similarity, haul->prompts[prompt->like].line);
        shown++;
    }
    if (n > shown)
        (void)printf("  ... and %zu more\n", n - shown);
}

static json_t *alike_json(const struct haul *haul)
{
    json_t *list = json_array();

    for (size_t i = 0; i < haul->n && json_array_size(list) < ALIKE_TOLD; i++) {
        const struct haul_prompt *prompt = &haul->prompts[i];
        if (prompt->fate == HAUL_ALIKE)
            (void)json_array_append_new(
                list, json_pack("{s:s, s:I, s:s, s:I, s:f}", "id", prompt->id, "line",
                                (json_int_t)prompt->line, "like",
                                haul->prompts[prompt->like].id, "like_line",
                                (json_int_t)haul->prompts[prompt->like].line,
                                "similarity", prompt->similarity));
    }
    return list;
}

static void print_people(const struct telling *telling)
{
    const struct misfits *misfits = telling->misfits;
    size_t sampled = haul_count(telling->haul, HAUL_NOT_SAMPLED);

    (void)printf("%zu records: %zu prompts -> %s\n", telling->counts->records,
                 telling->kept, telling->store);
    if (misfits->n > 0)
        (void)printf("%zu could not be read and were skipped\n", misfits->n);
    for (size_t i = 0; i < misfits->n_kinds; i++)
        (void)printf("%zu left out: %s\n", misfits->left_out[i].n,
                     misfits->left_out[i].why);
    if (telling->haul->merged > 0)
        (void)printf("%zu came once more\n", telling->haul->merged);
    print_alike(telling);
    if (sampled > 0)
        (void)printf("%zu were not drawn by --sample\n", sampled);
    if (telling->counts->lost_answers > 0)
        (void)printf("%zu answers to prompts that are not among them\n",
                     telling->counts->lost_answers);
    if (telling->references > 0)
        (void)printf("%zu have a reference\n", telling->references);
    if (telling->splits.n > 1 || strcmp(telling->splits.lines[0].name, NOT_SAID) != 0)
        print_table(&telling->splits, "split", "prompts", false);
    if (telling->domains.n > 1)
        print_table(&telling->domains, "domain", "prompts", false);
    if (telling->experts.n > 0)
        print_table(&telling->experts, "expert", "answers", true);
}

static json_t *tally_json(const struct tally *tally)
{
    json_t *object = json_object();

    for (size_t i = 0; i < tally->n; i++)
        (void)json_object_set_new(object, tally->lines[i].name,
                                  json_integer((json_int_t)tally->lines[i].n));
    return object;
}

static void print_json(const struct telling *telling)
{
    const struct haul *haul = telling->haul;
    json_t *root = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "store",
        telling->store, "records", (json_int_t)telling->counts->records, "prompts",
        (json_int_t)telling->kept, "merged", (json_int_t)haul->merged, "alike",
        (json_int_t)haul_count(haul, HAUL_ALIKE), "not_sampled",
        (json_int_t)haul_count(haul, HAUL_NOT_SAMPLED), "references",
        (json_int_t)telling->references, "lost_answers",
        (json_int_t)telling->counts->lost_answers, "alike_to", alike_json(haul), "splits",
        tally_json(&telling->splits), "domains", tally_json(&telling->domains), "answers",
        tally_json(&telling->experts));

    json_t *misfits = misfits_json(telling->misfits);
    (void)json_object_update(root, misfits);
    json_decref(misfits);
    report_print_json(root);
}

void import_report(const struct haul *haul, const struct misfits *misfits,
                   const struct import_counts *counts, const char *store, bool json)
{
    struct telling telling = {
        .haul = haul, .misfits = misfits, .counts = counts, .store = store
    };

    count(&telling);
    if (json)
        print_json(&telling);
    else
        print_people(&telling);
    tally_release(&telling.experts);
    tally_release(&telling.domains);
    tally_release(&telling.splits);
}
