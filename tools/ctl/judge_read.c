/* judge_read.c - a judge's words: the verdict it ends on, in the forms that judges use when
 * they do not keep to the one they were asked for. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/judge.h"
#include "tools/ctl/last_match.h"
#include "tools/ctl/memory.h"

#define NUMBER "(\\d+(?:\\.\\d+)?)(?![\\d.]*\\d)(?!\\s*/\\s*(?!10\\b)\\d)"
#define SKIP   "[\"'*_`\\s:=(\\[]*"

/* From the surest to the weakest. */
static const char *const scores[] = {
    "(?i)\\b(?:score|rating|grade)\\b(?:\\s*\\(?(?:out\\s+of\\s+10|0\\s*-\\s*10)\\)?)"
    "?" SKIP "(?:(?:is|of)\\b" SKIP ")?(?<!-)" NUMBER,
    "\\[\\[\\s*" NUMBER "\\s*\\]\\]",
    "^[\\s*_`]*" NUMBER "(?:\\s*/\\s*10)?[\\s*_`.]*$",
    "(?i)(?<![\\d.-])" NUMBER "\\s*(?:/|out\\s+of)\\s*10\\b",
};
static const char *const verdicts[] = {
    "(?i)\\bverdict\\b" SKIP "(?:is\\b" SKIP ")?(?:answer\\s+)?"
    "(A|B|tie|both|neither|draw|equal)\\b(?!\\s+or\\b)",
    "(?i)\\[\\[\\s*(A|B|C|tie)\\s*\\]\\]",
    "(?i)^[\\W_]*(?:answer\\s+)?(A|B|tie)[\\W_]*$",
    "(?i)\\banswer\\s+(A|B)\\s+is\\s+(?:(?:clearly|slightly|much|the)\\s+)*better\\b",
    "(?i)\\bbetter\\s+(?:answer|one)\\s+is" SKIP "(?:answer\\s+)?(A|B)\\b",
};

static bool read_score(const char *said, double *ret_quality)
{
    struct str number;

    for (size_t i = 0; i < ARRAY_LEN(scores); i++) {
        if (!last_match(scores[i], said, &number))
            continue;
        char *text = memory_text_n(number.p, number.n);
        double score = strtod(text, NULL);
        free(text);
        if (score > 10)
            return false;
        *ret_quality = score / 10;
        return true;
    }
    return false;
}

static bool read_verdict(const char *said, double *ret_quality)
{
    struct str word;

    for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
        if (!last_match(verdicts[i], said, &word))
            continue;
        char first = (char)toupper((unsigned char)word.p[0]);
        *ret_quality = word.n > 1 || first == 'C' ? 0.5 : first == 'A' ? 1 : 0;
        return true;
    }
    return false;
}

bool judge_read(enum judge_form form, const char *said, double *ret_quality)
{
    return form == JUDGE_RUBRIC ? read_score(said, ret_quality)
                                : read_verdict(said, ret_quality);
}

double judge_both(double as_shown, double swapped)
{
    double other_way = 1 - swapped;

    return as_shown == other_way ? as_shown : 0.5;
}

/* -- settings -- */

static enum fault_err read_criteria(const char *path, char **ret_text,
                                    struct fault *fault)
{
    FILE *file = fopen(path, "re");
    char *text;

    if (file == NULL)
        return fault_set(fault, FAULT_IO, "cannot open criteria '%s': %s", path,
                         strerror(errno));
    text = memory_new(JUDGE_CRITERIA_MAX + 1, 1);
    size_t n = fread(text, 1, JUDGE_CRITERIA_MAX + 1, file);
    bool whole = n <= JUDGE_CRITERIA_MAX && ferror(file) == 0;
    (void)fclose(file);
    struct str trimmed = str_trim((struct str){ text, n });
    bool sound = whole && trimmed.n > 0 && str_is_utf8(trimmed) &&
                 memchr(trimmed.p, 0, trimmed.n) == NULL;
    if (sound)
        *ret_text = memory_text_n(trimmed.p, trimmed.n);
    free(text);
    if (sound)
        return FAULT_OK;
    return fault_set(fault, FAULT_INPUT,
                     "criteria '%s': must be UTF-8 text, not empty, of %d bytes at most",
                     path, JUDGE_CRITERIA_MAX);
}

