/* units.h - an expert in conversions between units of measurement. */
#ifndef TOOLS_EXPERTS_UNITS_H
#define TOOLS_EXPERTS_UNITS_H

#include <stdbool.h>

#include "tools/experts/prompt.h"
#include "tools/experts/reply.h"

struct units_skill {
    bool rare_units;   /* stones, furlongs, acres, knots, Kelvin, binary prefixes... */
    bool compounds;    /* "3 feet 4 inches" is one quantity */
    int factor_digits; /* leading digits of a conversion factor that are remembered */
    double largest_spelled;
};

void units_answer(const struct units_skill *skill, const struct prompt *prompt,
                  struct reply *reply);

#endif
