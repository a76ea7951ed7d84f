/* agreement.h - how far those who graded agree with a person.
 *
 *   struct agreements all = { 0 };
 *   agreements_read(&all, store, fault)         labels x cells -> one line per grader
 *   agreement_of(&all.lines[0], &said)
 *   agreements_release(&all)
 *
 * A label says of two answers to a prompt which one a person found better, or that they tie;
 * a grader says the same by their qualities, which tie where they differ by less than
 * AGREEMENT_TIE. Agreement is the share of labels on which both say the same of the three.
 *
 *   interval   Wilson 1927, "Probable inference", at 95 %
 *   kappa      Cohen 1960: (p_o - p_e) / (1 - p_e). Sides are drawn, so for either of them a
 *              and b are equally likely: with the shares s and t of their ties
 *              p_e = s t + (1 - s)(1 - t) / 2; NAN where p_e is 1
 *
 * Whether a label's first answer is the better one depends on the order of experts in the
 * store and on nothing else: labels are shown in random order and turned back.
 */
#ifndef TOOLS_CTL_AGREEMENT_H
#define TOOLS_CTL_AGREEMENT_H

#include <stddef.h>

#include <jansson.h>

#include "tools/ctl/calib.h"
#include "tools/ctl/fault.h"

#define AGREEMENT_TIE   0.05
#define AGREEMENT_CLOSE 0.15 /* below this difference a grader is not sure of itself */
#define AGREEMENT_LEAST 0.7  /* default of what a judge must reach */

enum agreement_said {
    AGREEMENT_A,
    AGREEMENT_B,
    AGREEMENT_T,
    AGREEMENT_N,
};

struct agreement_line {
    char *grader;
    size_t cells; /* qualities by it */
    /* [person][grader]; of them, those where the grader was close. */
    size_t said[AGREEMENT_N][AGREEMENT_N];
    size_t close[AGREEMENT_N][AGREEMENT_N];
};

struct agreements {
    struct agreement_line *lines;
    size_t n;
};

struct agreement {
    size_t labels, agreed;
    double share, low, high; /* NAN: no labels */
    double kappa;
    size_t decided, decided_agreed; /* labels on which neither says tie */
};

NODISCARD enum fault_err agreements_read(struct agreements *ret_all, struct calib *store,
                                         struct fault *fault);
void agreements_release(struct agreements *all); /* takes a zeroed one */

/* Of a table of counts. */
void agreement_of(const size_t said[AGREEMENT_N][AGREEMENT_N],
                  struct agreement *ret_agreement);
/* a: the first is better. NAN on either side: AGREEMENT_N. */
enum agreement_said agreement_by_quality(double first, double second);
void agreement_wilson(size_t good, size_t n, double *ret_low, double *ret_high);

/* {"grader", "cells", "labels", "agreement", "low", "high", "kappa"}; nulls without labels.
 */
json_t *agreement_json(const struct agreement_line *line);

#endif
