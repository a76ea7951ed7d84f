/* rivals.h - who else might have been chosen, and what it would have taken: arithmetic on
 * the ranking of a record.
 *
 * The utility of an expert is quality - lambda * cost - waiting; all but lambda is fixed, so
 * two experts a and b stand equal at
 *
 *     lambda = (v_a - v_b) / (c_a - c_b)        v = utility + lambda * cost
 *
 * Below that lambda the dearer one leads, above it the cheaper one. Pure.
 */
#ifndef TOOLS_CTL_RIVALS_H
#define TOOLS_CTL_RIVALS_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#define RIVALS_MAX 64

struct rival {
    const char *expert; /* borrowed from the record */
    double quality, se, usd, utility;
    bool affordable, good_enough;
};

struct rivals {
    double lambda;
    size_t n;
    struct rival all[RIVALS_MAX]; /* those with a prediction, in the record's order */
    int chosen, runner_up;        /* in all; -1: there is none */
    double margin;                /* utility of the chosen one above the runner-up's */
    double margin_se;             /* standard error of their difference, taken as
                                     independent; NAN: not known */
    /* The nearest lambdas at which another expert's utility passes that of the chosen one;
     * NAN: at none. */
    double below, above;
    int if_below, if_above; /* who that is; in all */
};

void rivals_of(const json_t *record, struct rivals *ret_rivals);

#endif
