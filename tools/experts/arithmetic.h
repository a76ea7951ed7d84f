/* arithmetic.h - an expert in numbers: expressions, percentages, divisors, small stories.
 *
 * It computes what it reads. What it cannot do is a property of its skill, so that the
 * same engine is a sharp specialist or a broad and forgetful generalist.
 */
#ifndef TOOLS_EXPERTS_ARITHMETIC_H
#define TOOLS_EXPERTS_ARITHMETIC_H

#include <stdbool.h>

#include "tools/experts/prompt.h"
#include "tools/experts/reply.h"

struct arithmetic_skill {
    int bracket_depth;   /* brackets nested deeper are read as if they were not there */
    int max_terms;       /* numbers held in mind; the rest of a longer chain is dropped */
    int product_digits;  /* leading digits of a product that are kept */
    int largest_divisor; /* a prime is what no number up to this one divides */
    double largest_spelled; /* number words known; 0: none */
    bool knows_ratios;      /* "twice as many", "half of them", "a dozen" */
    bool skips_context; /* numbers of a date or beside a unit's name are not counted */
};

void arithmetic_answer(const struct arithmetic_skill *skill, const struct prompt *prompt,
                       struct reply *reply);

#endif
