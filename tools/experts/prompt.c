/* prompt.c - splits a prompt into items; see prompt.h.
 *
 * What must hold: every item lies inside the prompt's own text, and quoting decides
 * before anything else does, so that the words of a quoted sentence are never taken for
 * the question.
 */
#include "tools/experts/prompt.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool is_letter(char c)
{
    return isalpha((unsigned char)c) != 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A single mark opens only before a letter and after a blank, so that "don't" is no
 * quote. */
static size_t quote_end(const struct prompt *prompt, size_t at)
{
    char mark = prompt->text[at];
    if (mark != '"' && mark != '\'')
        return 0;
    if (mark == '\'' && at > 0 && isalnum((unsigned char)prompt->text[at - 1]) != 0)
        return 0;
    for (size_t i = at + 1; i < prompt->n; i++) {
        bool closes = prompt->text[i] == mark &&
                      (mark == '"' || isalnum((unsigned char)prompt->text[i + 1]) == 0);
        if (closes)
            return i;
    }
    return 0;
}

static size_t number_end(const char *p, size_t at, size_t n)
{
    size_t i = at;
    while (i < n && is_digit(p[i]))
        i++;
    size_t lead = i - at;
    /* The text ends in a 0, which is no digit: the look-ahead never leaves it. */
    while (lead <= 3 && p[i] == ',' && is_digit(p[i + 1]) && is_digit(p[i + 2]) &&
           is_digit(p[i + 3]) && !is_digit(p[i + 4]))
        i += 4;
    if (i + 1 < n && p[i] == '.' && is_digit(p[i + 1])) {
        i++;
        while (i < n && is_digit(p[i]))
            i++;
    }
    return i;
}

static double number_value(const char *p, size_t n)
{
    char digits[64];
    size_t used = 0;
    for (size_t i = 0; i < n && used < sizeof digits - 1; i++) {
        if (p[i] != ',')
            digits[used++] = p[i];
    }
    digits[used] = 0;
    return strtod(digits, NULL);
}

/* Makes the item that begins at `at`; returns where the next one may begin. */
static size_t item_read(struct prompt *prompt, size_t at, struct item *item)
{
    size_t end = quote_end(prompt, at);
    if (end != 0) {
        *item = (struct item){ ITEM_QUOTE, prompt->text + at + 1, end - at - 1, 0 };
        return end + 1;
    }
    if (is_digit(prompt->text[at])) {
        end = number_end(prompt->text, at, prompt->n);
        *item = (struct item){ ITEM_NUMBER, prompt->text + at, end - at, 0 };
        item->value = number_value(item->p, item->n);
        return end;
    }
    if (is_letter(prompt->text[at])) {
        end = at + 1;
        while (end < prompt->n && is_letter(prompt->text[end]))
            end++;
        *item = (struct item){ ITEM_WORD, prompt->lower + at, end - at, 0 };
        return end;
    }
    *item = (struct item){ ITEM_SIGN, prompt->text + at, 1, 0 };
    return at + 1;
}

void prompt_read(struct prompt *prompt, const char *text, size_t bytes)
{
    prompt->n = bytes < PROMPT_BYTES ? bytes : PROMPT_BYTES;
    memcpy(prompt->text, text, prompt->n);
    prompt->text[prompt->n] = 0;
    for (size_t i = 0; i <= prompt->n; i++)
        prompt->lower[i] = (char)tolower((unsigned char)prompt->text[i]);
    prompt->n_items = 0;
    size_t at = 0;
    while (at < prompt->n && prompt->n_items < PROMPT_ITEMS) {
        if (isspace((unsigned char)prompt->text[at]) != 0) {
            at++;
            continue;
        }
        at = item_read(prompt, at, &prompt->items[prompt->n_items]);
        prompt->n_items++;
    }
}

static bool item_is(const struct item *item, const char *word, size_t n)
{
    return (item->kind == ITEM_WORD || item->kind == ITEM_SIGN) && item->n == n &&
           memcmp(item->p, word, n) == 0;
}

bool prompt_is(const struct prompt *prompt, size_t i, const char *word)
{
    return i < prompt->n_items && item_is(&prompt->items[i], word, strlen(word));
}

static bool phrase_at(const struct prompt *prompt, size_t i, const char *phrase, size_t n)
{
    size_t at = 0;
    while (at < n) {
        const char *blank = memchr(phrase + at, ' ', n - at);
        size_t word = blank != NULL ? (size_t)(blank - phrase) - at : n - at;
        if (i >= prompt->n_items || !item_is(&prompt->items[i], phrase + at, word))
            return false;
        i++;
        at += word + 1;
    }
    return true;
}

int prompt_find(const struct prompt *prompt, size_t from, const char *phrases)
{
    for (size_t i = from; i < prompt->n_items; i++) {
        const char *phrase = phrases;
        while (*phrase != 0) {
            size_t n = strcspn(phrase, "|");
            if (phrase_at(prompt, i, phrase, n))
                return (int)i;
            phrase += n + (phrase[n] == '|');
        }
    }
    return -1;
}

bool prompt_has(const struct prompt *prompt, const char *phrases)
{
    return prompt_find(prompt, 0, phrases) >= 0;
}

size_t prompt_offset(const struct prompt *prompt, size_t i)
{
    const struct item *item = &prompt->items[i];
    const char *base = item->kind == ITEM_WORD ? prompt->lower : prompt->text;
    return (size_t)(item->p - base);
}

int prompt_quote(const struct prompt *prompt, size_t from)
{
    for (size_t i = from; i < prompt->n_items; i++) {
        if (prompt->items[i].kind == ITEM_QUOTE)
            return (int)i;
    }
    return -1;
}

static const struct {
    const char *word;
    double value;
} number_words[] = {
    { "zero", 0 },      { "one", 1 },        { "two", 2 },           { "three", 3 },
    { "four", 4 },      { "five", 5 },       { "six", 6 },           { "seven", 7 },
    { "eight", 8 },     { "nine", 9 },       { "ten", 10 },          { "eleven", 11 },
    { "twelve", 12 },   { "thirteen", 13 },  { "fourteen", 14 },     { "fifteen", 15 },
    { "sixteen", 16 },  { "seventeen", 17 }, { "eighteen", 18 },     { "nineteen", 19 },
    { "twenty", 20 },   { "thirty", 30 },    { "forty", 40 },        { "fifty", 50 },
    { "sixty", 60 },    { "seventy", 70 },   { "eighty", 80 },       { "ninety", 90 },
    { "hundred", 100 }, { "thousand", 1e3 }, { "million", 1000000 },
};

static double word_value(const struct prompt *prompt, size_t i, double largest)
{
    for (size_t w = 0; w < sizeof number_words / sizeof *number_words; w++) {
        if (number_words[w].value <= largest &&
            prompt_is(prompt, i, number_words[w].word))
            return number_words[w].value;
    }
    return -1;
}

/* "two hundred and five thousand and twelve": groups below a thousand are closed by their
 * scale word; "and" and "-" only join when a number word follows. */
static size_t spelled_number(const struct prompt *prompt, size_t i, double largest,
                             double *ret_value)
{
    double total = 0, group = 0, last = 1000;
    size_t at = i;
    for (;;) {
        size_t step = at;
        bool joined = at > i && (prompt_is(prompt, at, "-") ||
                                 ((group >= 100 || (total > 0 && group == 0)) &&
                                  prompt_is(prompt, at, "and")));
        if (joined)
            step++;
        double value = word_value(prompt, step, largest);
        if (value < 0)
            break;
        if (value >= 1000) {
            total += (group > 0 ? group : 1) * value;
            group = 0;
            last = 1000;
        } else if (value == 100) {
            group = (group > 0 ? group : 1) * 100;
            last = 100;
        } else if (value < last && (value < 10 || last > 90)) {
            group += value;
            last = value >= 20 ? 10 : 0;
        } else {
            break;
        }
        at = step + 1;
    }
    if (at > i)
        *ret_value = total + group;
    return at - i;
}

size_t prompt_number(const struct prompt *prompt, size_t i, double largest_spelled,
                     double *ret_value)
{
    if (i >= prompt->n_items)
        return 0;
    if (prompt->items[i].kind == ITEM_NUMBER) {
        *ret_value = prompt->items[i].value;
        return 1;
    }
    return spelled_number(prompt, i, largest_spelled, ret_value);
}

size_t prompt_next_number(const struct prompt *prompt, size_t from,
                          double largest_spelled, double *ret_value)
{
    for (size_t i = from; i < prompt->n_items; i++) {
        size_t used = prompt_number(prompt, i, largest_spelled, ret_value);
        if (used > 0)
            return i + used;
    }
    return 0;
}
