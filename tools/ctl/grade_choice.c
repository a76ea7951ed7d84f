/* grade_choice.c - the rules of grade_choice.h, from the surest to the weakest.
 *
 * A pattern's letter is the group that took part.
 */
#include "tools/ctl/grade_choice.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/grade_text.h"
#include "tools/ctl/last_match.h"
#include "tools/ctl/memory.h"

/* What may stand between a cue and its letter: marks, brackets, TeX. */
#define DRESS  "(?:[\\s*_\"'`(\\[{$>:=-]|\\\\[a-z]*\\b\\{?|\\\\[(\\[])*"
#define BEHIND "(?![\\p{L}\\p{N}'\\x{2019}]|-\\p{L})"
/* A capital, or a small letter that can hardly be the article: something closes behind it. */
#define LETTER "((?-i:[A-Z])" BEHIND "|[a-z](?=[)\\]}*_.\"'`]|\\s*$))"

static const char boxed_pattern[] = "\\\\boxed\\s*\\{((?:[^{}]|\\{[^{}]*\\})*)\\}";
static const char cue_pattern[] =
    "(?i)(?:\\b(?:answer|antwort|respuesta|r\\x{e9}ponse|"
    "(?:correct|right|best|final)\\s+(?:option|choice|letter|one))\\b[*_]*"
    "(?:\\s+(?:is|was|would\\s+be|should\\s+be|must\\s+be|has\\s+to\\s+be|ist|es|est))?"
    "|\\b(?:i|we)(?:\\s+would|'d|\\s+will|'ll)?\\s+(?:choose|chose|pick|select|go\\s+"
    "with|"
    "say|opt\\s+for))"
    "(?:" DRESS
    "(?:option|choice|letter|the|clearly|therefore|thus|probably|most\\s+likely|"
    "definitely|indeed)\\b){0,3}" DRESS LETTER
    "|(?<![\\p{L}\\p{N}'])((?-i:[A-Z]))[)\\].*_\"'`]*\\s+(?:is|would\\s+be|must\\s+be)"
    "\\s+(?:the\\s+|clearly\\s+|therefore\\s+)*(?:correct|right|best|answer)\\b";
static const char only_pattern[] =
    "^[\\s*_\"'`(\\[$]*(?:\\\\text\\{)?([A-Za-z])[\\s*_\"'`)\\].:}$]*$";
static const char line_pattern[] =
    "(?m)^[ \\t*_\"'`(\\[>-]*([A-Z])[*_]*[)\\].:][*_]*(?:[ \\t]+\\S|[ \\t]*$)";
static const char dressed_pattern[] = "(?<![\\p{L}\\p{N}])(?:[(\\[]([A-Za-z])[)\\]]"
                                      "|(?:\\*\\*|__|`)([A-Z])[).:]?(?:\\*\\*|__|`)"
                                      "|([A-Z])\\)|([A-Z])[.!\\s]*$)";
static const char standing_pattern[] =
    "(?<![\\p{L}\\p{N}'\\x{2019}-])(?:(?![AI]\\s+[a-z])([A-Z]))" BEHIND;

static int number_of(char letter, const struct grade_choices *choices)
{
    int number = toupper((unsigned char)letter) - 'A';
    int n = choices->n > 0 ? (int)choices->n : GRADE_CHOICES_MAX;

    return number >= 0 && number < n ? number : -1;
}

/* The last letter that the pattern finds. A find beyond the options does not count: then the
 * text before it is looked at again. */
static int letter_by(const char *pattern, const char *text,
                     const struct grade_choices *choices)
{
    char *rest = memory_text(text);
    struct str letter;
    int number = -1;

    while (number < 0 && last_match(pattern, rest, &letter)) {
        number = number_of(letter.p[0], choices);
        rest[letter.p - rest] = '\0';
    }
    free(rest);
    return number;
}

/* -- options -- */

/* "A) text", in any of its dresses. */
static bool option_line(struct str line, char *ret_letter, struct str *ret_text)
{
    size_t i = 0;

    while (i < line.n && strchr(" \t*_(->", line.p[i]) != NULL)
        i++;
    if (i + 1 >= line.n || !(line.p[i] >= 'A' && line.p[i] <= 'Z'))
        return false;
    *ret_letter = line.p[i++];
    size_t sign = i;
    while (i < line.n && strchr("*_).:", line.p[i]) != NULL)
        i++;
    bool closed = memchr(line.p + sign, ')', i - sign) != NULL ||
                  memchr(line.p + sign, '.', i - sign) != NULL ||
                  memchr(line.p + sign, ':', i - sign) != NULL;
    if (!closed || i >= line.n || !isspace((unsigned char)line.p[i]))
        return false;
    *ret_text = str_trim(str_skip(line, i));
    return ret_text->n > 0;
}

