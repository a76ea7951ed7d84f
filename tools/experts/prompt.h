/* prompt.h - a prompt as the small experts read it.
 *
 * A prompt becomes a flat list of items: words, numbers, quoted passages and signs. The
 * engines look for phrases and numbers in that list; none of them sees the raw text
 * unless it asks for it. The question generator shares nothing with this file: a
 * reference answer never passes through it.
 *
 *     "Add 12 and 'ab c'."  ->  WORD add | NUMBER 12 | WORD and | QUOTE ab c | SIGN .
 *
 * Threads: a prompt belongs to one thread; reading it is pure.
 */
#ifndef TOOLS_EXPERTS_PROMPT_H
#define TOOLS_EXPERTS_PROMPT_H

#include <stdbool.h>
#include <stddef.h>

#define PROMPT_BYTES 4096 /* the experts' context: what is longer is cut at the end */
#define PROMPT_ITEMS 1024

enum item_kind {
    ITEM_WORD,   /* letters only, lower case */
    ITEM_NUMBER, /* digits, with a fraction or thousands' commas; value is set */
    ITEM_QUOTE,  /* what stands between a pair of quotation marks, case kept */
    ITEM_SIGN,   /* any other single byte */
};

struct item {
    enum item_kind kind;
    const char *p; /* not terminated; points into the prompt */
    size_t n;
    double value; /* ITEM_NUMBER only */
};

/* Open, because engines walk it; treat it as read-only after prompt_read(). */
struct prompt {
    char text[PROMPT_BYTES + 1];
    char lower[PROMPT_BYTES + 1]; /* the same, ASCII letters in lower case */
    size_t n;
    struct item items[PROMPT_ITEMS];
    size_t n_items;
};

void prompt_read(struct prompt *prompt, const char *text, size_t bytes);

/* Index of the first item, at `from` or later, where one of the phrases begins, or -1.
 * Phrases are words with single spaces, alternatives are separated by '|':
 * "days between|days lie between". */
int prompt_find(const struct prompt *prompt, size_t from, const char *phrases);
bool prompt_has(const struct prompt *prompt, const char *phrases);

/* Item i is this word or this sign. False beyond the end. */
bool prompt_is(const struct prompt *prompt, size_t i, const char *word);

/* The number that begins at item i, in digits or spelled out ("twenty-three", "two
 * hundred and five"); words above largest_spelled are not understood. Returns how many
 * items it takes, 0 if no number is there. */
size_t prompt_number(const struct prompt *prompt, size_t i, double largest_spelled,
                     double *ret_value);

/* The first number at `from` or later; returns the item behind it, or 0 if there is none.
 */
size_t prompt_next_number(const struct prompt *prompt, size_t from,
                          double largest_spelled, double *ret_value);

/* Where item i begins in text (and in lower). */
size_t prompt_offset(const struct prompt *prompt, size_t i);

/* First quoted passage at `from` or later, or -1. */
int prompt_quote(const struct prompt *prompt, size_t from);

#endif
