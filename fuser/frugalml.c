/* frugalml.c - FrugalML as a baseline: one base expert, a threshold per predicted class, one add-on.
 *
 * "FrugalML: How to use ML prediction APIs more accurately and cheaply" (NeurIPS 2020), re-implemented for equal
 * prices. For a base expert the classes it predicts are independent given lambda, so that the
 * best (threshold, add-on) of each is found by one sweep over its confidences. Of equal gains the first stands: the
 * fewest calls, then the lowest expert. Gains are whole numbers of items less lambda times whole numbers of calls,
 * so that what differs by less than EQUAL is the same number rounded in two ways.
 */
#include <string.h>

#include "fuser/classes.h"
#include "fuser/err.h"

#define NO_ADDON 255
#define LEVELS   101  /* confidences in hundredths */
#define EQUAL    1e-7 /* items */

struct choice {
    double gain; /* right answers gained, less lambda times calls, in items */
    uint8_t addon, below;
};

/* gained[c]: items of the class with base confidence c that only the add-on gets right, less those that
 * only the base does; met[c]: items there. */
static struct choice sweep(const int32_t *gained, const int32_t *met, double lambda,
                           uint8_t addon)
{
    struct choice best = { 0.0, NO_ADDON, 0 };
    int32_t right = 0, calls = 0;
    for (unsigned c = 0; c < LEVELS; c++) {
        right += gained[c];
        calls += met[c];
        double gain = right - lambda * calls;
        if (gain > best.gain + EQUAL)
            best = (struct choice){ gain, addon, (uint8_t)(c + 1) };
    }
    return best;
}

static double fit_base(const struct fuser_class_set *fit, size_t base, double lambda,
                       struct fuser_frugalml *ret_rule)
{
    double score = 0.0;
    size_t k = fit->n_experts;
    ret_rule->base = (uint8_t)base;
    for (size_t i = 0; i < fit->n_items; i++)
        score += fit->label[i * k + base] == fit->truth[i];
    for (size_t predicted = 0; predicted < fit->n_classes; predicted++) {
        struct choice best = { 0.0, NO_ADDON, 0 };
        for (size_t addon = 0; addon < k; addon++) {
            int32_t gained[LEVELS] = { 0 }, met[LEVELS] = { 0 };
            if (addon == base)
                continue;
            for (size_t i = 0; i < fit->n_items; i++) {
                if (fit->label[i * k + base] != predicted)
                    continue;
                uint8_t level = fit->confidence[i * k + base];
                met[level]++;
                gained[level] += (fit->label[i * k + addon] == fit->truth[i]) -
                                 (predicted == fit->truth[i]);
            }
            struct choice choice = sweep(gained, met, lambda, (uint8_t)addon);
            if (choice.gain > best.gain + EQUAL)
                best = choice;
        }
        ret_rule->addon[predicted] = best.addon;
        ret_rule->below[predicted] = best.below;
        score += best.gain;
    }
    return score;
}

enum fuser_err fuser_frugalml_fit(const struct fuser_class_set *fit, double lambda,
                                  struct fuser_frugalml *ret_rule,
                                  struct fuser_error *error)
{
    double best = -1.0;
    if (!(lambda >= 0.0) || fit->n_items == 0 || fit->n_experts == 0)
        return ferr_set(error, FUSER_INVALID, "no items, no experts, or lambda below 0");
    for (size_t base = 0; base < fit->n_experts; base++) {
        struct fuser_frugalml rule;
        memset(&rule, NO_ADDON, sizeof(rule));
        double score = fit_base(fit, base, lambda, &rule);
        if (score > best + EQUAL) {
            best = score;
            *ret_rule = rule;
        }
    }
    return FUSER_OK;
}

uint8_t fuser_frugalml_answer(const struct fuser_frugalml *rule,
                              const struct fuser_class_set *set, size_t item,
                              uint32_t *ret_calls)
{
    size_t at = item * set->n_experts;
    uint8_t class = set->label[at + rule->base];
    *ret_calls = 1;
    if (rule->addon[class] == NO_ADDON ||
        set->confidence[at + rule->base] >= rule->below[class])
        return class;
    *ret_calls = 2;
    return set->label[at + rule->addon[class]];
}
