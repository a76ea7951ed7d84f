/* classes.c - distances, neighbours and leave-one-out losses of FoE-classification.
 *
 * Always holds: neighbours are ordered by (distance, row); a calibration row is never its own neighbour
 * in a loss (the authors' code lets it be one, which makes every loss optimistic).
 */
#include "fuser/classes.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/clones.h"
#include "fuser/err.h"

#define BLOCK                                                                            \
    32 /* rows whose least distance is compared with the worst neighbour at once */

static enum fuser_err check_item(const struct fuser_class_set *set, size_t item,
                                 struct fuser_error *error)
{
    if (set->truth[item] >= set->n_classes)
        return ferr_set(error, FUSER_INVALID, "item %zu: truth %u is not below %zu", item,
                        set->truth[item], set->n_classes);
    for (size_t k = 0; k < set->n_experts; k++) {
        size_t at = item * set->n_experts + k;
        if (set->label[at] >= set->n_classes)
            return ferr_set(error, FUSER_INVALID,
                            "item %zu, expert %zu: label %u is not below %zu", item, k,
                            set->label[at], set->n_classes);
        if (set->confidence[at] > 100)
            return ferr_set(error, FUSER_INVALID,
                            "item %zu, expert %zu: confidence %u is over 100", item, k,
                            set->confidence[at]);
        for (size_t c = 0; set->probability != NULL && c < set->n_classes; c++) {
            float p = set->probability[at * set->n_classes + c];
            if (!(p >= 0.0f && p <= 1.0f))
                return ferr_set(error, FUSER_INVALID,
                                "item %zu, expert %zu: probability %g is not in 0..1",
                                item, k, (double)p);
        }
    }
    return FUSER_OK;
}

static enum fuser_err check_set(const struct fuser_class_set *set,
                                struct fuser_error *error)
{
    if (set->n_items == 0)
        return ferr_set(error, FUSER_INVALID, "no calibration items");
    if (set->n_items > UINT32_MAX / 2)
        return ferr_set(error, FUSER_INVALID, "more than %u calibration items",
                        UINT32_MAX / 2);
    if (set->n_experts == 0 || set->n_experts > FUSER_MAX_CLASS_EXPERTS)
        return ferr_set(error, FUSER_INVALID, "%zu experts, not 1 to %d", set->n_experts,
                        FUSER_MAX_CLASS_EXPERTS);
    if (set->n_classes < 2 || set->n_classes > FUSER_MAX_CLASSES)
        return ferr_set(error, FUSER_INVALID, "%zu classes, not 2 to %d", set->n_classes,
                        FUSER_MAX_CLASSES);
    for (size_t i = 0; i < set->n_items; i++) {
        enum fuser_err err = check_item(set, i, error);
        if (err != FUSER_OK)
            return err;
    }
    return FUSER_OK;
}

static void fill_columns(struct fuser_classes *classes, const struct fuser_class_set *fit)
{
    size_t n = classes->n;
    for (size_t i = 0; i < n; i++) {
        struct classes_point point = classes_point_of(fit, i);
        for (size_t k = 0; k < classes->n_experts; k++) {
            float *column = classes->columns + k * classes->n_classes * n + i;
            float square = 0.0f;
            if (point.probability != NULL) {
                for (size_t c = 0; c < classes->n_classes; c++) {
                    float value = 100.0f * point.probability[k * classes->n_classes + c];
                    column[c * n] = value;
                    square += value * value;
                }
            } else {
                float value = (float)point.confidence[k];
                column[point.label[k] * n] = value;
                square = value * value;
            }
            classes->squares[k * n + i] = square;
            classes->accuracy[k] += fit->label[i * fit->n_experts + k] == fit->truth[i];
        }
    }
    for (size_t k = 0; k < classes->n_experts; k++)
        classes->accuracy[k] /= (double)n;
}

