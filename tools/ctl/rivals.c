/* rivals.c - the runner-up, the margin, and the lambda that would have flipped a choice. */
#include "tools/ctl/rivals.h"

#include <math.h>
#include <string.h>

#include "tools/ctl/archived.h"

static void collect(const json_t *record, struct rivals *rivals)
{
    const json_t *ranking = json_object_get(record, "ranking");
    const char *chosen = archived_text(record, "expert");

    for (size_t i = 0; i < json_array_size(ranking) && rivals->n < RIVALS_MAX; i++) {
        const json_t *ranked = json_array_get(ranking, i);
        const struct rival rival = {
            .expert = archived_text(ranked, "expert"),
            .quality = archived_number(ranked, "quality"),
            .se = archived_number(ranked, "quality_se"),
            .usd = archived_number(ranked, "expected_usd"),
            .utility = archived_number(ranked, "utility"),
            .affordable = !json_is_false(json_object_get(ranked, "affordable")),
            .good_enough = !json_is_false(json_object_get(ranked, "good_enough")),
        };

        if (isnan(rival.utility) || isnan(rival.usd))
            continue;
        if (strcmp(rival.expert, chosen) == 0)
            rivals->chosen = (int)rivals->n;
        rivals->all[rivals->n++] = rival;
    }
}

static bool stands_before(const struct rival *a, const struct rival *b)
{
    const int class_a = a->affordable + (a->affordable && a->good_enough);
    const int class_b = b->affordable + (b->affordable && b->good_enough);

    return class_a != class_b ? class_a > class_b : a->utility > b->utility;
}

static void find_runner_up(struct rivals *rivals)
{
    const struct rival *chosen = &rivals->all[rivals->chosen], *second;

    for (int i = 0; i < (int)rivals->n; i++) {
        if (i != rivals->chosen &&
            (rivals->runner_up < 0 ||
             stands_before(&rivals->all[i], &rivals->all[rivals->runner_up])))
            rivals->runner_up = i;
    }
    if (rivals->runner_up < 0)
        return;
    second = &rivals->all[rivals->runner_up];
    rivals->margin = chosen->utility - second->utility;
    rivals->margin_se = sqrt(chosen->se * chosen->se + second->se * second->se);
}

/* Only who could have been chosen is looked at. */
static void find_flips(struct rivals *rivals)
{
    const double lambda = rivals->lambda;
    const struct rival *a = &rivals->all[rivals->chosen];

    for (int i = 0; i < (int)rivals->n; i++) {
        const struct rival *b = &rivals->all[i];
        const double v_a = a->utility + lambda * a->usd,
                     v_b = b->utility + lambda * b->usd;
        const double flip = (v_a - v_b) / (a->usd - b->usd);

        if (i == rivals->chosen || !b->affordable || !b->good_enough || !isfinite(flip) ||
            flip < 0)
            continue;
        if (b->usd > a->usd && flip <= lambda &&
            (isnan(rivals->below) || flip > rivals->below)) {
            rivals->below = flip;
            rivals->if_below = i;
        } else if (b->usd < a->usd && flip >= lambda &&
                   (isnan(rivals->above) || flip < rivals->above)) {
            rivals->above = flip;
            rivals->if_above = i;
        }
    }
}

void rivals_of(const json_t *record, struct rivals *ret_rivals)
{
    struct rivals rivals = { .lambda = archived_number(record, "lambda"),
                             .chosen = -1,
                             .runner_up = -1,
                             .margin = (double)NAN,
                             .margin_se = (double)NAN,
                             .below = (double)NAN,
                             .above = (double)NAN,
                             .if_below = -1,
                             .if_above = -1 };

    collect(record, &rivals);
    if (rivals.chosen >= 0) {
        find_runner_up(&rivals);
        find_flips(&rivals);
    }
    *ret_rivals = rivals;
}
