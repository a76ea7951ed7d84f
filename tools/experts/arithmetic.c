/* arithmetic.c - reads an exercise and works it out; see arithmetic.h.
 *
 * Tasks are tried from the most to the least telling: a named operation ("greatest common
 * divisor of"), an expression in signs or in words, a story whose verbs add and take
 * away.
 */
#include "tools/experts/arithmetic.h"

#include <math.h>

#define MAX_NUMBERS 128

struct walker {
    const struct arithmetic_skill *skill;
    const struct prompt *prompt;
    size_t at;
    int depth;
    int terms;
    bool tired; /* more terms than the skill holds: the rest is not read */
};

static double sum_of(struct walker *w);

/* Only the leading digits survive: the specialist's long multiplication has a short
 * paper. */
static double keep_digits(double value, int digits)
{
    double magnitude = fabs(value);
    if (magnitude < 1 || digits >= 16)
        return value;
    double scale = pow(10, floor(log10(magnitude)) + 1 - digits);
    return scale <= 1 ? value : round(value / scale) * scale;
}

static double multiply(const struct arithmetic_skill *skill, double a, double b)
{
    return keep_digits(a * b, skill->product_digits);
}

/* The operator that begins at item i, in signs or words; ret_used: its items. */
static char operator_at(const struct prompt *prompt, size_t i, size_t *ret_used)
{
    static const struct {
        const char *first, *second;
        char sign;
    } words[] = {
        { "+", NULL, '+' },       { "-", NULL, '-' },     { "*", NULL, '*' },
        { "x", NULL, '*' },       { "/", NULL, '/' },     { "plus", NULL, '+' },
        { "minus", NULL, '-' },   { "times", NULL, '*' }, { "multiplied", "by", '*' },
        { "divided", "by", '/' }, { "over", NULL, '/' },  { "^", NULL, '^' },
        { "to", "the", '^' },
    };
    for (size_t o = 0; o < sizeof words / sizeof *words; o++) {
        if (!prompt_is(prompt, i, words[o].first))
            continue;
        if (words[o].second != NULL && !prompt_is(prompt, i + 1, words[o].second))
            continue;
        *ret_used = words[o].second != NULL ? 2 : 1;
        return words[o].sign;
    }
    return 0;
}

static double atom_of(struct walker *w)
{
    bool negative = prompt_is(w->prompt, w->at, "-");
    if (negative)
        w->at++;
    double value = 0;
    if (prompt_is(w->prompt, w->at, "(")) {
        w->at++;
        w->depth++;
        value = sum_of(w);
        w->depth--;
        if (prompt_is(w->prompt, w->at, ")"))
            w->at++;
    } else {
        size_t used = prompt_number(w->prompt, w->at, w->skill->largest_spelled, &value);
        w->at += used;
        w->terms++;
        if (w->terms >= w->skill->max_terms)
            w->tired = true;
    }
    return negative ? -value : value;
}

static double power_of(struct walker *w)
{
    double base = atom_of(w);
    size_t used = 0;
    if (w->tired)
        return base;
    if (operator_at(w->prompt, w->at, &used) == '^') {
        w->at += used;
        double exponent = atom_of(w);
        double value = 1;
        for (int i = 0; i < (int)exponent && i < 64; i++)
            value = multiply(w->skill, value, base);
        return value;
    }
    return base;
}

static double product_of(struct walker *w)
{
    double value = power_of(w);
    while (!w->tired) {
        size_t used = 0;
        char sign = operator_at(w->prompt, w->at, &used);
        if (sign != '*' && sign != '/')
            break;
        w->at += used;
        double right = power_of(w);
        if (sign == '*')
            value = multiply(w->skill, value, right);
        else
            value = right == 0 ? 0 : value / right;
    }
    return value;
}

/* A bracket deeper than the skill follows is read strictly from left to right, as on a
 * pocket calculator. */
