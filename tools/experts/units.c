/* units.c - finds quantities and the unit asked for, converts; see units.h.
 *
 * Factors lead to the SI unit of a dimension. They are written here as a person remembers
 * them; the question generator derives its own from the definitions.
 */
#include "tools/experts/units.h"

#include <math.h>
#include <string.h>

#define MAX_QUANTITIES 8

enum dimension { LENGTH, MASS, VOLUME, AREA, SPEED, TIME, DATA, TEMPERATURE };

struct unit {
    const char *names; /* phrases as prompt_find() takes them */
    enum dimension dimension;
    double factor; /* SI units in one */
    double offset; /* temperatures only: added before the factor */
    bool rare;
};

/* Longer names first: "nautical miles" must win over "miles". */
static const struct unit units[] = {
    { "kilometres per hour|kilometers per hour|km / h", SPEED, 1 / 3.6, 0, false },
    { "metres per second|meters per second|m / s", SPEED, 1, 0, false },
    { "miles per hour|mph", SPEED, 0.44704, 0, false },
    { "feet per second", SPEED, 0.3048, 0, true },
    { "knots|knot", SPEED, 0.514444444, 0, true },
    { "square metres|square meters", AREA, 1, 0, false },
    { "square feet", AREA, 0.09290304, 0, false },
    { "square kilometres|square kilometers", AREA, 1e6, 0, false },
    { "hectares|hectare", AREA, 1e4, 0, false },
    { "acres|acre", AREA, 4046.8564224, 0, true },
    { "nautical miles|nautical mile", LENGTH, 1852, 0, true },
    { "kilometres|kilometers|kilometre|kilometer|km", LENGTH, 1000, 0, false },
    { "centimetres|centimeters|centimetre|centimeter|cm", LENGTH, 0.01, 0, false },
    { "millimetres|millimeters|millimetre|millimeter|mm", LENGTH, 0.001, 0, false },
    { "metres|meters|metre|meter", LENGTH, 1, 0, false },
    { "miles|mile", LENGTH, 1609.344, 0, false },
    { "yards|yard", LENGTH, 0.9144, 0, false },
    { "feet|foot", LENGTH, 0.3048, 0, false },
    { "inches|inch", LENGTH, 0.0254, 0, false },
    { "furlongs|furlong", LENGTH, 201.168, 0, true },
    { "fathoms|fathom", LENGTH, 1.8288, 0, true },
    { "kilograms|kilogram|kg|kilos", MASS, 1, 0, false },
    { "milligrams|milligram", MASS, 1e-6, 0, false },
    { "grams|gram", MASS, 0.001, 0, false },
    { "tonnes|tonne", MASS, 1000, 0, false },
    { "pounds|pound|lb", MASS, 0.45359237, 0, false },
    { "ounces|ounce|oz", MASS, 0.028349523125, 0, false },
    { "stones|stone", MASS, 6.35029318, 0, true },
    { "carats|carat", MASS, 0.0002, 0, true },
    { "millilitres|milliliters|ml", VOLUME, 1e-6, 0, false },
    { "litres|liters|litre|liter", VOLUME, 0.001, 0, false },
    { "cubic metres|cubic meters", VOLUME, 1, 0, false },
    { "gallons|gallon", VOLUME, 0.003785411784, 0, false },
    { "cups|cup", VOLUME, 0.0002365882365, 0, false },
    { "tablespoons|tablespoon", VOLUME, 1.478676478125e-5, 0, false },
    { "teaspoons|teaspoon", VOLUME, 4.92892159375e-6, 0, true },
    { "pints|pint", VOLUME, 0.000473176473, 0, true },
    { "seconds|second", TIME, 1, 0, false },
    { "minutes|minute", TIME, 60, 0, false },
    { "hours|hour", TIME, 3600, 0, false },
    { "days|day", TIME, 86400, 0, false },
    { "weeks|week", TIME, 604800, 0, false },
    { "fortnights|fortnight", TIME, 1209600, 0, true },
    { "kibibytes|kibibyte", DATA, 1024, 0, true },
    { "mebibytes|mebibyte", DATA, 1048576, 0, true },
    { "gibibytes|gibibyte", DATA, 1073741824, 0, true },
    { "kilobytes|kilobyte", DATA, 1e3, 0, false },
    { "megabytes|megabyte", DATA, 1e6, 0, false },
    { "gigabytes|gigabyte", DATA, 1e9, 0, false },
    { "megabits|megabit", DATA, 125000, 0, true },
    { "bytes|byte", DATA, 1, 0, false },
    { "degrees celsius|celsius|centigrade", TEMPERATURE, 1, 0, false },
    { "degrees fahrenheit|fahrenheit", TEMPERATURE, 5.0 / 9, -32, false },
    { "kelvin|kelvins", TEMPERATURE, 1, -273.15, true },
};
#define N_UNITS (sizeof units / sizeof *units)

struct quantity {
    double value;
    const struct unit *unit;
    size_t at, behind; /* items */
};

static double remembered(const struct units_skill *skill, double factor)
{
    double scale = pow(10, floor(log10(factor)) + 1 - skill->factor_digits);
    return round(factor / scale) * scale;
}

