/* agree.c - see agree.h. */
#include "tools/ctl/agree.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "tools/ctl/grade_choice.h"
#include "tools/ctl/grade_text.h"
#include "tools/ctl/last_match.h"
#include "tools/ctl/memory.h"

static const char result_pattern[] = "(?i)(\\\\boxed\\s*\\{[^}]*\\d|####\\s*[^\\n]*\\d|"
                                     "\\banswer(?:\\s+is)?[\\s:*=$]*-?[\\d.]"
                                     "|=[\\s*$]*-?\\$?[\\d.,]*\\d[\\s.*$%]*$"
                                     "|^[^\\s\\d]*(?:\\s*[^\\s\\d]+)?\\s*[-$*]*[\\d.,]*"
                                     "\\d[%*]*(?:\\s+[^\\s\\d]+)?[\\s.*]*$)";

/* Words of letters and digits, by their hashes; bytes of other scripts are letters. */
static size_t words_of(const char *text, size_t most, uint64_t *ret_words)
{
    char *plain = grade_plain(text);
    size_t n = 0;

    for (const char *p = plain; *p != '\0' && n < most;) {
        size_t bytes = 0;
        while (isalnum((unsigned char)p[bytes]) || (unsigned char)p[bytes] >= 0x80)
            bytes++;
        if (bytes == 0) {
            p++;
            continue;
        }
        ret_words[n++] = XXH3_64bits(p, bytes);
        p += bytes;
    }
    free(plain);
    return n;
}

static double rouge_l(const char *trusted, const char *answer)
{
    uint64_t *a = memory_new(AGREE_WORDS, sizeof(*a)),
             *b = memory_new(AGREE_WORDS, sizeof(*b));
    size_t n = words_of(trusted, AGREE_WORDS, a), m = words_of(answer, AGREE_WORDS, b);
    unsigned *row = memory_new(m + 1, sizeof(*row));

    for (size_t i = 0; i < n; i++) {
        unsigned corner = 0; /* of the row above, one to the left */
        for (size_t j = 0; j < m; j++) {
            unsigned above = row[j + 1];
            if (a[i] == b[j])
                row[j + 1] = corner + 1;
            else if (row[j] > above)
                row[j + 1] = row[j];
            corner = above;
        }
    }
    double common = row[m];
    free(a);
    free(b);
    free(row);
    return common > 0 ? 2 * common / (double)(n + m) : 0;
}

enum agree_by agree_by(const char *question, const char *trusted)
{
    uint64_t words[AGREE_SHORT_WORDS + 1];
    struct grade_choices choices;
    struct str found;

    grade_choices_of(question, &choices);
    if (choices.n >= 2 && grade_choice_of(trusted, &choices) >= 0)
        return AGREE_CHOICE;
    if (last_match(result_pattern, trusted, &found))
        return AGREE_NUMBER;
    if (words_of(trusted, AGREE_SHORT_WORDS + 1, words) <= AGREE_SHORT_WORDS)
        return AGREE_SHORT;
    return AGREE_TEXT;
}

double agree_quality(const char *question, const char *trusted, const char *answer)
{
    struct grade_choices choices;

    switch (agree_by(question, trusted)) {
    case AGREE_CHOICE:
        grade_choices_of(question, &choices);
        return grade_choice_of(trusted, &choices) == grade_choice_of(answer, &choices);
    case AGREE_NUMBER:
        return grade_number(trusted, answer);
    case AGREE_SHORT: {
        char *one = grade_plain(trusted), *other = grade_plain(answer);
        double same = strcmp(one, other) == 0 ? 1 : grade_contains(one, other);
        free(one);
        free(other);
        return same;
    }
    case AGREE_TEXT:
        break;
    }
    return rouge_l(trusted, answer);
}