static double left_to_right(struct walker *w)
{
    double value = atom_of(w);
    while (!w->tired) {
        size_t used = 0;
        char sign = operator_at(w->prompt, w->at, &used);
        if (sign == 0 || sign == '^')
            break;
        w->at += used;
        double right = atom_of(w);
        if (sign == '+')
            value += right;
        else if (sign == '-')
            value -= right;
        else if (sign == '*')
            value = multiply(w->skill, value, right);
        else
            value = right == 0 ? 0 : value / right;
    }
    return value;
}

static double sum_of(struct walker *w)
{
    if (w->depth > w->skill->bracket_depth)
        return left_to_right(w);
    double value = product_of(w);
    while (!w->tired) {
        size_t used = 0;
        char sign = operator_at(w->prompt, w->at, &used);
        if (sign != '+' && sign != '-')
            break;
        w->at += used;
        double right = product_of(w);
        value += sign == '+' ? right : -right;
    }
    return value;
}

static bool operand_at(const struct walker *w, size_t i)
{
    double value = 0;
    while (prompt_is(w->prompt, i, "(") || prompt_is(w->prompt, i, "-"))
        i++;
    return prompt_number(w->prompt, i, w->skill->largest_spelled, &value) > 0;
}

/* The longest run "operand operator operand ..." of the prompt. A date in ISO form looks
 * like one with two signs; a longer one wins. */
static bool expression(const struct arithmetic_skill *skill, const struct prompt *prompt,
                       struct reply *reply)
{
    size_t best = 0;
    double result = 0;
    for (size_t i = 0; i < prompt->n_items; i++) {
        struct walker w = { skill, prompt, i, 0, 0, false };
        if (!operand_at(&w, i))
            continue;
        double value = sum_of(&w);
        size_t length = w.at > i ? w.at - i : 1;
        if (w.terms >= 2 && length > best) {
            best = length;
            result = value;
        }
        i += length - 1;
    }
    if (best < 3)
        return false;
    reply_number(reply, best > 5 ? GRASP_FULL : GRASP_WEAK, result, 2);
    return true;
}

/* -- named operations ------------------------------------------------------------ */

/* "14 March", "March 14", "40 miles": such a number belongs to the scene. */
static bool part_of_scene(const struct prompt *prompt, size_t begin, size_t end)
{
    static const char months[] =
        "january|february|march|april|may|june|july|august|september|october|november|"
        "december";
    static const char measures[] = "miles|kilometres|km|kilograms|pounds|metres";
    bool after_month =
        begin > 0 && prompt_find(prompt, begin - 1, months) == (int)begin - 1;
    return after_month || prompt_find(prompt, end, months) == (int)end ||
           prompt_find(prompt, end, measures) == (int)end;
}

static size_t numbers_from(const struct arithmetic_skill *skill,
                           const struct prompt *prompt, size_t from, size_t max,
                           double *ret_numbers)
{
    size_t n = 0;
    size_t i = from;
    while (i < prompt->n_items && n < max) {
        size_t used = prompt_number(prompt, i, skill->largest_spelled, &ret_numbers[n]);
        if (used > 0 && !(skill->skips_context && part_of_scene(prompt, i, i + used)))
            n++;
        i += used > 0 ? used : 1;
    }
    return n;
}

static double gcd(double a, double b)
{
    while (b >= 1) {
        double rest = fmod(a, b);
        a = b;
        b = rest;
    }
    return a;
}

static bool is_prime(const struct arithmetic_skill *skill, double value)
{
    if (value < 2)
        return false;
    for (int d = 2; d <= skill->largest_divisor && (double)d * d <= value; d++) {
        if (fmod(value, d) == 0)
            return false;
    }
    return true;
}

static bool two_numbers(const struct arithmetic_skill *skill, const struct prompt *prompt,
                        const char *phrases, double *ret_a, double *ret_b)
{
    int at = prompt_find(prompt, 0, phrases);
    double pair[2];
    if (at < 0 || numbers_from(skill, prompt, (size_t)at, 2, pair) < 2)
        return false;
    *ret_a = pair[0];
    *ret_b = pair[1];
    return true;
}

