/* label_pairs.c - see label_pairs.h. */
#include "tools/ctl/label_pairs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "tools/ctl/agreement.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/names.h"

struct quality {
    int64_t prompt, expert;
    double value;
    char *grader;
};

struct candidate {
    struct label_pair pair;
    size_t stratum; /* domain * 2 + close */
    uint64_t drawn; /* its place in the stratum */
};

struct reading {
    struct calib *store;
    const struct config *config; /* or NULL */
    int64_t *strangers;          /* rows of experts that it lacks */
    size_t n_strangers;
    uint64_t seed;
    struct quality *cells;
    size_t n_cells, room;
    size_t at; /* first cell of the prompt that is looked at, or of a later one */
    struct names domains;
    struct candidate *candidates;
    size_t n_candidates, room_candidates;
    struct label_pairs *pairs;
};

static enum fault_err take_expert(void *context, const struct calib_expert *expert,
                                  struct fault *fault)
{
    struct reading *reading = context;

    (void)fault;
    if (reading->config == NULL ||
        config_find_expert(reading->config, str_of(expert->name)) >= 0)
        return FAULT_OK;
    reading->strangers = memory_resize(reading->strangers, reading->n_strangers + 1,
                                       sizeof(*reading->strangers));
    reading->strangers[reading->n_strangers++] = expert->expert;
    return FAULT_OK;
}

static bool is_stranger(const struct reading *reading, int64_t expert)
{
    for (size_t i = 0; i < reading->n_strangers; i++) {
        if (reading->strangers[i] == expert)
            return true;
    }
    return false;
}

static enum fault_err take_cell(void *context, int64_t prompt, int64_t expert,
                                const struct calib_cell *cell, struct fault *fault)
{
    struct reading *reading = context;

    (void)fault;
    if (cell->grader == NULL || isnan(cell->quality) || is_stranger(reading, expert))
        return FAULT_OK;
    if (reading->n_cells == reading->room) {
        reading->room = reading->room > 0 ? reading->room * 2 : 1024;
        reading->cells =
            memory_resize(reading->cells, reading->room, sizeof(*reading->cells));
    }
    reading->cells[reading->n_cells++] =
        (struct quality){ prompt, expert, cell->quality, memory_text(cell->grader) };
    return FAULT_OK;
}

static enum fault_err take_label(void *context, const struct calib_label *label,
                                 struct fault *fault)
{
    struct label_pairs *pairs = ((struct reading *)context)->pairs;

    (void)fault;
    pairs->all = memory_resize(pairs->all, pairs->n + 1, sizeof(*pairs->all));
    pairs->all[pairs->n++] = (struct label_pair){ .prompt = label->prompt,
                                                  .first = label->first,
                                                  .second = label->second,
                                                  .said = label->said };
    pairs->before++;
    return FAULT_OK;
}

static uint64_t draw(const struct reading *reading, const struct quality *one,
                     const struct quality *other)
{
    uint64_t key[4] = { reading->seed, (uint64_t)one->prompt, (uint64_t)one->expert,
                        (uint64_t)other->expert };

    return XXH3_64bits(key, sizeof(key));
}

/* The texts are there, and differ. */
static enum fault_err comparable(const struct reading *reading, const struct quality *one,
                                 const struct quality *other, bool *ret_so,
                                 struct fault *fault)
{
    char *a = NULL, *b = NULL;
    enum fault_err err =
        calib_latest_text(reading->store, one->prompt, one->expert, &a, fault);

    if (err == FAULT_OK)
        err = calib_latest_text(reading->store, other->prompt, other->expert, &b, fault);
    *ret_so = err == FAULT_OK && a != NULL && b != NULL && strcmp(a, b) != 0;
    free(a);
    free(b);
    return err;
}

static void add_candidate(struct reading *reading, const struct quality *one,
                          const struct quality *other, size_t stratum)
{
    uint64_t drawn = draw(reading, one, other);

    if (reading->n_candidates == reading->room_candidates) {
        size_t room = reading->room_candidates;
        reading->room_candidates = room > 0 ? room * 2 : 256;
        reading->candidates = memory_resize(reading->candidates, reading->room_candidates,
                                            sizeof(*reading->candidates));
    }
    reading->candidates[reading->n_candidates++] = (struct candidate){
        .pair = { .prompt = one->prompt,
                  .first = one->expert,
                  .second = other->expert,
                  .swapped = (drawn >> 17 & 1) != 0 },
        .stratum = stratum,
        .drawn = drawn,
    };
}

