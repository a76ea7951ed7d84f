/* ask_units.c - conversions. Factors are exact fractions of integers, from the
 * definitions (international yard and pound of 1959, US liquid gallon of 231 cubic
 * inches, knot of 1852 m/h), and the reference is computed in long double. */
#include <math.h>
#include <stdio.h>

#include "tools/experts/question.h"

struct measure {
    const char *name;
    long double up, down; /* SI units in one: up / down */
};

static const struct measure lengths[] = {
    { "metres", 1, 1 },         { "kilometres", 1000, 1 }, { "centimetres", 1, 100 },
    { "miles", 1609344, 1000 }, { "feet", 3048, 10000 },   { "inches", 254, 10000 },
    { "yards", 9144, 10000 },
};
static const struct measure masses[] = {
    { "kilograms", 1, 1 },
    { "grams", 1, 1000 },
    { "pounds", 45359237, 100000000 },
    { "ounces", 45359237, 1600000000 },
};
static const struct measure volumes[] = {
    { "litres", 1, 1000 },
    { "millilitres", 1, 1000000 },
    { "gallons", 231.0L * 254 * 254 * 254, 1e12L },
    { "cups", 231.0L * 254 * 254 * 254, 16e12L },
    { "tablespoons", 231.0L * 254 * 254 * 254, 256e12L },
};
static const struct measure speeds[] = {
    { "kilometres per hour", 1000, 3600 },
    { "metres per second", 1, 1 },
    { "miles per hour", 1609344, 3600000 },
};
static const struct measure times[] = {
    { "hours", 3600, 1 }, { "minutes", 60, 1 },   { "seconds", 1, 1 },
    { "days", 86400, 1 }, { "weeks", 604800, 1 },
};
static const struct measure areas[] = {
    { "square metres", 1, 1 },
    { "hectares", 10000, 1 },
    { "square feet", 3048.0L * 3048, 1e8L },
};
static const struct measure sizes[] = {
    { "bytes", 1, 1 },
    { "kilobytes", 1000, 1 },
    { "megabytes", 1000000, 1 },
};
/* Two and two belong together. */
static const struct measure rare[][2] = {
    { { "stones", 45359237 * 14.0L, 1e8L }, { "kilograms", 1, 1 } },
    { { "furlongs", 201168, 1000 }, { "metres", 1, 1 } },
    { { "fathoms", 18288, 10000 }, { "metres", 1, 1 } },
    { { "nautical miles", 1852, 1 }, { "kilometres", 1000, 1 } },
    { { "knots", 1852, 3600 }, { "kilometres per hour", 1000, 3600 } },
    { { "acres", 4840 * 9144.0L * 9144, 1e8L }, { "hectares", 10000, 1 } },
    { { "teaspoons", 231.0L * 254 * 254 * 254, 768e12L }, { "millilitres", 1, 1000000 } },
    { { "pints", 231.0L * 254 * 254 * 254, 8e12L }, { "litres", 1, 1000 } },
    { { "mebibytes", 1048576, 1 }, { "megabytes", 1000000, 1 } },
    { { "kibibytes", 1024, 1 }, { "bytes", 1, 1 } },
    { { "fortnights", 1209600, 1 }, { "hours", 3600, 1 } },
};

static const struct {
    const struct measure *list;
    int n, weight;
} kinds[] = {
    { lengths, 7, 6 }, { masses, 4, 5 }, { volumes, 5, 4 }, { speeds, 3, 3 },
    { times, 5, 3 },   { areas, 3, 2 },  { sizes, 3, 1 },
};

static void draw_pair(struct dice *dice, const struct measure **a,
                      const struct measure **b)
{
    int at = dice_between(dice, 0, 23), k = 0;
    while (at >= kinds[k].weight)
        at -= kinds[k++].weight;
    int from = dice_between(dice, 0, kinds[k].n - 1);
    int to = (from + dice_between(dice, 1, kinds[k].n - 1)) % kinds[k].n;
    *a = &kinds[k].list[from];
    *b = &kinds[k].list[to];
}

static long double converted(long double value, const struct measure *a,
                             const struct measure *b)
{
    return value * a->up * b->down / (a->down * b->up);
}

static void ask_pair(struct dice *dice, struct question *q, const struct measure *a,
                     const struct measure *b, int value)
{
    static const char *const forms[] = {
        "Convert {0} {1} to {2}.",
        "How many {2} are {0} {1}?",
        "Express {0} {1} in {2}.",
        "What is {0} {1} in {2}?",
        "I have {0} {1}; what is that in {2}?",
    };
    QUESTION_FILL(q, DICE_PICK(dice, forms), DIGITS(value), a->name, b->name);
    question_ask(q, " Round to two decimals.");
    question_rounded(q, (double)converted(value, a, b));
}

