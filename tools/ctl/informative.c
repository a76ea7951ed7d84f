/* informative.c - weights from the store, distances from words, picks one by one. */
#include "tools/ctl/informative.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "tools/ctl/memory.h"

/* -- distances -- */

static bool in_word(unsigned char c)
{
    return isalnum(c) || c >= 0x80;
}

/* Unit vector of the text's words, in lower case where they are ASCII; zeros: it has none. */
static void sketch(const char *text, float vector[INFORMATIVE_DIM])
{
    double length = 0;

    memset(vector, 0, INFORMATIVE_DIM * sizeof(*vector));
    while (*text != '\0') {
        XXH64_hash_t hash = 0;
        size_t n = 0;
        for (; in_word((unsigned char)text[n]); n++) {
            unsigned char c = (unsigned char)tolower((unsigned char)text[n]);
            hash = XXH3_64bits_withSeed(&c, 1, hash);
        }
        if (n > 0)
            vector[hash % INFORMATIVE_DIM] += hash >> 63 != 0 ? 1 : -1;
        text += n > 0 ? n : 1;
    }
    for (size_t i = 0; i < INFORMATIVE_DIM; i++)
        length += (double)vector[i] * (double)vector[i];
    for (size_t i = 0; i < INFORMATIVE_DIM && length > 0; i++)
        vector[i] /= (float)sqrt(length);
}

static double distance(const float *a, const float *b)
{
    float dot = 0;

    for (size_t i = 0; i < INFORMATIVE_DIM; i++)
        dot += a[i] * b[i];
    return 1 - (double)dot;
}

/* -- the order -- */

struct candidate {
    double weight, nearest; /* nearest: distance to what is picked; 2: nothing is */
    bool picked;
    size_t prompt;
};

static void pick(struct candidate *all, const float *vectors, size_t n, size_t picked)
{
    all[picked].picked = true;
    for (size_t i = 0; i < n; i++) {
        double far =
            distance(&vectors[i * INFORMATIVE_DIM], &vectors[picked * INFORMATIVE_DIM]);
        if (far < all[i].nearest)
            all[i].nearest = far;
    }
}

/* The first of the largest; n: there is none left. */
static size_t best(const struct candidate *all, size_t n)
{
    size_t found = n;

    for (size_t i = 0; i < n; i++) {
        if (all[i].picked)
            continue;
        if (found == n ||
            all[i].weight * all[i].nearest > all[found].weight * all[found].nearest)
            found = i;
    }
    return found;
}

static int compare_weights(const void *a, const void *b)
{
    const struct candidate *left = a, *right = b;

    if (left->weight < right->weight || left->weight > right->weight)
        return left->weight < right->weight ? 1 : -1;
    return (left->prompt > right->prompt) - (left->prompt < right->prompt);
}

void informative_order(const char *const *texts, const double *weights, const bool *known,
                       size_t n, size_t picks, size_t *ret_order)
{
    struct candidate *all = memory_new(n, sizeof(*all));
    float *vectors = memory_new(n * INFORMATIVE_DIM, sizeof(*vectors));
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        sketch(texts[i], &vectors[i * INFORMATIVE_DIM]);
        all[i] = (struct candidate){ .weight = weights[i], .nearest = 2, .prompt = i };
    }
    for (size_t i = 0; i < n; i++) {
        if (!known[i])
            continue;
        pick(all, vectors, n, i);
        ret_order[at++] = i;
    }
    for (size_t i = 0; i < picks && at < n; i++) {
        size_t next = best(all, n);
        pick(all, vectors, n, next);
        ret_order[at++] = next;
    }
    qsort(all, n, sizeof(*all), compare_weights);
    for (size_t i = 0; i < n; i++) {
        if (!all[i].picked)
            ret_order[at++] = all[i].prompt;
    }
    free(vectors);
    free(all);
}

/* -- weights -- */

double informative_weight(size_t n, double sum, double squares, double best_quality)
{
    if (n < 2)
        return 0.75;
    double mean = sum / (double)n, variance = squares / (double)n - mean * mean;
    return 0.25 + fmax(4 * variance, 1 - best_quality);
}

/* What is known of a prompt. */
struct seen {
    size_t n;
    double sum, squares, best;
};

struct looking {
    const struct worklist *work;
    int64_t expert; /* row of the new one: it does not count */
    struct seen *prompts;
};

static enum fault_err take_cell(void *context, int64_t prompt, int64_t expert,
                                const struct calib_cell *cell, struct fault *fault)
{
    struct looking *looking = context;
    size_t at;

    (void)fault;
    if (expert == looking->expert || isnan(cell->quality) ||
        !worklist_find(looking->work, prompt, &at))
        return FAULT_OK;
    struct seen *seen = &looking->prompts[at];
    seen->best = seen->n == 0 ? cell->quality : fmax(seen->best, cell->quality);
    seen->n++;
    seen->sum += cell->quality;
    seen->squares += cell->quality * cell->quality;
    return FAULT_OK;
}

enum fault_err informative_plan(struct worklist *work, size_t expert, struct fault *fault)
{
    size_t n = work->n_prompts;
    struct looking looking = { .work = work,
                               .expert = work->experts[expert].row,
                               .prompts = memory_new(n, sizeof(*looking.prompts)) };
    enum fault_err err = calib_each_cell(work->store, take_cell, &looking, fault);

    if (err == FAULT_OK) {
        const char **texts = memory_new(n, sizeof(*texts));
        double *weights = memory_new(n, sizeof(*weights));
        bool *known = memory_new(n, sizeof(*known));
        size_t *order = memory_new(n, sizeof(*order));
        for (size_t i = 0; i < n; i++) {
            const struct seen *seen = &looking.prompts[i];
            texts[i] = work->prompts[i].text;
            weights[i] =
                informative_weight(seen->n, seen->sum, seen->squares, seen->best);
            known[i] = worklist_known(work, expert, i) > 0;
        }
        size_t picks = work->limit > 0 && work->limit < INFORMATIVE_PICKS
                           ? work->limit
                           : INFORMATIVE_PICKS;
        informative_order(texts, weights, known, n, picks, order);
        worklist_plan(work, expert, order);
        free(texts);
        free(weights);
        free(known);
        free(order);
    }
    free(looking.prompts);
    return err;
}
