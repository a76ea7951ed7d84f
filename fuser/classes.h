/* classes.h - calibration rows of FoE-classification, prepared for distances and leave-one-out losses.
 *
 * Layout: a column of n floats per (expert, class), so that the distance of one item to all rows is
 * a sweep over a few columns:
 *
 *     column[expert][class][row]     100 * probability, or confidence where label == class, else 0
 *     square[expert][row]            sum over classes of column^2
 *
 *     D_S(x, row) = sum_{k in S} ( square_k[row] + |x_k|^2 - 2 sum_class x_k[class] column[k][class][row] )
 *
 * With labels and confidences every term is an integer below 2^24: floats hold it exactly, whatever
 * the order of the additions.
 *
 * The memo maps a subset to one byte a row: votes for the truth among the row's kappa nearest others,
 * with the top bit set where the vote is right. It is filled as walks need it.
 */
#ifndef FUSER_CLASSES_H
#define FUSER_CLASSES_H

#include "fuser/fuser_classes.h"

#define CLASSES_UNKNOWN    0x7f /* not a count of votes: kappa is at most 126 in the memo */
#define CLASSES_RIGHT      0x80
#define CLASSES_MEMO_BYTES (512u << 20) /* the memo is emptied when it outgrows this */

struct classes_memo {
    uint32_t *masks; /* open addressing, 0: free */
    uint8_t **votes;
    size_t n_slots, n_used;
};

struct fuser_classes {
    size_t n, n_experts, n_classes;
    uint32_t kappa;
    float *columns; /* [expert][class][row] */
    float *squares; /* [expert][row] */
    uint8_t *label; /* [row][expert] */
    uint8_t *truth;
    double *accuracy; /* [expert] */
    double *start
        [2]; /* [expert] mean loss of one expert, hard and soft; NULL until asked for */
    struct classes_memo memo;
    float *distances, *shared; /* [row] scratch */
};

/* One item's features: the classes with a value other than 0, per expert. */
struct classes_point {
    const uint8_t *label, *confidence; /* [expert], or */
    const float *probability;          /* [expert][class] */
};

struct classes_point classes_point_of(const struct fuser_class_set *set, size_t item);

/* distances[row] += D_expert(point, row) */
void classes_add(const struct fuser_classes *classes, size_t expert,
                 const struct classes_point *point, float *distances);
/* The k nearest by (distance, row), ascending. distances: n floats. Returns min(k, n). */
size_t classes_nearest(const float *distances, size_t n, size_t k, uint32_t *ret_rows,
                       float *ret_distances);

/* The memo's bytes of a subset; NULL when memory is short. Stays put until classes_memo_trim. */
uint8_t *classes_votes(struct fuser_classes *classes, uint32_t mask);
void classes_memo_trim(struct fuser_classes *classes);
/* Sets votes[row] for subset `mask` = `have` + `expert`; `shared` holds D_have of that row to all rows. */
void classes_judge(struct fuser_classes *classes, const float *shared, size_t expert,
                   size_t row, uint8_t *votes);
/* Fills classes->shared with D_mask of a calibration row to all rows, INFINITY at itself. */
void classes_share(struct fuser_classes *classes, uint32_t mask, size_t row);

/* kappa * loss of a judged row: an integer. */
static inline uint32_t classes_loss(const struct fuser_classes *classes, uint8_t votes,
                                    bool soft)
{
    if (soft)
        return classes->kappa - (votes & 0x7fu);
    return votes & CLASSES_RIGHT ? 0 : classes->kappa;
}

#endif