enum fuser_err fuser_classes_new(const struct fuser_class_set *fit, uint32_t kappa,
                                 struct fuser_classes **ret_classes,
                                 struct fuser_error *error)
{
    enum fuser_err err = check_set(fit, error);
    if (err != FUSER_OK)
        return err;
    if (kappa == 0 || kappa > FUSER_MAX_KAPPA)
        return ferr_set(error, FUSER_INVALID, "kappa %u is not 1 to %d", kappa,
                        FUSER_MAX_KAPPA);
    struct fuser_classes *classes = calloc(1, sizeof(*classes));
    if (classes == NULL)
        return ferr_nomem(error);
    size_t n = fit->n_items;
    classes->n = n;
    classes->n_experts = fit->n_experts;
    classes->n_classes = fit->n_classes;
    classes->kappa = kappa;
    classes->columns = calloc(fit->n_experts * fit->n_classes * n, sizeof(float));
    classes->squares = calloc(fit->n_experts * n, sizeof(float));
    classes->label = malloc(fit->n_experts * n);
    classes->truth = malloc(n);
    classes->accuracy = calloc(fit->n_experts, sizeof(double));
    classes->distances = malloc(n * sizeof(float));
    classes->shared = malloc(n * sizeof(float));
    if (classes->columns == NULL || classes->squares == NULL || classes->label == NULL ||
        classes->truth == NULL || classes->accuracy == NULL ||
        classes->distances == NULL || classes->shared == NULL) {
        fuser_classes_free(classes);
        return ferr_nomem(error);
    }
    memcpy(classes->label, fit->label, fit->n_experts * n);
    memcpy(classes->truth, fit->truth, n);
    fill_columns(classes, fit);
    *ret_classes = classes;
    return FUSER_OK;
}

static void memo_clear(struct classes_memo *memo)
{
    for (size_t i = 0; i < memo->n_slots; i++)
        free(memo->votes[i]);
    free(memo->masks);
    free(memo->votes);
    *memo = (struct classes_memo){ 0 };
}

void fuser_classes_free(struct fuser_classes *classes)
{
    if (classes == NULL)
        return;
    memo_clear(&classes->memo);
    free(classes->start[0]);
    free(classes->start[1]);
    free(classes->columns);
    free(classes->squares);
    free(classes->label);
    free(classes->truth);
    free(classes->accuracy);
    free(classes->distances);
    free(classes->shared);
    free(classes);
}

struct classes_point classes_point_of(const struct fuser_class_set *set, size_t item)
{
    size_t at = item * set->n_experts;
    return (struct classes_point){
        .label = set->label + at,
        .confidence = set->confidence + at,
        .probability =
            set->probability == NULL ? NULL : set->probability + at * set->n_classes,
    };
}

/* -- kernels --------------------------------------------------------------------------------------- */

FUSER_CLONES
static void add_square(float *restrict distances, const float *restrict square, float own,
                       size_t n)
{
    for (size_t i = 0; i < n; i++)
        distances[i] += square[i] + own;
}

FUSER_CLONES
static void add_product(float *restrict distances, const float *restrict column,
                        float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        distances[i] += factor * column[i];
}

FUSER_CLONES
static void sum_one(float *restrict sums, const float *restrict base,
                    const float *restrict square, const float *restrict column, float own,
                    float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sums[i] = base[i] + (square[i] + own + factor * column[i]);
}

FUSER_CLONES
static float least(const float *values)
{
    float low = values[0];
    for (int i = 1; i < BLOCK; i++)
        low = values[i] < low ? values[i] : low;
    return low;
}

void classes_add(const struct fuser_classes *classes, size_t expert,
                 const struct classes_point *point, float *distances)
{
    size_t n = classes->n;
    const float *columns = classes->columns + expert * classes->n_classes * n;
    const float *square = classes->squares + expert * n;
    if (point->probability == NULL) {
        float value = (float)point->confidence[expert];
        add_square(distances, square, value * value, n);
        add_product(distances, columns + point->label[expert] * n, -2.0f * value, n);
        return;
    }
    float own = 0.0f;
    for (size_t c = 0; c < classes->n_classes; c++) {
        float value = 100.0f * point->probability[expert * classes->n_classes + c];
        own += value * value;
        if (value != 0.0f)
            add_product(distances, columns + c * n, -2.0f * value, n);
    }
    add_square(distances, square, own, n);
}