void grade_choices_of(const char *question, struct grade_choices *ret_choices)
{
    struct str rest = str_of(question), line, text;
    struct grade_choices open = { 0 };
    char letter;

    *ret_choices = (struct grade_choices){ 0 };
    while (str_cut(&rest, '\n', &line)) {
        if (!option_line(line, &letter, &text))
            continue;
        if (letter == 'A')
            open.n = 0;
        if ((size_t)(letter - 'A') != open.n)
            continue;
        open.text[open.n++] = text;
        if (open.n >= 2)
            *ret_choices = open;
    }
}

static char *plain_of(struct str text)
{
    char *copy = memory_text_n(text.p, text.n), *plain = grade_plain(copy);

    free(copy);
    return plain;
}

/* The option whose text it is. */
static int option_that_is(const char *text, const struct grade_choices *choices)
{
    char *plain = grade_plain(text);
    int found = -1;

    for (size_t i = 0; i < choices->n && found < 0; i++) {
        char *option = plain_of(choices->text[i]);
        if (strcmp(option, plain) == 0)
            found = (int)i;
        free(option);
    }
    free(plain);
    return found;
}

/* The only option whose text the answer holds; one that is part of another that it holds
 * does not count. */
static int option_in(const char *answer, const struct grade_choices *choices)
{
    char *held[GRADE_CHOICES_MAX] = { NULL };
    int found = -1;
    size_t count = 0;

    for (size_t i = 0; i < choices->n; i++) {
        char *option = plain_of(choices->text[i]);
        if (grade_contains(option, answer) > 0)
            held[i] = option;
        else
            free(option);
    }
    for (size_t i = 0; i < choices->n; i++) {
        bool part = false;
        for (size_t j = 0; held[i] != NULL && j < choices->n; j++)
            part =
                part || (j != i && held[j] != NULL && strlen(held[j]) > strlen(held[i]) &&
                         strstr(held[j], held[i]) != NULL);
        if (held[i] == NULL || part)
            continue;
        found = (int)i;
        count++;
    }
    for (size_t i = 0; i < choices->n; i++)
        free(held[i]);
    return count == 1 ? found : -1;
}

/* -- the rules -- */

static int boxed(const char *answer, const struct grade_choices *choices)
{
    struct str inside;

    if (!last_match(boxed_pattern, answer, &inside))
        return -1;
    char *text = memory_text_n(inside.p, inside.n);
    int number = letter_by(only_pattern, text, choices);
    if (number < 0)
        number = letter_by(line_pattern, text, choices);
    if (number < 0)
        number = letter_by(dressed_pattern, text, choices);
    if (number < 0)
        number = option_that_is(text, choices);
    free(text);
    return number;
}

/* The first line begins like an option, and no other line does. */
static int first_line(const char *answer, const struct grade_choices *choices)
{
    struct str last;

    answer += strspn(answer, " \t\r\n");
    size_t n = strcspn(answer, "\n");
    if (!last_match(line_pattern, answer, &last) || last.p >= answer + n)
        return -1;
    return number_of(last.p[0], choices);
}

int grade_choice_of(const char *answer, const struct grade_choices *choices)
{
    int number = boxed(answer, choices);

    if (number < 0)
        number = letter_by(cue_pattern, answer, choices);
    if (number < 0)
        number = letter_by(only_pattern, answer, choices);
    if (number < 0)
        number = first_line(answer, choices);
    if (number < 0)
        number = letter_by(dressed_pattern, answer, choices);
    if (number < 0)
        number = option_in(answer, choices);
    if (number < 0)
        number = letter_by(standing_pattern, answer, choices);
    return number;
}

static int reference_of(const char *reference, const struct grade_choices *choices)
{
    int number = letter_by(only_pattern, reference, choices);

    if (number < 0)
        number = option_that_is(reference, choices);
    if (number < 0)
        number = letter_by(line_pattern, reference, choices);
    return number;
}

double grade_choice(const char *question, const char *reference, const char *answer)
{
    struct grade_choices choices;

    grade_choices_of(question, &choices);
    int wanted = reference_of(reference, &choices);
    if (wanted < 0)
        return grade_contains(reference, answer);
    return grade_choice_of(answer, &choices) == wanted ? 1 : 0;
}
