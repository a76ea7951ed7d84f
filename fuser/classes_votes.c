/* classes_votes.c - the baselines that fuse class outputs without calibration rows.
 *
 * All sums are integers in hundredths, so that ties are ties. Ties, as the paper's tables count them: majority
 * vote: the larger sum of confidences, then the smallest class; mean of probabilities: the class whose
 * supporters are surer on the mean (the tables do not state this one; it decides 3 items of 5,000), then the
 * smallest; maximum confidence: the lowest expert; else the smallest class.
 */
#include <assert.h>

#include "fuser/classes.h"

struct tally {
    uint32_t votes[FUSER_MAX_CLASSES];
    uint32_t confidence[FUSER_MAX_CLASSES];
    uint32_t asked, total; /* experts, sum of their confidences */
};

static struct tally count(const struct fuser_class_set *set, size_t item, uint32_t mask)
{
    struct tally tally = { 0 };
    for (size_t e = 0; e < set->n_experts; e++) {
        if ((mask >> e & 1) == 0)
            continue;
        size_t at = item * set->n_experts + e;
        tally.votes[set->label[at]]++;
        tally.confidence[set->label[at]] += set->confidence[at];
        tally.total += set->confidence[at];
        tally.asked++;
    }
    return tally;
}

uint8_t fuser_class_majority(const struct fuser_class_set *set, size_t item,
                             uint32_t mask)
{
    struct tally tally = count(set, item, mask);
    size_t best = 0;
    for (size_t c = 1; c < set->n_classes; c++)
        if (tally.votes[c] > tally.votes[best] ||
            (tally.votes[c] == tally.votes[best] &&
             tally.confidence[c] > tally.confidence[best]))
            best = c;
    return (uint8_t)best;
}

uint8_t fuser_class_weighted(const struct fuser_class_set *set, size_t item,
                             uint32_t mask)
{
    struct tally tally = count(set, item, mask);
    size_t best = 0;
    for (size_t c = 1; c < set->n_classes; c++)
        if (tally.confidence[c] > tally.confidence[best])
            best = c;
    return (uint8_t)best;
}

/* Mean of the probabilities where they are known whole. */
static uint8_t mean_of_vectors(const struct fuser_class_set *set, size_t item,
                               uint32_t mask)
{
    double best_sum = -1.0;
    size_t best = 0;
    for (size_t c = 0; c < set->n_classes; c++) {
        double sum = 0.0;
        for (size_t e = 0; e < set->n_experts; e++)
            if (mask >> e & 1)
                sum +=
                    (double)set
                        ->probability[(item * set->n_experts + e) * set->n_classes + c];
        if (sum > best_sum) {
            best = c;
            best_sum = sum;
        }
    }
    return (uint8_t)best;
}

/* Else an expert gives its class the confidence and spreads the rest evenly: the mass of class c, times
 * 100 (classes - 1), is confidence[c] (classes - 1) + the rests of those that named another. */
uint8_t fuser_class_mean(const struct fuser_class_set *set, size_t item, uint32_t mask)
{
    if (set->probability != NULL)
        return mean_of_vectors(set, item, mask);
    struct tally tally = count(set, item, mask);
    uint32_t others = (uint32_t)set->n_classes - 1;
    uint32_t rest_of_all = 100 * tally.asked - tally.total;
    uint32_t best_mass = 0;
    size_t best = 0;
    for (size_t c = 0; c < set->n_classes; c++) {
        uint32_t own_rest = 100 * tally.votes[c] - tally.confidence[c];
        uint32_t mass = tally.confidence[c] * others + rest_of_all - own_rest;
        bool surer = tally.confidence[c] * tally.votes[best] >
                     tally.confidence[best] * tally.votes[c];
        if (c == 0 || mass > best_mass || (mass == best_mass && surer)) {
            best = c;
            best_mass = mass;
        }
    }
    return (uint8_t)best;
}

uint8_t fuser_class_confident(const struct fuser_class_set *set, size_t item,
                              uint32_t mask)
{
    int best = -1;
    uint8_t answer = 0;
    for (size_t e = 0; e < set->n_experts; e++) {
        size_t at = item * set->n_experts + e;
        if ((mask >> e & 1) && set->confidence[at] > best) {
            best = set->confidence[at];
            answer = set->label[at];
        }
    }
    return answer;
}