static bool divisors(const struct arithmetic_skill *skill, const struct prompt *prompt,
                     struct reply *reply)
{
    double a = 0, b = 0;
    int at = prompt_find(prompt, 0, "prime");
    if (at >= 0 && numbers_from(skill, prompt, 0, 1, &a) == 1) {
        reply_say(reply, GRASP_FULL, is_prime(skill, a) ? "yes" : "no");
        return true;
    }
    if (two_numbers(skill, prompt, "greatest common|gcd|highest common", &a, &b)) {
        reply_number(reply, GRASP_FULL, gcd(a, b), 0);
        return true;
    }
    if (two_numbers(skill, prompt, "least common|lcm|lowest common|smallest common", &a,
                    &b)) {
        reply_number(reply, GRASP_FULL, multiply(skill, a, b) / gcd(a, b), 0);
        return true;
    }
    if (two_numbers(skill, prompt, "remainder|remains when|left over when", &a, &b)) {
        reply_number(reply, GRASP_FULL, b == 0 ? 0 : fmod(a, b), 0);
        return true;
    }
    return false;
}

static bool percentage(const struct arithmetic_skill *skill, const struct prompt *prompt,
                       struct reply *reply)
{
    int at = prompt_find(prompt, 0, "percent|%");
    if (at < 1)
        return false;
    double share = 0, whole = 0;
    size_t start = (size_t)at - 1;
    while (start > 0 && prompt_number(prompt, start - 1, skill->largest_spelled, &share) >
                            (size_t)at - start)
        start--;
    if (prompt_number(prompt, start, skill->largest_spelled, &share) == 0)
        return false;
    bool falls = prompt_has(prompt, "discount|off|reduced|cheaper|falls|drops|lowered");
    bool rises = prompt_has(prompt, "rises|increased|raised|grows|dearer|tax");
    if (prompt_next_number(prompt, (size_t)at, skill->largest_spelled, &whole) == 0 &&
        prompt_next_number(prompt, 0, skill->largest_spelled, &whole) == 0)
        return false;
    double part = multiply(skill, whole, share) / 100;
    double value = falls ? whole - part : rises ? whole + part : part;
    reply_number(reply, GRASP_FULL, value, 2);
    return true;
}

static bool list(const struct arithmetic_skill *skill, const struct prompt *prompt,
                 struct reply *reply)
{
    int at = prompt_find(prompt, 0,
                         "average of|mean of|sum of|total of|product of|"
                         "largest of|smallest of|biggest of");
    double numbers[MAX_NUMBERS];
    if (at < 0)
        return false;
    size_t n = numbers_from(skill, prompt, (size_t)at, MAX_NUMBERS, numbers);
    if (n < 2)
        return false;
    if (n > (size_t)skill->max_terms)
        n = (size_t)skill->max_terms;
    double sum = 0, product = 1, largest = numbers[0], smallest = numbers[0];
    for (size_t i = 0; i < n; i++) {
        sum += numbers[i];
        product = multiply(skill, product, numbers[i]);
        largest = fmax(largest, numbers[i]);
        smallest = fmin(smallest, numbers[i]);
    }
    double value = sum;
    if (prompt_is(prompt, (size_t)at, "average") || prompt_is(prompt, (size_t)at, "mean"))
        value = sum / (double)n;
    else if (prompt_is(prompt, (size_t)at, "product"))
        value = product;
    else if (prompt_is(prompt, (size_t)at, "largest") ||
             prompt_is(prompt, (size_t)at, "biggest"))
        value = largest;
    else if (prompt_is(prompt, (size_t)at, "smallest"))
        value = smallest;
    reply_number(reply, GRASP_FULL, value, 2);
    return true;
}

/* -- stories --------------------------------------------------------------------- */