static enum fault_err read_count(struct str value, const char *name, uint64_t least,
                                 uint64_t most, int64_t *ret_count, struct fault *fault)
{
    uint64_t count;

    if (str_to_u64(value, &count) != ERR_OK || count < least || count > most)
        return fault_set(fault, FAULT_INPUT,
                         "'%s=" STR_FMT "' must be a whole number from %llu to %llu",
                         name, STR_ARG(value), (unsigned long long)least,
                         (unsigned long long)most);
    *ret_count = (int64_t)count;
    return FAULT_OK;
}

static enum fault_err read_setting(struct str word, bool agree, struct judge_wish *wish,
                                   struct fault *fault)
{
    struct str name, value = word;
    bool valued = str_cut(&value, '=', &name) && value.p != NULL && value.n > 0;

    if (agree && valued && str_is(name, "judge") && wish->expert == NULL) {
        wish->expert = memory_text_n(value.p, value.n);
        return FAULT_OK;
    }
    if (!agree && str_is(word, "rubric")) {
        wish->form = JUDGE_RUBRIC;
        return FAULT_OK;
    }
    if (!agree && str_is(word, "pairwise")) {
        wish->form = JUDGE_PAIRWISE;
        return FAULT_OK;
    }
    if (!agree && valued && str_is(name, "against") && wish->against == NULL) {
        wish->against = memory_text_n(value.p, value.n);
        return FAULT_OK;
    }
    if (valued && str_is(name, "criteria") && wish->criteria == NULL) {
        char *path = memory_text_n(value.p, value.n);
        enum fault_err err = read_criteria(path, &wish->criteria, fault);
        free(path);
        return err;
    }
    if (!agree && valued && str_is(name, "opponents"))
        return read_count(value, "opponents", 1, 64, &wish->opponents, fault);
    if (valued && str_is(name, "tokens"))
        return read_count(value, "tokens", 16, 1000000, &wish->output_tokens, fault);
    return fault_set(fault, FAULT_INPUT,
                     "'" STR_FMT "' is no setting of a judge: rubric, pairwise, "
                     "criteria=FILE, against=EXPERT, opponents=N, tokens=N; of agree: "
                     "judge=EXPERT, criteria=FILE, tokens=N",
                     STR_ARG(word));
}

enum fault_err judge_wish_read(const char *argument, bool agree,
                               struct judge_wish *ret_wish, struct fault *fault)
{
    struct judge_wish wish = { .output_tokens = JUDGE_OUTPUT_TOKENS, .opponents = 2 };
    struct str rest = str_of(argument), word;
    char *expert = NULL;
    enum fault_err err = FAULT_OK;

    if (!str_cut(&rest, ',', &word) || word.n == 0)
        return fault_set(fault, FAULT_INPUT, "the name of an expert is missing");
    expert = memory_text_n(word.p, word.n);
    if (agree)
        wish.trusted = expert;
    else
        wish.expert = expert;
    while (err == FAULT_OK && str_cut(&rest, ',', &word))
        err = read_setting(word, agree, &wish, fault);
    if (err == FAULT_OK && wish.against != NULL && wish.form != JUDGE_PAIRWISE)
        err = fault_set(fault, FAULT_INPUT, "'against' is a setting of pairwise");
    if (err != FAULT_OK) {
        judge_wish_release(&wish);
        return err;
    }
    *ret_wish = wish;
    return FAULT_OK;
}

void judge_wish_release(struct judge_wish *wish)
{
    free(wish->expert);
    free(wish->trusted);
    free(wish->against);
    free(wish->criteria);
    *wish = (struct judge_wish){ 0 };
}
