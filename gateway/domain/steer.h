/* steer.h - the price of cost, corrected by what was really spent today.
 *
 * A policy may say what it wants to spend in a day. Four fifths of it are planned, evenly over
 * the UTC day, since answers cost more than predicted just where one is mistaken; the rest is
 * for that. Lambda is multiplied by a factor that doubles with every half hour by which the
 * spending is ahead of its plan, and halves with every half hour that it is behind:
 *
 *     planned  = 0.8 target * share of the day that is over
 *     ahead    = (spent - planned) / (0.8 target / 24 h)              in hours of the plan
 *     factor   = 2 ^ (ahead / 0.5 h), within [least, most]
 *
 * So a steady traffic of whatever size ends up at its plan with a small constant lead or lag
 * (the integral part of a controller); the bounds keep a quiet morning from becoming a reckless
 * afternoon. The factor is a function of its arguments alone: a restart that knows what was
 * spent goes on as if nothing had happened. It is a target, no ceiling: budgets are for that.
 * Pure; any thread.
 */
#ifndef GATEWAY_DOMAIN_STEER_H
#define GATEWAY_DOMAIN_STEER_H

#include <stdint.h>

#define STEER_DAY_S    86400
#define STEER_PLANNED  0.8 /* of the target */
#define STEER_DOUBLE_S 1800.0

struct steer_rule {
    int64_t target_pico; /* of a UTC day, more than 0 */
    double least, most;  /* of the factor: 0 < least <= 1 <= most */
};

/* spent_pico: since midnight; second: of the day. */
double steer_factor(const struct steer_rule *rule, int64_t spent_pico, int64_t second);

#endif