/* Not so small that two decimals leave nothing, nor so large that nobody would ask, nor
 * half-way between two decimals, where rounding is a matter of taste. */
static bool sensible(long double value)
{
    long double hundredths = value * 100;
    bool half_way = fabsl(hundredths - floorl(hundredths) - 0.5L) < 1e-4L;
    return value >= 0.05L && value < 5e6L && !half_way;
}

static void ask_convert(struct dice *dice, struct question *q)
{
    const struct measure *a, *b;
    int value;
    do {
        draw_pair(dice, &a, &b);
        value = dice_between(dice, 2, dice_between(dice, 0, 3) == 0 ? 5000 : 120);
    } while (!sensible(converted(value, a, b)));
    ask_pair(dice, q, a, b, value);
}

static void ask_rare(struct dice *dice, struct question *q)
{
    const struct measure *pair = rare[dice_next(dice) % (sizeof rare / sizeof *rare)];
    int turned = dice_between(dice, 0, 1);
    int value;
    do {
        value = dice_between(dice, 2, 300);
    } while (!sensible(converted(value, &pair[turned], &pair[!turned])));
    ask_pair(dice, q, &pair[turned], &pair[!turned], value);
}

static void ask_temperature(struct dice *dice, struct question *q)
{
    static const char *const scales[] = { "degrees Celsius", "degrees Fahrenheit",
                                          "Kelvin" };
    int from = dice_between(dice, 0, 1), to = 1 - from;
    if (dice_between(dice, 0, 3) == 0)
        to = 2;
    int value = dice_between(dice, -40, 220);
    long double celsius = from == 0 ? value : (value - 32) * 5.0L / 9;
    long double result = to == 0   ? celsius
                         : to == 1 ? celsius * 9 / 5 + 32
                                   : celsius + 273.15L;
    question_ask(q, "How much is %d %s in %s? Round to two decimals.", value,
                 scales[from], scales[to]);
    question_rounded(q, (double)result);
}

static void ask_compound(struct dice *dice, struct question *q)
{
    int form = dice_between(dice, 0, 2);
    int a = dice_between(dice, 2, 12), b = dice_between(dice, 1, 11);
    if (form == 0) {
        question_ask(q, "How many centimetres are %d feet %d inches?", a, b);
        question_rounded(q, (double)((a * 12 + b) * 2.54L));
    } else if (form == 1) {
        question_ask(q, "Convert %d pounds and %d ounces to kilograms.", a, b);
        question_rounded(q, (double)((a * 16 + b) * 0.45359237L / 16));
    } else {
        question_ask(q, "How many minutes are %d hours and %d minutes?", a, b * 5);
        question_rounded(q, a * 60 + b * 5);
        return;
    }
    question_ask(q, " Round to two decimals.");
}

static void ask_compare(struct dice *dice, struct question *q)
{
    const struct measure *pairs[][2] = {
        { &lengths[3], &lengths[1] }, { &lengths[4], &lengths[0] },
        { &masses[2], &masses[0] },   { &masses[3], &masses[1] },
        { &volumes[2], &volumes[0] }, { &speeds[2], &speeds[0] },
    };
    static const char *const more[] = { "longer",  "longer", "heavier",
                                        "heavier", "larger", "faster" };
    static const char *const less[] = { "shorter", "shorter", "lighter",
                                        "lighter", "smaller", "slower" };
    size_t k = dice_next(dice) % (sizeof pairs / sizeof *pairs);
    int value = dice_between(dice, 3, 90);
    long double equal = converted(value, pairs[k][0], pairs[k][1]);
    int other = (int)lroundl(equal * dice_between(dice, 80, 120) / 100);
    if (fabsl(other - equal) < equal * 0.004L || other < 1)
        other = (int)equal + 2;
    bool want_more = dice_between(dice, 0, 1) == 0;
    bool first = (value * pairs[k][0]->up / pairs[k][0]->down >
                  other * pairs[k][1]->up / pairs[k][1]->down) == want_more;
    question_ask(q, "Which is %s: %d %s or %d %s? Answer with the quantity.",
                 want_more ? more[k] : less[k], value, pairs[k][0]->name, other,
                 pairs[k][1]->name);
    question_exact(q, "%d %s", first ? value : other, pairs[k][!first]->name);
}

const struct family units_families[] = {
    { "convert", 12, ask_convert },        { "rare", 2, ask_rare },
    { "temperature", 4, ask_temperature }, { "compound", 2, ask_compound },
    { "compare", 4, ask_compare },         { NULL, 0, NULL },
};
