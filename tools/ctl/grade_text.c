/* grade_text.c - see grade_text.h. */
#include "tools/ctl/grade_text.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/memory.h"

#define GRADE_DIGITS 64 /* longest number read */

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

double grade_exact(const char *reference, const char *answer)
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

/* Bytes of a thousands separator at `at`: ",", LaTeX's "{,}" or "\\,", with three digits
 * behind it; else 0. */
static size_t separator_bytes(const char *at)
{
    static const char *const separators[] = { ",", "{,}", "\\," };

    for (size_t i = 0; i < sizeof(separators) / sizeof(separators[0]); i++) {
        size_t n = strlen(separators[i]);
        if (strncmp(at, separators[i], n) == 0 && is_digit(at[n]) &&
            is_digit(at[n + 1]) && is_digit(at[n + 2]) && !is_digit(at[n + 3]))
            return n;
    }
    return 0;
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
        if (n > 0 && !point)
            at += separator_bytes(at);
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

/* Bytes up to the brace that closes, or to the end. */
static size_t boxed_bytes(const char *text)
{
    int depth = 1;
    size_t n = 0;

    for (; text[n] != '\0'; n++) {
        depth += (text[n] == '{') - (text[n] == '}');
        if (depth == 0)
            break;
    }
    return n;
}

bool grade_final_number(const char *text, double *ret_number)
{
    const char *boxed = last_of(text, "\\boxed{");
    const char *marked = last_of(text, "####");

    if (boxed != NULL && last_number(boxed, boxed_bytes(boxed), ret_number))
        return true;
    if (marked != NULL && last_number(marked, strcspn(marked, "\n"), ret_number))
        return true;
    return last_number(text, strlen(text), ret_number);
}

double grade_number(const char *reference, const char *answer)
{
    double wanted, given;

    if (!grade_final_number(reference, &wanted) || !grade_final_number(answer, &given))
        return 0;
    double slack = fabs(wanted) > 0 ? fabs(wanted) * 1e-6 : 1e-9;
    return fabs(given - wanted) <= slack ? 1 : 0;
}

/* -- contains -- */

static bool is_mark(char c)
{
    return c == '*' || c == '_' || c == '`';
}

char *grade_plain(const char *text)
{
    char *plain = memory_new(strlen(text) + 1, 1);
    size_t n = 0;

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (is_mark(*text))
            continue;
        if (!isspace(c))
            plain[n++] = c < 0x80 ? (char)tolower(c) : *text;
        else if (n > 0 && plain[n - 1] != ' ')
            plain[n++] = ' ';
    }
    while (n > 0 && (plain[n - 1] == ' ' || plain[n - 1] == '.'))
        n--;
    plain[n] = '\0';
    return plain;
}

/* A letter or a digit; bytes of other scripts count as letters. */
static bool is_word(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

double grade_contains(const char *reference, const char *answer)
{
    char *wanted = grade_plain(reference), *said = grade_plain(answer);
    size_t n = strlen(wanted);
    bool found = false;

    for (const char *at = strstr(said, wanted); n > 0 && at != NULL && !found;
         at = strstr(at + 1, wanted)) {
        bool begins = at == said || !is_word(at[-1]) || !is_word(wanted[0]);
        bool ends = !is_word(at[n]) || !is_word(wanted[n - 1]);
        found = begins && ends;
    }
    free(wanted);
    free(said);
    return found ? 1 : 0;
}