size_t classes_nearest(const float *distances, size_t n, size_t k, uint32_t *ret_rows,
                       float *ret_distances)
{
    size_t have = 0;
    k = k < n ? k : n;
    for (size_t block = 0; block < n && k > 0; block += BLOCK) {
        size_t end = block + BLOCK < n ? block + BLOCK : n;
        if (have == k && end == block + BLOCK &&
            !(least(distances + block) < ret_distances[k - 1]))
            continue;
        for (size_t i = block; i < end; i++) {
            float d = distances[i];
            if (have == k && !(d < ret_distances[k - 1]))
                continue;
            size_t at = have < k ? have++ : k - 1;
            for (; at > 0 && d < ret_distances[at - 1]; at--) {
                ret_distances[at] = ret_distances[at - 1];
                ret_rows[at] = ret_rows[at - 1];
            }
            ret_distances[at] = d;
            ret_rows[at] = (uint32_t)i;
        }
    }
    return have;
}

size_t fuser_classes_neighbours(const struct fuser_classes *classes,
                                const struct fuser_class_set *set, size_t item,
                                uint32_t mask, size_t k, uint32_t *ret_rows,
                                float *ret_distances)
{
    struct classes_point point = classes_point_of(set, item);
    memset(classes->distances, 0, classes->n * sizeof(float));
    for (size_t e = 0; e < classes->n_experts; e++)
        if (mask >> e & 1)
            classes_add(classes, e, &point, classes->distances);
    return classes_nearest(classes->distances, classes->n, k, ret_rows, ret_distances);
}

/* -- votes ------------------------------------------------------------------------------------------ */

uint8_t fuser_classes_vote(const struct fuser_classes *classes, const uint32_t *rows,
                           size_t kappa)
{
    uint16_t votes[FUSER_MAX_CLASSES] = { 0 };
    size_t best = 0;
    for (size_t i = 0; i < kappa; i++)
        votes[classes->truth[rows[i]]]++;
    for (size_t c = 1; c < classes->n_classes; c++)
        if (votes[c] > votes[best])
            best = c;
    return (uint8_t)best;
}

size_t fuser_classes_route(const struct fuser_classes *classes, const uint32_t *rows,
                           size_t kappa)
{
    size_t best = 0, best_right = 0;
    for (size_t e = 0; e < classes->n_experts; e++) {
        size_t right = 0;
        for (size_t i = 0; i < kappa; i++)
            right += classes->label[rows[i] * classes->n_experts + e] ==
                     classes->truth[rows[i]];
        if (e == 0 || right > best_right ||
            (right == best_right && classes->accuracy[e] > classes->accuracy[best])) {
            best = e;
            best_right = right;
        }
    }
    return best;
}

double fuser_classes_accuracy(const struct fuser_classes *classes, size_t expert)
{
    assert(expert < classes->n_experts);
    return classes->accuracy[expert];
}

/* -- leave-one-out ------------------------------------------------------------------------------------ */

static size_t slot_of(const struct classes_memo *memo, uint32_t mask)
{
    size_t slot = (mask * 2654435761u) & (memo->n_slots - 1);
    while (memo->masks[slot] != 0 && memo->masks[slot] != mask)
        slot = (slot + 1) & (memo->n_slots - 1);
    return slot;
}

static bool memo_grow(struct classes_memo *memo)
{
    struct classes_memo bigger = { .n_slots =
                                       memo->n_slots == 0 ? 1024 : memo->n_slots * 2,
                                   .n_used = memo->n_used };
    bigger.masks = calloc(bigger.n_slots, sizeof(*bigger.masks));
    bigger.votes = calloc(bigger.n_slots, sizeof(*bigger.votes));
    if (bigger.masks == NULL || bigger.votes == NULL) {
        free(bigger.masks);
        free(bigger.votes);
        return false;
    }
    for (size_t i = 0; i < memo->n_slots; i++)
        if (memo->masks[i] != 0) {
            size_t slot = slot_of(&bigger, memo->masks[i]);
            bigger.masks[slot] = memo->masks[i];
            bigger.votes[slot] = memo->votes[i];
        }
    free(memo->masks);
    free(memo->votes);
    *memo = bigger;
    return true;
}

