/* grader.h - is an answer right? A grader in words, and quality in 0..1 from an answer.
 *
 *   struct grader *grader;
 *   grader_new("regex:^yes", &grader, fault)           once for each spelling: graders.h
 *   grader_check(grader, reference, fault)             before anything is paid for
 *   quality = grader_grade(grader, &subject)           of the free kinds
 *   grader_free(grader)
 *
 * The words stand in GRADE_KINDS; help, manual and messages are made of that table. An
 * answer in which a grader finds nothing to compare is wrong (0); what nobody can tell (a
 * regular expression that takes too long) is NAN and becomes a missing quality, never 0.
 * What each kind forgives is said in grade_text.h, grade_choice.h and schema.h.
 *
 * `cmd` is graded by child.h, `judge` and `agree` by judging.h; their graders only hold what
 * the words say.
 *
 * Threads: a grader is immutable; any thread may grade.
 */
#ifndef TOOLS_CTL_GRADER_H
#define TOOLS_CTL_GRADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/ctl/fault.h"

#define GRADE_SPEC_MAX 4400 /* bytes of a grader in words */

/* symbol; the word, with a colon where something follows; what follows; whether the prompt
 * must have a reference; help */
#define GRADE_KINDS(X)                                                                   \
    X(EXACT, "exact", "", true,                                                          \
      "the answer equals the reference, white space at both ends aside")                 \
    X(NUMBER, "number", "", true,                                                        \
      "the answer's last number (of \\boxed{}, after ####, or at all) does")             \
    X(CHOICE, "choice", "", true,                                                        \
      "the answer chooses the reference, a letter or the text of an option")             \
    X(CONTAINS, "contains", "", true,                                                    \
      "the answer holds the reference, letter case and width of blanks aside")           \
    X(REGEX, "regex:", "RE", false, "the answer matches the regular expression (PCRE2)") \
    X(SCHEMA, "json-schema:", "FILE", false,                                             \
      "the answer is JSON, fenced or bare, that the JSON Schema allows")                 \
    X(CMD, "cmd:", "COMMAND", false,                                                     \
      "your program says, JSON lines in and out; see below")                             \
    X(JUDGE, "judge:", "EXPERT[,SETTING..]", false,                                      \
      "an expert says, blind to who answered; see below")                                \
    X(AGREE, "agree:", "EXPERT[,judge=EXPERT]", false,                                   \
      "the answer agrees with that of an expert you trust; see below")

#define GRADE_HELP_LINE(name, word, argument, reference, text)                           \
    "  " word argument "\n      " text "\n"
#define GRADE_HELP                                        GRADE_KINDS(GRADE_HELP_LINE)
#define GRADE_WORD(name, word, argument, reference, text) " " word argument
#define GRADE_WORDS                                       GRADE_KINDS(GRADE_WORD)

enum grade_kind {
#define X(name, word, argument, reference, text) GRADE_##name,
    GRADE_KINDS(X)
#undef X
        GRADE_N_KINDS
};

enum judge_form {
    JUDGE_RUBRIC,   /* one answer at a time, 0 to 10 */
    JUDGE_PAIRWISE, /* two at a time, in both orders */
};

/* What stands behind `judge:` and `agree:`. */
struct judge_wish {
    char *expert;   /* who judges; NULL: `agree` without a judge */
    char *trusted;  /* `agree`: whose answers are the reference; else NULL */
    char *against;  /* pairwise: whom all others are compared with, or NULL */
    char *criteria; /* the operator's own text of what is good, or NULL */
    enum judge_form form;
    int64_t output_tokens; /* of a verdict */
    int64_t opponents;     /* pairwise: of those before it, for each expert */
};

struct grader;

/* Is it spelled like a grader? Whether its argument is sound says grader_new(). */
bool grader_known(const char *spec);
/* FAULT_INPUT says what is wrong with the words; FAULT_IO that a file cannot be read. */
NODISCARD enum fault_err grader_new(const char *spec, struct grader **ret_grader,
                                    struct fault *fault);
void grader_free(struct grader *grader); /* takes NULL */

enum grade_kind grader_kind(const struct grader *grader);
const char *grader_spec(const struct grader *grader); /* as it was given */
/* What follows the colon, or "". */
const char *grader_argument(const struct grader *grader);
bool grader_is_free(const struct grader *grader); /* grader_grade() tells */
/* Of `judge` and `agree`, else NULL. */
const struct judge_wish *grader_judge(const struct grader *grader);

/* FAULT_INPUT: this reference (NULL: none) cannot be compared with by this grader. */
NODISCARD enum fault_err grader_check(const struct grader *grader, const char *reference,
                                      struct fault *fault);

/* All borrowed. */
struct grade_subject {
    const char *text;      /* of the question: its routing text; may be "" */
    const char *reference; /* has passed grader_check() */
    const char *answer;    /* UTF-8 */
};
/* 0..1, or NAN: it cannot be told. The grader is a free one. */
double grader_grade(const struct grader *grader, const struct grade_subject *subject);

#endif
