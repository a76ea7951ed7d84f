/* grade.c - graders that need nothing but the two texts. */
#include "tools/ctl/grade.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/memory.h"

#define GRADE_DIGITS 64 /* longest number read */

static double grade_exact(const char *reference, const char *answer);
static double grade_number(const char *reference, const char *answer);

static const struct {
    const char *word;
    double (*function)(const char *reference, const char *answer);
} kinds[] = {
#define X(name, word, function) [GRADE_##name] = { word, function },
    GRADE_KINDS(X)
#undef X
};

bool grade_find(const char *word, enum grade_kind *ret_kind)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(word, kinds[i].word) == 0) {
            *ret_kind = (enum grade_kind)i;
            return true;
        }
    }
    return false;
}

const char *grade_word(enum grade_kind kind)
{
    return kinds[kind].word;
}

static const char *trim(const char *text, size_t *ret_bytes)
{
    size_t n;

    while (isspace((unsigned char)*text))
        text++;
    n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        n--;
    *ret_bytes = n;
    return text;
}

static double grade_exact(const char *reference, const char *answer)
{
    size_t n, m;
    const char *wanted = trim(reference, &n);
    const char *given = trim(answer, &m);

    return n == m && memcmp(wanted, given, n) == 0 ? 1 : 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A minus is a sign unless it joins two things: "7-3" and "pre-2" hold no negative number.
 */
static bool is_sign(const char *start, const char *at)
{
    return *at == '-' &&
           (at == start || (!isalnum((unsigned char)at[-1]) && at[-1] != ')'));
}

/* Reads the number whose first digit or point is at `at`; ret_end is behind it. */
static double read_number(const char *start, const char *at, const char **ret_end)
{
    char digits[GRADE_DIGITS + 1];
    size_t n = 0;
    bool point = false;

    if (at > start && is_sign(start, at - 1))
        digits[n++] = '-';
    for (; n < GRADE_DIGITS; at++) {
        bool separator = *at == ',' && n > 0 && !point && is_digit(at[1]) &&
                         is_digit(at[2]) && is_digit(at[3]) && !is_digit(at[4]);
        if (separator)
            continue;
        if (*at == '.' && !point && is_digit(at[1]))
            point = true;
        else if (!is_digit(*at))
            break;
        digits[n++] = *at;
    }
    digits[n] = '\0';
    if ((*at == 'e' || *at == 'E') && n + 5 < GRADE_DIGITS) {
        size_t skip = at[1] == '-' || at[1] == '+' ? 2 : 1;
        size_t exponent = strspn(at + skip, "0123456789");
        bool ends = !isalnum((unsigned char)at[skip + exponent]);
        if (exponent >= 1 && exponent <= 3 && ends) {
            memcpy(digits + n, at, skip + exponent);
            digits[n + skip + exponent] = '\0';
            at += skip + exponent;
        }
    }
    *ret_end = at;
    return strtod(digits, NULL);
}

/* The last number of text[0..n). */
static bool last_number(const char *text, size_t n, double *ret_number)
{
    bool found = false;
    const char *at = text;

    while (at < text + n && *at != '\0') {
        bool starts = is_digit(*at) || (*at == '.' && is_digit(at[1]) &&
                                        (at == text || !is_digit(at[-1])));
        if (!starts) {
            at++;
            continue;
        }
        *ret_number = read_number(text, at, &at);
        found = true;
        while (is_digit(*at))
            at++;
    }
    return found;
}

static const char *last_of(const char *text, const char *word)
{
    const char *last = NULL;

    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word))
        last = at + strlen(word);
    return last;
}

static bool final_number(const char *text, double *ret_number)
{
    const char *boxed = last_of(text, "\\boxed{");
    const char *marked = last_of(text, "####");

    if (boxed != NULL && last_number(boxed, strcspn(boxed, "}"), ret_number))
        return true;
    if (marked != NULL && last_number(marked, strcspn(marked, "\n"), ret_number))
        return true;
    return last_number(text, strlen(text), ret_number);
}

static double grade_number(const char *reference, const char *answer)
{
    double wanted, given;

    if (!final_number(reference, &wanted) || !final_number(answer, &given))
        return 0;
    double slack = fabs(wanted) > 0 ? fabs(wanted) * 1e-6 : 1e-9;
    return fabs(given - wanted) <= slack ? 1 : 0;
}

enum fault_err grade_check(enum grade_kind kind, const char *reference,
                           struct fault *fault)
{
    double number;

    if (kind == GRADE_NUMBER && !final_number(reference, &number))
        return fault_set(fault, FAULT_INPUT, "the reference '%.60s' holds no number",
                         reference);
    return FAULT_OK;
}

double grade_answer(enum grade_kind kind, const char *reference, const char *answer)
{
    return kinds[kind].function(reference, answer);
}
