/* metric.h - neighbours under a supervised metric: near in meaning and in predicted quality.
 *
 * routing.md, point 3: the distance of two prompts is that of their vectors plus
 *
 *     METRIC_SHARE^2 * |z - z'|^2 / generators        z: the ridge profile, standardised per generator
 *
 * and neighbours weigh exp(-(d - d_min) / (2 * METRIC_WIDTH)). A calibration row's z comes from a model that
 * did not see it.
 *
 * Threads: immutable once made.
 */
#ifndef FUSER_METRIC_H
#define FUSER_METRIC_H

#include "fuser/profile.h"

#define METRIC_SHARE     0.5
#define METRIC_WIDTH     0.2
#define METRIC_SCALE_MAX 1e5f /* METRIC_SHARE over the root of the least variance */
#define METRIC_K         160
/* Candidates by nearness alone, where not all rows are known; and neighbours at most, where cells are missing. */
#define METRIC_OVER 240

/* One profile's standardised lines. */
struct metric {
    const struct profile *profile; /* borrowed */
    float mean[FUSER_MAX_GENERATORS], scale[FUSER_MAX_GENERATORS];
    /* Owned: the rows' lines, scaled so that distances add to those of the vectors. By columns where all rows
     * are looked at, by rows where the search is approximate and looks at few. */
    struct kernel_columns lines;
    float *value;
};

/* Mean and deviation of each generator are those of the profile's rows. by_row: the search is
 * approximate. */
FUSER_NODISCARD enum fuser_err metric_init(struct metric *metric,
                                           const struct profile *profile, bool by_row);
/* ... are those of `old`: rows that come later do not move the others. */
FUSER_NODISCARD enum fuser_err metric_init_as(struct metric *metric,
                                              const struct profile *profile, bool by_row,
                                              const struct metric *old);
void metric_save(const struct metric *metric, struct sink *sink);
FUSER_NODISCARD enum fuser_err metric_load(struct metric *metric,
                                           const struct profile *profile, bool by_row,
                                           struct source *source);
void metric_release(struct metric *metric);

/* Quality and its standard error of every generator from the METRIC_K nearest, or more where cells are missing. `profile`: the prompt's own
 * qualities. Uses the view's scratch for distances. Where the view has the distances of all rows the
 * neighbours are exactly those of a whole scan. */
void metric_estimate(const struct metric *metric, const struct head_view *view,
                     const float *profile, struct head_estimate *ret);

#endif
