/* question.c - chooses domain, form and vocabulary of a question; see question.h. */
#include "tools/experts/question.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ARITHMETIC, CALENDAR, UNITS, TEXT, N_DOMAINS };

static const char *const names[N_DOMAINS] = { "arithmetic", "calendar", "units", "text" };

static const struct family *families_of(int domain)
{
    const struct family *all[N_DOMAINS] = { arithmetic_families, calendar_families,
                                            units_families, text_families };
    return all[domain];
}

void question_ask(struct question *question, const char *form, ...)
{
    size_t n = strlen(question->prompt);
    va_list args;
    va_start(args, form);
    (void)vsnprintf(question->prompt + n, sizeof question->prompt - n, form, args);
    va_end(args);
}

void question_fill(struct question *question, const char *form, const char *const *values)
{
    for (const char *p = form; *p != 0; p++) {
        bool place = p[0] == '{' && p[1] >= '0' && p[1] <= '9' && p[2] == '}';
        if (place) {
            question_ask(question, "%s", values[p[1] - '0']);
            p += 2;
        } else {
            question_ask(question, "%c", *p);
        }
    }
}

struct digits question_digits(int64_t value)
{
    struct digits digits;
    (void)snprintf(digits.text, sizeof digits.text, "%lld", (long long)value);
    return digits;
}

void question_exact(struct question *question, const char *form, ...)
{
    va_list args;
    va_start(args, form);
    (void)vsnprintf(question->reference, sizeof question->reference, form, args);
    va_end(args);
    question->grade = "exact";
}

void question_whole(struct question *question, int64_t value)
{
    question_exact(question, "%lld", (long long)value);
    question->grade = "number";
}

void question_rounded(struct question *question, double value)
{
    question_exact(question, "%.2f", value + copysign(1e-9, value));
    question->grade = "number";
}

/* Appends in order, each piece after a blank. */
static void append(char *words, size_t bytes, const char *piece)
{
    size_t n = strlen(words);
    (void)snprintf(words + n, bytes - n, "%s%s", n > 0 ? " " : "", piece);
}

static void spell_below_thousand(int value, char *words, size_t bytes)
{
    static const char *const small[] = {
        "zero",     "one",     "two",     "three",     "four",     "five",     "six",
        "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",   "thirteen",
        "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
    };
    static const char *const tens[] = { "",      "",      "twenty",  "thirty", "forty",
                                        "fifty", "sixty", "seventy", "eighty", "ninety" };
    if (value >= 100) {
        append(words, bytes, small[value / 100]);
        append(words, bytes, "hundred");
        if (value % 100 != 0)
            append(words, bytes, "and");
        value %= 100;
        if (value == 0)
            return;
    }
    if (value < 20) {
        append(words, bytes, small[value]);
        return;
    }
    append(words, bytes, tens[value / 10]);
    if (value % 10 != 0) {
        size_t n = strlen(words);
        (void)snprintf(words + n, bytes - n, "-%s", small[value % 10]);
    }
}

void question_spell(int64_t value, char *ret_words, size_t bytes)
{
    ret_words[0] = 0;
    if (value >= 1000) {
        spell_below_thousand((int)(value / 1000), ret_words, bytes);
        append(ret_words, bytes, "thousand");
        if (value % 1000 == 0)
            return;
        if (value % 1000 < 100)
            append(ret_words, bytes, "and");
    }
    spell_below_thousand((int)(value % 1000), ret_words, bytes);
}

/* A sentence in the vocabulary of one domain that asks nothing. */
static void scene(struct dice *dice, int domain, struct question *question)
{
    static const char *const people[] = {
        "Ada", "Ben", "Chloe", "David", "Elif", "Femi"
    };
    static const char *const weekdays[] = { "Monday", "Tuesday", "Thursday", "Sunday" };
    static const char *const words[] = { "level", "minus", "April", "kilogram",
                                         "seventh" };
    static const char *const forms[N_DOMAINS][3] = {
        { "{0} has just worked out the sum of {1} and {2}. ",
          "{0} is learning to multiply and divide; page {1}, exercise {2}. ",
          "In the margin {0} wrote {1} + {2} and the word remainder. " },
        { "It is {3}, and {0} has a day off in the leap week. ",
          "Every {3} {0} looks at the calendar of the year. ",
          "The meeting of last {3} was moved by {0} to the end of the month. " },
        { "{0} has walked {1} miles with a bag of {2} pounds. ",
          "{0} pours {1} litres of water from a bucket that holds {2} gallons. ",
          "At {1} degrees outside {0} drives {2} kilometres to work. " },
        { "{0} reads the word \"{4}\" backwards. ",
          "{0} has counted the vowels of \"{4}\" and sorts the letters. ",
          "{0} writes \"{4}\" in capital letters. " },
    };
    const char *who = DICE_PICK(dice, people);
    const char *day = DICE_PICK(dice, weekdays), *word = DICE_PICK(dice, words);
    int a = dice_between(dice, 3, 60), b = dice_between(dice, 2, 40);
    QUESTION_FILL(question, forms[domain][dice_between(dice, 0, 2)], who, DIGITS(a),
                  DIGITS(b), day, word);
}

static const struct family *draw_family(struct dice *dice, const struct family *list)
{
    int total = 0;
    for (const struct family *f = list; f->name != NULL; f++)
        total += f->weight;
    int at = dice_between(dice, 0, total - 1);
    while (at >= list->weight) {
        at -= list->weight;
        list++;
    }
    return list;
}

void question_make(uint64_t seed, uint64_t index, double mixed_share,
                   struct question *ret_question)
{
    struct dice dice = { seed };
    dice.state = dice_next(&dice) ^ (index * 0xd1342543de82ef95u + 1);
    struct question *q = ret_question;
    int domain = dice_between(&dice, 0, N_DOMAINS - 1);
    q->prompt[0] = 0;
    q->reference[0] = 0;
    q->domain = names[domain];
    q->mixed = dice_share(&dice) < mixed_share;
    (void)snprintf(q->id, sizeof q->id, "q%llu-%llu", (unsigned long long)seed,
                   (unsigned long long)index);
    /* A mixed text question is asked about words of the others (see ask_text.c); the rest
     * are told after a scene from elsewhere. */
    if (q->mixed && domain != TEXT)
        scene(&dice, (domain + dice_between(&dice, 1, 3)) % N_DOMAINS, q);
    const struct family *family = draw_family(&dice, families_of(domain));
    q->family = family->name;
    family->ask(&dice, q);
}
