/* question.h - questions with reference answers, made by dice.
 *
 *     question_make(seed, 0), question_make(seed, 1), ...
 *
 * Question i of a seed is always the same, whatever was made before it. The reference
 * comes from the numbers the question was made of, by code that the experts do not share:
 * the generator builds and works out an expression tree where the expert parses text,
 * counts days by formula where the expert counts years, derives factors from definitions.
 *
 * A mixed question borrows the vocabulary of other domains, so that its words alone do
 * not tell who can answer it.
 */
#ifndef TOOLS_EXPERTS_QUESTION_H
#define TOOLS_EXPERTS_QUESTION_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/experts/dice.h"

#define QUESTION_BYTES 2048

struct question {
    char id[48];
    char prompt[QUESTION_BYTES];
    char reference[QUESTION_BYTES];
    const char *domain; /* "arithmetic", "calendar", "units" or "text" */
    const char *grade;  /* "number" or "exact" */
    const char *family; /* the form of the question, for statistics */
    bool mixed;
};

void question_make(uint64_t seed, uint64_t index, double mixed_share,
                   struct question *ret_question);

/* -- for the generators of the four domains -------------------------------------- */

/* One form of question: fills prompt, reference and grade. */
struct family {
    const char *name;
    int weight;
    void (*ask)(struct dice *dice, struct question *question);
};

extern const struct family arithmetic_families[], calendar_families[], units_families[],
    text_families[]; /* each ends with a NULL name */

__attribute__((format(printf, 2, 3))) void question_ask(struct question *question,
                                                        const char *form, ...);
/* Appends a form that was drawn by dice: {0} .. {9} stand for the values. */
void question_fill(struct question *question, const char *form,
                   const char *const *values);
#define QUESTION_FILL(question, form, ...)                                               \
    question_fill(question, form, (const char *const[]){ __VA_ARGS__ })

/* A number as a value of a form; the text lives as long as the full expression. */
struct digits {
    char text[24];
};
struct digits question_digits(int64_t value);
#define DIGITS(value) (question_digits(value).text)

/* The references: an exact text, a whole number, or one rounded to two decimals. */
__attribute__((format(printf, 2, 3))) void question_exact(struct question *question,
                                                          const char *form, ...);
void question_whole(struct question *question, int64_t value);
void question_rounded(struct question *question, double value);

/* "two hundred and five"; 0 .. 999999 */
void question_spell(int64_t value, char *ret_words, size_t bytes);

#endif