/* The unit whose name begins at item i. */
static const struct unit *unit_at(const struct units_skill *skill,
                                  const struct prompt *prompt, size_t i, size_t *ret_used)
{
    for (size_t u = 0; u < N_UNITS; u++) {
        if (units[u].rare && !skill->rare_units)
            continue;
        if (prompt_find(prompt, i, units[u].names) != (int)i)
            continue;
        /* How many items the name took is found by the longest alternative that fits. */
        size_t used = 1;
        while (prompt_is(prompt, i + used, "per") ||
               prompt_is(prompt, i + used, "hour") ||
               prompt_is(prompt, i + used, "second") || prompt_is(prompt, i + used, "/"))
            used++;
        if (prompt_is(prompt, i, "square") || prompt_is(prompt, i, "nautical") ||
            prompt_is(prompt, i, "degrees") || prompt_is(prompt, i, "cubic"))
            used = 2;
        *ret_used = used;
        return &units[u];
    }
    return NULL;
}

static size_t quantities(const struct units_skill *skill, const struct prompt *prompt,
                         struct quantity *ret, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < prompt->n_items && n < max;) {
        double value = 0;
        size_t used = prompt_number(prompt, i, skill->largest_spelled, &value);
        size_t name = 0;
        const struct unit *unit =
            used > 0 ? unit_at(skill, prompt, i + used, &name) : NULL;
        if (unit != NULL) {
            bool below = i > 0 && prompt_is(prompt, i - 1, "-");
            ret[n++] =
                (struct quantity){ below ? -value : value, unit, i, i + used + name };
        }
        i += used > 0 ? used + name : 1;
    }
    return n;
}

/* The unit asked for: named outside every quantity. */
static const struct unit *target(const struct units_skill *skill,
                                 const struct prompt *prompt, const struct quantity *q,
                                 size_t n, enum dimension dimension)
{
    for (size_t i = 0; i < prompt->n_items; i++) {
        bool inside = false;
        for (size_t k = 0; k < n; k++)
            inside = inside || (i >= q[k].at && i < q[k].behind);
        size_t used = 0;
        const struct unit *unit = inside ? NULL : unit_at(skill, prompt, i, &used);
        if (unit != NULL && unit->dimension == dimension)
            return unit;
    }
    return NULL;
}

static double to_si(const struct units_skill *skill, const struct unit *unit,
                    double value)
{
    return (value + unit->offset) * remembered(skill, unit->factor);
}

static double from_si(const struct units_skill *skill, const struct unit *unit,
                      double value)
{
    return value / remembered(skill, unit->factor) - unit->offset;
}

/* "heavier", "longer"...: the answer is the quantity as it was written. */
static bool compare(const struct units_skill *skill, const struct prompt *prompt,
                    const struct quantity *q, size_t n, struct reply *reply)
{
    bool more = prompt_has(prompt, "heavier|longer|larger|bigger|faster|more|warmer|"
                                   "farther|greater|hotter");
    bool less = prompt_has(prompt, "lighter|shorter|smaller|slower|less|colder|nearer");
    if (n < 2 || (!more && !less))
        return false;
    double a = to_si(skill, q[n - 2].unit, q[n - 2].value);
    double b = to_si(skill, q[n - 1].unit, q[n - 1].value);
    const struct quantity *chosen = (a > b) == more ? &q[n - 2] : &q[n - 1];
    size_t from = prompt_offset(prompt, chosen->at);
    size_t end =
        prompt_offset(prompt, chosen->behind - 1) + prompt->items[chosen->behind - 1].n;
    reply_bytes(reply, GRASP_FULL, prompt->text + from, end - from);
    return true;
}

/* "3 feet 4 inches", "2 hours and 5 minutes": a smaller unit right behind a larger one. */
static bool belongs(const struct quantity *first, const struct quantity *second)
{
    return first->unit->dimension == second->unit->dimension &&
           first->unit->factor > second->unit->factor && first->behind + 1 >= second->at;
}

void units_answer(const struct units_skill *skill, const struct prompt *prompt,
                  struct reply *reply)
{
    struct quantity q[MAX_QUANTITIES];
    size_t n = quantities(skill, prompt, q, MAX_QUANTITIES);
    if (compare(skill, prompt, q, n, reply))
        return;
    for (size_t k = n; k-- > 0;) {
        const struct unit *to = target(skill, prompt, q, n, q[k].unit->dimension);
        if (to == NULL)
            continue;
        double si = to_si(skill, q[k].unit, q[k].value);
        size_t parts = 1;
        while (skill->compounds && k > 0 && belongs(&q[k - 1], &q[k])) {
            k--;
            si += to_si(skill, q[k].unit, q[k].value);
            parts++;
        }
        if (to == q[k].unit && parts == 1) /* "how many miles are 3 miles" */
            continue;
        reply_number(reply, GRASP_FULL, from_si(skill, to, si), 2);
        return;
    }
    /* A unit it does not know: the number stands as it was given. */
    double value = n > 0 ? q[n - 1].value : 0;
    if (n == 0)
        (void)prompt_next_number(prompt, 0, skill->largest_spelled, &value);
    reply_number(reply, GRASP_GUESS, value, 2);
}