uint8_t *classes_votes(struct fuser_classes *classes, uint32_t mask)
{
    struct classes_memo *memo = &classes->memo;
    if (memo->n_used * 2 >= memo->n_slots && !memo_grow(memo))
        return NULL;
    size_t slot = slot_of(memo, mask);
    if (memo->masks[slot] == 0) {
        uint8_t *votes = malloc(classes->n);
        if (votes == NULL)
            return NULL;
        memset(votes, CLASSES_UNKNOWN, classes->n);
        memo->masks[slot] = mask;
        memo->votes[slot] = votes;
        memo->n_used++;
    }
    return memo->votes[slot];
}

void classes_memo_trim(struct fuser_classes *classes)
{
    if (classes->memo.n_used * classes->n > CLASSES_MEMO_BYTES)
        memo_clear(&classes->memo);
}

void classes_share(struct fuser_classes *classes, uint32_t mask, size_t row)
{
    size_t n = classes->n;
    memset(classes->shared, 0, n * sizeof(float));
    for (size_t e = 0; e < classes->n_experts; e++) {
        if ((mask >> e & 1) == 0)
            continue;
        const float *columns = classes->columns + e * classes->n_classes * n;
        for (size_t c = 0; c < classes->n_classes; c++)
            if (columns[c * n + row] != 0.0f)
                add_product(classes->shared, columns + c * n,
                            -2.0f * columns[c * n + row], n);
        add_square(classes->shared, classes->squares + e * n,
                   classes->squares[e * n + row], n);
    }
    classes->shared[row] = INFINITY;
}

/* Every class but the first with a value, added onto the sums. */
static void add_rest(struct fuser_classes *classes, const float *columns, size_t first,
                     size_t row)
{
    size_t n = classes->n;
    for (size_t c = first + 1; c < classes->n_classes; c++)
        if (columns[c * n + row] != 0.0f)
            add_product(classes->distances, columns + c * n, -2.0f * columns[c * n + row],
                        n);
}

void classes_judge(struct fuser_classes *classes, const float *shared, size_t expert,
                   size_t row, uint8_t *votes)
{
    uint32_t rows[FUSER_MAX_KAPPA];
    float distances[FUSER_MAX_KAPPA];
    size_t n = classes->n, first = 0;
    const float *columns = classes->columns + expert * classes->n_classes * n;
    const float *square = classes->squares + expert * n;

    while (first + 1 < classes->n_classes && columns[first * n + row] == 0.0f)
        first++;
    sum_one(classes->distances, shared, square, columns + first * n, square[row],
            -2.0f * columns[first * n + row], n);
    add_rest(classes, columns, first, row);
    size_t kappa =
        classes_nearest(classes->distances, n, classes->kappa, rows, distances);
    if (kappa > 0 && kappa == n) /* the row itself stands last, at infinity */
        kappa--;
    unsigned hits = 0;
    for (size_t i = 0; i < kappa; i++)
        hits += classes->truth[rows[i]] == classes->truth[row];
    bool right = fuser_classes_vote(classes, rows, kappa) == classes->truth[row];
    votes[row] = (uint8_t)(hits | (right ? CLASSES_RIGHT : 0));
}

double fuser_classes_loss(struct fuser_classes *classes, uint32_t mask, bool soft)
{
    assert(mask != 0);
    unsigned last = 31u - (unsigned)__builtin_clz(mask);
    uint8_t *votes = classes_votes(classes, mask);
    uint64_t sum = 0;
    if (votes == NULL)
        return INFINITY;
    for (size_t i = 0; i < classes->n; i++) {
        if ((votes[i] & 0x7f) == CLASSES_UNKNOWN) {
            classes_share(classes, mask & ~(1u << last), i);
            classes_judge(classes, classes->shared, last, i, votes);
        }
        sum += classes_loss(classes, votes[i], soft);
    }
    return (double)sum / (double)classes->kappa / (double)classes->n;
}

size_t fuser_classes_greedy(struct fuser_classes *classes, uint32_t mask)
{
    size_t best = SIZE_MAX;
    double best_loss = INFINITY;
    for (size_t e = 0; e < classes->n_experts; e++) {
        if (mask >> e & 1)
            continue;
        double loss = fuser_classes_loss(classes, mask | 1u << e, false);
        if (loss < best_loss) {
            best = e;
            best_loss = loss;
        }
    }
    return best;
}