/* What the verbs of a clause do to the number at hand. */
static char clause_effect(const struct prompt *clause)
{
    static const struct {
        const char *words;
        char effect;
    } known[] = {
        { "each|apiece|every|multiply|times", '*' },
        { "shared|shares|split|splits|divide|divided|equally|groups", '/' },
        { "gives|loses|lost|sells|sold|eats|spends|uses|throws|removes|breaks|leave|"
          "subtract|fewer|take away|takes away|get off",
          '-' },
        { "gets|buys|bought|finds|receives|wins|bakes|collects|picks|join|handed|add|"
          "adds|more|another|get on",
          '+' },
    };
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        if (prompt_has(clause, known[k].words))
            return known[k].effect;
    }
    return 0;
}

static bool clause_ratio(const struct arithmetic_skill *skill,
                         const struct prompt *clause, double *total)
{
    if (!skill->knows_ratios)
        return false;
    if (prompt_has(clause, "twice|doubles|double|doubled"))
        *total *= 2;
    else if (prompt_has(clause, "triple|triples|thrice|tripled"))
        *total *= 3;
    else if (prompt_has(clause, "half|halves|halved"))
        *total /= 2;
    else
        return false;
    return true;
}

static double apply(const struct arithmetic_skill *skill, char effect, double total,
                    double value)
{
    if (effect == '*')
        return multiply(skill, total, value);
    if (effect == '/')
        return value == 0 ? 0 : total / value;
    return effect == '-' ? total - value : total + value;
}

/* Where the clause that begins at item i ends. */
static size_t clause_end(const struct prompt *prompt, size_t i)
{
    while (i < prompt->n_items) {
        bool stops = prompt_is(prompt, i, ".") || prompt_is(prompt, i, ",") ||
                     prompt_is(prompt, i, ";") || prompt_is(prompt, i, "?") ||
                     prompt_is(prompt, i, ":") || prompt_is(prompt, i, "and") ||
                     prompt_is(prompt, i, "then");
        if (stops)
            break;
        i++;
    }
    return i;
}

/* A prompt that holds only one clause: its items still point into the whole one. */
static void clause_copy(const struct prompt *prompt, size_t from, size_t end,
                        struct prompt *clause)
{
    clause->n_items = end - from;
    for (size_t i = from; i < end; i++)
        clause->items[i - from] = prompt->items[i];
}

static bool story(const struct arithmetic_skill *skill, const struct prompt *prompt,
                  struct reply *reply)
{
    struct prompt clause;
    double total = 0;
    int terms = 0, steps = 0;
    for (size_t i = 0; i < prompt->n_items;) {
        size_t end = clause_end(prompt, i);
        clause_copy(prompt, i, end, &clause);
        double numbers[4];
        size_t n = numbers_from(skill, &clause, 0, 4, numbers);
        char effect = clause_effect(&clause);
        if (n == 0 && terms > 0 && clause_ratio(skill, &clause, &total))
            steps++;
        for (size_t k = 0; k < n && terms < skill->max_terms; k++, terms++) {
            if (terms == 0) {
                total = numbers[k];
                continue;
            }
            total = apply(skill, effect, total, numbers[k]);
            steps += effect != 0;
        }
        i = end + 1;
    }
    if (terms < 2 && steps == 0)
        return false;
    bool asked = prompt_has(prompt, "how many|how much|what is the result|what number|"
                                    "result");
    reply_number(reply, steps > 0 && asked ? GRASP_WEAK : GRASP_GUESS, total, 2);
    return true;
}

/* No idea: the habit of adding up what is there. */
static void guess(const struct arithmetic_skill *skill, const struct prompt *prompt,
                  struct reply *reply)
{
    double numbers[MAX_NUMBERS], sum = 0;
    size_t n = numbers_from(skill, prompt, 0, MAX_NUMBERS, numbers);
    for (size_t i = 0; i < n; i++)
        sum += numbers[i];
    reply_number(reply, GRASP_GUESS, sum, 2);
}

void arithmetic_answer(const struct arithmetic_skill *skill, const struct prompt *prompt,
                       struct reply *reply)
{
    if (divisors(skill, prompt, reply) || percentage(skill, prompt, reply) ||
        list(skill, prompt, reply) || expression(skill, prompt, reply) ||
        story(skill, prompt, reply))
        return;
    guess(skill, prompt, reply);
}
