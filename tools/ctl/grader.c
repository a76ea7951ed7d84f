/* grader.c - words become a grader, and the free graders grade. */
#include "tools/ctl/grader.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/domain/pattern.h"
#include "tools/ctl/grade_choice.h"
#include "tools/ctl/grade_text.h"
#include "tools/ctl/judge.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/schema.h"

static const struct {
    const char *word;
    bool argument, reference;
} kinds[] = {
#define X(name, word, argument, reference, text)                                         \
    [GRADE_##name] = { word, sizeof(argument) > 1, reference },
    GRADE_KINDS(X)
#undef X
};

struct grader {
    enum grade_kind kind;
    char *spec;
    const char *argument;    /* in spec */
    struct pattern *pattern; /* of regex */
    struct schema *schema;   /* of json-schema */
    struct judge_wish judge; /* of judge and agree */
};

static bool find_kind(const char *spec, enum grade_kind *ret_kind)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        size_t n = strlen(kinds[i].word);
        if (strncmp(spec, kinds[i].word, n) == 0 &&
            (kinds[i].argument ? spec[n] != '\0' : spec[n] == '\0')) {
            *ret_kind = (enum grade_kind)i;
            return true;
        }
    }
    return false;
}

bool grader_known(const char *spec)
{
    enum grade_kind kind;

    return find_kind(spec, &kind);
}

static enum fault_err read_argument(struct grader *grader, struct fault *fault)
{
    struct pattern_error error = { .text = "" };

    switch (grader->kind) {
    case GRADE_REGEX:
        if (strlen(grader->argument) > PATTERN_MAX_BYTES)
            return fault_set(fault, FAULT_INPUT,
                             "the regular expression is longer than "
                             "4096 bytes");
        if (pattern_new(str_of(grader->argument), &grader->pattern, &error) != ERR_OK)
            return fault_set(fault, FAULT_INPUT, "regex '%.60s': %s", grader->argument,
                             error.text);
        return FAULT_OK;
    case GRADE_SCHEMA:
        return schema_load(grader->argument, &grader->schema, fault);
    case GRADE_JUDGE:
    case GRADE_AGREE:
        return judge_wish_read(grader->argument, grader->kind == GRADE_AGREE,
                               &grader->judge, fault);
    default:
        return FAULT_OK;
    }
}

enum fault_err grader_new(const char *spec, struct grader **ret_grader,
                          struct fault *fault)
{
    enum grade_kind kind;

    if (!find_kind(spec, &kind))
        return fault_set(fault, FAULT_INPUT,
                         "'%.60s' is no grader: it is one of" GRADE_WORDS, spec);
    struct grader *grader = memory_new(1, sizeof(*grader));
    grader->kind = kind;
    grader->spec = memory_text(spec);
    grader->argument = grader->spec + strlen(kinds[kind].word);
    enum fault_err err = read_argument(grader, fault);
    if (err != FAULT_OK) {
        grader_free(grader);
        return err;
    }
    *ret_grader = grader;
    return FAULT_OK;
}

void grader_free(struct grader *grader)
{
    if (grader == NULL)
        return;
    judge_wish_release(&grader->judge);
    schema_free(grader->schema);
    pattern_free(grader->pattern);
    free(grader->spec);
    free(grader);
}

enum grade_kind grader_kind(const struct grader *grader)
{
    return grader->kind;
}

const char *grader_spec(const struct grader *grader)
{
    return grader->spec;
}

const char *grader_argument(const struct grader *grader)
{
    return grader->argument;
}

bool grader_is_free(const struct grader *grader)
{
    return grader->kind != GRADE_CMD && grader_judge(grader) == NULL;
}

const struct judge_wish *grader_judge(const struct grader *grader)
{
    bool judged = grader->kind == GRADE_JUDGE || grader->kind == GRADE_AGREE;

    return judged ? &grader->judge : NULL;
}

enum fault_err grader_check(const struct grader *grader, const char *reference,
                            struct fault *fault)
{
    double number;

    if (reference == NULL && kinds[grader->kind].reference)
        return fault_set(fault, FAULT_INPUT, "'reference' is missing, '%s' needs it",
                         grader->spec);
    if (grader->kind == GRADE_NUMBER && !grade_final_number(reference, &number))
        return fault_set(fault, FAULT_INPUT, "the reference '%.60s' holds no number",
                         reference);
    if ((grader->kind == GRADE_CONTAINS || grader->kind == GRADE_CHOICE) &&
        str_trim(str_of(reference)).n == 0)
        return fault_set(fault, FAULT_INPUT, "the reference is empty");
    return FAULT_OK;
}

/* What a Markdown fence holds, where the text is one fence and nothing else; else the text.
 */
static struct str unfenced(struct str text)
{
    text = str_trim(text);
    if (!str_starts(text, "```") || text.n < 6 ||
        memcmp(text.p + text.n - 3, "```", 3) != 0)
        return text;
    const char *line = memchr(text.p, '\n', text.n);
    if (line == NULL)
        return text;
    struct str inside = { line, (size_t)(text.p + text.n - 3 - line) };
    for (size_t i = 0; i + 3 <= inside.n; i++) {
        if (memcmp(inside.p + i, "```", 3) == 0)
            return text; /* two fences, and words between them */
    }
    return str_trim(inside);
}

double grader_grade(const struct grader *grader, const struct grade_subject *subject)
{
    struct str json;

    switch (grader->kind) {
    case GRADE_EXACT:
        return grade_exact(subject->reference, subject->answer);
    case GRADE_NUMBER:
        return grade_number(subject->reference, subject->answer);
    case GRADE_CHOICE:
        return grade_choice(subject->text, subject->reference, subject->answer);
    case GRADE_CONTAINS:
        return grade_contains(subject->reference, subject->answer);
    case GRADE_REGEX:
        switch (pattern_find(grader->pattern, str_of(subject->answer))) {
        case PATTERN_FOUND:
            return 1;
        case PATTERN_ABSENT:
            return 0;
        case PATTERN_TOO_HARD:
            return NAN;
        }
        return NAN;
    case GRADE_SCHEMA:
        json = unfenced(str_of(subject->answer));
        switch (schema_allows(grader->schema, json.p != NULL ? json.p : "", json.n)) {
        case SCHEMA_YES:
            return 1;
        case SCHEMA_NO:
            return 0;
        case SCHEMA_UNKNOWN:
            return NAN;
        }
        return NAN;
    default:
        break;
    }
    assert(!"free graders only");
    return NAN;
}