/* The pair of cells[from..to) that the seed draws among the close, or the sure ones. */
static enum fault_err choose(struct reading *reading, size_t from, size_t to,
                             size_t domain, bool close, struct fault *fault)
{
    const struct quality *best_one = NULL, *best_other = NULL;
    enum fault_err err = FAULT_OK;

    for (size_t i = from; err == FAULT_OK && i < to; i++) {
        for (size_t j = i + 1; err == FAULT_OK && j < to; j++) {
            const struct quality *one = &reading->cells[i], *other = &reading->cells[j];
            bool fits = fabs(one->value - other->value) < AGREEMENT_CLOSE, differ;
            if (fits != close || strcmp(one->grader, other->grader) != 0)
                continue;
            if (best_one != NULL &&
                draw(reading, one, other) > draw(reading, best_one, best_other))
                continue;
            err = comparable(reading, one, other, &differ, fault);
            if (err != FAULT_OK || !differ)
                continue;
            best_one = one;
            best_other = other;
        }
    }
    if (err == FAULT_OK && best_one != NULL)
        add_candidate(reading, best_one, best_other, domain * 2 + close);
    return err;
}

static enum fault_err take_prompt(void *context, int64_t row,
                                  const struct calib_prompt *prompt, struct fault *fault)
{
    struct reading *reading = context;
    const char *domain = prompt->domain != NULL ? prompt->domain : "";
    size_t number, to;

    while (reading->at < reading->n_cells && reading->cells[reading->at].prompt < row)
        reading->at++;
    for (to = reading->at; to < reading->n_cells && reading->cells[to].prompt == row;)
        to++;
    (void)names_add(&reading->domains, domain, reading->domains.count);
    (void)names_find(&reading->domains, domain, &number);
    enum fault_err err = choose(reading, reading->at, to, number, true, fault);
    if (err == FAULT_OK)
        err = choose(reading, reading->at, to, number, false, fault);
    return err;
}

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *left = a, *right = b;

    if (left->stratum != right->stratum)
        return left->stratum < right->stratum ? -1 : 1;
    return (left->drawn > right->drawn) - (left->drawn < right->drawn);
}

static bool labelled(const struct label_pairs *pairs, const struct label_pair *pair)
{
    for (size_t i = 0; i < pairs->before; i++) {
        if (pairs->all[i].prompt == pair->prompt && pairs->all[i].first == pair->first &&
            pairs->all[i].second == pair->second)
            return true;
    }
    return false;
}

/* In turn from each stratum, until `most` are there. What was labelled has its turn, too, so
 * that a run that goes on shows what is left in the same order. */
static void deal(struct reading *reading, size_t most)
{
    struct label_pairs *pairs = reading->pairs;
    struct candidate *from = reading->candidates;
    size_t n = reading->n_candidates, left = n;
    bool *dealt = memory_new(n + 1, sizeof(*dealt));

    if (n > 0)
        qsort(from, n, sizeof(*from), compare_candidates);
    pairs->all = memory_resize(pairs->all, pairs->n + left + 1, sizeof(*pairs->all));
    while (left > 0 && pairs->n < most) {
        size_t last = SIZE_MAX; /* the stratum that was dealt from in this round */
        for (size_t i = 0; i < n && pairs->n < most; i++) {
            if (dealt[i] || from[i].stratum == last)
                continue;
            last = from[i].stratum;
            dealt[i] = true;
            left--;
            if (!labelled(pairs, &from[i].pair))
                pairs->all[pairs->n++] = from[i].pair;
        }
    }
    free(dealt);
}

enum fault_err label_pairs_read(struct label_pairs *ret_pairs, struct calib *store,
                                const struct config *config, uint64_t seed, size_t most,
                                struct fault *fault)
{
    struct label_pairs pairs = { 0 };
    struct reading reading = {
        .store = store, .config = config, .seed = seed, .pairs = &pairs
    };
    enum fault_err err = calib_each_label(store, take_label, &reading, fault);

    if (err == FAULT_OK)
        err = calib_each_expert(store, take_expert, &reading, fault);
    if (err == FAULT_OK)
        err = calib_each_cell(store, take_cell, &reading, fault);
    if (err == FAULT_OK)
        err = calib_each_prompt(store, NULL, 0, take_prompt, &reading, fault);
    if (err == FAULT_OK) {
        pairs.candidates = reading.n_candidates;
        deal(&reading, most);
        *ret_pairs = pairs;
    } else {
        label_pairs_release(&pairs);
    }
    for (size_t i = 0; i < reading.n_cells; i++)
        free(reading.cells[i].grader);
    free(reading.cells);
    free(reading.candidates);
    free(reading.strangers);
    names_release(&reading.domains);
    return err;
}

void label_pairs_release(struct label_pairs *pairs)
{
    free(pairs->all);
    *pairs = (struct label_pairs){ 0 };
}
