/* steer.c - a factor for lambda out of a day's spending; see steer.h. */
#include "gateway/domain/steer.h"

#include <assert.h>
#include <math.h>

double steer_factor(const struct steer_rule *rule, int64_t spent_pico, int64_t second)
{
    double plan = STEER_PLANNED * (double)rule->target_pico / STEER_DAY_S; /* a second */
    double ahead_s = (double)spent_pico / plan - (double)second;

    assert(rule->target_pico > 0 && rule->least > 0 && rule->least <= rule->most);
    assert(spent_pico >= 0 && second >= 0 && second <= STEER_DAY_S);
    return fmin(rule->most, fmax(rule->least, exp2(ahead_s / STEER_DOUBLE_S)));
}
